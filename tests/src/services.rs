//! A host with the services of a test.

use anyhow::{Context, Result, ensure};

use crate::client::{Answer, Client};
use crate::host::Host;
use crate::instances::{self, Instances};
use crate::settings::{Settings, SettingsFile};

/// A running host and its `headwater.toml`. The host logs the life of its instances.
#[derive(Debug)]
pub struct Services {
    host: Host,
    settings: SettingsFile,
}

impl Services {
    /// Serves the caller's services.
    ///
    /// # Errors
    ///
    /// Returns an error if the host does not start.
    pub async fn start(settings: Settings, arguments: &[&str]) -> Result<Self> {
        let settings = settings.write()?;
        let host = Host::serve(settings.path())
            .args(["--log", instances::LOG])
            .args(arguments)
            .start()
            .await?;
        Ok(Self { host, settings })
    }

    /// Serves the guest `faulty` at every path, and `hello` at `/hello`.
    ///
    /// # Errors
    ///
    /// Returns an error if a guest was not built, or the host does not start.
    pub async fn faulty(arguments: &[&str]) -> Result<Self> {
        let settings = Settings::default().component("faulty", "/...", &[])?;
        Self::beside_hello(settings, arguments).await
    }

    /// Serves a component in the text format, such as those of [`crate::crafted`], under the name
    /// `faulty` at every path, and `hello` at `/hello`.
    ///
    /// # Errors
    ///
    /// Returns an error if a guest was not built, or the host does not start.
    pub async fn crafted(component: impl Into<String>, arguments: &[&str]) -> Result<Self> {
        let settings = Settings::default().crafted("faulty", "/...", component);
        Self::beside_hello(settings, arguments).await
    }

    /// Serves the caller's services, and `hello` at `/hello`.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest was not built, or the host does not start.
    pub async fn beside_hello(settings: Settings, arguments: &[&str]) -> Result<Self> {
        let settings = settings.component("hello", "/hello", &[])?;
        Self::start(settings, arguments).await
    }

    /// Returns the host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the settings file.
    #[must_use]
    pub fn settings(&self) -> &SettingsFile {
        &self.settings
    }

    /// Returns the instances of a service.
    #[must_use]
    pub fn instances(&self, service: &str) -> Instances {
        Instances::of(service, self.host.stderr())
    }

    /// Sends a `GET` request on its own connection.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no answer, or it is cut off; the error has the host's log.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        let url = format!("{}{path}", self.host.url());
        let answer = Client::new().get(&url).await;
        answer.with_context(|| format!("the log:\n{}", self.host.stderr().text()))
    }

    /// Sends a `GET` request on its own connection, and checks that the status is 200.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Services::get`], or an error if the status is not 200.
    pub async fn ok(&self, path: &str) -> Result<Answer> {
        let answer = self.get(path).await?;
        ensure!(
            answer.status == 200,
            "{path}: {answer:?}; the log:\n{}",
            self.host.stderr().text()
        );
        Ok(answer)
    }

    /// Sends `count` `GET` requests for `path` at once, each on its own connection, and checks that
    /// the status is 200.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Services::ok`].
    pub async fn all_ok(&self, path: &str, count: usize) -> Result<Vec<Answer>> {
        futures::future::try_join_all((0..count).map(|_| self.ok(path))).await
    }
}
