//! Promise: outgoing TLS works against an independent server, and each failure has its error code.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use headwater_tests::certificates::Authority;
use headwater_tests::guests::guest;
use headwater_tests::nginx::Nginx;
use headwater_tests::programs::Program;
use headwater_tests::{Answer, Client, Host};
use tempfile::TempDir;

/// The servers, by their indices.
const GOOD: usize = 0;
const ASKING: usize = 1;
const EXPIRED: usize = 2;
const ELSEWHERE: usize = 3;
const STRANGER: usize = 4;
const REJECTING: usize = 5;

const SERVERS: [&str; 6] = [
    "server { listen PORT ssl http2; ssl_certificate good.pem; ssl_certificate_key good.key;
        location / { return 200 'good'; } }\n",
    "server { listen PORT ssl http2; ssl_certificate good.pem; ssl_certificate_key good.key;
        ssl_client_certificate ca.pem; ssl_verify_client on;
        location / { return 200 'good'; } }\n",
    "server { listen PORT ssl; ssl_certificate expired.pem; ssl_certificate_key expired.key; }\n",
    "server { listen PORT ssl; ssl_certificate elsewhere.pem; ssl_certificate_key elsewhere.key; }\n",
    "server { listen PORT ssl; ssl_certificate stranger.pem; ssl_certificate_key stranger.key; }\n",
    "server { listen PORT ssl; ssl_reject_handshake on; }\n",
];

/// Certificates of a test authority, and the servers that have them.
struct Upstreams {
    nginx: Nginx,
    files: TempDir,
}

impl Upstreams {
    /// Returns None, and prints that, if nginx is not installed.
    async fn start() -> Result<Option<Self>> {
        let Some(program) = Program::nginx() else {
            return Ok(None);
        };
        let files = TempDir::new()?;
        let ours = Authority::new("test")?;
        let strangers = Authority::new("test")?;
        let served = TempDir::new()?;
        for folder in [&files, &served] {
            fs::write(folder.path().join("ca.pem"), ours.pem())?;
        }
        ours.certify(&served.path().join("good"), "localhost")?;
        ours.certify_until(&served.path().join("expired"), "localhost", 2001)?;
        ours.certify(&served.path().join("elsewhere"), "elsewhere.example")?;
        strangers.certify(&served.path().join("stranger"), "localhost")?;
        ours.certify(&files.path().join("client"), "client")?;
        let nginx = Nginx::start(&program, served, &SERVERS).await?;
        Ok(Some(Self { nginx, files }))
    }

    fn url(&self, server: usize) -> String {
        format!("https://localhost:{}", self.nginx.port(server))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }
}

/// Starts a host whose guest may call this machine, by TLS that trusts the test's authority.
async fn host(name: &str, upstreams: &Upstreams, more: &[&str]) -> Result<Host> {
    Host::serve(guest(name)?)
        .args(["--allow-outgoing", "localhost"])
        .args(["--allow-outgoing", "127.0.0.1"])
        .args(["--allow-outgoing", "[::1]", "--ca"])
        .arg(upstreams.file("ca.pem"))
        .args(more)
        .start()
        .await
}

async fn call(host: &Host, to: &str) -> Result<Answer> {
    Client::new()
        .get(&format!("{}/?to={to}&k=1&wait=0", host.url()))
        .await
}

/// Returns true if the guest got this error code, in the spelling of its language.
fn says(answer: &Answer, code: &str) -> bool {
    let text = String::from_utf8_lossy(&answer.body).to_lowercase();
    let letters: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    letters.contains(&code.replace('-', ""))
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_agreed_on_and_a_certificate_is_shown_where_it_is_asked_for() -> Result<()> {
    let Some(upstreams) = Upstreams::start().await? else {
        return Ok(());
    };
    let certificate = upstreams.file("client.pem");
    let key = upstreams.file("client.key");
    let identity = format!("localhost={},{}", certificate.display(), key.display());
    let requests = upstreams.nginx.requests();
    for name in ["fanout", "outgoing-p2"] {
        let plain = host(name, &upstreams, &[]).await?;
        let known = host(name, &upstreams, &["--client-cert", &identity]).await?;
        for (host, server, expected) in [
            (&plain, GOOD, "HTTP/2.0 /call/0 200 NONE"),
            (&plain, ASKING, "HTTP/2.0 /call/0 400 NONE"),
            (&known, ASKING, "HTTP/2.0 /call/0 200 SUCCESS"),
            (&known, GOOD, "HTTP/2.0 /call/0 200 NONE"),
        ] {
            let before = requests.lines().len();
            let answer = call(host, &upstreams.url(server)).await?;
            ensure!(answer.status == 200, "{name}: {}", answer.status);
            // Any status is a valid answer for the guest, so the test reads nginx's log.
            let seen = requests.line(before).await.unwrap_or_default();
            let expected = format!("{} {expected}", upstreams.nginx.port(server));
            ensure!(seen == expected, "{name}: {seen}, not {expected}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_tls_has_its_name_for_the_guest() -> Result<()> {
    let Some(upstreams) = Upstreams::start().await? else {
        return Ok(());
    };
    for name in ["fanout", "outgoing-p2"] {
        let host = host(name, &upstreams, &[]).await?;
        for (server, code) in [
            (EXPIRED, "tls-certificate-error"),
            (ELSEWHERE, "tls-certificate-error"),
            (STRANGER, "tls-certificate-error"),
            (REJECTING, "tls-alert-received"),
        ] {
            let answer = call(&host, &upstreams.url(server)).await?;
            let told = answer.status == 502 && says(&answer, code);
            ensure!(told, "{name}, server {server}: {answer:?}, not {code}");
        }
        // The certificate has no address.
        let by_address = upstreams.url(GOOD).replace("localhost", "127.0.0.1");
        let answer = call(&host, &by_address).await?;
        ensure!(says(&answer, "tls-certificate-error"), "{answer:?}");
    }
    ensure!(
        upstreams.nginx.requests().lines().is_empty(),
        "nginx was sent a request: {}",
        upstreams.nginx.requests().text()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_verified_is_said_aloud_at_start_and_at_each_connection() -> Result<()> {
    let Some(upstreams) = Upstreams::start().await? else {
        return Ok(());
    };
    let loud = ["--danger-no-verify", "localhost"];
    let host = host("fanout", &upstreams, &loud).await?;
    let said = host.stdout().text();
    ensure!(
        said.contains("WARNING") && said.contains("localhost: its certificate is not verified"),
        "{said}"
    );
    // The server has no such file, which is an answer, too.
    let answer = call(&host, &upstreams.url(STRANGER)).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let line = host
        .stderr()
        .wait_for("a line of the audit log", |line| {
            line.contains("headwater::audit") && line.contains("was not verified")
        })
        .await?;
    let to = upstreams.url(STRANGER);
    ensure!(line.contains(&to), "{line}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_are_told_at_start() -> Result<()> {
    let finished = Host::serve(guest("fanout")?)
        .args(["--ca", "/nowhere/ca.pem"])
        .run_to_end()
        .await?;
    ensure!(finished.code == Some(1), "{finished:?}");
    ensure!(
        finished.stderr.contains("/nowhere/ca.pem"),
        "{}",
        finished.stderr
    );
    Ok(())
}
