//! Promise: a guest that sends, or an upstream that answers, what it should not harms only its own
//! request. G5, G6, G7, G8, G10 and G18 of `docs/explanation/hardening.md`, for 0.3 and 0.2 alike.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::crooked::{Act, Message, Unaccepting};
use headwater_tests::probe::{Ask, PROBES, Seen};
use headwater_tests::settings::Settings;
use headwater_tests::{Client, Crooked, Host, Services, client, within};
use http::Request;

/// A timeout in nanoseconds that will expire.
const SHORT: u64 = 100_000_000;
const MIB: u64 = 1 << 20;

// === G5: header fields

#[tokio::test(flavor = "multi_thread")]
async fn g5_more_fields_than_a_message_may_have_are_an_error_for_the_guest() -> Result<()> {
    let probes = Probes::start().await?;
    for (fields, size) in [(33_000, 0), (100_000, 1), (1, 140_000), (140, 1_000)] {
        for probe in PROBES {
            let ask = probes
                .ask("/ok")
                .with("fields", fields)
                .with("field-size", size);
            let seen = probes.told(probe, &ask).await?;
            // 0.2 has no error for it.
            let expected = match probe {
                "probe" => "size-exceeded",
                _ => "invalid-syntax",
            };
            probes.refused(&seen, "header", expected)?;
        }
    }
    ensure!(probes.crooked.accepted() == 0);
    probes.unharmed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_fields_that_leave_no_room_for_the_hosts_own_are_no_trap() -> Result<()> {
    let probes = Probes::start().await?;
    for probe in PROBES {
        let seen = async |size: usize| {
            let ask = probes.ask("/ok").with("fields", 1).with("field-size", size);
            probes.told(probe, &ask).await
        };
        // Searches for the largest field that the guest can create; larger ones fail in `header`.
        let (mut fits, mut exceeds) = (100_000, 140_000);
        while exceeds - fits > 1 {
            let middle = usize::midpoint(fits, exceeds);
            let refused = seen(middle).await?.failure();
            match refused.is_some_and(|failure| failure.phase == "header") {
                true => exceeds = middle,
                false => fits = middle,
            }
        }
        let seen = seen(fits).await?;
        // It may be more than the host sends: then the guest gets an error.
        let told = seen.failure().is_some_and(|failure| {
            failure.phase == "send" && failure.error == "HTTP-request-header-section-size"
        });
        ensure!(told || seen.is_fine(), "{fits} bytes: {seen:?}");
    }
    probes.unharmed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_names_and_values_that_are_none_do_not_reach_the_wire() -> Result<()> {
    let probes = Probes::start().await?;
    for probe in PROBES {
        for kind in ["header", "trailer"] {
            for name in [
                "", " ", "a b", "a\r\nb", "a\n", "\0", "a\"", "é", "a/b", "(x)",
            ] {
                let ask = probes.ask("/ok").with(kind, format!("{name}:value"));
                let seen = probes.told(probe, &ask).await?;
                probes.refused(&seen, kind, "invalid-syntax")?;
            }
            for value in ["a\r\nx-evil: yes", "a\r", "a\nb", "\0", "\x7f", "\x1b[2J"] {
                let ask = probes.ask("/ok").with(kind, format!("x:{value}"));
                let seen = probes.told(probe, &ask).await?;
                probes.refused(&seen, kind, "invalid-syntax")?;
            }
            for name in [
                "connection",
                "keep-alive",
                "proxy-authenticate",
                "proxy-authorization",
                "proxy-connection",
                "transfer-encoding",
                "upgrade",
                "host",
                "http2-settings",
                "Transfer-Encoding",
                "HOST",
            ] {
                let ask = probes.ask("/ok").with(kind, format!("{name}:chunked"));
                let seen = probes.told(probe, &ask).await?;
                probes.refused(&seen, kind, "forbidden")?;
            }
        }
        ensure!(
            probes.crooked.accepted() == 0,
            "{:?}",
            probes.crooked.seen()
        );
    }
    // Bytes that are not text are allowed.
    for probe in PROBES {
        let ask = probes.ask("/ok").with("header-hex", "x-bytes:ff80fe");
        let seen = probes.told(probe, &ask).await?;
        ensure!(seen.is_fine(), "{seen:?}");
    }
    probes.unharmed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_trailers_arrive_without_what_says_how_a_message_is_carried() -> Result<()> {
    let probes = Probes::start().await?;
    for probe in PROBES {
        let ask = probes
            .ask("/ok")
            .with("method", "POST")
            .with("body", 3)
            .with("header", "trailer:x-end, content-length")
            .with("trailer", "x-end:reached")
            .with("trailer", "content-length:5");
        let seen = probes.told(probe, &ask).await?;
        ensure!(seen.is_fine(), "{seen:?}");
        let message = probes.crooked.last()?;
        ensure!(message.complete && message.body == "bbb", "{message:?}");
        ensure!(message.trailers == ["x-end: reached"], "{message:?}");

        let seen = probes.told(probe, &probes.ask("/trailers")).await?;
        ensure!(seen.body() == "hello", "{seen:?}");
        ensure!(seen.trailer("x-end") == ["reached", "twice"], "{seen:?}");
    }
    probes.unharmed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_which_fields_are_kept_from_a_guest_is_the_operators_to_say() -> Result<()> {
    let keys = "forbid_headers = [\"x-secret\"]\nallow_headers = [\"proxy-authorization\"]\n";
    let probes = Probes::with(keys, &[]).await?;
    for probe in PROBES {
        let ask = probes.ask("/ok").with("header", "X-Secret:1");
        let seen = probes.told(probe, &ask).await?;
        probes.refused(&seen, "header", "forbidden")?;
        let ask = probes.ask("/ok").with("header", "proxy-authorization:mine");
        let seen = probes.told(probe, &ask).await?;
        ensure!(seen.is_fine(), "{seen:?}");
        let message = probes.crooked.last()?;
        ensure!(
            message.header("proxy-authorization") == ["mine"],
            "{message:?}"
        );
    }
    probes.unharmed().await
}

// === G6: lengths

#[tokio::test(flavor = "multi_thread")]
async fn g6_an_odd_or_another_length_of_a_request_is_an_error_for_the_guest() -> Result<()> {
    let probes = Probes::start().await?;
    let post = || probes.ask("/ok").with("method", "POST").with("body", 5);
    for probe in PROBES {
        let odd = [
            "",
            "+5",
            "-5",
            " 5",
            "5 ",
            "5,5",
            "5, 5",
            "0x5",
            "5.0",
            "five",
            "99999999999999999999",
        ];
        for value in odd {
            let ask = post().with("header", format!("content-length:{value}"));
            let seen = probes.told(probe, &ask).await?;
            probes.refused(&seen, "header", "invalid-syntax")?;
        }
        for second in ["6", "5,5", " 5"] {
            let ask = post()
                .with("header", "content-length:5")
                .with("header", format!("Content-Length:{second}"));
            let seen = probes.told(probe, &ask).await?;
            probes.refused(&seen, "header", "invalid-syntax")?;
        }
    }
    ensure!(probes.crooked.accepted() == 0);
    probes.unharmed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_a_length_that_is_said_again_is_sent_once() -> Result<()> {
    let probes = Probes::start().await?;
    for probe in PROBES {
        let ask = probes.ask("/ok").with("method", "POST").with("body", 5);
        let ask = ask
            .with("header", "content-length:5")
            .with("header", "Content-Length:5");
        let seen = probes.told(probe, &ask).await?;
        ensure!(seen.is_fine(), "{probe}: {seen:?}");
        // A length that the upstream repeats reaches the guest once, too.
        let ask = probes.ask("/same-lengths");
        let seen = probes.told(probe, &ask).await?;
        ensure!(seen.header("content-length") == ["5"], "{probe}: {seen:?}");
    }
    for message in probes.crooked.seen() {
        let expected: &[&str] = match message.line().starts_with("POST") {
            true => &["5"],
            false => &[],
        };
        ensure!(message.header("content-length") == expected, "{message:?}");
    }
    probes.unharmed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_a_request_body_that_is_not_as_long_as_declared_never_looks_whole() -> Result<()> {
    let probes = Probes::start().await?;
    for probe in PROBES {
        for (declared, length) in [
            (5, 3),
            (5, 0),
            (5, 8),
            (100_000, 99_999),
            (100_000, 100_001),
        ] {
            for send in ["whole", "trickle", "cut", "late"] {
                // The declared length is complete before the guest has written more.
                if send == "trickle" && !(1..declared.min(100)).contains(&length) {
                    continue;
                }
                let ask = probes
                    .ask("/ok")
                    .with("method", "POST")
                    .with("header", format!("content-length:{declared}"))
                    .with("body", length)
                    .with("send", send);
                // A late end waits for the response first, and the upstream for the rest.
                let ask = match send {
                    "late" => ask.with("first", SHORT),
                    _ => ask,
                };
                let what = format!("{probe}, {length} of {declared}, {send}");
                let seen = probes.told(probe, &ask).await?;
                let failures = [seen.failure(), seen.sent()];
                let told = failures.iter().flatten().any(|failure| {
                    failure.error == "HTTP-request-body-size"
                        || (send == "late" && failure.error == "connection-read-timeout")
                        // The guest's own reason (0.3).
                        || (send == "cut" && failure.error == "internal-error")
                });
                ensure!(told, "{what}: {seen:?}");
                // If the connection is reused, the next request is intact.
                let next = probes.told(probe, &probes.ask("/ok")).await?;
                ensure!(next.is_fine(), "{what}: {next:?}");
                synchronised(&probes.crooked.seen()).context(what)?;
            }
        }
    }
    let seen = probes.crooked.seen();
    let whole = seen
        .iter()
        .filter(|it| it.line().starts_with("POST") && it.complete);
    ensure!(whole.count() == 0, "{seen:?}");
    probes.unharmed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_what_an_upstream_sends_beyond_its_answer_is_never_the_next_answer() -> Result<()> {
    let probes = Probes::start().await?;
    for probe in PROBES {
        for (path, method) in [
            ("/long-body", "GET"),
            ("/twice", "GET"),
            ("/204-body", "GET"),
            ("/304-body", "GET"),
            ("/head-body", "HEAD"),
            ("/length-and-chunks", "GET"),
            ("/chunk-overrun", "GET"),
            ("/switch", "GET"),
        ] {
            for _ in 0..10 {
                let ask = probes.ask(path).with("method", method);
                let odd = probes.told(probe, &ask).await?;
                ensure!(odd.header("x-poison").is_empty(), "{path}: {odd:?}");
                let next = probes.told(probe, &probes.ask("/ok")).await?;
                ensure!(next.is_fine(), "{path}: {next:?}");
                ensure!(next.body() == "fine\n", "{path}: {next:?}");
                ensure!(next.header("x-poison").is_empty(), "{path}: {next:?}");
            }
        }
    }
    synchronised(&probes.crooked.seen())?;
    probes.unharmed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_what_an_upstream_sends_late_and_unasked_ends_its_connection() -> Result<()> {
    let probes = Probes::start().await?;
    for (nth, probe) in PROBES.into_iter().enumerate() {
        for _ in 0..5 {
            let seen = probes.told(probe, &probes.ask("/late")).await?;
            ensure!(seen.is_fine() && seen.body() == "fine\n", "{seen:?}");
            // Except the connections of the probes before.
            probes.crooked.wait_for_end_of_all_but(nth).await?;
        }
        let next = probes.told(probe, &probes.ask("/ok")).await?;
        ensure!(next.is_fine() && next.body() == "fine\n", "{next:?}");
        ensure!(next.header("x-poison").is_empty(), "{next:?}");
    }
    synchronised(&probes.crooked.seen())?;
    probes.unharmed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_an_answer_before_the_end_of_the_request_leaves_no_rest_of_it_behind() -> Result<()> {
    let probes = Probes::start().await?;
    for probe in PROBES {
        for (path, send) in [
            ("/early", "whole"),
            ("/early", "hold"),
            ("/early-hold", "hold"),
            ("/early-close", "whole"),
        ] {
            for length in [10, 1_000_000] {
                let ask = probes
                    .ask(path)
                    .with("method", "POST")
                    .with("body", length)
                    .with("send", send);
                // In 0.3, dropping a body without a length finishes it.
                let ask = match send {
                    "hold" => ask.with("header", format!("content-length:{}", length + 1)),
                    _ => ask,
                };
                let early = probes.told(probe, &ask).await?;
                // An upstream that closes during the request may thereby lose its own answer.
                let lost = path == "/early-close" && early.failure().is_some();
                ensure!(early.status() == Some(200) || lost, "{path}: {early:?}");
                let next = probes.told(probe, &probes.ask("/ok")).await?;
                ensure!(next.is_fine(), "{path}, {length}: {next:?}");
            }
        }
    }
    synchronised(&probes.crooked.seen())?;
    probes.unharmed().await
}

// === G7: targets

#[tokio::test(flavor = "multi_thread")]
async fn g7_a_target_that_is_none_is_an_error_for_the_guest() -> Result<()> {
    let probes = Probes::start().await?;
    for probe in PROBES {
        for path in [
            "http://evil/",
            "https://evil.example/x",
            "*",
            "evil",
            "@evil/",
            "/a b",
            "/a\r\nx-evil: yes",
            "/a\nb",
            "/\0",
            "/a\u{7f}",
        ] {
            let ask = probes.ask("/ok").with("path", path);
            let seen = probes.told(probe, &ask).await?;
            probes.refused(&seen, "request", "path")?;
        }
        let own = probes.crooked.authority();
        for authority in [
            "",
            "a b",
            "a/b",
            "a?b",
            "a\r\nx-evil: yes",
            "\0",
            "127.0.0.1:99999",
            "127.0.0.1:0",
            "127.0.0.1:x",
            "127.0.0.1:-1",
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]:80",
            "[::1",
            "::1",
            "[::1]x",
            "127.0.0.1%0d%0ax",
            &format!("user@{own}"),
            &format!("user:secret@{own}"),
            &format!("evil@{own}@{own}"),
        ] {
            let ask = probes.ask("/ok").with("authority", authority);
            let seen = probes.told(probe, &ask).await?;
            let failure = seen.failure().context("it was sent")?;
            let told = (&*failure.phase, &*failure.error);
            ensure!(
                told == ("request", "authority") || told == ("send", "HTTP-request-URI-invalid"),
                "{authority:?}: {seen:?}"
            );
        }
        for method in ["", "G ET", "GET\r\nx: y", "GÉT", "CONNECT"] {
            let ask = probes.ask("/ok").with("method", method);
            let seen = probes.told(probe, &ask).await?;
            let failure = seen.failure().context("it was sent")?;
            ensure!(
                ["method", "HTTP-request-method-invalid"].contains(&&*failure.error),
                "{method:?}: {seen:?}"
            );
        }
    }
    ensure!(
        probes.crooked.accepted() == 0,
        "{:?}",
        probes.crooked.seen()
    );
    probes.unharmed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn g7_a_request_has_one_host_and_it_is_its_authority() -> Result<()> {
    let probes = Probes::start().await?;
    for probe in PROBES {
        let seen = probes.told(probe, &probes.ask("/ok")).await?;
        ensure!(seen.is_fine(), "{seen:?}");
        let message = probes.crooked.last()?;
        ensure!(
            message.header("host") == [probes.crooked.authority()],
            "{message:?}"
        );
        ensure!(message.line() == "GET /ok HTTP/1.1", "{message:?}");

        // An absent path and query are an empty path, which is written so.
        let seen = probes
            .told(probe, &probes.ask("/ok").with("path", "none"))
            .await?;
        ensure!(seen.is_fine(), "{seen:?}");
        ensure!(probes.crooked.last()?.line() == "GET / HTTP/1.1");
    }
    probes.unharmed().await
}

// === G8: timeouts

#[tokio::test(flavor = "multi_thread")]
async fn g8_timeouts_of_nothing_and_of_centuries_are_no_panic() -> Result<()> {
    let probes = Probes::start().await?;
    let unaccepting = Unaccepting::start().await?;
    let each = ["connect", "first", "between"];
    for probe in PROBES {
        for (ask, expected) in [
            (
                Ask::to(unaccepting.url()).with("connect", 0),
                "connection-timeout",
            ),
            (
                probes.ask("/tarpit").with("first", 0),
                "connection-read-timeout",
            ),
            (
                probes.ask("/hold-in-body").with("between", 0),
                "connection-read-timeout",
            ),
        ] {
            let seen = probes.told(probe, &ask).await?;
            let failure = seen.failure().context("no failure")?;
            ensure!(failure.error == expected, "{ask}: {seen:?}");
        }
        for nanos in [0, 1, u64::MAX - 1, u64::MAX] {
            for name in each {
                // No specification says if a timeout of zero fails for an answer that is already
                // there.
                let ask = probes.ask("/ok").with(name, nanos);
                let seen = probes.told(probe, &ask).await?;
                ensure!(seen.is_fine() || nanos < 2, "{ask}: {seen:?}");
            }
        }
        let all = each
            .iter()
            .fold(probes.ask("/drip"), |ask, name| ask.with(name, u64::MAX));
        let seen = probes.told(probe, &all).await?;
        ensure!(seen.is_fine(), "{seen:?}");
    }
    probes.unharmed().await
}

// === G10: floods, and upstreams without an end

#[tokio::test(flavor = "multi_thread")]
async fn g10_ten_thousand_requests_at_once_are_bounded_and_all_of_them_answered() -> Result<()> {
    const MANY: u64 = 10_000;
    const MOST: u64 = 256;
    let probes = Probes::with("", &["--timeout", "600s"]).await?;
    for probe in PROBES {
        let process = probes.services.host().process();
        let before = process.rss()?;
        process.reset_peak_rss()?;
        let ask = probes.ask("/ok").patient().with("n", MANY);
        let seen = probes.beside_others(probes.told(probe, &ask)).await?;
        ensure!(seen.total() == MANY, "{probe}: {seen:?}");
        // While a guest of 0.3 computes, nobody polls its connections: with a slow host, some of
        // them may be late.
        let served = seen.count("200") + seen.count("connection-timeout");
        ensure!(seen.count("200") > 0 && served >= MOST, "{probe}: {seen:?}");
        ensure!(
            served + seen.count("connection-limit-reached") == MANY,
            "{probe}: {seen:?}"
        );
        let taken = process.peak_rss()?.saturating_sub(before);
        ensure!(taken < 512 * MIB, "{probe}: {taken} bytes were taken");
    }
    ensure!(
        probes.crooked.accepted() as u64 <= 2 * MOST,
        "{}",
        probes.crooked.accepted()
    );
    probes.unharmed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_a_limit_that_a_guest_meets_is_a_line_for_the_operator() -> Result<()> {
    let keys = "outgoing.max_requests = 1\noutgoing.limit_wait = \"1ms\"\n";
    let probes = Probes::with(keys, &[]).await?;
    for probe in PROBES {
        for _ in 0..3 {
            let ask = probes.ask("/tarpit").with("first", SHORT).with("n", 2);
            let seen = probes.told(probe, &ask).await?;
            ensure!(seen.count("connection-limit-reached") == 1, "{seen:?}");
            ensure!(seen.count("connection-read-timeout") == 1, "{seen:?}");
        }
        let log = probes.services.host().stderr();
        let service = format!("service=\"{probe}\"");
        let is_met = |line: &str| line.contains("headwater::limits") && line.contains(&service);
        let line = log.wait_for("a line about the limit", is_met).await?;
        for part in [
            "limit=\"outgoing_requests_of_service\"",
            "most=1",
            "`outgoing.max_requests` of the service, or --max-outgoing-requests if the service does not",
        ] {
            ensure!(line.contains(part), "no {part:?} in: {line}");
        }
        // One a minute.
        let lines = log.lines().into_iter().filter(|line| is_met(line)).count();
        ensure!(lines == 1, "{lines} lines");
    }
    probes.unharmed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_handshakes_that_are_never_completed_are_bounded_and_over_in_time() -> Result<()> {
    let probes = Probes::start().await?;
    let silent = Crooked::greeting(vec![Act::Hold]).await?;
    for probe in PROBES {
        let ask = Ask::to(silent.https_url())
            .with("connect", SHORT)
            .with("n", 200);
        let seen = probes.beside_others(probes.told(probe, &ask)).await?;
        ensure!(seen.count("connection-timeout") == 200, "{probe}: {seen:?}");
    }
    probes.unharmed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_heads_that_drip_or_never_come_are_over_in_time() -> Result<()> {
    let probes = Probes::start().await?;
    for probe in PROBES {
        for path in ["/tarpit", "/drip-head"] {
            let ask = probes.ask(path).with("first", SHORT).with("n", 50);
            let seen = probes.beside_others(probes.told(probe, &ask)).await?;
            ensure!(
                seen.count("connection-read-timeout") == 50,
                "{probe}, {path}: {seen:?}"
            );
        }
    }
    probes.unharmed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_interim_responses_without_end_are_over_without_a_timeout() -> Result<()> {
    let probes = Probes::start().await?;
    for probe in PROBES {
        let ask = probes.ask("/hints-forever").patient().with("n", 50);
        let seen = probes.beside_others(probes.told(probe, &ask)).await?;
        ensure!(seen.count("HTTP-protocol-error") == 50, "{probe}: {seen:?}");
    }
    probes.unharmed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_a_body_without_an_end_costs_a_bounded_part_of_memory_and_ends_with_its_request()
-> Result<()> {
    let probes = Probes::with("", &["--timeout", "2s"]).await?;
    let process = probes.services.host().process();
    for probe in PROBES {
        for path in ["/body-forever", "/drip-body"] {
            let before = process.rss()?;
            process.reset_peak_rss()?;
            let url = format!("{}{}", probes.url(probe), probes.ask(path).patient());
            let answer = probes.beside_others(Client::new().get(&url)).await?;
            ensure!(answer.status == 504, "{probe}, {path}: {answer:?}");
            let taken = process.peak_rss()?.saturating_sub(before);
            ensure!(
                taken < 128 * MIB,
                "{probe}, {path}: {taken} bytes were taken"
            );
        }
    }
    probes.unharmed().await
}

// === G18: bodies that nobody reads

#[tokio::test(flavor = "multi_thread")]
async fn g18_a_response_that_its_guest_lets_go_of_closes_its_connection() -> Result<()> {
    let probes = Probes::start().await?;
    for probe in PROBES {
        for path in ["/hold-in-body", "/body-forever", "/drip-body"] {
            for read in ["part", "never"] {
                let before = probes.sockets().await?;
                let ask = probes.ask(path).patient().with("read", read);
                let seen = probes.told(probe, &ask).await?;
                ensure!(seen.status() == Some(200), "{probe}, {path}: {seen:?}");
                ensure!(seen.failure().is_none(), "{probe}, {path}: {seen:?}");
                // The upstream would hold the connection for ever.
                wait_for_sockets(probes.services.host(), before).await?;
            }
        }
    }
    probes.unharmed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn g18_a_request_body_that_nobody_reads_does_not_hold_its_guest_up() -> Result<()> {
    let probes = Probes::start().await?;
    for probe in PROBES {
        let ask = probes
            .ask("/never-read")
            .with("method", "POST")
            .with("body", 20_000_000)
            .with("first", SHORT);
        let seen = probes.told(probe, &ask).await?;
        let failure = seen.failure().context("no failure")?;
        ensure!(
            ["connection-read-timeout", "connection-write-timeout"].contains(&&*failure.error),
            "{probe}: {seen:?}"
        );
    }
    probes.unharmed().await
}

// === The empty body of 0.2

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_nothing_is_accepted_until_its_guest_finishes_it() -> Result<()> {
    let probes = Probes::start().await?;
    for probe in PROBES {
        for (method, length, headers) in [
            ("GET", 0, ""),
            ("HEAD", 0, ""),
            ("GET", 0, "content-length:0"),
            ("POST", 0, "content-length:0"),
            ("POST", 3, "content-length:3"),
            ("GET", 3, "content-length:3"),
        ] {
            for _ in 0..10 {
                let path = if method == "HEAD" { "/head" } else { "/ok" };
                let mut ask = probes
                    .ask(path)
                    .with("method", method)
                    .with("body", length)
                    .with("send", "late");
                if !headers.is_empty() {
                    ask = ask.with("header", headers);
                }
                let seen = probes.told(probe, &ask).await?;
                ensure!(seen.is_fine(), "{probe}, {method}, {headers}: {seen:?}");
            }
        }
    }
    synchronised(&probes.crooked.seen())?;
    probes.unharmed().await
}

/// Both probes, `hello`, and a malicious upstream.
struct Probes {
    services: Services,
    crooked: Crooked,
    /// The sockets of the host after its first answer and before any outgoing request.
    sockets: usize,
}

impl Probes {
    async fn start() -> Result<Self> {
        Self::with("", &[]).await
    }

    /// Starts with more keys for both probes, and these flags.
    async fn with(keys: &str, arguments: &[&str]) -> Result<Self> {
        let settings = Settings::default()
            .component("probe", "/probe/...", &["*", "127.0.0.1", "[::1]"])?
            .text(keys)
            .component("probe-p2", "/probe-p2/...", &["*", "127.0.0.1", "[::1]"])?
            .text(keys);
        let services = Services::beside_hello(settings, arguments).await?;
        services.ok("/hello").await?;
        let probes = Self {
            sockets: services.host().process().open_sockets()?,
            services,
            crooked: Crooked::start().await?,
        };
        Ok(probes)
    }

    fn url(&self, probe: &str) -> String {
        format!("{}/{probe}/", self.services.host().url())
    }

    fn ask(&self, path: &str) -> Ask {
        Ask::to(format!("{}{path}", self.crooked.url()))
    }

    async fn told(&self, probe: &str, ask: &Ask) -> Result<Seen> {
        let seen = ask.of(&self.url(probe)).await;
        seen.with_context(|| {
            format!(
                "{probe}; the log:\n{}",
                self.services.host().stderr().text()
            )
        })
    }

    /// Checks that the request was refused when the guest created or sent it.
    fn refused(&self, seen: &Seen, phase: &str, error: &str) -> Result<()> {
        let failure = seen.failure().context("it was not refused")?;
        ensure!(
            failure.phase == phase && failure.error == error,
            "not {phase}, {error}, but {seen:?}"
        );
        Ok(())
    }

    /// Checks that others are served meanwhile.
    async fn beside_others<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let others = async {
            loop {
                self.services.ok("/hello").await?;
            }
        };
        tokio::select! {
            done = work => done,
            failed = others => failed,
        }
    }

    /// Waits until no connection of a client is open, and returns the number of sockets.
    async fn sockets(&self) -> Result<usize> {
        self.services.ok("/hello").await?;
        self.services.host().process().open_sockets()
    }

    /// Checks that everybody is served as before, nothing panicked, and no socket is left once the
    /// upstream is gone.
    async fn unharmed(self) -> Result<()> {
        for probe in PROBES {
            let seen = self.told(probe, &self.ask("/ok")).await?;
            ensure!(seen.is_fine() && seen.body() == "fine\n", "{seen:?}");
        }
        self.services.ok("/hello").await?;
        // A request that does not use the probes.
        let post = Request::post(format!("{}/hello", self.services.host().url()));
        let answer = Client::new().send(post.body(client::full("x"))?).await?;
        ensure!(answer.status == 200, "{answer:?}");
        let Self {
            services,
            crooked,
            sockets,
        } = self;
        drop(crooked);
        wait_for_sockets(services.host(), sockets).await?;
        let log = services.host().stderr().text();
        ensure!(!log.contains("panicked at"), "{log}");
        Ok(())
    }
}

/// Waits until the host has at most this many sockets.
async fn wait_for_sockets(host: &Host, most: usize) -> Result<()> {
    let process = host.process();
    let waited = within("the end of sockets", async {
        while process.open_sockets()? > most {
            // No event reports it.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    });
    let waited = waited.await.and_then(|ended| ended);
    waited.with_context(|| format!("{:?} sockets, not {most}", process.open_sockets()))
}

/// Checks that each message on a connection is a complete request, except for the last one, which
/// may be cut off.
fn synchronised(seen: &[Message]) -> Result<()> {
    for (nth, message) in seen.iter().enumerate() {
        ensure!(message.is_request(), "no request: {message:?}");
        let followed = seen[nth + 1..]
            .iter()
            .any(|later| later.connection == message.connection);
        ensure!(
            message.complete || !followed,
            "followed by another, but not whole: {message:?}"
        );
    }
    Ok(())
}
