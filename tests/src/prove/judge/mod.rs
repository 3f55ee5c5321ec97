//! Compares the request that each call was attributed to with the one it was made for.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, ensure};

use crate::prove::mix::{DIRECT, EARLY_RULING, Made, Rule, Ruling};
use crate::prove::observed::{Call, Client, Spans};
use crate::prove::plan::Plan;
use crate::prove::report::{Place, Report};

/// The attribution of a call, as far as it is visible outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// To the request that it was made for.
    Right,
    /// To another request.
    Wrong,
    /// To no request, because nothing is known.
    Unknown,
    /// To no request, because there are two candidates, or a doubt.
    Ambiguous,
}

/// Compares the observations with the plan.
pub(super) struct Judge<'a> {
    plan: &'a Plan,
    spans: &'a Spans,
    /// The traces that clients sent.
    traces: HashSet<u128>,
    /// The request ids, by request number.
    ids: HashMap<u32, &'a str>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(plan: &'a Plan, spans: &'a Spans) -> Self {
        let requests = plan.requests.iter();
        let servers = spans.servers.values();
        Self {
            plan,
            spans,
            traces: requests.map(|request| request.trace).collect(),
            ids: servers
                .map(|server| (server.request, &*server.id))
                .collect(),
        }
    }

    /// Judges each call, and adds it to the report.
    pub(super) fn calls(&self, calls: &[Call], report: &mut Report) {
        for call in calls {
            if let Err(error) = self.call(call, report) {
                report.problem(format!("{}: {error:#}", self.named(call)));
            }
        }
    }

    fn call(&self, call: &Call, report: &mut Report) -> Result<()> {
        let client = self.spans.clients.get(&call.span);
        let client = client.context("its traceparent names no client span of the trace file")?;
        ensure!(
            client.trace == call.trace,
            "its traceparent and its span have different traces: {client:?}"
        );
        let verdict = self.verdict(call, client)?;
        let (place, rule) = self.place(call)?;
        let own = call.request.and_then(|request| self.ids.get(&request));
        let candidates = client.candidates.as_deref().unwrap_or_default();
        let named = own.is_some_and(|own| candidates.split(',').any(|id| id == *own));
        report.count(place, verdict, named, client);

        let ruling = Ruling(&client.verdict, &client.witness);
        let allowed = rule.map_or(&[EARLY_RULING][..], |rule| rule.allowed);
        let allowed = allowed.iter();
        ensure!(
            allowed.into_iter().any(|allowed| *allowed == ruling),
            "the documentation says nothing of this verdict here: {client:?}"
        );
        ensure!(
            client.disagreement == (ruling.1 == "echo"),
            "a disagreement is noted where the echo is believed against the stack: {client:?}"
        );
        let limit = rule.is_some_and(|rule| rule.most_wrong.is_some());
        ensure!(
            verdict != Verdict::Wrong || limit,
            "WRONG: attributed to another request: {client:?}"
        );
        ensure!(
            named || ruling.1 != "both",
            "its own request, {own:?}, is no candidate: {client:?}"
        );
        Ok(())
    }

    /// Returns the verdict. An exact call must be below the server span of a request, and have its
    /// id; any other call must have its own trace.
    fn verdict(&self, call: &Call, client: &Client) -> Result<Verdict> {
        let none = match &*client.verdict {
            "exact" => None,
            "ambiguous" => Some(Verdict::Ambiguous),
            "unknown" => Some(Verdict::Unknown),
            other => anyhow::bail!("there is no verdict {other:?}: {client:?}"),
        };
        if let Some(verdict) = none {
            let alone = client.parent.is_none() && client.id.is_none();
            ensure!(
                alone && !self.traces.contains(&client.trace),
                "WRONG: it is {} and names a request: {client:?}",
                client.verdict
            );
            return Ok(verdict);
        }
        let server = self.spans.server_of(client);
        let server = server.with_context(|| format!("hangs under no server span: {client:?}"))?;
        ensure!(
            server.trace == client.trace && client.id.as_ref() == Some(&server.id),
            "its span and that above disagree: {client:?} under {server:?}"
        );
        let sent = self.plan.requests[server.request as usize].trace;
        ensure!(
            server.trace == sent,
            "the trace that the client sent was not continued: {server:?}"
        );
        Ok(if call.request == Some(server.request) {
            Verdict::Right
        } else {
            Verdict::Wrong
        })
    }

    fn place(&self, call: &Call) -> Result<(Place, Option<&'static Rule>)> {
        let Some(number) = call.request else {
            return Ok((Place::Early, None));
        };
        let request = &self.plan.requests[number as usize];
        let number = call.number.context("its path has no number")?;
        let rule = request.kind().rule(number);
        let rule = rule.with_context(|| format!("nobody should make call {number}"))?;
        let place = Place::Kind {
            service: request.service,
            kind: request.kind,
            of: rule.of,
        };
        Ok((place, Some(rule)))
    }

    /// Compares the calls that each request made with the planned ones.
    pub(super) fn numbers(&self, calls: &[Call], answered: &[bool], report: &mut Report) {
        let mut made: HashMap<(u32, u16), u16> = HashMap::new();
        for call in calls {
            if let (Some(request), Some(number)) = (call.request, call.number) {
                *made.entry((request, number)).or_default() += 1;
            }
        }
        for (request, nth) in self.plan.requests.iter().zip(0u32..) {
            let exactly = match request.kind().made {
                Made::All => true,
                Made::IfAnswered => answered[nth as usize],
                Made::OnceForAll | Made::UntilTrap | Made::UntilLeft(_) => false,
            };
            let nothing = request.kind().made == Made::IfAnswered && !exactly;
            for number in request.numbers() {
                let made = made.remove(&(nth, number)).unwrap_or(0);
                let copies = match number {
                    _ if nothing => 0,
                    DIRECT => 1,
                    _ => request.copies,
                };
                if made > copies || (exactly && made < copies) {
                    report.problem(format!(
                        "request {nth}, {}: call {number} was made {made} times, not {copies}",
                        request.path("UPSTREAM")
                    ));
                }
            }
        }
        for ((request, number), times) in made {
            report.problem(format!(
                "request {request}: call {number}, which it should not make, was made {times} times"
            ));
        }
    }

    fn named(&self, call: &Call) -> String {
        match call.request {
            None => "a call without a tag".to_owned(),
            Some(number) => {
                let path = self.plan.requests[number as usize].path("UPSTREAM");
                format!("call {:?} of request {number}, {path}", call.number)
            }
        }
    }
}

#[cfg(test)]
mod tests;
