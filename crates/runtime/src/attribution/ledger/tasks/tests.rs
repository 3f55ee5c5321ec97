//! Tests with a table like wasmtime's that contains our own tasks.

use super::*;
use crate::testing::scope;

struct Task;
/// Other entries of the table: sets, streams, calls of the host.
struct Other;

#[derive(Default)]
struct World {
    table: ResourceTable,
    tasks: Tasks,
}

impl World {
    fn root(&mut self, scope: &Arc<RequestScope>) -> Number {
        let expected = self.tasks.virgin(&mut self.table).unwrap();
        let number = self.push(Task);
        assert_eq!(number, expected);
        self.tasks.root(&mut self.table, number, scope.clone());
        number
    }

    /// Makes a task that `caller` calls and that has begun.
    fn call(&mut self, caller: Number) -> Number {
        let number = self.push(Task);
        self.tasks.entered(number, Some(caller));
        number
    }

    fn push<T: Send + 'static>(&mut self, entry: T) -> Number {
        self.table.push(entry).unwrap().rep()
    }

    fn free<T: 'static>(&mut self, number: Number) {
        self.table.delete(Resource::<T>::new_own(number)).unwrap();
    }

    fn ends(&mut self, number: Number) {
        self.free::<Task>(number);
        self.tasks.checkpoint(&mut self.table);
    }

    fn named(&self, stack: &[Number]) -> Option<Arc<RequestScope>> {
        match self.tasks.evidence(stack) {
            StackEvidence::Sound(scope) => Some(scope),
            StackEvidence::Unsound | StackEvidence::None => None,
        }
    }

    fn is_unsound(&self, stack: &[Number]) -> bool {
        matches!(self.tasks.evidence(stack), StackEvidence::Unsound)
    }
}

#[test]
fn a_callee_works_for_its_callers_request() {
    let (mut world, a, b) = (World::default(), scope(), scope());
    let root = world.root(&a);
    let other = world.root(&b);
    let callee = world.call(root);
    assert!(Arc::ptr_eq(&world.named(&[callee, root]).unwrap(), &a));
    assert!(Arc::ptr_eq(&world.named(&[other]).unwrap(), &b));
    assert!(matches!(world.tasks.evidence(&[]), StackEvidence::None));
    assert!(matches!(world.tasks.evidence(&[999]), StackEvidence::None));
}

#[test]
fn a_dead_callers_number_is_not_used_again_while_a_callee_lives() {
    let (mut world, a, b) = (World::default(), scope(), scope());
    let root = world.root(&a);
    let callee = world.call(root);
    world.ends(root);
    for _ in 0..10 {
        assert_ne!(world.root(&b), root);
    }
    assert!(Arc::ptr_eq(&world.named(&[callee, root]).unwrap(), &a));
}

#[test]
fn parking_leaves_the_order_of_free_slots_as_it_was() {
    let mut world = World::default();
    let root = world.root(&scope());
    let others: Vec<Number> = (0..5).map(|_| world.push(Other)).collect();
    world.free::<Task>(root);
    for other in &others {
        world.free::<Other>(*other);
    }
    world.tasks.checkpoint(&mut world.table);
    let again: Vec<Number> = (0..5).map(|_| world.push(Other)).collect();
    assert!(again.iter().eq(others.iter().rev()), "{again:?}");
}

#[test]
fn a_number_used_again_at_once_by_another_request_is_ambiguous() {
    let (mut world, a, b) = (World::default(), scope(), scope());
    let (root_a, root_b) = (world.root(&a), world.root(&b));
    let callee = world.call(root_a);
    let below = world.call(callee);
    world.free::<Task>(callee);
    // Without a checkpoint in between.
    assert_eq!(world.push(Task), callee);
    // It has not begun; the dead one's callee makes the call.
    assert!(world.is_unsound(&[below, callee, root_b]));
    world.tasks.entered(callee, Some(root_b));
    assert!(world.is_unsound(&[callee, root_b]));
    world.tasks.entered(below, Some(callee));
    assert!(world.is_unsound(&[below, callee, root_b]));
    // It stays ambiguous.
    world.tasks.entered(callee, Some(root_a));
    assert!(world.is_unsound(&[callee, root_a]));
}

/// The census takes it for the dead task that had its number, so its caller's number is released: to a
/// task of the same request as the dead one's.
#[test]
fn a_task_in_anothers_place_is_ambiguous_also_when_its_caller_seems_to_fit() {
    let (mut world, a, b) = (World::default(), scope(), scope());
    let (root_a, root_b) = (world.root(&a), world.root(&b));
    let callee = world.call(root_a);
    world.free::<Task>(callee);
    assert_eq!(world.push(Task), callee, "called by request b");
    world.ends(root_b);
    // Until the next census.
    while !world.tasks.parked.is_empty() {
        let other = world.root(&scope());
        world.ends(other);
        assert!(world.tasks.size() <= 2 * SLACK, "there was no census");
    }
    let again = (0..4 * SLACK).find(|_| world.call(root_a) == root_b);
    assert!(again.is_some(), "the number was not given back");
    world.tasks.entered(callee, Some(root_b));
    assert!(world.is_unsound(&[callee, root_b, root_a]));
    // Also its callees, when it is gone itself.
    let below = world.call(callee);
    world.ends(callee);
    assert!(world.is_unsound(&[below, callee]));
}

#[test]
fn a_known_number_under_an_unknown_caller_is_ambiguous() {
    let mut world = World::default();
    let root = world.root(&scope());
    let callee = world.call(root);
    let unseen = world.push(Task);
    world.tasks.entered(callee, Some(unseen));
    assert!(world.is_unsound(&[callee, unseen, root]));
    let born = world.call(unseen);
    assert!(world.is_unsound(&[born, unseen, root]));
}

#[test]
fn a_root_under_a_known_number_is_ambiguous() {
    let (mut world, a) = (World::default(), scope());
    let root = world.root(&a);
    let callee = world.call(root);
    // As if numbers were not reused in the expected order.
    world.tasks.root(&mut world.table, callee, scope());
    assert!(world.is_unsound(&[callee]));
    assert!(Arc::ptr_eq(&world.named(&[root]).unwrap(), &a));
}

#[test]
fn a_task_that_died_unnoticed_does_not_give_its_number_to_a_root() {
    let (mut world, a, b) = (World::default(), scope(), scope());
    let dead = world.root(&a);
    let callee = world.call(dead);
    world.free::<Task>(dead);
    // Without a checkpoint.
    let root = world.root(&b);
    assert_ne!(root, dead);
    assert!(Arc::ptr_eq(&world.named(&[root]).unwrap(), &b));
    assert!(Arc::ptr_eq(&world.named(&[callee, dead]).unwrap(), &a));
}

#[test]
fn numbers_are_given_back_once_nothing_refers_to_them() {
    let mut world = World::default();
    let stays = world.root(&scope());
    let long_lived = world.call(stays);
    for _ in 0..20 * SLACK {
        let root = world.root(&scope());
        let callee = world.call(root);
        world.ends(root);
        world.ends(callee);
        assert!(world.tasks.size() <= 2 * SLACK, "{}", world.tasks.size());
    }
    assert!(world.named(&[long_lived, stays]).is_some());
    let requests = world
        .tasks
        .requests
        .places
        .iter()
        .filter(|(scope, _)| scope.is_some());
    assert!(requests.count() <= 2 * SLACK);
}

#[test]
fn no_number_is_given_back_while_a_task_is_unknown() {
    let mut world = World::default();
    // Called, and held back.
    let unborn = world.push(Task);
    let mut parked = Vec::new();
    for _ in 0..4 * SLACK {
        let root = world.root(&scope());
        world.ends(root);
        parked.push(root);
    }
    parked.sort_unstable();
    parked.dedup();
    assert_eq!(parked.len(), 4 * SLACK);
    // Its caller still has a record.
    world.tasks.entered(unborn, Some(parked[0]));
    assert!(world.named(&[unborn, parked[0]]).is_some());
}

#[test]
fn a_caller_stays_for_as_long_as_a_callee() {
    let (mut world, a) = (World::default(), scope());
    let root = world.root(&a);
    let callee = world.call(root);
    world.ends(root);
    for _ in 0..4 * SLACK {
        let other = world.root(&scope());
        world.ends(other);
    }
    assert!(Arc::ptr_eq(&world.named(&[callee, root]).unwrap(), &a));
    world.ends(callee);
    for _ in 0..4 * SLACK {
        let other = world.root(&scope());
        world.ends(other);
    }
    assert!(world.tasks.size() <= 3 * SLACK);
}

#[test]
fn a_freed_slot_that_something_else_took_is_parked_when_that_is_gone() {
    let (mut world, a) = (World::default(), scope());
    let root = world.root(&a);
    let callee = world.call(root);
    world.free::<Task>(root);
    let other = world.push(Other);
    assert_eq!(other, root);
    world.tasks.checkpoint(&mut world.table);
    assert!(world.named(&[callee, root]).is_some());
    world.free::<Other>(other);
    world.tasks.checkpoint(&mut world.table);
    assert_ne!(world.push(Other), root);
}

#[test]
fn when_nobody_is_left_all_is_forgotten() {
    let mut world = World::default();
    let ended = world.root(&scope());
    let undropped = world.root(&scope());
    world.ends(ended);
    world.tasks.settled(&mut world.table);
    assert_eq!(world.tasks.size(), 1);
    assert!(world.is_unsound(&[undropped]));
    assert_eq!(world.root(&scope()), ended);
}

#[test]
fn too_many_tasks_end_it_and_that_is_said_once() {
    let mut world = World::default();
    let root = world.root(&scope());
    for _ in 0..MOST {
        world.call(root);
    }
    assert!(world.is_unsound(&[root]));
    assert!(world.tasks.outgrown());
    assert!(!world.tasks.outgrown());
    assert_eq!(world.tasks.size(), 0);
    assert!(world.is_unsound(&[root]));
    assert!(world.tasks.virgin(&mut world.table).is_none());
}

#[test]
fn a_slot_that_lies_too_deep_is_found_later() {
    let (mut world, a) = (World::default(), scope());
    let root = world.root(&a);
    let others: Vec<Number> = (0..2 * DEEPEST).map(|_| world.push(Other)).collect();
    world.ends(root);
    let parked = world.tasks.parked.len();
    assert_eq!(parked, 1);
    let root = world.root(&a);
    world.free::<Task>(root);
    for other in others {
        world.free::<Other>(other);
    }
    world.tasks.checkpoint(&mut world.table);
    assert_eq!(world.tasks.parked.len(), parked);
    for _ in 0..DEEPEST + 1 {
        world.push(Other);
    }
    world.tasks.checkpoint(&mut world.table);
    assert_eq!(world.tasks.parked.len(), parked + 1);
}

mod random {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Event {
        Root,
        Call(prop::sample::Index),
        /// A caller makes a task, which does not begin yet.
        Prepare(prop::sample::Index),
        Begin,
        End(prop::sample::Index),
        Take,
        GiveBack,
        Resume(prop::sample::Index),
        Checkpoint,
    }

    fn event() -> impl Strategy<Value = Event> {
        use prop::sample::Index;
        prop_oneof![
            2 => Just(Event::Root),
            4 => any::<Index>().prop_map(Event::Call),
            2 => any::<Index>().prop_map(Event::Prepare),
            2 => Just(Event::Begin),
            5 => any::<Index>().prop_map(Event::End),
            2 => Just(Event::Take),
            2 => Just(Event::GiveBack),
            3 => any::<Index>().prop_map(Event::Resume),
            3 => Just(Event::Checkpoint),
        ]
    }

    /// The truth about each task, by number.
    #[derive(Clone)]
    struct Real {
        number: Number,
        request: usize,
        caller: Option<Number>,
    }

    /// Returns the callers' numbers that a walk from a task finds, through the tasks that now have them.
    fn walk(alive: &[Real], from: &Real) -> Vec<Number> {
        let mut stack = vec![from.number];
        let mut caller = from.caller;
        while let Some(number) = caller {
            stack.push(number);
            if stack.len() == 64 {
                break;
            }
            caller = alive
                .iter()
                .find(|task| task.number == number)
                .and_then(|task| task.caller);
        }
        stack
    }

    proptest! {
        /// In any order of deaths, births, held-back tasks and reused numbers, with or without
        /// checkpoints in between, no task is taken for another request's.
        #[test]
        fn nothing_is_ever_taken_for_another_requests(events in prop::collection::vec(event(), 1..600)) {
            let mut world = World::default();
            let mut scopes: Vec<Arc<RequestScope>> = Vec::new();
            let mut alive: Vec<Real> = Vec::new();
            let mut unborn: Vec<Real> = Vec::new();
            let mut others: Vec<Number> = Vec::new();
            for event in events {
                match event {
                    Event::Root => {
                        // As the driver does: a checkpoint comes first.
                        world.tasks.checkpoint(&mut world.table);
                        scopes.push(scope());
                        let number = world.root(scopes.last().unwrap());
                        alive.push(Real { number, request: scopes.len() - 1, caller: None });
                    }
                    Event::Call(_) | Event::Prepare(_) if alive.is_empty() => {}
                    Event::Call(index) => {
                        let caller = index.get(&alive).clone();
                        // The caller lives until it has begun.
                        let number = world.call(caller.number);
                        alive.push(Real { number, request: caller.request, caller: Some(caller.number) });
                    }
                    Event::Prepare(index) => {
                        let caller = index.get(&alive).clone();
                        let number = world.push(Task);
                        unborn.push(Real { number, request: caller.request, caller: Some(caller.number) });
                    }
                    Event::Begin if unborn.is_empty() => {}
                    Event::Begin => {
                        let task = unborn.remove(0);
                        world.tasks.entered(task.number, task.caller);
                        alive.push(task);
                    }
                    Event::End(_) | Event::Resume(_) if alive.is_empty() => {}
                    Event::End(index) => {
                        let task = alive.swap_remove(index.index(alive.len()));
                        world.free::<Task>(task.number);
                    }
                    Event::Take => others.push(world.push(Other)),
                    Event::GiveBack => {
                        if let Some(other) = others.pop() {
                            world.free::<Other>(other);
                        }
                    }
                    Event::Resume(index) => {
                        let task = index.get(&alive).clone();
                        let everyone: Vec<Real> = alive.iter().chain(&unborn).cloned().collect();
                        let stack = walk(&everyone, &task);
                        world.tasks.entered(task.number, stack.get(1).copied());
                        if stack.len() < 64
                            && let Some(named) = world.named(&stack)
                        {
                            prop_assert!(Arc::ptr_eq(&named, &scopes[task.request]));
                        }
                    }
                    Event::Checkpoint => world.tasks.checkpoint(&mut world.table),
                }
            }
        }
    }
}
