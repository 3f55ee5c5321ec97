//! Requests to services of the same host. Here the other side is a closure; tests of the front
//! cover what its front does.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::hops::CDN_LOOP;
use headwater_core::{
    AnswerFuture, Attribution, Body, BodyError, Caller, InternalService, LoopGuard, full,
};
use http::header::CONTENT_LENGTH;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use tokio::sync::{mpsc, oneshot};

use crate::testing::{SHORT, attributed, get, scope, whole};
use crate::{
    Egress, EgressError, EgressLimits, EgressParams, Grants, InternalServices, Proxy, SendOptions,
};

struct Each<F>(F);

impl<F, R> InternalService for Each<F>
where
    F: Fn(Request<Body>, Caller) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    fn call(self: Arc<Self>, request: Request<Body>, caller: Caller) -> AnswerFuture {
        Box::pin((self.0)(request, caller))
    }
}

/// The service `other`, and an egress of `test` that may call it.
struct Neighbour<S> {
    egress: Egress,
    _service: Arc<S>,
}

fn neighbour<F, R>(grants: &[&str], f: F) -> Neighbour<Each<F>>
where
    F: Fn(Request<Body>, Caller) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let service = Arc::new(Each(f));
    let internal = InternalServices::default();
    internal.connect([("other", &service)]).unwrap();
    let egress = Egress::new(EgressParams {
        grants: Grants::parse(grants).unwrap(),
        internal,
        ..EgressParams::new("test")
    });
    Neighbour {
        egress,
        _service: service,
    }
}

const GRANT: &[&str] = &["http://other.internal"];

impl<S> Neighbour<S> {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, EgressError> {
        let options = SendOptions::default();
        let sending = self.egress.send(request, options, attributed(&scope()));
        sending.await
    }
}

async fn ok(_: Request<Body>, _: Caller) -> Response<Body> {
    Response::new(full("ok"))
}

#[tokio::test]
async fn the_other_service_gets_what_a_client_would_have_sent_and_hears_who_calls() {
    let (seen, mut sees) = mpsc::unbounded_channel();
    let other = neighbour(GRANT, move |request, caller| {
        seen.send((request, caller)).unwrap();
        async { Response::new(full("ok")) }
    });
    let scope = scope();
    let request = Request::post("http://OTHER.internal/a?b")
        .header("host", "forged.example")
        .header("connection", "x-secret")
        .header("x-secret", "1")
        .header("x-own", "2")
        .body(full("body"))
        .unwrap();
    let sending = other
        .egress
        .send(request, SendOptions::default(), attributed(&scope));
    let answer = sending.await.unwrap();
    assert_eq!(whole(answer.into_body()).await.unwrap(), "ok");

    let (request, caller) = sees.recv().await.unwrap();
    assert_eq!(&*caller.service, "test");
    assert_eq!(caller.scope.unwrap().id(), scope.id());
    let headers = request.headers();
    assert_eq!(request.uri(), "http://OTHER.internal/a?b");
    assert_eq!(headers["host"], "OTHER.internal");
    assert_eq!(headers["x-own"], "2");
    assert!(!headers.contains_key("x-secret") && !headers.contains_key("connection"));
    let span = headwater_telemetry::propagation::extract(headers).unwrap();
    assert_eq!(span.trace_id(), scope.span().trace_id());
    assert_ne!(span.span_id(), scope.span().span_id());
    assert_eq!(whole(request.into_body()).await.unwrap(), "body");
}

#[tokio::test]
async fn a_service_is_reached_by_a_grant_that_names_it_and_by_no_other() {
    for grants in [
        GRANT,
        &["other.internal"],
        &["*.internal"],
        &["http://OTHER.internal:80"],
    ] {
        neighbour(grants, ok)
            .send(get("http://other.internal/"))
            .await
            .unwrap();
    }
    for grants in [&[][..], &["*"], &["http://*"], &["http://another.internal"]] {
        let denied = neighbour(grants, ok)
            .send(get("http://other.internal/"))
            .await;
        assert!(
            matches!(denied, Err(EgressError::Denied { .. })),
            "{grants:?}: {denied:?}"
        );
    }
}

#[tokio::test]
async fn a_name_that_no_service_has_is_asked_of_nobody() {
    let other = neighbour(&["*.internal"], ok);
    let error = other
        .send(get("http://nobody.internal/"))
        .await
        .unwrap_err();
    assert!(matches!(error, EgressError::Dns { .. }), "{error:?}");
    let error = other
        .send(get("https://other.internal/"))
        .await
        .unwrap_err();
    assert!(matches!(error, EgressError::Internal { .. }), "{error:?}");
}

/// Promise: a remedy works.
#[tokio::test]
async fn what_is_not_spoken_within_the_host_is_not_told_to_be_granted() {
    for (grants, uri, told) in [
        (
            &[][..],
            "https://other.internal/",
            "https://other.internal:443 are not granted to this service: there is no TLS within the host: \
             write http://other.internal, and allow them with --allow-outgoing http://other.internal",
        ),
        (
            &[][..],
            "http://other.internal:8080/",
            "http://other.internal:8080 are not granted to this service: there are no ports within the \
             host: write http://other.internal, and allow them with --allow-outgoing http://other.internal",
        ),
        (
            GRANT,
            "https://other.internal/",
            "there is no TLS within the host: write http://other.internal",
        ),
    ] {
        let other = neighbour(grants, ok);
        let denied = other.send(get(uri)).await.unwrap_err();
        assert!(matches!(denied, EgressError::Denied { .. }), "{denied:?}");
        let denied = denied.to_string();
        assert!(denied.ends_with(told), "{denied}");
    }
}

#[tokio::test]
async fn bodies_stream_both_ways_and_no_faster_than_they_are_read() {
    let other = neighbour(GRANT, |request, _| async {
        Response::new(request.into_body())
    });
    let (mut sender, body) = Channel::<Bytes, BodyError>::new(1);
    let request = Request::post("http://other.internal/")
        .body(body.boxed_unsync())
        .unwrap();
    let mut answer = other.send(request).await.unwrap().into_body();
    for chunk in ["one", "two"] {
        sender.send_data(chunk.into()).await.unwrap();
        let frame = answer.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), chunk);
    }
    // The channel holds one part, and nothing in between buffers.
    sender.send_data("three".into()).await.unwrap();
    let mut waits = pin!(sender.send_data("four".into()));
    let polled = poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx))).await;
    assert!(polled.is_pending());
    answer.frame().await.unwrap().unwrap();
    waits.await.unwrap();
}

/// A service that reads its whole request and then answers with this body, and reports whether it
/// could.
fn reader(
    length: Option<u64>,
    answer: fn(&mut Sender<Bytes, BodyError>),
) -> (
    Neighbour<impl InternalService>,
    mpsc::UnboundedReceiver<bool>,
) {
    let (read, reads) = mpsc::unbounded_channel();
    let other = neighbour(GRANT, move |request: Request<Body>, _| {
        let read = read.clone();
        async move {
            let whole = request.into_body().collect().await.is_ok();
            read.send(whole).unwrap();
            let (mut sender, body) = Channel::<Bytes, BodyError>::new(1);
            sender.send_data("some".into()).await.unwrap();
            answer(&mut sender);
            let mut response = Response::new(body.boxed_unsync());
            if let Some(length) = length {
                response.headers_mut().insert(CONTENT_LENGTH, length.into());
            }
            response
        }
    });
    (other, reads)
}

#[tokio::test]
async fn a_body_that_is_cut_is_an_error_at_both_ends() {
    let (other, mut reads) = reader(None, |sender| {
        let (cut, _) = Channel::<Bytes, BodyError>::new(1);
        std::mem::replace(sender, cut).abort("torn".into());
    });
    let answer = other.send(get("http://other.internal/")).await.unwrap();
    assert!(reads.recv().await.unwrap());
    let error = whole(answer.into_body()).await.unwrap_err();
    let error = error.downcast_ref::<EgressError>();
    assert!(
        matches!(error, Some(EgressError::ResponseIncomplete(_))),
        "{error:?}"
    );

    let (sender, body) = Channel::<Bytes, BodyError>::new(1);
    sender.abort("torn".into());
    let request = Request::post("http://other.internal/")
        .body(body.boxed_unsync())
        .unwrap();
    let error = other.send(request).await.unwrap_err();
    assert!(matches!(error, EgressError::RequestBody(_)), "{error:?}");
    assert!(!reads.recv().await.unwrap());
}

#[tokio::test]
async fn a_body_is_as_long_as_it_was_said_to_be_or_cut() {
    let (other, mut reads) = reader(Some(3), |_| {});
    let answer = other.send(get("http://other.internal/")).await.unwrap();
    assert!(reads.recv().await.unwrap());
    whole(answer.into_body()).await.unwrap_err();

    let (mut sender, body) = Channel::<Bytes, BodyError>::new(1);
    sender.send_data("too long".into()).await.unwrap();
    let request = Request::post("http://other.internal/")
        .header(CONTENT_LENGTH, 3)
        .body(body.boxed_unsync())
        .unwrap();
    let error = other.send(request).await.unwrap_err();
    assert!(matches!(error, EgressError::ContentLength), "{error:?}");
    assert!(!reads.recv().await.unwrap());
}

#[tokio::test]
async fn a_response_s_body_has_the_length_that_it_was_said_to_have_or_is_cut() {
    async fn read(length: Option<u64>, chunks: &'static [&'static str]) -> Result<Bytes, String> {
        let other = neighbour(GRANT, move |_, _| async move {
            let (mut sender, body) = Channel::<Bytes, BodyError>::new(chunks.len().max(1));
            for chunk in chunks {
                sender.send_data((*chunk).into()).await.unwrap();
            }
            let mut response = Response::new(body.boxed_unsync());
            if let Some(length) = length {
                response.headers_mut().insert(CONTENT_LENGTH, length.into());
            }
            response
        });
        let answer = other.send(get("http://other.internal/")).await.unwrap();
        let read = whole(answer.into_body()).await;
        read.map_err(|error| headwater_core::explain(&*error))
    }
    assert_eq!(read(None, &["ab", "c"]).await.unwrap(), "abc");
    assert_eq!(read(Some(3), &["ab", "c"]).await.unwrap(), "abc");
    assert_eq!(read(Some(0), &[]).await.unwrap(), "");
    for (length, chunks, said) in [
        (2, &["ab", "c"][..], "longer"),
        (4, &["ab", "c"], "shorter"),
        (1, &[], "shorter"),
    ] {
        let error = read(Some(length), chunks).await.unwrap_err();
        assert!(error.contains(said), "{length}: {error}");
    }
}

#[tokio::test]
async fn limits_hold_within_the_host_and_a_proxy_s_password_stays_out_of_it() {
    let service = Arc::new(Each(|request: Request<Body>, _| async move {
        assert!(!request.headers().contains_key("proxy-authorization"));
        let _ = request.into_body().collect().await;
        Response::new(full("four"))
    }));
    let internal = InternalServices::default();
    internal.connect([("other", &service)]).unwrap();
    let egress = |limits| {
        Egress::new(EgressParams {
            grants: Grants::parse(GRANT).unwrap(),
            internal: internal.clone(),
            proxy: Proxy::new("http://me:secret@127.0.0.1:9", "").unwrap(),
            limits,
            ..EgressParams::new("test")
        })
    };
    let send = |egress: Egress| {
        let request = Request::post("http://other.internal/").body(full("four"));
        egress.send(
            request.unwrap(),
            SendOptions::default(),
            Attribution::unknown(),
        )
    };
    let kind = async |limits| send(egress(limits)).await.unwrap_err().kind();

    let most = egress(EgressLimits {
        max_requests: 1,
        wait: Duration::ZERO,
        ..EgressLimits::default()
    });
    let first = send(most.clone()).await.unwrap();
    assert!(matches!(
        send(most.clone()).await,
        Err(EgressError::Limit(_))
    ));
    drop(first);
    send(most).await.unwrap();
    let request_body = Some(3);
    let limits = EgressLimits {
        request_body,
        ..EgressLimits::default()
    };
    assert_eq!(kind(limits).await, "request_body_size");
    let limits = EgressLimits {
        response_body: Some(3),
        ..EgressLimits::default()
    };
    assert_eq!(kind(limits).await, "response_body_size");
}

#[tokio::test]
async fn a_caller_that_goes_away_ends_what_it_waits_for() {
    let (gone, goes) = oneshot::channel::<()>();
    let gone = std::sync::Mutex::new(Some(gone));
    let (began, mut begins) = mpsc::unbounded_channel();
    let other = neighbour(GRANT, move |_, _| {
        let held = gone.lock().unwrap().take();
        began.send(()).unwrap();
        async move {
            let _held = held;
            pending().await
        }
    });
    let sending = Box::pin(other.send(get("http://other.internal/")));
    tokio::select! {
        _ = sending => unreachable!("nobody answers"),
        _ = begins.recv() => {}
    }
    // The sender is dropped without a value, together with its future.
    goes.await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_longer_than_the_guest_gives_it_is_none() {
    let other = neighbour(GRANT, |_, _| pending());
    let options = SendOptions {
        first_byte_timeout: Some(SHORT),
        ..SendOptions::default()
    };
    let sending = other.egress.send(
        get("http://other.internal/"),
        options,
        Attribution::unknown(),
    );
    let error = sending.await.unwrap_err();
    assert!(matches!(error, EgressError::FirstByteTimeout), "{error:?}");
}

#[tokio::test]
async fn what_a_request_came_through_is_told_and_a_refusal_is_a_detected_loop() {
    let loops = LoopGuard::new("here", 1).unwrap();
    let (seen, mut sees) = mpsc::unbounded_channel();
    let guard = loops.clone();
    let service = Arc::new(Each(move |request: Request<Body>, _| {
        let hops = guard.read(request.headers());
        seen.send(request.headers()[CDN_LOOP].clone()).unwrap();
        let mut response = Response::new(full("ok"));
        if guard.admit(&hops).is_err() {
            *response.status_mut() = StatusCode::LOOP_DETECTED;
            guard.sign(&mut response);
        }
        async { response }
    }));
    let internal = InternalServices::default();
    internal.connect([("other", &service)]).unwrap();
    let egress = Egress::new(EgressParams {
        grants: Grants::parse(GRANT).unwrap(),
        internal,
        loops: loops.clone(),
        ..EgressParams::new("test")
    });
    let send = async |came_through: Option<&'static str>| {
        let mut request = get("http://other.internal/");
        // The guest set these: they are ignored.
        let headers = request.headers_mut();
        headers.insert(CDN_LOOP, "forged".parse().unwrap());
        if let Some(came_through) = came_through {
            let mut received = http::HeaderMap::new();
            received.insert(CDN_LOOP, came_through.parse().unwrap());
            request.extensions_mut().insert(loops.read(&received));
        }
        let sending = egress.send(request, SendOptions::default(), Attribution::unknown());
        sending.await.map(|answer| answer.status())
    };
    assert_eq!(send(None).await.unwrap(), StatusCode::OK);
    assert_eq!(sees.recv().await.unwrap(), "here");
    let error = send(Some("there, here")).await.unwrap_err();
    assert!(matches!(error, EgressError::LoopDetected), "{error:?}");
    assert_eq!(sees.recv().await.unwrap(), "there, here, here");
}
