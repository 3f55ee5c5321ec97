//! A native CGI program behind nginx and fcgiwrap, the usual setup without WebAssembly.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use headwater_tests::{Host, within};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::TcpStream;

/// The processes of both servers. They end when this is dropped.
pub(crate) struct Cgi {
    groups: Vec<Pid>,
}

/// The number of fcgiwrap's processes, each of which runs one program at a time: more than there
/// are cores, so that no core is idle.
const WORKERS: usize = 8;

impl Cgi {
    /// Builds the program from its source, in C or Rust, and starts both servers in a shell that
    /// announces them as one host.
    pub(crate) async fn start(folder: &Path, source: &Path) -> Result<(Host, Self)> {
        build(source, &folder.join("hello.cgi"))?;
        for (name, package) in [("nginx", "nginx-light"), ("fcgiwrap", "fcgiwrap")] {
            let found = Command::new("sh")
                .args(["-c", &format!("command -v {name} >/dev/null")])
                .status()?;
            ensure!(
                found.success(),
                "there is no {name}: apt-get install {package}"
            );
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        fs::write(folder.join("nginx.conf"), settings(folder, port))?;
        let script = format!(
            // fcgiwrap does not end its workers, so each server has its own process group, which a
            // shell without a terminal makes only this way. None of them keeps the shell's output
            // open.
            "setsid fcgiwrap -c {WORKERS} -s unix:{folder}/cgi.sock >{folder}/log 2>&1 & wrap=$!\n\
             setsid nginx -p {folder} -e stderr -c nginx.conf >{folder}/log 2>&1 & nginx=$!\n\
             echo $wrap $nginx > {folder}/groups\n\
             echo Listening on http://127.0.0.1:{port}\n\
             wait",
            folder = folder.display(),
        );
        let host = Host::program("sh").args(["-c", &script]).start().await?;
        let groups = fs::read_to_string(folder.join("groups"))?;
        let groups = groups
            .split_whitespace()
            .filter_map(|group| Pid::from_raw(group.parse().ok()?))
            .collect();
        let cgi = Self { groups };
        within("nginx", async {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .await
                .is_err()
            {
                // There is no event to wait for.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        })
        .await?;
        Ok((host, cgi))
    }
}

impl Drop for Cgi {
    fn drop(&mut self) {
        for group in &self.groups {
            // The processes may have ended already. fcgiwrap ignores other signals.
            let _ = kill_process_group(*group, Signal::KILL);
        }
    }
}

/// Returns the path of a source file of a guest.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../components")
        .join(path)
}

fn build(source: &Path, program: &Path) -> Result<()> {
    let (compiler, options) = match source.extension().is_some_and(|kind| kind == "rs") {
        true => ("rustc", &["-O", "--edition", "2024"][..]),
        false => ("cc", &["-O2"][..]),
    };
    let mut compile = Command::new(compiler);
    compile.args(options).arg("-o").arg(program).arg(source);
    let status = compile.status();
    let status = status.with_context(|| format!("starting {compiler}: is it installed?"))?;
    ensure!(status.success(), "{compiler} failed");
    Ok(())
}

fn settings(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        // Other users may not have access to the folder. Without root's rights nginx ignores the
        // line.
        "user root root;\n\
         daemon off;\n\
         worker_processes auto;\n\
         pid {folder}/nginx.pid;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
           access_log off;\n\
           keepalive_requests 1000000;\n\
           keepalive_timeout 1h;\n\
           client_body_temp_path {folder}/body;\n\
           fastcgi_temp_path {folder}/fastcgi;\n\
           proxy_temp_path {folder}/proxy;\n\
           uwsgi_temp_path {folder}/uwsgi;\n\
           scgi_temp_path {folder}/scgi;\n\
           server {{\n\
             listen 127.0.0.1:{port};\n\
             location / {{\n\
               fastcgi_pass unix:{folder}/cgi.sock;\n\
               fastcgi_param SCRIPT_FILENAME {folder}/hello.cgi;\n\
               fastcgi_param GATEWAY_INTERFACE CGI/1.1;\n\
               fastcgi_param QUERY_STRING $query_string;\n\
               fastcgi_param REQUEST_METHOD $request_method;\n\
               fastcgi_param CONTENT_TYPE $content_type;\n\
               fastcgi_param CONTENT_LENGTH $content_length;\n\
               fastcgi_param SCRIPT_NAME /;\n\
               fastcgi_param PATH_INFO $uri;\n\
               fastcgi_param REQUEST_URI $request_uri;\n\
               fastcgi_param SERVER_PROTOCOL $server_protocol;\n\
               fastcgi_param REMOTE_ADDR $remote_addr;\n\
               fastcgi_param SERVER_NAME $server_name;\n\
               fastcgi_param SERVER_PORT $server_port;\n\
             }}\n\
           }}\n\
         }}\n"
    )
}
