//! Promises of TLS in front, with the real binary: the choice of certificates, client certificates,
//! renewal, and (C2) handshakes that stall.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use headwater_tests::certificates::Authority;
use headwater_tests::guests::guest;
use headwater_tests::{Client, Curl, Host, sooner, within};
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A folder with certificates for `a.example` and `b.example`, of a client, and of a stranger with
/// the client's name.
struct Site {
    folder: TempDir,
    ours: Authority,
}

impl Site {
    /// Creates a site with `tls` in its listener's table, beside the certificates. `wagi-rust`
    /// prints its input at `/cgi`.
    fn new(tls: &str) -> Result<Self> {
        let (ours, strangers) = (Authority::new("ours")?, Authority::new("ours")?);
        let site = Self {
            folder: TempDir::new()?,
            ours,
        };
        for (file, name) in [("a", "a.example"), ("b", "b.example"), ("client", "alice")] {
            site.ours.certify(&site.file(file), name)?;
        }
        strangers.certify(&site.file("stranger"), "alice")?;
        fs::write(site.file("ca.pem"), site.ours.pem())?;
        fs::write(
            site.file("headwater.toml"),
            format!(
                "[server]\nhandshake_timeout = \"1s\"\n\
                 [[listener]]\nlisten = \"127.0.0.1:0\"\n\
                 [listener.tls]\ncertificates = [\n\
                 {{ certificate = \"a.pem\", key = \"a.key\" }},\n\
                 {{ certificate = \"b.pem\", key = \"b.key\" }},\n]\n{tls}\n\
                 [[listener]]\nlisten = \"127.0.0.1:0\"\n\
                 [[listener]]\nlisten = \"127.0.0.1:0\"\nproxy_protocol = \"required\"\n\
                 tls = {{ certificates = [{{ certificate = \"a.pem\", key = \"a.key\" }}] }}\n\
                 [[service]]\nname = \"cgi\"\nroute = \"/cgi\"\nmodule = {:?}\n\
                 [[answer]]\nroute = \"/\"\nbody = \"fixed\"\n",
                guest("wagi-rust")?
            ),
        )?;
        Ok(site)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn path(&self, name: &str) -> Result<String> {
        let path = self.file(name);
        Ok(path.to_str().context("the path is no UTF-8")?.to_owned())
    }

    /// Starts the host. Returns it, its port with TLS, and its address without; a listener with TLS for
    /// proxies follows these.
    async fn serve(&self) -> Result<(Host, u16, String)> {
        let serve = Host::headwater()
            .arg("serve")
            .arg(self.file("headwater.toml"));
        let host = serve.start().await?;
        let addresses = host.addresses(2).await?;
        ensure!(host.url().starts_with("https://"), "{}", host.url());
        let (_, port) = addresses[0].rsplit_once(':').context("no port")?;
        let port = port.parse()?;
        Ok((host, port, addresses[1].clone()))
    }

    /// Opens a connection to `a.example`, and sends a first request.
    async fn connect(&self, port: u16) -> Result<SendRequest<Empty<Bytes>>> {
        let address = format!("127.0.0.1:{port}");
        let stream = self.ours.connect(&address, "a.example").await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        ask(&mut sender).await?;
        Ok(sender)
    }
}

async fn ask(connection: &mut SendRequest<Empty<Bytes>>) -> Result<()> {
    within("the connection to be ready", connection.ready()).await??;
    let request = Request::get("/")
        .header("host", "a.example")
        .body(Empty::new())?;
    let answer = within("an answer", connection.send_request(request)).await??;
    ensure!(answer.status() == 200, "{answer:?}");
    // The few bytes of the body are dropped, and the connection stays open.
    Ok(())
}

/// Returns curl's arguments that resolve a name to this machine.
fn resolve(name: &str, port: u16) -> [String; 2] {
    [
        format!("{name}:{port}:127.0.0.1"),
        format!("https://{name}:{port}/"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_name_has_its_certificate_and_alpn_its_version() -> Result<()> {
    let Some(curl) = Curl::find() else {
        return Ok(());
    };
    let site = Site::new("")?;
    let (_host, port, _) = site.serve().await?;
    let ca = site.path("ca.pem")?;
    for name in ["a.example", "b.example"] {
        let [resolve, url] = resolve(name, port);
        for (option, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
            let answer = curl
                .ask(&["--cacert", &ca, "--resolve", &resolve, option, &url])
                .await?;
            ensure!(
                (answer.status, &*answer.version, &*answer.body) == (200, version, "fixed"),
                "{name}: {answer:?}"
            );
        }
        let url = format!("{url}cgi");
        let told = curl
            .ask(&["--cacert", &ca, "--resolve", &resolve, &url])
            .await?;
        let expected = format!("X_FULL_URL=https://{name}:{port}/cgi\n");
        ensure!(told.body.contains(&expected), "{told:?}");
    }
    // Another name gets the first certificate, which curl rejects.
    let [resolve, url] = resolve("c.example", port);
    let other = curl
        .ask(&["--cacert", &ca, "--resolve", &resolve, &url])
        .await?;
    ensure!(other.code == 60, "{other:?}");
    let taken = curl
        .ask(&["--insecure", "--verbose", "--resolve", &resolve, &url])
        .await?;
    ensure!(taken.said.contains("CN=a.example"), "{taken:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_who_its_certificate_says_and_not_what_it_says_itself() -> Result<()> {
    let Some(curl) = Curl::find() else {
        return Ok(());
    };
    for (auth, required) in [("required", true), ("optional", false)] {
        let site = Site::new(&format!("client_ca = \"ca.pem\"\nclient_auth = {auth:?}"))?;
        let (_host, port, plain) = site.serve().await?;
        let [resolve, url] = resolve("a.example", port);
        let url = format!("{url}cgi");
        let ca = site.path("ca.pem")?;
        let forged = [
            ["--header", "x-client-cert-subject: CN=root"],
            ["--header", "client-cert: :cm9vdA==:"],
            ["--header", "client-cert-chain: :cm9vdA==:"],
        ];
        let forged = forged.as_flattened();
        let base = ["--cacert", &ca, "--resolve", &resolve, &url];
        let (pem, key) = (site.path("client.pem")?, site.path("client.key")?);
        let shown = ["--cert", &pem, "--key", &key];
        let alice = curl.ask(&[&base[..], forged, &shown].concat()).await?;
        ensure!(alice.status == 200, "{alice:?}");
        ensure!(
            alice
                .body
                .contains("\nHTTP_X_CLIENT_CERT_SUBJECT=CN=alice\n"),
            "{alice:?}"
        );
        let pem = fs::read_to_string(site.file("client.pem"))?;
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let field = format!("\nHTTP_CLIENT_CERT=:{base64}:\n");
        ensure!(alice.body.contains(&field), "{alice:?}");
        ensure!(!alice.body.contains("cm9vdA"), "{alice:?}");

        let nobody = curl.ask(&[&base[..], forged].concat()).await?;
        if required {
            ensure!(nobody.status == 0 && nobody.code != 0, "{nobody:?}");
        } else {
            ensure!(nobody.status == 200, "{nobody:?}");
            ensure!(!nobody.body.contains("CLIENT_CERT"), "{nobody:?}");
        }
        let (pem, key) = (site.path("stranger.pem")?, site.path("stranger.key")?);
        let shown = ["--cert", &pem, "--key", &key];
        let stranger = curl.ask(&[&base[..], &shown].concat()).await?;
        ensure!(stranger.status == 0 && stranger.code != 0, "{stranger:?}");

        // Without TLS there are no client certificates.
        let url = format!("http://{plain}/cgi");
        let plain = curl.ask(&[&[&*url][..], forged].concat()).await?;
        ensure!(plain.status == 200, "{plain:?}");
        ensure!(!plain.body.contains("CLIENT_CERT"), "{plain:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_to_who_comes_and_who_is_there_goes_on() -> Result<()> {
    let mut site = Site::new("")?;
    let (host, port, _) = site.serve().await?;
    let mut old = site.connect(port).await?;
    // Of another authority: a client that trusts only that one detects the new certificate.
    site.ours = Authority::new("renewed")?;
    site.ours.certify(&site.file("a"), "a.example")?;
    let line = "the certificates have changed and were reloaded";
    host.stderr()
        // Two listeners use it.
        .wait_for_lines(line, 2, |said| said.contains(line))
        .await?;
    let mut new = site.connect(port).await?;
    ask(&mut old).await?;
    ask(&mut new).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_used_changes_nothing() -> Result<()> {
    let site = Site::new("")?;
    let (host, port, _) = site.serve().await?;
    fs::write(site.file("b.pem"), "half a certif")?;
    let line = host
        .stderr()
        .wait_for("a line that says that nothing changed", |said| {
            said.contains("the certificates have changed and cannot be used")
        })
        .await?;
    ensure!(line.contains("b.pem"), "{line}");
    site.connect(port).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_handshakes_that_stall_hold_up_nobody_and_end() -> Result<()> {
    /// The first bytes of a handshake record of 512 bytes (RFC 8446 5.1) with a ClientHello.
    const HALF: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    const PROXY: &[u8] = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n";
    let site = Site::new("")?;
    let (host, port, plain) = site.serve().await?;
    let direct = format!("127.0.0.1:{port}");
    let proxied = &host.addresses(3).await?[2];
    let mut stalled = Vec::new();
    for _ in 0..16 {
        for (address, begun) in [
            (&direct, &b""[..]),
            (&direct, HALF),
            // The PROXY header and the handshake each have their own timeout.
            (proxied, &PROXY[..20]),
            (proxied, &[PROXY, HALF].concat()),
        ] {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(begun).await?;
            stalled.push(stream);
        }
    }
    // In sequence they would take a minute.
    let default = Duration::from_secs(10);
    sooner(default, "another handshake", site.connect(port)).await??;
    let url = format!("http://{plain}/");
    let client = Client::new();
    let answer = sooner(default, "an answer without TLS", client.get(&url));
    ensure!(answer.await??.status == 200);
    for mut stream in stalled {
        let mut rest = Vec::new();
        let ended = sooner(
            default,
            "the end of a handshake",
            stream.read_to_end(&mut rest),
        );
        // Closed, perhaps with a reset, because half of a message was unread.
        let _ = ended.await?;
        ensure!(rest.len() < 16, "more than an alert: {rest:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_one_connection_more_than_may_be_is_closed_without_a_handshake() -> Result<()> {
    let site = Site::new("")?;
    let serve = Host::headwater()
        .arg("serve")
        .arg(site.file("headwater.toml"))
        .args(["--max-connections", "1"]);
    let host = serve.start().await?;
    let (_, port) = host.address().rsplit_once(':').context("no port")?;
    let port = port.parse()?;
    let held = site.connect(port).await?;
    let mut refused = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut rest = Vec::new();
    within("the end", refused.read_to_end(&mut rest)).await??;
    ensure!(rest.is_empty(), "{rest:?}");
    // Once there is room.
    drop(held);
    within("a free place", async {
        while site.connect(port).await.is_err() {}
    })
    .await
}
