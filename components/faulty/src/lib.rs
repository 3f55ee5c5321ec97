//! Fails in many ways, each under its own path, and answers well under every other path: the
//! failure of one request must not affect others.
//!
//! Before an answer: `GET /trap`, `/error`, `/spin`, `/never`, `/exit`, `/trap-together?n=16`;
//! after one: see [`after`]; in the middle of a body: [`cut`]; with the request's body: [`body`];
//! with memory and handles: [`hoard`]; with much at once: [`bulk`]; with backpressure: [`pressure`]

mod after;
mod body;
mod bulk;
mod cut;
mod hoard;
mod pressure;

use guest::{Call, ErrorCode, Query, Request, Response, text, wait};
use std::hint::black_box;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use wasip3::{cli::exit::exit, clocks::monotonic_clock, random};

const AN_HOUR: u64 = 60 * 60 * 1000;

/// An identifier that stays the same for the life of the instance.
static INSTANCE: LazyLock<u64> = LazyLock::new(random::random::get_random_u64);
static SERVED: AtomicU64 = AtomicU64::new(0);
/// The number of requests that wait to trap together.
static DOOMED: AtomicU64 = AtomicU64::new(0);

struct Faulty;

impl wasip3::exports::http::handler::Guest for Faulty {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let query = Query::of(&request);
        match query.path.as_str() {
            "/trap" => {
                call_if_asked(&query, &request).await;
                panic!("deliberate panic")
            }
            "/error" => Err(ErrorCode::InternalError(Some(
                "deliberate error".to_owned(),
            ))),
            "/spin" => spin(),
            "/never" => forever().await,
            "/exit" => {
                exit(Err(()));
                Ok(text(200, "the guest went on after its exit\n"))
            }
            "/trap-together" => trap_together(query.number("n", 16)).await,
            "/late-trap" => Ok(cut::late_trap()),
            "/trap-at-end" => Ok(cut::trap_at_end(&query)),
            "/drop-body" => Ok(cut::drop_body()),
            "/trailer-error" => Ok(cut::trailer_error()),
            "/no-end" => Ok(cut::no_end()),
            "/drip" => Ok(cut::drip(query, &request)),
            "/spin-after" => Ok(after::spin_after()),
            "/exit-after" => Ok(after::exit_after()),
            "/trap-after" => Ok(after::trap_after()),
            "/respond-and-stay" => Ok(after::stay()),
            "/refuse-body" => body::refuse_and_wait(request).await,
            "/refuse-body-and-answer" => Ok(body::refuse_and_answer(request).await),
            "/memory" => hoard::memory(),
            "/handles" => Ok(hoard::handles(&query)),
            "/fill" => bulk::fill(&query),
            "/random" => bulk::random(&query),
            "/subtasks" => bulk::subtasks(&query).await,
            "/hold" => Ok(pressure::hold()),
            "/hold-and-leave" => Ok(pressure::hold_and_leave()),
            "/hold-and-trap" => pressure::hold_and_trap(&query, &request).await,
            "/held-slow" => Ok(pressure::held_slow(query.number("ms", 20)).await),
            "/toggle" => Ok(pressure::toggle(query.number("n", 100)).await),
            "/slow" => {
                wait(query.number("ms", 20)).await;
                Ok(who())
            }
            "/instance" => Ok(who()),
            "/compute" => {
                compute(query.number("ms", 20));
                Ok(who())
            }
            // The request's body is dropped unread.
            path => Ok(match path.rsplit_once('/') {
                Some((folder, name)) if folder.ends_with("/open") => {
                    hoard::open(name, &query).await
                }
                Some((folder, name)) if folder.ends_with("/touch") => hoard::touch(name).await,
                Some((_, "list")) => hoard::list(&query).await,
                _ => text(200, "fine\n"),
            }),
        }
    }
}

wasip3::http::service::export!(Faulty);

/// Answers `INSTANCE N`: the instance, and how many requests it has answered this way.
fn who() -> Response {
    let served = SERVED.fetch_add(1, Relaxed) + 1;
    text(200, format!("{:016x} {served}\n", *INSTANCE))
}

/// Loops forever without a host call.
fn spin() -> ! {
    loop {
        black_box(());
    }
}

/// Computes for this long by the clock, which it reads now and then.
fn compute(milliseconds: u64) {
    let end = monotonic_clock::now() + milliseconds * 1_000_000;
    while monotonic_clock::now() < end {
        for n in 0..100_000 {
            black_box(n);
        }
    }
}

/// Waits forever, by the host's clock.
async fn forever() -> ! {
    loop {
        wait(AN_HOUR).await;
    }
}

/// With `to=URL`, makes one outgoing request and waits for its answer: the upstream decides when
/// the guest continues.
async fn call_if_asked(query: &Query, request: &Request) {
    if let Ok(call) = Call::to(query, request) {
        // A failed call is finished, too.
        let _ = call.make(0).await;
    }
}

/// Traps once `n` requests are here, so that all of them have started and none was answered.
async fn trap_together(n: u64) -> Result<Response, ErrorCode> {
    if DOOMED.fetch_add(1, Relaxed) + 1 >= n {
        panic!("deliberate panic of {n} requests together");
    }
    forever().await
}
