//! How fast and how large `headwater serve hello.wasm` is, as ratios against a plain hyper server in
//! the same run. `cargo xtask bench` builds what it needs and starts it.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is what it is for"
)]

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use headwater_tests::Host;
use headwater_tests::guests::guest;
use http::header::HOST;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// Keep-alive connections, each with one request at a time.
const CONNECTIONS: usize = 32;
/// Requests before measuring: pages are mapped, instances started and caches warm.
const WARM_UP: usize = 3_000;
/// Requests to the host by the time its memory is looked at.
const REQUESTS_BEFORE_RSS: usize = 100_000;

/// The least share of hyper's requests per second.
const LEAST_RATIO: f64 = 0.35;
/// The most resident memory, in MiB.
const MOST_RSS: f64 = 60.0;

const USAGE: &str = "\
Usage: bench [--assert] [--rounds N] [--requests N]

  --assert      exit with 1 if a target is missed
  --rounds N    rounds per server, alternating; medians are shown [default: 5]
  --requests N  requests per round [default: 10000]";

#[tokio::main]
async fn main() -> ExitCode {
    run().await.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run() -> Result<ExitCode> {
    let options = match Command::parse(std::env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
        Ok(Command::PlainServer) => return plain_server().await,
        Ok(Command::Bench(options)) => options,
        Err(error) => {
            eprintln!("error: {error}\n\n{USAGE}");
            return Ok(ExitCode::from(2));
        }
    };
    if cfg!(debug_assertions) {
        println!("note: built without optimisation; the figures say nothing about a release\n");
    }
    let report = measure(&options).await?;
    println!("{report}");
    Ok(if options.assert && !report.targets_met() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

enum Command {
    Bench(Options),
    /// Hidden: this binary as the server to compare with.
    PlainServer,
    Help,
}

struct Options {
    assert: bool,
    rounds: usize,
    requests: usize,
}

impl Command {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Options {
            assert: false,
            rounds: 5,
            requests: 10_000,
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut number = || -> Result<usize> {
                let value = arguments.next().unwrap_or_default();
                let number = value.parse().ok().filter(|&number| number > 0);
                number.with_context(|| format!("{argument} needs a number from 1 up"))
            };
            match argument.as_str() {
                "--assert" => options.assert = true,
                "--rounds" => options.rounds = number()?,
                "--requests" => options.requests = number()?,
                "plain-server" => return Ok(Self::PlainServer),
                "-h" | "--help" => return Ok(Self::Help),
                _ => bail!("there is no option {argument}"),
            }
        }
        Ok(Self::Bench(options))
    }
}

async fn measure(options: &Options) -> Result<Report> {
    println!(
        "Measuring {} rounds of {} requests each, over {CONNECTIONS} connections, alternately …\n",
        options.rounds, options.requests
    );
    let this = std::env::current_exe().context("asking for the path of this program")?;
    let hyper = Host::program(this).arg("plain-server").start().await?;
    let host = Host::serve(guest("hello")?).start().await?;
    let mut hyper = Target::connect(hyper).await?;
    let mut host = Target::connect(host).await?;

    hyper.load(WARM_UP).await?;
    host.load(WARM_UP).await?;
    let (mut hyper_rounds, mut host_rounds) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        hyper_rounds.push(hyper.load(options.requests).await?);
        host_rounds.push(host.load(options.requests).await?);
    }
    let served = WARM_UP + options.rounds * options.requests;
    host.load(REQUESTS_BEFORE_RSS.saturating_sub(served).max(1))
        .await?;
    Ok(Report {
        hyper: Figures::new(&hyper_rounds, hyper.rss()?),
        host: Figures::new(&host_rounds, host.rss()?),
        served: served.max(REQUESTS_BEFORE_RSS),
    })
}

/// A server under load, and the connections to it.
struct Target {
    server: Host,
    connections: Vec<SendRequest<Empty<Bytes>>>,
    authority: String,
}

/// One round.
struct Round {
    requests: usize,
    elapsed: Duration,
    /// CPU time of the server process.
    cpu: Duration,
}

impl Target {
    async fn connect(server: Host) -> Result<Self> {
        let authority = server.url().trim_start_matches("http://").to_owned();
        let connections = try_join_all((0..CONNECTIONS).map(async |_| {
            let stream = TcpStream::connect(&authority).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            anyhow::Ok(sender)
        }))
        .await?;
        Ok(Self {
            server,
            connections,
            authority,
        })
    }

    async fn load(&mut self, requests: usize) -> Result<Round> {
        let process = self.server.process();
        let left = Arc::new(AtomicUsize::new(requests));
        let (started, cpu) = (Instant::now(), process.cpu_time()?);
        let tasks: Vec<_> = self
            .connections
            .drain(..)
            .map(|connection| tokio::spawn(send(connection, self.authority.clone(), left.clone())))
            .collect();
        for task in tasks {
            self.connections.push(task.await??);
        }
        Ok(Round {
            requests,
            elapsed: started.elapsed(),
            cpu: process.cpu_time()?.saturating_sub(cpu),
        })
    }

    fn rss(&self) -> Result<u64> {
        self.server.process().rss()
    }
}

/// Sends requests as long as any are left, and gives the connection back.
async fn send(
    mut connection: SendRequest<Empty<Bytes>>,
    authority: String,
    left: Arc<AtomicUsize>,
) -> Result<SendRequest<Empty<Bytes>>> {
    let take = |left: usize| left.checked_sub(1);
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        .is_ok()
    {
        connection.ready().await?;
        let request = Request::get("/")
            .header(HOST, &authority)
            .body(Empty::new())?;
        let response = connection.send_request(request).await?;
        ensure!(
            response.status() == 200,
            "{authority} answered {}",
            response.status()
        );
        response.into_body().collect().await?;
    }
    Ok(connection)
}

struct Report {
    hyper: Figures,
    host: Figures,
    served: usize,
}

struct Figures {
    /// The median of the rounds.
    per_second: f64,
    /// Of all rounds together: the system counts it in steps that are long against one.
    cpu_micros: f64,
    rss_mib: f64,
}

impl Figures {
    #[allow(
        clippy::cast_precision_loss,
        reason = "counts are far below where floats lose whole numbers"
    )]
    fn new(rounds: &[Round], rss: u64) -> Self {
        let mut per_second: Vec<f64> = rounds
            .iter()
            .map(|round| round.requests as f64 / round.elapsed.as_secs_f64())
            .collect();
        per_second.sort_by(f64::total_cmp);
        let cpu: Duration = rounds.iter().map(|round| round.cpu).sum();
        let requests: usize = rounds.iter().map(|round| round.requests).sum();
        Self {
            per_second: per_second[per_second.len() / 2],
            cpu_micros: cpu.as_secs_f64() * 1e6 / requests as f64,
            rss_mib: rss as f64 / f64::from(1 << 20),
        }
    }
}

impl Report {
    fn ratio(&self) -> f64 {
        self.host.per_second / self.hyper.per_second
    }

    fn fast_enough(&self) -> bool {
        self.ratio() >= LEAST_RATIO
    }

    fn small_enough(&self) -> bool {
        self.host.rss_mib < MOST_RSS
    }

    fn targets_met(&self) -> bool {
        self.fast_enough() && self.small_enough()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let row = |f: &mut std::fmt::Formatter<'_>, name: &str, figures: &Figures| {
            writeln!(
                f,
                "{name:<24}{:>12.0}{:>16.1} µs{:>13.1} MiB",
                figures.per_second, figures.cpu_micros, figures.rss_mib
            )
        };
        writeln!(
            f,
            "{:<24}{:>12}{:>19}{:>17}",
            "", "requests/s", "CPU per request", "memory"
        )?;
        row(f, "hyper, plain", &self.hyper)?;
        row(f, "headwater, hello.wasm", &self.host)?;
        writeln!(
            f,
            "{:<24}{:>12.2}{:>16.2}\n",
            "ratio",
            self.ratio(),
            self.host.cpu_micros / self.hyper.cpu_micros
        )?;
        let verdict = |met| if met { "met" } else { "MISSED" };
        writeln!(
            f,
            "target: at least {LEAST_RATIO} of hyper's requests per second: {:.2}, {}",
            self.ratio(),
            verdict(self.fast_enough())
        )?;
        write!(
            f,
            "target: under {MOST_RSS} MiB after {} requests: {:.1} MiB, {}",
            self.served,
            self.host.rss_mib,
            verdict(self.small_enough())
        )
    }
}

/// The least that can be done with hyper: one fixed answer.
async fn plain_server() -> Result<ExitCode> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("Listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let hello = service_fn(async |_| {
                let body = Full::new(Bytes::from_static(b"Hello from hyper!\n"));
                Ok::<_, Infallible>(Response::new(body))
            });
            // A client that goes away is its own affair.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), hello)
                .await;
        });
    }
}
