//! A real nginx, as an upstream that is not our own code.

use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::process::Child;

use crate::output::Output;
use crate::programs::Program;

/// The number of attempts with other ports: each may be taken between being found free and being
/// used.
const TRIES: usize = 5;

/// A running nginx with its own files. It is killed when dropped.
#[derive(Debug)]
pub struct Nginx {
    ports: Vec<u16>,
    requests: Output,
    _child: Child,
    _folder: TempDir,
}

impl Nginx {
    /// Starts it with these `server` blocks. In each of them, `PORT` is replaced by a free port,
    /// and paths are relative to `folder`.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not start; the error has its output.
    pub async fn start(program: &Program, folder: TempDir, servers: &[&str]) -> Result<Self> {
        let mut said = String::new();
        for _ in 0..TRIES {
            let ports = free_ports(servers.len())?;
            write_configuration(folder.path(), servers, &ports)?;
            let mut child = program
                .command()
                .arg("-p")
                .arg(folder.path())
                .args(["-c", "nginx.conf", "-e", "stderr"])
                .spawn()
                .context("starting nginx")?;
            let requests = Output::capture(child.stdout.take().context("its output")?);
            let log = Output::capture(child.stderr.take().context("its log")?);
            // It prints this when it has bound its ports.
            let is_up = |line: &str| line.contains("event method");
            if log.wait_for("nginx to be up", is_up).await.is_ok() {
                return Ok(Self {
                    ports,
                    requests,
                    _child: child,
                    _folder: folder,
                });
            }
            said = log.text();
        }
        bail!("nginx does not start:\n{said}")
    }

    /// Returns the port of a server, by its index.
    #[must_use]
    pub fn port(&self, server: usize) -> u16 {
        self.ports[server]
    }

    /// Returns a line for each request: its port, protocol, path, status, and the verdict on the
    /// client's certificate (`NONE`, `SUCCESS`, `FAILED:…`).
    #[must_use]
    pub fn requests(&self) -> &Output {
        &self.requests
    }
}

/// Returns different ports, because all are held until the last one is known.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let held = (0..count)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)))
        .collect::<Result<Vec<_>, _>>()
        .context("finding free ports")?;
    held.iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect()
}

fn write_configuration(folder: &Path, servers: &[&str], ports: &[u16]) -> Result<()> {
    let servers: String = servers
        .iter()
        .zip(ports)
        .map(|(server, port)| server.replace("PORT", &format!("127.0.0.1:{port}")))
        .collect();
    // One process in the foreground that writes only here.
    let text = format!(
        "daemon off;
master_process off;
pid nginx.pid;
error_log stderr notice;
events {{ worker_connections 256; }}
http {{
    log_format seen '$server_port $server_protocol $request_uri $status $ssl_client_verify';
    access_log /dev/stdout seen;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
{servers}}}
"
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
}
