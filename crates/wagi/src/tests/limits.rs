use headwater_core::Blame;

use super::*;

const SPIN: &str = "(loop $forever (br $forever))";

/// Runs on the only thread of this test's runtime: a guest that blocked it would block everything.
#[tokio::test]
async fn a_spinning_module_holds_up_nobody() {
    let engine = engine();
    let spinning = engine.load(&program("", SPIN));
    let quick = engine.load(&printing(&format!("{HEAD}ok"), ""));
    let spin = tokio::spawn(spinning.handle(get("http://localhost/"), scope(None)));
    // The quick module answers again and again, and timers fire, while the other one spins.
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(body_of(&quick).await, "ok");
    }
    assert!(!spin.is_finished());
    spin.abort();
}

/// A module whose large buffer has random bytes at its end, and at the end of its first 64 KiB.
#[tokio::test]
async fn random_bytes_fill_all_of_a_large_buffer_and_hold_up_nobody() {
    let program = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "random_get"
                (func $random_get (param i32 i32) (result i32)))
            {imports}
            (data (i32.const 1024) "{}ok")
            (func (export "_start")
                (drop (memory.grow (i32.const 4)))
                (if (call $random_get (i32.const 2048) (i32.const 200000)) (then unreachable))
                (if (i64.eqz (i64.load (i32.const 202040))) (then unreachable))
                (if (i64.eqz (i64.load (i32.const 67580))) (then unreachable))
                (call $print (i32.const 1024) (i32.const {}))))"#,
        HEAD.escape_default(),
        HEAD.len() + 2,
        imports = imports(PREVIEW1),
    );
    let module = engine().load(&program);
    let mut answer = module.handle(get("http://localhost/"), scope(None));
    assert!(futures::poll!(&mut answer).is_pending(), "made in one go");
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
}

#[tokio::test]
async fn a_spinning_module_ends_at_its_deadline() {
    let spinning = engine().load(&program("", SPIN));
    let scope = scope(Some(Duration::from_millis(20)));
    let spin = spinning.handle(get("http://localhost/"), scope);
    let fault = spin.await.unwrap_err();
    assert_eq!((fault.status().as_u16(), fault.kind()), (504, "deadline"));
}

#[tokio::test]
async fn a_module_that_waits_ends_at_its_deadline() {
    let waiting = engine().load(&program(
        "",
        "(i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 1))
        (drop (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 8)))",
    ));
    let never = futures::stream::pending::<Result<_, headwater_core::BodyError>>();
    let request = Request::post("http://localhost/")
        .header("content-length", "1")
        .body(BodyExt::boxed_unsync(http_body_util::StreamBody::new(
            never,
        )))
        .unwrap();
    let scope = scope(Some(Duration::from_millis(20)));
    let fault = waiting.handle(request, scope).await.unwrap_err();
    assert_eq!(fault.kind(), "deadline");
}

#[tokio::test]
async fn a_module_whose_client_is_gone_ends() {
    let engine = engine();
    let spinning = engine.load(&program("", SPIN));
    let quick = engine.load(&printing(&format!("{HEAD}ok"), ""));
    // One request more than there are places: it fails if an instance stays alive.
    for _ in 0..=INSTANCES {
        let mut spin = spinning.handle(get("http://localhost/"), scope(None));
        assert!(futures::poll!(&mut spin).is_pending());
        drop(spin);
    }
    assert_eq!(body_of(&quick).await, "ok");
}

#[tokio::test]
async fn too_many_instances_are_overload() {
    let engine = engine();
    let spinning = engine.load(&program("", SPIN));
    let mut running = Vec::new();
    for _ in 0..INSTANCES {
        let mut spin = spinning.handle(get("http://localhost/"), scope(None));
        assert!(futures::poll!(&mut spin).is_pending());
        running.push(spin);
    }
    let fault = fault_of(&spinning).await;
    assert_eq!(
        (fault.status().as_u16(), fault.blame()),
        (503, Blame::Overload)
    );
    assert!(fault.retry_after().is_some());
    assert!(fault.cause().unwrap().contains("--places"));

    // It is not a timeout either if the deadline passes while the request waits.
    let scope = scope(Some(Duration::from_millis(20)));
    let fault = spinning.handle(get("http://localhost/"), scope).await;
    assert_eq!(fault.unwrap_err().kind(), "instance_limit");
}

#[tokio::test]
async fn memory_beyond_the_bound_is_refused() {
    let engine = engine();
    let mut settings = settings();
    settings.limits.guest_memory = 4 << 16;
    // The module has two pages. One more fits, but not two more after it.
    let grow = |then: &str| {
        program(
            &format!(r#"(data (i32.const 1024) "{}")"#, HEAD.escape_default()),
            &format!(
                "(if (i32.ne (memory.grow (i32.const 1)) (i32.const 2)) (then unreachable))
                (if (i32.ne (memory.grow (i32.const 2)) (i32.const -1)) (then {then}))
                (call $print (i32.const 1024) (i32.const 26))"
            ),
        )
    };
    let module = engine.load_with(&grow("unreachable"), settings.clone());
    assert_eq!(body_of(&module).await, "");

    let allocating = program(
        "",
        "(if (i32.eq (memory.grow (i32.const 9)) (i32.const -1)) (then unreachable))",
    );
    let fault = fault_of(&engine.load_with(&allocating, settings)).await;
    let cause = fault.cause().unwrap();
    assert!(cause.contains("`memory`: 262144 bytes"), "{cause}");
}

#[tokio::test]
async fn a_response_beyond_the_bound_ends_the_module() {
    let engine = engine();
    let mut settings = settings();
    settings.limits.buffered_response = 100_000;
    settings.response = crate::ResponseMode::Buffer;
    let endless = printing(
        HEAD,
        "(loop $more (call $print (i32.const 1024) (i32.const 9999)) (br $more))",
    );
    let fault = fault_of(&engine.load_with(&endless, settings.clone())).await;
    assert_eq!(
        (fault.status().as_u16(), fault.kind()),
        (500, "bad_response")
    );
    let cause = fault.cause().unwrap();
    assert!(
        cause.contains("100000 bytes") && cause.contains("`buffered_response`"),
        "{cause}"
    );

    // Exactly the limit is allowed.
    let exact = printing(HEAD, "(call $print (i32.const 1024) (i32.const 99974))");
    let response = send(
        &engine.load_with(&exact, settings),
        get("http://localhost/"),
    )
    .await;
    assert_eq!(response.unwrap().body().len(), 99_974);
}
