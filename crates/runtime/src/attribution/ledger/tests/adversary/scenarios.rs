//! Attacks that guests may try, and that must fail.

use super::Step::{Open, Start};
use super::components::{Part, composed};
use super::{Listen, Named, Step, play};
use crate::attribution::Evidence;

const ENTRIES: Evidence = Evidence::Ledger(Listen::Entries);
const EVERYWHERE: Evidence = Evidence::Ledger(Listen::Everywhere);

/// Returns at once; calls `note` when the gate of its request's number is open.
const LATE: Part<'_> = Part {
    name: "late",
    calls: &[],
    calls_now: &[],
    exports: &["work"],
    exports_now: &[],
    code: r#"
      (func (export "work") (param $who i32) (result i32)
        (call $begin (local.get $who))
        (call $return)
        (call $wait (local.get $who)))
      (func (export "work-on") (param i32 i32 i32) (result i32)
        (call $drop (local.get 1))
        (call $note (call $who))
        (i32.const 0))"#,
};

/// Calls `work`, which returns at once, and ends.
const LEAVES: Part<'_> = Part {
    name: "leaves",
    calls: &["work"],
    calls_now: &[],
    exports: &["run"],
    exports_now: &[],
    code: r#"
      (func (export "run") (param $who i32) (result i32)
        (drop (call $work (local.get $who)))
        (call $return)
        (i32.const 0))
      (func (export "run-on") (param i32 i32 i32) (result i32) unreachable)"#,
};

/// Each request's caller is gone when the next starts and reuses its number.
fn one_after_the_other(requests: u32) -> Vec<Step> {
    let starts = (1..=requests).map(Start);
    starts.chain((1..=requests).rev().map(Open)).collect()
}

#[tokio::test]
async fn work_whose_caller_is_gone_is_exact() {
    for evidence in [ENTRIES, EVERYWHERE] {
        let steps = one_after_the_other(20);
        let outcome = play(&composed(&[LATE, LEAVES]), evidence, &steps).await;
        outcome.all_exact(20);
    }
}

/// If this fails, wasmtime's call stack has become right for composed components (its issue 14247),
/// and the ledger can be removed.
#[tokio::test]
async fn the_stack_alone_is_still_wrong() {
    let steps = one_after_the_other(20);
    let outcome = play(&composed(&[LATE, LEAVES]), Evidence::Stack, &steps).await;
    let wrong = |(who, named): &(u32, Named)| matches!(named, Named::Exact(other) if other != who);
    assert!(outcome.notes.iter().any(wrong), "{outcome:?}");
}

#[tokio::test]
async fn three_levels_of_callers_that_are_gone_are_exact() {
    let middle = Part {
        name: "middle",
        calls: &["work"],
        exports: &["pass"],
        code: r#"
          (func (export "pass") (param $who i32) (result i32)
            (call $begin (local.get $who))
            (call $return)
            (call $wait (i32.add (i32.const 100) (local.get $who))))
          (func (export "pass-on") (param i32 i32 i32) (result i32)
            (call $drop (local.get 1))
            (drop (call $work (call $who)))
            (i32.const 0))"#,
        ..Part::default()
    };
    let outer = Part {
        calls: &["pass"],
        code: &LEAVES.code.replace("$work", "$pass"),
        ..LEAVES
    };
    let text = composed(&[LATE, middle, outer]);
    let mut steps: Vec<Step> = (1..=20).map(Start).collect();
    steps.extend((1..=20).rev().map(|who| Open(100 + who)));
    steps.extend((21..=30).map(Start));
    steps.extend((1..=20).map(Open));
    steps.extend((21..=30).map(|who| Open(100 + who)));
    steps.extend((21..=30).map(Open));
    play(&text, ENTRIES, &steps).await.all_exact(30);
}

/// The middle one outlives its caller and then calls another, which may reuse the caller's number:
/// then each is the other's caller, and the walk never ends.
#[tokio::test]
async fn a_circle_of_callers_is_no_circle() {
    let middle = Part {
        name: "middle",
        calls: &["work"],
        exports: &["pass"],
        code: r#"
          (func (export "pass") (param $who i32) (result i32)
            (call $begin (local.get $who))
            (call $return)
            (i32.const 1))
          (func (export "pass-on") (param i32 i32 i32) (result i32)
            (drop (call $work (call $who)))
            (i32.const 0))"#,
        ..Part::default()
    };
    let outer = Part {
        calls: &["pass"],
        code: &LEAVES.code.replace("$work", "$pass"),
        ..LEAVES
    };
    let text = composed(&[LATE, middle, outer]);
    play(&text, ENTRIES, &[Start(1), Open(1)])
        .await
        .all_exact(1);
}

/// Request 1 leaves a subtask that has ended without its end being observed. Request 2 drops it and
/// calls at once: its callee has the number of request 1's, before a checkpoint can run.
#[tokio::test]
async fn a_number_that_is_freed_and_used_in_one_go_misleads_nobody() {
    let inner = Part {
        name: "inner",
        exports: &["work"],
        code: r#"
          (func (export "work") (param $who i32) (result i32)
            (call $begin (local.get $who))
            (if (i32.eq (local.get $who) (i32.const 1)) (then (return (call $wait (i32.const 11)))))
            (call $note (local.get $who))
            (call $return)
            (i32.const 0))
          (func (export "work-on") (param i32 i32 i32) (result i32)
            (call $drop (local.get 1))
            (call $return)
            (i32.const 0))"#,
        ..Part::default()
    };
    let outer = Part {
        name: "outer",
        calls: &["work"],
        exports: &["run"],
        code: r#"
          (global $left (mut i32) (i32.const 0))
          (func (export "run") (param $who i32) (result i32)
            (local $set i32)
            (call $begin (local.get $who))
            (call $return)
            (if (i32.eq (local.get $who) (i32.const 3)) (then (return (call $wait (i32.const 31)))))
            (if (i32.eq (local.get $who) (i32.const 1)) (then
              (global.set $left (call $handle (call $work (local.get $who))))
              (return (call $wait (i32.const 21)))))
            (local.set $set (call $set-new))
            (call $join (global.get $left) (local.get $set))
            (drop (call $poll (local.get $set) (i32.const 0)))
            (call $drop (global.get $left))
            (drop (call $work (local.get $who)))
            (i32.const 0))
          (func (export "run-on") (param i32 i32 i32) (result i32)
            (call $drop (local.get 1))
            (i32.const 0))"#,
        ..Part::default()
    };
    let text = composed(&[inner, outer]);
    // Request 3 keeps the instance from being settled.
    let steps = [Start(3), Start(1), Open(11), Open(21), Start(2)];
    let outcome = play(&text, ENTRIES, &steps).await;
    assert_eq!(outcome.notes, [(2, Named::Ambiguous)], "{outcome:?}");
    // With a checkpoint between the two, it cannot be reused.
    play(&text, EVERYWHERE, &steps).await.all_exact(1);
    // Nor does it mislead when all was forgotten in between.
    let steps = [Start(1), Open(11), Open(21), Start(2)];
    play(&text, ENTRIES, &steps).await.none_wrong();
}

/// Blocks all while request 9 is in it. Calls `note` before it returns, and never returns.
const HELD: Part<'_> = Part {
    name: "held",
    calls: &[],
    calls_now: &[],
    exports: &["work"],
    exports_now: &[],
    code: r#"
      (func (export "work") (param $who i32) (result i32)
        (call $begin (local.get $who))
        (if (i32.eq (local.get $who) (i32.const 9)) (then
          (call $hold)
          (return (call $wait (i32.const 90)))))
        (call $note (local.get $who))
        (call $wait (i32.const 99)))
      (func (export "work-on") (param i32 i32 i32) (result i32)
        (call $drop (local.get 1))
        (call $let-go)
        (call $return)
        (i32.const 0))"#,
};

fn held_births() -> Vec<Step> {
    let mut steps = vec![Start(9)];
    steps.extend((10..=30).map(Start));
    steps.push(Open(90));
    steps
}

#[tokio::test]
async fn a_task_that_backpressure_held_back_until_its_caller_was_gone_is_exact() {
    // Request 9 waits for its callee, which otherwise would have no caller to return to.
    let outer = Part {
        name: "outer",
        calls: &["work"],
        exports: &["run"],
        code: r#"
          (func (export "run") (param $who i32) (result i32)
            (local $called i32)
            (local.set $called (call $work (local.get $who)))
            (call $return)
            (if (i32.eq (local.get $who) (i32.const 9)) (then
              (return (call $wait-for (call $handle (local.get $called))))))
            (i32.const 0))
          (func (export "run-on") (param i32 i32 i32) (result i32)
            (call $drop (local.get 1))
            (i32.const 0))"#,
        ..Part::default()
    };
    let text = composed(&[HELD, outer]);
    let outcome = play(&text, ENTRIES, &held_births()).await;
    outcome.all_exact(21);
}

/// A synchronous call makes an unseen task. It calls another that is held back, and is gone before
/// that one's birth, as is its caller.
fn synchronous() -> String {
    let middle = Part {
        name: "middle",
        calls: &["work"],
        exports_now: &["poke"],
        code: r#"
          (func (export "poke") (param $who i32)
            (call $note (local.get $who))
            (drop (call $work (local.get $who)))
            (call $note (local.get $who)))"#,
        ..Part::default()
    };
    let outer = Part {
        name: "outer",
        calls: &["work"],
        calls_now: &["poke"],
        exports: &["run"],
        code: r#"
          (func (export "run") (param $who i32) (result i32)
            (call $return)
            (if (i32.eq (local.get $who) (i32.const 9)) (then
              (return (call $wait-for (call $handle (call $work (local.get $who)))))))
            (call $poke (local.get $who))
            (call $note (local.get $who))
            (i32.const 0))
          (func (export "run-on") (param i32 i32 i32) (result i32)
            (call $drop (local.get 1))
            (i32.const 0))"#,
        ..Part::default()
    };
    composed(&[HELD, middle, outer])
}

#[tokio::test]
async fn synchronous_calls_between_components_are_exact_where_all_is_listened_to() {
    let outcome = play(&synchronous(), EVERYWHERE, &held_births()).await;
    outcome.all_exact(21 * 4);
}

#[tokio::test]
async fn synchronous_calls_that_were_not_expected_mislead_nobody_at_once() {
    let steps = [Start(10), Start(11), Start(12)];
    let outcome = play(&synchronous(), ENTRIES, &steps).await;
    assert!(!outcome.notes.is_empty());
    outcome.none_wrong();
}

#[tokio::test]
async fn a_synchronous_call_is_recognised_in_the_component() {
    let calls = |text: &str| crate::world::calls_synchronously(&wat::parse_str(text).unwrap());
    assert!(calls(&synchronous()));
    assert!(!calls(&composed(&[LATE, LEAVES])));
}

#[tokio::test]
async fn a_call_after_a_cancelled_one_is_exact() {
    let inner = Part {
        code: r#"
          (func (export "work") (param $who i32) (result i32)
            (local $subtask i32)
            (call $begin (local.get $who))
            (call $return)
            (local.set $subtask (call $handle (call $gate (i32.const 1000))))
            (drop (call $cancel (local.get $subtask)))
            (call $drop (local.get $subtask))
            (call $note (local.get $who))
            (call $wait (local.get $who)))
          (func (export "work-on") (param i32 i32 i32) (result i32)
            (call $drop (local.get 1))
            (call $note (call $who))
            (i32.const 0))"#,
        ..LATE
    };
    let steps = one_after_the_other(10);
    let outcome = play(&composed(&[inner, LEAVES]), ENTRIES, &steps).await;
    outcome.all_exact(20);
}

/// A task that waits on its stack continues without an entry.
#[tokio::test]
async fn a_task_that_waits_on_its_own_stack_is_exact() {
    let inner = Part {
        code: r#"
          (func (export "work") (param $who i32) (result i32)
            (call $return)
            (call $note (local.get $who))
            (call $gate-now (local.get $who))
            (call $note (local.get $who))
            (i32.const 0))
          (func (export "work-on") (param i32 i32 i32) (result i32) unreachable)"#,
        ..LATE
    };
    // Then only one at a time can enter the part.
    let steps = [Start(1), Start(2), Start(3), Open(1), Open(2), Open(3)];
    let outcome = play(&composed(&[inner, LEAVES]), ENTRIES, &steps).await;
    outcome.none_wrong();
    assert!(
        outcome
            .notes
            .starts_with(&[(1, Named::Exact(1)), (1, Named::Exact(1))]),
        "{outcome:?}"
    );
}

/// Calls are still answered when a callee returns to a caller that is gone, until wasmtime traps.
#[tokio::test]
async fn a_return_to_a_caller_that_is_gone_traps_and_misleads_nobody() {
    let inner = Part {
        code: r#"
          (func (export "work") (param $who i32) (result i32)
            (call $begin (local.get $who))
            (call $note (local.get $who))
            (call $wait (local.get $who)))
          (func (export "work-on") (param i32 i32 i32) (result i32)
            (call $drop (local.get 1))
            (call $note (call $who))
            (call $return)
            (i32.const 0))"#,
        ..LATE
    };
    let steps = [Start(1), Start(2), Start(3), Open(1)];
    let outcome = play(&composed(&[inner, LEAVES]), ENTRIES, &steps).await;
    outcome.all_exact(4);
    assert!(outcome.trap.is_some(), "{outcome:?}");
}

#[tokio::test]
async fn what_is_called_while_the_instance_is_set_up_is_unknown() {
    let inner = Part {
        code: &format!(
            "{} (func $set-up (call $note (i32.const 0))) (start $set-up)",
            LATE.code
        ),
        ..LATE
    };
    let outcome = play(&composed(&[inner, LEAVES]), ENTRIES, &[]).await;
    assert_eq!(outcome.notes, [(0, Named::Unknown)]);
}

/// One request stays for ever, so that the instance is never settled.
#[tokio::test]
async fn what_is_remembered_does_not_grow_with_the_requests_served() {
    for evidence in [ENTRIES, EVERYWHERE] {
        let mut steps = vec![Start(0)];
        for who in 1..=2_000 {
            steps.extend([Start(who), Open(who)]);
        }
        let outcome = play(&composed(&[LATE, LEAVES]), evidence, &steps).await;
        outcome.all_exact(2_000);
        let (most, last) = outcome.sizes;
        assert!(
            most <= 2 * crate::attribution::ledger::tasks::SLACK,
            "{most}"
        );
        assert!(last <= most);
    }
}

#[tokio::test]
async fn nothing_is_remembered_when_nobody_is_left() {
    let steps = one_after_the_other(100);
    let outcome = play(&composed(&[LATE, LEAVES]), ENTRIES, &steps).await;
    outcome.all_exact(100);
    // The size is from the last checkpoint, before the instance is settled.
    let mut steps = steps;
    steps.push(Open(10_000));
    let outcome = play(&composed(&[LATE, LEAVES]), ENTRIES, &steps).await;
    assert_eq!(outcome.sizes.1, 0);
}
