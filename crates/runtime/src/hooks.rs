use std::future::Future;

use headwater_core::{Attribution, BodyError};
use headwater_egress::{Egress, SendOptions};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::error_code;

/// Where `wasi:http`'s host implementation hands outgoing requests over to egress.
pub(crate) struct Hooks {
    egress: Egress,
    /// The attribution of the outgoing call that is being made; set by the import just before the
    /// stock implementation calls [`WasiHttpHooks::send_request`] in the same poll.
    pub(crate) next: Option<Attribution>,
}

impl Hooks {
    pub(crate) fn new(egress: Egress) -> Self {
        Self { egress, next: None }
    }
}

type Sent = Result<
    (
        http::Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let attribution = self.next.take().unwrap_or_else(Attribution::unknown);
        let egress = self.egress.clone();
        let options = options.map_or_else(SendOptions::default, |options| SendOptions {
            connect_timeout: options.connect_timeout,
            first_byte_timeout: options.first_byte_timeout,
            between_bytes_timeout: options.between_bytes_timeout,
        });
        let request = request.map(|body| body.map_err(BodyError::from).boxed_unsync());
        Box::new(async move {
            let response = egress
                .send(request, options, attribution)
                .await
                .map_err(|error| error_code::from_egress(&error))?;
            let response = response.map(|body| body.map_err(|error| error_code::from_body(&error)).boxed_unsync());
            // The connection is driven by the client's pool, so there is nothing left to wait for.
            Ok((response, Box::new(async { Ok(()) }) as _))
        })
    }
}
