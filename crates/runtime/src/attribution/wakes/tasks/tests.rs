use super::*;
use crate::testing::scope;

/// The handles of every task in these tests: the readable and the writable end of the stream that it is
/// woken by, and something else that it waits for.
const READ: u32 = 100;
const WRITE: u32 = 200;
const TIMER: u32 = 300;

/// Tasks of one request each, and their recorded actions.
struct Instance {
    tasks: Tasks,
    requests: Vec<Arc<RequestScope>>,
}

impl Instance {
    /// Returns tasks that have started and wait for something of their own.
    fn with(tasks: u32) -> Self {
        let mut instance = Self {
            tasks: Tasks::default(),
            requests: Vec::new(),
        };
        for task in 0..tasks {
            instance.requests.push(scope());
            instance.starts(task);
            instance.waits_for(task, TIMER + task);
            instance.sleeps(task);
        }
        instance
    }

    fn heard(&mut self, task: u32, event: Event) {
        self.tasks.happened((0, task), event);
    }

    fn starts(&mut self, task: u32) {
        self.tasks.request_starts(&self.requests[task as usize]);
        self.heard(task, Event::Starts);
    }

    fn joins(&mut self, task: u32, waitable: u32, set: u32) {
        self.heard(task, Event::Joins { waitable, set });
    }

    fn waits_for(&mut self, task: u32, waitable: u32) {
        self.joins(task, waitable, 1);
    }

    /// Waits until it is woken, as `wit-bindgen` does when a task has nothing more to do.
    fn sleeps(&mut self, task: u32) {
        let (readable, writable) = (READ + task, WRITE + task);
        self.heard(task, Event::Creates { readable, writable });
        self.waits_for(task, readable);
        self.heard(task, Event::Pauses);
    }

    /// Calls the task back for what it waits for.
    fn goes_on(&mut self, task: u32) {
        self.heard(task, Event::GoesOn);
        self.joins(task, READ + task, 0);
    }

    /// Continues, and no longer waits for anything of its own.
    fn comes_to_need_others(&mut self, task: u32) {
        self.goes_on(task);
        self.joins(task, TIMER + task, 0);
        self.sleeps(task);
    }

    /// One continues, wakes another, and pauses again; the other continues.
    fn wakes(&mut self, by: u32, sleeper: u32) {
        self.goes_on(by);
        let writable = WRITE + sleeper;
        self.heard(by, Event::Writes { writable });
        self.sleeps(by);
        self.goes_on(sleeper);
    }

    /// Continues the task, returns the doubt about its calls and the requests that cause it, and pauses
    /// it again.
    fn doubt(&mut self, task: u32) -> Option<(Doubt, Vec<u32>)> {
        self.goes_on(task);
        let own = self.requests[task as usize].clone();
        let doubt = self.tasks.doubt_of_active(&own);
        let doubt = doubt.map(|InDoubt { reason, others }| (reason, self.numbers(&others)));
        self.sleeps(task);
        doubt
    }

    fn numbers(&self, requests: &[Arc<RequestScope>]) -> Vec<u32> {
        let number = |request: &Arc<RequestScope>| {
            let place = self
                .requests
                .iter()
                .position(|own| own.id() == request.id());
            u32::try_from(place.unwrap()).unwrap()
        };
        requests.iter().map(number).collect()
    }
}

#[test]
fn tasks_that_have_nothing_to_do_with_one_another_are_not_in_doubt() {
    let mut instance = Instance::with(3);
    for task in [0, 1, 2, 0] {
        assert_eq!(instance.doubt(task), None);
    }
}

#[test]
fn tasks_of_which_one_has_woken_the_other_are_both_in_doubt_from_then_on() {
    let mut instance = Instance::with(4);
    instance.wakes(1, 0);
    assert_eq!(instance.doubt(0), Some((Doubt::Woken, vec![1])));
    assert_eq!(instance.doubt(1), Some((Doubt::Woken, vec![0])));
    assert_eq!(instance.doubt(2), None);
    instance.wakes(2, 0);
    assert_eq!(instance.doubt(0), Some((Doubt::Woken, vec![1, 2])));
    assert_eq!(instance.doubt(3), None);
}

#[test]
fn to_wake_oneself_is_no_doubt() {
    let mut instance = Instance::with(1);
    instance.goes_on(0);
    instance.heard(0, Event::Writes { writable: WRITE });
    instance.sleeps(0);
    assert_eq!(instance.doubt(0), None);
}

#[test]
fn whoever_waits_for_a_stream_is_woken_by_it_and_not_who_made_it() {
    let mut instance = Instance::with(3);
    instance.goes_on(1);
    instance.waits_for(1, READ);
    instance.sleeps(1);
    instance.goes_on(2);
    instance.heard(2, Event::Writes { writable: WRITE });
    instance.sleeps(2);
    // It waits for the same thing as the other had, too.
    assert_eq!(instance.doubt(1), Some((Doubt::TakenOver, vec![0, 2])));
    assert_eq!(instance.doubt(2), Some((Doubt::Woken, vec![1])));
    assert_eq!(instance.doubt(0), None);
}

#[test]
fn a_task_that_waits_for_what_another_waited_for_has_taken_it_over() {
    let mut instance = Instance::with(3);
    instance.goes_on(1);
    instance.waits_for(1, TIMER);
    instance.sleeps(1);
    assert_eq!(instance.doubt(1), Some((Doubt::TakenOver, vec![0])));
    // Also if it first takes it out of the other's set.
    instance.goes_on(2);
    instance.joins(2, TIMER, 0);
    instance.waits_for(2, TIMER);
    instance.sleeps(2);
    assert_eq!(instance.doubt(2), Some((Doubt::TakenOver, vec![1])));
}

#[test]
fn what_a_task_itself_has_ceased_to_wait_for_is_anybodys() {
    let mut instance = Instance::with(2);
    instance.goes_on(0);
    instance.joins(0, TIMER, 0);
    instance.waits_for(0, TIMER + 50);
    instance.sleeps(0);
    instance.goes_on(1);
    instance.waits_for(1, TIMER);
    instance.sleeps(1);
    assert_eq!(instance.doubt(1), None);
}

#[test]
fn while_a_task_waits_for_nothing_of_its_own_all_others_are_in_doubt() {
    let mut instance = Instance::with(4);
    instance.comes_to_need_others(0);
    assert_eq!(instance.doubt(1), Some((Doubt::Awaited, vec![0])));
    assert_eq!(instance.doubt(0), None, "it does its own work");
    // A task that yields to others and is not asleep.
    instance.goes_on(2);
    instance.joins(2, TIMER + 2, 0);
    instance.heard(2, Event::Pauses);
    assert_eq!(instance.doubt(1), Some((Doubt::Awaited, vec![0, 2])));
    assert_eq!(instance.doubt(0), Some((Doubt::Awaited, vec![2])));
    for task in [0, 2] {
        instance.goes_on(task);
        instance.waits_for(task, TIMER + task);
        instance.sleeps(task);
    }
    assert_eq!(instance.doubt(1), None);
}

#[test]
fn a_task_whose_wait_was_taken_over_waits_for_nothing_of_its_own() {
    let mut instance = Instance::with(3);
    instance.goes_on(1);
    instance.joins(1, TIMER, 0);
    instance.sleeps(1);
    assert_eq!(instance.doubt(2), Some((Doubt::Awaited, vec![0])));
}

#[test]
fn to_wait_in_another_set_or_twice_is_to_wait_once() {
    let mut instance = Instance::with(2);
    instance.goes_on(0);
    for set in [1, 2, 0, 0] {
        instance.joins(0, TIMER, set);
    }
    instance.heard(0, Event::Pauses);
    assert_eq!(instance.doubt(1), Some((Doubt::Awaited, vec![0])));
}

#[test]
fn equal_handles_of_two_parts_are_not_the_same_thing() {
    let mut instance = Instance::with(2);
    instance.tasks.happened((1, 7), Event::Starts);
    for event in [
        Event::Writes { writable: WRITE },
        Event::Joins {
            waitable: TIMER,
            set: 1,
        },
        Event::Pauses,
    ] {
        instance.tasks.happened((1, 7), event);
    }
    assert_eq!((instance.doubt(0), instance.doubt(1)), (None, None));
    assert!(instance.tasks.doubt_of_any(&scope()).is_none());
}

#[test]
fn in_a_composed_component_a_doubt_of_one_task_is_one_of_all() {
    let mut instance = Instance::with(3);
    instance.wakes(1, 0);
    let own = instance.requests[1].clone();
    let InDoubt { reason, others } = instance.tasks.doubt_of_any(&own).unwrap();
    assert_eq!((reason, instance.numbers(&others)), (Doubt::Woken, vec![0]));
    let InDoubt { others, .. } = instance.tasks.doubt_of_any(&scope()).unwrap();
    assert_eq!(instance.numbers(&others), [1, 0]);
}

#[test]
fn a_task_that_has_ended_is_forgotten_and_a_new_one_of_its_name_has_done_nothing() {
    let mut instance = Instance::with(3);
    instance.wakes(1, 0);
    // It ends: another is active, and it has not paused.
    instance.goes_on(0);
    instance.requests[2] = scope();
    instance.starts(2);
    assert!(!instance.tasks.tasks.contains_key(&(0, 0)));
    instance.requests[0] = scope();
    instance.starts(0);
    instance.waits_for(0, TIMER);
    instance.sleeps(0);
    assert_eq!(instance.doubt(0), None);
}

#[test]
fn a_call_of_a_task_that_has_not_said_that_it_goes_on_is_in_doubt() {
    let mut instance = Instance::with(2);
    instance.goes_on(0);
    let other = instance.requests[1].clone();
    let InDoubt { reason, .. } = instance.tasks.doubt_of_active(&other).unwrap();
    assert_eq!(reason, Doubt::Woken);
    instance.sleeps(0);
    assert_eq!((instance.doubt(0), instance.doubt(1)), (None, None));
}

#[test]
fn of_many_wakers_the_last_are_named() {
    let mut instance = Instance::with(40);
    for waker in 1..40 {
        instance.wakes(waker, 0);
        instance.sleeps(0);
    }
    let (_, named) = instance.doubt(0).unwrap();
    assert_eq!(named.len(), MOST_NAMED);
    assert!(named.contains(&39) && !named.contains(&1), "{named:?}");
}

#[test]
fn what_is_kept_does_not_grow_with_the_requests_that_were_served() {
    let mut instance = Instance::with(2);
    for _ in 0..10_000 {
        instance.wakes(0, 1);
        instance.sleeps(1);
        // It ends, and one of the same name starts.
        instance.goes_on(0);
        instance.joins(0, TIMER, 0);
        instance.goes_on(1);
        instance.sleeps(1);
        instance.requests[0] = scope();
        instance.starts(0);
        instance.waits_for(0, TIMER);
        instance.sleeps(0);
    }
    let Tasks {
        signals,
        waits,
        tasks,
        asleep,
        unheard,
        ..
    } = &instance.tasks;
    assert!(signals.len() == 2 && waits.len() <= 4 && tasks.len() == 2);
    assert!(asleep.is_empty() && unheard.is_empty());
    let (reason, _) = instance
        .tasks
        .doubt_of_any(&scope())
        .map(|doubt| (doubt.reason, ()))
        .unwrap();
    assert_eq!(reason, Doubt::Woken);
}

#[test]
fn where_more_is_going_on_than_is_kept_all_are_in_doubt() {
    let mut instance = Instance::with(2);
    instance.goes_on(0);
    for handle in 1_000.. {
        instance.waits_for(0, handle);
        if instance.tasks.lost {
            break;
        }
        assert!(instance.tasks.waits.len() <= MOST_KEPT);
    }
    assert_eq!(instance.doubt(1), Some((Doubt::Woken, vec![])));
    // Later ones are not recorded.
    for _ in 0..2 * MOST_UNHEARD {
        instance.tasks.request_starts(&instance.requests[0]);
    }
    assert!(instance.tasks.unheard.is_empty() && instance.tasks.waits.is_empty());
}
