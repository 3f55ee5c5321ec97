//! Promises C1, C3, C4, C6, C7 and C11 of `docs/explanation/hardening.md`, with the real binary: a
//! client's misbehaviour harms only itself, and others are served as usual. (The crate of the front
//! tests all of them in small.)

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::client::full;
use headwater_tests::frames::{self, Frames};
use headwater_tests::guests::{binary, guest};
use headwater_tests::host::HostBuilder;
use headwater_tests::settings::{Settings, SettingsFile};
use headwater_tests::{Admin, Client, Host, within};
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

/// Settings of a fixed answer at `/`, an echoing guest at `/stream`, and more.
fn site(more: &str) -> Result<SettingsFile> {
    let stream = format!(
        "[[service]]\nname = \"stream\"\ncomponent = {:?}\n\
         route = {{ path = \"/stream/...\", strip_prefix = true }}\n",
        guest("stream")?
    );
    Settings::default()
        .text(&stream)
        .text("\n[[service]]\nname = \"tight\"\nroute = \"/tight/...\"\nmax_body = \"10B\"\nrate = \"1/h\"\n")
        .text(&format!("component = {:?}\n", guest("hello")?))
        .text("\n[[answer]]\nroute = \"/\"\nbody = \"fixed\"\n")
        .text(more)
        .write()
}

async fn connect(host: &Host) -> Result<TcpStream> {
    Ok(TcpStream::connect(host.url().trim_start_matches("http://")).await?)
}

/// Returns everything that the server sends until it closes.
async fn rest(mut stream: TcpStream) -> Result<String> {
    let mut answer = Vec::new();
    within("the end of a connection", stream.read_to_end(&mut answer)).await??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn raw(host: &Host, request: &str) -> Result<String> {
    let mut stream = connect(host).await?;
    stream.write_all(request.as_bytes()).await?;
    rest(stream).await
}

/// Checks the promise of each test: others are answered.
async fn others_are_served(host: &Host) -> Result<()> {
    let answer = Client::new().get(&format!("{}/", host.url())).await?;
    ensure!(
        answer.status == 200 && answer.text() == "fixed",
        "{}",
        answer.text()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_a_head_that_drips_is_answered_408_and_a_silent_client_is_let_go() -> Result<()> {
    let site = site("[server]\nheader_read_timeout = \"300ms\"\nkeep_alive_timeout = \"300ms\"\n")?;
    let host = Host::serve(site.path()).start().await?;
    let mut drips = connect(&host).await?;
    drips
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ")
        .await?;
    let silent = connect(&host).await?;
    let (drips, silent) = tokio::join!(rest(drips), rest(silent));
    ensure!(drips?.starts_with("HTTP/1.1 408 "));
    ensure!(silent?.is_empty());
    others_are_served(&host).await
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_connections_beyond_the_limit_are_refused_at_once() -> Result<()> {
    let site = site("[server]\nmax_connections = 2\n")?;
    let host = Host::serve(site.path()).start().await?;
    let (first, _second) = (connect(&host).await?, connect(&host).await?);
    let refused = rest(connect(&host).await?).await?;
    ensure!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    drop(first);
    // Once the host has seen that one is free.
    within("a free place", async {
        while others_are_served(&host).await.is_err() {}
    })
    .await
}

/// Opens a connection from another address of this machine.
async fn from_elsewhere(host: &Host) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.2:0".parse()?)?;
    Ok(socket.connect(host.address().parse()?).await?)
}

/// Sends `GET /`, and returns the whole answer.
async fn fixed(mut stream: TcpStream) -> Result<String> {
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await?;
    rest(stream).await
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_one_client_has_so_many_connections_and_others_have_theirs() -> Result<()> {
    let site = site("[server]\nmax_connections_per_client = 2\n")?;
    let host = Host::serve(site.path()).start().await?;
    let (first, _second) = (connect(&host).await?, connect(&host).await?);
    let refused = rest(connect(&host).await?).await?;
    ensure!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    let others = fixed(from_elsewhere(&host).await?).await?;
    ensure!(others.starts_with("HTTP/1.1 200 "), "{others}");
    drop(first);
    within("a free place", async {
        while others_are_served(&host).await.is_err() {}
    })
    .await
}

/// Opens a connection of a client that reads nothing of this many answers, and returns the number
/// of 200s.
async fn taking_nothing(host: &Host, streams: usize) -> Result<(Frames, usize)> {
    let mut frames = Frames::connect(host.address()).await?;
    // SETTINGS_INITIAL_WINDOW_SIZE
    let mut all = frames::frame(frames::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let head = frames::head_of(frames::GET, "/stream/bytes");
    let ends = frames::END_STREAM | frames::END_HEADERS;
    for stream in frames::streams().take(streams) {
        all.extend(frames::frame(frames::HEADERS, ends, stream, &head));
    }
    frames.send(&all).await?;
    let mut answered = 0;
    for _ in 0..streams {
        // Indexed in the static table of HPACK: `:status: 200`.
        let head = frames.next_of(frames::HEADERS).await?;
        answered += usize::from(head.payload.first() == Some(&0x88));
    }
    Ok((frames, answered))
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_one_client_that_takes_nothing_on_many_streams_leaves_places_to_others() -> Result<()> {
    const MOST: usize = 20;
    let site = site(&format!("[server]\nmax_in_flight_per_client = {MOST}\n"))?;
    let (host, admin) = Admin::start(Host::serve(site.path())).await?;
    let mut connections = Vec::new();
    let mut answered = Vec::new();
    for _ in 0..2 {
        let (frames, statuses) = taking_nothing(&host, MOST).await?;
        connections.push(frames);
        answered.push(statuses);
    }
    ensure!(answered == [MOST, 0], "{answered:?}");
    let others = fixed(from_elsewhere(&host).await?).await?;
    ensure!(others.starts_with("HTTP/1.1 200 "), "{others}");
    host.stderr()
        .wait_for("a line that names the settings", |line| {
            line.contains("max_in_flight_per_client") && line.contains("trusted_proxies")
        })
        .await?;

    drop(connections);
    admin.calm().await?;
    let metrics = admin.text("/metrics").await?;
    let counted = metrics.contains("error_type=\"client_in_flight\"");
    ensure!(counted, "{metrics}");
    others_are_served(&host).await
}

/// Each thread kept its memory until it looked, which idle threads never did.
#[tokio::test(flavor = "multi_thread")]
async fn c1_the_memory_of_many_answers_that_nobody_took_goes_back() -> Result<()> {
    const CONNECTIONS: usize = 8;
    const STREAMS: usize = 200;
    // On a slow machine, more of them wait for an instance than the default allows.
    let site = site(
        "[server]\nmax_in_flight_per_client = 2000\n\
         [defaults]\nidle_timeout = \"1s\"\nmax_queue = 2000\n",
    )?;
    let host = Host::serve(site.path()).start().await?;
    others_are_served(&host).await?;
    let process = host.process();
    let before = process.rss()?;
    let opened =
        futures::future::try_join_all((0..CONNECTIONS).map(|_| taking_nothing(&host, STREAMS)));
    let opened = opened.await?;
    ensure!(opened.iter().all(|(_, answered)| *answered == STREAMS));
    // No event reports it, here and below.
    within("answers that wait", async {
        while process.rss()?.saturating_sub(before) < 100 << 20 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    })
    .await??;
    drop(opened);
    let taken = process.peak_rss()?.saturating_sub(before);
    within("the memory", async {
        while process.rss()?.saturating_sub(before) > taken / 4 {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    })
    .await?
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_a_host_out_of_descriptors_lives_and_recovers() -> Result<()> {
    const DESCRIPTORS: usize = 64;
    let site = site("")?;
    let limited: HostBuilder = Host::program("sh")
        .args([
            "-c",
            &format!("ulimit -n {DESCRIPTORS}; exec \"$0\" \"$@\""),
        ])
        .arg(binary()?)
        .arg("serve")
        .arg(site.path())
        .args(["--listen", "127.0.0.1:0"]);
    let host = limited.start().await?;
    let mut connections = Vec::new();
    for _ in 0..DESCRIPTORS {
        connections.push(connect(&host).await?);
    }
    host.stderr()
        .wait_for("a line that says that none is accepted", |line| {
            line.contains("connections cannot be accepted")
        })
        .await?;
    drop(connections);
    others_are_served(&host).await
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_what_two_could_read_differently_is_refused() -> Result<()> {
    let site = site("")?;
    let host = Host::serve(site.path()).start().await?;
    for (request, status) in [
        ("GET / HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
            "400",
        ),
        ("GET / HTTP/1.1\r\nhost: a\r\n folded: b\r\n\r\n", "400"),
        (
            "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\nconnection: close\r\n\r\n",
            "405",
        ),
        ("GET / HTTP/1.0\r\n\r\n", "200"),
    ] {
        let answer = raw(&host, request).await?;
        let line = answer.lines().next().unwrap_or_default();
        ensure!(line.contains(status), "{request:?}: {line}");
    }
    others_are_served(&host).await
}

#[tokio::test(flavor = "multi_thread")]
async fn c7_what_is_too_large_has_the_standard_s_answer() -> Result<()> {
    let site =
        site("[server]\nmax_uri = \"100B\"\nmax_body = \"1KiB\"\nmax_header_bytes = \"8KiB\"\n")?;
    let host = Host::serve(site.path()).start().await?;
    let long = "x".repeat(101);
    let answer = Client::new().get(&format!("{}/{long}", host.url())).await?;
    ensure!(
        answer.status == StatusCode::URI_TOO_LONG,
        "{}",
        answer.status
    );

    let field = "x".repeat(9 << 10);
    let answer = raw(
        &host,
        &format!("GET / HTTP/1.1\r\nhost: a\r\nx: {field}\r\n\r\n"),
    )
    .await?;
    ensure!(answer.starts_with("HTTP/1.1 431 "), "{answer}");

    for (path, bytes, status) in [
        ("stream/echo", 1_024, StatusCode::OK),
        ("stream/echo", 1_025, StatusCode::PAYLOAD_TOO_LARGE),
        // The service's own limit.
        ("tight/", 11, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let request = Request::post(format!("{}/{path}", host.url()));
        let answer = Client::new()
            .send(request.body(full(vec![b'x'; bytes]))?)
            .await?;
        ensure!(
            answer.status == status,
            "{path}, {bytes}: {}",
            answer.status
        );
    }
    // A client that waits for 100 gets the answer instead.
    let expects = "POST /stream/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 9999\r\n\
                   expect: 100-continue\r\nconnection: close\r\n\r\n";
    let answer = raw(&host, expects).await?;
    ensure!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    others_are_served(&host).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_when_to_come_back() -> Result<()> {
    let site = site("[server]\nclient_rate = \"3/h\"\n")?;
    let host = Host::serve(site.path()).start().await?;
    let client = Client::new();
    // The service's own bucket has room for one, the client's for three.
    let tight = format!("{}/tight/", host.url());
    ensure!(client.get(&tight).await?.status == 200);
    let second = client.get(&tight).await?;
    ensure!(
        second.status == StatusCode::TOO_MANY_REQUESTS,
        "{}",
        second.status
    );
    ensure!(!second.header("retry-after").is_empty());
    others_are_served(&host).await?;
    let fourth = client.get(&format!("{}/", host.url())).await?;
    ensure!(
        fourth.status == StatusCode::TOO_MANY_REQUESTS,
        "{}",
        fourth.status
    );
    Ok(())
}

/// Returns the client's address of the first request from the access log.
async fn logged_client(host: &Host) -> Result<String> {
    let line = host
        .stderr()
        .wait_for("a line of the access log", |line| {
            line.contains("headwater::access")
        })
        .await?;
    let entry: serde_json::Value = serde_json::from_str(&line)?;
    let client = entry["client_address"].as_str();
    Ok(client.with_context(|| line.clone())?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn c11_what_is_said_of_a_client_is_believed_of_trusted_proxies_only() -> Result<()> {
    let site = site("")?;
    for (trusted, expected) in [(false, "127.0.0.1"), (true, "203.0.113.7")] {
        let mut serve = Host::serve(site.path()).arg("--access-log");
        if trusted {
            serve = serve.args(["--trusted-proxies", "127.0.0.0/8"]);
        }
        let host = serve.start().await?;
        let request = Request::get(format!("{}/", host.url()))
            .header("x-forwarded-for", "203.0.113.7")
            .body(headwater_tests::client::empty())?;
        ensure!(Client::new().send(request).await?.status == 200);
        let client = logged_client(&host).await?;
        ensure!(client.starts_with(expected), "{trusted}: {client}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_and_a_proxy_s_header_are_listeners_of_their_own_kind() -> Result<()> {
    let site = site("")?;
    let socket = site.path().with_file_name("it.sock");
    let mut host = Host::serve(site.path())
        .arg(format!("--listen=unix:{}", socket.display()))
        .start()
        .await?;
    let answer = over_unix(&socket).await?;
    ensure!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("fixed"),
        "{answer}"
    );
    ensure!(host.stop().await?.code() == Some(0));
    ensure!(!socket.exists(), "the socket's file is left");

    let host = Host::serve(site.path())
        .args(["--access-log", "--proxy-protocol", "required"])
        .start()
        .await?;
    let get = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let proxied = format!("PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n{get}");
    ensure!(raw(&host, &proxied).await?.starts_with("HTTP/1.1 200 "));
    ensure!(logged_client(&host).await?.starts_with("203.0.113.9"));
    ensure!(
        raw(&host, get).await?.is_empty(),
        "one without a header is served"
    );
    Ok(())
}

async fn over_unix(socket: &Path) -> Result<String> {
    let mut stream = UnixStream::connect(socket).await?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    within(
        "an answer over a Unix socket",
        stream.read_to_string(&mut answer),
    )
    .await??;
    Ok(answer)
}
