//! Requests from services of the same host, and requests that come back too often.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_core::hops::CDN_LOOP;
use headwater_core::{
    Body, Caller, Fault, Handler, InternalService, LoopGuard, RequestId, RequestScope, ScopeParts,
    SpanContext, empty, full,
};
use headwater_telemetry::Metrics;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use crate::testing::{LONG, answer_with, each, get, h1, params, route, start_front};
use crate::{FrontParams, InternalFront, Rate, RouteLimits, Router, ServiceLimits};

fn front(handler: Arc<dyn Handler>, loops: LoopGuard) -> Arc<InternalFront> {
    let route = route("/its/prefix/...", handler);
    Arc::new(InternalFront::new(route, Metrics::default(), loops))
}

fn request() -> Request<Body> {
    Request::get("http://test.internal/p?q")
        .body(empty())
        .unwrap()
}

/// A caller whose request is due after this time.
fn caller(due: Option<Duration>) -> Caller {
    let started = Instant::now();
    let scope = RequestScope::new(ScopeParts {
        id: RequestId::new(),
        parent: None,
        span: SpanContext::NONE,
        service: "caller".into(),
        route: "/...".into(),
        host: None,
        client: None,
        started,
        deadline: due.map(|due| started + due),
    });
    Caller {
        service: "caller".into(),
        scope: Some(scope),
    }
}

fn reporting() -> (Arc<dyn Handler>, mpsc::UnboundedReceiver<Arc<RequestScope>>) {
    let (seen, sees) = mpsc::unbounded_channel();
    let handler = each(move |request: Request<Body>, scope| {
        assert_eq!(request.uri(), "http://test.internal/p?q");
        seen.send(scope).unwrap();
        async { Ok(Response::new(full("ok"))) }
    });
    (handler, sees)
}

#[tokio::test]
async fn a_request_has_a_scope_of_its_own_and_its_answer_names_it() {
    let (handler, mut sees) = reporting();
    let front = front(handler, LoopGuard::default());
    let caller = caller(None);
    let answer = front.call(request(), caller.clone()).await;
    let scope = sees.recv().await.unwrap();
    assert_ne!(scope.id(), caller.scope.unwrap().id());
    assert_eq!(&**scope.service(), "test");
    assert_eq!(&**scope.route(), "/...");
    assert_eq!(scope.client(), None);
    assert_eq!(
        answer.headers()["x-request-id"],
        scope.id().to_string().as_str()
    );
    assert!(!scope.is_over());
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "ok");
    assert!(scope.is_over());
}

#[tokio::test]
async fn it_is_due_with_what_it_is_made_for_unless_that_was_answered() {
    let (handler, mut sees) = reporting();
    let front = front(handler, LoopGuard::default());
    let mut deadline = async |caller: Caller| {
        front.clone().call(request(), caller).await;
        let scope = sees.recv().await.unwrap();
        (scope.started(), scope.deadline().unwrap())
    };
    let soon = caller(Some(LONG / 2));
    let (_, due) = deadline(soon.clone()).await;
    assert_eq!(Some(due), soon.scope.as_ref().unwrap().deadline());
    for caller in [
        caller(Some(LONG * 2)),
        caller(None),
        Caller {
            scope: None,
            ..soon.clone()
        },
    ] {
        let (started, due) = deadline(caller).await;
        assert_eq!(due, started + LONG);
    }
    soon.scope.as_ref().unwrap().set_answered();
    let (started, due) = deadline(soon).await;
    assert_eq!(due, started + LONG);
}

#[tokio::test]
async fn a_fault_is_an_answer_and_a_panic_ends_nobody_else() {
    let overloaded = each(|_, _| async { Err(Fault::overload("test", Duration::from_secs(1))) });
    let answer = front(overloaded, LoopGuard::default())
        .call(request(), caller(None))
        .await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "1");
    let panics = each(|_, _| async { panic!("on purpose") });
    let answer = front(panics, LoopGuard::default())
        .call(request(), caller(None))
        .await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn the_limits_of_a_service_hold_within_and_count_together_with_those_of_its_routes() {
    let limited = |limits: RouteLimits| {
        let mut route = route("/...", answer_with("ok"));
        route.service_limits = Some(ServiceLimits::new(&limits));
        route.limits = limits;
        let router = Router::new([route.clone()]).unwrap();
        let front = InternalFront::new(route, Metrics::default(), LoopGuard::default());
        (Arc::new(front), router)
    };
    let ask = |front: &Arc<InternalFront>| front.clone().call(request(), caller(None));
    // Enters as a request from the network does.
    let enter = |router: &Router| {
        let uri = "http://x/".parse().unwrap();
        let found = router.look_up(&uri).unwrap();
        found
            .entry
            .service_limits
            .as_ref()
            .unwrap()
            .enter()
            .unwrap()
    };

    let (front, router) = limited(RouteLimits {
        max_in_flight: Some(1),
        ..RouteLimits::default()
    });
    let first = ask(&front).await;
    assert_eq!(first.status(), StatusCode::OK);
    let refused = ask(&front).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    // To the last byte, as for the network.
    first.into_body().collect().await.unwrap();
    let place = enter(&router);
    assert_eq!(ask(&front).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(place);
    assert_eq!(ask(&front).await.status(), StatusCode::OK);

    let (front, router) = limited(RouteLimits {
        rate: Some(Rate {
            requests: NonZeroU32::MIN,
            period: LONG,
            burst: NonZeroU32::new(2).unwrap(),
        }),
        ..RouteLimits::default()
    });
    assert_eq!(ask(&front).await.status(), StatusCode::OK);
    enter(&router);
    let refused = ask(&front).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_body_larger_than_the_service_takes_is_413_within_whether_declared_or_not() {
    let reads = each(|request: Request<Body>, _| async {
        let _ = request.into_body().collect().await;
        Ok(Response::new(full("read")))
    });
    let mut route = route("/...", reads);
    route.limits.max_body = Some(4);
    let front = InternalFront::new(route, Metrics::default(), LoopGuard::default());
    let front = Arc::new(front);
    for (body, status) in [
        ("1234", StatusCode::OK),
        ("12345", StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        for declared in [false, true] {
            let mut request = request().map(|_| full(body));
            if declared {
                let length = body.len().into();
                request.headers_mut().insert("content-length", length);
            }
            let answer = front.clone().call(request, caller(None)).await;
            assert_eq!(answer.status(), status, "{body} {declared}");
        }
    }
}

#[tokio::test]
async fn what_came_back_too_often_is_refused_on_either_way() {
    let loops = LoopGuard::new("here", 1).unwrap();
    let handler = answer_with("ok");
    let outer = FrontParams {
        loops: loops.clone(),
        ..FrontParams::default()
    };
    let server = start_front(params(), outer, [route("/...", handler.clone())]).await;
    let front = front(handler, loops.clone());
    let mut connection = h1(server.address).await;
    for (came_through, status) in [
        ("here", StatusCode::OK),
        ("there, there, there", StatusCode::OK),
        ("here, there, here", StatusCode::LOOP_DETECTED),
    ] {
        let mut outer = get("/");
        outer
            .headers_mut()
            .insert(CDN_LOOP, came_through.parse().unwrap());
        let answer = connection.send_request(outer).await.unwrap();
        assert_eq!(answer.status(), status, "{came_through}");
        assert_eq!(loops.has_refused(&answer), status.is_server_error());
        answer.into_body().collect().await.unwrap();

        let mut inner = request();
        inner
            .headers_mut()
            .insert(CDN_LOOP, came_through.parse().unwrap());
        let answer = front.clone().call(inner, caller(None)).await;
        assert_eq!(answer.status(), status, "{came_through}");
        assert_eq!(loops.has_refused(&answer), status.is_server_error());
    }
}
