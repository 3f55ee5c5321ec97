//! Promise C8 of `docs/explanation/hardening.md`: whenever a client goes away, in either version,
//! nothing of its request is left in reports, metrics, its guest or on a socket.

use anyhow::{Context, Result, ensure};
use headwater_tests::frames::{self, END_HEADERS, END_STREAM, Frames, GET, HEADERS, POST, frame};
use headwater_tests::guests::guest;
use headwater_tests::instances::{self, Instances};
use headwater_tests::settings::Settings;
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Admin, Host, Upstream, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The state of a request when its client goes away.
#[derive(Debug, Clone, Copy)]
enum When {
    /// In the middle of its head.
    Head,
    /// In the middle of its body, which the guest reads.
    Body,
    /// Complete, and the guest works for it.
    Work,
    /// In the middle of the answer's body, which has no end.
    Answer,
    /// Over, and the connection is kept.
    Kept,
}

/// A connection of either version that is held until it is dropped.
type Held = Box<dyn Send>;

impl When {
    /// The target of the request, with the path of an upstream that does not answer.
    fn path(self, upstream: &str) -> String {
        match self {
            Self::Head | Self::Body => "/stream/count".to_owned(),
            Self::Work => format!("/fanout?to={upstream}&k=1&wait=0"),
            Self::Answer => "/stream/ticks?n=1000000&every=20".to_owned(),
            Self::Kept => "/stream/bytes?n=10".to_owned(),
        }
    }

    async fn begin_http1(self, host: &Host, path: &str) -> Result<Held> {
        let head = match self {
            Self::Head => format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-le"),
            Self::Body => {
                format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\nhalf")
            }
            _ => format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"),
        };
        let mut stream = TcpStream::connect(host.address()).await?;
        stream.write_all(head.as_bytes()).await?;
        let expected = match self {
            Self::Answer => "data: tick 3",
            // The last chunk.
            Self::Kept => "\r\n0\r\n\r\n",
            _ => return Ok(Box::new(stream)),
        };
        let mut received = Vec::new();
        while !String::from_utf8_lossy(&received).contains(expected) {
            let read = within("an answer", stream.read_buf(&mut received)).await??;
            ensure!(
                read > 0,
                "it was cut: {}",
                String::from_utf8_lossy(&received)
            );
        }
        Ok(Box::new(stream))
    }

    async fn begin_http2(self, host: &Host, path: &str) -> Result<Held> {
        let (method, flags) = match self {
            Self::Head => (POST, 0),
            Self::Body => (POST, END_HEADERS),
            _ => (GET, END_HEADERS | END_STREAM),
        };
        let mut client = Frames::connect(host.address()).await?;
        let head = frame(HEADERS, flags, 1, &frames::head_of(method, path));
        client.send(&head).await?;
        match self {
            Self::Answer => drop(client.next_of(frames::DATA).await?),
            Self::Kept => while client.next_of(frames::DATA).await?.flags & END_STREAM == 0 {},
            _ => {}
        }
        Ok(Box::new(client))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c8_whenever_a_client_goes_away_nothing_of_its_request_is_left() -> Result<()> {
    let upstreams = [
        Upstream::with(Behaviour::Hold).await?,
        Upstream::with(Behaviour::Hold).await?,
    ];
    let text = format!(
        "[[service]]\nname = \"stream\"\ncomponent = {:?}\nmax_requests_per_instance = 1\n\
         route = {{ path = \"/stream/...\", strip_prefix = true }}\npost_return_timeout = \"10m\"\n\
         [[service]]\nname = \"fanout\"\nroute = \"/fanout\"\ncomponent = {:?}\n\
         max_requests_per_instance = 1\npost_return_timeout = \"10m\"\n\
         allow_outgoing = {:?}\n",
        guest("stream")?,
        guest("fanout")?,
        upstreams.each_ref().map(Upstream::url)
    );
    let site = Settings::default().text(&text).write()?;
    let serve = Host::serve(site.path()).args(["--log", instances::LOG, "--timeout", "10m"]);
    let (host, admin) = Admin::start(serve).await?;
    let sockets = host.process().open_sockets()?;
    let mut streamed = 0;
    let mut fanned = 0;
    for when in [When::Head, When::Body, When::Answer, When::Kept, When::Work] {
        for (http2, upstream) in [false, true].into_iter().zip(&upstreams) {
            let moment = format!("{when:?}, HTTP/2: {http2}");
            let path = when.path(&upstream.url());
            let held = match http2 {
                false => when.begin_http1(&host, &path).await?,
                true => when.begin_http2(&host, &path).await?,
            };
            match when {
                When::Head | When::Kept => {}
                When::Work => drop(upstream.wait_for(1).await?),
                // The guest has its only request.
                When::Body | When::Answer => {
                    let given = |told: &str| {
                        told.contains("\"instance\":") && !told.contains("\"instance\":null")
                    };
                    admin.until("/requests", given).await?;
                }
            }
            drop(held);
            admin.calm().await.with_context(|| moment.clone())?;

            // With nobody to write to and nothing to read, the guest ends by itself.
            let (service, count) = match when {
                When::Head => continue,
                When::Work => ("fanout", &mut fanned),
                _ => ("stream", &mut streamed),
            };
            *count += 1;
            if let When::Work = when {
                upstream.release();
            }
            let instances = Instances::of(service, host.stderr());
            instances
                .wait_gone(*count)
                .await
                .with_context(|| moment.clone())?;
            if !matches!(when, When::Work) {
                let closed = async {
                    while host.process().open_sockets()? > sockets {
                        admin.text("/healthz").await?;
                    }
                    anyhow::Ok(())
                };
                within(&format!("no more sockets after {moment}"), closed).await??;
            }
        }
    }
    let log = host.stderr().text();
    ensure!(!log.contains("instance failed"), "{log}");
    Ok(())
}
