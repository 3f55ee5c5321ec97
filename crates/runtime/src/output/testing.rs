//! Captures log records in tests.

use std::fmt;
use std::sync::{Arc, Mutex};

use headwater_core::{RequestId, RequestScope, ScopeParts, SpanContext};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) text: String,
    pub(crate) request: Option<String>,
    pub(crate) dropped: Option<u64>,
    pub(crate) verdict: Option<String>,
}

/// Runs `work` and returns the records that it logged.
pub(crate) fn logged(work: impl FnOnce()) -> Vec<Logged> {
    let all = Arc::<Mutex<Vec<Logged>>>::default();
    // With a single subscriber in the process, tracing caches for all threads the interest of the first
    // thread that reaches an event; other tests have no subscriber.
    let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    tracing::subscriber::with_default(Keeper(all.clone()), work);
    let mut all = all.lock().unwrap();
    std::mem::take(&mut *all)
}

pub(crate) fn texts(logged: &[Logged]) -> Vec<&str> {
    logged.iter().map(|line| line.text.as_str()).collect()
}

pub(crate) fn scope() -> Arc<RequestScope> {
    RequestScope::new(ScopeParts {
        id: RequestId::new(),
        parent: None,
        span: SpanContext::empty_context(),
        service: "test".into(),
        route: "/...".into(),
        host: None,
        client: None,
        started: std::time::Instant::now(),
        deadline: None,
    })
}

struct Keeper(Arc<Mutex<Vec<Logged>>>);

impl Subscriber for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "headwater::guest"
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Logged::default();
        event.record(&mut line);
        self.0.lock().unwrap().push(line);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Visit for Logged {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "dropped_lines" {
            self.dropped = Some(value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.text = text,
            "request_id" => self.request = Some(text),
            "headwater.attribution" => self.verdict = Some(text),
            _ => {}
        }
    }
}
