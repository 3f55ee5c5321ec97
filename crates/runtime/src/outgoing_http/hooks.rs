use std::future::Future;
use std::sync::Arc;

use headwater_core::Attribution;
use headwater_egress::{Egress, Limit, SendOptions};
use http::Request;
use http_body_util::BodyExt;
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::outgoing::Outgoing;
use super::request_body::{self, Version};
use crate::error_code;
use crate::forbidden::ForbiddenHeaders;

/// Hands outgoing requests of `wasi:http`'s host implementation over to egress.
pub(crate) struct Hooks {
    forbidden: ForbiddenHeaders,
    outgoing: Arc<Outgoing>,
    /// The current outgoing call. The import sets it just before the stock implementation calls
    /// [`WasiHttpHooks::send_request`] in the same poll.
    pub(super) next: Option<OutgoingCall>,
}

pub(super) struct OutgoingCall {
    pub(super) attribution: Attribution,
    pub(super) egress: Egress,
    pub(super) version: Version,
}

impl Hooks {
    pub(crate) fn new(forbidden: ForbiddenHeaders, outgoing: Arc<Outgoing>) -> Self {
        Self {
            forbidden,
            outgoing,
            next: None,
        }
    }

    pub(crate) fn outgoing(&self) -> &Arc<Outgoing> {
        &self.outgoing
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
    // `is_forbidden_header` uses it, too.
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        self.forbidden.filter()
    }

    /// Egress makes the host header from the URI. The stock implementation would count it among the
    /// guest's fields, and trap if they are one short of the limit.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let Some(call) = self.next.take() else {
            // The call was not made by an import of ours.
            return Box::new(async { Err(Error::HttpRequestDenied) });
        };
        let OutgoingCall {
            attribution,
            egress,
            version,
        } = call;
        let outgoing = Arc::clone(&self.outgoing);
        let unattributed = attribution.scope().is_none();
        if unattributed {
            outgoing.note_unattributed();
        }
        let Some(permit) = outgoing.open() else {
            let error = egress.refuse(&request, &attribution, Limit::InstanceRequests);
            return Box::new(async move { Err(error_code::from_egress(&error)) });
        };
        let options = options.map_or_else(SendOptions::default, |options| SendOptions {
            connect_timeout: options.connect_timeout,
            first_byte_timeout: options.first_byte_timeout,
            between_bytes_timeout: options.between_bytes_timeout,
        });
        let mut request = request_body::outgoing(request, version, Arc::clone(&outgoing));
        if unattributed {
            request.extensions_mut().insert(outgoing.most_hops());
        }
        // Now, and not when the future is first polled: in 0.2 another task does that.
        let sending = egress.send(request, options, attribution);
        // In a task of its own, which ends when the guest drops the future. In 0.3 the instance polls the
        // future between its computations: a handshake would wait while the guest keeps its thread busy,
        // and time out.
        let sending = AbortOnDropHandle::new(tokio::spawn(sending));
        Box::new(async move {
            let response = sending
                .await
                .map_err(|error| Error::InternalError(Some(error.to_string())))?
                .map_err(|error| error_code::from_egress(&error))?;
            let response = response.map(|body| {
                // The permit is held until the body is dropped.
                body.map_err(move |error| {
                    let _held = &permit;
                    error_code::from_body(&error)
                })
                .boxed_unsync()
            });
            // The client's pool drives the connection, so there is nothing left to wait for.
            Ok((response, Box::new(async { Ok(()) }) as _))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use headwater_egress::{EgressParams, Grants};
    use headwater_telemetry::LimitLog;
    use http_body_util::Empty;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_request_goes_out_while_its_guest_computes_and_ends_when_the_guest_drops_it() {
        let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = upstream.local_addr().unwrap();
        let egress = Egress::new(EgressParams {
            grants: Grants::parse([address.to_string()]).unwrap(),
            ..EgressParams::new("test")
        });
        let outgoing = Arc::new(Outgoing::new(
            "test".into(),
            1,
            LimitLog::new("test".into()),
        ));
        let mut hooks = Hooks::new(ForbiddenHeaders::default(), outgoing);
        hooks.next = Some(OutgoingCall {
            attribution: Attribution::unknown(),
            egress,
            version: Version::P3,
        });
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::get(format!("http://{address}/"))
            .body(body)
            .unwrap();
        let unpolled = hooks.send_request(request, None, Box::new(async { Ok(()) }));

        let (mut connection, _) = upstream.accept().await.unwrap();
        let mut head = vec![0; 5];
        connection.read_exact(&mut head).await.unwrap();
        assert_eq!(head, b"GET /");
        drop(unpolled);
        connection.read_to_end(&mut head).await.unwrap();
    }
}
