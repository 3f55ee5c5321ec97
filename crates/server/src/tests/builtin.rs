//! Redirects, fixed answers and files, as clients see them.

use std::os::unix::fs::symlink;
use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::testing::{Running, get, h1, params, route, start_with};
use crate::{Files, Fixed, Redirect};

/// A directory `context` beside a file that must not be served.
fn context() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let context = folder.path().join("site");
    for name in ["sub", ".git", ".well-known"] {
        std::fs::create_dir_all(context.join(name)).unwrap();
    }
    for (name, text) in [
        ("../secret", "secret"),
        ("index.html", "<home>"),
        ("sub/index.html", "<sub>"),
        ("a.txt", "0123456789"),
        ("a.txt.br", "in brotli"),
        ("a.txt.zst", "in zstd"),
        ("a.txt.gz", "in gzip"),
        ("empty", ""),
        (".env", "secret"),
        (".git/config", "secret"),
        (".well-known/it", "known"),
    ] {
        std::fs::write(context.join(name), text).unwrap();
    }
    symlink("../secret", context.join("out")).unwrap();
    symlink(folder.path().join("secret"), context.join("out-absolute")).unwrap();
    symlink("..", context.join("up")).unwrap();
    symlink("a.txt", context.join("in")).unwrap();
    folder
}

async fn serve(folder: &tempfile::TempDir) -> Running {
    let files = Arc::new(Files::new(folder.path().join("site")).unwrap());
    let mut below = route("/static/...", files.clone());
    below.strip_prefix = true;
    start_with(params(), [route("/...", files), below]).await
}

async fn ask(
    server: &Running,
    method: Method,
    path: &str,
    fields: &[(&'static str, &str)],
) -> (Response<Incoming>, HeaderMap) {
    let mut request = get(path);
    *request.method_mut() = method;
    for (name, value) in fields {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let answer = h1(server.address)
        .await
        .send_request(request)
        .await
        .unwrap();
    let headers = answer.headers().clone();
    (answer, headers)
}

async fn text(answer: Response<Incoming>) -> String {
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn files_are_served_with_types_ranges_and_by_conditions() {
    let folder = context();
    let server = serve(&folder).await;
    let (answer, headers) = ask(&server, Method::GET, "/a.txt", &[]).await;
    assert_eq!(headers["content-type"], "text/plain");
    assert_eq!(headers["content-length"], "10");
    assert_eq!(text(answer).await, "0123456789");
    let etag = headers["etag"].to_str().unwrap();
    let since = headers["last-modified"].to_str().unwrap();

    for (fields, status, expected) in [
        (&[("range", "bytes=2-4")][..], 206, "234"),
        (&[("range", "bytes=-2")], 206, "89"),
        (&[("range", "Bytes=-2")], 206, "89"),
        // A suffix range longer than the file means the whole file.
        (&[("range", "bytes=-100")], 206, "0123456789"),
        (
            &[("range", "bytes=-99999999999999999999")],
            206,
            "0123456789",
        ),
        (&[("range", "bytes=8-99999999999999999999")], 206, "89"),
        // Anything but a single range of bytes is ignored.
        (&[("range", "items=0-1")], 200, "0123456789"),
        (&[("range", "bytes=3-1")], 200, "0123456789"),
        (&[("range", "bytes=abc")], 200, "0123456789"),
        (&[("range", "bytes=0-1,3-4")], 200, "0123456789"),
        (&[("if-none-match", etag)], 304, ""),
        (&[("if-modified-since", since)], 304, ""),
        (&[("accept-encoding", "gzip;q=0.5, br")], 200, "in brotli"),
        (&[("accept-encoding", "zstd")], 200, "in zstd"),
        (&[("accept-encoding", "gzip")], 200, "in gzip"),
        (&[("accept-encoding", "br;q=0")], 200, "0123456789"),
        // Never a part of a file that may have changed.
        (
            &[("range", "bytes=2-4"), ("if-range", "\"old\"")],
            200,
            "0123456789",
        ),
    ] {
        let (answer, _) = ask(&server, Method::GET, "/a.txt", fields).await;
        assert_eq!(answer.status().as_u16(), status, "{fields:?}");
        assert_eq!(text(answer).await, expected, "{fields:?}");
    }
    for fields in [&[][..], &[("range", "bytes=2-4")]] {
        let (answer, headers) = ask(&server, Method::HEAD, "/a.txt", fields).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(headers["content-length"], "10");
        assert_eq!(text(answer).await, "");
    }
}

#[tokio::test]
async fn a_file_that_is_not_sent_is_refused_with_a_sentence_and_what_the_status_asks_for() {
    let folder = context();
    let server = serve(&folder).await;
    let refused = async |method: Method, path, field: Option<(&'static str, &str)>| {
        let fields: Vec<_> = field.into_iter().collect();
        let (answer, headers) = ask(&server, method, path, &fields).await;
        let status = answer.status().as_u16();
        let text = text(answer).await;
        let id = headers["x-request-id"].to_str().unwrap();
        assert!(text.ends_with(&format!(" (request {id})\n")), "{text}");
        (status, headers)
    };
    for range in ["bytes=20-", "bytes=-0", "bytes=99999999999999999999-"] {
        let (status, headers) = refused(Method::GET, "/a.txt", Some(("range", range))).await;
        assert_eq!(status, 416, "{range}");
        assert_eq!(headers["content-range"], "bytes */10", "{range}");
    }
    for range in ["bytes=0-", "bytes=0-0", "bytes=5-9", "bytes=-1"] {
        let (status, headers) = refused(Method::GET, "/empty", Some(("range", range))).await;
        assert_eq!(status, 416, "{range}");
        assert_eq!(headers["content-range"], "bytes */0", "{range}");
    }
    let condition = ("if-match", "\"other\"");
    let (status, _) = refused(Method::GET, "/a.txt", Some(condition)).await;
    assert_eq!(status, 412);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let (status, headers) = refused(method, "/a.txt", None).await;
        assert_eq!(status, 405);
        assert_eq!(headers["allow"], "GET,HEAD");
    }
}

#[tokio::test]
async fn an_answer_says_by_what_it_varies_whether_it_has_the_file_or_not() {
    let folder = context();
    let server = serve(&folder).await;
    let (_, whole) = ask(&server, Method::GET, "/a.txt", &[]).await;
    let etag = whole["etag"].to_str().unwrap();
    let condition = ("if-none-match", etag);
    let (answer, headers) = ask(&server, Method::GET, "/a.txt", &[condition]).await;
    assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(headers["vary"], whole["vary"]);
}

#[tokio::test]
async fn folders_have_an_index_and_are_found_without_their_slash() {
    let folder = context();
    let server = serve(&folder).await;
    for (path, expected) in [
        ("/", "<home>"),
        ("/sub/", "<sub>"),
        ("/static/sub/", "<sub>"),
        ("/static", "<home>"),
        ("/in", "0123456789"),
        ("/.well-known/it", "known"),
    ] {
        let (answer, _) = ask(&server, Method::GET, path, &[]).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(text(answer).await, expected, "{path}");
    }
    for (path, expected) in [
        ("/sub", "/sub/"),
        ("//sub?a=b", "/sub/?a=b"),
        ("/static/sub", "/static/sub/"),
    ] {
        // Only a prefix that the front itself removed counts.
        let forged = [("x-forwarded-prefix", "//evil.example")];
        let (answer, headers) = ask(&server, Method::GET, path, &forged).await;
        assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT, "{path}");
        assert_eq!(headers["location"], expected, "{path}");
    }
}

#[tokio::test]
async fn nothing_outside_of_the_directory_and_nothing_hidden_is_found() {
    let folder = context();
    let server = serve(&folder).await;
    for path in [
        "/missing",
        "/a.txt/",
        "/a.txt/x",
        "/out",
        "/out-absolute",
        "/up/secret",
        "/up",
        "/../secret",
        "/%2e%2e/secret",
        "/sub/..%2f..%2fsecret",
        "/sub/%2e%2e/%2e%2e/secret",
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/sub/../.env",
        "/a.txt%00",
        "/%ff",
        "/..%5csecret",
        "/.well-known/.x",
    ] {
        let (answer, _) = ask(&server, Method::GET, path, &[]).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        let (answer, _) = ask(&server, Method::HEAD, path, &[]).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    // A folder without an index is not listed.
    let (answer, _) = ask(&server, Method::GET, "/.well-known/", &[]).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let error = Files::new(folder.path().join("none"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("none") && error.contains("name a directory"),
        "{error}"
    );
}

#[tokio::test]
async fn redirects_and_fixed_answers_need_no_guest() {
    let mut moved = route(
        "/old/...",
        Arc::new(Redirect::new("/new/{rest}{query}", 308).unwrap()),
    );
    moved.strip_prefix = true;
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "text/plain".parse().unwrap());
    let fixed = Fixed {
        status: StatusCode::GONE,
        headers,
        body: "gone".into(),
    };
    let server = start_with(params(), [moved, route("/gone", Arc::new(fixed))]).await;
    let (answer, headers) = ask(&server, Method::GET, "/old//a/b?c", &[]).await;
    assert_eq!(answer.status(), StatusCode::PERMANENT_REDIRECT);
    assert_eq!(headers["location"], "/new/a/b?c");
    let (answer, headers) = ask(&server, Method::GET, "/gone", &[]).await;
    assert_eq!(answer.status(), StatusCode::GONE);
    assert_eq!(headers["content-type"], "text/plain");
    assert_eq!(text(answer).await, "gone");
    let (answer, headers) = ask(&server, Method::HEAD, "/gone", &[]).await;
    assert_eq!(headers["content-length"], "4");
    assert_eq!(text(answer).await, "");
}
