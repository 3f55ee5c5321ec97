//! The text of spans.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use headwater_core::Printable;
use opentelemetry::Value;
use opentelemetry::trace::{SpanId, SpanKind};
use opentelemetry_sdk::trace::SpanData;

use super::MAX_CHILDREN;
use crate::attributes::*;

/// The outgoing requests and the links of an open request.
#[derive(Debug, Default)]
pub(super) struct Tree {
    calls: Vec<Call>,
    /// The trees of called services of this host, in the order of their ends.
    called: HashMap<SpanId, Vec<String>>,
    /// The number that ended beyond [`MAX_CHILDREN`].
    more: usize,
    /// The number that have not ended.
    pub(super) running: usize,
}

/// An outgoing request, or a link of a chain, that has ended.
#[derive(Debug)]
pub(super) struct Call {
    id: SpanId,
    parent: SpanId,
    started: SystemTime,
    /// The text before and after the time at which it started.
    text: [String; 2],
}

/// The position of an outgoing request on a separate line.
#[derive(Debug, Clone, Copy)]
pub(super) enum TreePosition {
    /// Belongs to a request that is answered already.
    Late,
    /// Belongs to a request without a tree, because too many were open.
    Untracked,
    /// Belongs to no known request.
    Nowhere,
}

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Palette {
    pub(super) color: bool,
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BOLD_RED: &str = "1;31";

impl Tree {
    pub(super) fn add(&mut self, call: Call) {
        if self.calls.len() < MAX_CHILDREN {
            self.calls.push(call);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn add_called(&mut self, call: SpanId, tree: &str) {
        if self.called.len() < MAX_CHILDREN {
            let lines = tree.lines().map(str::to_owned);
            self.called.entry(call).or_default().extend(lines);
        }
    }
}

impl Palette {
    /// Formats a request with its outgoing requests beneath; without a tree only the request.
    pub(super) fn tree(self, span: &SpanData, tree: Option<&Tree>) -> String {
        let mut text = format!(
            "{} {}  {}  {} {}  {}\n",
            self.paint(BOLD, method(span)),
            clean(&target(span)),
            self.outcome(span),
            duration(span),
            clean(&value(span, SERVICE)),
            self.paint(DIM, format_args!("#{}", request(span))),
        );
        let Some(tree) = tree else {
            text.push_str(
                "└─ … its outgoing requests are printed separately: too many requests are open\n",
            );
            return text;
        };
        let mut children = self.calls(span, tree, span.span_context.span_id());
        children.extend(self.notes(span, tree));
        text.push_str(&branches(&children));
        text
    }

    /// Formats the outgoing requests and links under a span, in the order in which they began, with the lines
    /// beneath them.
    fn calls(self, request: &SpanData, tree: &Tree, parent: SpanId) -> Vec<Vec<String>> {
        let is_top = parent == request.span_context.span_id();
        let has_ended = |id| tree.calls.iter().any(|call| call.id == id);
        let mut calls: Vec<_> = tree
            .calls
            .iter()
            // What a link has done that still runs has no other place.
            .filter(|call| call.parent == parent || (is_top && !has_ended(call.parent)))
            .collect();
        calls.sort_by_key(|call| call.started);
        let calls = calls.into_iter().map(|call| {
            let at = since(request.start_time, call.started);
            let at = self.paint(DIM, format_args!("at {at}")).to_string();
            let [before, after] = &call.text;
            let mut lines = vec![format!("{before} {at}  {after}").trim_end().to_owned()];
            let beneath = branches(&self.calls(request, tree, call.id));
            lines.extend(beneath.lines().map(str::to_owned));
            lines.extend(tree.called.get(&call.id).into_iter().flatten().cloned());
            lines
        });
        calls.collect()
    }

    fn notes(self, span: &SpanData, tree: &Tree) -> Vec<Vec<String>> {
        let mut notes = Vec::new();
        if tree.more > 0 {
            notes.push(format!("… and {} more", tree.more));
        }
        if tree.running > 0 {
            notes.push(format!("… {} still running", tree.running));
        }
        let notes = notes
            .iter()
            .map(|note| vec![self.paint(DIM, note).to_string()]);
        let cause = value(span, FAULT_CAUSE);
        let cause = (!cause.is_empty()).then(|| vec![self.paint(RED, clean(&cause)).to_string()]);
        notes.chain(cause).collect()
    }

    pub(super) fn call(self, span: &SpanData) -> Call {
        let [before, after] = self.outgoing(span);
        Call {
            id: span.span_context.span_id(),
            parent: span.parent_span_id,
            started: span.start_time,
            text: [before, after],
        }
    }

    /// Formats an outgoing request without a line end, in two parts, between which its start time fits.
    fn outgoing(self, span: &SpanData) -> [String; 2] {
        let verdict = value(span, ATTRIBUTION);
        if span.span_kind == SpanKind::Internal {
            let before = format!(
                "{}  {}  {} ",
                self.paint(BOLD, clean(&span.name)),
                self.outcome(span),
                duration(span),
            );
            // The first link has no verdict: the host calls it.
            if verdict.is_empty() {
                return [before, String::new()];
            }
            let verdict = format!("{verdict} ({})", value(span, ATTRIBUTION_WITNESS));
            return [before, self.paint(GREEN, verdict).to_string()];
        }
        let code = if verdict == "exact" { GREEN } else { BOLD_RED };
        let verdict = format!("{verdict} ({})", value(span, ATTRIBUTION_WITNESS));
        let before = format!(
            "{} {}  {}  {} ",
            self.paint(BOLD, method(span)),
            clean(short_url(&value(span, URL_FULL))),
            self.outcome(span),
            duration(span),
        );
        [before, self.paint(code, verdict).to_string()]
    }

    pub(super) fn line(self, span: &SpanData, place: TreePosition) -> String {
        let outgoing = self.outgoing(span).join(" ");
        let service = value(span, SERVICE);
        let service = clean(&service);
        let request = request(span);
        match place {
            TreePosition::Late => {
                let note = format!("of #{request} ({service}), after its response");
                format!("↳ {outgoing}  {}\n", self.paint(YELLOW, note))
            }
            TreePosition::Untracked => {
                let note = format!("of #{request} ({service})");
                format!("↳ {outgoing}  {}\n", self.paint(DIM, note))
            }
            TreePosition::Nowhere => {
                let note = format!("of no known request ({service})");
                let mark = self.paint(BOLD_RED, "!!");
                format!("{mark} {outgoing}  {}\n", self.paint(BOLD_RED, note))
            }
        }
    }

    /// Formats the status, or the error in place of one, or both.
    fn outcome(self, span: &SpanData) -> String {
        let status = value(span, HTTP_RESPONSE_STATUS_CODE);
        let error = value(span, ERROR_TYPE);
        let code = match status.as_bytes().first() {
            Some(b'5') | None => RED,
            Some(b'4') => YELLOW,
            Some(_) => GREEN,
        };
        let text = match (status.is_empty(), error.is_empty()) {
            (true, true) => Cow::Borrowed("no response"),
            (false, true) => status,
            (true, false) => error,
            (false, false) if status == error => status,
            (false, false) => format!("{status} {error}").into(),
        };
        self.paint(code, clean(&text)).to_string()
    }

    fn paint<T: fmt::Display>(self, code: &'static str, text: T) -> Paint<T> {
        let code = self.color.then_some(code);
        Paint { code, text }
    }
}

/// Draws the branches of a tree, each with the lines beneath it.
fn branches(children: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (i, lines) in children.iter().enumerate() {
        let (first, further) = if i + 1 == children.len() {
            ("└─", "  ")
        } else {
            ("├─", "│ ")
        };
        let branches = std::iter::once(first).chain(std::iter::repeat(further));
        for (line, branch) in lines.iter().zip(branches) {
            text.push_str(branch);
            text.push(' ');
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

struct Paint<T> {
    code: Option<&'static str>,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Paint<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "\x1b[{code}m{}\x1b[0m", self.text),
            None => self.text.fmt(f),
        }
    }
}

/// Escapes in outside text everything that a terminal would obey.
fn clean(text: &str) -> Printable<'_> {
    Printable(text.as_bytes())
}

fn value<'a>(span: &'a SpanData, key: &str) -> Cow<'a, str> {
    span.attributes
        .iter()
        .find(|attribute| attribute.key.as_str() == key)
        .map(|attribute| match &attribute.value {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            other => Cow::Owned(other.to_string()),
        })
        .unwrap_or_default()
}

/// Returns host, port and path of an incoming request, in the form of outgoing requests.
fn target(span: &SpanData) -> String {
    let [address, port, scheme, path] =
        [SERVER_ADDRESS, SERVER_PORT, URL_SCHEME, URL_PATH].map(|key| value(span, key));
    let address = match address.contains(':') {
        // IPv6, without brackets in the conventions.
        true => format!("[{address}]"),
        false => address.into_owned(),
    };
    match (&*scheme, &*port) {
        (_, "") | ("http", "80") | ("https", "443") => format!("{address}{path}"),
        _ => format!("{address}:{port}{path}"),
    }
}

/// Methods are tokens and need no cleaning.
fn method(span: &SpanData) -> Cow<'_, str> {
    let original = value(span, HTTP_REQUEST_METHOD_ORIGINAL);
    if original.is_empty() {
        value(span, HTTP_REQUEST_METHOD)
    } else {
        original
    }
}

/// Returns the short form of the request's id, as [`headwater_core::RequestId::short`].
fn request(span: &SpanData) -> String {
    let id = value(span, REQUEST_ID);
    let id = id.get(id.len().saturating_sub(8)..).unwrap_or_default();
    if id.is_empty() { "?" } else { id }.to_owned()
}

/// Returns host, port and path; the query says little and is long.
fn short_url(url: &str) -> &str {
    let url = url.split_once("://").map_or(url, |(_, rest)| rest);
    url.split_once('?').map_or(url, |(rest, _)| rest)
}

fn duration(span: &SpanData) -> String {
    since(span.start_time, span.end_time)
}

fn since(start: SystemTime, end: SystemTime) -> String {
    // The clock may have been set back meanwhile.
    let passed = end.duration_since(start).unwrap_or(Duration::ZERO);
    format!("{:.1} ms", passed.as_secs_f64() * 1e3)
}
