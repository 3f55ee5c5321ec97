//! Measures finding the route of a request among a thousand. `--assert` fails if it takes longer than the
//! maximum.
#![allow(
    clippy::print_stdout,
    missing_docs,
    reason = "its output is what it is for"
)]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_core::{Body, Handler, HandlerFuture, RequestScope};
use headwater_server::{Route, Router};
use http::{Request, Response, Uri};

const ROUTES: usize = 1_000;
const AT_MOST: Duration = Duration::from_nanos(300);
/// The best of this many rounds counts; slower ones were disturbed.
const ROUNDS: usize = 20;
const LOOK_UPS: usize = 200_000;

struct Nothing;

impl Handler for Nothing {
    fn handle(&self, _: Request<Body>, _: Arc<RequestScope>) -> HandlerFuture {
        Box::pin(async { Ok(Response::new(headwater_core::empty())) })
    }
}

fn main() -> ExitCode {
    let assert = std::env::args().any(|argument| argument == "--assert");
    let mut slowest = Duration::ZERO;
    for (name, with_hosts) in [("paths", false), ("hosts and paths", true)] {
        let time = measure(with_hosts);
        println!(
            "  {name:<16} {:>6.1} ns per look-up among {ROUTES} routes",
            time.as_secs_f64() * 1e9
        );
        slowest = slowest.max(time);
    }
    let met = slowest < AT_MOST;
    println!(
        "  target: under {} ns: {}",
        AT_MOST.as_nanos(),
        if met { "met" } else { "missed" }
    );
    match met || !assert {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Routes as an operator may have them: exact ones, prefixes and wildcards, four of each kind below
/// each name; and one that has all else.
fn measure(with_hosts: bool) -> Duration {
    let mut routes = vec![Route::new("/...", "rest", Arc::new(Nothing))];
    let mut uris: Vec<Uri> = Vec::new();
    for number in 0.. {
        let shop = format!("/shop-{number}");
        let host = match with_hosts {
            true => format!("tenant-{}.example.com", number % 50),
            false => "www.example.com".to_owned(),
        };
        for (pattern, path) in [
            ("/cart", "/cart"),
            ("/files/...", "/files/css/site.css?v=7"),
            ("/users/{id}", "/users/8fd1b2a0"),
            ("/users/{id}/orders/...", "/users/8fd1b2a0/orders/17/lines"),
        ] {
            let mut route = Route::new(format!("{shop}{pattern}"), "shop", Arc::new(Nothing));
            if with_hosts {
                let pattern = match number % 2 {
                    0 => host.clone(),
                    _ => format!("*.{host}"),
                };
                route.hosts.extend(pattern.parse());
            }
            routes.push(route);
            let below = if with_hosts && number % 2 == 1 {
                "eu."
            } else {
                ""
            };
            uris.extend(format!("http://{below}{host}{shop}{path}").parse::<Uri>());
        }
        uris.extend(format!("http://{host}/elsewhere/{number}").parse::<Uri>());
        if routes.len() > ROUTES - 4 {
            break;
        }
    }
    let Ok(router) = Router::new(routes) else {
        return Duration::MAX;
    };
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for uri in uris.iter().cycle().take(LOOK_UPS) {
            black_box(router.find(black_box(uri)));
        }
        best = best.min(started.elapsed() / LOOK_UPS as u32);
    }
    best
}
