//! Returns the memory of a burst of requests to the operating system.
//!
//! mimalloc keeps free memory with the thread that allocated it. Memory that other threads have
//! freed is found only when that thread allocates again. After a burst, most threads that serve are
//! idle and allocate nothing, so the memory stays as long as the host is idle: of the 424 MiB that
//! 1,600 HTTP/2 requests took whose client read nothing, 148 stayed. Memory of ended instances also
//! waits, to be reset together with that of others. So each thread is made to collect once when the
//! load has fallen.

use std::thread::{self, ThreadId};
use std::time::Duration;

use headwater_runtime::{GuestThreads, Reclaim};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

/// The interval between measurements of the load.
const LOOK: Duration = Duration::from_secs(1);

/// The number of measurements after which the load has fallen if all were at half of the maximum or
/// less. A load that changes from second to second keeps its memory.
const LOOKS: usize = 10;

/// Returns memory each time that the load has fallen. `load` counts the users of memory: requests,
/// connections, instances.
pub(crate) async fn give_back(
    load: impl Fn() -> usize,
    instances: Reclaim,
    serving: Vec<Handle>,
    computing: GuestThreads,
) {
    let mut busiest = 0;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut busy = 0;
        for _ in 0..LOOKS {
            looks.tick().await;
            busy = busy.max(load());
        }
        if has_fallen(&mut busiest, busy) {
            on_each_thread(&instances, &serving).await;
            let (instances, computing) = (instances.clone(), computing.clone());
            let give_back = move || {
                instances.give_back();
                collect();
            };
            // Guests that compute use their threads; then the load has not fallen.
            let visited = spawn_blocking(move || computing.run_on_computing(give_back, LOOK));
            // Fails only while the host ends.
            let _ = visited.await;
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

/// Makes each serving thread return its memory. Returns the threads that did.
async fn on_each_thread(instances: &Reclaim, serving: &[Handle]) -> Vec<ThreadId> {
    let visits: Vec<_> = serving
        .iter()
        .map(|thread| {
            let instances = instances.clone();
            thread.spawn(async move {
                instances.give_back();
                collect();
                thread::current().id()
            })
        })
        .collect();
    collect();
    let mut visited = Vec::new();
    for visit in visits {
        // Fails only while the host ends.
        visited.extend(visit.await.ok());
    }
    visited
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

    use headwater_runtime::ServingThreads;

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

    #[tokio::test]
    async fn each_serving_thread_gives_back() {
        const THREADS: usize = 4;
        let serving = ServingThreads::start(THREADS).unwrap();
        let visited = on_each_thread(&Reclaim::default(), &serving.runtimes()).await;
        assert_eq!(visited.len(), THREADS);
        assert_eq!(visited.iter().collect::<HashSet<_>>().len(), THREADS);
    }
}
