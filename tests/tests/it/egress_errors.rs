//! Promise: a guest gets the true result of its outgoing request: each failure has its
//! `error-code`, the same in 0.3 and 0.2. `docs/reference/error-codes.md` has the table.

use anyhow::{Result, ensure};
use headwater_tests::crooked::{Act, Unaccepting};
use headwater_tests::probe::{Ask, Failure, PROBES};
use headwater_tests::settings::Settings;
use headwater_tests::tls::{Authority, Flaw, TlsUpstream};
use headwater_tests::upstream::nobody;
use headwater_tests::{Crooked, Host};
use serde_json::{Value, json};

/// A timeout in nanoseconds that will expire.
const SHORT: u64 = 100_000_000;

/// A request, and its expected result.
struct Row {
    what: String,
    ask: Ask,
    phase: &'static str,
    error: &'static str,
    payload: Value,
}

fn row(what: &str, ask: Ask, phase: &'static str, error: &'static str) -> Row {
    Row {
        what: what.to_owned(),
        ask,
        phase,
        error,
        payload: Value::Null,
    }
}

impl Row {
    fn carrying(self, payload: Value) -> Self {
        Self { payload, ..self }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_connection_that_could_not_be_made() -> Result<()> {
    let refused = nobody().await?;
    let unaccepting = Unaccepting::start().await?;
    let rows = vec![
        row(
            "a name that there is none of",
            Ask::to("http://nonexistent.invalid/"),
            "send",
            "DNS-error",
        )
        .carrying(json!({"rcode": "NXDOMAIN", "info-code": null})),
        row(
            "a port where nobody listens",
            Ask::to(&refused),
            "send",
            "connection-refused",
        ),
        row(
            "a connection that is not accepted",
            Ask::to(unaccepting.url()).with("connect", SHORT),
            "send",
            "connection-timeout",
        ),
    ];
    told(rows, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_tls_that_could_not_be_agreed_on() -> Result<()> {
    let authority = Authority::new()?;
    let good = TlsUpstream::start(&authority, Flaw::None).await?;
    let unknown = TlsUpstream::start(&Authority::new()?, Flaw::None).await?;
    let expired = TlsUpstream::start(&authority, Flaw::Expired).await?;
    let other_name = TlsUpstream::start(&authority, Flaw::OtherName).await?;
    let wants = TlsUpstream::start(&authority, Flaw::WantsCertificate).await?;
    let silent = Crooked::greeting(vec![Act::Hold]).await?;
    let plain = Crooked::greeting(vec![Act::Send("HTTP/1.1 400 Bad\r\n\r\n".into())]).await?;
    // A fatal alert, `handshake_failure`.
    let alert =
        Crooked::greeting(vec![Act::Send(b"\x15\x03\x03\0\x02\x02\x28"[..].into())]).await?;
    let closing = Crooked::greeting(vec![Act::Close]).await?;
    let resetting = Crooked::greeting(vec![Act::Reset]).await?;
    let rows = vec![
        row(
            "an authority that is not trusted",
            Ask::to(unknown.url()),
            "send",
            "TLS-certificate-error",
        ),
        row(
            "an expired certificate",
            Ask::to(expired.url()),
            "send",
            "TLS-certificate-error",
        ),
        row(
            "another host's certificate",
            Ask::to(other_name.url()),
            "send",
            "TLS-certificate-error",
        ),
        row(
            "an alert",
            Ask::to(alert.https_url()),
            "send",
            "TLS-alert-received",
        )
        .carrying(json!({"alert-id": 40, "alert-message": "handshake_failure"})),
        row(
            "no certificate of our own",
            Ask::to(wants.url()),
            "send",
            "TLS-alert-received",
        )
        .carrying(json!({"alert-id": 116, "alert-message": "certificate_required"})),
        row(
            "an upstream without TLS",
            Ask::to(plain.https_url()),
            "send",
            "TLS-protocol-error",
        ),
        row(
            "a handshake without an answer",
            Ask::to(silent.https_url()).with("connect", SHORT),
            "send",
            "connection-timeout",
        ),
        row(
            "an end in the handshake",
            Ask::to(closing.https_url()),
            "send",
            "connection-terminated",
        ),
        row(
            "a reset in the handshake",
            Ask::to(resetting.https_url()),
            "send",
            "connection-terminated",
        ),
        row(
            "a reset stream",
            Ask::to(format!("{}/reset", good.url())),
            "send",
            "connection-terminated",
        ),
    ];
    told(rows, Some(&authority)).await?;

    // The failures have no other common cause.
    let host = start(Some(&authority)).await?;
    for probe in PROBES {
        let probe = format!("{}/{probe}", host.url());
        let fine = Ask::to(format!("{}/trailers", good.url()))
            .of(&probe)
            .await?;
        ensure!(fine.is_fine() && fine.body() == "fine\n", "{fine:?}");
        ensure!(fine.trailer("x-end") == ["reached"], "{fine:?}");
        // A reset may overtake what was sent before it.
        let cut = Ask::to(format!("{}/reset-in-body", good.url()));
        let told = cut
            .of(&probe)
            .await?
            .failure()
            .map(|it| (it.phase, it.error));
        let told = told.as_ref().map(|(phase, error)| (&**phase, &**error));
        ensure!(
            [
                Some(("body", "HTTP-response-incomplete")),
                Some(("send", "connection-terminated")),
            ]
            .contains(&told),
            "{told:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_response_that_did_not_come_or_did_not_come_whole() -> Result<()> {
    let crooked = Crooked::start().await?;
    let ask = |path: &str| Ask::to(format!("{}{path}", crooked.url()));
    let mut rows = vec![
        row(
            "no head in time",
            ask("/tarpit").with("first", SHORT),
            "send",
            "connection-read-timeout",
        ),
        row(
            "a head that drips",
            ask("/drip-head").with("first", SHORT),
            "send",
            "connection-read-timeout",
        ),
        row(
            "hints without end",
            ask("/hints-forever").patient(),
            "send",
            "HTTP-protocol-error",
        ),
        row(
            "a body that stops",
            ask("/hold-in-body").with("between", SHORT),
            "body",
            "connection-read-timeout",
        ),
        row(
            "a switch of protocols",
            ask("/switch"),
            "send",
            "HTTP-upgrade-failed",
        ),
    ];
    for (error, phase, paths) in [
        (
            "connection-terminated",
            "send",
            &["/close", "/reset", "/close-in-head", "/reset-in-head"][..],
        ),
        (
            "HTTP-response-incomplete",
            "body",
            &[
                "/short-body",
                "/reset-in-body",
                "/short-chunked",
                "/cut-chunk",
            ],
        ),
        (
            "HTTP-protocol-error",
            "send",
            &[
                "/garbage",
                "/bad-status",
                "/bad-header",
                "/bad-version",
                "/nul-header",
                "/two-lengths",
                "/signed-length",
                "/listed-length",
                "/negative-length",
                "/huge-length",
                "/length-and-chunks",
            ],
        ),
        (
            "HTTP-response-header-section-size",
            "send",
            &["/many-headers", "/large-header", "/headers-forever"],
        ),
        (
            "HTTP-response-trailer-section-size",
            "body",
            &["/many-trailers", "/large-trailer"],
        ),
    ] {
        rows.extend(paths.iter().map(|path| row(path, ask(path), phase, error)));
    }
    for path in [
        "/chunk-garbage",
        "/chunk-huge",
        "/chunk-overrun",
        "/chunk-extensions",
    ] {
        let error = "HTTP-response-transfer-coding";
        rows.push(row(path, ask(path), "body", error).carrying(json!("chunked")));
    }
    told(rows, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_request_that_the_host_does_not_send() -> Result<()> {
    let crooked = Crooked::start().await?;
    let ask = |path: &str| Ask::to(format!("{}{path}", crooked.url()));
    let rows = vec![
        row(
            "CONNECT",
            ask("/ok").with("method", "CONNECT"),
            "send",
            "HTTP-request-method-invalid",
        ),
        row(
            "no authority",
            ask("/ok").with("authority", "none"),
            "send",
            "HTTP-request-URI-invalid",
        ),
        row(
            "no known scheme",
            ask("/ok").with("scheme", "ftp"),
            "send",
            "HTTP-protocol-error",
        ),
    ];
    told(rows, None).await?;
    ensure!(crooked.accepted() == 0, "{:?}", crooked.seen());

    // Without a grant.
    let settings = Settings::default()
        .component("probe", "/probe/...", &[])?
        .component("probe-p2", "/probe-p2/...", &[])?;
    let settings = settings.write()?;
    let host = Host::serve(settings.path()).start().await?;
    let rows = vec![row("no grant", ask("/ok"), "send", "HTTP-request-denied")];
    compare(&host, rows).await?;
    ensure!(crooked.accepted() == 0, "{:?}", crooked.seen());
    Ok(())
}

/// Starts a host with both probes, which may call everybody and trust this authority.
async fn start(authority: Option<&Authority>) -> Result<Host> {
    let settings = Settings::default()
        .component("probe", "/probe/...", &["*", "127.0.0.1", "[::1]"])?
        .component("probe-p2", "/probe-p2/...", &["*", "127.0.0.1", "[::1]"])?;
    let settings = settings.write()?;
    let mut host = Host::serve(settings.path());
    if let Some(authority) = authority {
        host = host.env("SSL_CERT_FILE", authority.path()?);
    }
    host.start().await
}

/// Checks that both probes get the results of the rows.
async fn told(rows: Vec<Row>, authority: Option<&Authority>) -> Result<()> {
    let host = start(authority).await?;
    compare(&host, rows).await
}

async fn compare(host: &Host, rows: Vec<Row>) -> Result<()> {
    let mut wrong = Vec::new();
    for row in rows {
        let expected = Failure {
            phase: row.phase.to_owned(),
            error: row.error.to_owned(),
            payload: row.payload,
        };
        for probe in PROBES {
            let seen = row.ask.of(&format!("{}/{probe}", host.url())).await?;
            if seen.failure().as_ref() != Some(&expected) {
                wrong.push(format!("{probe}, {}: {expected:?}, but {seen:?}", row.what));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
