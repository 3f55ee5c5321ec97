//! Promise: a guest that takes all it can get reaches a limit, and others have what they need.
//!
//! The ids are those of `docs/explanation/hardening.md`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use futures::future::try_join_all;
use futures::stream::FuturesUnordered;
use headwater_tests::crafted::{self, Proxy};
use headwater_tests::refusal::{self, FAILURE, refuses};
use headwater_tests::settings::Settings;
use headwater_tests::{Answer, Client, Host, Services, guests};
use rustix::process::Signal;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

// G4
#[tokio::test(flavor = "multi_thread")]
async fn memory_without_end_is_a_500_with_a_log_line_that_names_the_setting() -> Result<()> {
    // The service's setting wins over the flag.
    for (flag, setting) in [("64", ""), ("1GiB", "memory = \"64MiB\"\n")] {
        let settings = Settings::default()
            .component("faulty", "/...", &[])?
            .text(setting);
        let services = Services::beside_hello(settings, &["--memory", flag]).await?;
        let process = services.host().process();
        services.ok("/").await?;
        let before = process.rss()?;
        process.reset_peak_rss()?;
        let answer = services.get("/memory").await?;
        failed_for_want_of_memory(&services, &answer).await?;
        limit_is_logged(&services, "faulty", "memory").await?;
        let taken = process.peak_rss()?.saturating_sub(before);
        ensure!(taken < 128 * MIB, "{taken} bytes were taken");
        services.ok("/").await?;
    }
    Ok(())
}

// G4
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_starts_with_more_memory_than_its_service_has_is_a_500_likewise() -> Result<()>
{
    // Pages of 64 KiB: 128 MiB.
    let component = Proxy {
        more: crafted::instances_of("(memory 2048)", 1),
        ..Proxy::default()
    };
    let settings = Settings::default()
        .crafted("small", "/small", component.clone())
        .text("memory = \"64MiB\"\n")
        .crafted("large", "/large", component);
    let services = Services::beside_hello(settings, &[]).await?;
    let small = services.get("/small").await?;
    failed_for_want_of_memory(&services, &small).await?;
    // It runs, but does not respond.
    let large = services.get("/large").await?;
    ensure!(large.text().contains("without a response"), "{large:?}");
    services.instances("large").wait_started(1).await?;
    ensure!(services.instances("small").started() == 0);
    Ok(())
}

// G4
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_grows_without_end_is_a_500() -> Result<()> {
    let component = Proxy {
        handle: crafted::GROW_A_TABLE,
        ..Proxy::default()
    };
    let services = Services::crafted(component, &[]).await?;
    let process = services.host().process();
    let before = process.rss()?;
    process.reset_peak_rss()?;
    let answer = services.get("/").await?;
    ensure!(answer.is_failure(), "{answer:?}");
    let taken = process.peak_rss()?.saturating_sub(before);
    ensure!(taken < 128 * MIB, "{taken} bytes were taken");
    limit_is_logged(&services, "faulty", "table_elements").await?;
    services.ok("/hello").await?;
    Ok(())
}

// G4
#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_more_parts_than_one_may_have_is_refused_when_it_is_loaded() -> Result<()> {
    for (part, count, what, most) in [
        ("", 300, "core module instances", "200"),
        ("(memory 0)", 60, "memories", "50"),
        ("(table 0 funcref) (table 0 funcref)", 110, "tables", "200"),
        // More than any valid component has.
        ("", 100_000, "instances", "limit"),
    ] {
        let component = Proxy {
            more: crafted::instances_of(part, count),
            ..Proxy::default()
        };
        let component = String::from(component);
        let expected = ["parts.wat", what, most];
        let refused = refuses(component, "parts.wat", &expected).await;
        refused.with_context(|| format!("{count} of ({part})"))?;
    }
    Ok(())
}

// G4
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_for_which_there_are_never_enough_places_is_refused_when_it_is_loaded() -> Result<()>
{
    let composed = guests::guest("mw-hello")?;
    let refused = Host::serve(&composed).args(["--places", "1"]);
    let refused = refused.run_to_end().await?;
    let expected = ["mw-hello", "2 places", "this host has 1", "--places"];
    refusal::refused(&refused, FAILURE, &expected)?;
    let host = Host::serve(&composed).args(["--places", "2"]);
    let answer = Client::new().get(host.start().await?.url()).await?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}

// G4
#[tokio::test(flavor = "multi_thread")]
async fn components_within_components_do_not_get_around_that() -> Result<()> {
    // Each level has ten of the one below: ten thousand in all.
    let mut nested =
        "(component $level (core module $part) (core instance (instantiate $part)))".to_owned();
    for _ in 0..4 {
        let ten = "(instance (instantiate $level))\n".repeat(10);
        nested = format!("(component $level {nested}\n{ten})");
    }
    let component = Proxy {
        more: format!("{nested} (instance (instantiate $level))"),
        ..Proxy::default()
    };
    let component = String::from(component);
    refuses(
        component,
        "nested.wat",
        &["nested.wat", "core module instances", "200"],
    )
    .await
}

// G4
#[tokio::test(flavor = "multi_thread")]
async fn a_module_of_more_parts_than_one_may_have_is_refused_when_it_is_loaded() -> Result<()> {
    for (part, count, what, most) in [
        ("(memory 1)", 5, "memories", "4"),
        ("(table 0 funcref)", 9, "tables", "8"),
    ] {
        let parts = part.repeat(count);
        let module = format!("(module {parts} (func (export \"_start\")))");
        refuses(module, "parts.wat", &["parts.wat", what, most]).await?;
    }
    Ok(())
}

// G9
#[tokio::test(flavor = "multi_thread")]
async fn handles_without_end_are_a_500_and_take_a_bounded_part_of_the_hosts_memory() -> Result<()> {
    let services = Services::faulty(&["--memory", "64"]).await?;
    let process = services.host().process();
    services.ok("/").await?;
    for kind in ["fields", "streams", "futures"] {
        let before = process.rss()?;
        process.reset_peak_rss()?;
        let many = format!("/handles?n=100000&kind={kind}");
        let many = services.get(&many).await?;
        // The host decides if a hundred thousand are too many.
        ensure!(many.status == 200 || many.status == 500, "{kind}: {many:?}");
        let endless = format!("/handles?n=1000000000000&kind={kind}");
        let endless = services.get(&endless).await?;
        ensure!(endless.is_failure(), "{kind}: {endless:?}");
        let taken = process.peak_rss()?.saturating_sub(before);
        ensure!(taken < 512 * MIB, "{kind}: {taken} bytes were taken");
        services.ok("/").await?;
    }
    limit_is_logged(&services, "faulty", "resources").await?;
    limit_is_logged(&services, "faulty", "tasks").await?;
    Ok(())
}

// G19
#[tokio::test(flavor = "multi_thread")]
async fn a_trap_in_the_start_function_fails_its_own_request_and_nobody_elses() -> Result<()> {
    for component in crafted::that_start_with(crafted::TRAP) {
        let services = Services::crafted(component, &["--max-instances", "2"]).await?;
        let first = services.get("/").await?;
        ensure!(first.is_failure(), "{first:?}");
        let (all, _) = futures::try_join!(
            try_join_all((0..20).map(|_| services.get("/"))),
            services.all_ok("/hello", 20),
        )?;
        let ids: BTreeSet<_> = all.iter().map(Answer::request_id).collect();
        ensure!(ids.len() == 20, "{ids:?}");
        for answer in &all {
            // After some failures, the host may refuse further requests.
            ensure!(answer.is_failure() || answer.is_refusal(), "{answer:?}");
        }
    }
    Ok(())
}

// G19
#[tokio::test(flavor = "multi_thread")]
async fn more_instances_than_the_engine_has_room_for_fail_no_request() -> Result<()> {
    // The engine has room for a thousand, over all services.
    const CONNECTIONS: usize = 11;
    const EACH: usize = 100;
    let services = Services::beside_hello(
        Settings::default()
            .component("faulty", "/...", &[])?
            .text("max_instances = 2000\nmax_concurrent_per_instance = 1\nmax_queue = 2000\n")
            .text("queue_timeout = \"600s\"\n"),
        // Idle instances make room for others afterwards. All requests are of one client.
        &[
            "--timeout",
            "600s",
            "--idle-timeout",
            "1s",
            "--max-in-flight-per-client",
            "10000",
        ],
    )
    .await?;
    let url = format!("{}/held-slow?ms=3000", services.host().url());
    let clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::http2()).collect();
    let all = clients
        .iter()
        .flat_map(|client| (0..EACH).map(|_| client.get(&url)));
    let answers = try_join_all(all).await?;
    ensure!(answers.len() == CONNECTIONS * EACH);
    for answer in &answers {
        ensure!(answer.status == 200, "{answer:?}");
    }
    services.ok("/hello").await?;
    Ok(())
}

// G19
#[tokio::test(flavor = "multi_thread")]
async fn components_of_so_many_parts_that_few_fit_in_the_engine_fail_no_request() -> Result<()> {
    // The engine has room for a thousand memories: for twenty instances of fifty, the maximum of
    // one instance.
    const REQUESTS: usize = 60;
    let component = Proxy {
        handle: "(call $block (call $subscribe (i64.const 200000000)))",
        more: crafted::instances_of("(memory 1)", 49),
        ..Proxy::default()
    };
    let settings = Settings::default()
        .crafted("faulty", "/...", component)
        .text("queue_timeout = \"600s\"\n");
    let services = Services::beside_hello(settings, &["--timeout", "600s"]).await?;
    let answers = try_join_all((0..REQUESTS).map(|_| services.get("/"))).await?;
    for answer in &answers {
        // It ends without an answer of its own.
        ensure!(answer.is_failure(), "{answer:?}");
        ensure!(answer.text().contains("without a response"), "{answer:?}");
    }
    services.instances("faulty").wait_started(REQUESTS).await?;
    services.ok("/hello").await?;
    Ok(())
}

/// A component that holds each request for a day, in an instance of fifty memories.
fn hoarder() -> Proxy {
    Proxy {
        handle: crafted::BLOCK,
        more: crafted::instances_of("(memory 1)", 49),
        ..Proxy::default()
    }
}

// G4
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_takes_all_the_memories_it_can_get_leaves_some_for_others() -> Result<()> {
    // Of a thousand, a tenth is reserved for services with less than their share.
    const INSTANCES: usize = 18;
    let settings = Settings::default()
        .crafted("hoarder", "/hoard", hoarder())
        .text("timeout = \"600s\"\nqueue_timeout = \"2s\"\n")
        .module("wagi-wat", "/cgi")?;
    let services = Services::beside_hello(settings, &[]).await?;
    let hoarding = (0..INSTANCES + 5).map(|_| services.get("/hoard"));
    let hoarding = async {
        let mut refused = Vec::new();
        let mut answers: FuturesUnordered<_> = hoarding.collect();
        while refused.len() < 5 {
            refused.push(answers.next().await.context("no answer")??);
        }
        anyhow::Ok(refused)
    };
    let others = async {
        services
            .instances("hoarder")
            .wait_started(INSTANCES)
            .await?;
        services.all_ok("/cgi", 50).await?;
        services.all_ok("/hello", 50).await
    };
    let (refused, _) = futures::try_join!(hoarding, others)?;
    for answer in &refused {
        no_room(
            &services,
            answer,
            &["`hoarder`", "50 linear memories", "`hoarder` has 900"],
        )
        .await?;
    }
    services.ok("/cgi").await?;
    Ok(())
}

// G4
#[tokio::test(flavor = "multi_thread")]
async fn where_all_memories_are_taken_it_is_said_and_nobody_is_called_late() -> Result<()> {
    let for_long = "timeout = \"600s\"\n";
    let settings = Settings::default()
        .crafted("hoarder", "/hoard", hoarder())
        .text(for_long)
        .crafted("another", "/another", hoarder())
        .text(for_long)
        .module("wagi-wat", "/cgi")?
        .component_as("queued", "hello", "/queued", &[])?
        .text("queue_timeout = \"1s\"\n")
        .component_as("late", "hello", "/late", &[])?
        .text("timeout = \"1s\"\n");
    let services = Services::start(settings, &[]).await?;
    let answers = async {
        services.instances("hoarder").wait_started(18).await?;
        let another = services.get("/another");
        let more = services.get("/another");
        let others = async {
            services.instances("another").wait_started(2).await?;
            for (path, service) in [
                ("/cgi", "`wagi-wat`"),
                ("/queued", "`queued`"),
                ("/late", "`late`"),
            ] {
                let answer = services.get(path).await?;
                no_room(
                    &services,
                    &answer,
                    &[service, "0 of 1000 are free", "`hoarder` has 900"],
                )
                .await?;
            }
            anyhow::Ok(())
        };
        tokio::select! {
            done = others => done,
            (one, other) = futures::future::join(another, more) => bail!("{one:?}, {other:?}"),
        }
    };
    let hoarding = try_join_all((0..18).map(|_| services.get("/hoard")));
    tokio::select! {
        done = answers => done,
        hoarded = hoarding => bail!("{hoarded:?}"),
    }
}

/// Checks that the answer says that there is no room, and the log says why, and which setting gives
/// more.
async fn no_room(services: &Services, answer: &Answer, why: &[&str]) -> Result<()> {
    ensure!(answer.status == 503, "{answer:?}");
    ensure!(answer.text().contains("`places`"), "{answer:?}");
    // The log has only one of several within a second.
    let log = services.host().stderr();
    let told = |line: &str| {
        let parts = why
            .iter()
            .chain(&["instance_limit", "--places", "max_instances"]);
        parts.into_iter().all(|part| line.contains(part))
    };
    log.wait_for("the reason", told).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn little_address_space_is_told_of_at_start_with_the_setting() -> Result<()> {
    // 1 TiB, in units of 1 KiB. The default takes 4 TiB.
    let host = Host::program("sh")
        .args(["-c", "ulimit -v 1073741824; exec \"$@\"", "sh"])
        .arg(guests::binary()?)
        .arg("serve")
        .arg(guests::guest("hello")?)
        .args(["--listen", "127.0.0.1:0"])
        .start()
        .await?;
    let told = |line: &str| line.contains("address space is limited") && line.contains("--places");
    host.stderr().wait_for("the setting", told).await?;
    ensure!(Client::new().get(host.url()).await?.status == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grows_beyond_what_the_system_allows_fails_the_write_and_nothing_else()
-> Result<()> {
    let folder = TempDir::new()?;
    let module = folder.path().join("grows.wat");
    fs::write(&module, GROWS_A_FILE)?;
    fs::create_dir(folder.path().join("data"))?;
    let log = folder.path().join("access.log");
    // In units of 512 bytes.
    let host = Host::program("sh")
        .args(["-c", "ulimit -f 64; exec \"$@\"", "sh"])
        .arg(guests::binary()?)
        .arg("serve")
        .arg(&module)
        .args(["--listen", "127.0.0.1:0", "--access-log-to"])
        .arg(&log)
        .arg("--dir")
        .arg(format!("{}::/", folder.path().join("data").display()))
        .start()
        .await?;
    // The same holds for broken pipes of standard output and error.
    let status = fs::read_to_string(format!("/proc/{}/status", host.process().pid()))?;
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.context("no SigIgn")?.trim(), 16)?;
    let pipe = 1 << (Signal::PIPE.as_raw() - 1);
    ensure!(ignored & pipe != 0, "SIGPIPE ends the process");
    let client = Client::new();
    // A line of the access log has some hundred bytes.
    for _ in 0..200 {
        let answer = client.get(host.url()).await?;
        ensure!(
            answer.text() == "file too large",
            "{answer:?}; {}",
            host.stderr().text()
        );
    }
    ensure!(fs::metadata(&log)?.len() <= 64 * 512);
    Ok(())
}

/// A module that creates a file of a GiB, writes beyond that, and answers if both fail by EFBIG
/// (22).
const GROWS_A_FILE: &str = r#"
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $resize (param i32 i64) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pwrite"
    (func $write_at (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 512) "file")
  (data (i32.const 1024) "content-type: text/plain\0a\0afile too large")
  (func (export "_start")
    ;; In the directory, with leave to write; CREAT is 1.
    (if (call $open (i32.const 3) (i32.const 0) (i32.const 512) (i32.const 4) (i32.const 1)
        (i64.const 4194368) (i64.const 0) (i32.const 0) (i32.const 12)) (then unreachable))
    (if (i32.ne (i32.const 22) (call $resize (i32.load (i32.const 12)) (i64.const 1073741824)))
      (then unreachable))
    (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 40))
    (if (i32.ne (i32.const 22) (call $write_at (i32.load (i32.const 12)) (i32.const 16) (i32.const 1)
        (i64.const 1073741824) (i32.const 8))) (then unreachable))
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))))
"#;

/// Creates a directory with a file, a named pipe and a socket, and returns the line that grants it.
fn directory() -> Result<(TempDir, String)> {
    let directory = TempDir::new()?;
    fs::write(directory.path().join("file"), "")?;
    let status = Command::new("mkfifo")
        .arg(directory.path().join("pipe"))
        .status()?;
    ensure!(status.success());
    UnixListener::bind(directory.path().join("socket"))?;
    let grant = format!("directories = {{ \"/\" = {:?} }}\n", directory.path());
    Ok((directory, grant))
}

/// A module that opens a file until it cannot, and prints the count, the errno, and the errno of
/// setting the file's times.
const OPENS: &str = r#"
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_set_times"
    (func $touch (param i32 i32 i32 i32 i64 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 512) "NAME")
  (data (i32.const 1024) "content-type: text/plain\0a\0a00 opened, then 00; touched: 00")
  (func $put (param $at i32) (param $number i32)
    (i32.store8 (local.get $at)
      (i32.add (i32.const 48) (i32.div_u (local.get $number) (i32.const 10))))
    (i32.store8 (i32.add (i32.const 1) (local.get $at))
      (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10)))))
  (func (export "_start") (local $opened i32) (local $errno i32)
    (block $refused (loop $more
      (local.set $errno (call $open (i32.const 3) (i32.const 1) (i32.const 512) (i32.const LENGTH)
        (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 12)))
      (br_if $refused (local.get $errno))
      (local.set $opened (i32.add (i32.const 1) (local.get $opened)))
      (br_if $more (i32.lt_u (local.get $opened) (i32.const 99)))))
    (call $put (i32.const 1050) (local.get $opened))
    (call $put (i32.const 1066) (local.get $errno))
    ;; Both times are now.
    (call $put (i32.const 1079) (call $touch (i32.const 3) (i32.const 1) (i32.const 512)
      (i32.const LENGTH) (i64.const 0) (i64.const 0) (i32.const 10)))
    (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 57))
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))))
"#;

fn opens(name: &str) -> String {
    OPENS
        .replace("NAME", name)
        .replace("LENGTH", &name.len().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_opened_without_end_are_the_guests_own_error_and_the_log_names_the_setting()
-> Result<()> {
    let (_directory, grant) = directory()?;
    let few = format!("{grant}max_open_files_per_instance = 8\n");
    let shared = format!("{grant}max_open_files = 5\n");
    let settings = Settings::default()
        .component("faulty", "/p3/...", &[])?
        .text(&few)
        .component("faulty-p2", "/p2/...", &[])?
        .text(&few)
        .crafted_module("module", "/module", opens("file"))
        .text(&few)
        .component_as("shared", "faulty", "/shared/...", &[])?
        .text(&shared)
        .crafted_module("shared-module", "/shared-module", opens("file"))
        .text(&shared)
        .component_as("default", "faulty-p2", "/default/...", &[])?
        .text(&grant);
    let services = Services::beside_hello(settings, &[]).await?;
    // Twice, because all files are free again when the guest has closed them.
    for _ in 0..2 {
        for (path, expected) in [
            ("/p3/open/file?n=8", "all opened\n"),
            (
                "/p3/open/file?n=9",
                "8 opened, then ErrorCode::InsufficientMemory\n",
            ),
            // A file stays open while a stream reads it.
            (
                "/p3/open/file?n=9&keep=streams",
                "8 opened, then ErrorCode::InsufficientMemory\n",
            ),
            ("/p2/open/file?8", "all opened\n"),
            ("/p2/open/file?9", "8 opened, then insufficient-memory\n"),
            ("/module", "08 opened, then 33; touched: 00"),
            (
                "/shared/open/file?n=9",
                "5 opened, then ErrorCode::InsufficientMemory\n",
            ),
            ("/shared-module", "05 opened, then 33; touched: 00"),
            ("/default/open/file?64", "all opened\n"),
            (
                "/default/open/file?65",
                "64 opened, then insufficient-memory\n",
            ),
        ] {
            let answer = services.get(path).await?;
            ensure!(answer.text() == expected, "{path}: {answer:?}");
        }
    }
    for service in ["faulty", "faulty-p2", "module", "default"] {
        limit_is_logged(&services, service, "open_files_per_instance").await?;
    }
    for service in ["shared", "shared-module"] {
        limit_is_logged(&services, service, "open_files").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_neither_a_file_nor_a_directory_is_not_opened_and_keeps_no_thread() -> Result<()> {
    let (directory, grant) = directory()?;
    symlink("pipe", directory.path().join("link"))?;
    let settings = Settings::default()
        .component("faulty", "/p3/...", &[])?
        .text(&grant)
        .component("faulty-p2", "/p2/...", &[])?
        .text(&grant)
        .crafted_module("pipe", "/pipe", opens("pipe"))
        .text(&grant)
        .crafted_module("socket", "/socket", opens("socket"))
        .text(&grant)
        .crafted_module("link", "/link", opens("link"))
        .text(&grant)
        .crafted_module("none", "/none", opens("none"))
        .text(&grant);
    let services = Services::beside_hello(settings, &[]).await?;
    for (path, expected) in [
        ("/p3/open/pipe", "0 opened, then ErrorCode::Unsupported\n"),
        ("/p3/open/link", "0 opened, then ErrorCode::Unsupported\n"),
        ("/p3/open/socket", "0 opened, then ErrorCode::Unsupported\n"),
        ("/p3/open/none", "0 opened, then ErrorCode::NoEntry\n"),
        ("/p3/touch/pipe", "Err(ErrorCode::Unsupported)\n"),
        ("/p3/touch/file", "Ok(())\n"),
        ("/p2/open/pipe", "0 opened, then unsupported\n"),
        ("/p2/open/link", "0 opened, then unsupported\n"),
        ("/p2/open/socket", "0 opened, then unsupported\n"),
        ("/p2/open/none", "0 opened, then no-entry\n"),
        ("/p2/touch/pipe", "unsupported\n"),
        ("/p2/touch/file", "touched\n"),
        // ENOTSUP and ENOENT.
        ("/pipe", "00 opened, then 58; touched: 58"),
        ("/socket", "00 opened, then 58; touched: 58"),
        ("/link", "00 opened, then 58; touched: 58"),
        ("/none", "00 opened, then 44; touched: 44"),
    ] {
        let answer = services.get(path).await?;
        ensure!(answer.text() == expected, "{path}: {answer:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_that_are_not_read_to_their_end_keep_no_thread() -> Result<()> {
    // More than there are threads for files.
    const MANY: usize = 600;
    let (_directory, grant) = directory()?;
    let settings = Settings::default()
        .component("faulty", "/...", &[])?
        .text(&format!(
            "{grant}max_open_files_per_instance = {}\n",
            MANY + 1
        ))
        .component_as("few", "faulty", "/few/...", &[])?
        .text(&format!("{grant}max_open_files_per_instance = 1\n"));
    let services = Services::beside_hello(settings, &[]).await?;
    let all = "file DescriptorType::RegularFile, pipe DescriptorType::Fifo, \
               socket DescriptorType::Socket; Ok(())\n";
    let none = "; Err(ErrorCode::InsufficientMemory)\n";
    for (path, expected) in [
        ("/list".to_owned(), all),
        (format!("/list?n={MANY}"), all),
        (format!("/list?n={}", MANY + 1), none),
        ("/few/list".to_owned(), all),
        ("/few/list?n=1".to_owned(), none),
    ] {
        let answer = services.get(&path).await?;
        ensure!(answer.text() == expected, "{path}: {answer:?}");
    }
    limit_is_logged(&services, "few", "open_files_per_instance").await
}

/// Checks that the log names the limit that a guest reached, and its service.
async fn limit_is_logged(services: &Services, service: &str, limit: &str) -> Result<()> {
    let log = services.host().stderr();
    let (service, limit) = (
        format!("service=\"{service}\""),
        format!("limit=\"{limit}\""),
    );
    log.wait_for("a line that names the limit and the service", |line| {
        line.contains("headwater::limits") && line.contains(&service) && line.contains(&limit)
    })
    .await?;
    Ok(())
}

/// Checks that the guest failed, and that the log says how to give it more memory.
async fn failed_for_want_of_memory(services: &Services, answer: &Answer) -> Result<()> {
    ensure!(answer.is_failure(), "{answer:?}");
    let id = answer.request_id();
    let log = services.host().stderr();
    log.wait_for("a log line with the id and the setting", |line| {
        line.contains(id) && line.contains("`memory`") && line.contains("--memory")
    })
    .await?;
    Ok(())
}
