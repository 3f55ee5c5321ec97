//! The verdict on one effect of a guest: a pure function of the witnesses, and the only place where they are
//! weighed.
//!
//! | declaration | echo | call stack | verdict | witness |
//! | --- | --- | --- | --- | --- |
//! | A | A or none | any | exact A | declaration |
//! | A | B | any | ambiguous A, B | both |
//! | none | A | A | exact A | stack+echo |
//! | none | A | B or broken | exact A, against the stack | echo |
//! | none | A and B | any | ambiguous A, B | both |
//! | none | none | A, sound | exact A | stack |
//! | none | none | A, sound, in doubt | ambiguous A and all other known ones | stack |
//! | lapsed B | none | A, sound, in doubt or not | ambiguous A, B | both |
//! | none | none | unsound | ambiguous | stack |
//! | none | none | none | unknown | none |
//!
//! If the instance only ever has one request, that request takes the stack's place, and the witness is
//! `sole` unless the guest declared.

use std::sync::Arc;

use headwater_core::{Attribution, Doubt, RequestScope, Witness};

/// The witnesses. Tokens and ids of requests that do not live in the instance are not included.
#[derive(Debug, Clone, Default)]
pub(crate) struct Witnesses {
    pub(crate) declaration: Declaration,
    pub(crate) echo: Echo,
    pub(crate) stack: StackEvidence,
    /// The reason why the calling task may be doing another's work, even if its stack is sound.
    pub(crate) doubt: Option<InDoubt>,
    /// The request, if the instance has one at a time.
    pub(crate) sole: Option<Arc<RequestScope>>,
}

#[derive(Debug, Clone, Default)]
pub(crate) enum Declaration {
    #[default]
    None,
    /// It works for this request.
    Holds(Arc<RequestScope>),
    /// It declared this request, but has yielded to the host since and may be working for another by now.
    /// This proves nothing, but is a reason to doubt the call stack alone.
    Lapsed(Arc<RequestScope>),
}

/// The requests that the outgoing request's headers name.
#[derive(Debug, Clone, Default)]
pub(crate) enum Echo {
    #[default]
    None,
    One(Arc<RequestScope>),
    /// `traceparent` and `x-request-id` name different ones.
    Two([Arc<RequestScope>; 2]),
}

/// A doubt: the calling task may be doing the work of other requests.
#[derive(Debug, Clone)]
pub(crate) struct InDoubt {
    pub(crate) reason: Doubt,
    /// The known ones of these requests.
    pub(crate) others: Vec<Arc<RequestScope>>,
}

#[derive(Debug, Clone, Default)]
pub(crate) enum StackEvidence {
    /// It leads to this request and can be trusted.
    Sound(Arc<RequestScope>),
    Unsound,
    /// It leads nowhere.
    #[default]
    None,
}

impl Witnesses {
    pub(crate) fn judge(self) -> Attribution {
        let Self {
            declaration,
            echo,
            stack,
            doubt,
            sole,
        } = self;
        match (declaration, echo) {
            (Declaration::Holds(declared), echo) => declared_and_echoed(declared, echo),
            (_, Echo::One(echoed)) => echoed_and_seen(echoed, stack, sole),
            (_, Echo::Two([one, other])) => Attribution::either(one, other, Witness::Both),
            (declaration, Echo::None) => seen(declaration, stack, doubt, sole),
        }
    }
}

fn declared_and_echoed(declared: Arc<RequestScope>, echo: Echo) -> Attribution {
    let other = match echo {
        Echo::None => None,
        Echo::One(echoed) => Some(echoed),
        Echo::Two([one, other]) if is_same(&one, &declared) => Some(other),
        Echo::Two([one, _]) => Some(one),
    };
    match other {
        Some(other) if !is_same(&other, &declared) => {
            Attribution::either(declared, other, Witness::Both)
        }
        _ => Attribution::exact(declared, Witness::Declaration),
    }
}

fn echoed_and_seen(
    echoed: Arc<RequestScope>,
    stack: StackEvidence,
    sole: Option<Arc<RequestScope>>,
) -> Attribution {
    match (sole, stack) {
        (Some(sole), _) if is_same(&sole, &echoed) => Attribution::exact(sole, Witness::Sole),
        (Some(sole), _) => Attribution::either(sole, echoed, Witness::Both),
        (None, StackEvidence::Sound(seen)) if is_same(&seen, &echoed) => {
            Attribution::exact(seen, Witness::StackAndEcho)
        }
        (None, _) => Attribution::exact(echoed, Witness::Echo).against_the_stack(),
    }
}

fn seen(
    declaration: Declaration,
    stack: StackEvidence,
    doubt: Option<InDoubt>,
    sole: Option<Arc<RequestScope>>,
) -> Attribution {
    match (sole, stack, declaration) {
        (Some(sole), _, _) => Attribution::exact(sole, Witness::Sole),
        (None, StackEvidence::Sound(seen), Declaration::Lapsed(lapsed))
            if !is_same(&seen, &lapsed) =>
        {
            Attribution::either(seen, lapsed, Witness::Both)
        }
        (None, StackEvidence::Sound(seen), _) => match doubt {
            Some(InDoubt { reason, others }) => Attribution::doubtful(seen, others, reason),
            None => Attribution::exact(seen, Witness::Stack),
        },
        (None, StackEvidence::Unsound, _) => Attribution::ambiguous(Witness::Stack),
        (None, StackEvidence::None, _) => Attribution::unknown(),
    }
}

/// There is one scope for each request.
fn is_same(one: &Arc<RequestScope>, other: &Arc<RequestScope>) -> bool {
    Arc::ptr_eq(one, other)
}

#[cfg(test)]
mod tests {
    use headwater_core::Verdict;

    use super::*;
    use crate::testing::scope;

    /// Two requests, the sides of each row.
    struct Case {
        a: Arc<RequestScope>,
        b: Arc<RequestScope>,
    }

    impl Case {
        fn new() -> Self {
            Self {
                a: scope(),
                b: scope(),
            }
        }

        fn name(&self, scope: &Arc<RequestScope>) -> char {
            if Arc::ptr_eq(scope, &self.a) {
                'A'
            } else {
                'B'
            }
        }

        /// `-`, `A`, `B`, or for a lapsed declaration `a`, `b`.
        fn declaration(&self, what: char) -> Declaration {
            match what {
                'A' => Declaration::Holds(self.a.clone()),
                'B' => Declaration::Holds(self.b.clone()),
                'a' => Declaration::Lapsed(self.a.clone()),
                'b' => Declaration::Lapsed(self.b.clone()),
                _ => Declaration::None,
            }
        }

        /// `-`, `A`, `B`, or `2` for both.
        fn echo(&self, what: char) -> Echo {
            match what {
                'A' => Echo::One(self.a.clone()),
                'B' => Echo::One(self.b.clone()),
                '2' => Echo::Two([self.a.clone(), self.b.clone()]),
                _ => Echo::None,
            }
        }

        /// `-`, `A`, `B`, in doubt `a` (it may be for B), `b` (for A), `c` (A; no other is known), or `?`
        /// for unsound.
        fn stack(&self, what: char) -> StackEvidence {
            match what {
                'A' | 'a' | 'c' => StackEvidence::Sound(self.a.clone()),
                'B' | 'b' => StackEvidence::Sound(self.b.clone()),
                '?' => StackEvidence::Unsound,
                _ => StackEvidence::None,
            }
        }

        /// The doubt of the same letters.
        fn doubt(&self, what: char) -> Option<InDoubt> {
            let others = match what {
                'a' => vec![self.b.clone()],
                'b' => vec![self.a.clone()],
                'c' => Vec::new(),
                _ => return None,
            };
            let reason = Doubt::Woken;
            Some(InDoubt { reason, others })
        }

        fn sole(&self, what: char) -> Option<Arc<RequestScope>> {
            match what {
                'A' => Some(self.a.clone()),
                'B' => Some(self.b.clone()),
                _ => None,
            }
        }

        fn judge(&self, [declaration, echo, stack, sole]: [char; 4]) -> Attribution {
            let witnesses = Witnesses {
                declaration: self.declaration(declaration),
                echo: self.echo(echo),
                stack: self.stack(stack),
                doubt: self.doubt(stack),
                sole: self.sole(sole),
            };
            witnesses.judge()
        }
    }

    /// Returns the verdict on declaration, echo, stack and sole: its witness, the named requests (sorted by
    /// name), and true if it is against the stack.
    fn say(what: &str) -> (Verdict, Witness, String, bool) {
        let case = Case::new();
        let what: Vec<char> = what.chars().collect();
        let attribution = case.judge(what.try_into().unwrap());
        let named = attribution.scope().into_iter();
        let mut named: Vec<char> = named
            .chain(attribution.candidates())
            .map(|scope| case.name(scope))
            .collect();
        named.sort_unstable();
        (
            attribution.verdict(),
            attribution.witness(),
            named.into_iter().collect(),
            attribution.is_against_the_stack(),
        )
    }

    fn exact(witness: Witness) -> (Verdict, Witness, String, bool) {
        (Verdict::Exact, witness, "A".to_owned(), false)
    }

    fn either() -> (Verdict, Witness, String, bool) {
        (Verdict::Ambiguous, Witness::Both, "AB".to_owned(), false)
    }

    const STACKS: [char; 7] = ['-', 'A', 'B', 'a', 'b', 'c', '?'];

    #[test]
    fn a_declaration_that_no_echo_contradicts_is_exact_whatever_the_stack_says() {
        for stack in STACKS {
            for echo in ['-', 'A'] {
                for sole in ['-', 'A'] {
                    let what = format!("A{echo}{stack}{sole}");
                    assert_eq!(say(&what), exact(Witness::Declaration), "{what}");
                }
            }
        }
    }

    #[test]
    fn a_declaration_that_an_echo_contradicts_is_ambiguous() {
        for stack in STACKS {
            for what in [format!("AB{stack}-"), format!("BA{stack}-")] {
                assert_eq!(say(&what), either(), "{what}");
            }
        }
    }

    #[test]
    fn an_echo_that_the_stack_confirms_is_exact_by_both() {
        for declaration in ['-', 'a', 'b'] {
            for stack in ['A', 'a', 'c'] {
                let what = format!("{declaration}A{stack}-");
                assert_eq!(say(&what), exact(Witness::StackAndEcho), "{what}");
            }
        }
    }

    #[test]
    fn an_echo_is_exact_against_another_or_a_broken_stack_and_that_is_noted() {
        for declaration in ['-', 'a', 'b'] {
            for stack in ['-', 'B', 'b', '?'] {
                let what = format!("{declaration}A{stack}-");
                let (verdict, witness, named, against) = say(&what);
                assert_eq!(
                    (verdict, witness),
                    (Verdict::Exact, Witness::Echo),
                    "{what}"
                );
                assert_eq!(named, "A", "{what}");
                assert!(against, "{what}");
            }
        }
    }

    #[test]
    fn headers_that_name_two_requests_are_ambiguous_with_and_without_a_declaration() {
        for declaration in ['-', 'a', 'b', 'A', 'B'] {
            for stack in STACKS {
                let what = format!("{declaration}2{stack}-");
                assert_eq!(say(&what), either(), "{what}");
            }
        }
    }

    #[test]
    fn a_sound_stack_alone_is_exact() {
        assert_eq!(say("--A-"), exact(Witness::Stack));
    }

    #[test]
    fn a_sound_stack_in_doubt_is_ambiguous_names_all_that_are_known_and_says_why() {
        for declaration in ['-', 'a'] {
            for (stack, names) in [('a', "AB"), ('c', "A")] {
                let what = format!("{declaration}-{stack}-");
                let expected = (Verdict::Ambiguous, Witness::Stack, names.to_owned(), false);
                assert_eq!(say(&what), expected, "{what}");
                let case = Case::new();
                let what: Vec<char> = what.chars().collect();
                let attribution = case.judge(what.try_into().unwrap());
                assert_eq!(attribution.doubt(), Some(Doubt::Woken));
                assert!(Arc::ptr_eq(attribution.running().unwrap(), &case.a));
                assert!(Arc::ptr_eq(&attribution.candidates()[0], &case.a));
            }
        }
    }

    #[test]
    fn what_is_not_ambiguous_by_the_stack_is_not_in_doubt() {
        for what in [
            "A-a-", "-Aa-", "-Ab-", "b-a-", "--aA", "--A-", "--?-", "----",
        ] {
            let letters: Vec<char> = what.chars().collect();
            let attribution = Case::new().judge(letters.try_into().unwrap());
            assert_eq!(attribution.doubt(), None, "{what}");
        }
    }

    #[test]
    fn a_lapsed_declaration_confirms_the_stack_or_makes_it_doubtful_and_proves_nothing() {
        assert_eq!(say("a-A-"), exact(Witness::Stack));
        assert_eq!(say("b-A-"), either());
        assert_eq!(say("b-c-"), either());
        assert_eq!(say("a---").0, Verdict::Unknown);
        assert_eq!(say("a-?-").0, Verdict::Ambiguous);
    }

    #[test]
    fn an_unsound_stack_alone_is_ambiguous_and_names_nobody() {
        let (verdict, witness, named, _) = say("--?-");
        assert_eq!((verdict, witness), (Verdict::Ambiguous, Witness::Stack));
        assert_eq!(named, "");
    }

    #[test]
    fn the_one_request_of_an_instance_is_exact_whatever_the_stack_says() {
        for stack in STACKS {
            for declaration in ['-', 'a', 'b'] {
                for echo in ['-', 'A'] {
                    let what = format!("{declaration}{echo}{stack}A");
                    assert_eq!(say(&what), exact(Witness::Sole), "{what}");
                }
            }
        }
    }

    #[test]
    fn an_echo_that_contradicts_the_one_request_is_ambiguous() {
        assert_eq!(say("-AAB"), either());
    }

    #[test]
    fn no_evidence_is_unknown() {
        let (verdict, witness, named, against) = say("----");
        assert_eq!((verdict, witness), (Verdict::Unknown, Witness::None));
        assert_eq!((named.as_str(), against), ("", false));
    }

    #[test]
    fn whatever_is_said_a_request_is_named_only_by_somebody_who_said_so() {
        for declaration in ['-', 'A', 'B', 'a', 'b'] {
            for echo in ['-', 'A', 'B', '2'] {
                for stack in STACKS {
                    for sole in ['-', 'A', 'B'] {
                        let what: String = [declaration, echo, stack, sole].iter().collect();
                        let stack = stack.to_string().replace(['a', 'b'], "AB");
                        let said = what.to_uppercase().replace('2', "AB") + &stack;
                        let said = said.replace('C', "A");
                        let (verdict, _, named, _) = say(&what);
                        for name in named.chars() {
                            assert!(said.contains(name), "{what} named {name}");
                        }
                        let expected = match verdict {
                            Verdict::Exact => named.len() == 1,
                            Verdict::Ambiguous => named.len() != 1 || stack == "c",
                            Verdict::Unknown => named.is_empty(),
                        };
                        assert!(expected, "{what}: {verdict} names {named:?}");
                    }
                }
            }
        }
    }
}
