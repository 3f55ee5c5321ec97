use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures::{FutureExt, poll};

use super::*;

fn join(places: &Arc<Places>, name: &str, takes: u32) -> ServicePlaces {
    places
        .join(name.into(), Footprint::of_memories(takes))
        .unwrap()
}

/// Takes as many instances as there is room for.
fn fill(service: &ServicePlaces) -> Vec<InstancePlaces> {
    std::iter::from_fn(|| service.try_take()).collect()
}

/// Returns true for this many calls.
fn turns(turns: usize) -> impl Fn() -> bool {
    let turn = AtomicUsize::new(0);
    move || turn.fetch_add(1, Ordering::Relaxed) < turns
}

fn missing(service: &ServicePlaces) -> NoPlace {
    let gave_up = service.take(turns(1));
    let gave_up = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(gave_up);
    gave_up.err().unwrap()
}

#[test]
fn a_service_alone_may_have_all_places() {
    let places = Places::new(1_000);
    let alone = join(&places, "alone", 50);
    assert_eq!(fill(&alone).len(), 20);
    assert_eq!(places.free(), 1_000, "they were given back");
}

#[test]
fn a_tenth_is_for_services_with_less_than_an_equal_share() {
    let places = Places::new(1_000);
    let (large, small) = (join(&places, "large", 50), join(&places, "small", 1));
    let instances = fill(&large);
    assert_eq!(instances.len(), 18);
    // A service that has nothing may have an instance of any size.
    assert!(join(&places, "another", 100).try_take().is_some());
    assert_eq!(fill(&small).len(), 100);
}

#[test]
fn what_is_missing_is_told_with_the_setting() {
    let places = Places::new(100);
    let large = join(&places, "large", 50);
    let other = join(&places, "other", 60);
    let _instance = large.try_take().unwrap();
    let told = missing(&other).to_string();
    for part in [
        "`other` takes 60 places for its 60 linear memories",
        "50 of 100 are free",
        "`large` has 50",
        "--places",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let fault = missing(&other).into_fault();
    assert_eq!(fault.status().as_u16(), 503);
    assert!(fault.summary().contains("`places`"), "{}", fault.summary());
}

#[test]
fn a_guest_that_never_has_room_is_refused_when_it_is_loaded() {
    let refused = Places::new(49).join("large".into(), Footprint::of_memories(50));
    let told = refused.unwrap_err().to_string();
    assert!(
        told.contains("50 places") && told.contains("has 49") && told.contains("--places"),
        "{told}"
    );
}

#[tokio::test]
async fn who_has_least_is_served_first_and_of_several_who_waits_for_longest() {
    let places = Places::new(9);
    let [rich, poor, empty] = ["rich", "poor", "empty"].map(|name| join(&places, name, 1));
    let mut of_rich: Vec<_> = std::iter::from_fn(|| rich.try_take()).take(7).collect();
    let _of_poor: Vec<_> = std::iter::from_fn(|| poor.try_take()).take(2).collect();
    let mut waiting = [&rich, &poor, &empty, &empty].map(|service| Box::pin(service.take(|| true)));
    for one in &mut waiting {
        assert!(poll!(one).is_pending());
    }
    let [rich_waits, poor_waits, first, second] = &mut waiting;
    of_rich.pop();
    let _first = first.now_or_never().expect("it has nothing").unwrap();
    assert!(poll!(&mut *second).is_pending());
    of_rich.pop();
    let _second = second.now_or_never().expect("it has one").unwrap();
    assert!(poll!(&mut *rich_waits).is_pending());
    of_rich.pop();
    let _third = poor_waits.now_or_never().expect("it has two").unwrap();
    // A newcomer goes before services that have more, and not before those that have less.
    assert!(rich.try_take().is_none() && poor.try_take().is_none());
    of_rich.pop();
    assert!(rich_waits.now_or_never().is_some());
}

#[tokio::test]
async fn one_that_needs_many_places_is_not_passed_by_those_that_have_more() {
    let places = Places::new(100);
    let (large, busy) = (join(&places, "large", 50), join(&places, "busy", 1));
    let mut instances = fill(&busy);
    assert_eq!(instances.len(), 90);
    let mut waiting = Box::pin(large.take(|| true));
    assert!(poll!(&mut waiting).is_pending());
    // It continues for as long as the other waits, and instances end one by one.
    for _ in 0..40 {
        assert!(poll!(&mut waiting).is_pending());
        assert!(busy.try_take().is_none());
        instances.pop();
    }
    assert!(waiting.now_or_never().is_some());
    assert!(busy.try_take().is_some());
}

#[tokio::test]
async fn who_waits_no_more_holds_up_nobody() {
    let places = Places::new(9);
    let (large, small) = (join(&places, "large", 9), join(&places, "small", 1));
    let instances: Vec<_> = std::iter::from_fn(|| small.try_take()).take(8).collect();
    let mut waiting = Box::pin(large.take(|| true));
    assert!(poll!(&mut waiting).is_pending());
    assert!(small.try_take().is_none());
    assert!(large.missing().is_some());
    let mut behind = Box::pin(small.take(|| true));
    assert!(poll!(&mut behind).is_pending());
    drop(waiting);
    assert!(large.missing().is_none());
    assert!(behind.now_or_never().is_some());
    drop(instances);
    assert_eq!(places.free(), 9);
}

#[tokio::test]
async fn places_of_one_who_gave_up_at_that_moment_go_back() {
    let places = Places::new(1);
    let one = join(&places, "one", 1);
    let instance = one.try_take();
    let mut waiting = Box::pin(one.take(|| true));
    assert!(poll!(&mut waiting).is_pending());
    // Granted, and never received.
    drop(instance);
    assert_eq!(places.free(), 0);
    drop(waiting);
    assert_eq!(places.free(), 1);
}

/// A pool whose instances end when they are asked to, at once or never.
struct Pool {
    idle: Mutex<Vec<InstancePlaces>>,
    at_work: Mutex<Vec<InstancePlaces>>,
    ending: Option<Mutex<Vec<InstancePlaces>>>,
}

impl Pool {
    fn of(service: &ServicePlaces, idle: usize, at_work: usize) -> Self {
        let take = |count| (0..count).map(|_| service.try_take().unwrap()).collect();
        Self {
            idle: Mutex::new(take(idle)),
            at_work: Mutex::new(take(at_work)),
            ending: None,
        }
    }

    fn of_service(self, service: &ServicePlaces) -> Arc<Self> {
        let pool = Arc::new(self);
        let gives: Arc<dyn GivesWay> = pool.clone();
        service.set_pool(Arc::downgrade(&gives));
        pool
    }

    fn at_work(&self) -> usize {
        self.at_work.lock().len()
    }
}

impl GivesWay for Pool {
    fn idle(&self) -> usize {
        self.idle.lock().len()
    }

    fn evict(self: Arc<Self>) -> bool {
        let evicted = self.idle.lock().pop();
        evicted.is_some()
    }

    fn give_way(self: Arc<Self>) -> bool {
        let asked = self.at_work.lock().pop();
        let any = asked.is_some();
        if let Some(ending) = &self.ending {
            ending.lock().extend(asked);
        }
        any
    }
}

#[tokio::test]
async fn idle_instances_of_the_service_with_most_places_give_way_first() {
    let places = Places::new(9);
    let [rich, poor, empty] = ["rich", "poor", "empty"].map(|name| join(&places, name, 1));
    let (of_rich, of_poor) = (Pool::of(&rich, 3, 3), Pool::of(&poor, 1, 2));
    let (of_rich, of_poor) = (of_rich.of_service(&rich), of_poor.of_service(&poor));
    let mut taken = Vec::new();
    for left in [(2, 1), (1, 1), (0, 1), (0, 0)] {
        taken.push(empty.take(|| true).await.unwrap());
        assert_eq!((of_rich.idle(), of_poor.idle()), left);
        assert_eq!((of_rich.at_work(), of_poor.at_work()), (3, 2));
    }
}

#[tokio::test]
async fn instances_at_work_give_way_to_services_that_have_less() {
    let places = Places::new(9);
    let [rich, empty] = ["rich", "empty"].map(|name| join(&places, name, 1));
    let of_rich = Pool::of(&rich, 0, 9).of_service(&rich);
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(empty.take(|| true).await.unwrap());
    }
    // Five to four would only become four to five, so none gives way.
    assert!(empty.take(turns(3)).await.is_err());
    assert_eq!(of_rich.at_work(), 5);
}

#[tokio::test]
async fn no_more_instances_at_work_are_asked_than_are_needed() {
    let places = Places::new(9);
    let [rich, empty] = ["rich", "empty"].map(|name| join(&places, name, 1));
    let pool = Pool {
        ending: Some(Mutex::default()),
        ..Pool::of(&rich, 0, 9)
    };
    let pool = pool.of_service(&rich);
    assert!(empty.take(turns(5)).await.is_err());
    assert_eq!(pool.at_work(), 8);
}

#[test]
fn whatever_is_taken_comes_back() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let places = Places::new(24);
    runtime.block_on(async {
        let tasks = (1..=8).map(|takes| {
            let service = join(&places, "service", takes);
            tokio::spawn(async move {
                for round in 0..200_u64 {
                    let until = std::time::Instant::now() + Duration::from_millis(round % 30);
                    let taken = service.take(|| std::time::Instant::now() < until).await;
                    assert!(service.0.places.taken.load(Ordering::SeqCst) <= 24);
                    tokio::task::yield_now().await;
                    drop(taken);
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
    assert_eq!(places.free(), 24);
    assert!(places.queue.lock().is_empty());
    assert_eq!(places.services.load(Ordering::Relaxed), 0);
}
