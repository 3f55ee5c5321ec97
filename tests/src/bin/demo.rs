//! Shows Headwater in a minute: a host with five services, an upstream that they call, overlapping
//! requests, and proof that each outgoing call was attributed to the right request.
//! `cargo xtask demo` builds what it needs and starts it.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is what it is for"
)]

use std::collections::HashMap;
use std::io::{IsTerminal, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use headwater_tests::attribution::Counts;
use headwater_tests::load::{self, Sent};
use headwater_tests::settings::{Settings, SettingsFile};
use headwater_tests::trees::Tree;
use headwater_tests::upstream::{Behaviour, Call, Upstream};
use headwater_tests::{Host, guests};

/// The number of concurrent clients of each service.
const CLIENTS: usize = 8;
/// The number of requests of each client, one after another.
const ROUNDS: usize = 4;
/// The time that the upstream takes for an answer: long enough that requests overlap.
const LATENCY: Duration = Duration::from_millis(20);

const USAGE: &str = "\
Usage: demo [--once | --picture FILE]

  --once          end after the counts, with exit code 1 if anything was wrong, unknown or unanswered
  --picture FILE  likewise, and draw the trees into an SVG file";

#[tokio::main]
async fn main() -> ExitCode {
    run().await.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (once, picture) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => (false, None),
        ["--once"] => (true, None),
        ["--picture", file] => (true, Some(PathBuf::from(file))),
        ["-h" | "--help"] => {
            println!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
        _ => {
            eprintln!(
                "error: cannot make sense of {}\n\n{USAGE}",
                arguments.join(" ")
            );
            return Ok(ExitCode::from(2));
        }
    };

    let mut demo = Demo::start(picture.is_some()).await?;
    demo.introduce();
    let outcome = demo.run().await?;
    let trees = demo.trees();
    println!(
        "{}\n\n{trees}",
        heading("Each outgoing call hangs under its own incoming request")
    );
    if let Some(file) = picture {
        std::fs::write(file, anstyle_svg::Term::new().render_svg(&trees))?;
    }
    outcome.show();
    println!("  Every span is in {}\n", demo.trace_file.display());
    if !once {
        demo.keep_serving().await?;
    }
    demo.host.stop().await?;
    Ok(if outcome.good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A service of the demo.
struct Service {
    route: &'static str,
    query: &'static str,
    /// The number of outgoing requests that each request causes.
    calls: usize,
    about: &'static str,
}

/// The order that all lists use.
const SERVICES: [Service; 5] = [
    Service {
        route: "/fanout/",
        query: "k=5&wait=20",
        calls: 5,
        about: "component, WASI 0.3: five calls at once",
    },
    Service {
        route: "/detached/",
        query: "k=1&wait=100",
        calls: 1,
        about: "component, WASI 0.3: answers first, calls afterwards",
    },
    Service {
        route: "/composed/",
        query: "k=2",
        calls: 2,
        about: "two components in one: answers first, calls when its caller has ended",
    },
    Service {
        route: "/p2/",
        query: "k=2",
        calls: 2,
        about: "component, WASI 0.2: two calls, one after another",
    },
    Service {
        route: "/wagi/",
        query: "hello",
        calls: 0,
        about: "WAGI module: CGI, calls nobody",
    },
];

struct Demo {
    upstream: Upstream,
    host: Host,
    trace_file: PathBuf,
    _settings: SettingsFile,
}

impl Demo {
    /// Starts the upstream and the host; `color` as on a terminal.
    async fn start(color: bool) -> Result<Self> {
        let upstream = Upstream::with(Behaviour::Answer(LATENCY)).await?;
        let allow = upstream.url();
        let allow = [allow.as_str()];
        let settings = Settings::default()
            .component("fanout", "/fanout/...", &allow)?
            .component("detached", "/detached/...", &allow)?
            .component("mw2-quiet", "/composed/...", &allow)?
            .component("outgoing-p2", "/p2/...", &allow)?
            .module("wagi-rust", "/wagi/...")?
            .write()?;
        // In the folder above the guests, where it outlives the demo; a new file each time.
        let trace_file = guests::folder().join("../demo-trace.jsonl");
        let _ = std::fs::remove_file(&trace_file);
        let host = Host::serve(settings.path())
            .args(["--trace-tree", "always", "--log", "warn", "--trace-file"])
            .arg(&trace_file)
            .env("CLICOLOR_FORCE", if color { "1" } else { "" })
            .start()
            .await?;
        Ok(Self {
            upstream,
            host,
            trace_file: trace_file.canonicalize().unwrap_or(trace_file),
            _settings: settings,
        })
    }

    fn url(&self, service: &Service) -> String {
        let (host, upstream) = (self.host.url(), self.upstream.url());
        let (route, query) = (service.route, service.query);
        if service.calls == 0 {
            format!("{host}{route}?{query}")
        } else {
            format!("{host}{route}?to={upstream}&{query}")
        }
    }

    fn introduce(&self) {
        println!("{}\n", heading("Headwater"));
        println!("  host      {}, with these services:", self.host.url());
        for service in &SERVICES {
            println!("              {:<12}{}", service.route, service.about);
        }
        println!(
            "  upstream  {}, which they call; it notes who called",
            self.upstream.url()
        );
        println!(
            "  clients   {} at once; each request has a trace id of its own\n",
            CLIENTS * SERVICES.len()
        );
    }

    /// Sends all requests, and waits for all calls that they cause.
    async fn run(&self) -> Result<Outcome> {
        let loads = SERVICES.iter().map(async |service| {
            let prefix = service.route.trim_matches('/');
            load::tagged(prefix, CLIENTS, ROUNDS, &self.url(service)).await
        });
        let mut sent = Sent::default();
        for load in futures::future::try_join_all(loads).await? {
            sent.merge(load);
        }
        let each: usize = SERVICES.iter().map(|service| service.calls).sum();
        let expected = each * CLIENTS * ROUNDS;
        // The counts show missing calls.
        let _ = self.upstream.wait_for(expected).await;
        let answered = sent.answers.iter();
        let calls = self.upstream.calls();
        let right = SERVICES.map(|service| {
            let prefix = format!("{}-", service.route.trim_matches('/'));
            let own = calls.iter().filter(|call| {
                let tag = call.tag.as_deref();
                tag.is_some_and(|tag| tag.starts_with(&prefix))
            });
            let own: Vec<Call> = own.cloned().collect();
            sent.ledger.judge(&own).right
        });
        Ok(Outcome {
            requests: CLIENTS * ROUNDS * SERVICES.len(),
            answered: answered.filter(|(_, answer)| answer.status == 200).count(),
            calls: expected,
            counts: sent.ledger.judge(&calls),
            right,
        })
    }

    /// Returns one tree of each service; there are too many to show all.
    fn trees(&self) -> String {
        let raw = self.host.stderr().lines();
        let plain: Vec<_> = raw.iter().map(|line| without_color(line)).collect();
        let colored: HashMap<_, _> = plain.iter().zip(&raw).collect();
        let found = Tree::all(&plain);
        let mut trees = String::new();
        for service in &SERVICES {
            let tree = found.iter().rev().find(|tree| {
                tree.root().contains(service.route) && tree.lines().len() > service.calls
            });
            match tree {
                Some(tree) => tree
                    .lines()
                    .iter()
                    .for_each(|line| trees += &format!("  {}\n", colored[line])),
                None => trees += &format!("  (no tree of {} was printed)\n", service.route),
            }
            trees.push('\n');
        }
        trees
    }

    async fn keep_serving(&mut self) -> Result<()> {
        println!("{}\n", heading("Try it"));
        for service in &SERVICES {
            println!("  curl -H 'x-tag: me' '{}'", self.url(service));
        }
        println!("\nTraces of what you send appear below. Ctrl-C ends the demo.\n");
        let (output, log) = (self.host.stdout().clone(), self.host.stderr().clone());
        let (mut line, mut log_line) = (output.lines().len(), log.lines().len());
        loop {
            tokio::select! {
                Some(text) = output.line(line) => {
                    println!("{text}");
                    line += 1;
                }
                Some(text) = log.line(log_line) => {
                    println!("{text}");
                    log_line += 1;
                }
                _ = tokio::signal::ctrl_c() => return Ok(()),
                else => bail!("the host has ended"),
            }
        }
    }
}

/// The results.
struct Outcome {
    requests: usize,
    answered: usize,
    calls: usize,
    counts: Counts,
    /// The number of right calls of each service.
    right: [usize; SERVICES.len()],
}

impl Outcome {
    fn good(&self) -> bool {
        self.answered == self.requests && self.counts.all_right(self.calls)
    }

    fn show(&self) {
        let Self {
            requests,
            answered,
            calls,
            counts,
            right,
        } = self;
        println!("{}\n", heading("What the upstream saw"));
        println!("  {answered} of {requests} requests were answered");
        println!("  {} of {calls} calls arrived, of which", counts.total());
        for (count, verdict, meaning) in [
            (
                counts.right,
                "right",
                "the trace id of the request that the call was made for",
            ),
            (
                counts.unknown,
                "unknown",
                "no trace id, or that of no request",
            ),
            (counts.wrong, "wrong", "the trace id of another request"),
        ] {
            println!("  {count:>6}  {verdict:<9}{meaning}");
        }
        println!("\n  Right, by service:");
        for (service, right) in SERVICES.iter().zip(right) {
            let made = service.calls * CLIENTS * ROUNDS;
            if made > 0 {
                println!(
                    "  {right:>6} of {made:<4} {:<12}{}",
                    service.route, service.about
                );
            }
        }
        let verdict = if self.good() {
            "As it should be."
        } else {
            "This is not as it should be."
        };
        println!("\n  {verdict}");
    }
}

/// Returns the line without the escape sequences of its colours.
fn without_color(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| {
        plain + part.split_once('m').map_or(part, |(_, rest)| rest)
    })
}

fn heading(text: &str) -> String {
    if stdout().is_terminal() {
        format!("\x1b[1m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
