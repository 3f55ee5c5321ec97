//! Reads spans and verdicts in process: `cargo run --example spans -- GUEST.wasm DESTINATION`.
//!
//! Prints each request, and each outgoing request with the request that it was made for. What spans say is in
//! `docs/reference/traces.md`. To export them, give the subscriber the layer of `tracing-opentelemetry` instead.

#![allow(
    clippy::print_stdout,
    reason = "it tells where it listens and what it reads"
)]

use std::collections::HashMap;
use std::error::Error;
use std::fmt::{self, Debug};

use headwater::{Host, Service};
use tokio_util::sync::CancellationToken;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// The target of the spans of requests.
const TARGET: &str = "headwater::request";

/// Prints spans when they end.
struct Printer;

/// The fields of a span. Some are known when it starts, the others are recorded before it ends.
#[derive(Default)]
struct Fields(HashMap<&'static str, String>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Printer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let extensions = span.extensions();
        let Some(fields) = extensions.get::<Fields>() else {
            return;
        };
        let status = fields.get("http.response.status_code");
        // Of an outgoing request that could be for several, or of unknown origin, there is none.
        let request = fields.get("headwater.request_id");
        match span.name() {
            "client" => println!(
                "outgoing {} {status} for {request}: {} ({})",
                fields.get("url.full"),
                fields.get("headwater.attribution"),
                fields.get("headwater.attribution.witness"),
            ),
            _ => println!("request {} {status} {request}", fields.get("url.path")),
        }
    }
}

impl Fields {
    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("-", String::as_str)
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0
            .insert(field.name(), fmt::format(format_args!("{value:?}")));
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(guest), Some(destination)) = (arguments.next(), arguments.next()) else {
        return Err(
            "name a guest and a destination: spans GUEST.wasm http://127.0.0.1:9000".into(),
        );
    };
    // With a filter of its own, so that the spans of other libraries stay off.
    let requests = Targets::new().with_target(TARGET, LevelFilter::INFO);
    tracing_subscriber::registry()
        .with(Printer.with_filter(requests))
        .init();

    let host = Host::builder()
        .service(Service::file("guest", guest)?.allow_outgoing(&destination)?)
        .listen(([127, 0, 0, 1], 0).into())
        .build()
        .await?;
    for address in host.addresses() {
        println!("Listening on {address}");
    }
    host.run(CancellationToken::new()).await;
    Ok(())
}
