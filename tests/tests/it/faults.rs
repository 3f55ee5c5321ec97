//! Promise: the host answers for a guest that fails, and no other request is harmed. Malicious
//! guests are in `hostile_guests.rs`.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use headwater_tests::guests::guest;
use headwater_tests::settings::Settings;
use headwater_tests::{Admin, Client, Host, Services, client, pattern, within};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_is_a_500_with_the_request_id_and_a_log_line_with_the_cause() -> Result<()> {
    let services = Services::faulty(&[]).await?;
    let answer = services.get("/trap").await?;
    ensure!(answer.status == 500, "{}", answer.status);
    let id = answer.request_id();
    ensure!(!id.is_empty(), "{:?}", answer.headers);
    ensure!(answer.text().contains(id), "{}", answer.text());
    // The guest's message stays inside.
    ensure!(!answer.text().contains("panic"), "{}", answer.text());
    ensure!(!answer.text().contains("unreachable"), "{}", answer.text());

    let log = services.host().stderr();
    log.wait_for("a log line with the id and the cause", |line| {
        line.contains(id) && line.contains("unreachable")
    })
    .await?;
    log.wait_for("the guest's last words", |line| {
        line.contains("deliberate panic")
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_place_of_a_response_is_a_500_with_the_request_id_and_a_log_line() -> Result<()>
{
    let services = Services::faulty(&[]).await?;
    let answer = services.get("/error").await?;
    ensure!(answer.status == 500, "{}", answer.status);
    let id = answer.request_id();
    ensure!(!id.is_empty() && answer.text().contains(id), "{answer:?}");
    let log = services.host().stderr();
    log.wait_for("a log line with the id", |line| line.contains(id))
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn traps_leave_later_requests_and_other_services_unharmed() -> Result<()> {
    let services = Services::faulty(&[]).await?;
    let (traps, others) = futures::try_join!(
        try_join_all((0..20).map(|_| services.get("/trap"))),
        try_join_all((0..50).map(|_| services.get("/hello"))),
    )?;
    ensure!(traps.iter().all(|answer| answer.status == 500));
    ensure!(others.iter().all(|answer| answer.status == 200));
    for _ in 0..5 {
        let answer = services.get("/").await?;
        ensure!(
            answer.status == 200 && answer.text() == "fine\n",
            "{answer:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_in_the_middle_of_a_body_cuts_the_response_and_never_ends_it_cleanly() -> Result<()>
{
    let services = Services::faulty(&[]).await?;
    for client in [Client::new(), Client::http2()] {
        let url = format!("{}/late-trap", services.host().url());
        let request = Request::get(&url).body(client::empty())?;
        // The head may be lost with the connection; a whole answer must not come.
        let answer = client.send(request).await;
        ensure!(answer.is_err(), "a whole answer came: {answer:?}");
    }
    ensure!(services.get("/").await?.status == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_at_the_end_of_a_body_cuts_the_response_however_quick_its_reader_is() -> Result<()> {
    let services = Services::faulty(&[]).await?;
    let (h1, h2) = (Client::new(), Client::http2());
    let mut cut = 0;
    for path in [
        "/trap-at-end?head=20",
        "/trap-at-end?head=20&length=1",
        "/trap-at-end?head=20&trailers=1",
    ] {
        for client in [&h1, &h2] {
            let url = format!("{}{path}", services.host().url());
            for answer in futures::future::join_all((0..20).map(|_| client.get(&url))).await {
                // It may share its instance with one that failed before its head was set.
                let whole = answer.is_ok_and(|answer| answer.status == 200);
                ensure!(!whole, "a whole answer came of {path}");
                cut += 1;
            }
            // Too many failures in a row would open the service's circuit.
            ensure!(services.get("/").await?.status == 200);
        }
    }
    let log = services.host().stderr();
    log.wait_for_lines("log lines with the cause", cut, |line| {
        line.contains("kind=\"trap\"") && line.contains("unreachable")
    })
    .await?;
    log.wait_for("one of a response that was cut", |line| {
        line.contains("the response was cut") && line.contains("unreachable")
    })
    .await?;
    Ok(())
}

/// An upstream sends a good head and a broken body at once, and the guest passes both on.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_fails_before_its_first_byte_is_never_a_whole_response() -> Result<()> {
    let broken = ["ZZ\r\n", "3\nabc", "0\r\nfoo bar\r\n\r\n", "0\r\nx: 1\r\n"];
    let upstream = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", upstream.local_addr()?);
    tokio::spawn(async move {
        for broken in broken {
            let (mut stream, _) = upstream.accept().await?;
            let _ = stream.read(&mut [0; 1024]).await?;
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let message = format!("{head}{broken}");
            stream.write_all(message.as_bytes()).await?;
        }
        anyhow::Ok(())
    });
    let relay = Settings::default().component("relay", "/...", &[&address])?;
    let services = Services::beside_hello(relay, &[]).await?;
    let url = format!("{}/?to={address}", services.host().url());
    for (broken, nth) in broken.into_iter().zip(1..) {
        let answer = Client::new().get(&url).await;
        let whole = answer.is_ok_and(|answer| answer.status == 200);
        ensure!(!whole, "a whole answer came of {broken:?}");
        let log = services.host().stderr();
        log.wait_for_lines("responses that were cut", nth, |line| {
            line.contains("the response was cut")
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_in_one_go_with_the_whole_response_is_a_500() -> Result<()> {
    let old = Settings::default().component("faulty-p2", "/...", &[])?;
    for services in [
        Services::faulty(&[]).await?,
        Services::beside_hello(old, &[]).await?,
    ] {
        for path in [
            "/trap-at-end",
            "/trap-at-end?length=1",
            "/trap-at-end?length",
        ] {
            for _ in 0..5 {
                let answer = services.get(path).await?;
                ensure!(answer.status == 500, "{path}: {answer:?}");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_after_the_response_is_logged_with_the_request_and_the_cause() -> Result<()> {
    let old = Settings::default().component("faulty-p2", "/...", &[])?;
    for services in [
        Services::faulty(&[]).await?,
        Services::beside_hello(old, &[]).await?,
    ] {
        let answer = services.ok("/trap-after").await?;
        let id = answer.request_id();
        let log = services.host().stderr();
        log.wait_for("a log line with the id and the cause", |line| {
            line.contains("ERROR") && line.contains(id) && line.contains("unreachable")
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_reports_an_error_about_the_requests_body_and_never_answers_is_a_500_at_once()
-> Result<()> {
    let services = Services::faulty(&[]).await?;
    for body in ["", "a body"] {
        let request = Request::post(format!("{}/refuse-body", services.host().url()));
        let request = request.body(client::full(body))?;
        let answer = Client::new().send(request).await?;
        // A missed deadline would be a 504.
        ensure!(answer.status == 500, "{answer:?}");
        let id = answer.request_id();
        let log = services.host().stderr();
        log.wait_for("a log line with the id and what the guest said", |line| {
            line.contains(id) && line.contains("deliberate error about the body")
        })
        .await?;
    }
    // Its answer, if any, takes precedence over the error.
    let answer = services.get("/refuse-body-and-answer").await?;
    ensure!(answer.status == 422, "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_for_a_guest_that_never_reads_it_does_not_hang() -> Result<()> {
    let services = Services::faulty(&[]).await?;
    let body = client::streamed(pattern::chunks(64 << 20), None);
    let request = Request::post(format!("{}/", services.host().url())).body(body)?;
    let answer = Client::new().send(request).await?;
    ensure!(
        answer.status == 200 && answer.text() == "fine\n",
        "{answer:?}"
    );
    ensure!(services.get("/").await?.status == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_of_no_service_is_a_404_with_the_request_id() -> Result<()> {
    let services = Services::beside_hello(Settings::default(), &[]).await?;
    let answer = services.get("/nowhere").await?;
    ensure!(answer.status == 404, "{}", answer.status);
    ensure!(!answer.request_id().is_empty(), "{:?}", answer.headers);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_no_service_is_a_421_and_all_who_tell_of_the_request_name_it() -> Result<()> {
    const HOST: &str = "other.example:8443";
    let text = format!(
        "[[service]]\nname = \"hello\"\ncomponent = {:?}\n\
         route = {{ path = \"/...\", hosts = [\"a.example\"] }}\n",
        guest("hello")?
    );
    let settings = Settings::default().text(&text).write()?;
    let serve = Host::serve(settings.path()).args([
        "--access-log",
        "--trace-tree=always",
        "--log=headwater::server=debug",
    ]);
    let (host, admin) = Admin::start(serve).await?;
    let ask = |name: &'static str| {
        let request = Request::get(format!("{}/p", host.url())).header("host", name);
        let request = request.body(client::empty());
        async move { Client::new().send(request?).await }
    };
    ensure!(ask("a.example").await?.status == 200);
    let answer = ask(HOST).await?;
    ensure!(answer.status == 421, "{answer:?}");
    let text = answer.text();
    ensure!(
        text.starts_with("no service answers for this host"),
        "{text}"
    );
    let id = answer.request_id().to_owned();
    let log = host.stderr();
    for (what, parts) in [
        (
            "the access log",
            [
                &*format!("\"host\":\"{HOST}\""),
                "\"fault\":\"unknown_host\"",
                &id,
            ],
        ),
        ("the log", [HOST, "unknown_host", &id]),
        (
            "the tree",
            [&format!("GET {HOST}/p"), "421", &id[id.len() - 8..]],
        ),
    ] {
        log.wait_for(what, |line| parts.iter().all(|part| line.contains(part)))
            .await?;
    }
    let metrics = admin.text("/metrics").await?;
    ensure!(metrics.contains("error_type=\"unknown_host\""), "{metrics}");
    // Values that clients choose are not attributes of a metric.
    ensure!(!metrics.contains("other.example"), "{metrics}");
    Ok(())
}

/// Guests that declare arbitrary lengths of bodies, of 0.3 at `/lengths` and of 0.2 at
/// `/lengths-p2`.
const LENGTHS: [&str; 2] = ["lengths", "lengths-p2"];

async fn lengths() -> Result<Services> {
    let mut settings = Settings::default();
    for name in LENGTHS {
        settings = settings.text(&format!(
            "[[service]]\nname = {name:?}\ncomponent = {:?}\n\
             route = {{ path = \"/{name}/...\", strip_prefix = true }}\n\n",
            guest(name)?
        ));
    }
    Services::beside_hello(settings, &[]).await
}

/// Returns all bytes until the host closes the connection by itself.
async fn until_closed(services: &Services, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(services.host().address()).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    within("the end of the connection", stream.read_to_end(&mut answer)).await??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_writes_another_length_than_it_promised_is_cut_and_told_so() -> Result<()> {
    let services = lengths().await?;
    for (path, body, said, told) in [
        ("lengths/promise?length=10&write=3", "xxx", "wrote 3", true),
        ("lengths/promise?length=10&write=0", "", "wrote 0", true),
        ("lengths/promise?length=10&write=11", "", "wrote more", true),
        (
            "lengths-p2/promise?length=10&write=3",
            "xxx",
            "wrote 3",
            true,
        ),
        ("lengths-p2/promise?length=10&write=0", "", "wrote 0", true),
        (
            "lengths-p2/promise?length=10&write=11",
            "",
            "wrote more",
            true,
        ),
        ("lengths-p2/drop?length=10&write=3", "xxx", "wrote 3", false),
    ] {
        let log = services.host().stderr();
        let own = |line: &str| line.contains("HttpResponseBodySize(Some(");
        let before = log.lines().iter().filter(|line| own(line)).count();
        let answer = until_closed(&services, &format!("/{path}")).await?;
        let (head, sent) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        ensure!(head.contains("content-length: 10"), "{path}: {answer}");
        ensure!(sent == body, "{path}: {answer}");
        let id = head
            .lines()
            .find_map(|line| line.strip_prefix("x-request-id: "));
        let id = id.unwrap_or_default().to_owned();
        let line = log
            .wait_for("a log line with the id and the reason", |line| {
                !id.is_empty() && line.contains(&id) && line.contains("the response was cut")
            })
            .await?;
        let reason = "the guest declared a body of 10 bytes by its content-length and ";
        ensure!(line.contains(&format!("{reason}{said}")), "{path}: {line}");
        ensure!(!line.contains("exceeds"), "{path}: {line}");
        if told {
            log.wait_for_lines("the guest's own error", before + 1, own)
                .await?;
        }

        let url = format!("{}/{path}", services.host().url());
        let cut = Client::http2().get(&url).await;
        ensure!(cut.is_err(), "a whole answer came: {path}: {cut:?}");
    }
    ensure!(services.get("/hello").await?.status == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_copies_fields_and_says_its_length_again_is_served() -> Result<()> {
    let services = lengths().await?;
    for name in LENGTHS {
        for body in ["", "12345"] {
            for client in [Client::new(), Client::http2()] {
                let request = Request::post(format!("{}/{name}/copy", services.host().url()))
                    .header("content-length", body.len())
                    .header("x-kept", "1")
                    .body(client::full(body))?;
                let answer = client.send(request).await?;
                ensure!(answer.status == 200, "{name}, {body:?}: {answer:?}");
                ensure!(answer.text() == body, "{name}, {body:?}: {answer:?}");
                ensure!(answer.headers["x-kept"] == "1", "{answer:?}");
                let lengths: Vec<_> = answer.headers.get_all("content-length").iter().collect();
                ensure!(lengths == [&*body.len().to_string()], "{answer:?}");
            }
        }
    }
    Ok(())
}
