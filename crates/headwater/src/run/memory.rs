//! Returns the memory of a burst of requests to the operating system.
//!
//! mimalloc keeps free memory with the thread that allocated it. Memory that other threads have
//! freed is found only when that thread allocates again. After a burst, most threads that serve are
//! idle and allocate nothing, so the memory stays as long as the host is idle: of the 424 MiB that
//! 1,600 HTTP/2 requests took whose client read nothing, 148 stayed. Memory of ended instances also
//! waits, to be reset together with that of others. So each thread is made to collect once when the
//! load has fallen.

use std::cell::Cell;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use headwater_runtime::Reclaim;
use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval};

/// The interval between measurements of the load.
const LOOK: Duration = Duration::from_secs(1);

/// The number of measurements after which the load has fallen if all were at half of the maximum or
/// less. A load that changes from second to second keeps its memory.
const LOOKS: usize = 10;

/// The time in which one round tries to reach all threads.
const ROUND: Duration = Duration::from_millis(100);

/// Approximately the time that a thread takes to wake.
const WAKING: Duration = Duration::from_micros(100);

thread_local! {
    /// The last round in which this thread collected.
    static LOOKED: Cell<u64> = const { Cell::new(0) };
}

/// Returns memory each time that the load has fallen. `load` counts the users of memory: requests,
/// connections, instances.
pub(crate) async fn give_back(load: impl Fn() -> usize, instances: Reclaim) {
    let (mut busiest, mut round) = (0, 0);
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut busy = 0;
        for _ in 0..LOOKS {
            looks.tick().await;
            busy = busy.max(load());
        }
        if has_fallen(&mut busiest, busy) {
            round += 1;
            on_each_worker(round, &instances, ROUND).await;
        }
    }
}

/// Returns true if the load has fallen to half of its maximum since it last did, and updates the
/// maximum.
fn has_fallen(busiest: &mut usize, busy: usize) -> bool {
    let fell = busy < *busiest && busy <= *busiest / 2;
    *busiest = if fell { busy } else { busy.max(*busiest) };
    fell
}

/// Makes each worker thread of the runtime return its memory. Returns the threads that did.
async fn on_each_worker(round: u64, instances: &Reclaim, within: Duration) -> Vec<ThreadId> {
    let until = Instant::now() + within;
    let workers = Handle::current().metrics().num_workers();
    let mut visited = Vec::new();
    while visited.len() < workers && Instant::now() < until {
        // The runtime wakes idle threads for waiting tasks. There is more than one task for each
        // thread, because some reach a thread that has collected already.
        let visits: Vec<_> = (0..2 * workers)
            .map(|_| {
                let instances = instances.clone();
                tokio::spawn(async move { visit(round, &instances) })
            })
            .collect();
        for visit in visits {
            visited.extend(visit.await.ok().flatten());
        }
    }
    visited
}

/// Collects on this thread, unless it has done so in this round.
#[allow(
    clippy::disallowed_methods,
    reason = "the sleep is short, and the load is low"
)]
fn visit(round: u64, instances: &Reclaim) -> Option<ThreadId> {
    if LOOKED.replace(round) == round {
        // Otherwise this thread would take all visits before another one is awake.
        thread::sleep(WAKING);
        return None;
    }
    instances.give_back();
    collect();
    Some(thread::current().id())
}

/// Finds memory of this thread that others have freed, and returns what is unused.
#[allow(unsafe_code)]
fn collect() {
    // SAFETY: may be called on any thread at any time; it touches nothing that is in use.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_load_has_fallen_at_half_of_its_most_and_not_again_before_it_has_risen() {
        let mut busiest = 0;
        let loads = [0, 4, 100, 60, 50, 50, 30, 25, 26, 1, 0, 0];
        let fell = loads.map(|busy| has_fallen(&mut busiest, busy));
        let expected = [
            false, false, false, false, true, false, false, true, false, true, true, false,
        ];
        assert_eq!(fell, expected);
    }

    #[test]
    fn each_worker_thread_gives_back_once_in_a_round() {
        const WORKERS: usize = 4;
        // Much longer than it takes: a failure is a hang.
        const HANGS: Duration = Duration::from_secs(60);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .build()
            .unwrap();
        for round in 1..10 {
            let visited = runtime.block_on(on_each_worker(round, &Reclaim::default(), HANGS));
            let threads: HashSet<_> = visited.iter().collect();
            assert_eq!((visited.len(), threads.len()), (WORKERS, WORKERS));
        }
    }
}
