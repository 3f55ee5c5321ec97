//! Measures whether TLS handshakes delay plain-text clients.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use headwater_tests::Host;
use headwater_tests::certificates::Authority;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::answer::Answers;
use crate::goal::{Goal, median};
use crate::options::Options;

/// The clients of a round, each with its own connection, one after the other.
const CLIENTS: usize = 1_000;
/// Clients that begin a handshake and then send nothing more.
const STALLED: usize = 1_000;
/// The interval of complete handshakes: they use about a fifth of a core, both ends together.
const EVERY: Duration = Duration::from_millis(5);
/// The highest allowed ratio of the 99th percentile to that without handshakes.
const MOST_TIMES: f64 = 3.0;

const SETTINGS: &str = r#"
[[listener]]
listen = "127.0.0.1:0"
[[listener]]
listen = "127.0.0.1:0"
tls = { certificates = [{ certificate = "server.pem", key = "server.key" }] }
[[answer]]
route = "/..."
body = "Hello from the front!\n"
"#;

/// A host with two listeners, the first of which is plain text. It answers without a guest.
struct Listening {
    _host: Host,
    plain: String,
    tls: String,
    authority: Arc<Authority>,
    _folder: TempDir,
}

pub(crate) async fn measure(options: &Options) -> Result<Vec<Goal>> {
    println!(
        "handshakes: {} rounds of {CLIENTS} connections in plain text, in quiet and beside {STALLED} TLS \
         handshakes that stand still and {} a second that do not, in turn\n",
        options.rounds,
        1_000 / EVERY.as_millis()
    );
    let host = Listening::start().await?;
    let _stalled = host.stall().await?;
    host.p99().await?;
    let (mut quiet, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        quiet.push(host.p99().await?);
        let shaking = host.shake();
        beside.push(host.p99().await?);
        ensure!(
            !shaking.is_finished(),
            "the handshakes had an end before the round"
        );
        shaking.abort();
    }
    let p99 = |rounds: &[Duration]| median(rounds.iter().map(Duration::as_secs_f64)) * 1e3;
    let (quiet, beside) = (p99(&quiet), p99(&beside));
    let times = beside / quiet;
    println!("  p99 {quiet:6.2} ms from connecting to the answer, beside those that stand still");
    println!("  p99 {beside:6.2} ms beside those that do not, too, {times:.2} times\n");
    Ok(vec![Goal {
        target: format!(
            "p99 of plain connections beside TLS handshakes under {MOST_TIMES} times the quiet one"
        ),
        found: format!("{times:.2}"),
        met: times < MOST_TIMES,
    }])
}

// === impl Listening ===

impl Listening {
    async fn start() -> Result<Self> {
        let folder = TempDir::new().context("making a temporary folder")?;
        let authority = Authority::new("bench")?;
        authority.certify(&folder.path().join("server"), "localhost")?;
        let file = folder.path().join("headwater.toml");
        fs::write(&file, SETTINGS)?;
        let host = Host::headwater().arg("serve").arg(&file).start().await?;
        let [plain, tls] = host
            .addresses(2)
            .await?
            .try_into()
            .ok()
            .context("too few addresses")?;
        Ok(Self {
            plain,
            tls,
            _host: host,
            authority: Arc::new(authority),
            _folder: folder,
        })
    }

    /// Begins handshakes, which last until the returned streams are dropped.
    async fn stall(&self) -> Result<Vec<tokio::net::TcpStream>> {
        let begin = || async {
            let mut stream = tokio::net::TcpStream::connect(&self.tls).await?;
            // A handshake record that announces more bytes than are sent.
            tokio::io::AsyncWriteExt::write_all(&mut stream, &[22, 3, 1, 1, 0, 1]).await?;
            anyhow::Ok(stream)
        };
        try_join_all((0..STALLED).map(|_| begin())).await
    }

    /// Performs handshakes until it is aborted.
    fn shake(&self) -> JoinHandle<Result<()>> {
        let (authority, address) = (Arc::clone(&self.authority), self.tls.clone());
        tokio::spawn(async move {
            let mut turns = tokio::time::interval(EVERY);
            loop {
                turns.tick().await;
                authority.connect(&address, "localhost").await?;
            }
        })
    }

    /// Returns the 99th percentile of the time from connecting to the end of the answer.
    async fn p99(&self) -> Result<Duration> {
        let address = self.plain.clone();
        let all = tokio::task::spawn_blocking(move || {
            (0..CLIENTS)
                .map(|_| visit(&address))
                .collect::<Result<Vec<_>>>()
        });
        let mut all = all.await??;
        all.sort();
        Ok(all[all.len() * 99 / 100])
    }
}

fn visit(address: &str) -> Result<Duration> {
    let started = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes())?;
    Answers::new().read(&mut stream)?;
    Ok(started.elapsed())
}
