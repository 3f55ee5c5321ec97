use headwater_core::Witness;

use super::*;
use crate::output::testing::{Logged, logged, scope, texts};

fn instance() -> InstanceOutput {
    InstanceOutput::new(ServiceOutput::new("test".into()), Some(0))
}

fn exact(scope: &Arc<RequestScope>) -> Attribution {
    Attribution::exact(scope.clone(), Witness::Stack)
}

fn print(instance: &InstanceOutput, whose: &Attribution, text: &str) {
    instance.write(whose, Stream::Stderr, Origin::Shared, text.as_bytes());
}

#[test]
fn pieces_of_two_requests_make_a_line_of_each() {
    let (a, b) = (scope(), scope());
    let lines = logged(|| {
        let instance = instance();
        for (whose, piece) in [(&a, "a1"), (&b, "b1"), (&a, "a2\n"), (&b, "b2\n")] {
            print(&instance, &exact(whose), piece);
        }
    });
    assert_eq!(texts(&lines), ["a1a2", "b1b2"]);
    for (line, scope) in lines.iter().zip([&a, &b]) {
        assert_eq!(line.request, Some(scope.id().to_string()));
        assert_eq!(line.verdict.as_deref(), Some("exact"));
        assert_eq!(Counters::get(&scope.counters().log_lines), 1);
    }
}

#[test]
fn streams_of_one_request_are_not_mixed() {
    let whose = exact(&scope());
    let lines = logged(|| {
        let instance = instance();
        let (one, two) = (instance.open(), instance.open());
        for (stream, origin, piece) in [
            (Stream::Stdout, one, "1"),
            (Stream::Stdout, two, "2"),
            (Stream::Stdout, Origin::Shared, "3"),
            (Stream::Stderr, Origin::Shared, "4"),
            (Stream::Stdout, one, "1\n"),
            (Stream::Stderr, Origin::Shared, "4\n"),
        ] {
            instance.write(&whose, stream, origin, piece.as_bytes());
        }
        instance.close(&whose, Stream::Stdout, two);
        instance.write(&whose, Stream::Stdout, Origin::Shared, b"3\n");
    });
    assert_eq!(texts(&lines), ["11", "44", "2", "33"]);
}

#[test]
fn pieces_of_no_known_request_are_never_put_together() {
    let lines = logged(|| {
        let instance = instance();
        for piece in ["x", "y\nz", "\n"] {
            print(&instance, &Attribution::unknown(), piece);
        }
        print(&instance, &Attribution::ambiguous(Witness::Stack), "w");
    });
    assert_eq!(texts(&lines), ["x", "y", "z", "w"]);
    assert!(lines.iter().all(|line| line.request.is_none()));
    assert_eq!(lines[0].verdict.as_deref(), Some("unknown"));
    assert_eq!(lines[3].verdict.as_deref(), Some("ambiguous"));
}

#[test]
fn an_instance_that_ends_gives_out_all_lines() {
    let (a, b) = (scope(), scope());
    let lines = logged(|| {
        let instance = instance();
        print(&instance, &exact(&a), "a");
        print(&instance, &exact(&b), "b");
        drop(instance);
    });
    let mut texts = texts(&lines);
    texts.sort_unstable();
    assert_eq!(texts, ["a", "b"]);
}

#[test]
fn a_line_without_an_end_waits_for_its_request_to_be_over_and_then_rests() {
    let scope = scope();
    let instance = instance();
    let sweep = |after| {
        let mut left = true;
        let lines = logged(|| left = instance.0.sweep(Instant::now() + after));
        (texts(&lines).join(" "), left)
    };
    print(&instance, &exact(&scope), "half");
    assert_eq!(sweep(LINGER * 100), (String::new(), true), "it still runs");
    scope.end();
    assert_eq!(sweep(Duration::ZERO), (String::new(), true), "not rested");
    assert_eq!(sweep(LINGER).0, "half");
    // The allowance is full again by then, and the account is removed.
    assert_eq!(sweep(LINGER * 100), (String::new(), false));
    assert!(instance.0.book.lock().accounts.is_empty());
}

#[test]
fn what_a_request_prints_too_much_is_counted_and_another_is_not_concerned() {
    const PRINTED: u64 = 5_000;
    let (loud, quiet) = (scope(), scope());
    let lines = logged(|| {
        let instance = instance();
        for i in 0..PRINTED {
            print(&instance, &exact(&loud), &format!("line {i}\n"));
        }
        print(&instance, &exact(&quiet), "quiet\n");
    });
    let id = Some(loud.id().to_string());
    let of_loud = || lines.iter().filter(|line| line.request == id);
    let dropped: u64 = of_loud().filter_map(|line| line.dropped).sum();
    let logged = Counters::get(&loud.counters().log_lines);
    assert_eq!(logged + dropped, PRINTED);
    assert!(logged >= REQUEST_RATE.burst / (RECORD + 9), "{logged}");
    assert!(dropped > 0);
    assert_eq!(Counters::get(&quiet.counters().log_lines), 1);
    assert!(lines.iter().any(|line| line.text == "quiet"));
}

#[test]
fn what_a_service_prints_too_much_is_counted_over_its_instances() {
    let rate = Rate {
        burst: 4 * (RECORD + 5),
        per_second: 0,
    };
    let lines = logged(|| {
        let service = ServiceOutput::bounded("test".into(), rate);
        for number in 0..10 {
            let instance = InstanceOutput::new(service.clone(), Some(number));
            print(&instance, &exact(&scope()), "12345\n");
        }
    });
    let dropped: Vec<_> = lines.iter().filter_map(|line| line.dropped).collect();
    let of_requests = |line: &&Logged| line.request.is_some();
    assert_eq!(lines.iter().filter(of_requests).count(), 4);
    assert_eq!(dropped, [6]);
    // The start of dropping is reported, and the number at the end.
    assert_eq!(lines.len(), 6);
}

#[test]
fn a_guest_cannot_keep_many_lines_open() {
    let whose = exact(&scope());
    let lines = logged(|| {
        let instance = instance();
        for _ in 0..10 * MOST_OPEN {
            instance.write(&whose, Stream::Stdout, instance.open(), b"x");
        }
        let book = instance.0.book.lock();
        let account = book.accounts.values().next().unwrap();
        assert_eq!(account.lines.len(), MOST_OPEN);
    });
    assert_eq!(lines.len(), 10 * MOST_OPEN);
}
