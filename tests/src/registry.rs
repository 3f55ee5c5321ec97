//! A real registry: that of the distribution project, as Debian packages it (`docker-registry`).

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use http::{Method, Request};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::output::Output;
use crate::{Answer, Client, client};

/// The type of the layer that WAGI's tools pushed.
pub const WAGI_LAYER: &str = "application/vnd.wasm.content.layer.v1+wasm";

const PROGRAM: &str = "docker-registry";

/// The password `secret`, hashed by bcrypt.
const SECRET: &str = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a";

/// A running registry. It ends when dropped.
#[derive(Debug)]
pub struct Registry {
    _child: Child,
    folder: TempDir,
    address: String,
}

impl Registry {
    /// Starts a registry on a free port. If the program is not installed (`cargo xtask test`
    /// installs it if possible), prints so and returns `None`.
    ///
    /// # Errors
    ///
    /// Returns an error if it is installed and does not start.
    pub async fn start() -> Result<Option<Self>> {
        Self::start_in(TempDir::new()?, "").await
    }

    /// Restarts it with its modules, only for the user `user` with the password `secret`.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not start.
    pub async fn behind_a_password(self) -> Result<Self> {
        let Self { _child, folder, .. } = self;
        let file = folder.path().join("htpasswd");
        fs::write(&file, format!("user:{SECRET}\n"))?;
        let auth = format!(
            "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
            file.display()
        );
        let started = Self::start_in(folder, &auth).await?;
        started.context("it was there before")
    }

    #[expect(clippy::print_stderr, reason = "that a test was skipped must be seen")]
    async fn start_in(folder: TempDir, more: &str) -> Result<Option<Self>> {
        let config = folder.path().join("config.yml");
        let root = folder.path().join("root");
        fs::write(
            &config,
            format!(
                "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
                 http:\n  addr: 127.0.0.1:0\n{more}",
                root.display()
            ),
        )?;
        let started = Command::new(PROGRAM)
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!(
                    "SKIPPED: there is no `{PROGRAM}` here, so modules from registries are NOT tested"
                );
                return Ok(None);
            }
            Err(error) => return Err(error).context("starting the registry"),
        };
        let stderr = Output::capture(child.stderr.take().context("no standard error")?);
        let line = stderr
            .wait_for("the registry's address", |line| {
                line.contains("listening on 127.0.0.1:")
            })
            .await?;
        let (_, rest) = line.split_once("listening on ").context("no address")?;
        let address = rest.split('"').next().unwrap_or_default().to_owned();
        Ok(Some(Self {
            _child: child,
            folder,
            address,
        }))
    }

    /// Returns its address, such as `127.0.0.1:41234`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Pushes a module under a name and a tag, and returns the manifest's digest.
    ///
    /// # Errors
    ///
    /// Returns an error if the registry rejects it.
    pub async fn push(&self, name: &str, tag: &str, module: &[u8], kind: &str) -> Result<String> {
        let config = self.push_blob(name, b"{}").await?;
        let layer = self.push_blob(name, module).await?;
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.wasm.config.v1+json", "digest": config, "size": 2
            },
            "layers": [{ "mediaType": kind, "digest": layer, "size": module.len() }],
        })
        .to_string();
        let request = Request::put(format!("http://{}/v2/{name}/manifests/{tag}", self.address))
            .header("content-type", "application/vnd.oci.image.manifest.v1+json")
            .body(client::full(manifest.clone()))?;
        let answer = Client::new().send(request).await?;
        ensure!(answer.status == 201, "{}: {}", answer.status, answer.text());
        Ok(digest(manifest.as_bytes()))
    }

    async fn push_blob(&self, name: &str, bytes: &[u8]) -> Result<String> {
        let uploads = format!("http://{}/v2/{name}/blobs/uploads/", self.address);
        let begun = send(Method::POST, &uploads, Vec::new()).await?;
        ensure!(begun.status == 202, "{}: {}", begun.status, begun.text());
        let location = begun.header("location").to_owned();
        let digest = digest(bytes);
        let mark = if location.contains('?') { '&' } else { '?' };
        let put = format!("{location}{mark}digest={digest}");
        let answer = send(Method::PUT, &put, bytes.to_vec()).await?;
        ensure!(answer.status == 201, "{}: {}", answer.status, answer.text());
        Ok(digest)
    }

    /// Overwrites the stored bytes of a module.
    ///
    /// # Errors
    ///
    /// Returns an error if the module is not stored.
    pub fn corrupt(&self, module: &[u8]) -> Result<()> {
        let digest = digest(module);
        let hex = digest.trim_start_matches("sha256:");
        let path = self
            .folder
            .path()
            .join("root/docker/registry/v2/blobs/sha256")
            .join(hex.get(..2).unwrap_or_default())
            .join(hex)
            .join("data");
        let mut bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        bytes.reverse();
        fs::write(&path, bytes)?;
        Ok(())
    }
}

async fn send(method: Method, uri: &str, body: Vec<u8>) -> Result<Answer> {
    let request = Request::builder().method(method).uri(uri);
    Client::new().send(request.body(client::full(body))?).await
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
