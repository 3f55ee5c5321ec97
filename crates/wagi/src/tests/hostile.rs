//! Modules that do what no module should, in both modes. Each gets the specified answer.

use futures::StreamExt;

use super::*;
use headwater_runtime::Directory;

use crate::{Compat, ResponseMode};

const MODES: [ResponseMode; 2] = [ResponseMode::Buffer, ResponseMode::Stream];

fn in_mode(mode: ResponseMode) -> WagiSettings {
    WagiSettings {
        response: mode,
        ..settings()
    }
}

/// Prints `text`, and then 64 KiB `times` times (0: without end).
fn much(text: &str, times: u32, then: &str) -> String {
    let data: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    format!(
        r#"(module {imports}
            (data (i32.const 1024) "{data}")
            (func (export "_start") (local $left i32)
                (local.set $left (i32.const {times}))
                (call $print (i32.const 1024) (i32.const {length}))
                (loop $more
                    (call $print (i32.const 65536) (i32.const 65536))
                    (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                    (br_if $more (local.get $left)))
                {then}))"#,
        imports = imports(PREVIEW1),
        length = text.len(),
    )
}

#[tokio::test]
async fn output_that_is_no_response_is_a_500() {
    let engine = engine();
    let long = format!("content-type: t\nx: {}\n\nbody", "a".repeat(1 << 16));
    let long = long.replace("x: ", &format!("x: {}", "b".repeat(1 << 20)));
    for (what, text) in [
        ("nothing", ""),
        ("no blank line", "content-type: t\n"),
        ("binary junk", "\u{1}\u{2}\u{7f}\u{0}\u{1b}[2J"),
        ("no header that makes a response", "x: y\n\nbody"),
        ("a header of a megabyte", &long),
    ] {
        for mode in MODES {
            let module = engine.load_with(&large(text), in_mode(mode));
            let fault = fault_of(&module).await;
            assert_eq!(
                (fault.status().as_u16(), fault.kind()),
                (500, "bad_response"),
                "{what}, {mode:?}"
            );
        }
    }
}

/// As `printing`, for a text beyond what two pages hold.
fn large(text: &str) -> String {
    printing(text, "").replacen(
        "(memory (export \"memory\") 2)",
        "(memory (export \"memory\") 20)",
        1,
    )
}

#[tokio::test]
async fn invalid_utf8_in_a_header_is_a_500_and_in_a_body_is_passed() {
    let engine = engine();
    for mode in MODES {
        let bytes = |at: &str| {
            program(
                &format!("(data (i32.const 1024) \"{at}\")"),
                "(call $print (i32.const 1024) (i32.const 20))",
            )
        };
        let bad = engine.load_with(&bytes(r"content-type: \ff\0a\0abod"), in_mode(mode));
        assert_eq!(fault_of(&bad).await.kind(), "bad_response");
        let good = engine.load_with(&bytes(r"content-type: t\0a\0a\ff\00\0d"), in_mode(mode));
        let response = send(&good, get("http://localhost/")).await.unwrap();
        assert_eq!(response.body().as_ref(), b"\xff\0\r");
    }
}

#[tokio::test]
async fn nuls_in_the_head_are_left_out() {
    for mode in MODES {
        let text = "content-\0type: t\0t\r\n\0\r\n\0body";
        let module = engine().load_with(&printing(text, ""), in_mode(mode));
        let response = send(&module, get("http://localhost/")).await.unwrap();
        assert_eq!(response.headers()["content-type"], "tt");
        assert_eq!(response.body(), "\0body");
    }
}

#[tokio::test]
async fn endless_output_is_bounded_in_memory() {
    let engine = engine();
    let endless = much(HEAD, 0, "");
    let fault = fault_of(&engine.load_with(
        &endless,
        WagiSettings {
            limits: headwater_core::Limits {
                buffered_response: 1 << 20,
                ..headwater_core::Limits::default()
            },
            ..in_mode(ResponseMode::Buffer)
        },
    ))
    .await;
    assert_eq!(fault.kind(), "bad_response");

    // Streamed it never ends; but the client may leave, and nothing is printed ahead of it.
    let module = engine.load_with(&endless, in_mode(ResponseMode::Stream));
    let response = module.handle(get("http://localhost/"), scope(None)).await;
    let mut body = response.unwrap().into_body().into_data_stream();
    let mut read = 0;
    while read < 8 << 20 {
        let chunk = body.next().await.unwrap().unwrap();
        assert!(chunk.len() <= crate::output::AHEAD, "{}", chunk.len());
        read += chunk.len();
    }
    drop(body);

    // Unless it may print so much and no more.
    let bounded = engine.load_with(
        &endless,
        WagiSettings {
            max_output: Some(4 << 20),
            ..in_mode(ResponseMode::Stream)
        },
    );
    let (read, error) = read_until_cut(&bounded).await;
    assert!(read <= 4 << 20);
    assert!(error.contains("`max_output`"), "{error}");
}

#[tokio::test]
async fn endless_output_without_a_blank_line_is_ended_soon() {
    for mode in MODES {
        let module = engine().load_with(
            &program(
                r#"(data (i32.const 64) "abc\n")"#,
                "(loop $more (call $print (i32.const 64) (i32.const 1000)) (br $more))",
            ),
            in_mode(mode),
        );
        let fault = fault_of(&module).await;
        assert_eq!(fault.kind(), "bad_response", "{mode:?}");
    }
}

/// What came of a response's body before it was cut, in bytes, and what the log is told.
async fn read_until_cut(module: &WagiModule) -> (usize, String) {
    let response = module.handle(get("http://localhost/"), scope(None)).await;
    let mut body = response.unwrap().into_body().into_data_stream();
    let mut read = 0;
    loop {
        match body.next().await.expect("the body ended well") {
            Ok(chunk) => read += chunk.len(),
            Err(error) => return (read, error.to_string()),
        }
    }
}

#[tokio::test]
async fn a_trap_before_anything_is_sent_is_a_500() {
    let engine = engine();
    for text in ["", "content-type: t", HEAD, "content-type: t\n\nbody"] {
        for mode in MODES {
            let module = engine.load_with(&printing(text, "unreachable"), in_mode(mode));
            let fault = fault_of(&module).await;
            assert_eq!(fault.kind(), "trap", "{text:?} {mode:?}");
        }
    }
}

#[tokio::test]
async fn a_trap_after_the_head_was_sent_cuts_the_response() {
    let engine = engine();
    let late = much(HEAD, 20, "unreachable");
    let module = engine.load_with(&late, in_mode(ResponseMode::Stream));
    let (read, error) = read_until_cut(&module).await;
    assert!(read > 0);
    assert!(error.contains("unreachable"), "{error}");

    let module = engine.load_with(&late, in_mode(ResponseMode::Buffer));
    assert_eq!(fault_of(&module).await.kind(), "trap");
}

#[tokio::test]
async fn a_module_that_spins_after_its_head_is_sent_is_ended_by_its_cpu_time() {
    let settings = WagiSettings {
        max_cpu_time: Some(Duration::from_millis(40)),
        ..in_mode(ResponseMode::Stream)
    };
    let spinning = printing(&format!("{HEAD}first"), "(loop $forever (br $forever))");
    let module = engine().load_with(&spinning, settings);
    let (read, error) = read_until_cut(&module).await;
    assert_eq!(read, "first".len());
    assert!(error.contains("computed for too long"), "{error}");
}

#[tokio::test]
async fn a_module_that_spins_is_ended_by_its_cpu_time() {
    let settings = WagiSettings {
        max_cpu_time: Some(Duration::from_millis(10)),
        ..in_mode(ResponseMode::Buffer)
    };
    let module = engine().load_with(&program("", "(loop $forever (br $forever))"), settings);
    let scope = scope(None);
    let fault = module
        .handle(get("http://localhost/"), scope.clone())
        .await
        .unwrap_err();
    assert_eq!((fault.status().as_u16(), fault.kind()), (500, "cpu_time"));
    let cpu = headwater_core::Counters::get(&scope.counters().cpu_nanos);
    assert!(cpu > 10_000_000, "{cpu}");
}

#[tokio::test]
async fn a_module_may_run_so_long_and_no_longer_by_the_wall() {
    let settings = WagiSettings {
        max_wall_time: Some(Duration::from_millis(30)),
        ..in_mode(ResponseMode::Stream)
    };
    // Waits on its stdin, of which nothing comes.
    let waiting = printing(
        &format!("{HEAD}first"),
        "(i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 1))
        (drop (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 8)))",
    );
    let module = engine().load_with(&waiting, settings);
    let never = futures::stream::pending::<Result<_, headwater_core::BodyError>>();
    let request = Request::post("http://localhost/")
        .header("content-length", "1")
        .body(BodyExt::boxed_unsync(http_body_util::StreamBody::new(
            never,
        )))
        .unwrap();
    let response = module.handle(request, scope(None)).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    // What was printed is sent while the module waits.
    assert_eq!(body.next().await.unwrap().unwrap(), "first");
    let error = body.next().await.unwrap().unwrap_err().to_string();
    assert!(error.contains("max_wall_time"), "{error}");
}

#[tokio::test]
async fn instances_of_a_module_are_bounded_and_the_next_waits() {
    let engine = engine();
    let settings = WagiSettings {
        max_instances: Some(1),
        ..settings()
    };
    let spinning = engine.load_with(&program("", "(loop $forever (br $forever))"), settings);
    let mut first = spinning.handle(get("http://localhost/"), scope(None));
    assert!(futures::poll!(&mut first).is_pending());
    let waiting = spinning.handle(
        get("http://localhost/"),
        scope(Some(Duration::from_millis(20))),
    );
    // It was not late: it did not run.
    let fault = waiting.await.unwrap_err();
    assert_eq!(
        (fault.status().as_u16(), fault.kind()),
        (503, "queue_timeout")
    );
    assert!(fault.cause().unwrap().contains("`max_instances`"));
    // There was room in the engine all along.
    assert_eq!(body_of(&engine.load(&printing(HEAD, ""))).await, "");
}

#[tokio::test]
async fn a_module_that_opens_files_without_end_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    let mut settings = settings();
    settings.volumes = vec![Directory {
        guest: "/".to_owned(),
        host: directory.path().to_owned(),
        read_only: true,
    }];
    // Opens until it cannot, closes one, and can once more; and once more when one took the number of
    // another. EMFILE is 33.
    let wat = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 512) "file")
        (data (i32.const 1024) "{}done")
        (func $open_one (result i32)
            (call $open (i32.const 3) (i32.const 0) (i32.const 512) (i32.const 4) (i32.const 0)
                (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 12)))
        (func (export "_start") (local $errno i32)
            (loop $more
                (br_if $more (i32.eqz (local.tee $errno (call $open_one)))))
            (if (i32.ne (local.get $errno) (i32.const 33)) (then unreachable))
            (if (call $close (i32.load (i32.const 12))) (then unreachable))
            (if (call $open_one) (then unreachable))
            (if (i32.ne (call $open_one) (i32.const 33)) (then unreachable))
            (if (call $renumber (i32.load (i32.const 12)) (i32.const 10)) (then unreachable))
            (if (call $open_one) (then unreachable))
            (if (i32.ne (call $open_one) (i32.const 33)) (then unreachable))
            (if (call $close (i32.const 10)) (then unreachable))
            (if (call $open_one) (then unreachable))
            (if (i32.ne (call $open_one) (i32.const 33)) (then unreachable))
            (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 30))
            (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))))"#,
        HEAD.escape_default()
    );
    assert_eq!(body_of(&engine().load_with(&wat, settings)).await, "done");
}

#[tokio::test]
async fn a_named_pipe_is_neither_opened_nor_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    std::os::unix::fs::symlink("pipe", directory.path().join("link")).unwrap();
    let mut settings = settings();
    settings.volumes = vec![Directory {
        guest: "/".to_owned(),
        host: directory.path().to_owned(),
        read_only: false,
    }];
    let engine = engine();
    for wasi in ["wasi_snapshot_preview1", "wasi_unstable"] {
        // ENOTSUP is 58, ELOOP 32. OFLAGS 0 opens, 1 creates what is not there, 5 (EEXIST, 20) what must not
        // be; RIGHTS 2 is for reading, 64 for writing.
        for (name, follow, flags, rights, errno) in [
            ("pipe", 0, 0, 2, 58),
            ("pipe", 0, 0, 64, 58),
            ("pipe", 1, 1, 64, 58),
            ("pipe", 0, 5, 64, 20),
            ("link", 1, 0, 2, 58),
            ("link", 0, 0, 2, 32),
            ("gone", 0, 0, 2, 44),
            ("made", 0, 1, 64, 0),
        ] {
            let wat = format!(
                r#"(module
                (import "{wasi}" "path_open"
                    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
                (import "{wasi}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
                (memory (export "memory") 1)
                (data (i32.const 512) "{name}")
                (data (i32.const 1024) "{head}00")
                (func (export "_start") (local $errno i32)
                    (local.set $errno (call $open (i32.const 3) (i32.const {follow}) (i32.const 512)
                        (i32.const 4) (i32.const {flags}) (i64.const {rights}) (i64.const 0)
                        (i32.const 0) (i32.const 12)))
                    (i32.store8 (i32.const {tens}) (i32.add (i32.const 48)
                        (i32.div_u (local.get $errno) (i32.const 10))))
                    (i32.store8 (i32.const {ones}) (i32.add (i32.const 48)
                        (i32.rem_u (local.get $errno) (i32.const 10))))
                    (i32.store (i32.const 16) (i32.const 1024))
                    (i32.store (i32.const 20) (i32.const {length}))
                    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))))"#,
                head = HEAD.escape_default(),
                tens = 1024 + HEAD.len(),
                ones = 1025 + HEAD.len(),
                length = HEAD.len() + 2,
            );
            let module = engine.load_with(&wat, settings.clone());
            let answer = tokio::time::timeout(Duration::from_secs(20), body_of(&module));
            let answer = answer.await.expect("a module waits for the pipe");
            let said = format!("{wasi} {name} {follow} {flags} {rights}");
            assert_eq!(answer, format!("{errno:02}"), "{said}");
        }
    }
}

/// What 0.8.1 said where it failed, and what it kept.
#[tokio::test]
async fn strictly_failures_are_answered_as_in_wagi() {
    let engine = engine();
    let strict = WagiSettings {
        compat: Compat::Strict,
        response: Compat::Strict.response(),
        ..settings()
    };
    let exit = "(call $proc_exit (i32.const 0))";
    let insufficient = "Exactly one of 'location' or 'content-type' must be specified";
    for (text, then, status, body) in [
        ("content-type: t\n\nbody", "", 200, "body"),
        ("content-type: t\n\nbody", "unreachable", 500, ""),
        ("content-type: t\n\nbody", exit, 500, ""),
        ("x: y\n\nbody", "", 500, insufficient),
        ("", "", 500, insufficient),
        ("status: teapot\n\nbody", "", 502, "body"),
        ("status: 301\nlocation: /x\n\nbody", "", 301, "body"),
    ] {
        let module = engine.load_with(&printing(text, then), strict.clone());
        let response = send(&module, get("http://localhost/")).await.unwrap();
        assert_eq!(response.status(), status, "{text:?} {then}");
        assert_eq!(response.body(), body, "{text:?} {then}");
        if status == 500 {
            assert!(response.headers().is_empty(), "{text:?} {then}");
        }
    }
    // Headers of one name: the last.
    let text = "content-type: t\nset-cookie: a\nset-cookie: b\n\n";
    let module = engine.load_with(&printing(text, ""), strict);
    let response = send(&module, get("http://localhost/")).await.unwrap();
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["b"]);
}
