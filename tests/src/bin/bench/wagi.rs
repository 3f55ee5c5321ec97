//! Measures WAGI modules: a program in C compared with the same program as a native CGI behind
//! nginx, a large module, a long answer, an interpreter.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use headwater_tests::guests::guest;
use headwater_tests::{Client, Host, client};
use http::Request;
use tempfile::TempDir;
use tokio::process::Command;

use crate::cgi::{self, Cgi};
use crate::goal::{Goal, median};
use crate::load::{CONNECTIONS, Round, Target};
use crate::long::{self, Long};
use crate::options::Options;

/// The source of the small module, from which the native CGI is built.
const SOURCE: &str = "wagi-c/main.c";
/// Requests before the measurement.
const WARM_UP: usize = 1_000;
/// The lowest ratio of the requests per second to those of the native CGI.
const LEAST_TIMES: f64 = 10.0;
/// The highest CPU time of the whole host for one request to a small module, in microseconds.
const MOST_CPU: f64 = 45.0;
/// The highest ratio of a large module's CPU time to that of a small one.
const MOST_TIMES_LARGE: f64 = 2.0;
/// The size of a long answer, in bytes.
const LONG: usize = 50 << 20;
/// The lowest rate at which it is streamed, in MB per second.
const LEAST_MB: f64 = 500.0;
/// The highest additional memory of the host for it, in MiB.
const MOST_GROWTH: f64 = 8.0;
/// The number of starts of an interpreter.
const STARTS: usize = 20;

pub(crate) async fn measure(options: &Options) -> Result<Vec<Goal>> {
    println!(
        "wagi: {} rounds of {} requests each, over {CONNECTIONS} connections, in turn\n",
        options.rounds, options.requests
    );
    let mut goals = small_and_large(options).await?;
    goals.extend(long_output(options).await?);
    python().await?;
    Ok(goals)
}

async fn small_and_large(options: &Options) -> Result<Vec<Goal>> {
    let folder = TempDir::new()?;
    let small = Host::serve(guest("wagi-c")?).start().await?;
    let mut small = Target::connect(small, "/a?b=c").await?;
    let large = Host::serve(guest("wagi-large")?).start().await?;
    let mut large = Target::connect(large, "/a?b=c").await?;
    let native = match Cgi::start(folder.path(), &cgi::source(SOURCE)).await {
        Ok((host, cgi)) => Some((Target::connect(host, "/a?b=c").await?, cgi)),
        Err(error) => {
            println!("  SKIPPED the native CGI: {error:#}\n");
            None
        }
    };
    let mut native = native;

    small.load(WARM_UP).await?;
    large.load(WARM_UP).await?;
    let (mut of_small, mut of_large, mut of_native) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        of_small.push(small.load(options.requests).await?);
        of_large.push(large.load(options.requests).await?);
        if let Some((native, _)) = &mut native {
            // Each request is a process, so a tenth of the requests takes about as long.
            of_native.push(native.load((options.requests / 10).max(1)).await?);
        }
    }
    drop(native);
    let rate = |rounds: &[Round]| median(rounds.iter().map(Round::per_second));
    let (c, rust) = (cpu(&of_small), cpu(&of_large));
    println!("{:<28}{:>12}{:>19}", "", "requests/s", "CPU per request");
    println!("{:<28}{:>12.0}{c:>16.1} µs", "wagi-c.wasm", rate(&of_small));
    println!(
        "{:<28}{:>12.0}{rust:>16.1} µs",
        "wagi-large.wasm, 1.8 MB",
        rate(&of_large)
    );
    let mut goals = vec![
        Goal {
            target: format!("at most {MOST_CPU} µs of CPU for a request to a small module"),
            found: format!("{c:.1} µs"),
            met: c <= MOST_CPU,
        },
        Goal {
            target: format!("at most {MOST_TIMES_LARGE} times that for one of 1.8 MB"),
            found: format!("{:.2} times", rust / c),
            met: rust <= MOST_TIMES_LARGE * c,
        },
    ];
    if !of_native.is_empty() {
        let times = rate(&of_small) / rate(&of_native);
        println!(
            "{:<28}{:>12.0}",
            "the same, nginx + fcgiwrap",
            rate(&of_native)
        );
        println!("{:<28}{times:>12.1}", "ratio");
        goals.push(Goal {
            target: format!("at least {LEAST_TIMES} times the requests per second of a native CGI"),
            found: format!("{times:.1} times"),
            met: times >= LEAST_TIMES,
        });
    }
    println!();
    Ok(goals)
}

/// Returns the CPU time of the host for a request, over all rounds together, in microseconds.
fn cpu(rounds: &[Round]) -> f64 {
    let cpu: Duration = rounds.iter().map(|round| round.cpu).sum();
    let requests: usize = rounds.iter().map(|round| round.requests).sum();
    cpu.as_secs_f64() * 1e6 / requests as f64
}

/// Measures a long answer on one connection.
async fn long_output(options: &Options) -> Result<Vec<Goal>> {
    let folder = TempDir::new()?;
    let module = folder.path().join("long.wat");
    std::fs::write(&module, printing(LONG / PIECE))?;
    let host = Host::serve(&module).start().await?;
    let Long { rate, growth } = long::measure(&host, host.url(), LONG, options.rounds).await?;
    println!("  50 MiB of stdout at {rate:.0} MB/s, and {growth:.1} MiB for it\n");
    Ok(vec![
        Goal {
            target: format!("at least {LEAST_MB} MB/s of stdout on one connection"),
            found: format!("{rate:.0} MB/s"),
            met: rate >= LEAST_MB,
        },
        Goal {
            target: format!("under {MOST_GROWTH} MiB for it"),
            found: format!("{growth:.1} MiB"),
            met: growth < MOST_GROWTH,
        },
    ])
}

/// The number of bytes in one write.
const PIECE: usize = 65_536;

/// Returns a module that prints this number of pieces.
fn printing(pieces: usize) -> String {
    format!(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 2)
        (data (i32.const 64) "content-type: t\0a\0a")
        (func $print (param $at i32) (param $length i32)
            (i32.store (i32.const 0) (local.get $at))
            (i32.store (i32.const 4) (local.get $length))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
        (func (export "_start") (local $left i32)
            (local.set $left (i32.const {pieces}))
            (call $print (i32.const 64) (i32.const 17))
            (loop $more
                (call $print (i32.const 65536) (i32.const {PIECE}))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $more (local.get $left)))))"#
    )
}

/// Reads an answer, discards it, and returns its length.
/// Measures the start of CPython, here and as a program of this machine. There is no target,
/// because it depends on the build.
async fn python() -> Result<()> {
    const SCRIPT: &str = "print('Content-Type: text/plain\\n\\nhello')";
    let Ok(module) = guest("python") else {
        println!("  SKIPPED python: it was not fetched\n");
        return Ok(());
    };
    let host = Host::serve(module).start().await?;
    let client = Client::new();
    let mut here = Vec::new();
    for start in 0..=STARTS {
        let started = Instant::now();
        // Without arguments it reads its program from its stdin.
        let request = Request::post(host.url()).body(client::full(SCRIPT))?;
        let answer = client.send(request).await?;
        ensure!(answer.text() == "hello\n", "{}", answer.text());
        // The first start has cold caches.
        if start > 0 {
            here.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    let here = median(here);
    match native_python(SCRIPT).await {
        Ok(native) => println!(
            "  CPython says hello in {here:.1} ms, as a program of this machine in {native:.1} ms\n"
        ),
        Err(error) => println!("  CPython says hello in {here:.1} ms (no python3: {error:#})\n"),
    }
    Ok(())
}

async fn native_python(script: &str) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let started = Instant::now();
        let python = Command::new("python3")
            .args(["-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        ensure!(python.await.context("starting python3")?.success());
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(times))
}
