//! A host with services of a test's own.

use anyhow::{Context, Result, ensure};

use crate::client::{Answer, Client};
use crate::host::Host;
use crate::instances::{self, Instances};
use crate::settings::{Settings, SettingsFile};

/// A running host, and the `headwater.toml` that it serves. It logs the life of its instances.
#[derive(Debug)]
pub struct Services {
    host: Host,
    settings: SettingsFile,
}

impl Services {
    /// Services of the caller's own.
    ///
    /// # Errors
    ///
    /// If the host does not start.
    pub async fn start(settings: Settings, arguments: &[&str]) -> Result<Self> {
        let settings = settings.write()?;
        let host = Host::serve(settings.path())
            .args(["--log", instances::LOG])
            .args(arguments)
            .start()
            .await?;
        Ok(Self { host, settings })
    }

    /// The guest `faulty` at every path, and `hello` at `/hello`.
    ///
    /// # Errors
    ///
    /// If a guest was not built, or the host does not start.
    pub async fn faulty(arguments: &[&str]) -> Result<Self> {
        let settings = Settings::default().component("faulty", "/...", &[])?;
        Self::beside_hello(settings, arguments).await
    }

    /// A component in the text format, such as those of [`crate::crafted`], under the name `faulty` at
    /// every path, and `hello` at `/hello`.
    ///
    /// # Errors
    ///
    /// If a guest was not built, or the host does not start.
    pub async fn crafted(component: impl Into<String>, arguments: &[&str]) -> Result<Self> {
        let settings = Settings::default().crafted("faulty", "/...", component);
        Self::beside_hello(settings, arguments).await
    }

    /// Services of the caller's own, and `hello` at `/hello`.
    ///
    /// # Errors
    ///
    /// If the guest was not built, or the host does not start.
    pub async fn beside_hello(settings: Settings, arguments: &[&str]) -> Result<Self> {
        let settings = settings.component("hello", "/hello", &[])?;
        Self::start(settings, arguments).await
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The settings file.
    #[must_use]
    pub fn settings(&self) -> &SettingsFile {
        &self.settings
    }

    /// The instances of a service.
    #[must_use]
    pub fn instances(&self, service: &str) -> Instances {
        Instances::of(service, self.host.stderr())
    }

    /// `GET` on a connection of its own.
    ///
    /// # Errors
    ///
    /// If no answer comes, or it is cut; the error has the host's log.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        let url = format!("{}{path}", self.host.url());
        let answer = Client::new().get(&url).await;
        answer.with_context(|| format!("the log:\n{}", self.host.stderr().text()))
    }

    /// `GET` on a connection of its own, and an answer of status 200.
    ///
    /// # Errors
    ///
    /// As [`Services::get`], or if the answer has another status.
    pub async fn ok(&self, path: &str) -> Result<Answer> {
        let answer = self.get(path).await?;
        ensure!(
            answer.status == 200,
            "{path}: {answer:?}; the log:\n{}",
            self.host.stderr().text()
        );
        Ok(answer)
    }

    /// So many times `GET` of `path` at once, each on a connection of its own, and answers of status
    /// 200.
    ///
    /// # Errors
    ///
    /// As [`Services::ok`].
    pub async fn all_ok(&self, path: &str, count: usize) -> Result<Vec<Answer>> {
        futures::future::try_join_all((0..count).map(|_| self.ok(path))).await
    }
}
