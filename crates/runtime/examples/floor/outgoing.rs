//! Outgoing requests: hyper-util's pooled client, without TLS.

use http::Request;
use http_body_util::BodyExt;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// The client of a runtime. Its clones share their connections.
#[derive(Clone)]
pub(crate) struct Outgoing(legacy::Client<HttpConnector, WasiBody>);

/// The result of an outgoing request, and a future of what the connection still has to do, which is
/// nothing here: the client drives its connections itself.
type Sent = Result<(http::Response<WasiBody>, Done), Error>;

/// Resolves when the other side is done with a body.
type Done = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl Outgoing {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(legacy::Client::builder(TokioExecutor::new()).build(connector))
    }
}

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processed: Done,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let answer = self.0.request(request);
        Box::new(async {
            let answer = answer.await.map_err(|error| failed(&error))?;
            let answer = answer.map(|body| body.map_err(Error::from).boxed_unsync());
            Ok((answer, Box::new(async { Ok(()) }) as Done))
        })
    }
}

fn failed(error: &legacy::Error) -> Error {
    Error::InternalError(Some(format!("{error:?}")))
}
