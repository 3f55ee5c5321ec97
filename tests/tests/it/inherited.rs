//! Promise: the host serves sockets that its parent has opened (sd_listen_fds(3)).

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use headwater_tests::guests::{binary, guest};
use headwater_tests::output::Output;
use headwater_tests::process::Process;
use headwater_tests::{Client, Curl, within};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Passes standard input on as the third and fourth descriptor, as systemd does; all output of the
/// host goes to standard output.
const START: &str = "exec 3<&0 4<&0 0</dev/null 2>&1; LISTEN_PID=PID LISTEN_FDS=2 \
                     LISTEN_FDNAMES=web:spare exec \"$0\" \"$@\"";

/// A host that was given a socket.
struct Activated {
    child: Child,
    process: Process,
    said: Output,
}

impl Activated {
    /// `pid` is the process that the sockets are meant for; `$$` is the host.
    fn start(socket: OwnedFd, pid: &str, listen: &[&str]) -> Result<Self> {
        let mut command = Command::new("sh");
        command
            .args(["-c", &START.replace("PID=PID", &format!("PID={pid}"))])
            .arg(binary()?)
            .arg("serve")
            .arg(guest("hello")?)
            .args(listen.iter().flat_map(|at| ["--listen", at]))
            .stdin(Stdio::from(socket))
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let process = Process::new(child.id().context("it has ended at once")?);
        let said = Output::capture(child.stdout.take().context("its output")?);
        Ok(Self {
            child,
            process,
            said,
        })
    }

    async fn exit(&mut self) -> Result<Option<i32>> {
        let status = within("the end of the host", self.child.wait()).await??;
        self.said.ended().await?;
        Ok(status.code())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tcp_socket_is_found_by_its_name_and_by_its_number() -> Result<()> {
    let socket = TcpListener::bind(("127.0.0.1", 0))?;
    let url = format!("http://{}", socket.local_addr()?);
    let listen = ["systemd:web", "systemd:1"];
    let mut host = Activated::start(socket.try_clone()?.into(), "$$", &listen)?;
    // A client that connects before the host accepts is answered, too: that is the purpose.
    let answers = (0..16).map(async |_| Client::new().get(&url).await);
    for answer in futures::future::try_join_all(answers).await? {
        ensure!(answer.status == 200, "{}", answer.status);
    }
    host.process.terminate()?;
    ensure!(host.exit().await? == Some(0), "{}", host.said.text());
    // The host does not close sockets that it did not open: the next one goes on.
    let waiting = tokio::spawn(async move { Client::new().get(&url).await });
    let _next = Activated::start(socket.into(), "$$", &["systemd:0"])?;
    ensure!(waiting.await??.status == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_listened_at_and_its_file_stays() -> Result<()> {
    let Some(curl) = Curl::find() else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let path = folder.path().join("it.sock");
    let socket = UnixListener::bind(&path)?;
    let mut host = Activated::start(socket.into(), "$$", &["systemd:web"])?;
    let at = path.to_str().context("the path is no UTF-8")?;
    let answer = curl
        .ask(&["--unix-socket", at, "http://x.example/"])
        .await?;
    ensure!(answer.status == 200, "{answer:?}");
    host.process.terminate()?;
    ensure!(host.exit().await? == Some(0), "{}", host.said.text());
    ensure!(path.exists(), "the file belongs to whoever made it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_was_not_given_is_named_with_those_that_were() -> Result<()> {
    for (pid, listen, expected) in [
        ("$$", "systemd:wbe", ["wbe", "[\"web\", \"spare\"]"]),
        ("$$", "systemd:2", ["2", "[\"web\", \"spare\"]"]),
        ("1", "systemd:web", ["web", "was given no sockets"]),
    ] {
        let socket = TcpListener::bind(("127.0.0.1", 0))?;
        let mut host = Activated::start(socket.into(), pid, &[listen])?;
        ensure!(host.exit().await? == Some(1), "{}", host.said.text());
        let said = host.said.text();
        for part in expected {
            ensure!(said.contains(part), "{said}");
        }
    }
    Ok(())
}
