//! The way of one request through an action component and what is behind it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use headwater_core::{Blame, Body, Fault, HandlerFuture, RequestScope, call_next, full};
use http::{Request, Response, StatusCode, request, response};
use wasmtime_wasi_http::ForbiddenHeaderFilter;

use super::ActionSettings;
use super::apply;
use super::body::{TakeError, Taken};
use super::call::{HookCall, HookResult};
use super::hooks::Hooks;
use super::types::{Action, FailedRequest, HookBlame, HookFault, HookRequest, HookResponse};
use crate::forbidden::ForbiddenHeaders;
use crate::pool::InstancePool;

/// An action component as a link of a chain. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ActionLink {
    pub(crate) service: Arc<str>,
    pub(crate) pool: InstancePool,
    pub(crate) hooks: Hooks,
    pub(crate) settings: ActionSettings,
    pub(crate) forbidden_headers: ForbiddenHeaders,
}

/// One request at the link.
struct Passage {
    link: ActionLink,
    scope: Arc<RequestScope>,
    is_forbidden: ForbiddenHeaderFilter,
}

/// The outcome of `on-request`.
enum Admitted {
    Passes(Request<Body>),
    Answered(Response<Body>),
}

// === impl ActionLink ===

impl ActionLink {
    pub(crate) fn handle(&self, request: Request<Body>, scope: Arc<RequestScope>) -> HandlerFuture {
        let passage = Passage {
            is_forbidden: self.forbidden_headers.filter(),
            link: self.clone(),
            scope,
        };
        Box::pin(passage.run(request))
    }
}

// === impl Passage ===

impl Passage {
    async fn run(self, request: Request<Body>) -> Result<Response<Body>, Fault> {
        let request = match self.link.hooks.on_request {
            true => match self.on_request(request).await? {
                Admitted::Passes(request) => request,
                Admitted::Answered(response) => return Ok(response),
            },
            false => request,
        };
        let failed = self
            .link
            .hooks
            .on_error
            .then(|| self.failed_request(&request));
        let answered = match call_next(&self.scope, request).await {
            Ok(response) if self.link.hooks.on_response => self.on_response(response).await,
            answered => answered.map_err(Failed::Behind),
        };
        match (answered, failed) {
            (Ok(response), _) => Ok(response),
            (Err(Failed::Here(fault)), _) => Err(fault),
            (Err(Failed::Behind(fault)), Some(failed)) => self.on_error(failed, fault).await,
            (Err(Failed::Behind(fault)), None) => Err(self.behind(fault)),
        }
    }

    async fn on_request(&self, request: Request<Body>) -> Result<Admitted, Fault> {
        let (mut head, body) = request.into_parts();
        let taken = self.take(body).await.map_err(unreadable_request)?;
        let call = HookCall::Request(Arc::new(self.hook_request(&head, taken.seen())));
        Ok(match self.action(call).await? {
            Action::Continue => Admitted::Passes(Request::from_parts(head, taken.into_body())),
            Action::Reject(status) => Admitted::Answered(apply::reject(status)?),
            Action::Modify(modify) => {
                // A request has no status.
                let body = apply::headers(modify, &mut head.headers, &self.is_forbidden)?;
                let body = body.map_or_else(|| taken.into_body(), full);
                Admitted::Passes(Request::from_parts(head, body))
            }
        })
    }

    async fn on_response(&self, response: Response<Body>) -> Result<Response<Body>, Failed> {
        let (mut head, body) = response.into_parts();
        let taken = self.take(body).await.map_err(|error| match error {
            TakeError::TooLarge => Failed::Here(
                Fault::bad_response("the service's response is too large for a middleware")
                    .caused_by("its body is larger than `body` allows; `larger_bodies = \"pass\"` lets it pass"),
            ),
            TakeError::Late => Failed::Here(Fault::deadline()),
            // Recorded already, if it is a fault.
            TakeError::Broken(error) => Failed::Behind(
                self.scope
                    .take_next_fault()
                    .unwrap_or_else(|| Fault::cut(&*error)),
            ),
        })?;
        let call = HookCall::Response(Arc::new(self.hook_response(&head, taken.seen())));
        let action = self.action(call).await.map_err(Failed::Here)?;
        self.carry_out(action, &mut head, taken)
            .map_err(Failed::Here)
    }

    fn carry_out(
        &self,
        action: Action,
        head: &mut response::Parts,
        taken: Taken,
    ) -> Result<Response<Body>, Fault> {
        let mut body = None;
        match action {
            Action::Continue => {}
            Action::Reject(status) => return apply::reject(status),
            Action::Modify(modify) => {
                if let Some(status) = modify.status {
                    head.status = apply::status(status)?;
                }
                body = apply::headers(modify, &mut head.headers, &self.is_forbidden)?;
            }
        }
        let mut response = Response::new(body.map_or_else(|| taken.into_body(), full));
        *response.status_mut() = head.status;
        *response.version_mut() = head.version;
        *response.headers_mut() = std::mem::take(&mut head.headers);
        *response.extensions_mut() = std::mem::take(&mut head.extensions);
        Ok(response)
    }

    /// Asks the hook for an answer in place of the fault's. If it has none, or fails itself, the fault stays.
    async fn on_error(&self, failed: FailedRequest, fault: Fault) -> Result<Response<Body>, Fault> {
        let call = HookCall::Error(Arc::new(failed), Arc::new(self.hook_fault(&fault)));
        let result = call.make(&self.link.pool, &self.scope).await;
        let answer = result.and_then(|result| match result {
            HookResult::Answer(Some(answer)) => apply::answer(answer, &self.is_forbidden).map(Some),
            HookResult::Answer(None) | HookResult::Action(_) => Ok(None),
        });
        let middleware = &*self.link.service;
        match answer {
            Ok(Some(response)) => {
                tracing::warn!(
                    target: "headwater::chain",
                    request_id = %self.scope.id(),
                    middleware,
                    status = response.status().as_u16(),
                    kind = fault.kind(),
                    blame = fault.blame().as_str(),
                    cause = fault.cause(),
                    "the middleware answered in place of what failed behind it"
                );
                Ok(response)
            }
            Ok(None) => Err(self.behind(fault)),
            Err(own) => {
                tracing::warn!(
                    target: "headwater::chain",
                    request_id = %self.scope.id(),
                    middleware,
                    kind = own.kind(),
                    cause = own.cause(),
                    "the middleware's `on-error` failed, and the fault behind it stays"
                );
                Err(self.behind(fault))
            }
        }
    }

    /// Records a fault of what is behind the link, so that the link is not blamed for it.
    fn behind(&self, fault: Fault) -> Fault {
        self.scope.set_next_fault(fault);
        Fault::error_code("what is behind the middleware failed")
    }

    async fn action(&self, call: HookCall) -> Result<Action, Fault> {
        match call.make(&self.link.pool, &self.scope).await? {
            HookResult::Action(action) => Ok(action),
            HookResult::Answer(_) => Err(Fault::host("action").caused_by("another hook returned")),
        }
    }

    async fn take(&self, body: Body) -> Result<Taken, TakeError> {
        let ActionSettings {
            body: most,
            larger_bodies,
        } = self.link.settings;
        let read = Taken::read(body, most, larger_bodies);
        // A chain polls the link before it looks at the link's deadline, so this error is the first.
        match self.scope.due() {
            Some(due) => tokio::time::timeout_at(due.into(), read)
                .await
                .unwrap_or(Err(TakeError::Late)),
            None => read.await,
        }
    }

    fn hook_request(&self, head: &request::Parts, body: Vec<u8>) -> HookRequest {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_millis();
        HookRequest {
            method: head.method.as_str().to_owned(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: apply::seen(&head.headers, &self.is_forbidden),
            body,
            request_id: self.scope.id().to_string(),
            now_epoch_ms: u64::try_from(now).unwrap_or(u64::MAX),
        }
    }

    fn hook_response(&self, head: &response::Parts, body: Vec<u8>) -> HookResponse {
        HookResponse {
            status: head.status.as_u16(),
            headers: apply::seen(&head.headers, &self.is_forbidden),
            body,
        }
    }

    fn failed_request(&self, request: &Request<Body>) -> FailedRequest {
        let uri = request.uri();
        FailedRequest {
            method: request.method().as_str().to_owned(),
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            headers: apply::seen(request.headers(), &self.is_forbidden),
            request_id: self.scope.id().to_string(),
        }
    }

    fn hook_fault(&self, fault: &Fault) -> HookFault {
        HookFault {
            status: fault.status().as_u16(),
            blame: match fault.blame() {
                Blame::Guest => HookBlame::Guest,
                Blame::Upstream => HookBlame::Upstream,
                // Those of the client are responses already.
                Blame::Host | Blame::Client => HookBlame::Host,
                Blame::Overload => HookBlame::Overload,
            },
            kind: fault.kind().to_owned(),
            summary: fault.summary().to_owned(),
            middleware: fault.middleware().map(|(name, _)| name.to_owned()),
            service_reached: self.scope.is_reached(),
        }
    }
}

/// A fault after the request went on.
enum Failed {
    /// The link itself failed.
    Here(Fault),
    /// The handler behind the link failed.
    Behind(Fault),
}

fn unreadable_request(error: TakeError) -> Fault {
    match error {
        TakeError::TooLarge => Fault::client(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "the request's body is too large for a middleware",
        ),
        // The client is late, not the guest.
        TakeError::Late => Fault::client(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            "the request's body did not arrive in time",
        ),
        TakeError::Broken(error) => Fault::client(
            StatusCode::BAD_REQUEST,
            "body_aborted",
            "the request's body broke off",
        )
        .caused_by(error),
    }
}
