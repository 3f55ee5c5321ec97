use super::*;
use headwater_runtime::Directory;

use crate::WagiError;

fn refusal(bytes: &[u8], settings: WagiSettings) -> WagiError {
    WagiModule::load(&engine().engine, bytes, settings).unwrap_err()
}

#[test]
fn what_is_no_module_is_told_so() {
    let wasm = "(module)";
    for bytes in [
        &b""[..],
        b"hello",
        b"\0asm",
        b"\0asm\x01\0\0\0\x01",
        b"(module",
    ] {
        let error = refusal(bytes, settings());
        assert!(matches!(error, WagiError::Compile { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains("guest: not a WebAssembly module"),
            "{error}"
        );
    }
    let component = refusal(b"\0asm\x0d\0\x01\0", settings());
    assert!(
        matches!(component, WagiError::Component { .. }),
        "{component}"
    );
    let library = refusal(wasm.as_bytes(), settings());
    assert!(
        library.to_string().contains("(exported functions: none)"),
        "{library}"
    );
}

#[test]
fn a_missing_entrypoint_is_told_with_what_there_is() {
    let wat = br#"(module (func (export "run")) (func (export "init")) (memory (export "m") 1))"#;
    let message = refusal(wat, settings()).to_string();
    assert!(message.starts_with("guest: the module does not export its entrypoint `_start`"));
    assert!(message.contains("`run`, `init`"), "{message}");
}

#[test]
fn the_core_of_a_component_is_told_so_whether_it_has_an_entrypoint_or_not() {
    for start in ["", "(func (export \"_start\"))"] {
        let wat = format!(
            r#"(module
                (import "wasi:http/types@0.3.2" "[constructor]fields" (func (result i32)))
                {start})"#
        );
        let message = refusal(wat.as_bytes(), settings()).to_string();
        assert!(message.contains("the core of a component"), "{message}");
        assert!(
            message.contains("imports `wasi:http/types@0.3.2`"),
            "{message}"
        );
        assert!(message.contains("wasm32-wasip2"), "{message}");
    }
}

#[test]
fn an_entrypoint_of_another_type_is_refused() {
    for (export, found) in [
        (
            "(func (export \"_start\") (param i32))",
            "of type (type (func (param i32)))",
        ),
        (
            "(func (export \"_start\") (result i32) i32.const 0)",
            "(result i32)",
        ),
        ("(memory (export \"_start\") 1)", "a memory"),
        ("(global (export \"_start\") i32 (i32.const 0))", "a global"),
    ] {
        let message = refusal(format!("(module {export})").as_bytes(), settings()).to_string();
        assert!(message.contains(found), "{message}");
    }
}

#[test]
fn an_unknown_import_is_named() {
    for (module, field, remedy) in [
        ("env", "abort", "not part of WASI preview1"),
        (
            "wasi_experimental_http",
            "fetch",
            "no function of WAGI's outgoing HTTP",
        ),
        ("wasi_snapshot_preview1", "fork", "no function of WASI's"),
    ] {
        let wat =
            format!(r#"(module (import "{module}" "{field}" (func)) (func (export "_start")))"#);
        let message = refusal(wat.as_bytes(), settings()).to_string();
        assert!(
            message.contains(&format!("`{module}` `{field}`")),
            "{message}"
        );
        assert!(message.contains(remedy), "{message}");
    }
    let wat = br#"(module (import "wasi_snapshot_preview1" "fd_write" (func))
        (func (export "_start")))"#;
    let error = refusal(wat, settings());
    assert!(matches!(error, WagiError::Link { .. }), "{error}");
}

#[test]
fn all_unknown_imports_are_told_one_a_line() {
    let wat = br#"(module
        (import "env" "abort" (func))
        (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
        (import "wasi_snapshot_preview1" "fork" (func))
        (import "env" "abort" (func))
        (import "env" "table" (table 1 funcref))
        (func (export "_start")))"#;
    let message = refusal(wat, settings()).to_string();
    let lines: Vec<_> = message.lines().skip(1).collect();
    let of_wasi = "  `wasi_snapshot_preview1` `fork`, which is no function of WASI's: rebuild the module with \
                   a current toolchain";
    let other = "which is not part of WASI preview1: build the module without it";
    assert_eq!(
        lines,
        [
            &*format!("  `env` `abort`, {other}"),
            of_wasi,
            &*format!("  `env` `table`, {other}")
        ]
    );
}

#[test]
fn memory_and_volumes_are_checked_before_a_request() {
    let mut settings = settings();
    settings.limits.guest_memory = 1 << 16;
    let wat = br#"(module (memory (export "memory") 2) (func (export "_start")))"#;
    let message = refusal(wat, settings.clone()).to_string();
    assert!(
        message.contains("131072") && message.contains("`memory`"),
        "{message}"
    );

    settings.volumes = vec![Directory {
        guest: "/data".to_owned(),
        host: "/does/not/exist".into(),
        read_only: false,
    }];
    let wat = br#"(module (func (export "_start")))"#;
    let message = refusal(wat, settings).to_string();
    assert!(
        message.contains("`/data`") && message.contains("/does/not/exist"),
        "{message}"
    );
}

#[tokio::test]
async fn volumes_are_descriptors_from_3_on_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings();
    settings.volumes = ["/zzz", "/a", "/mm"]
        .map(|guest| Directory {
            guest: guest.to_owned(),
            host: directory.path().to_owned(),
            read_only: false,
        })
        .to_vec();
    // A prestat is a tag and the length of the name, which tells one from another.
    let wat = program(
        &format!(r#"(data (i32.const 1024) "{}3456")"#, HEAD.escape_default()),
        r#"
        (local $at i32)
        (loop $next
            (if (i32.eqz (call $fd_prestat_get
                    (i32.add (local.get $at) (i32.const 3)) (i32.const 16)))
                (then (i32.store8 (i32.add (local.get $at) (i32.const 1050))
                    (i32.add (i32.const 48) (i32.load (i32.const 20))))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $at) (i32.const 4))))
        (call $print (i32.const 1024) (i32.const 30))"#,
    );
    assert_eq!(body_of(&engine().load_with(&wat, settings)).await, "4236");
}
