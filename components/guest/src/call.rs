use crate::{Fields, Query, Request, Response, WHOLE_BODY};
use wasip3::clocks::monotonic_clock;
use wasip3::http::{client, types::Scheme};
use wasip3::{wit_bindgen::StreamResult, wit_future};

/// The request header that identifies an incoming request. Guests pass it on to their upstreams,
/// which can then tell whether the host's attribution is right.
const TAG: &str = "x-tag";

/// Returns the value of `x-tag`, empty if absent.
pub fn tag(request: &Request) -> Vec<u8> {
    request
        .get_headers()
        .get(TAG)
        .into_iter()
        .next()
        .unwrap_or_default()
}

/// Waits by the host's clock.
pub async fn wait(milliseconds: u64) {
    monotonic_clock::wait_for(milliseconds.saturating_mul(1_000_000)).await;
}

/// An upstream, and the request for which it is called.
#[derive(Clone)]
pub struct Call {
    https: bool,
    authority: String,
    base_path: String,
    headers: Vec<(String, Vec<u8>)>,
}

impl Call {
    /// Creates calls to the base URL in the parameter `to`, with the tag of `request`.
    pub fn to(query: &Query, request: &Request) -> Result<Self, String> {
        let url = query
            .get("to")
            .ok_or("which upstream? add ?to=http://HOST:PORT")?;
        let (https, rest) = if let Some(rest) = url.strip_prefix("http://") {
            (false, rest)
        } else if let Some(rest) = url.strip_prefix("https://") {
            (true, rest)
        } else {
            return Err(format!("to={url} is no http:// or https:// URL"));
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self {
            https,
            authority: authority.to_owned(),
            base_path: format!("/{path}").trim_end_matches('/').to_owned(),
            headers: vec![(TAG.to_owned(), tag(request))],
        })
    }

    /// Adds a header.
    pub fn with_header(mut self, name: &str, value: Vec<u8>) -> Self {
        self.headers.push((name.to_owned(), value));
        self
    }

    /// Sends `GET {to}/call/{i}`, and reads the answer to its end. Any status is an answer.
    pub async fn make(&self, i: u64) -> Result<(), String> {
        self.make_with(|headers| headers, i).await
    }

    /// Makes a call with the headers that `more` returns.
    pub async fn make_with(&self, more: fn(Fields) -> Fields, i: u64) -> Result<(), String> {
        let headers = Fields::from_list(&self.headers)
            .map_err(|error| format!("the call's headers: {error}"))?;
        let (_, no_trailers) = wit_future::new(WHOLE_BODY);
        let (request, _sent) = Request::new(more(headers), None, no_trailers, None);
        let scheme = if self.https {
            Scheme::Https
        } else {
            Scheme::Http
        };
        let path = format!("{}/call/{i}", self.base_path);
        let set = request
            .set_scheme(Some(&scheme))
            .and(request.set_authority(Some(&self.authority)));
        set.and(request.set_path_with_query(Some(&path)))
            .map_err(|()| format!("{}{path} is no valid target", self.authority))?;

        let response = client::send(request)
            .await
            .map_err(|error| error.to_string())?;

        let (_, accepted) = wit_future::new(|| Ok(()));
        let (mut body, end) = Response::consume_body(response, accepted);
        let mut chunk = Vec::with_capacity(4096);
        loop {
            let (result, read) = body.read(chunk).await;
            if !matches!(result, StreamResult::Complete(_)) {
                break;
            }
            chunk = read;
            chunk.clear();
        }
        drop(body);
        end.await.map(drop).map_err(|error| error.to_string())
    }
}
