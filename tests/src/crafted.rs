//! Components in the text format that do what no compiler lets a guest do: go wrong while they are
//! instantiated, in `cabi_realloc`, in post-return.

/// A `wasi:http/service@0.3` component whose start function is `start`, in WebAssembly's text. Its
/// handler, which is not meant to be reached, traps.
#[must_use]
pub fn service_that_starts_with(start: &str) -> String {
    SERVICE.replace("START", start)
}

/// A `wasi:http/proxy@0.2` component whose start function is `start`. Its handler traps.
#[must_use]
pub fn proxy_that_starts_with(start: &str) -> String {
    proxy(
        &format!("(func $start {start}) (start $start)"),
        "unreachable",
    )
}

/// A `wasi:http/proxy@0.2` component whose handler does `handle`, and never answers.
#[must_use]
pub fn proxy_that_does(handle: &str) -> String {
    proxy("(table $table 0 funcref)", handle)
}

/// The body of a function that never ends.
pub const SPIN: &str = "(loop $ever (br $ever))";

/// The body of a function that traps.
pub const TRAP: &str = "unreachable";

/// The body of a function that grows a table until it is refused, and then traps.
pub const GROW_A_TABLE: &str = "
    (loop $more
      (br_if $more (i32.ne (i32.const -1) (table.grow $table (ref.null func) (i32.const 4096)))))
    unreachable";

fn proxy(fields: &str, handle: &str) -> String {
    PROXY.replace("FIELDS", fields).replace("HANDLE", handle)
}

const PROXY: &str = r#"
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $response))
  (core module $m
    FIELDS
    (func (export "handle") (param i32 i32) HANDLE))
  (core instance $i (instantiate $m))
  (func $handle
    (param "request" (own $request)) (param "response-out" (own $response))
    (canon lift (core func $i "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
"#;

/// A `wasi:http/proxy@0.2` component that loops for ever in its `cabi_realloc`: the host calls it to
/// give the guest the path that it asks for.
pub const SPINS_IN_REALLOC: &str = r#"
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type $r (sub resource)))
    (export "response-outparam" (type (sub resource)))
    (export "[method]incoming-request.path-with-query"
      (func (param "self" (borrow $r)) (result (option string))))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $response))
  (core module $allocator
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (loop $ever (br $ever)) unreachable))
  (core instance $a (instantiate $allocator))
  (core func $path (canon lower
    (func $types "[method]incoming-request.path-with-query")
    (memory (core memory $a "memory")) (realloc (core func $a "realloc"))))
  (core module $m
    (import "types" "path" (func $path (param i32 i32)))
    (func (export "handle") (param i32 i32)
      (call $path (local.get 0) (i32.const 16))))
  (core instance $i (instantiate $m
    (with "types" (instance (export "path" (func $path))))))
  (func $handle
    (param "request" (own $request)) (param "response-out" (own $response))
    (canon lift (core func $i "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
"#;

/// A `wasi:http/proxy@0.2` component that returns without an answer, keeps the place where the answer
/// belongs, and loops for ever in its post-return function.
pub const SPINS_IN_POST_RETURN: &str = r#"
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $response))
  (core module $m
    (func (export "handle") (param i32 i32))
    (func (export "post") (loop $ever (br $ever))))
  (core instance $i (instantiate $m))
  (func $handle
    (param "request" (own $request)) (param "response-out" (own $response))
    (canon lift (core func $i "handle") (post-return (core func $i "post"))))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
"#;

/// A `wasi:http/proxy@0.2` component that blocks for a day in a synchronous host call.
pub const BLOCKS_IN_THE_HOST: &str = r#"
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $response))
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $p (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $p))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core module $m
    (import "host" "block" (func $block (param i32)))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (func (export "handle") (param i32 i32)
      (call $block (call $subscribe (i64.const 86400000000000)))))
  (core instance $i (instantiate $m (with "host" (instance
    (export "block" (func $block)) (export "subscribe" (func $subscribe))))))
  (func $handle
    (param "request" (own $request)) (param "response-out" (own $response))
    (canon lift (core func $i "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
"#;

const SERVICE: &str = r#"
(component
  (import "wasi:http/types@0.3.0" (instance $types
    (export "request" (type (sub resource)))
    (export "response" (type (sub resource)))
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
  (core module $m
    (memory (export "memory") 1)
    (func $start START)
    (start $start)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "handle") (param i32) (result i32) unreachable)
    (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $m))
  (func $handle async
    (param "request" (own $request))
    (result (result (own $response) (error $error)))
    (canon lift (core func $i "handle") async (memory (core memory $i "memory")) (realloc (core func $i "realloc"))
      (callback (core func $i "callback"))))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/handler@0.3.0" (instance $handler)))
"#;
