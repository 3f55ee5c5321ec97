//! What modules of 2020 to 2022 do that others do not.

use super::*;

/// Asks `poll_oneoff` for stdin and a clock of an hour, both versions of WASI: their subscriptions are
/// laid out differently. Then reads, and prints what it read.
fn polling(wasi: &str) -> String {
    // The clock of wasi_unstable has an identifier of 8 bytes before its id.
    let (size, clock) = match wasi {
        "wasi_unstable" => (56, 24),
        _ => (48, 16),
    };
    let second = 128 + size;
    let (id, timeout) = (second + clock, second + clock + 8);
    format!(
        r#"(module
        (import "{wasi}" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        {imports}
        (data (i32.const 1024) "content-type: t\0a\0a....")
        (func (export "_start")
            ;; First stdin: userdata 7, tag 1, descriptor 0.
            (i64.store (i32.const 128) (i64.const 7))
            (i32.store8 (i32.const 136) (i32.const 1))
            (i32.store (i32.const 144) (i32.const 0))
            ;; Then the clock: userdata 8, tag 0.
            (i64.store (i32.const {second}) (i64.const 8))
            (i32.store (i32.const {id}) (i32.const 1))
            (i64.store (i32.const {timeout}) (i64.const 3600000000000))
            (if (call $poll (i32.const 128) (i32.const 512) (i32.const 2) (i32.const 8))
                (then unreachable))
            ;; One event, stdin's, without an error, of type 1.
            (if (i32.ne (i32.load (i32.const 8)) (i32.const 1)) (then unreachable))
            (if (i64.ne (i64.load (i32.const 512)) (i64.const 7)) (then unreachable))
            (if (i32.load16_u (i32.const 520)) (then unreachable))
            (if (i32.ne (i32.load8_u (i32.const 522)) (i32.const 1)) (then unreachable))
            (i32.store (i32.const 16) (i32.const 1041)) (i32.store (i32.const 20) (i32.const 4))
            (if (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24))
                (then unreachable))
            (call $print (i32.const 1024) (i32.const 21))))"#,
        imports = imports(wasi),
    )
}

#[tokio::test]
async fn stdin_can_be_polled_with_bytes_and_at_its_end() {
    for wasi in [PREVIEW1, "wasi_unstable"] {
        let module = engine().load(&polling(wasi));
        for (body, printed) in [("abcd", "abcd"), ("", "....")] {
            let request = Request::post("http://localhost/")
                .body(headwater_core::full(body))
                .unwrap();
            let response = send(&module, request).await.unwrap();
            assert_eq!(response.body(), printed, "{wasi}");
        }
    }
}

#[tokio::test]
async fn a_module_that_moves_stdout_prints_where_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings();
    settings.volumes = vec![headwater_runtime::Directory {
        guest: "/".to_owned(),
        host: directory.path().to_owned(),
        read_only: false,
    }];
    // Prints the head, makes a file the standard output, prints, and is refused when that is closed.
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 512) "file")
        (data (i32.const 1024) "content-type: t\0a\0abody")
        (func $print (param $at i32) (param $length i32) (result i32)
            (i32.store (i32.const 16) (local.get $at)) (i32.store (i32.const 20) (local.get $length))
            (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
        (func (export "_start")
            (if (call $print (i32.const 1024) (i32.const 21)) (then unreachable))
            (if (call $open (i32.const 3) (i32.const 0) (i32.const 512) (i32.const 4) (i32.const 1)
                    (i64.const 0x66) (i64.const 0) (i32.const 0) (i32.const 12))
                (then unreachable))
            (if (call $renumber (i32.load (i32.const 12)) (i32.const 1)) (then unreachable))
            (if (call $print (i32.const 512) (i32.const 4)) (then unreachable))
            (if (call $close (i32.const 1)) (then unreachable))
            ;; EBADF is 8.
            (if (i32.ne (call $print (i32.const 512) (i32.const 4)) (i32.const 8)) (then unreachable))))"#;
    assert_eq!(body_of(&engine().load_with(wat, settings)).await, "body");
    let written = std::fs::read_to_string(directory.path().join("file")).unwrap();
    assert_eq!(written, "file");
}

#[tokio::test]
async fn a_module_may_read_where_it_may_not_write() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "text").unwrap();
    let mut settings = settings();
    settings.volumes = vec![headwater_runtime::Directory {
        guest: "/".to_owned(),
        host: directory.path().to_owned(),
        read_only: true,
    }];
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 512) "filenew")
        (data (i32.const 1024) "content-type: t\0a\0a....")
        (func (export "_start")
            ;; To create one is refused.
            (if (i32.eqz (call $open (i32.const 3) (i32.const 0) (i32.const 516) (i32.const 3)
                    (i32.const 1) (i64.const 0x66) (i64.const 0) (i32.const 0) (i32.const 12)))
                (then unreachable))
            (if (call $open (i32.const 3) (i32.const 0) (i32.const 512) (i32.const 4) (i32.const 0)
                    (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 12))
                (then unreachable))
            (i32.store (i32.const 16) (i32.const 1041)) (i32.store (i32.const 20) (i32.const 4))
            (if (call $read (i32.load (i32.const 12)) (i32.const 16) (i32.const 1) (i32.const 8))
                (then unreachable))
            (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 21))
            (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))))"#;
    assert_eq!(body_of(&engine().load_with(wat, settings)).await, "text");
    assert!(!directory.path().join("new").exists());
}

#[tokio::test]
async fn stderr_goes_to_the_file_of_the_route_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings();
    settings.log_dir = Some(directory.path().join("logs"));
    let module = engine().load_with(
        &printing(
            "content-type: t\n\n",
            "(drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))",
        ),
        settings,
    );
    for _ in 0..2 {
        assert_eq!(body_of(&module).await, "");
    }
    // printf /... | sha256sum
    let route = "9db5fbffa27308489b1a68995e843e2eb01eeabf76b0d525cabbc2ae2b81f86e";
    let file = directory
        .path()
        .join("logs")
        .join(route)
        .join("module.stderr");
    let text = std::fs::read_to_string(file).unwrap();
    assert_eq!(text, "content-type: t\n\ncontent-type: t\n\n");
}
