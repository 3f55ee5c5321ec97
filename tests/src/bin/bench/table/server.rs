//! A server process under measurement.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use headwater_tests::Host;
use headwater_tests::process::Process;
use tokio::process::Child;

use crate::answer::Answers;
use crate::cgi::Cgi;
use crate::table::request::Request;
use crate::table::tree;

/// The time that a server may take until its first answer: compiling a large component takes
/// minutes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
/// The time between two attempts to get a first answer.
const RETRY: Duration = Duration::from_micros(500);

/// The start of a server.
pub(crate) struct Launch {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Its working directory, where its log is written, too.
    pub(crate) directory: PathBuf,
    /// The port of 127.0.0.1 that it listens on.
    pub(crate) port: u16,
}

/// A running server. It ends when dropped.
pub(crate) struct Server {
    authority: String,
    /// The first process.
    root: u32,
    /// The time from the start of the process to the end of the first answer.
    pub(crate) first_answer: Duration,
    processes: Processes,
}

/// Keeps the processes running.
enum Processes {
    One(Child),
    Cgi { _shell: Host, _servers: Cgi },
}

impl Server {
    /// Starts a server and waits until it answers this request with 200.
    pub(crate) async fn start(launch: Launch, request: &Request) -> Result<Self> {
        let Launch {
            program,
            arguments,
            environment,
            directory,
            port,
        } = launch;
        let log = directory.join("log");
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut host = Host::program(program).args(arguments);
        for (name, value) in &environment {
            host = host.env(name, value);
        }
        let mut command = host.command()?;
        command
            .current_dir(&directory)
            .stdout(file.try_clone()?)
            .stderr(file);
        let started = Instant::now();
        let child = command.spawn().context("starting the server")?;
        let root = child.id().context("the server has ended at once")?;
        let authority = format!("127.0.0.1:{port}");
        let raw = request.small().raw(0, &authority)?;
        let answered = first_answer(authority.clone(), raw, started, root).await;
        let first_answer = answered.with_context(|| {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let from = text.floor_char_boundary(text.len().saturating_sub(600));
            format!("its log ends with: {}", text[from..].trim())
        })?;
        Ok(Self {
            authority,
            root,
            first_answer,
            processes: Processes::One(child),
        })
    }

    /// Returns a native CGI program as a server.
    pub(crate) async fn cgi(shell: Host, servers: Cgi, request: &Request) -> Result<Self> {
        let authority = shell.address().to_owned();
        let root = shell.process().pid();
        let raw = request.small().raw(0, &authority)?;
        let answered = first_answer(authority.clone(), raw, Instant::now(), root);
        Ok(Self {
            first_answer: answered.await?,
            authority,
            root,
            processes: Processes::Cgi {
                _shell: shell,
                _servers: servers,
            },
        })
    }

    /// Returns its address and port.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns its first process.
    pub(crate) fn process(&self) -> Process {
        Process::new(self.root)
    }

    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        tree::cpu_time(self.root)
    }

    pub(crate) fn rss(&self) -> Result<u64> {
        tree::rss(self.root)
    }

    pub(crate) fn peak_rss(&self) -> Result<u64> {
        tree::peak_rss(self.root)
    }

    pub(crate) fn reset_peak_rss(&self) -> Result<()> {
        tree::reset_peak_rss(self.root)
    }

    /// Kills it and waits until it is gone, so that it does not disturb what is measured next.
    pub(crate) async fn stop(mut self) -> Result<()> {
        if let Processes::One(child) = &mut self.processes {
            child.kill().await.context("ending a server")?;
        }
        Ok(())
    }
}

/// Returns a port that is free now.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
    Ok(listener.local_addr()?.port())
}

/// Waits until a server answers with 200, and returns the time since `started`. Until its guest is
/// loaded, a server may refuse connections or give other answers.
async fn first_answer(
    authority: String,
    request: Vec<u8>,
    started: Instant,
    root: u32,
) -> Result<Duration> {
    let waiting = tokio::task::spawn_blocking(move || {
        loop {
            let last = match answered(&authority, &request) {
                Ok(()) => return Ok(started.elapsed()),
                Err(error) => error,
            };
            if Process::new(root).rss().is_err() {
                bail!("it has ended");
            }
            if started.elapsed() > PATIENCE {
                return Err(last.context("it does not answer"));
            }
            #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
            thread::sleep(RETRY);
        }
    });
    waiting.await?
}

fn answered(authority: &str, request: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(authority)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    Answers::new().read(&mut stream)?;
    Ok(())
}
