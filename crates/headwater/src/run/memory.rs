//! What a burst of requests has taken of memory goes back to the operating system.
//!
//! mimalloc keeps free memory by the thread that asked for it. What other threads have freed, that thread
//! finds when it asks for more. After a burst most of the threads that serve have nothing to do and ask for
//! nothing, so the memory stays for as long as the host is idle: of the 424 MiB that 1,600 HTTP/2 requests
//! took whose client read nothing, 148 stayed. Memory of ended instances waits in the same way, to be reset with
//! that of others. So each thread is made to look once when the load has fallen.

use std::cell::Cell;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use headwater_runtime::Reclaim;
use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval};

/// How often the load is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Looks after which the load has fallen if all were at half of what it was, or less. A load that comes and
/// goes from second to second keeps its memory.
const LOOKS: usize = 10;

/// How long one round tries to reach all threads.
const ROUND: Duration = Duration::from_millis(100);

/// About as long as a thread takes to wake.
const WAKING: Duration = Duration::from_micros(100);

thread_local! {
    /// The last round in which this thread looked.
    static LOOKED: Cell<u64> = const { Cell::new(0) };
}

/// Gives memory back each time that the load has fallen. `load` counts what memory is held for: requests,
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

/// Whether the load is low beside the busiest time since it last was. Notes it.
fn has_fallen(busiest: &mut usize, busy: usize) -> bool {
    let fell = busy < *busiest && busy <= *busiest / 2;
    *busiest = if fell { busy } else { busy.max(*busiest) };
    fell
}

/// Has each worker thread of the runtime give back what it can. Returns those that did.
async fn on_each_worker(round: u64, instances: &Reclaim, within: Duration) -> Vec<ThreadId> {
    let until = Instant::now() + within;
    let workers = Handle::current().metrics().num_workers();
    let mut visited = Vec::new();
    while visited.len() < workers && Instant::now() < until {
        // The runtime wakes idle threads for tasks that wait. More than one each, for some come to a thread
        // that has looked.
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

/// Has this thread look, if it has not in this round.
#[allow(
    clippy::disallowed_methods,
    reason = "it is for a moment, and the load is low"
)]
fn visit(round: u64, instances: &Reclaim) -> Option<ThreadId> {
    if LOOKED.replace(round) == round {
        // Otherwise it would take all visits before another thread is awake.
        thread::sleep(WAKING);
        return None;
    }
    instances.give_back();
    collect();
    Some(thread::current().id())
}

/// Has this thread look for what was freed, and give back what nobody uses.
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
        // Far longer than it takes: a failure is a hang.
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
