//! Promise: spans go to the collector in the standard `OTEL_*` variables.

use anyhow::{Result, ensure};
use headwater_tests::collector::Collector;
use headwater_tests::guests::guest;
use headwater_tests::trace_context::TraceParent;
use headwater_tests::{Client, Host};

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_the_spans_over_http() -> Result<()> {
    spans_arrive_by("http/protobuf").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_the_spans_over_grpc() -> Result<()> {
    spans_arrive_by("grpc").await
}

async fn spans_arrive_by(protocol: &str) -> Result<()> {
    let collector = Collector::start().await?;
    let mut host = Host::serve(guest("hello")?)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .start()
        .await?;
    let parent = TraceParent::fresh();
    let answer = Client::new()
        .get_tagged(host.url(), "otlp", &parent)
        .await?;
    ensure!(answer.status == 200);
    // The last batch is sent before the end.
    ensure!(host.stop().await?.success());

    let span = collector
        .wait_for("the request's span", |span| {
            hex(&span.trace_id) == parent.trace_id
        })
        .await?;
    ensure!(hex(&span.parent_span_id) == parent.span_id);
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
