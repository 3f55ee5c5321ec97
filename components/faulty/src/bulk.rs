//! Makes the host do a lot of work at once, again and again, with a line on stderr each time:
//! `GET /fill?mib=256`, `/random?mib=64`, `/subtasks?n=100000`.

use guest::Query;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::task::Poll;
use wasip3::{clocks::monotonic_clock, random};

const A_DAY: u64 = 24 * 60 * 60 * 1_000_000_000;

/// Fills this much memory by one instruction.
pub fn fill(query: &Query) -> ! {
    let mut memory = vec![0_u8; bytes(query, 256)];
    loop {
        memory.fill(1);
        black_box(&memory);
        eprintln!("filled");
    }
}

/// Requests this many random bytes at once.
pub fn random(query: &Query) -> ! {
    loop {
        black_box(random::random::get_random_bytes(bytes(query, 64) as u64));
        eprintln!("got random bytes");
    }
}

/// Starts this many host calls, and drops all of them before any has finished.
pub async fn subtasks(query: &Query) -> ! {
    let n = query.number("n", 100_000);
    loop {
        let mut all = Vec::new();
        for _ in 0..n {
            let mut call = Box::pin(monotonic_clock::wait_for(A_DAY));
            poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await;
            if query.get("keep").is_some() {
                all.push(call);
            }
        }
        drop(all);
        // Yields to the host, which removes them.
        guest::wait(1).await;
        eprintln!("dropped subtasks");
    }
}

fn bytes(query: &Query, default: u64) -> usize {
    (query.number("mib", default) << 20) as usize
}
