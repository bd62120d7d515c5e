//! The layer asks little of the service inside it: these have no more than that.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/frameworks.rs"]
mod frameworks;

use std::cell::Cell;
use std::convert::Infallible;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio_test::{assert_pending, assert_ready_ok};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_mcp_session::{MemoryStore, RequestBody, Session, SessionContext, SessionLayer};

use frameworks::{
    CALL, INITIALIZE, INITIALIZE_RESULT, SESSION_ID, bare, delete_in, get_in, minted, post,
    post_in, unknown_id,
};

fn layer() -> SessionLayer {
    SessionLayer::new(MemoryStore::new())
}

/// A body that may not be moved once it was polled, nor shared between threads.
struct Awkward {
    text: Cell<Option<Bytes>>,
    _pinned: PhantomPinned,
}

impl Awkward {
    fn new(text: &'static str) -> Self {
        Self {
            text: Cell::new(Some(Bytes::from_static(text.as_bytes()))),
            _pinned: PhantomPinned,
        }
    }
}

impl HttpBody for Awkward {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.text.take().map(|text| Ok(Frame::data(text))))
    }
}

/// A service that is `Clone + Send` and nothing more: no `Sync`, no `Debug`, no `Default`.
#[derive(Clone)]
struct Plain {
    calls: Cell<u32>,
    in_session: &'static str,
}

impl Service<Request<RequestBody<Awkward>>> for Plain {
    type Response = Response<Awkward>;
    type Error = OutOfOrder;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Awkward>, OutOfOrder>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OutOfOrder>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody<Awkward>>) -> Self::Future {
        self.calls.set(self.calls.get() + 1);
        let in_session = self.in_session;
        Box::pin(async move {
            let session = request
                .extensions()
                .get::<SessionContext>()
                .and_then(SessionContext::id);
            let body = request.into_body();
            let length = std::pin::pin!(body).collect_length().await;
            match session {
                Some(_) if length > 0 => Ok(Response::new(Awkward::new(in_session))),
                Some(_) => Err(OutOfOrder(7)),
                None => Ok(Response::new(Awkward::new(INITIALIZE_RESULT))),
            }
        })
    }
}

/// Reads a pinned body that cannot be collected by value.
trait CollectLength {
    async fn collect_length(self) -> usize;
}

impl<B: HttpBody<Data = Bytes, Error = Infallible>> CollectLength for Pin<&mut B> {
    async fn collect_length(mut self) -> usize {
        let mut length = 0;
        while let Some(Ok(frame)) = std::future::poll_fn(|cx| self.as_mut().poll_frame(cx)).await {
            length += frame.data_ref().map_or(0, Bytes::len);
        }
        length
    }
}

/// An error that is nothing but `Send`.
#[derive(Debug, PartialEq)]
struct OutOfOrder(u32);

fn awkward(request: Request<Body>, text: &'static str) -> Request<Awkward> {
    request.map(|_| Awkward::new(text))
}

#[tokio::test]
async fn a_service_and_bodies_that_are_neither_sync_nor_unpin_have_sessions() {
    let service = layer().layer(Plain {
        calls: Cell::new(0),
        in_session: "in a session",
    });
    let answer = service
        .clone()
        .oneshot(awkward(post("/mcp", ""), INITIALIZE))
        .await
        .unwrap();
    let id = minted(&answer.map(|_| ()));
    for _ in 0..3 {
        let request = awkward(post_in(&id, "/mcp", ""), CALL);
        let answer = service.clone().oneshot(request).await.unwrap();
        assert_eq!(
            Box::pin(answer.into_body())
                .collect()
                .await
                .unwrap()
                .to_bytes(),
            "in a session"
        );
    }
    let missing = awkward(post_in(&unknown_id(), "/mcp", ""), CALL);
    assert_eq!(
        service.oneshot(missing).await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn futures_and_services_may_cross_threads() {
    let mut service = layer().layer(Plain {
        calls: Cell::new(0),
        in_session: "",
    });
    let future = service.call(awkward(post("/mcp", ""), INITIALIZE));
    let answer = tokio::spawn(future).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let (service, answer) = std::thread::spawn(move || (service, answer))
        .join()
        .unwrap();
    minted(&answer.map(|_| ()));
    drop(service);
}

#[tokio::test]
async fn an_error_of_the_inner_service_passes_unchanged_on_each_way() {
    let fail = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fail);
    let layer = layer();
    let service = layer.layer(service_fn(move |_: Request<RequestBody<Body>>| {
        let fails = failing.load(Ordering::SeqCst);
        async move {
            if fails {
                Err(OutOfOrder(42))
            } else {
                Ok(Response::new(INITIALIZE_RESULT.to_owned()))
            }
        }
    }));
    let id = minted(
        &service
            .clone()
            .oneshot(post("/mcp", INITIALIZE))
            .await
            .unwrap(),
    );
    fail.store(true, Ordering::SeqCst);
    let mut modern = post("/mcp", CALL);
    modern
        .headers_mut()
        .insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
    for request in [
        post_in(&id, "/mcp", CALL), // half-open: a second look
        post_in(&id, "/mcp", CALL), // known
        get_in(&id, "/mcp"),
        post("/mcp", INITIALIZE),
        modern,
        bare(Method::GET, "/page"),
        post("/items", r#"{"a":1}"#),
    ] {
        assert_eq!(
            service.clone().oneshot(request).await.unwrap_err(),
            OutOfOrder(42)
        );
    }
    assert_eq!(layer.live_sessions(), 1);
    fail.store(false, Ordering::SeqCst);
    assert_eq!(
        service
            .oneshot(delete_in(&id, "/mcp"))
            .await
            .unwrap()
            .status(),
        StatusCode::NO_CONTENT
    );
}

/// A service that is ready, or fails to be, when it is told so.
#[derive(Clone, Default)]
struct Gate {
    open: Arc<AtomicBool>,
    broken: Arc<AtomicBool>,
    ready: bool,
}

impl Service<Request<RequestBody<Body>>> for Gate {
    type Response = Response<Full<Bytes>>;
    type Error = OutOfOrder;
    type Future = std::future::Ready<Result<Response<Full<Bytes>>, OutOfOrder>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), OutOfOrder>> {
        if self.broken.load(Ordering::SeqCst) {
            return Poll::Ready(Err(OutOfOrder(1)));
        }
        if !self.open.load(Ordering::SeqCst) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<RequestBody<Body>>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without being ready"
        );
        std::future::ready(Ok(Response::new(Full::from(INITIALIZE_RESULT))))
    }
}

#[tokio::test]
async fn readiness_is_that_of_the_inner_service() {
    let gate = Gate::default();
    let mut service: Session<Gate> = layer().layer(gate.clone());
    let mut task = tokio_test::task::spawn(());
    assert_pending!(task.enter(|cx, _| service.poll_ready(cx)));
    gate.open.store(true, Ordering::SeqCst);
    assert_ready_ok!(task.enter(|cx, _| service.poll_ready(cx)));
    gate.broken.store(true, Ordering::SeqCst);
    let Poll::Ready(Err(error)) = task.enter(|cx, _| service.poll_ready(cx)) else {
        panic!("an error is lost")
    };
    assert_eq!(error, OutOfOrder(1));
}

#[tokio::test]
async fn the_inner_service_is_ready_whenever_it_is_called() {
    let gate = Gate::default();
    gate.open.store(true, Ordering::SeqCst);
    let service = layer().layer(gate.clone());
    let id = minted(
        &service
            .clone()
            .oneshot(post("/mcp", INITIALIZE))
            .await
            .unwrap(),
    );
    let mut modern = post("/mcp", CALL);
    modern
        .headers_mut()
        .insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
    // One service for all, as on a connection: each request leaves it usable for the next.
    let mut service = service;
    for request in [
        post_in(&id, "/mcp", CALL),
        post_in(&id, "/mcp", CALL),
        post_in(&unknown_id(), "/mcp", CALL),
        post("/mcp", CALL),
        modern,
        bare(Method::GET, "/"),
        post("/mcp", INITIALIZE),
        post_in(&id, "/mcp", CALL),
    ] {
        let answer = service.ready().await.unwrap().call(request).await.unwrap();
        assert!(answer.status() == StatusCode::OK || answer.status().is_client_error());
    }
    // A request that waits asks again, and gets the error that there is by then.
    let waiting = service
        .ready()
        .await
        .unwrap()
        .call(post("/mcp", INITIALIZE));
    gate.broken.store(true, Ordering::SeqCst);
    assert_eq!(waiting.await.unwrap_err(), OutOfOrder(1));
}

#[tokio::test]
async fn bodies_of_a_known_length_keep_it() {
    let service = layer().layer(service_fn(
        |request: Request<RequestBody<Body>>| async move {
            let hint = request.body().size_hint();
            let whole = request.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(hint.exact(), Some(whole.len() as u64));
            Ok::<_, Infallible>(Response::new(Full::from(INITIALIZE_RESULT)))
        },
    ));
    let answer = service
        .clone()
        .oneshot(post("/mcp", INITIALIZE))
        .await
        .unwrap();
    let id = minted(&answer);
    assert_eq!(
        answer.body().size_hint().exact(),
        SizeHint::with_exact(INITIALIZE_RESULT.len() as u64).exact()
    );
    for request in [
        post_in(&id, "/mcp", CALL),
        post_in(&id, "/mcp", CALL),
        post("/items", "{}"),
    ] {
        let answer = service.clone().oneshot(request).await.unwrap();
        assert!(!answer.headers().contains_key(SESSION_ID));
        assert_eq!(
            answer.body().size_hint().exact(),
            Some(INITIALIZE_RESULT.len() as u64)
        );
        assert!(!answer.body().is_end_stream());
    }
}
