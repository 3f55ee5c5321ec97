use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex};
use std::thread::{ThreadId, current as current_thread};

use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use super::*;

/// Far longer than anything here takes: a failure is a hang.
const HANGS: Duration = Duration::from_secs(60);

/// Simulates guests that no tick interrupts, for as long as a test wants.
#[derive(Clone)]
struct Bulk {
    begun: Sender<()>,
    over: Arc<(Mutex<bool>, Condvar)>,
}

impl Bulk {
    fn new() -> (Self, Receiver<()>) {
        let (begun, begins) = channel();
        let over = Arc::default();
        (Self { begun, over }, begins)
    }

    fn run(&self) {
        self.begun.send(()).unwrap();
        let (over, changed) = &*self.over;
        let over = over.lock().unwrap();
        drop(changed.wait_while(over, |over| !*over).unwrap());
    }

    fn finish(&self) {
        let (over, changed) = &*self.over;
        *over.lock().unwrap() = true;
        changed.notify_all();
    }
}

/// A host with one serving thread.
struct Host {
    runtime: Runtime,
    serving: ServingThreads,
    threads: GuestThreads,
}

impl Host {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let serving = ServingThreads::start(1).unwrap();
        let threads = GuestThreads::default();
        threads.run_on(&serving);
        Self {
            runtime,
            serving,
            threads,
        }
    }

    /// Runs work on the serving thread.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.serving.runtimes()[0].spawn(work);
    }

    /// Asserts that other tasks of the serving thread get their turns.
    fn others_are_served(&self) {
        let (done, is_done) = channel();
        let small = self.threads.service().instance();
        self.spawn(small.run(async move {
            for _ in 0..10 {
                tokio::spawn(yield_now()).await.unwrap();
            }
            done.send(()).unwrap();
        }));
        is_done.recv_timeout(HANGS).expect("others are held up");
    }

    fn serving_thread(&self) -> ThreadId {
        let (tell, told) = channel();
        self.spawn(async move { tell.send(current_thread().id()).unwrap() });
        told.recv_timeout(HANGS).unwrap()
    }
}

/// Returns a service whose guests compute.
fn computing(host: &Host) -> ServiceThreads {
    let service = host.threads.service();
    service
        .load
        .computes_until
        .store(u64::MAX, Ordering::Relaxed);
    service
}

#[test]
fn guests_that_compute_hold_up_neither_others_nor_more_than_their_threads() {
    let host = Host::new();
    let (bulk, begins) = Bulk::new();
    let most = host.threads.computing().unwrap().count;
    let service = computing(&host);
    for _ in 0..2 * most {
        let bulk = bulk.clone();
        host.spawn(service.instance().run(async move { bulk.run() }));
    }
    for _ in 0..most {
        begins.recv_timeout(HANGS).unwrap();
    }
    host.others_are_served();
    assert!(begins.try_recv().is_err(), "too many at once");
    bulk.finish();
    for _ in 0..most {
        begins.recv_timeout(HANGS).expect("a turn was lost");
    }
}

#[test]
fn a_large_guest_leaves_the_serving_thread_before_it_gets_its_memory() {
    let host = Host::new();
    let (bulk, begins) = Bulk::new();
    let thread = host.threads.service().instance();
    let work = {
        let (thread, bulk) = (thread.clone(), bulk.clone());
        async move {
            assert!(!thread.has_memory(LARGE));
            assert!(thread.has_memory(LARGE + 1));
            assert!(!thread.has_memory(LARGE + 2), "it yields once");
            yield_now().await;
            bulk.run();
        }
    };
    host.spawn(thread.run(work));
    begins.recv_timeout(HANGS).unwrap();
    assert!(thread.is_apart());
    host.others_are_served();
    bulk.finish();
}

#[test]
fn the_end_of_a_large_guest_does_not_hold_up_others() {
    struct Memory(Bulk);
    impl Drop for Memory {
        fn drop(&mut self) {
            self.0.run();
        }
    }
    let host = Host::new();
    let (bulk, begins) = Bulk::new();
    let thread = host.threads.service().instance();
    let memory = Memory(bulk.clone());
    let (large, is_large) = channel();
    let work = {
        let thread = thread.clone();
        async move {
            let _memory = memory;
            assert!(thread.has_memory(LARGE + 1));
            large.send(()).unwrap();
            std::future::pending::<()>().await;
        }
    };
    let guest = host.serving.runtimes()[0].spawn(thread.run(work));
    is_large.recv_timeout(HANGS).unwrap();
    guest.abort();
    begins.recv_timeout(HANGS).unwrap();
    host.others_are_served();
    bulk.finish();
}

#[test]
fn a_service_computes_for_a_while_after_a_poll_took_long() {
    let service = GuestThreads::default().service();
    let host = service.host.clone();
    let ticks = |many: u64| (0..many).for_each(|_| host.tick());
    let poll = |suspect, work: &dyn Fn()| {
        let thread = service.instance();
        let poll = |_: &mut Context<'_>| {
            work();
            Poll::Ready(())
        };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        thread.poll(suspect, poll, &mut cx).1
    };
    ticks(1);
    assert!(!poll(false, &|| ()));
    assert!(poll(false, &|| ticks(LONG - 1)), "measured the next time");
    assert!(!service.computes(host.ticks()));
    poll(false, &|| ticks(LONG));
    assert!(service.computes(host.ticks()));
    ticks(LONG_FOR);
    assert!(!service.computes(host.ticks()));

    // Uses its time, however long the system takes to give it.
    let work = || {
        let began = Mark::of_thread();
        while Mark::of_thread().since(began) < MOST {}
    };
    poll(true, &work);
    assert!(!service.computes(host.ticks()), "one poll says little");
    poll(true, &work);
    assert!(service.computes(host.ticks()));
    ticks(COMPUTES_FOR - 1);
    poll(true, &|| ());
    ticks(COMPUTES_FOR - 1);
    assert!(service.computes(host.ticks()), "the average is still high");
    for _ in 0..4 * WEIGHT {
        poll(true, &|| ());
    }
    ticks(COMPUTES_FOR);
    assert!(!service.computes(host.ticks()), "its polls became short");
    while !host.ticks().is_multiple_of(MEASURED) {
        ticks(1);
    }
    for _ in 0..2 {
        poll(false, &work);
    }
    assert!(
        service.computes(host.ticks()),
        "one tick of many is measured"
    );
}

#[test]
fn what_wakes_a_guest_while_it_runs_on_another_thread_is_not_lost() {
    let host = Host::new();
    let service = computing(&host);
    let (done, is_done) = channel();
    let serving = host.serving_thread();
    host.spawn(service.instance().run(async move {
        for round in 0..1_000 {
            assert_ne!(current_thread().id(), serving);
            match round % 2 {
                0 => yield_now().await,
                // Woken by the serving thread, at any time.
                _ => tokio::spawn(async move {
                    assert_eq!(current_thread().id(), serving);
                })
                .await
                .unwrap(),
            }
        }
        done.send(()).unwrap();
    }));
    is_done.recv_timeout(HANGS).expect("a wake-up was lost");
}

#[test]
fn a_guest_returns_to_its_serving_thread_when_its_service_no_longer_computes() {
    let host = Host::new();
    let service = computing(&host);
    let serving = host.serving_thread();
    let (done, is_done) = channel();
    host.spawn(service.instance().run(async move {
        assert_ne!(current_thread().id(), serving);
        service.load.computes_until.store(0, Ordering::Relaxed);
        yield_now().await;
        assert_eq!(current_thread().id(), serving);
        done.send(()).unwrap();
    }));
    is_done.recv_timeout(HANGS).unwrap();
}

#[test]
fn on_another_thread_a_guest_still_works_for_its_serving_thread() {
    let host = Host::new();
    let service = computing(&host);
    let (tell, told) = channel();
    let key = {
        let tell = tell.clone();
        host.spawn(async move { tell.send(current()).unwrap() });
        told.recv_timeout(HANGS).unwrap()
    };
    assert!(key.is_some());
    host.spawn(
        service
            .instance()
            .run(async move { tell.send(current()).unwrap() }),
    );
    assert_eq!(told.recv_timeout(HANGS).unwrap(), key);
    assert_eq!(current(), None);
}

#[test]
fn instances_start_on_the_thread_with_the_lowest_load_and_the_current_one_first() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let within = runtime.enter();
    let alone = GuestThreads::default().service();
    assert_eq!(alone.spawn(async {}, |_| 0), None);
    drop(within);

    let serving = ServingThreads::start(3).unwrap();
    let keys: Vec<_> = serving.threads().iter().map(|it| it.key).collect();
    let host = GuestThreads::default();
    host.run_on(&serving);
    let service = host.service();
    for key in &keys {
        assert_eq!(service.spawn(async {}, |_| 0), Some(*key), "in turn");
    }
    let _working = serving::enter(Some(keys[1]));
    assert_eq!(service.spawn(async {}, |_| 5), Some(keys[1]));
    let load = |key| usize::from(key == keys[1]);
    assert_eq!(service.spawn(async {}, load), Some(keys[2]));
}

#[test]
fn a_guest_that_panics_on_another_thread_panics_its_task() {
    let host = Host::new();
    let service = computing(&host);
    let panics =
        host.serving.runtimes()[0].spawn(service.instance().run(async { panic!("for the test") }));
    assert!(host.runtime.block_on(panics).unwrap_err().is_panic());
}

#[test]
fn work_that_is_dropped_before_its_turn_never_runs_and_a_job_on_each_thread_comes_after_it() {
    struct Told(Sender<&'static str>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send("dropped").unwrap();
        }
    }
    let host = Host::new();
    let _within = host.runtime.enter();
    let (bulk, begins) = Bulk::new();
    let service = computing(&host);
    let count = host.threads.computing().unwrap().count;
    for _ in 0..count {
        let bulk = bulk.clone();
        host.spawn(service.instance().run(async move { bulk.run() }));
        begins.recv_timeout(HANGS).unwrap();
    }
    let (tell, told) = channel();
    let guest = Told(tell.clone());
    let mut work = service
        .instance()
        .run(async move { guest.0.send("ran").unwrap() });
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(std::pin::Pin::new(&mut work).poll(&mut cx).is_pending());
    drop(work);
    assert!(!host.threads.run_on_computing(|| (), Duration::ZERO));
    bulk.finish();
    assert!(
        host.threads
            .run_on_computing(move || tell.send("job").unwrap(), HANGS)
    );
    let all: Vec<_> = told.try_iter().collect();
    assert_eq!(all[0], "dropped");
    assert_eq!(all[1..], vec!["job"; count]);
}

#[test]
fn without_serving_threads_guests_run_where_they_are_polled_until_they_compute() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let thread = GuestThreads::default().service().instance();
    let work = {
        let thread = thread.clone();
        async move {
            let before = current_thread().id();
            assert!(thread.has_memory(LARGE + 1));
            yield_now().await;
            (before, current_thread().id())
        }
    };
    let (before, after) = runtime.block_on(thread.run(work));
    assert_eq!(before, current_thread().id());
    assert_ne!(after, before);

    let outside = thread.run(async { 7 });
    assert_eq!(futures::executor::block_on(outside), 7);
}

#[test]
fn the_end_of_the_threads_ends_their_tasks() {
    let host = Host::new();
    let (gone, is_gone) = channel::<()>();
    let key = host.threads.service().spawn(
        async move {
            let _gone = gone;
            std::future::pending::<()>().await;
        },
        |_| 0,
    );
    assert!(key.is_some());
    host.serving.end(HANGS);
    is_gone.recv_timeout(HANGS).unwrap_err();
}
