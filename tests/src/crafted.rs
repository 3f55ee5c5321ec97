//! Components in the text format that do what no compiler produces: they fail during instantiation,
//! in `cabi_realloc`, in post-return or in a callback, or have very many parts.
//!
//! Each world has a template, [`Proxy`] and [`Service`], into which function bodies are inserted.

/// The body of a function that never ends.
pub const SPIN: &str = "(loop $ever (br $ever)) unreachable";

/// The body of a function that traps.
pub const TRAP: &str = "unreachable";

/// The body of a `handle` of [`Proxy`] that blocks for a day in a synchronous host call.
pub const BLOCK: &str = "(call $block (call $subscribe (i64.const 86400000000000)))";

/// The body of a `handle` of [`Proxy`] that grows a table until it is refused, and then traps.
pub const GROW_A_TABLE: &str = "
    (loop $more
      (br_if $more (i32.ne (i32.const -1) (table.grow $table (ref.null func) (i32.const 4096)))))
    unreachable";

/// The body of a `handle` that asks the host for the request's path, for which the host calls the
/// guest's `realloc`; if that returns, it traps.
pub const ASK_FOR_THE_PATH: &str = "(call $path (local.get 0) (i32.const 16)) unreachable";

/// The bodies of the functions of a `wasi:http/proxy@0.2` component in WebAssembly's text format,
/// and its other parts. It never responds; by default it returns without a response.
#[derive(Debug, Clone, Default)]
pub struct Proxy {
    /// The body of the start function.
    pub start: &'static str,
    /// The body of the function that requests call: two parameters, no result. It may call `$path`,
    /// `$block` and `$subscribe`, and has a `$table`.
    pub handle: &'static str,
    /// The body of `cabi_realloc`; empty means [`TRAP`].
    pub realloc: &'static str,
    /// The body of the post-return function of `handle`.
    pub post_return: &'static str,
    /// More definitions of the component, such as [`instances_of`].
    pub more: String,
}

/// The bodies of the functions of a `wasi:http/service@0.3` component in WebAssembly's text format.
/// Empty ones are [`TRAP`], except for `start`, which then does nothing.
///
/// Its export is lifted with a callback. Such a function has no post-return function: it returns
/// its result by calling `$return`, and may continue afterwards.
#[derive(Debug, Clone, Default)]
pub struct Service {
    /// The body of the start function.
    pub start: &'static str,
    /// The body of the function that requests call: one parameter; the result is what to do next.
    /// It may call `$path` and `$return`.
    pub handle: &'static str,
    /// The body of the callback: three parameters, the same result.
    pub callback: &'static str,
    /// The body of `cabi_realloc`.
    pub realloc: &'static str,
}

/// The body of a `handle` of [`Service`] that yields and is called back.
pub const YIELD: &str = "(i32.const 1)";

/// The body of a `handle` of [`Service`] that returns an error instead of a response, and then
/// loops forever without yielding.
pub const RETURN_AND_SPIN: &str = "
    (call $return (i32.const 1) (i32.const 0) (i32.const 0) (i64.const 0)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    (loop $ever (br $ever)) unreachable";

/// Returns components of both worlds with this start function.
#[must_use]
pub fn that_start_with(start: &'static str) -> [String; 2] {
    let service = Service {
        start,
        ..Service::default()
    };
    let proxy = Proxy {
        start,
        ..Proxy::default()
    };
    [service.into(), proxy.into()]
}

/// Returns a core module with these fields, and `count` instances of it.
#[must_use]
pub fn instances_of(fields: &str, count: usize) -> String {
    let instances = "(core instance (instantiate $part))\n".repeat(count);
    format!("(core module $part {fields})\n{instances}")
}

impl From<Proxy> for String {
    fn from(proxy: Proxy) -> Self {
        PROXY
            .replace("START", proxy.start)
            .replace("HANDLE", proxy.handle)
            .replace("REALLOC", or_trap(proxy.realloc))
            .replace("POST", proxy.post_return)
            .replace("MORE", &proxy.more)
    }
}

impl From<Service> for String {
    fn from(service: Service) -> Self {
        SERVICE
            .replace("START", service.start)
            .replace("HANDLE", or_trap(service.handle))
            .replace("CALLBACK", or_trap(service.callback))
            .replace("REALLOC", or_trap(service.realloc))
    }
}

fn or_trap(body: &'static str) -> &'static str {
    if body.is_empty() { TRAP } else { body }
}

const PROXY: &str = r#"
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type $r (sub resource)))
    (export "response-outparam" (type (sub resource)))
    (export "[method]incoming-request.path-with-query"
      (func (param "self" (borrow $r)) (result (option string))))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $response))
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $p (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $p))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (core module $allocator
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) REALLOC))
  (core instance $a (instantiate $allocator))
  (core func $path (canon lower
    (func $types "[method]incoming-request.path-with-query")
    (memory (core memory $a "memory")) (realloc (core func $a "realloc"))))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core module $m
    (import "host" "path" (func $path (param i32 i32)))
    (import "host" "block" (func $block (param i32)))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (table $table 0 funcref)
    (func $start START)
    (start $start)
    (func (export "handle") (param i32 i32) HANDLE)
    (func (export "post") POST))
  (core instance $i (instantiate $m (with "host" (instance
    (export "path" (func $path))
    (export "block" (func $block))
    (export "subscribe" (func $subscribe))))))
  MORE
  (func $handle
    (param "request" (own $request)) (param "response-out" (own $response))
    (canon lift (core func $i "handle") (post-return (core func $i "post"))))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
"#;

const SERVICE: &str = r#"
(component
  (import "wasi:http/types@0.3.0" (instance $types
    (export "request" (type $r (sub resource)))
    (export "response" (type (sub resource)))
    (export "[method]request.get-path-with-query"
      (func (param "self" (borrow $r)) (result (option string))))
    (type $dns' (record (field "rcode" (option string)) (field "info-code" (option u16))))
    (export "DNS-error-payload" (type $dns (eq $dns')))
    (type $tls' (record (field "alert-id" (option u8)) (field "alert-message" (option string))))
    (export "TLS-alert-received-payload" (type $tls (eq $tls')))
    (type $size' (record (field "field-name" (option string)) (field "field-size" (option u32))))
    (export "field-size-payload" (type $size (eq $size')))
    (type $error' (variant
      (case "DNS-timeout")
      (case "DNS-error" $dns)
      (case "destination-not-found")
      (case "destination-unavailable")
      (case "destination-IP-prohibited")
      (case "destination-IP-unroutable")
      (case "connection-refused")
      (case "connection-terminated")
      (case "connection-timeout")
      (case "connection-read-timeout")
      (case "connection-write-timeout")
      (case "connection-limit-reached")
      (case "TLS-protocol-error")
      (case "TLS-certificate-error")
      (case "TLS-alert-received" $tls)
      (case "HTTP-request-denied")
      (case "HTTP-request-length-required")
      (case "HTTP-request-body-size" (option u64))
      (case "HTTP-request-method-invalid")
      (case "HTTP-request-URI-invalid")
      (case "HTTP-request-URI-too-long")
      (case "HTTP-request-header-section-size" (option u32))
      (case "HTTP-request-header-size" (option $size))
      (case "HTTP-request-trailer-section-size" (option u32))
      (case "HTTP-request-trailer-size" $size)
      (case "HTTP-response-incomplete")
      (case "HTTP-response-header-section-size" (option u32))
      (case "HTTP-response-header-size" $size)
      (case "HTTP-response-body-size" (option u64))
      (case "HTTP-response-trailer-section-size" (option u32))
      (case "HTTP-response-trailer-size" $size)
      (case "HTTP-response-transfer-coding" (option string))
      (case "HTTP-response-content-coding" (option string))
      (case "HTTP-response-timeout")
      (case "HTTP-upgrade-failed")
      (case "HTTP-protocol-error")
      (case "loop-detected")
      (case "configuration-error")
      (case "internal-error" (option string))))
    (export "error-code" (type (eq $error')))))
  (alias export $types "request" (type $request))
  (alias export $types "response" (type $response))
  (alias export $types "error-code" (type $error))
  (core module $allocator
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) REALLOC))
  (core instance $a (instantiate $allocator))
  (core func $path (canon lower
    (func $types "[method]request.get-path-with-query")
    (memory (core memory $a "memory")) (realloc (core func $a "realloc"))))
  (core func $return (canon task.return
    (result (result (own $response) (error $error))) (memory (core memory $a "memory"))))
  (core module $m
    (import "host" "path" (func $path (param i32 i32)))
    (import "host" "return" (func $return (param i32 i32 i32 i64 i32 i32 i32 i32)))
    (func $start START)
    (start $start)
    (func (export "handle") (param i32) (result i32) HANDLE)
    (func (export "callback") (param i32 i32 i32) (result i32) CALLBACK))
  (core instance $i (instantiate $m (with "host" (instance
    (export "path" (func $path))
    (export "return" (func $return))))))
  (func $handle async
    (param "request" (own $request))
    (result (result (own $response) (error $error)))
    (canon lift (core func $i "handle") async
      (memory (core memory $a "memory")) (realloc (core func $a "realloc"))
      (callback (core func $i "callback"))))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/handler@0.3.0" (instance $handler)))
"#;
