use std::time::Duration;

use super::*;
use crate::prove::mix::{DIRECT, SERVICES};
use crate::prove::observed::Server;
use crate::prove::request::Planned;

/// Returns the numbers of two requests of a kind that makes at least one call.
fn two(plan: &Plan, service: &str, mode: &str) -> [u32; 2] {
    let wanted = |nth: &u32| {
        let request = &plan.requests[*nth as usize];
        SERVICES[request.service].name == service && request.kind().mode == mode
    };
    let mut requests = (0..u32::try_from(plan.requests.len()).unwrap()).filter(wanted);
    [requests.next().unwrap(), requests.next().unwrap()]
}

/// Returns spans as a host writes them: one for each of these requests, with its number as id.
fn servers(plan: &Plan, requests: &[u32]) -> Spans {
    let mut spans = Spans::default();
    for &request in requests {
        let server = Server {
            request,
            trace: plan.requests[request as usize].trace,
            id: request.to_string().into(),
        };
        spans.servers.insert(u64::from(request), server);
    }
    spans
}

/// Records that call 0 of `request` was attributed to `named`, and returns the call.
fn attribute(plan: &Plan, spans: &mut Spans, request: u32, named: u32, ruling: Ruling<'_>) -> Call {
    let span = 1_000_000 + spans.clients.len() as u64;
    let exact = ruling.0 == "exact";
    let trace = plan.requests[named as usize].trace ^ u128::from(!exact);
    let client = Client {
        trace,
        parent: exact.then_some(u64::from(named)),
        id: exact.then(|| named.to_string().into()),
        verdict: ruling.0.into(),
        witness: ruling.1.into(),
        candidates: None,
        disagreement: ruling.1 == "echo",
    };
    spans.clients.insert(span, client);
    Call {
        request: Some(request),
        number: Some(0),
        trace,
        span,
    }
}

fn judge(plan: &Plan, spans: &Spans, calls: &[Call]) -> Report {
    let mut report = Report::new(1, 0, 0, Duration::ZERO);
    Judge::new(plan, spans).calls(calls, &mut report);
    report
}

const FANOUT: [&str; 2] = ["fanout", "calls at once"];
const STACK: Ruling<'_> = Ruling("exact", "stack");

fn verdict_on(guest: [&str; 2], another: bool, ruling: Ruling<'_>) -> Report {
    let plan = Plan::draw(4_000, 1);
    let [own, other] = two(&plan, guest[0], guest[1]);
    let mut spans = servers(&plan, &[own, other]);
    let named = if another { other } else { own };
    let call = attribute(&plan, &mut spans, own, named, ruling);
    judge(&plan, &spans, &[call])
}

#[test]
fn a_call_under_its_own_request_is_right() {
    let report = verdict_on(FANOUT, false, STACK);
    assert!(report.good(), "{report}");
    assert_eq!(report.calls(), 1);
}

#[test]
fn a_call_under_another_s_request_is_wrong_and_disproves() {
    let report = verdict_on(FANOUT, true, STACK);
    assert!(!report.good());
    assert_eq!(report.wrong(), 1);
    assert!(report.to_string().contains("NOT PROVEN"), "{report}");
}

#[test]
fn the_documented_limit_is_told_apart() {
    let limit = ["executor", "no witness"];
    let report = verdict_on(limit, true, STACK);
    assert!(report.good(), "{report}");
    assert_eq!((report.calls(), report.wrong()), (1, 0));
    // The limit does not apply to other calls.
    let report = verdict_on(["executor", "token"], true, Ruling("exact", "declaration"));
    assert_eq!(report.wrong(), 1);
}

#[test]
fn doubt_that_is_not_documented_disproves() {
    for ruling in [
        Ruling("unknown", "none"),
        Ruling("ambiguous", "stack"),
        Ruling("exact", "sole"),
    ] {
        let report = verdict_on(FANOUT, false, ruling);
        assert!(!report.good(), "{ruling:?}");
        assert_eq!(report.wrong(), 0);
    }
}

#[test]
fn a_doubtful_call_in_a_request_s_trace_disproves() {
    let plan = Plan::draw(4_000, 1);
    let [own, other] = two(&plan, "executor-lying", "token, another's echo");
    for trace in [other, own] {
        let mut spans = servers(&plan, &[own, other]);
        let mut call = attribute(&plan, &mut spans, own, own, Ruling("ambiguous", "both"));
        let client = spans.clients.get_mut(&call.span).unwrap();
        client.candidates = Some(format!("{other},{own}").into());
        client.trace = plan.requests[trace as usize].trace;
        call.trace = client.trace;
        assert!(!judge(&plan, &spans, &[call]).good());
    }
}

#[test]
fn what_is_ambiguous_names_its_own_request_among_others() {
    let plan = Plan::draw(4_000, 1);
    let [own, other] = two(&plan, "executor-lying", "token, another's echo");
    for (candidates, good) in [(format!("{other},{own}"), true), (other.to_string(), false)] {
        let mut spans = servers(&plan, &[own, other]);
        let call = attribute(&plan, &mut spans, own, own, Ruling("ambiguous", "both"));
        let client = spans.clients.get_mut(&call.span).unwrap();
        client.candidates = Some(candidates.into());
        assert_eq!(judge(&plan, &spans, &[call]).good(), good);
    }
}

#[test]
fn a_call_without_a_span_disproves() {
    let plan = Plan::draw(4_000, 1);
    let [own, _] = two(&plan, FANOUT[0], FANOUT[1]);
    let mut spans = servers(&plan, &[own]);
    let call = attribute(&plan, &mut spans, own, own, STACK);
    spans.clients.clear();
    assert!(!judge(&plan, &spans, &[call]).good());
}

#[test]
fn calls_that_are_missing_or_too_many_disprove() {
    let plan = Plan::draw(4_000, 1);
    let spans = Spans::default();
    let call = |request, number| Call {
        request: Some(request),
        number: Some(number),
        trace: 1,
        span: 1,
    };
    let certain = |request: &&Planned| request.kind().made == Made::All;
    let mut calls = Vec::new();
    for (request, nth) in plan.requests.iter().zip(0..) {
        if certain(&request) {
            for number in request.numbers() {
                let copies = if number == DIRECT { 1 } else { request.copies };
                calls.extend((0..copies).map(|_| call(nth, number)));
            }
        }
    }
    let good = |calls: &[Call]| {
        let mut report = Report::new(1, 0, 0, Duration::ZERO);
        let answered = vec![false; plan.requests.len()];
        Judge::new(&plan, &spans).numbers(calls, &answered, &mut report);
        report.good()
    };
    assert!(good(&calls));
    let last = calls.pop().unwrap();
    assert!(!good(&calls), "one is missing");
    let again = call(last.request.unwrap(), last.number.unwrap());
    calls.extend([last, again]);
    assert!(!good(&calls), "one was made twice");
    calls.pop();
    let [own, _] = two(&plan, FANOUT[0], FANOUT[1]);
    calls.push(call(own, 99));
    assert!(!good(&calls), "one is nobody's");
}
