//! The access log's lines about requests, whichever way they came and ended.

use std::path::Path;
use std::sync::Arc;

use headwater_core::{Caller, Fault, InternalService, LoopGuard, empty};
use headwater_telemetry::{
    AccessConfig, AccessFormat, AccessLog, AccessOutput, FileConfig, Metrics,
};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tempfile::TempDir;

use crate::testing::{answer_with, each, get, get_h2, h1, h2, params, raw, route, start_front};
use crate::{FrontParams, InternalFront};

pub(super) fn log(folder: &TempDir, format: AccessFormat) -> (AccessLog, std::path::PathBuf) {
    let path = folder.path().join("access.log");
    let config = AccessConfig {
        format,
        to: AccessOutput::File(FileConfig::at(&path)),
        ..AccessConfig::default()
    };
    (AccessLog::start(&config).unwrap(), path)
}

/// Waits until the log has this many lines, and returns them.
pub(super) async fn lines(path: &Path, count: usize) -> Vec<String> {
    let mut look = tokio::time::interval(std::time::Duration::from_millis(1));
    loop {
        let text = std::fs::read_to_string(path).unwrap();
        if text.lines().count() >= count {
            assert!(text.ends_with('\n'), "{text}");
            return text.lines().map(str::to_owned).collect();
        }
        look.tick().await;
    }
}

#[tokio::test]
async fn each_request_has_a_line_under_the_id_that_its_answer_has() {
    let folder = TempDir::new().unwrap();
    let (access, path) = log(&folder, AccessFormat::Json);
    let front = FrontParams {
        access,
        ..FrontParams::default()
    };
    let trap = each(|_, _| async { Err(Fault::trap()) });
    let routes = [route("/ok", answer_with("ok")), route("/trap", trap)];
    let server = start_front(params(), front, routes).await;

    let mut ids = Vec::new();
    let mut client = h1(server.address).await;
    for target in ["/ok?q=secret", "/nowhere", "/trap"] {
        let answer = client.send_request(get(target)).await.unwrap();
        ids.push(
            answer.headers()["x-request-id"]
                .to_str()
                .unwrap()
                .to_owned(),
        );
        answer.into_body().collect().await.unwrap();
    }
    let mut client = h2(server.address).await;
    let answer = client.send_request(get_h2("/ok")).await.unwrap();
    ids.push(
        answer.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned(),
    );
    answer.into_body().collect().await.unwrap();

    let lines = lines(&path, 4).await;
    assert_eq!(lines.len(), 4, "{lines:?}");
    let expected = [
        [
            "\"path\":\"/ok\"",
            "\"protocol\":\"HTTP/1.1\"",
            "\"status\":200,",
            "\"response_bytes\":2,",
        ],
        [
            "\"path\":\"/nowhere\"",
            "\"status\":404,",
            "\"fault\":\"not_found\"",
            "\"host\":\"x.example\"",
        ],
        [
            "\"path\":\"/trap\"",
            "\"status\":500,",
            "\"fault\":\"trap\"",
            "\"service\":\"test\"",
        ],
        [
            "\"path\":\"/ok\"",
            "\"protocol\":\"HTTP/2.0\"",
            "\"client_address\":\"127.0.0.1\"",
            "\"route\":\"/ok\"",
        ],
    ];
    for ((id, parts), line) in ids.iter().zip(expected).zip(&lines) {
        assert!(line.contains(&format!("\"request_id\":\"{id}\"")), "{line}");
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(!line.contains("secret"), "{line}");
    }
}

#[tokio::test]
async fn the_host_that_was_asked_for_has_its_port_and_what_is_none_leaves_the_path() {
    let folder = TempDir::new().unwrap();
    let (access, path) = log(&folder, AccessFormat::Json);
    let front = FrontParams {
        access,
        ..FrontParams::default()
    };
    let mut named = route("/...", answer_with("ok"));
    named.hosts = vec!["a.example".parse().unwrap()];
    let server = start_front(params(), front, [named]).await;
    for host in ["b.example:8443", "b example"] {
        let request = format!("GET /p HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        raw(server.address, request.as_bytes()).await;
    }
    let lines = lines(&path, 2).await;
    for (line, parts) in lines.iter().zip([
        [
            "\"host\":\"b.example:8443\"",
            "\"path\":\"/p\"",
            "\"status\":421",
            "\"fault\":\"unknown_host\"",
        ],
        [
            "",
            "\"path\":\"/p\"",
            "\"status\":400",
            "\"fault\":\"bad_host\"",
        ],
    ]) {
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    assert!(!lines[1].contains("\"host\""), "{lines:?}");
}

#[tokio::test]
async fn a_client_that_goes_away_has_a_line_too() {
    let folder = TempDir::new().unwrap();
    let (access, path) = log(&folder, AccessFormat::Combined);
    let front = FrontParams {
        access,
        ..FrontParams::default()
    };
    let (seen, mut sees) = tokio::sync::mpsc::unbounded_channel();
    let never = each(move |_, _| {
        seen.send(()).unwrap();
        std::future::pending()
    });
    let server = start_front(params(), front, [route("/never", never)]).await;
    let mut client = h1(server.address).await;
    let request = tokio::spawn(async move { client.send_request(get("/never")).await.is_ok() });
    sees.recv().await.unwrap();
    request.abort();
    let lines = lines(&path, 1).await;
    assert!(
        lines[0].contains("\"GET /never HTTP/1.1\" 499 - "),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_request_of_another_service_has_a_line_that_names_it() {
    let folder = TempDir::new().unwrap();
    let (access, path) = log(&folder, AccessFormat::Json);
    let route = route("/...", answer_with("ok"));
    let front = InternalFront::new(route, Metrics::default(), LoopGuard::default());
    let front = Arc::new(front.with_access(access));
    let caller = Caller {
        service: "caller".into(),
        scope: None,
    };
    let request = Request::get("http://test.internal/p")
        .body(empty())
        .unwrap();
    let answer = front.call(request, caller).await;
    assert_eq!(answer.status(), StatusCode::OK);
    drop(answer);
    let lines = lines(&path, 1).await;
    assert!(
        lines[0].contains("\"caller_service\":\"caller\""),
        "{lines:?}"
    );
}
