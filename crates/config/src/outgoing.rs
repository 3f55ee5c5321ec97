use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::{parse_duration, parse_size};

/// How a service calls out: the table `[service.outgoing]`. What is not said there is as on the
/// command line.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outgoing {
    /// How long resolving a name and connecting may take.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<crate::Time>")]
    pub connect_timeout: Option<Duration>,
    /// How long a TLS handshake may take.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<crate::Time>")]
    pub tls_timeout: Option<Duration>,
    /// How long an upstream may take from the end of a request to the head of its response.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<crate::Time>")]
    pub first_byte_timeout: Option<Duration>,
    /// How long it may take between two parts of a response's body.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<crate::Time>")]
    pub between_bytes_timeout: Option<Duration>,
    /// How long a request's body may make no progress.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<crate::Time>")]
    pub write_timeout: Option<Duration>,
    /// How long all of an outgoing request may take.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<crate::Time>")]
    pub total_timeout: Option<Duration>,
    /// Outgoing requests that may be open at once.
    #[schemars(with = "Option<crate::Count>")]
    pub max_requests: Option<usize>,
    /// Connections that may be open at once.
    #[schemars(with = "Option<crate::Count>")]
    pub max_connections: Option<usize>,
    /// How long a request may wait where there are as many as may be.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<crate::Time>")]
    pub limit_wait: Option<Duration>,
    /// Bytes of a request's header fields, and of its trailers.
    #[serde(default, deserialize_with = "size")]
    #[schemars(with = "Option<crate::Size>")]
    pub max_request_head: Option<u64>,
    /// Bytes of a response's header fields, and of its trailers.
    #[serde(default, deserialize_with = "size")]
    #[schemars(with = "Option<crate::Size>")]
    pub max_response_head: Option<u64>,
    /// Header fields of a response.
    pub max_response_fields: Option<usize>,
    /// Bytes of a request's body.
    #[serde(default, deserialize_with = "size")]
    #[schemars(with = "Option<crate::Size>")]
    pub max_request_body: Option<u64>,
    /// Bytes of a response's body.
    #[serde(default, deserialize_with = "size")]
    #[schemars(with = "Option<crate::Size>")]
    pub max_response_body: Option<u64>,
    /// Idle connections that are kept for one upstream.
    pub max_idle_per_host: Option<usize>,
    /// How long they are kept.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<crate::Time>")]
    pub idle_timeout: Option<Duration>,
    /// Upstreams that are spoken to by HTTP/2 without TLS, beside those of the flag.
    #[serde(default)]
    pub h2c: Vec<String>,
}

impl Outgoing {
    /// The key whose bound is zero, so that nothing would go out.
    pub(crate) fn zero(&self) -> Option<&'static str> {
        let bounds = [
            ("outgoing.max_requests", self.max_requests),
            ("outgoing.max_connections", self.max_connections),
        ];
        let zero = bounds.into_iter().find(|(_, bound)| *bound == Some(0));
        zero.map(|(key, _)| key)
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let duration = parse_duration(&text).map_err(serde::de::Error::custom)?;
    Ok(Some(duration))
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let size = parse_size(&text).map_err(serde::de::Error::custom)?;
    Ok(Some(size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::File;

    fn outgoing(text: &str) -> Result<Outgoing, String> {
        let file = format!(
            "[[service]]\nname = \"a\"\nroute = \"/\"\ncomponent = \"a.wasm\"\n\
             [service.outgoing]\n{text}\n"
        );
        let mut file = File::parse(&file).map_err(|error| error.to_string())?;
        Ok(file.service.remove(0).outgoing)
    }

    #[test]
    fn each_service_has_settings_of_its_own() {
        let said = outgoing(
            "connect_timeout = \"2s\"\nmax_requests = 7\nmax_response_body = \"10MiB\"\n\
             h2c = [\"127.0.0.1:9000\"]",
        )
        .unwrap();
        assert_eq!(
            said,
            Outgoing {
                connect_timeout: Some(Duration::from_secs(2)),
                max_requests: Some(7),
                max_response_body: Some(10 << 20),
                h2c: vec!["127.0.0.1:9000".to_owned()],
                ..Outgoing::default()
            }
        );
        assert_eq!(outgoing("").unwrap(), Outgoing::default());
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, named) in [
            ("conect_timeout = \"2s\"", "conect_timeout"),
            ("total_timeout = \"2 parsecs\"", "2 parsecs"),
            ("max_request_body = \"2MB\"", "2MB"),
            ("max_requests = 0", "outgoing.max_requests"),
            ("max_connections = 0", "outgoing.max_connections"),
        ] {
            let error = outgoing(text).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
