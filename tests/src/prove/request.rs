//! One request of the plan.

use std::time::Duration;

use fastrand::Rng;

use super::mix::{DIRECT, Kind, Made, SERVICES, Service};
use crate::trace_context::TraceParent;

/// The request, its client, and the calls that it makes.
#[derive(Debug)]
pub(super) struct Planned {
    /// Index in [`SERVICES`].
    pub(super) service: usize,
    /// Index in the service's kinds.
    pub(super) kind: usize,
    pub(super) trace: u128,
    pub(super) span: u64,
    calls: u16,
    pub(super) copies: u16,
    wait: u64,
    /// The time when the client leaves, if it does.
    pub(super) leave: Option<Duration>,
}

impl Planned {
    pub(super) fn draw(index: usize, service: &Service, rng: &mut Rng) -> Self {
        let nth = by_share(service.kinds, rng);
        let kind = &service.kinds[nth];
        let calls = if kind.asks() {
            rng.u16(1..=kind.most_calls)
        } else {
            kind.most_calls
        };
        Self {
            service: index,
            kind: nth,
            trace: rng.u128(1..),
            span: rng.u64(1..),
            calls,
            copies: rng.u16(1..=kind.most_copies),
            wait: rng.u64(0..=kind.longest_wait),
            leave: match kind.made {
                Made::UntilLeft(most) => Some(Duration::from_millis(rng.u64(0..=most))),
                _ => None,
            },
        }
    }

    pub(super) fn kind(&self) -> &'static Kind {
        &SERVICES[self.service].kinds[self.kind]
    }

    /// Returns the maximum number of calls.
    pub(super) fn calls(&self) -> u64 {
        u64::from(self.calls) * u64::from(self.copies) + u64::from(self.kind().direct)
    }

    /// Returns the numbers of those calls, each once.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u16> {
        (0..self.calls).chain(self.kind().direct.then_some(DIRECT))
    }

    /// Returns the trace context that the client sends.
    pub(super) fn parent(&self) -> TraceParent {
        TraceParent {
            trace_id: format!("{:032x}", self.trace),
            span_id: format!("{:016x}", self.span),
        }
    }

    /// Returns path and query, after the service's route.
    pub(super) fn path(&self, upstream: &str) -> String {
        let path = self
            .kind()
            .path
            .replace("=K", &format!("={}", self.calls))
            .replace("=N", &format!("={}", self.copies))
            .replace("=W", &format!("={}", self.wait));
        let and = if path.contains('?') { '&' } else { '?' };
        let base = SERVICES[self.service].base;
        format!("{base}{path}{and}to={upstream}")
    }
}

fn by_share(kinds: &[Kind], rng: &mut Rng) -> usize {
    let all: u32 = kinds.iter().map(|kind| kind.share).sum();
    let mut drawn = rng.u32(0..all);
    for (nth, kind) in kinds.iter().enumerate() {
        if drawn < kind.share {
            return nth;
        }
        drawn -= kind.share;
    }
    0
}
