//! Runs modules written in WebAssembly text against the handler.

mod checklist;
mod fidelity;
mod hostile;
mod iovecs;
mod limits;
mod loading;
mod mounting;
mod outcomes;
mod outgoing;
mod streaming;
mod streams;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_core::{
    Body, Fault, Handler, RequestId, RequestScope, ScopeParts, SpanContext, empty,
};
use headwater_runtime::{CodeCache, Engine};
use http::{Request, Response};
use http_body_util::BodyExt;

use crate::{WagiModule, WagiSettings};

const INSTANCES: u32 = 4;

/// An engine to load modules into.
struct Loading {
    engine: Engine,
}

fn engine() -> Loading {
    Loading {
        engine: Engine::with_cache(INSTANCES, &CodeCache::Off).unwrap(),
    }
}

fn settings() -> WagiSettings {
    WagiSettings::new("guest")
}

impl Loading {
    fn load(&self, wat: &str) -> WagiModule {
        self.load_with(wat, settings())
    }

    fn load_with(&self, wat: &str, settings: WagiSettings) -> WagiModule {
        WagiModule::load(&self.engine, wat.as_bytes(), settings).unwrap()
    }
}

fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(empty()).unwrap()
}

fn scope(deadline: Option<Duration>) -> Arc<RequestScope> {
    RequestScope::new(ScopeParts {
        id: RequestId::new(),
        parent: None,
        span: SpanContext::empty_context(),
        service: "guest".into(),
        route: "/...".into(),
        host: None,
        client: Some("127.0.0.1:4000".parse().unwrap()),
        started: Instant::now(),
        deadline: deadline.map(|deadline| Instant::now() + deadline),
    })
}

async fn send(module: &WagiModule, request: Request<Body>) -> Result<Response<Bytes>, Fault> {
    let response = module.handle(request, scope(None)).await?;
    let (head, body) = response.into_parts();
    Ok(Response::from_parts(
        head,
        body.collect().await.unwrap().to_bytes(),
    ))
}

/// Returns the answer to a plain request, as text.
async fn body_of(module: &WagiModule) -> String {
    let response = send(module, get("http://localhost/")).await.unwrap();
    String::from_utf8(response.into_body().to_vec()).unwrap()
}

async fn fault_of(module: &WagiModule) -> Fault {
    send(module, get("http://localhost/")).await.unwrap_err()
}

/// Returns the imports that the guests here use, from this version of WASI; `fd_write` and
/// `fd_read` take (descriptor, buffers, count, result).
fn imports(wasi: &str) -> String {
    format!(
        r#"
        (import "{wasi}" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
        (import "{wasi}" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
        (import "{wasi}" "proc_exit" (func $proc_exit (param i32)))
        (import "{wasi}" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
        (import "{wasi}" "environ_get" (func $environ_get (param i32 i32) (result i32)))
        (import "{wasi}" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
        (import "{wasi}" "args_get" (func $args_get (param i32 i32) (result i32)))
        (import "{wasi}" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
        (memory (export "memory") 2)
        (func $print (param $at i32) (param $length i32)
            (i32.store (i32.const 0) (local.get $at))
            (i32.store (i32.const 4) (local.get $length))
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
        "#
    )
}

const PREVIEW1: &str = "wasi_snapshot_preview1";

/// Returns a module that prints `text`, then runs `then`.
fn printing(text: &str, then: &str) -> String {
    let data: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    format!(
        r#"(module {imports}
            (data (i32.const 1024) "{data}")
            (func (export "_start")
                (call $print (i32.const 1024) (i32.const {length}))
                {then}))"#,
        imports = imports(PREVIEW1),
        length = text.len(),
    )
}

/// Returns a module with this body of `_start` and these additional fields.
fn program(fields: &str, start: &str) -> String {
    format!(
        r#"(module {imports} {fields} (func (export "_start") {start}))"#,
        imports = imports(PREVIEW1)
    )
}

const HEAD: &str = "content-type: text/plain\n\n";
