//! Chains of handlers without a guest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use headwater_core::{
    Attribution, Body, BodyError, Fault, Handler, HandlerFuture, RequestId, RequestScope,
    ScopeParts, SpanContext, SpanId, TraceFlags, TraceId, TraceState, Witness, empty, full,
};
use http::header::CONTENT_LENGTH;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio_util::sync::CancellationToken;

use crate::{Chain, FailMode, MAX_MIDDLEWARES, Middleware, Target};

type Answer = Box<dyn Fn(Request<Body>, Arc<RequestScope>) -> HandlerFuture + Send + Sync>;

/// A handler that a test defines, and the number of its calls.
struct Link {
    answer: Answer,
    calls: AtomicUsize,
}

impl Link {
    fn new<F: Future<Output = Result<Response<Body>, Fault>> + Send + 'static>(
        answer: impl Fn(Request<Body>, Arc<RequestScope>) -> F + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            answer: Box::new(move |request, scope| Box::pin(answer(request, scope))),
            calls: AtomicUsize::new(0),
        })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Handler for Link {
    fn handle(&self, request: Request<Body>, scope: Arc<RequestScope>) -> HandlerFuture {
        self.calls.fetch_add(1, Ordering::Relaxed);
        (self.answer)(request, scope)
    }
}

fn scope(deadline: Option<Duration>) -> Arc<RequestScope> {
    RequestScope::new(ScopeParts {
        id: RequestId::new(),
        parent: None,
        span: SpanContext::new(
            TraceId::from(1_u128),
            SpanId::from(1_u64),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        service: "shop".into(),
        route: "/...".into(),
        host: None,
        client: None,
        started: Instant::now(),
        deadline: deadline.and_then(|deadline| Instant::now().checked_add(deadline)),
    })
}

fn next(
    request: Request<Body>,
    scope: &Arc<RequestScope>,
) -> impl Future<Output = Result<Response<Body>, Fault>> + Send + 'static {
    let next = Arc::clone(scope.next().unwrap());
    let call = scope.call_next();
    let answer = next.call(
        request,
        Attribution::exact(Arc::clone(scope), Witness::Stack),
    );
    async move {
        let _call = call;
        answer.await
    }
}

/// Passes everything on, and reports faults as a middleware's guest does.
fn passing() -> Arc<Link> {
    Link::new(|request, scope| async move {
        next(request, &scope).await.map_err(|fault| {
            scope.set_next_fault(fault);
            Fault::error_code("internal-error")
        })
    })
}

fn service() -> Arc<Link> {
    Link::new(|request, scope| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let text = format!("{} {}", scope.service(), String::from_utf8_lossy(&body));
        Ok(Response::new(full(text)))
    })
}

fn middleware(name: &str, handler: &Arc<Link>) -> Middleware {
    Middleware {
        name: name.into(),
        handler: handler.clone(),
        timeout: None,
        fail: FailMode::Closed,
    }
}

fn chain(middlewares: Vec<Middleware>, service: &Arc<Link>) -> Chain {
    let target = Target {
        service: "shop".into(),
        handler: service.clone(),
        timeout: Duration::from_secs(30),
    };
    Chain::new(middlewares, target).unwrap()
}

fn post(body: &'static str) -> Request<Body> {
    Request::post("http://shop.example/x")
        .body(full(body))
        .unwrap()
}

async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_request_passes_every_link_in_order_and_each_is_introduced_by_its_own_span() {
    let see = |name: &'static str| {
        Link::new(move |mut request: Request<Body>, scope| async move {
            let span = format!("{}", scope.span().span_id());
            let parent = request.headers()["traceparent"].to_str().unwrap();
            assert!(parent.contains(&span), "{parent}");
            let id = request.headers()["x-request-id"].clone();
            assert_eq!(id, *scope.id().to_string());
            assert_eq!(&**scope.service(), name);
            request
                .headers_mut()
                .append("x-seen", name.parse().unwrap());
            next(request, &scope).await
        })
    };
    let service = Link::new(|request: Request<Body>, _| async move {
        let seen = request.headers().get_all("x-seen").iter();
        let seen: Vec<_> = seen.map(|name| name.to_str().unwrap()).collect();
        assert_eq!(request.headers()["host"], "shop.example");
        Ok(Response::new(full(seen.join(","))))
    });
    let chain = chain(
        vec![
            middleware("auth", &see("auth")),
            middleware("trace", &see("trace")),
        ],
        &service,
    );
    let scope = scope(None);
    let response = chain.handle(post(""), scope.clone()).await.unwrap();
    assert_eq!(text(response).await, "auth,trace");
    assert!(scope.is_reached() && !scope.is_over());
}

#[tokio::test]
async fn a_link_may_answer_itself_or_call_the_next_twice() {
    let (alone, shop) = (
        Link::new(|_, _| async { Ok(Response::new(full("alone"))) }),
        service(),
    );
    let answered = chain(vec![middleware("alone", &alone)], &shop);
    let scope = scope(None);
    let response = answered.handle(post("x"), scope.clone()).await.unwrap();
    assert_eq!((text(response).await.as_str(), shop.calls()), ("alone", 0));
    assert!(!scope.is_reached());

    let twice = Link::new(|request: Request<Body>, scope| async move {
        let head = request.uri().clone();
        drop(next(request, &scope).await?);
        let again = Request::post(head).body(full("again")).unwrap();
        next(again, &scope).await
    });
    let response = chain(vec![middleware("twice", &twice)], &shop)
        .handle(post("x"), scope)
        .await
        .unwrap();
    assert_eq!(
        (text(response).await.as_str(), shop.calls()),
        ("shop again", 2)
    );
}

#[tokio::test]
async fn a_fault_names_the_middleware_that_failed_and_keeps_its_status_on_the_way_out() {
    let traps = Link::new(|_, _| async { Err(Fault::trap()) });
    let full =
        Link::new(|_, _| async { Err(Fault::overload("queue_full", Duration::from_secs(3))) });
    let shop = service();
    let fault = |middlewares: Vec<(&str, &Arc<Link>)>, shop: &Arc<Link>| {
        let links = middlewares.into_iter();
        let links = links.map(|(name, handler)| middleware(name, handler));
        let chain = chain(links.collect(), shop);
        async move { chain.handle(post(""), scope(None)).await.unwrap_err() }
    };
    let of = fault(vec![("auth", &traps)], &shop).await;
    assert_eq!(
        (of.middleware(), of.kind()),
        (Some(("auth", false)), "trap")
    );
    let behind = fault(vec![("pass", &passing()), ("auth", &full)], &shop).await;
    assert_eq!(behind.middleware(), Some(("auth", false)));
    assert_eq!(behind.retry_after(), Some(Duration::from_secs(3)));
    // The service's own fault is nobody else's.
    let services = fault(vec![("pass", &passing())], &traps).await;
    assert_eq!((services.middleware(), services.kind()), (None, "trap"));
    let after = Link::new(|request, scope| async move {
        drop(next(request, &scope).await);
        Err(Fault::trap())
    });
    let after = fault(vec![("late", &after)], &shop).await;
    assert_eq!(after.middleware(), Some(("late", true)));
}

#[tokio::test]
async fn a_fault_of_the_client_is_a_response_for_the_middleware() {
    let missing = Link::new(|_, _| async {
        Err(Fault::client(
            StatusCode::NOT_FOUND,
            "not_found",
            "nothing is here",
        ))
    });
    let chain = chain(vec![middleware("pass", &passing())], &missing);
    let response = chain.handle(post(""), scope(None)).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(
        text(response)
            .await
            .starts_with("nothing is here (request ")
    );
}

#[tokio::test]
async fn a_response_that_cannot_be_is_the_fault_of_the_middleware_that_made_it() {
    let make = |change: fn(&mut Response<Body>)| {
        Link::new(move |_, _| {
            let mut response = Response::new(full("four"));
            change(&mut response);
            async { Ok(response) }
        })
    };
    let bad: [fn(&mut Response<Body>); 4] = [
        |it| *it.status_mut() = StatusCode::EARLY_HINTS,
        |it| drop(it.headers_mut().insert(CONTENT_LENGTH, 5.into())),
        |it| {
            drop(
                it.headers_mut()
                    .insert(CONTENT_LENGTH, "x".parse().unwrap()),
            )
        },
        |it| {
            for _ in 0..9_999 {
                it.headers_mut().append("x-many", 1.into());
            }
        },
    ];
    for (index, change) in bad.into_iter().enumerate() {
        let link = make(change);
        let chain = chain(vec![middleware("bad", &link)], &service());
        let fault = chain.handle(post(""), scope(None)).await.unwrap_err();
        let told = (fault.middleware(), fault.kind(), fault.status().as_u16());
        assert_eq!(told, (Some(("bad", false)), "bad_response", 500), "{index}");
    }
    // A HEAD has the length of a body that it does not have.
    let link = make(|it| drop(it.headers_mut().insert(CONTENT_LENGTH, 5.into())));
    let chain = chain(vec![middleware("good", &link)], &service());
    let head = Request::head("http://shop.example/").body(empty()).unwrap();
    assert!(chain.handle(head, scope(None)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_middleware_that_is_too_late_is_named_and_what_it_waits_for_is_not_to_blame() {
    let never = || Link::new(|_, _| std::future::pending());
    let limited = |name: &str, handler: &Arc<Link>| Middleware {
        timeout: Some(Duration::from_secs(1)),
        ..middleware(name, handler)
    };
    let hangs = chain(vec![limited("slow", &never())], &service());
    let fault = hangs.handle(post(""), scope(None)).await.unwrap_err();
    assert!(fault.is_deadline());
    assert_eq!(fault.middleware(), Some(("slow", false)));
    // It waits for another, which hangs.
    let waits = vec![limited("outer", &passing()), middleware("inner", &never())];
    let fault = chain(waits, &service()).handle(post(""), scope(None)).await;
    assert_eq!(fault.unwrap_err().middleware(), Some(("inner", false)));
}

#[tokio::test]
async fn a_chain_goes_on_without_an_open_middleware_that_failed_before_it_touched_the_request() {
    let open = |handler: &Arc<Link>| Middleware {
        fail: FailMode::Open,
        ..middleware("open", handler)
    };
    let shop = service();
    for (handler, goes_on) in [
        (Link::new(|_, _| async { Err(Fault::trap()) }), true),
        (
            Link::new(|_, _| async { Err(Fault::overload("circuit_open", Duration::ZERO)) }),
            true,
        ),
        // These were there for the request.
        (
            Link::new(|_, _| async { Err(Fault::error_code("denied")) }),
            false,
        ),
        (
            Link::new(|request: Request<Body>, _| async {
                let mut body = request.into_body();
                let _ = body.frame().await;
                Err(Fault::trap())
            }),
            false,
        ),
        (
            Link::new(|request, scope| async move {
                drop(next(request, &scope).await);
                Err(Fault::trap())
            }),
            false,
        ),
    ] {
        let chain = chain(vec![open(&handler)], &shop);
        let answer = chain.handle(post("body"), scope(None)).await;
        match goes_on {
            true => assert_eq!(text(answer.unwrap()).await, "shop body"),
            false => assert_eq!(
                answer.unwrap_err().middleware().map(|(name, _)| name),
                Some("open")
            ),
        }
    }
}

#[tokio::test]
async fn whoever_leaves_cancels_every_link_and_a_complete_answer_cancels_none() {
    let scopes = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let note = |scopes: &Arc<parking_lot::Mutex<Vec<Arc<RequestScope>>>>, waits: bool| {
        let scopes = scopes.clone();
        Link::new(move |request: Request<Body>, scope: Arc<RequestScope>| {
            scopes.lock().push(scope.clone());
            async move {
                match scope.next() {
                    Some(_) => next(request, &scope).await,
                    None if waits => std::future::pending().await,
                    None => Ok(Response::new(full("x"))),
                }
            }
        })
    };
    let (link, hanging) = (note(&scopes, false), note(&scopes, true));
    let waits = chain(
        vec![middleware("a", &link), middleware("b", &link)],
        &hanging,
    );
    assert!(waits.handle(post(""), scope(None)).now_or_never().is_none());
    assert_eq!(scopes.lock().len(), 3);
    assert!(scopes.lock().iter().all(|scope| scope.is_cancelled()));

    scopes.lock().clear();
    let answers = chain(vec![middleware("a", &link)], &link);
    let response = answers.handle(post(""), scope(None)).await.unwrap();
    assert!(scopes.lock().iter().all(|scope| !scope.is_over()));
    assert_eq!(text(response).await, "x");
    let all = |is: fn(&Arc<RequestScope>) -> bool| scopes.lock().iter().all(is);
    assert!(all(|scope| scope.is_over() && !scope.is_cancelled()));

    scopes.lock().clear();
    drop(answers.handle(post(""), scope(None)).await.unwrap());
    assert!(all(|scope| scope.is_cancelled()));
}

#[tokio::test]
async fn a_response_that_breaks_off_names_the_link_that_broke_it() {
    let broken = Link::new(|_, _| async {
        let frames: [Result<Frame<Bytes>, BodyError>; 2] =
            [Ok(Frame::data("half".into())), Err(Fault::trap().into())];
        let body = StreamBody::new(futures::stream::iter(frames));
        Ok(Response::new(BodyExt::boxed_unsync(body)))
    });
    let chain = chain(
        vec![
            middleware("pass", &passing()),
            middleware("broken", &broken),
        ],
        &service(),
    );
    let response = chain.handle(post(""), scope(None)).await.unwrap();
    let error = response.into_body().collect().await.unwrap_err();
    let fault = error.downcast::<Fault>().unwrap();
    assert_eq!(fault.middleware(), Some(("broken", false)));
}

#[test]
fn a_chain_has_sixteen_middlewares_at_most() {
    let link = service();
    let of = |many| {
        let target = Target {
            service: "shop".into(),
            handler: link.clone(),
            timeout: Duration::from_secs(1),
        };
        Chain::new(vec![middleware("a", &link); many], target).map(drop)
    };
    assert!(of(MAX_MIDDLEWARES).is_ok());
    let error = of(MAX_MIDDLEWARES + 1).unwrap_err();
    assert!(error.to_string().contains("at most 16"), "{error}");
}

#[tokio::test]
async fn a_token_of_a_cancelled_link_is_cancelled() {
    let token: Arc<parking_lot::Mutex<Option<CancellationToken>>> = Arc::default();
    let hangs = Link::new({
        let token = token.clone();
        move |_, scope: Arc<RequestScope>| {
            *token.lock() = Some(scope.cancelled().clone());
            std::future::pending()
        }
    });
    let chain = chain(vec![middleware("hangs", &hangs)], &service());
    drop(chain.handle(post(""), scope(None)).now_or_never());
    assert!(token.lock().take().unwrap().is_cancelled());
}

mod layers {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tower_layer::layer_fn;
    use tower_service::Service;

    use super::*;
    use crate::{NextService, native};

    /// A service that a test defines around the next.
    #[derive(Clone)]
    struct Around<F>(F, NextService);

    type Answered = Result<Response<Body>, BodyError>;

    impl<F, R> Service<Request<Body>> for Around<F>
    where
        F: Fn(Request<Body>, NextService) -> R,
        R: Future<Output = Answered> + Send + 'static,
    {
        type Response = Response<Body>;
        type Error = BodyError;
        type Future = Pin<Box<dyn Future<Output = Answered> + Send>>;

        fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            Box::pin((self.0)(request, self.1.clone()))
        }
    }

    fn around<F, R>(answer: F) -> Arc<dyn Handler>
    where
        F: Fn(Request<Body>, NextService) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Answered> + Send + 'static,
    {
        native(layer_fn(move |next| Around(answer.clone(), next)))
    }

    async fn answer(layer: Arc<dyn Handler>, service: Arc<Link>) -> Result<Response<Body>, Fault> {
        let layer = Middleware {
            name: "layer".into(),
            handler: layer,
            timeout: None,
            fail: FailMode::Closed,
        };
        chain(vec![layer], &service)
            .handle(post("x"), scope(None))
            .await
    }

    #[tokio::test]
    async fn a_layer_calls_what_is_behind_it_as_often_as_it_likes() {
        let service = Link::new(async |_, _| Ok(Response::new(full("service"))));
        let twice = around(|request: Request<Body>, mut next| async move {
            let (parts, _) = request.into_parts();
            let first = next
                .call(Request::from_parts(parts.clone(), empty()))
                .await?;
            drop(first);
            next.call(Request::from_parts(parts, empty())).await
        });
        let answered = answer(twice, service.clone()).await.unwrap();
        assert_eq!(text(answered).await, "service");
        assert_eq!(service.calls(), 2);
        let alone = around(async |_, _| Ok(Response::new(full("layer"))));
        let answered = answer(alone, service.clone()).await.unwrap();
        assert_eq!(text(answered).await, "layer");
        assert_eq!(service.calls(), 2);
    }

    #[tokio::test]
    async fn a_layer_is_blamed_for_its_own_errors_and_not_for_those_behind_it() {
        let trap = || Link::new(async |_, _| Err(Fault::trap()));
        let passes =
            around(|request, mut next: NextService| async move { next.call(request).await });
        let fault = answer(passes, trap()).await.unwrap_err();
        assert_eq!((fault.kind(), fault.middleware()), ("trap", None));
        let fails = around(async |_, _| Err("no database".into()));
        let fault = answer(fails, trap()).await.unwrap_err();
        assert_eq!(
            (fault.kind(), fault.cause().as_deref()),
            ("middleware", Some("no database"))
        );
        assert_eq!(fault.middleware(), Some(("layer", false)));
        let forgets = around(
            |mut request: Request<Body>, mut next: NextService| async move {
                request.extensions_mut().clear();
                next.call(request).await
            },
        );
        let fault = answer(forgets, trap()).await.unwrap_err();
        assert!(fault.cause().unwrap().contains("extensions"), "{fault:?}");
    }
}
