use futures::StreamExt;
use http::Method;
use http_body::Body as _;

use super::*;
use crate::{Compat, ResponseMode};

/// Prints a head and `first`, waits 20 ms by `poll_oneoff`, prints `second`.
const PAUSING: &str = r#"
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 1024) "content-type: t\0a\0afirst")
    (data (i32.const 1050) "second")
    (func $print (param $at i32) (param $length i32)
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (local.get $length))
        (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
    (func (export "_start")
        (call $print (i32.const 1024) (i32.const 22))
        ;; A subscription of 48 bytes at 64: the monotonic clock, 20 ms from now.
        (i32.store (i32.const 80) (i32.const 1))
        (i64.store (i32.const 88) (i64.const 20000000))
        (if (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 8)) (then unreachable))
        (call $print (i32.const 1050) (i32.const 6)))"#;

#[tokio::test]
async fn what_is_printed_is_sent_when_the_module_waits() {
    let module = engine().load(&format!("(module {PAUSING})"));
    let response = module.handle(get("http://localhost/"), scope(None)).await;
    let mut body = response.unwrap().into_body().into_data_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "first");
    assert_eq!(body.next().await.unwrap().unwrap(), "second");
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn a_buffered_response_is_sent_whole() {
    let settings = WagiSettings {
        response: ResponseMode::Buffer,
        ..settings()
    };
    let module = engine().load_with(&format!("(module {PAUSING})"), settings);
    let response = module.handle(get("http://localhost/"), scope(None)).await;
    let body = response.unwrap().into_body();
    assert_eq!(body.size_hint().exact(), Some(11));
}

#[tokio::test]
async fn a_short_response_is_sent_whole_in_either_mode() {
    let engine = engine();
    for response in [ResponseMode::Buffer, ResponseMode::Stream] {
        let settings = WagiSettings {
            response,
            ..settings()
        };
        let module = engine.load_with(&printing(&format!("{HEAD}body"), ""), settings);
        let response = module.handle(get("http://localhost/"), scope(None)).await;
        assert_eq!(response.unwrap().into_body().size_hint().exact(), Some(4));
    }
}

#[tokio::test]
async fn streaming_is_the_default_but_in_strict_mode() {
    for (compat, response) in [
        (Compat::Default, ResponseMode::Stream),
        (Compat::V0_2, ResponseMode::Stream),
        (Compat::Strict, ResponseMode::Buffer),
    ] {
        assert_eq!(compat.response(), response);
    }
    assert_eq!(settings().response, ResponseMode::Stream);
}

#[tokio::test]
async fn without_a_body_on_the_wire_a_module_runs_to_its_end_all_the_same() {
    let engine = engine();
    for response in [ResponseMode::Buffer, ResponseMode::Stream] {
        let settings = WagiSettings {
            response,
            ..settings()
        };
        let request = |method: Method| {
            Request::builder()
                .method(method)
                .uri("http://localhost/")
                .body(empty())
                .unwrap()
        };
        // The wait makes it send the head before its end.
        let pausing = format!("(module {PAUSING})");
        let module = engine.load_with(&pausing, settings.clone());
        let head = send(&module, request(Method::HEAD)).await.unwrap();
        assert_eq!(head.headers()["content-length"], "11");
        assert!(head.body().is_empty());

        let failing = pausing.replace(
            "(i32.const 1050) (i32.const 6)))",
            "(i32.const 1050) (i32.const 6)) unreachable)",
        );
        let module = engine.load_with(&failing, settings.clone());
        let fault = send(&module, request(Method::HEAD)).await.unwrap_err();
        assert_eq!(fault.kind(), "trap");

        let declared = printing("content-type: t\ncontent-length: 77\n\n", "");
        let module = engine.load_with(&declared, settings.clone());
        let head = send(&module, request(Method::HEAD)).await.unwrap();
        assert_eq!(head.headers()["content-length"], "77");
        let get = send(&module, request(Method::GET)).await.unwrap();
        assert!(!get.headers().contains_key("content-length"));

        let nothing = engine.load_with(&printing("status: 204\n\nbody", ""), settings);
        let response = send(&nothing, request(Method::GET)).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.body().len()),
            (204, 0)
        );
    }
}

/// Copies its stdin to its stdout, 4 KiB at a time.
const ECHO: &str = r#"
    (data (i32.const 1024) "content-type: t\0a\0a")
    (func (export "_start")
        (call $print (i32.const 1024) (i32.const 17))
        (block $end (loop $more
            (i32.store (i32.const 16) (i32.const 65536)) (i32.store (i32.const 20) (i32.const 4096))
            (if (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24))
                (then unreachable))
            (br_if $end (i32.eqz (i32.load (i32.const 24))))
            (call $print (i32.const 65536) (i32.load (i32.const 24)))
            (br $more))))"#;

#[tokio::test]
async fn a_request_streams_in_while_its_response_streams_out() {
    let module = engine().load(&format!("(module {} {ECHO})", imports(PREVIEW1)));
    let (mut sender, channel) =
        http_body_util::channel::Channel::<Bytes, headwater_core::BodyError>::new(1);
    let request = Request::post("http://localhost/")
        .header("content-length", 3 * 4096)
        .body(channel.boxed_unsync())
        .unwrap();
    let handling = module.handle(request, scope(None));
    let block = |byte: u8| Bytes::from(vec![byte; 4096]);
    let (sent, response) = futures::join!(sender.send_data(block(0)), handling);
    sent.unwrap();
    let mut body = response.unwrap().into_body().into_data_stream();
    // Each block comes back before the next one is sent: nothing is buffered either way.
    for byte in 0..3 {
        assert_eq!(body.next().await.unwrap().unwrap(), block(byte));
        if byte < 2 {
            let (sent, ()) = futures::join!(sender.send_data(block(byte + 1)), async {});
            sent.unwrap();
        }
    }
    drop(sender);
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_module() {
    let engine = engine();
    let endless = printing(
        HEAD,
        "(loop $more (call $print (i32.const 1024) (i32.const 9999)) (br $more))",
    );
    let module = engine.load(&endless);
    // One request more than there are places: it fails if an instance stays alive.
    for _ in 0..=INSTANCES {
        let response = module.handle(get("http://localhost/"), scope(None)).await;
        drop(response.unwrap());
    }
    assert_eq!(body_of(&engine.load(&printing(HEAD, ""))).await, "");
}

#[tokio::test]
async fn large_output_passes_unchanged_whatever_the_pieces() {
    let engine = engine();
    // 3 pieces of unequal length, 100 times: 100 * (60000 + 1 + 4096) bytes.
    let wat = printing(
        HEAD,
        "(loop $more
            (call $print (i32.const 65536) (i32.const 60000))
            (call $print (i32.const 65536) (i32.const 1))
            (call $print (i32.const 65536) (i32.const 4096))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if $more (local.get $left)))",
    )
    .replacen(
        "(func (export \"_start\")",
        "(data (i32.const 65536) \"abcdefghij\") (func (export \"_start\") (local $left i32) (local.set $left (i32.const 100))",
        1,
    );
    let mut piece = b"abcdefghij".to_vec();
    piece.resize(60_000, 0);
    let expected = [&piece[..], &piece[..1], &piece[..4096]]
        .concat()
        .repeat(100);
    for response in [ResponseMode::Buffer, ResponseMode::Stream] {
        let settings = WagiSettings {
            response,
            ..settings()
        };
        let answer = send(&engine.load_with(&wat, settings), get("http://localhost/"))
            .await
            .unwrap();
        assert!(answer.body() == &expected, "{} bytes", answer.body().len());
    }
}
