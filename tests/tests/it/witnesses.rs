//! Promise: a guest whose executor works for one request in another's task can name the request,
//! and is believed as far as possible: with a witness, no call is attributed to the wrong request.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use headwater_tests::attribution::Ledger;
use headwater_tests::guests::guest;
use headwater_tests::load::{self, Sent};
use headwater_tests::trace_context::TraceParent;
use headwater_tests::trace_file::{Span, TraceFile};
use headwater_tests::upstream::{Behaviour, Call};
use headwater_tests::{Answer, Client, Host, Upstream, client};
use http::Request;
use hyper::body::Incoming;
use tempfile::TempDir;

/// The number of concurrent clients, all in one instance.
const CLIENTS: usize = 12;
/// The number of sequential requests of each.
const ROUNDS: usize = 8;
/// The number of calls of each request that the executor swaps.
const SWAPPED: usize = 3;
/// All requests are in one instance.
const ONE: &[&str] = &["--max-instances", "1"];
/// The path of the call that each request makes itself, without a witness.
const DIRECT: &str = "/call/1000";

#[tokio::test(flavor = "multi_thread")]
async fn work_under_a_token_is_right_in_whoever_s_task_it_runs() -> Result<()> {
    let load = Load::run("token").await?;
    load.all_right(&["declaration"])
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_echoes_its_traceparent_is_right_in_whoever_s_task_it_runs() -> Result<()> {
    let load = Load::run("echo").await?;
    load.all_right(&["echo", "stack+echo"])?;
    load.against_the_stack_where_it_is("echo")
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_echoes_its_request_id_is_right_in_whoever_s_task_it_runs() -> Result<()> {
    let load = Load::run("echo-id").await?;
    load.all_right(&["echo", "stack+echo"])?;
    load.against_the_stack_where_it_is("echo")?;
    // Guests and clients get the same id.
    for call in load.swapped() {
        let tag = call.tag.as_deref().context("no tag")?;
        let given = call.headers.get("x-request-id").context("no id")?;
        ensure!(given.to_str()? == load.request_id(tag)?, "{tag}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn token_and_echo_together_are_a_declaration() -> Result<()> {
    let load = Load::run("token-echo").await?;
    load.all_right(&["declaration"])
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_witness_the_task_that_polls_is_named() -> Result<()> {
    let load = Load::run("none").await?;
    let wrong = load.sent.ledger.judge(&load.swapped()).wrong;
    ensure!(
        wrong > 0,
        "nothing was swapped, so the others prove nothing"
    );
    for call in &load.calls {
        let client = load.client_span(call)?;
        ensure!(is(client, "exact", "stack"), "{client:?}");
    }
    load.sent
        .ledger
        .follow(&load.direct(), &load.trace, "stack")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_request_with_the_echo_of_another_is_ambiguous_and_names_both() -> Result<()>
{
    names_both("clash").await
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_name_two_requests_are_ambiguous_and_name_both() -> Result<()> {
    names_both("torn").await
}

async fn names_both(witness: &str) -> Result<()> {
    let bench = Bench::start(ONE).await?;
    let holder = bench.hold("holder").await?;
    let sent = bench
        .ask(&format!("/?witness={witness}&k=2"), "liar")
        .await?;
    let ended = bench.end(holder).await?;
    for call in ended.calls_of("liar", "/call/0", "/call/1")? {
        let client = ended.client_span(&call)?;
        ensure!(is(client, "ambiguous", "both"), "{client:?}");
        let candidates = client.attribute("headwater.attribution.candidates");
        let mut candidates: Vec<_> = candidates.context("no candidates")?.split(',').collect();
        let mut expected = vec![sent.request_id(), &*ended.holder];
        candidates.sort_unstable();
        expected.sort_unstable();
        ensure!(candidates == expected, "{client:?}");
        ensure!(client.attribute("headwater.request_id").is_none());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_may_lie_about_its_own_requests_and_the_stack_s_word_is_noted() -> Result<()> {
    let bench = Bench::start(ONE).await?;
    let holder = bench.hold("holder").await?;
    bench.ask("/?witness=lie&k=1", "liar").await?;
    let ended = bench.end(holder).await?;
    let calls = ended.calls_of("liar", "/call/0", "/call/0")?;
    let client = ended.client_span(&calls[0])?;
    ensure!(is(client, "exact", "echo"), "{client:?}");
    ensure!(client.attribute("headwater.request_id") == Some(&*ended.holder));
    ensure!(client.attribute("headwater.attribution.disagreement") == Some("true"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_another_instance_s_request_counts_as_absent() -> Result<()> {
    // The two are in one instance, and then in two.
    let two = &["--max-concurrent-per-instance", "1"];
    for (instances, named_by) in [(ONE, "echo"), (two, "stack")] {
        let bench = Bench::start(instances).await?;
        let holder = bench.hold("holder").await?;
        let url = bench.url("/?witness=given&k=1");
        let request = Request::get(url)
            .header("x-tag", "liar")
            .header("x-echo", &*holder.request_id)
            .body(client::empty())?;
        let sent = bench.client.send(request).await?;
        let ended = bench.end(holder).await?;
        let calls = ended.calls_of("liar", "/call/0", "/call/0")?;
        let client = ended.client_span(&calls[0])?;
        ensure!(is(client, "exact", named_by), "{client:?}");
        let named = match named_by {
            "echo" => &*ended.holder,
            _ => sent.request_id(),
        };
        ensure!(client.attribute("headwater.request_id") == Some(named));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_while_its_request_lives_and_not_after() -> Result<()> {
    let bench = Bench::start(ONE).await?;
    let holder = bench.hold("holder").await?;
    ensure!(bench.is_kept_alive().await?);
    bench.ask("/use-kept", "early").await?;
    bench.release(holder).await?;
    // The answer has arrived, but the host may not know yet that it is over.
    bench.await_the_end_of_what_is_kept().await?;
    let late = bench.ask("/use-kept", "late").await?;

    let ended = bench.stop().await?;
    let early = ended.only_call_of("early")?;
    ensure!(is(early, "exact", "declaration"), "{early:?}");
    ensure!(early.attribute("headwater.request_id") != Some(late.request_id()));
    let span = ended.only_call_of("late")?;
    ensure!(is(span, "exact", "stack"), "{span:?}");
    ensure!(span.attribute("headwater.request_id") == Some(late.request_id()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_lives_while_what_its_handler_spawned_goes_on_after_the_answer() -> Result<()> {
    let bench = Bench::start(&[ONE, &["--trace-tree", "always"]].concat()).await?;
    let url = format!("{}/linger?to={}", bench.host.url(), bench.held.url());
    let answer = bench.client.get(&url).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    bench.held.wait_for(1).await?;
    // Its span has ended, so its answer is over.
    let ended = |line: &str| line.starts_with("GET ") && line.contains("/linger  200");
    let tree = bench.host.stderr();
    tree.wait_for_lines("the request's span", 1, ended).await?;
    ensure!(bench.is_kept_alive().await?);
    bench.ask("/use-kept", "meanwhile").await?;
    bench.held.release();
    bench.await_the_end_of_what_is_kept().await?;

    let lingering = answer.request_id();
    let ended = bench.stop().await?;
    let call = ended.only_call_of("meanwhile")?;
    ensure!(is(call, "exact", "declaration"), "{call:?}");
    ensure!(call.attribute("headwater.request_id") == Some(lingering));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_left_when_the_last_of_what_was_entered_is() -> Result<()> {
    let bench = Bench::start(ONE).await?;
    let sent = bench.ask("/order", "own").await?;
    ensure!(sent.status == 200, "{}", sent.text());
    let ended = bench.stop().await?;
    let entered = ended.call_of("own", "/call/0")?;
    ensure!(is(entered, "exact", "declaration"), "{entered:?}");
    let left = ended.call_of("own", "/call/1")?;
    ensure!(is(left, "exact", "stack"), "{left:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_entered_across_an_await_proves_nothing_and_makes_another_s_task_doubtful()
-> Result<()> {
    let bench = Bench::start(ONE).await?;
    let holder = bench.hold("holder").await?;
    bench.ask("/across-kept", "other").await?;
    let ended = bench.end(holder).await?;
    let lapsed = ended.call_of("other", "/call/0")?;
    ensure!(is(lapsed, "ambiguous", "both"), "{lapsed:?}");
    let left = ended.call_of("other", "/call/1")?;
    ensure!(is(left, "exact", "stack"), "{left:?}");

    let bench = Bench::start(ONE).await?;
    bench.ask("/across", "own").await?;
    let ended = bench.stop().await?;
    // It agrees with the stack.
    let own = ended.call_of("own", "/call/0")?;
    ensure!(is(own, "exact", "stack"), "{own:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_from_instantiation_is_nobody_s_and_there_is_no_token_either() -> Result<()> {
    let upstream = Upstream::start().await?;
    let folder = TempDir::new()?;
    let variable = upstream.url().replace("http://", "UPSTREAM=");
    let mut host = serve("early", &upstream, &folder, &["--env", &variable]).await?;
    let sent = load::tagged("early", 4, 4, host.url()).await?;
    for (tag, answer) in &sent.answers {
        let text = answer.text();
        ensure!(text == "early call: sent, token: none\n", "{tag}: {text}");
    }
    let calls = upstream.wait_for(1).await?;
    host.stop().await?;
    let told = host.stderr().lines();
    let told: Vec<_> = told
        .iter()
        .filter(|line| line.contains("headwater::attribution"))
        .collect();
    ensure!(told.len() == 1, "once and not for each: {told:?}");
    ensure!(
        told[0].contains("unknown=1") && told[0].contains("To stay exact"),
        "{told:?}"
    );
    let counts = sent.ledger.judge(&calls);
    ensure!(counts.unknown == calls.len(), "{counts}");
    let trace = TraceFile::read(folder.path().join("trace.jsonl"))?;
    for call in &calls {
        let client = client_span(&trace, call)?;
        ensure!(is(client, "unknown", "none"), "{client:?}");
        ensure!(client.parent_id.is_none(), "{client:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_wasi_0_2_may_echo_and_its_calls_hang_under_its_request() -> Result<()> {
    let upstream = Upstream::start().await?;
    let folder = TempDir::new()?;
    let mut host = serve("outgoing-p2", &upstream, &folder, &[]).await?;
    let url = format!("{}/?to={}&k=2&echo", host.url(), upstream.url());
    let sent = load::tagged("p2", 4, 4, &url).await?;
    host.stop().await?;
    let trace = TraceFile::read(folder.path().join("trace.jsonl"))?;
    sent.ledger.follow(&upstream.calls(), &trace, "sole")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_the_request_is_forwarded_where_that_is_set() -> Result<()> {
    let upstream = Upstream::start().await?;
    for (flags, forwarded) in [(&[][..], false), (&["--forward-request-id"], true)] {
        let folder = TempDir::new()?;
        let host = serve("fanout", &upstream, &folder, flags).await?;
        let url = format!("{}/?to={}&k=1&wait=0", host.url(), upstream.url());
        let request = Request::get(url).header("x-request-id", "forged");
        let answer = Client::new().send(request.body(client::empty())?).await?;
        let calls = upstream.calls();
        let call = calls.last().context("no call")?;
        let seen = call.headers.get("x-request-id");
        ensure!(seen.is_some() == forwarded, "{seen:?}");
        ensure!(
            seen.is_none_or(|seen| seen == answer.request_id()),
            "{seen:?}"
        );
    }
    Ok(())
}

fn is(span: &Span, verdict: &str, witness: &str) -> bool {
    span.attribute("headwater.attribution") == Some(verdict)
        && span.attribute("headwater.attribution.witness") == Some(witness)
}

async fn serve(name: &str, upstream: &Upstream, folder: &TempDir, flags: &[&str]) -> Result<Host> {
    Host::serve(guest(name)?)
        .args(["--allow-outgoing", &upstream.url()])
        .arg("--trace-file")
        .arg(folder.path().join("trace.jsonl"))
        .args(flags)
        .start()
        .await
}

/// Many requests in one instance that work for each other, and the results.
struct Load {
    sent: Sent,
    calls: Vec<Call>,
    trace: TraceFile,
}

impl Load {
    async fn run(witness: &str) -> Result<Self> {
        let upstream = Upstream::start().await?;
        let folder = TempDir::new()?;
        let mut host = serve("executor", &upstream, &folder, ONE).await?;
        let (to, k) = (upstream.url(), SWAPPED);
        let url = format!("{}/?to={to}&k={k}&wait=10&witness={witness}", host.url());
        let sent = load::tagged(witness, CLIENTS, ROUNDS, &url).await?;
        for (tag, answer) in &sent.answers {
            ensure!(answer.status == 200, "{tag}: {}", answer.text());
        }
        let swapped = sent.answers.iter();
        let swapped = swapped.filter(|(_, answer)| answer.text().contains("by another"));
        ensure!(
            swapped.count() > CLIENTS * ROUNDS / 2,
            "few requests worked for each other"
        );
        host.stop().await?;
        let load = Self {
            sent,
            calls: upstream.calls(),
            trace: TraceFile::read(folder.path().join("trace.jsonl"))?,
        };
        ensure!(load.swapped().len() == CLIENTS * ROUNDS * SWAPPED);
        ensure!(load.direct().len() == CLIENTS * ROUNDS);
        Ok(load)
    }

    fn direct(&self) -> Vec<Call> {
        let calls = self.calls.iter();
        calls.filter(|call| call.path == DIRECT).cloned().collect()
    }

    fn swapped(&self) -> Vec<Call> {
        let calls = self.calls.iter();
        calls.filter(|call| call.path != DIRECT).cloned().collect()
    }

    fn client_span(&self, call: &Call) -> Result<&Span> {
        client_span(&self.trace, call)
    }

    fn request_id(&self, tag: &str) -> Result<&str> {
        let mut answers = self.sent.answers.iter();
        let answer = answers.find(|(other, _)| other == tag);
        Ok(answer.context("no such answer")?.1.request_id())
    }

    /// Checks that each call is a child of its own request: swapped calls by one of these
    /// witnesses, with at least one by the first; and the request's own call by the stack.
    fn all_right(&self, witnesses: &[&str]) -> Result<()> {
        let mut by_witness: HashMap<&str, Vec<Call>> = HashMap::new();
        for call in self.swapped() {
            let witness = self
                .client_span(&call)?
                .attribute("headwater.attribution.witness");
            by_witness
                .entry(witness.context("no witness")?)
                .or_default()
                .push(call);
        }
        ensure!(
            by_witness.contains_key(witnesses[0]),
            "no call was attributed by {}",
            witnesses[0]
        );
        for (witness, calls) in by_witness {
            ensure!(witnesses.contains(&witness), "a call by {witness}");
            self.follow(&calls, witness)?;
        }
        self.follow(&self.direct(), "stack")
    }

    fn follow(&self, calls: &[Call], witness: &str) -> Result<()> {
        let ledger: &Ledger = &self.sent.ledger;
        ledger.follow(calls, &self.trace, witness)
    }

    /// Checks that only the calls by this witness report the disagreement.
    fn against_the_stack_where_it_is(&self, witness: &str) -> Result<()> {
        for client in self.trace.clients() {
            let noted = client.attribute("headwater.attribution.disagreement") == Some("true");
            let by = client.attribute("headwater.attribution.witness");
            ensure!(noted == (by == Some(witness)), "{client:?}");
        }
        Ok(())
    }
}

/// Returns the client span whose `traceparent` the upstream saw.
fn client_span<'a>(trace: &'a TraceFile, call: &Call) -> Result<&'a Span> {
    let seen = call.traceparent.as_ref().context("no traceparent")?;
    let span = trace.span(&seen.span_id);
    span.with_context(|| format!("{} names no span of the trace file", call.path))
}

/// A host with one guest, an upstream that answers, and one that holds its answers.
struct Bench {
    host: Host,
    client: Client,
    upstream: Upstream,
    held: Upstream,
    folder: TempDir,
}

/// A request whose answer has begun and does not end.
struct Holder {
    request_id: String,
    answer: http::Response<Incoming>,
}

/// The results of a [`Bench`] at its end.
struct Ended {
    holder: String,
    calls: Vec<Call>,
    trace: TraceFile,
}

impl Bench {
    async fn start(flags: &[&str]) -> Result<Self> {
        let upstream = Upstream::start().await?;
        let held = Upstream::with(Behaviour::Hold).await?;
        let folder = TempDir::new()?;
        let held_url = held.url();
        // Makes the upstream see the client span's own `traceparent`, whatever the guest sets.
        let mut all = vec![
            "--guest-traceparent",
            "replace",
            "--allow-outgoing",
            &held_url,
        ];
        all.extend(flags);
        Ok(Self {
            host: serve("executor", &upstream, &folder, &all).await?,
            client: Client::new(),
            upstream,
            held,
            folder,
        })
    }

    fn url(&self, path: &str) -> String {
        let and = if path.contains('?') { '&' } else { '?' };
        format!("{}{path}{and}to={}", self.host.url(), self.upstream.url())
    }

    async fn ask(&self, path: &str, tag: &str) -> Result<Answer> {
        let (url, parent) = (self.url(path), TraceParent::fresh());
        let answer = self.client.get_tagged(&url, tag, &parent).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        Ok(answer)
    }

    /// Returns true if the request whose token the guest has kept is alive.
    async fn is_kept_alive(&self) -> Result<bool> {
        Ok(self.ask("/kept", "asks").await?.text() == "live\n")
    }

    async fn await_the_end_of_what_is_kept(&self) -> Result<()> {
        let ended = async {
            while self.is_kept_alive().await? {}
            anyhow::Ok(())
        };
        headwater_tests::within("the end of the request", ended).await?
    }

    async fn hold(&self, tag: &str) -> Result<Holder> {
        let url = format!("{}/hold?to={}", self.host.url(), self.held.url());
        let request = Request::get(url).header("x-tag", tag);
        let answer = self.client.open(request.body(client::empty())?).await?;
        self.held.wait_for(1).await?;
        let id = answer.headers().get("x-request-id").context("no id")?;
        Ok(Holder {
            request_id: id.to_str()?.to_owned(),
            answer,
        })
    }

    /// Lets the holder end.
    async fn release(&self, holder: Holder) -> Result<()> {
        self.held.release();
        let body = http_body_util::BodyExt::collect(holder.answer.into_body());
        let body = headwater_tests::within("the held answer", body).await??;
        ensure!(body.to_bytes() == "held\n");
        Ok(())
    }

    async fn end(self, holder: Holder) -> Result<Ended> {
        let request_id = holder.request_id.clone();
        self.release(holder).await?;
        Ok(Ended {
            holder: request_id,
            ..self.stop().await?
        })
    }

    async fn stop(mut self) -> Result<Ended> {
        self.host.stop().await?;
        Ok(Ended {
            holder: String::new(),
            calls: self.upstream.calls(),
            trace: TraceFile::read(self.folder.path().join("trace.jsonl"))?,
        })
    }
}

impl Ended {
    fn client_span(&self, call: &Call) -> Result<&Span> {
        client_span(&self.trace, call)
    }

    /// Returns the calls made for a tag, by path.
    fn calls_of(&self, tag: &str, first: &str, second: &str) -> Result<Vec<Call>> {
        let calls = self.calls.iter().filter(|call| {
            call.tag.as_deref() == Some(tag) && (call.path == first || call.path == second)
        });
        let calls: Vec<_> = calls.cloned().collect();
        ensure!(!calls.is_empty(), "no call for {tag}");
        Ok(calls)
    }

    fn call_of(&self, tag: &str, path: &str) -> Result<&Span> {
        let calls = self.calls_of(tag, path, path)?;
        ensure!(calls.len() == 1, "{calls:?}");
        self.client_span(&calls[0])
    }

    fn only_call_of(&self, tag: &str) -> Result<&Span> {
        self.call_of(tag, "/call/0")
    }
}
