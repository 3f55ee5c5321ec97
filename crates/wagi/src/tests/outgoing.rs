//! Tests `wasi_experimental_http` with modules written for it. A module consists of calls and their
//! expected results: any other result is a trap.

use std::net::SocketAddr;
use std::sync::Mutex;

use headwater_egress::{Egress, EgressParams, Grants};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A server that answers by path and records its requests.
#[derive(Clone)]
struct Upstream {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    /// Starts a server; `answer` returns the whole response to the request's target.
    async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
        };
        let (asked, answer) = (upstream.asked.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, answer) = (asked.clone(), answer.clone());
                tokio::spawn(async move { serve(stream, &asked, &*answer).await });
            }
        });
        upstream
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Answers one request after another, each of which is a head and as much body as it announces.
async fn serve(
    mut stream: TcpStream,
    asked: &Mutex<Vec<String>>,
    answer: &(dyn Fn(&str) -> String + Sync),
) {
    let mut read = Vec::new();
    loop {
        let head = loop {
            if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let mut more = [0; 4096];
            match stream.read(&mut more).await {
                Ok(length) if length > 0 => read.extend_from_slice(&more[..length]),
                _ => return,
            }
        };
        let text = String::from_utf8(read[..head].to_vec()).unwrap();
        let length = text
            .to_ascii_lowercase()
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| {
                rest.split("\r\n").next().unwrap().parse().unwrap()
            });
        while read.len() < head + length {
            let mut more = [0; 4096];
            let length = stream.read(&mut more).await.unwrap();
            read.extend_from_slice(&more[..length]);
        }
        let whole = String::from_utf8(read.drain(..head + length).collect()).unwrap();
        let target = whole.split(' ').nth(1).unwrap().to_owned();
        asked.lock().unwrap().push(whole);
        let answer = answer(&target);
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-a: 1\r\nx-a: 2\r\n\r\n{body}",
        body.len()
    )
}

fn to(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
}

/// A text at an address in the guest's memory.
struct Text<'a>(u32, &'a str);

/// Returns a module with these calls and the five functions imported.
fn guest(texts: &[Text<'_>], calls: &str) -> String {
    let data: String = texts
        .iter()
        .map(|Text(at, text)| {
            let bytes: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
            format!("(data (i32.const {at}) \"{bytes}\")\n")
        })
        .collect();
    format!(
        r#"(module
        (import "wasi_experimental_http" "req" (func $req
            (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (import "wasi_experimental_http" "close" (func $close (param i32) (result i32)))
        (import "wasi_experimental_http" "body_read" (func $body_read
            (param i32 i32 i32 i32) (result i32)))
        (import "wasi_experimental_http" "header_get" (func $header_get
            (param i32 i32 i32 i32 i32 i32) (result i32)))
        (import "wasi_experimental_http" "headers_get_all" (func $headers_get_all
            (param i32 i32 i32 i32) (result i32)))
        {imports}
        (data (i32.const 512) "content-type: t\0a\0a")
        {data}
        (func $is (param $found i32) (param $expected i32)
            (if (i32.ne (local.get $found) (local.get $expected)) (then unreachable)))
        (func $answer (param $at i32) (param $length i32)
            (call $print (i32.const 512) (i32.const 17))
            (call $print (local.get $at) (local.get $length)))
        (func (export "_start") {calls}))"#,
        imports = imports(PREVIEW1),
    )
}

/// Returns a call of `req` with a URL at 1024, a method at 2048, headers at 3072, a body at 4096;
/// the status goes to 100, the handle to 104.
fn req([url, method, headers, body]: [&str; 4], code: i32) -> String {
    format!(
        "(call $is (call $req (i32.const 1024) (i32.const {}) (i32.const 2048) (i32.const {})
            (i32.const 3072) (i32.const {}) (i32.const 4096) (i32.const {})
            (i32.const 100) (i32.const 104)) (i32.const {code}))",
        url.len(),
        method.len(),
        headers.len(),
        body.len()
    )
}

fn texts<'a>([url, method, headers, body]: [&'a str; 4]) -> [Text<'a>; 4] {
    [
        Text(1024, url),
        Text(2048, method),
        Text(3072, headers),
        Text(4096, body),
    ]
}

fn egress(grants: &[String]) -> Option<Egress> {
    Some(Egress::new(EgressParams {
        grants: Grants::parse(grants).unwrap(),
        ..EgressParams::new("guest")
    }))
}

fn load(engine: &Loading, wat: &str, egress: Option<Egress>) -> WagiModule {
    load_with(engine, wat, egress, settings())
}

fn load_with(
    engine: &Loading,
    wat: &str,
    egress: Option<Egress>,
    settings: WagiSettings,
) -> WagiModule {
    WagiModule::load_with_egress(&engine.engine, wat.as_bytes(), settings, egress).unwrap()
}

#[tokio::test]
async fn a_request_is_sent_and_its_answer_read_by_its_handle() {
    let upstream = Upstream::start(|_| ok("0123456789")).await;
    let wanted = [
        &upstream.url("/path?x=1"),
        "POST",
        "x-test:yes\ncontent-type:text/plain\n",
        "four",
    ];
    let calls = format!(
        r#"{req}
        (call $is (i32.load16_u (i32.const 100)) (i32.const 200))
        (call $is (i32.load (i32.const 104)) (i32.const 0))
        ;; A header by any spelling of its name; the first of two; too small a room; none.
        (call $is (call $header_get (i32.const 0) (i32.const 5120) (i32.const 3) (i32.const 6000)
            (i32.const 1) (i32.const 108)) (i32.const 0))
        (call $is (i32.load (i32.const 108)) (i32.const 1))
        (call $is (i32.load8_u (i32.const 6000)) (i32.const 49))
        (call $is (call $header_get (i32.const 0) (i32.const 5120) (i32.const 3) (i32.const 6000)
            (i32.const 0) (i32.const 108)) (i32.const 4))
        (call $is (call $header_get (i32.const 0) (i32.const 5120) (i32.const 2) (i32.const 6000)
            (i32.const 9) (i32.const 108)) (i32.const 5))
        ;; All headers, into room for them and into none.
        (call $is (call $headers_get_all (i32.const 0) (i32.const 7000) (i32.const 1000)
            (i32.const 108)) (i32.const 0))
        (call $is (i32.load (i32.const 108)) (i32.const 30))
        (call $is (call $headers_get_all (i32.const 0) (i32.const 7000) (i32.const 3)
            (i32.const 108)) (i32.const 4))
        ;; The body, in pieces of 6, until there is no more.
        (call $is (call $body_read (i32.const 0) (i32.const 6000) (i32.const 6) (i32.const 108))
            (i32.const 0))
        (call $is (i32.load (i32.const 108)) (i32.const 6))
        (call $is (call $body_read (i32.const 0) (i32.const 6006) (i32.const 6) (i32.const 108))
            (i32.const 0))
        (call $is (i32.load (i32.const 108)) (i32.const 4))
        (call $is (call $body_read (i32.const 0) (i32.const 6010) (i32.const 6) (i32.const 108))
            (i32.const 0))
        (call $is (i32.load (i32.const 108)) (i32.const 0))
        ;; Closed it is no more; the next has its number.
        (call $is (call $close (i32.const 0)) (i32.const 0))
        (call $is (call $body_read (i32.const 0) (i32.const 6010) (i32.const 6) (i32.const 108))
            (i32.const 1))
        {req}
        (call $is (i32.load (i32.const 104)) (i32.const 0))
        (call $answer (i32.const 6000) (i32.const 10))"#,
        req = req(wanted, 0),
    );
    let [a, b, c, d] = texts(wanted);
    let wat = guest(&[a, b, c, d, Text(5120, "X-A")], &calls);
    let module = load(&engine(), &wat, egress(&[upstream.url("")]));
    let scope = scope(None);
    let response = module
        .handle(get("http://localhost/"), scope.clone())
        .await
        .unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "0123456789");
    let outgoing = headwater_core::Counters::get(&scope.counters().outgoing);
    assert_eq!(outgoing, 2, "both are the request's");

    let asked = upstream.asked();
    assert!(
        asked[0].starts_with("POST /path?x=1 HTTP/1.1\r\n"),
        "{}",
        asked[0]
    );
    assert!(asked[0].contains("x-test: yes\r\n"), "{}", asked[0]);
    assert!(asked[0].ends_with("\r\n\r\nfour"), "{}", asked[0]);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_a_code() {
    let upstream = Upstream::start(|_| ok("")).await;
    let url = upstream.url("/");
    let engine = engine();
    let granted = [upstream.url("")];
    for (wanted, code) in [
        ([url.as_str(), "GET", "", ""], 0),
        ([url.as_str(), "BREW", "", ""], 0),
        (["no url", "GET", "", ""], 10),
        (["http://", "GET", "", ""], 10),
        (["http://other.example/", "GET", "", ""], 7),
        ([url.as_str(), "NO METHOD", "", ""], 8),
        ([url.as_str(), "", "", ""], 8),
        ([url.as_str(), "CONNECT", "", ""], 8),
        ([url.as_str(), "GET", "no colon", ""], 9),
        ([url.as_str(), "GET", "a b:1", ""], 9),
        ([url.as_str(), "GET", "a:\u{1}", ""], 9),
        // A wrong length.
        ([url.as_str(), "POST", "content-length:9", "four"], 11),
    ] {
        let calls = format!(
            "{} (call $answer (i32.const 1024) (i32.const 0))",
            req(wanted, code)
        );
        let module = load(&engine, &guest(&texts(wanted), &calls), egress(&granted));
        let answer = send(&module, get("http://localhost/")).await;
        assert!(answer.is_ok(), "{wanted:?} {code}: {answer:?}");
    }
    // A module without a client has no grants.
    let wanted = [url.as_str(), "GET", "", ""];
    let calls = format!(
        "{} (call $answer (i32.const 1024) (i32.const 0))",
        req(wanted, 7)
    );
    let module = load(&engine, &guest(&texts(wanted), &calls), None);
    assert_eq!(body_of(&module).await, "");
}

#[tokio::test]
async fn wild_handles_and_pointers_are_codes() {
    let upstream = Upstream::start(|_| ok("body")).await;
    let url = upstream.url("/");
    let good = [url.as_str(), "GET", "", ""];
    let length = url.len();
    let calls = format!(
        r#"
        ;; No handles.
        (call $is (call $close (i32.const 77)) (i32.const 0))
        (call $is (call $body_read (i32.const -1) (i32.const 0) (i32.const 1) (i32.const 8)) (i32.const 1))
        (call $is (call $header_get (i32.const 9) (i32.const 0) (i32.const 1) (i32.const 0)
            (i32.const 1) (i32.const 8)) (i32.const 1))
        (call $is (call $headers_get_all (i32.const 9) (i32.const 0) (i32.const 1) (i32.const 8))
            (i32.const 1))
        ;; A URL, a method, headers and a body that are not in the memory.
        (call $is (call $req (i32.const -1) (i32.const 9) (i32.const 2048) (i32.const 3) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 104)) (i32.const 4))
        (call $is (call $req (i32.const 1024) (i32.const {length}) (i32.const 0) (i32.const -1)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 104))
            (i32.const 4))
        (call $is (call $req (i32.const 1024) (i32.const {length}) (i32.const 2048) (i32.const 3)
            (i32.const 131071) (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 100)
            (i32.const 104)) (i32.const 4))
        ;; A URL that is no UTF-8.
        (call $is (call $req (i32.const 5000) (i32.const 2) (i32.const 2048) (i32.const 3) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 104)) (i32.const 6))
        ;; Nowhere to write the status to.
        (call $is (call $req (i32.const 1024) (i32.const {length}) (i32.const 2048) (i32.const 3)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 131071)
            (i32.const 104)) (i32.const 3))
        {req}
        (call $is (call $body_read (i32.const 0) (i32.const 131070) (i32.const 9) (i32.const 8))
            (i32.const 3))
        (call $is (call $body_read (i32.const 0) (i32.const 6000) (i32.const 4) (i32.const -2))
            (i32.const 3))
        (call $is (call $header_get (i32.const 0) (i32.const 131071) (i32.const 9) (i32.const 0)
            (i32.const 1) (i32.const 8)) (i32.const 4))
        (call $answer (i32.const 1024) (i32.const 0))"#,
        req = req(good, 0),
    );
    let wat = guest(&texts(good), &calls).replace(
        "(func $is",
        "(data (i32.const 5000) \"\\ff\\fe\") (func $is",
    );
    let module = load(&engine(), &wat, egress(&[upstream.url("")]));
    assert_eq!(body_of(&module).await, "");
}

#[tokio::test]
async fn redirects_are_followed_as_far_as_they_are_granted() {
    let elsewhere = Upstream::start(|_| ok("elsewhere")).await;
    let away = elsewhere.url("/");
    let upstream = Upstream::start(move |target| match target {
        "/away" => to(&away),
        "/loop" => to("/loop"),
        "/unfinished" => to("ftp://a.example/"),
        "/nine" => ok("nine"),
        _ => match target.trim_start_matches('/').len() {
            9 => to("/nine"),
            _ => to(&format!("{target}x")),
        },
    })
    .await;
    let engine = engine();
    let both = [upstream.url(""), elsewhere.url("")];
    for (path, grants, code) in [
        ("/x", &both[..1], 0),
        ("/away", &both[..], 0),
        // A redirect that is not granted; one too many; one that is not HTTP.
        ("/away", &both[..1], 7),
        ("/loop", &both[..1], 11),
        ("/unfinished", &both[..1], 11),
    ] {
        let url = upstream.url(path);
        let wanted = [url.as_str(), "GET", "", ""];
        let calls = format!(
            "{} (call $answer (i32.const 1024) (i32.const 0))",
            req(wanted, code)
        );
        let module = load(&engine, &guest(&texts(wanted), &calls), egress(grants));
        let answer = send(&module, get("http://localhost/")).await;
        assert!(answer.is_ok(), "{path} {code}: {answer:?}");
    }
    assert_eq!(elsewhere.asked().len(), 1, "only where it was granted");
    let loops = upstream.asked();
    let loops = loops.iter().filter(|asked| asked.starts_with("GET /loop"));
    assert_eq!(loops.count(), 11, "ten redirects");
}

#[tokio::test]
async fn open_answers_are_bounded() {
    let upstream = Upstream::start(|_| ok("")).await;
    let url = upstream.url("/");
    let wanted = [url.as_str(), "GET", "", ""];
    let engine = engine();
    let calls = format!(
        "{ok} {ok} {full} (call $is (call $close (i32.const 0)) (i32.const 0)) {ok}
        (call $answer (i32.const 1024) (i32.const 0))",
        ok = req(wanted, 0),
        full = req(wanted, 13),
    );
    let settings = WagiSettings {
        http_max_concurrency: Some(2),
        ..settings()
    };
    let wat = guest(&texts(wanted), &calls);
    let grants = egress(&[upstream.url("")]);
    let module = load_with(&engine, &wat, grants.clone(), settings);
    assert_eq!(body_of(&module).await, "");

    // There is a limit even if none is configured.
    let until_refused = format!(
        "(loop $more (br_if $more (i32.eqz (call $req (i32.const 1024) (i32.const {})
            (i32.const 2048) (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 100) (i32.const 104)))))
        (call $is (i32.load (i32.const 104)) (i32.const 255))
        (call $answer (i32.const 1024) (i32.const 0))",
        url.len()
    );
    let module = load(&engine, &guest(&texts(wanted), &until_refused), grants);
    assert_eq!(body_of(&module).await, "");
}

#[tokio::test]
async fn a_module_that_waits_for_an_answer_holds_up_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let wanted = [url.as_str(), "GET", "", ""];
    let engine = engine();
    let wat = guest(&texts(wanted), &req(wanted, 0));
    let waiting = load(&engine, &wat, egress(std::slice::from_ref(&url)));
    let handling = tokio::spawn(waiting.handle(get("http://localhost/"), scope(None)));
    // The request is sent and gets no answer; others are answered on this one thread.
    let _held = listener.accept().await.unwrap();
    let quick = engine.load(&printing(&format!("{HEAD}ok"), ""));
    assert_eq!(body_of(&quick).await, "ok");
    assert!(!handling.is_finished());
    handling.abort();
}

#[tokio::test]
async fn a_module_from_before_0_3_gets_its_answer_by_its_own_allocator() {
    let upstream = Upstream::start(|_| ok("0123456789")).await;
    let url = upstream.url("/");
    let wat = |url: &str, expected: i32, answer: &str| {
        let data: String = url.bytes().map(|byte| format!("\\{byte:02x}")).collect();
        format!(
            r#"(module
            (import "wasi_experimental_http" "req" (func $req
                (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
            {imports}
            (global $next (mut i32) (i32.const 65536))
            (data (i32.const 512) "content-type: t\0a\0a")
            (data (i32.const 1024) "{data}")
            (data (i32.const 2048) "PUT")
            (data (i32.const 3072) "x-test:yes\0a")
            (data (i32.const 4096) "four")
            (func (export "alloc") (param $size i32) (result i32)
                (global.get $next)
                (global.set $next (i32.add (global.get $next) (local.get $size))))
            (func (export "_start")
                (if (i32.ne (call $req (i32.const 1024) (i32.const {length}) (i32.const 2048)
                        (i32.const 3) (i32.const 4096) (i32.const 4) (i32.const 3072) (i32.const 11)
                        (i32.const 100) (i32.const 104) (i32.const 108) (i32.const 112) (i32.const 116)
                        (i32.const 120) (i32.const 124)) (i32.const {expected}))
                    (then unreachable))
                (call $print (i32.const 512) (i32.const 17))
                {answer}))"#,
            imports = imports(PREVIEW1),
            length = url.len(),
        )
    };
    let engine = engine();
    let body = "(if (i32.ne (i32.load16_u (i32.const 116)) (i32.const 200)) (then unreachable))
        (call $print (i32.load (i32.const 108)) (i32.load (i32.const 112)))
        (call $print (i32.load (i32.const 100)) (i32.load (i32.const 104)))";
    let granted = egress(&[upstream.url("")]);
    let module = load(&engine, &wat(&url, 0, body), granted.clone());
    let text = body_of(&module).await;
    assert!(text.contains("x-a:1\nx-a:2\n"), "{text}");
    assert!(text.ends_with("0123456789"), "{text}");
    let asked = upstream.asked();
    assert!(asked[0].starts_with("PUT / HTTP/1.1"), "{}", asked[0]);
    assert!(
        asked[0].contains("x-test: yes") && asked[0].ends_with("four"),
        "{}",
        asked[0]
    );

    let error = "(call $print (i32.load (i32.const 120)) (i32.load (i32.const 124)))";
    let module = load(&engine, &wat("http://other.example/", 7, error), granted);
    assert_eq!(body_of(&module).await, "destination not allowed");
}
