use std::sync::Arc;

use futures::future::try_join_all;
use headwater_core::{Limits, RequestScope, SpanContext, SpanId, TraceFlags, TraceId};
use headwater_telemetry::{FileConfig, LogConfig, TelemetryConfig, build};
use serde_json::Value as Json;
use tokio::sync::Barrier;
use wasmtime::AsContextMut;
use wasmtime::component::{Accessor, Component, Linker, TypedFunc};

use super::*;
use crate::capabilities::Capabilities;
use crate::engine::Engine;
use crate::measure::{By, Stores, started};
use crate::testing::scope_of;

const INTERFACE: &str = "acme:quota/left@1.0.0";

/// A capability of an embedder's own. Each call waits for the other.
struct Quota(Arc<Barrier>);

impl Capability for Quota {
    type Grant = ();
    type Service = Arc<Barrier>;
    type Instance = Arc<Barrier>;

    fn interfaces(&self) -> &'static [&'static str] {
        &[INTERFACE]
    }

    fn link(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        linker.instance(INTERFACE)?.func_wrap_concurrent(
            "take",
            |accessor: &Accessor<GuestState>, (many,): (u32,)| {
                Box::pin(async move {
                    let (call, both) = accessor.with(|mut access| {
                        let mut store = access.as_context_mut();
                        let call = call(&mut store, "acme:quota/left", "take");
                        let both = store.data_mut().capability::<Self>()?.clone();
                        wasmtime::error::Ok((call, both))
                    })?;
                    both.wait().await;
                    let left = if many == 1 { Ok(()) } else { Err(()) };
                    call.end(left).unwrap_or_default();
                    Ok(())
                })
            },
        )
    }

    fn start(&self, (): &(), _: &ServiceContext) -> Arc<Barrier> {
        self.0.clone()
    }

    fn instance(&self, both: &Arc<Arc<Barrier>>) -> Arc<Barrier> {
        Arc::clone(both)
    }
}

/// Calls `take` with its number and waits for the result.
const GUEST: &str = r#"
(component
  (import "acme:quota/left@1.0.0" (instance $left
    (export "take" (func async (param "many" u32)))))
  (alias export $left "take" (func $take))
  (core func $take' (canon lower (func $take) async))
  (core func $return (canon task.return))
  (core func $set-new (canon waitable-set.new))
  (core func $join (canon waitable.join))
  (core module $code
    (import "host" "take" (func $take (param i32) (result i32)))
    (import "host" "return" (func $return))
    (import "host" "set-new" (func $set-new (result i32)))
    (import "host" "join" (func $join (param i32 i32)))
    (func (export "run") (param $many i32) (result i32)
      (local $call i32)
      (local $set i32)
      (local.set $call (i32.shr_u (call $take (local.get $many)) (i32.const 4)))
      ;; The one that the other had waited for has returned at once.
      (if (i32.eqz (local.get $call))
        (then (call $return) (return (i32.const 0))))
      (local.set $set (call $set-new))
      (call $join (local.get $call) (local.get $set))
      (i32.or (i32.const 2) (i32.shl (local.get $set) (i32.const 4))))
    (func (export "run-on") (param i32 i32 i32) (result i32)
      (call $return)
      (i32.const 0)))
  (core instance $code (instantiate $code (with "host" (instance
    (export "take" (func $take'))
    (export "return" (func $return))
    (export "set-new" (func $set-new))
    (export "join" (func $join))))))
  (func (export "run") async (param "many" u32)
    (canon lift (core func $code "run") async (callback (core func $code "run-on")))))
"#;

fn traced(number: u8) -> Arc<RequestScope> {
    scope_of(SpanContext::new(
        TraceId::from_bytes([number; 16]),
        SpanId::from_bytes([number; 8]),
        TraceFlags::SAMPLED,
        false,
        Default::default(),
    ))
}

/// Returns the JSON objects of a file, one for each line.
fn lines(path: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(serde_json::from_str);
    lines.map(Result::unwrap).collect()
}

#[tokio::test]
async fn calls_of_two_requests_at_once_have_span_metric_and_audit_line_each_under_its_own_request()
{
    let folder = tempfile::tempdir().unwrap();
    let (traces, audit) = (folder.path().join("traces"), folder.path().join("audit"));
    let (dispatch, telemetry) = build(TelemetryConfig {
        log: LogConfig {
            filter: "off".to_owned(),
            ..LogConfig::default()
        },
        trace_file: Some(FileConfig::at(&traces)),
        audit_file: Some(FileConfig::at(&audit)),
        prometheus: true,
        ..TelemetryConfig::default()
    })
    .unwrap();
    let _guard = tracing::dispatcher::set_default(&dispatch);

    let engine = Engine::new().unwrap();
    let engine = engine.for_guest(GUEST.as_bytes()).unwrap();
    let component = Component::new(engine, GUEST).unwrap();
    let capabilities = Capabilities::default().with(Quota(Arc::new(Barrier::new(2))));
    let grants = capabilities.nothing();
    let mut linker = Linker::new(engine);
    grants.link(&mut linker).unwrap();
    let mut stores = Stores::new(engine, By::Stack, &Limits::default());
    stores.0.metrics = telemetry.metrics().clone();
    stores.0.capabilities = grants.start(&ServiceContext {
        service: "shop".into(),
        metrics: Metrics::default(),
    });
    let mut store = stores.store().unwrap();
    let instance = linker.instantiate_async(&mut store, &component);
    let instance = instance.await.unwrap();
    let run: TypedFunc<(u32,), ()> = instance.get_typed_func(&mut store, "run").unwrap();
    let requests = [traced(1), traced(2)];
    let run = &run;
    let done = store.run_concurrent(async |accessor| {
        let calls = requests.iter().zip(1..).map(async |(request, number)| {
            let call = accessor.with(|mut access| {
                let mut store = access.as_context_mut();
                let call = run.start_call_concurrent(store.as_context_mut(), (number,))?;
                started(&mut store, call.task(), request.clone());
                wasmtime::error::Ok(call)
            })?;
            run.finish_call_concurrent(accessor, call).await
        });
        try_join_all(calls).await
    });
    done.await.flatten().unwrap();
    drop(store);

    let metrics = telemetry.prometheus().unwrap().text();
    for outcome in ["ok", "error"] {
        let labels = |line: &&str| {
            [
                format!("headwater_capability_outcome=\"{outcome}\""),
                "headwater_capability_interface=\"acme:quota/left\"".to_owned(),
                "headwater_capability_function=\"take\"".to_owned(),
                "headwater_service=\"measured\"".to_owned(),
                "headwater_attribution=\"exact\"".to_owned(),
            ]
            .iter()
            .all(|label| line.contains(label))
        };
        for name in [
            "capability_calls_total",
            "capability_duration_seconds_count",
        ] {
            let mut found = metrics.lines().filter(|line| line.contains(name));
            let found = found.find(labels).unwrap_or_else(|| panic!("{metrics}"));
            assert!(found.ends_with(" 1"), "{found}");
        }
    }

    telemetry.shutdown();
    let spans: Vec<Json> = lines(&traces)
        .iter()
        .flat_map(|line| line["resourceSpans"].as_array().unwrap().clone())
        .flat_map(|spans| spans["scopeSpans"].as_array().unwrap().clone())
        .flat_map(|spans| spans["spans"].as_array().unwrap().clone())
        .collect();
    assert_eq!(spans.len(), 2);
    let audit = lines(&audit);
    assert_eq!(audit.len(), 2);
    for (request, outcome) in requests.iter().zip(["ok", "error"]) {
        let trace = request.span().trace_id().to_string();
        let span = spans.iter().find(|span| span["traceId"] == *trace).unwrap();
        assert_eq!(span["name"], "acme:quota/left#take");
        assert_eq!(span["kind"], 3, "a client's: {span}");
        let parent = request.span().span_id().to_string();
        assert_eq!(span["parentSpanId"], *parent);
        let failed = span["status"]["code"] == 2;
        assert_eq!(failed, outcome == "error", "{span}");
        let id = request.id().to_string();
        let line = audit.iter().find(|line| line["request_id"] == *id);
        let line = line.unwrap();
        assert_eq!(line["outcome"], outcome, "{line}");
        assert_eq!(line["attribution"], "exact", "{line}");
        assert!(request.had_effect());
    }
}
