//! The observations, in as little memory as possible.

use std::collections::HashMap;
use std::iter::successors;
use std::path::Path;

use anyhow::{Context, Result};

use super::plan::Plan;
use crate::trace_file::{self, Kind, Span};
use crate::upstream;

/// A call that the upstream received.
#[derive(Debug)]
pub(super) struct Call {
    /// The request that it was made for, by its tag; `None` without a tag.
    pub(super) request: Option<u32>,
    /// The number in its path; `None` if there is no number.
    pub(super) number: Option<u16>,
    /// The trace and the span in its `traceparent`, zero if there is none.
    pub(super) trace: u128,
    pub(super) span: u64,
}

/// The spans of the trace file.
#[derive(Debug, Default)]
pub(super) struct Spans {
    /// The server spans by id.
    pub(super) servers: HashMap<u64, Server>,
    /// The client spans by id.
    pub(super) clients: HashMap<u64, Client>,
    /// The parents of the spans of links by their ids.
    links: HashMap<u64, u64>,
}

/// The span of an incoming request.
#[derive(Debug)]
pub(super) struct Server {
    /// The request that was sent with its parent.
    pub(super) request: u32,
    pub(super) trace: u128,
    pub(super) id: Box<str>,
}

/// The span of an outgoing request.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) trace: u128,
    pub(super) parent: Option<u64>,
    /// The request id, if the span has one.
    pub(super) id: Option<Box<str>>,
    pub(super) verdict: Box<str>,
    pub(super) witness: Box<str>,
    /// The candidate request ids of an ambiguous span.
    pub(super) candidates: Option<Box<str>>,
    pub(super) disagreement: bool,
}

impl Call {
    /// # Errors
    ///
    /// Returns an error if its tag was never sent.
    pub(super) fn of(call: &upstream::Call, plan: &Plan) -> Result<Self> {
        let request = match call.tag.as_deref() {
            None | Some("") => None,
            Some(tag) => Some(
                tag.parse()
                    .ok()
                    .filter(|&number: &u32| (number as usize) < plan.requests.len())
                    .with_context(|| format!("a call with the tag {tag:?}, which nobody sent"))?,
            ),
        };
        let number = call.path.strip_prefix("/call/");
        let (trace, span) = match &call.traceparent {
            Some(seen) => (
                u128::from_str_radix(&seen.trace_id, 16)?,
                u64::from_str_radix(&seen.span_id, 16)?,
            ),
            None => (0, 0),
        };
        Ok(Self {
            request,
            number: number.and_then(|number| number.parse().ok()),
            trace,
            span,
        })
    }
}

impl Spans {
    /// Reads a trace file whose writer has finished, line by line.
    pub(super) fn read(path: &Path, plan: &Plan) -> Result<Self> {
        let requests = plan.requests.iter().zip(0u32..);
        let sent: HashMap<u64, u32> = requests
            .map(|(request, number)| (request.span, number))
            .collect();
        let mut spans = Self::default();
        trace_file::each_span(path, |span| spans.note(&span, &sent))?;
        Ok(spans)
    }

    /// Returns the server span that a client span is below, with the links of a chain in between.
    pub(super) fn server_of(&self, client: &Client) -> Option<&Server> {
        let above = |id: &u64| self.links.get(id).copied();
        // A cycle would be endless, and chains are shorter.
        let mut way = successors(client.parent, above).take(20);
        way.find_map(|id| self.servers.get(&id))
    }

    fn note(&mut self, span: &Span, sent: &HashMap<u64, u32>) -> Result<()> {
        let id = u64::from_str_radix(&span.span_id, 16)?;
        let trace = u128::from_str_radix(&span.trace_id, 16)?;
        let parent = span.parent_id.as_deref();
        let parent = parent.map(|id| u64::from_str_radix(id, 16)).transpose()?;
        let text = |name| span.attribute(name).map(Box::from);
        match span.kind {
            Kind::Server => {
                let request = parent.and_then(|parent| sent.get(&parent));
                let request = request.with_context(|| format!("nobody sent this: {span:?}"))?;
                let server = Server {
                    request: *request,
                    trace,
                    id: text("headwater.request_id").unwrap_or_default(),
                };
                self.servers.insert(id, server);
            }
            Kind::Client => {
                let client = Client {
                    trace,
                    parent,
                    id: text("headwater.request_id"),
                    verdict: text("headwater.attribution").unwrap_or_default(),
                    witness: text("headwater.attribution.witness").unwrap_or_default(),
                    candidates: text("headwater.attribution.candidates"),
                    disagreement: span.attribute("headwater.attribution.disagreement")
                        == Some("true"),
                };
                self.clients.insert(id, client);
            }
            // Of a link of a chain: its parent is the link in front of it, or the server span.
            Kind::Other => self.links.extend(parent.map(|parent| (id, parent))),
        }
        Ok(())
    }
}
