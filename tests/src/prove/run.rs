//! The run: a host with all services, their clients, and the upstream that all calls go to.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use http::Request;
use tokio::time::timeout;

use super::judge::Judge;
use super::mix::{EARLY, MIDDLEWARES, Made, SERVICES};
use super::observed::{Call, Spans};
use super::plan::Plan;
use super::report::Report;
use super::request::Planned;
use crate::guests::guest;
use crate::instances::{self, Instances};
use crate::patience::PATIENCE;
use crate::settings::{Settings, SettingsFile};
use crate::upstream::{Behaviour, Upstream};
use crate::{Client, Host, client};

/// The time that the upstream takes for an answer: so long that requests overlap.
const LATENCY: Duration = Duration::from_millis(5);
/// The time that the slow upstream takes: so long that other requests find the request still
/// running.
const SLOWLY: Duration = Duration::from_millis(200);
/// The interval at which the calls are read from the upstream.
const TURN: Duration = Duration::from_millis(100);

/// The options of a run.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The number of outgoing requests that are certain to be made.
    pub calls: u64,
    /// The seed of the random choices.
    pub seed: u64,
    /// The file for the host's spans: about 1.5 KB for each call. It must not exist yet.
    pub trace_file: &'a Path,
    /// The services' setting `attribution`, if it is not the default. In this case the table shows
    /// the result, and the rest of the report, which is made for the default, means nothing.
    pub attribution: Option<&'static str>,
}

/// Sends the whole mix to a host, and compares all calls with the requests they were made for.
/// `progress` is called now and then with the number of calls until now and in total.
///
/// # Errors
///
/// Returns an error if the proof cannot be completed. Whatever disproves attribution is in the
/// report.
pub async fn prove(options: &Options<'_>, progress: impl Fn(u64, u64)) -> Result<Report> {
    ensure!(
        !options.trace_file.exists(),
        "{} exists already: remove it",
        options.trace_file.display()
    );
    let plan = Plan::draw(options.calls, options.seed);
    let mut run = Run::start(&plan, options).await?;
    let started = Instant::now();
    let over = AtomicBool::new(false);
    let (answers, observed) = futures::join!(
        async {
            let answers = run.send().await;
            over.store(true, Ordering::Relaxed);
            answers
        },
        run.observe(&over, progress)
    );
    let mut calls = observed?;
    // Also waits for the calls beyond those that are certain to be made.
    run.host.process().calm().await?;
    let mut report = Report::new(
        options.seed,
        options.calls,
        plan.requests.len() as u64,
        started.elapsed(),
    );
    let status = run.host.stop().await?;
    ensure!(status.success(), "the host ended with {status}");
    run.take(&mut calls)?;

    let mut answered = vec![false; plan.requests.len()];
    for (request, answer) in answers {
        match answer {
            Ok(yes) => answered[request] = yes,
            Err(error) => report.problem(format!("{error:#}")),
        }
    }
    let spans = Spans::read(options.trace_file, &plan)?;
    let judge = Judge::new(&plan, &spans);
    judge.calls(&calls, &mut report);
    judge.numbers(&calls, &answered, &mut report);
    let early = calls.iter().filter(|call| call.request.is_none()).count();
    let instances = Instances::of(EARLY, run.host.stderr()).started();
    // An instance that ends may discard calls that it has not sent yet.
    if early > instances {
        report.problem(format!(
            "{instances} instances of {EARLY} made {early} calls when they started"
        ));
    }
    report.look_for_what_is_missing();
    Ok(report)
}

struct Run<'a> {
    plan: &'a Plan,
    upstream: Upstream,
    slow: Upstream,
    host: Host,
    _settings: SettingsFile,
}

/// A request's number, and whether its answer was 200.
type Answered = (usize, Result<bool>);

impl<'a> Run<'a> {
    async fn start(plan: &'a Plan, options: &Options<'_>) -> Result<Self> {
        let upstream = Upstream::with(Behaviour::Answer(LATENCY)).await?;
        let slow = Upstream::with(Behaviour::Answer(SLOWLY)).await?;
        let url = upstream.url();
        let authority = url.trim_start_matches("http://");
        let mut settings = Settings::default();
        for service in SERVICES.iter().filter(|service| service.is_here()) {
            let route = format!("{}/...", service.base);
            settings = settings
                .component_as(
                    service.name,
                    service.component,
                    &route,
                    &[&url, &slow.url()],
                )?
                .text(service.settings);
            if let Some(attribution) = options.attribution {
                settings = settings.text(&format!("attribution = {attribution:?}\n"));
            }
            if service.name == EARLY {
                settings =
                    settings.text(&format!("environment = {{ UPSTREAM = {authority:?} }}\n"));
            }
        }
        for (name, more) in MIDDLEWARES {
            let component = guest(name)?;
            settings = settings.text(&format!(
                "[[middleware]]\nname = {name:?}\ncomponent = {component:?}\n{more}"
            ));
        }
        let settings = settings.write()?;
        let host = Host::serve(settings.path())
            .args(["--log", instances::LOG])
            // A busy machine must not cause failures.
            .args(["--timeout", "100s", "--queue-timeout", "100s"])
            .arg("--trace-file")
            .arg(options.trace_file)
            .start()
            .await?;
        Ok(Self {
            plan,
            upstream,
            slow,
            host,
            _settings: settings,
        })
    }

    /// Sends all requests of all services at once.
    async fn send(&self) -> Vec<Answered> {
        let services = SERVICES.iter().enumerate();
        let services = services.map(async |(service, entry)| {
            let requests = self.plan.requests.iter().enumerate();
            let own: Vec<(usize, &Planned)> = requests
                .filter(|(_, request)| request.service == service)
                .collect();
            let next = AtomicUsize::new(0);
            let clients = (0..entry.clients).map(async |_| {
                let client = Client::new();
                let mut answers = Vec::new();
                while let Some((number, request)) = own.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = self.send_one(&client, *number, request).await;
                    let path = request.path("UPSTREAM");
                    let answer = answer.with_context(|| format!("request {number}, {path}"));
                    answers.push((*number, answer));
                }
                answers
            });
            join_all(clients).await.into_iter().flatten()
        });
        join_all(services).await.into_iter().flatten().collect()
    }

    async fn send_one(&self, client: &Client, number: usize, request: &Planned) -> Result<bool> {
        let upstream = match request.kind().slow {
            true => &self.slow,
            false => &self.upstream,
        };
        let url = format!("{}{}", self.host.url(), request.path(&upstream.url()));
        let http = Request::get(&url)
            .header("x-tag", number.to_string())
            .header("traceparent", request.parent().to_string())
            .body(client::empty())?;
        let answer = client.send(http);
        let answer = match request.leave {
            None => answer.await,
            Some(after) => match timeout(after, answer).await {
                Ok(answer) => answer,
                Err(_) => return Ok(false),
            },
        };
        let trap = request.kind().made == Made::UntilTrap;
        let answer = match answer {
            // Its head was sent before the trap.
            Err(error) if trap && format!("{error:#}").contains("was cut") => return Ok(false),
            answer => answer?,
        };
        let expected = match request.kind().made {
            _ if answer.status == 200 => true,
            Made::IfAnswered => answer.status == 502,
            Made::UntilTrap => answer.is_failure() || answer.is_refusal(),
            Made::All | Made::OnceForAll | Made::UntilLeft(_) => false,
        };
        ensure!(expected, "{}: {}", answer.status, answer.text().trim());
        Ok(answer.status == 200)
    }

    /// Reads the calls from the upstream until all certain ones have arrived, or no more arrive.
    async fn observe(&self, over: &AtomicBool, progress: impl Fn(u64, u64)) -> Result<Vec<Call>> {
        let mut calls = Vec::new();
        let (mut certain, mut latest) = (0, Instant::now());
        while certain < self.plan.calls && latest.elapsed() < PATIENCE {
            tokio::time::sleep(TURN).await;
            let before = calls.len();
            self.take(&mut calls)?;
            certain += calls[before..]
                .iter()
                .filter(|call| self.is_certain(call))
                .count() as u64;
            if calls.len() > before || !over.load(Ordering::Relaxed) {
                latest = Instant::now();
            }
            progress(certain, self.plan.calls);
        }
        Ok(calls)
    }

    fn is_certain(&self, call: &Call) -> bool {
        let request = call
            .request
            .map(|number| &self.plan.requests[number as usize]);
        request.is_some_and(|request| request.kind().made == Made::All)
    }

    fn take(&self, calls: &mut Vec<Call>) -> Result<()> {
        for upstream in [&self.upstream, &self.slow] {
            for call in upstream.take_calls() {
                calls.push(Call::of(&call, self.plan)?);
            }
        }
        Ok(())
    }
}
