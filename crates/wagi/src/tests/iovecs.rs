use std::fs;

use super::*;
use headwater_runtime::Directory;

/// Three buffers at 16: "content-type: t", an empty one, and "\n\nbody\n".
const GATHER: &str = r#"
    (data (i32.const 1024) "content-type: t")
    (data (i32.const 2048) "\n\nbody\n")
    (func (export "_start")
        (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 15))
        (i32.store (i32.const 24) (i32.const 1024)) (i32.store (i32.const 28) (i32.const 0))
        (i32.store (i32.const 32) (i32.const 2048)) (i32.store (i32.const 36) (i32.const 7))
        (if (call $fd_write (i32.const 1) (i32.const 16) (i32.const 3) (i32.const 8))
            (then unreachable))
        (if (i32.ne (i32.load (i32.const 8)) (i32.const 22)) (then unreachable)))
"#;

/// Reads into buffers of 3 and 4 bytes, and prints the number of bytes read and both buffers.
const SCATTER: &str = r#"
    (data (i32.const 1024) "content-type: t\n\n0:...,....")
    (func (export "_start")
        (i32.store (i32.const 16) (i32.const 1043)) (i32.store (i32.const 20) (i32.const 3))
        (i32.store (i32.const 24) (i32.const 1047)) (i32.store (i32.const 28) (i32.const 4))
        (if (call $fd_read (i32.const 0) (i32.const 16) (i32.const 2) (i32.const 8))
            (then unreachable))
        (i32.store8 (i32.const 1041) (i32.add (i32.const 48) (i32.load (i32.const 8))))
        (call $print (i32.const 1024) (i32.const 27)))
"#;

#[tokio::test]
async fn a_write_takes_all_its_buffers() {
    let engine = engine();
    for wasi in [PREVIEW1, "wasi_unstable"] {
        let module = engine.load(&format!("(module {} {GATHER})", imports(wasi)));
        assert_eq!(body_of(&module).await, "body\n", "{wasi}");
    }
}

#[tokio::test]
async fn a_read_fills_all_its_buffers() {
    let engine = engine();
    for wasi in [PREVIEW1, "wasi_unstable"] {
        let module = engine.load(&format!("(module {} {SCATTER})", imports(wasi)));
        for (body, read) in [
            ("abcdefghi", "7:abc,defg"),
            ("abcde", "5:abc,de.."),
            ("abc", "3:abc,...."),
            ("", "0:...,...."),
        ] {
            let request = Request::post("http://localhost/")
                .body(headwater_core::full(body))
                .unwrap();
            assert_eq!(send(&module, request).await.unwrap().body(), read, "{wasi}");
        }
    }
}

#[tokio::test]
async fn no_buffers_and_empty_buffers_are_no_error() {
    let module = engine().load(&program(
        &format!(r#"(data (i32.const 1024) "{}")"#, HEAD.escape_default()),
        r#"
        (i32.store (i32.const 8) (i32.const 77))
        (if (call $fd_write (i32.const 1) (i32.const 16) (i32.const 0) (i32.const 8))
            (then unreachable))
        (if (i32.load (i32.const 8)) (then unreachable))
        (i32.store (i32.const 8) (i32.const 77))
        (if (call $fd_read (i32.const 0) (i32.const 16) (i32.const 2) (i32.const 8))
            (then unreachable))
        (if (i32.load (i32.const 8)) (then unreachable))
        ;; EBADF is 8.
        (if (i32.ne (i32.const 8)
                (call $fd_write (i32.const 99) (i32.const 16) (i32.const 2) (i32.const 8)))
            (then unreachable))
        (call $print (i32.const 1024) (i32.const 26))"#,
    ));
    assert_eq!(body_of(&module).await, "");
}

#[tokio::test]
async fn buffers_outside_of_the_memory_are_a_trap() {
    for (buffers, count) in [("0x1fffc", "1"), ("0xfffffff8", "2"), ("16", "0xffffffff")] {
        let module = engine().load(&program(
            "",
            &format!(
                "(drop (call $fd_write (i32.const 1) (i32.const {buffers}) (i32.const {count})
                    (i32.const 8)))"
            ),
        ));
        let fault = send(&module, get("http://localhost/")).await.unwrap_err();
        assert_eq!(fault.status(), 500, "{buffers} {count}: {fault:?}");
    }
}

/// Writes two buffers to a new file twice over (with and without an offset), reads them back both
/// ways, and prints what was read.
#[tokio::test]
async fn files_gather_and_scatter_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings();
    settings.volumes = vec![Directory {
        guest: "/data".to_owned(),
        host: directory.path().to_owned(),
        read_only: false,
    }];
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_pwrite" (func $pwrite (param i32 i32 i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_pread" (func $pread (param i32 i32 i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 512) "file")
        (data (i32.const 600) "abcdefg")
        (data (i32.const 1024) "content-type: t\0a\0a...,....;...,....")
        (func $check (param $errno i32) (param $count i32)
            (if (local.get $errno) (then unreachable))
            (if (i32.ne (i32.load (i32.const 8)) (local.get $count)) (then unreachable)))
        (func $buffers (param $first i32) (param $second i32)
            (i32.store (i32.const 16) (local.get $first)) (i32.store (i32.const 20) (i32.const 3))
            (i32.store (i32.const 24) (local.get $second)) (i32.store (i32.const 28) (i32.const 4)))
        (func (export "_start")
            ;; Creates the file below descriptor 3, for reading and writing.
            (if (call $open (i32.const 3) (i32.const 0) (i32.const 512) (i32.const 4) (i32.const 1)
                    (i64.const 0x66) (i64.const 0) (i32.const 0) (i32.const 12))
                (then unreachable))
            (call $buffers (i32.const 600) (i32.const 603))
            (call $check (call $write (i32.load (i32.const 12)) (i32.const 16) (i32.const 2) (i32.const 8))
                (i32.const 7))
            (call $check (call $pwrite (i32.load (i32.const 12)) (i32.const 16) (i32.const 2) (i64.const 7)
                (i32.const 8)) (i32.const 7))
            (if (call $seek (i32.load (i32.const 12)) (i64.const 0) (i32.const 0) (i32.const 32))
                (then unreachable))
            (call $buffers (i32.const 1041) (i32.const 1045))
            (call $check (call $read (i32.load (i32.const 12)) (i32.const 16) (i32.const 2) (i32.const 8))
                (i32.const 7))
            ;; Over the end: 14 bytes are there.
            (call $buffers (i32.const 1050) (i32.const 1054))
            (call $check (call $pread (i32.load (i32.const 12)) (i32.const 16) (i32.const 2) (i64.const 9)
                (i32.const 8)) (i32.const 5))
            (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 34))
            (call $check (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8))
                (i32.const 34))))"#;
    let module = engine().load_with(wat, settings);
    assert_eq!(body_of(&module).await, "abc,defg;cde,fg..");
    let written = fs::read_to_string(directory.path().join("file")).unwrap();
    assert_eq!(written, "abcdefgabcdefg");
}
