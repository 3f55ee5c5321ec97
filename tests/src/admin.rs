//! A client for the admin listener of a host.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::host::{HostBuilder, started};
use crate::{Client, Host, within};

/// The admin listener of a host.
#[derive(Debug)]
pub struct Admin {
    url: String,
}

impl Admin {
    /// Starts a host with an admin listener on a free port.
    ///
    /// # Errors
    ///
    /// Returns an error if the host does not start.
    pub async fn start(host: HostBuilder) -> Result<(Host, Self)> {
        let host = host.arg("--admin=127.0.0.1:0").start().await?;
        let logged = host.stderr().lines();
        let started = logged.iter().find_map(|line| started(line));
        if let Some(url) = started.as_ref().and_then(|fields| fields["admin"].as_str()) {
            let url = url.to_owned();
            return Ok((host, Self { url }));
        }
        let line = host
            .stdout()
            .wait_for("a line `Admin on http://…`", |line| {
                line.starts_with("Admin on ")
            })
            .await?;
        let url = line.trim_start_matches("Admin on ").trim().to_owned();
        Ok((host, Self { url }))
    }

    /// Returns a client for the admin listener at this address.
    #[must_use]
    pub fn at(address: impl std::fmt::Display) -> Self {
        Self {
            url: format!("http://{address}"),
        }
    }

    /// Returns the base URL, such as `http://127.0.0.1:41234`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the text at a path. Each call uses its own connection and closes it, so that the
    /// host's connections can be counted.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no answer with status 200.
    pub async fn text(&self, path: &str) -> Result<String> {
        let answer = Client::new().get(&format!("{}{path}", self.url)).await?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        Ok(answer.text())
    }

    /// Returns the JSON at a path.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no answer with status 200, or it is not JSON.
    pub async fn json(&self, path: &str) -> Result<Value> {
        let text = self.text(path).await?;
        serde_json::from_str(&text).with_context(|| text)
    }

    /// Requests the text at a path again and again until `wanted` accepts it.
    ///
    /// # Errors
    ///
    /// Returns an error if it takes too long; the error has the last text.
    pub async fn until(&self, path: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let mut last = String::new();
        let waited = within(path, async {
            loop {
                last = self.text(path).await?;
                if wanted(&last) {
                    return anyhow::Ok(());
                }
            }
        });
        match waited.await {
            Ok(asked) => asked.map(|()| last),
            Err(late) => Err(late.context(format!("it last told:\n{last}"))),
        }
    }

    /// Waits until no request is in flight, according to the list of requests, the metrics, and the
    /// pools of instances.
    ///
    /// # Errors
    ///
    /// Returns an error if there are always some.
    pub async fn calm(&self) -> Result<()> {
        self.until("/requests", |told| told.trim() == "[]").await?;
        let none = |metrics: &str| {
            let active = metrics.lines().filter(|line| {
                line.starts_with("http_server_active_requests{")
                    || line.starts_with("headwater_pool_request_active{")
                    || line.starts_with("headwater_pool_queue_length{")
            });
            let mut active = active.peekable();
            active.peek().is_some() && active.all(|line| line.ends_with(" 0"))
        };
        self.until("/metrics", none).await?;
        Ok(())
    }
}
