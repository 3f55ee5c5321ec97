use super::*;
use crate::measure::scope;

/// The part that all is in, unless two are concerned.
const PART: u32 = 1;

/// Handles that every task of these tests has: of the stream that it is woken by, the end that it reads
/// and the one that others write to; and of something else that it waits for.
const READ: u32 = 100;
const WRITE: u32 = 200;
const TIMER: u32 = 300;

/// Tasks of requests, one each, and what is heard of them.
struct Instance {
    wakes: Wakes<u32>,
    requests: Vec<Arc<RequestScope>>,
}

impl Instance {
    fn with(tasks: u32) -> Self {
        let mut wakes = Wakes::default();
        let requests = (0..tasks).map(|task| {
            wakes.task_starts(task);
            scope()
        });
        Self {
            requests: requests.collect(),
            wakes,
        }
    }

    fn by(&mut self, task: u32) -> (&mut Wakes<u32>, Running<'_, u32>) {
        let request = &self.requests[task as usize];
        (&mut self.wakes, Running { task, request })
    }

    /// Another request, whose task has this number.
    fn renews(&mut self, task: u32) {
        self.requests[task as usize] = scope();
    }

    fn joins(&mut self, task: u32, waitable: u32, set: u32) {
        let (wakes, by) = self.by(task);
        wakes.joined(&by, PART, waitable, set);
    }

    fn waits_for(&mut self, task: u32, waitable: u32) {
        self.joins(task, waitable, 1);
    }

    fn pauses(&mut self, task: u32) {
        let (wakes, by) = self.by(task);
        wakes.paused(&by);
    }

    /// Shows by something that it is active, and that matters to nobody.
    fn goes_on(&mut self, task: u32) {
        self.joins(task, 9_999, 0);
    }

    /// As `wit-bindgen` does when a task has nothing more to do: until it is woken.
    fn sleeps(&mut self, task: u32) {
        let (wakes, by) = self.by(task);
        wakes.created(&by, PART, READ + task, WRITE + task);
        self.waits_for(task, READ + task);
        self.pauses(task);
    }

    fn wakes(&mut self, by: u32, sleeper: u32) {
        let (wakes, by) = self.by(by);
        wakes.written(Some(&by), PART, WRITE + sleeper);
        self.joins(sleeper, READ + sleeper, 0);
    }

    /// Why calls of a task are in doubt, and because of whose.
    fn doubt(&self, task: u32) -> Option<(Doubt, Vec<u32>)> {
        let own = self.requests[task as usize].id();
        let InDoubt { reason, others } = self.wakes.doubt(own, |_| true)?;
        let number = |other: &Arc<RequestScope>| {
            let place = self.requests.iter().position(|own| own.id() == other.id());
            u32::try_from(place.unwrap()).unwrap()
        };
        Some((reason, others.iter().map(number).collect()))
    }
}

#[test]
fn tasks_of_which_one_has_woken_the_other_are_both_in_doubt_from_then_on() {
    let mut instance = Instance::with(3);
    instance.waits_for(2, TIMER);
    instance.sleeps(2);
    instance.waits_for(0, TIMER + 1);
    instance.sleeps(0);
    assert_eq!(instance.doubt(0), None);
    instance.wakes(1, 0);
    assert_eq!(instance.doubt(0), Some((Doubt::Woken, vec![1])));
    assert_eq!(instance.doubt(1), Some((Doubt::Woken, vec![0])));
    assert_eq!(instance.doubt(2), None);
    instance.sleeps(0);
    instance.wakes(2, 0);
    assert_eq!(instance.doubt(0), Some((Doubt::Woken, vec![1, 2])));
}

#[test]
fn whoever_waits_for_a_stream_is_woken_by_it_and_not_who_made_it() {
    let mut instance = Instance::with(3);
    let (wakes, maker) = instance.by(0);
    wakes.created(&maker, PART, READ, WRITE);
    instance.waits_for(1, READ);
    let (wakes, maker) = instance.by(0);
    wakes.written(Some(&maker), PART, WRITE);
    assert_eq!(instance.doubt(1), Some((Doubt::Woken, vec![0])));
    assert_eq!(instance.doubt(0), Some((Doubt::Woken, vec![1])));
}

#[test]
fn a_wake_up_by_nobody_knows_whom_is_a_doubt_without_a_name() {
    let mut instance = Instance::with(1);
    instance.sleeps(0);
    instance.wakes.written(None, PART, WRITE);
    assert_eq!(instance.doubt(0), Some((Doubt::Woken, vec![])));
}

#[test]
fn tasks_of_one_request_may_wake_one_another_and_wait_for_each_other() {
    let mut instance = Instance::with(2);
    instance.requests[1] = instance.requests[0].clone();
    instance.sleeps(0);
    assert_eq!(instance.doubt(1), None);
    instance.wakes(1, 0);
    instance.waits_for(0, TIMER);
    instance.waits_for(1, TIMER);
    assert_eq!(instance.doubt(0), None);
}

#[test]
fn a_task_that_waits_for_what_another_request_waited_for_has_taken_it_over() {
    let mut instance = Instance::with(3);
    instance.waits_for(0, TIMER);
    instance.waits_for(1, TIMER);
    assert_eq!(instance.doubt(1), Some((Doubt::TakenOver, vec![0])));
    assert_eq!(instance.doubt(0), None);
    // Likewise if it first takes it out of the other's set.
    instance.joins(2, TIMER, 0);
    instance.waits_for(2, TIMER);
    assert_eq!(instance.doubt(2), Some((Doubt::TakenOver, vec![1])));
}

#[test]
fn what_a_task_itself_has_ceased_to_wait_for_is_anybodys() {
    let mut instance = Instance::with(2);
    instance.waits_for(0, TIMER);
    instance.joins(0, TIMER, 0);
    instance.waits_for(1, TIMER);
    assert_eq!(instance.doubt(1), None);
}

#[test]
fn while_a_task_waits_for_nothing_of_its_own_all_others_are_in_doubt() {
    let mut instance = Instance::with(3);
    // One that gives way to others, and one that sleeps.
    instance.pauses(0);
    assert_eq!(instance.doubt(1), Some((Doubt::Awaited, vec![0])));
    assert_eq!(instance.doubt(0), None, "it does its own work");
    instance.sleeps(2);
    assert_eq!(instance.doubt(1), Some((Doubt::Awaited, vec![0, 2])));
    assert_eq!(instance.doubt(0), Some((Doubt::Awaited, vec![2])));
    instance.goes_on(0);
    instance.goes_on(2);
    assert_eq!(instance.doubt(1), None);
}

#[test]
fn a_task_that_waits_for_something_of_its_own_is_doing_its_own_work() {
    let mut instance = Instance::with(2);
    instance.waits_for(0, TIMER);
    instance.sleeps(0);
    assert_eq!(instance.doubt(1), None);
    instance.goes_on(0);
    instance.joins(0, TIMER, 0);
    instance.sleeps(0);
    assert_eq!(instance.doubt(1), Some((Doubt::Awaited, vec![0])));
}

#[test]
fn a_task_whose_wait_was_taken_over_waits_for_nothing_of_its_own() {
    let mut instance = Instance::with(3);
    instance.waits_for(0, TIMER);
    instance.sleeps(0);
    instance.joins(1, TIMER, 0);
    assert_eq!(instance.doubt(2), Some((Doubt::Awaited, vec![0])));
}

#[test]
fn to_wait_in_another_set_or_twice_is_to_wait_once() {
    let mut instance = Instance::with(2);
    instance.joins(0, TIMER, 1);
    instance.joins(0, TIMER, 2);
    instance.joins(0, TIMER, 0);
    instance.joins(0, TIMER, 0);
    instance.pauses(0);
    assert_eq!(instance.doubt(1), Some((Doubt::Awaited, vec![0])));
}

#[test]
fn equal_handles_of_two_parts_are_not_the_same_thing() {
    let mut instance = Instance::with(2);
    instance.sleeps(0);
    let [one, other] = [instance.wakes.part(), instance.wakes.part()];
    assert_ne!(one, other);
    let (wakes, by) = instance.by(1);
    wakes.written(Some(&by), PART + 7, WRITE);
    wakes.joined(&by, PART + 7, TIMER, 1);
    instance.goes_on(0);
    assert_eq!((instance.doubt(0), instance.doubt(1)), (None, None));
}

#[test]
fn a_task_that_has_ended_is_not_asleep_and_a_new_one_of_its_number_has_done_nothing() {
    let mut instance = Instance::with(2);
    instance.sleeps(0);
    let own = instance.requests[1].id();
    assert!(instance.wakes.doubt(own, |_| false).is_none());
    instance.renews(0);
    instance.wakes.task_starts(0);
    assert_eq!(instance.doubt(1), None);
    // In a composed component nobody says that a task starts.
    instance.sleeps(0);
    instance.renews(0);
    instance.waits_for(0, TIMER);
    assert_eq!(instance.doubt(1), None);
}

#[test]
fn of_many_wakers_the_last_are_named() {
    let mut instance = Instance::with(40);
    for waker in 1..40 {
        instance.sleeps(0);
        instance.wakes(waker, 0);
    }
    let (_, named) = instance.doubt(0).unwrap();
    assert_eq!(named.len(), MOST_NAMED);
    assert!(named.contains(&39) && !named.contains(&1), "{named:?}");
}

#[test]
fn what_is_kept_does_not_grow_with_the_requests_that_were_served() {
    let mut instance = Instance::with(2);
    let kept = instance.requests[1].clone();
    for _ in 0..10_000 {
        instance.sleeps(1);
        instance.wakes(0, 1);
        instance.renews(0);
        instance.wakes.task_starts(0);
        instance.sleeps(0);
        instance.wakes(1, 0);
        if instance.wakes.are_many() {
            let lives = [kept.id(), instance.requests[0].id()];
            instance
                .wakes
                .forget(|request| lives.contains(&request), |_| true);
        }
        assert!(instance.wakes.marks.len() <= MANY);
    }
    let Wakes {
        signals,
        waits,
        tasks,
        asleep,
        ..
    } = &instance.wakes;
    assert!(signals.len() == 2 && waits.len() <= 4 && tasks.len() == 2 && asleep.is_empty());
    assert!(instance.wakes.doubt(kept.id(), |_| true).is_some());
}

#[test]
fn where_more_is_going_on_than_is_kept_all_are_in_doubt() {
    let mut instance = Instance::with(2);
    for handle in 0..=MOST_KEPT {
        assert_eq!(instance.doubt(1), None);
        instance.waits_for(0, u32::try_from(handle).unwrap());
    }
    assert_eq!(instance.doubt(1), Some((Doubt::Woken, vec![])));
    assert_eq!(instance.wakes.waits.len(), MOST_KEPT);
}

#[test]
fn tasks_that_have_ended_are_forgotten() {
    let mut instance = Instance::with(200);
    for task in 0..200 {
        instance.sleeps(task);
    }
    assert!(instance.wakes.are_many());
    instance.wakes.forget(|_| true, |task| task == 7);
    assert_eq!(instance.wakes.asleep, [7]);
    assert!(!instance.wakes.are_many());
}
