use headwater_core::{Verdict, Witness};

use super::*;
use crate::measure::scope;

fn judge(roots: &Roots, walk: &Walk) -> Attribution {
    let witnesses = Witnesses {
        stack: roots.stack(walk),
        sole: roots.sole.clone(),
        ..Witnesses::default()
    };
    witnesses.judge()
}

fn verdict(evidence: Evidence, walk: &Walk) -> Verdict {
    judge(&Roots::new(evidence, false), walk).verdict()
}

#[test]
fn a_call_from_outside_any_request_is_unknown() {
    assert_eq!(verdict(Evidence::Stack, &Walk::Nowhere), Verdict::Unknown);
    assert_eq!(verdict(Evidence::Sole, &Walk::Nowhere), Verdict::Unknown);
}

#[test]
fn a_walk_that_does_not_end_is_ambiguous() {
    assert_eq!(verdict(Evidence::Stack, &Walk::Endless), Verdict::Ambiguous);
}

#[test]
fn the_one_request_of_an_instance_is_named_whatever_the_stack_says() {
    let scope = scope();
    let mut roots = Roots::new(Evidence::Sole, false);
    roots.sole = Some(scope.clone());
    let attribution = judge(&roots, &Walk::Nowhere);
    assert_eq!(attribution.witness(), Witness::Sole);
    assert_eq!(
        attribution.scope().map(|named| named.id()),
        Some(scope.id())
    );
}
