//! Promise C5 of `docs/explanation/hardening.md`, with the real binary: HTTP/2 clients that cost
//! too much lose their connections, and others are served. The tests write frames by hand.

use anyhow::{Result, ensure};
use headwater_tests::frames::{
    self, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, GET,
    HEADERS, PING, POST, REFUSED_STREAM, RST_STREAM, SETTINGS, frame, head, head_of, streams,
};
use headwater_tests::guests::guest;
use headwater_tests::settings::Settings;
use headwater_tests::{Admin, Client, Host};

/// A host with a guest that never answers at `/never`, and another at `/`, with these settings.
struct Site {
    host: Host,
    admin: Admin,
}

impl Site {
    async fn serve(server: &str) -> Result<Self> {
        let text = format!(
            "[server]\nsend_timeout = \"1s\"\n{server}\n\
             [[service]]\nname = \"faulty\"\nroute = [\"/never\", \"/\"]\ncomponent = {:?}\n",
            guest("faulty")?
        );
        let site = Settings::default().text(&text).write()?;
        let (host, admin) = Admin::start(Host::serve(site.path())).await?;
        Ok(Self { host, admin })
    }

    async fn connect(&self) -> Result<Frames> {
        Frames::connect(self.host.address()).await
    }

    /// Checks that others are answered, and nothing is left of earlier requests.
    async fn others_are_served(&self) -> Result<()> {
        let answer = Client::http2()
            .get(&format!("{}/", self.host.url()))
            .await?;
        ensure!(answer.status == 200, "{answer:?}");
        self.admin.calm().await
    }
}

/// Returns this many requests that are reset at once.
fn resets(count: usize) -> Vec<u8> {
    let reset = |id| {
        let head = frame(HEADERS, END_HEADERS, id, &head(POST));
        [head, frame(RST_STREAM, 0, id, &CANCEL.to_be_bytes())].concat()
    };
    streams().take(count).flat_map(reset).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_rapid_resets_end_the_connection() -> Result<()> {
    let site = Site::serve("").await?;
    let ended = site.connect().await?.ended_by(resets(20_000)).await?;
    ensure!(ended == Some(ENHANCE_YOUR_CALM), "{ended:?}");
    site.others_are_served().await
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_as_many_resets_as_is_set_are_borne() -> Result<()> {
    // The default limit is a tenth of these.
    let site = Site::serve("").await?;
    let ended = site.connect().await?.ended_by(resets(200)).await?;
    ensure!(ended == Some(ENHANCE_YOUR_CALM), "{ended:?}");

    let site = Site::serve("http2_max_resets = 1000").await?;
    let mut patient = site.connect().await?;
    patient.send(&resets(200)).await?;
    patient.looked_at().await?;
    let next = streams().nth(200).unwrap_or_default();
    let get = frame(HEADERS, END_HEADERS | END_STREAM, next, &head(GET));
    patient.send(&get).await?;
    let answer = patient.next_of(HEADERS).await?;
    ensure!(answer.stream == next, "{answer:?}");
    drop(patient);
    site.others_are_served().await
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_streams_beyond_those_that_may_be_are_refused_and_the_others_go_on() -> Result<()> {
    let site = Site::serve("http2_max_streams = 3").await?;
    let mut client = site.connect().await?;
    // SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113 6.5.2).
    let settings = client.next_of(SETTINGS).await?;
    let said = settings
        .payload
        .chunks(6)
        .any(|one| one == b"\0\x03\0\0\0\x03");
    ensure!(said, "{settings:?}");
    for id in streams().take(4) {
        let never = head_of(GET, "/never");
        client
            .send(&frame(HEADERS, END_HEADERS | END_STREAM, id, &never))
            .await?;
    }
    let refused = client.next_of(RST_STREAM).await?;
    ensure!(
        refused.stream == 7 && refused.code() == Some(REFUSED_STREAM),
        "{refused:?}"
    );
    // Once one of them is over, there is room for another.
    client
        .send(&frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()))
        .await?;
    let get = frame(HEADERS, END_HEADERS | END_STREAM, 9, &head(GET));
    client.send(&get).await?;
    let answer = client.next_of(HEADERS).await?;
    ensure!(answer.stream == 9, "{answer:?}");
    drop(client);
    site.others_are_served().await
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_a_head_without_an_end_ends_the_connection() -> Result<()> {
    let site = Site::serve("").await?;
    let mut bytes = frame(HEADERS, 0, 1, &head(GET));
    bytes.extend(frame(CONTINUATION, 0, 1, b"\0\x01a\x01b").repeat(20_000));
    let ended = site.connect().await?.ended_by(bytes).await?;
    ensure!(ended == Some(ENHANCE_YOUR_CALM), "{ended:?}");
    site.others_are_served().await
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_data_of_nothing_ends_the_connection() -> Result<()> {
    let site = Site::serve("").await?;
    let mut bytes = frame(HEADERS, END_HEADERS, 1, &head_of(POST, "/never"));
    bytes.extend(frame(DATA, 0, 1, b"").repeat(200_000));
    let ended = site.connect().await?.ended_by(bytes).await?;
    ensure!(ended == Some(ENHANCE_YOUR_CALM), "{ended:?}");
    site.others_are_served().await
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_whoever_asks_for_signs_of_life_and_reads_none_is_closed() -> Result<()> {
    let site = Site::serve("").await?;
    for one in [
        frame(PING, 0, 0, b"12345678"),
        frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64"),
    ] {
        site.connect().await?.flood(&one.repeat(1_000)).await?;
        site.others_are_served().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_a_small_head_that_unfolds_to_a_huge_one_reaches_no_guest() -> Result<()> {
    let site = Site::serve("").await?;
    for (references, reaches) in [(2, true), (1_000, false)] {
        // Puts one field of 4000 bytes into the table, followed by references to it.
        let mut bomb = head(GET);
        // 127, and the rest of the length in groups of seven bits (RFC 7541 5.1).
        bomb.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
        bomb.extend([b'a'; 4_000]);
        bomb.extend(std::iter::repeat_n(0xbe, references));
        let mut client = site.connect().await?;
        let bomb = frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb);
        client.send(&bomb).await?;
        // The stream may end by an answer, a reset, or the end of the connection.
        let mut answered = false;
        while let Some(frame) = client.next().await? {
            match frame.kind {
                // Its first byte is an index: 8 is `:status: 200`.
                HEADERS => answered = frame.payload.first() == Some(&0x88),
                RST_STREAM | frames::GOAWAY => {}
                _ => continue,
            }
            break;
        }
        ensure!(answered == reaches, "{references}");
        drop(client);
        site.others_are_served().await?;
    }
    Ok(())
}
