use headwater_core::Blame;

use super::*;

#[tokio::test]
async fn exit_codes() {
    let engine = engine();
    let text = format!("{HEAD}done");
    for (then, expected) in [
        ("", Ok("done")),
        ("(call $proc_exit (i32.const 0)) unreachable", Ok("done")),
        ("(call $proc_exit (i32.const 1))", Err("exited with code 1")),
        (
            "(call $proc_exit (i32.const 77))",
            Err("exited with code 77"),
        ),
        ("unreachable", Err("unreachable")),
        ("(drop (i32.load (i32.const -4)))", Err("out of bounds")),
        (
            "(drop (i32.div_s (i32.const 1) (i32.const 0)))",
            Err("divide by zero"),
        ),
    ] {
        let module = engine.load(&printing(&text, then));
        match (send(&module, get("http://localhost/")).await, expected) {
            (Ok(response), Ok(body)) => assert_eq!(response.body(), body, "{then}"),
            (Err(fault), Err(cause)) => {
                // The earlier output is discarded.
                assert_eq!(
                    (fault.status().as_u16(), fault.kind()),
                    (500, "trap"),
                    "{then}"
                );
                assert_eq!(fault.blame(), Blame::Guest, "{then}");
                let told = fault.cause().unwrap();
                assert!(told.contains(cause), "{then}: {told}");
                assert!(!told.contains('\n'), "{then}: {told}");
            }
            (result, _) => panic!("{then}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn a_trap_harms_no_other_request() {
    let engine = engine();
    let bad = engine.load(&printing(HEAD, "unreachable"));
    let good = engine.load(&printing(&format!("{HEAD}ok"), ""));
    for _ in 0..INSTANCES + 1 {
        let (fault, body) = futures::join!(fault_of(&bad), body_of(&good));
        assert_eq!(fault.kind(), "trap");
        assert_eq!(body, "ok");
    }
}

#[tokio::test]
async fn output_that_is_no_response_is_told_with_its_beginning() {
    let engine = engine();
    for (text, cause) in [
        ("", "the module printed nothing"),
        (
            "hello\u{1b}[2J",
            "of 9 bytes printed, the first are \"hello\\x1b[2J\"",
        ),
    ] {
        let fault = fault_of(&engine.load(&printing(text, ""))).await;
        assert_eq!(
            (fault.status().as_u16(), fault.kind()),
            (500, "bad_response")
        );
        assert_eq!(
            fault.summary(),
            "the module's output has no content-type, status or location header"
        );
        assert_eq!(fault.cause().as_deref(), Some(cause));
    }
}

#[tokio::test]
async fn the_response_is_what_is_printed() {
    let text = "Status: 301 Moved\r\nLocation: /there\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
        X-Bell: a\x07b\r\nContent-Type: text/plain\r\n\r\nOh hi world\r\n";
    let module = engine().load(&printing(text, ""));
    let response = send(&module, get("http://localhost/")).await.unwrap();
    assert_eq!(response.status(), 301);
    assert_eq!(response.headers()["location"], "/there");
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert!(!response.headers().contains_key("x-bell"));
    assert_eq!(response.body(), "Oh hi world\r\n");
}

/// Prints its environment and its arguments, one a line.
const ENVIRONMENT: &str = r#"
    (data (i32.const 1024) "content-type: t\n\n")
    (func $lines (param $from i32) (param $length i32)
        (local $at i32)
        (local.set $at (local.get $from))
        (block $end (loop $next
            (br_if $end (i32.ge_u (local.get $at) (i32.add (local.get $from) (local.get $length))))
            (if (i32.eqz (i32.load8_u (local.get $at)))
                (then (i32.store8 (local.get $at) (i32.const 10))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $next)))
        (call $print (local.get $from) (local.get $length)))
    (func (export "_start")
        (call $print (i32.const 1024) (i32.const 17))
        (drop (call $args_sizes_get (i32.const 16) (i32.const 20)))
        (drop (call $args_get (i32.const 4096) (i32.const 8192)))
        (call $lines (i32.const 8192) (i32.load (i32.const 20)))
        (drop (call $environ_sizes_get (i32.const 16) (i32.const 20)))
        (drop (call $environ_get (i32.const 4096) (i32.const 8192)))
        (call $lines (i32.const 8192) (i32.load (i32.const 20))))
"#;

#[tokio::test]
async fn the_module_is_told_of_the_request_and_of_nothing_else() {
    let engine = engine();
    for wasi in [PREVIEW1, "wasi_unstable"] {
        let mut settings = settings();
        settings.environment = vec![("GREETING".to_owned(), "hi".to_owned())];
        let wat = format!("(module {} {ENVIRONMENT})", imports(wasi));
        let module = engine.load_with(&wat, settings);
        let request = Request::get("http://example.com/a%20b?x=1&y")
            .header("accept", "*/*")
            .body(empty())
            .unwrap();
        let body = send(&module, request).await.unwrap().into_body();
        let expected = "/a%20b\nx=1\ny\n\
            AUTH_TYPE=\nCONTENT_LENGTH=0\nCONTENT_TYPE=\nGATEWAY_INTERFACE=CGI/1.1\nGREETING=hi\n\
            HTTP_ACCEPT=*/*\nPATH_INFO=/a b\nPATH_TRANSLATED=/a b\nQUERY_STRING=x=1&y\n\
            REMOTE_ADDR=127.0.0.1\nREMOTE_HOST=127.0.0.1\nREMOTE_PORT=4000\nREMOTE_USER=\n\
            REQUEST_METHOD=GET\nREQUEST_SCHEME=http\nREQUEST_URI=/a%20b?x=1&y\nSCRIPT_NAME=/\nSERVER_NAME=example.com\nSERVER_PORT=80\nSERVER_PROTOCOL=HTTP/1.1\n\
            SERVER_SOFTWARE=WAGI/1\nX_FULL_URL=http://example.com:80/a%20b?x=1&y\n\
            X_MATCHED_ROUTE=/...\nX_RAW_PATH_INFO=/a%20b\n";
        assert_eq!(std::str::from_utf8(&body).unwrap(), expected, "{wasi}");
    }
}

#[tokio::test]
async fn every_request_has_an_instance_of_its_own() {
    let module = engine().load(&program(
        &format!(
            r#"(data (i32.const 1024) "{}0") (global $seen (mut i32) (i32.const 0))"#,
            HEAD.escape_default()
        ),
        r#"
        (global.set $seen (i32.add (global.get $seen) (i32.const 1)))
        (i32.store8 (i32.const 1050) (i32.add (i32.load8_u (i32.const 1050)) (global.get $seen)))
        (call $print (i32.const 1024) (i32.const 27))"#,
    ));
    for _ in 0..3 {
        assert_eq!(body_of(&module).await, "1");
    }
}

#[tokio::test]
async fn another_entrypoint_runs_without_start() {
    let wat = format!(
        r#"(module {} (data (i32.const 1024) "{}")
            (func (export "_start") unreachable)
            (func (export "handle") (call $print (i32.const 1024) (i32.const 26))))"#,
        imports(PREVIEW1),
        HEAD.escape_default()
    );
    let mut settings = settings();
    settings.entrypoint = "handle".to_owned();
    assert_eq!(body_of(&engine().load_with(&wat, settings)).await, "");
}
