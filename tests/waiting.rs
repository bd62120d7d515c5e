//! Requests that must wait, inside limits of tower: none is stuck, none keeps what another one needs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/frameworks.rs"]
mod frameworks;

use std::convert::Infallible;
use std::fmt::Debug;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use tokio::sync::mpsc;
use tower::buffer::BufferLayer;
use tower::limit::ConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::timeout::TimeoutLayer;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_mcp_session::{MemoryStore, RequestBody, SessionLayer};

use frameworks::{
    CALL, INITIALIZE, INITIALIZED, begin, delete_in, lives_through, minted, post, post_in, send,
    soon, unknown_id,
};

type Inside = Request<RequestBody<Body>>;

fn layer() -> SessionLayer {
    SessionLayer::new(MemoryStore::new())
}

/// The MCP server, which lets others run before it answers.
async fn yields(request: Inside) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    tokio::task::yield_now().await;
    frameworks::serve_mcp(request).await
}

/// 50 requests at once that must wait: initializes, unknown ids, first requests of half-open sessions, and others.
#[expect(
    clippy::future_not_send,
    reason = "tests send from the thread they run on"
)]
async fn fifty_at_once<S, R>(service: &S)
where
    S: Service<Request<Body>, Response = Response<R>, Error: Debug> + Clone,
    R: http_body::Body<Data = Bytes, Error: Debug>,
{
    let mut half_open = Vec::new();
    for _ in 0..20 {
        half_open.push(begin(service, "/mcp").await);
    }
    let mut requests = Vec::new();
    for (n, id) in half_open.iter().enumerate() {
        requests.push((post("/mcp", INITIALIZE), StatusCode::OK));
        requests.push(match n % 5 {
            0 => (post_in(id, "/mcp", INITIALIZED), StatusCode::ACCEPTED),
            1 => (delete_in(id, "/mcp"), StatusCode::NO_CONTENT),
            _ => (post_in(id, "/mcp", CALL), StatusCode::OK),
        });
    }
    for _ in 0..5 {
        requests.push((post_in(&unknown_id(), "/mcp", CALL), StatusCode::NOT_FOUND));
        requests.push((post("/items", "{}"), StatusCode::OK));
    }
    assert_eq!(requests.len(), 50);
    let sent = requests.into_iter().map(async |(request, expected)| {
        // As a connection does, which keeps its service: what that holds, it holds until the answer is there.
        let mut service = service.clone();
        let answer = service.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(answer.status(), expected);
        answer.into_body().collect().await.unwrap();
    });
    soon(join_all(sent)).await;
}

#[tokio::test]
async fn fifty_requests_that_wait_pass_a_concurrency_limit_of_one_inside() {
    let service = ServiceBuilder::new()
        .layer(layer())
        .layer(ConcurrencyLimitLayer::new(1))
        .service_fn(yields);
    fifty_at_once(&service).await;
    lives_through(&service, "/mcp").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_on_several_threads_and_connections() {
    let limited = ServiceBuilder::new()
        .layer(ConcurrencyLimitLayer::new(1))
        .service(service_fn(yields));
    let router =
        axum::Router::new().route_service("/{*path}", layer().with_audience("mcp").layer(limited));
    let server = frameworks::Server::axum(router).await;
    for client in [server.client(), server.http2_client()] {
        soon(async {
            for _ in 0..3 {
                fifty_at_once(&client).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn fifty_requests_pass_limits_on_both_sides() {
    let service = ServiceBuilder::new()
        .layer(ConcurrencyLimitLayer::new(1))
        .layer(layer())
        .layer(ConcurrencyLimitLayer::new(1))
        .service_fn(yields);
    fifty_at_once(&service).await;
}

#[tokio::test]
async fn a_request_that_is_never_polled_keeps_no_permit() {
    // Each of these was called while its service was ready, and waits for its turn.
    let service = ServiceBuilder::new()
        .layer(layer())
        .layer(ConcurrencyLimitLayer::new(1))
        .service_fn(yields);
    let id = begin(&service, "/mcp").await;
    let mut held = Vec::new();
    for request in [
        post("/mcp", INITIALIZE),
        post_in(&id, "/mcp", CALL),
        post_in(&unknown_id(), "/mcp", CALL),
        post("/items", "{}"),
        delete_in(&unknown_id(), "/mcp"),
    ] {
        let mut service = service.clone();
        let future = soon(service.ready()).await.unwrap().call(request);
        held.push((service, future));
    }
    soon(lives_through(&service, "/mcp")).await;
    for (_, future) in held {
        soon(future).await.unwrap();
    }
}

#[tokio::test]
async fn a_long_request_inside_keeps_the_permit_and_the_rest_waits_for_it() {
    let (enter, mut entered) = mpsc::channel(1);
    let (open, gate) = tokio::sync::watch::channel(false);
    let slow = service_fn(move |request: Inside| {
        let (enter, mut gate) = (enter.clone(), gate.clone());
        async move {
            if request.headers().contains_key("x-slow") {
                enter.send(()).await.unwrap();
                gate.wait_for(|open| *open).await.unwrap();
            }
            frameworks::serve_mcp(request).await
        }
    });
    let service = ServiceBuilder::new()
        .layer(layer())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(slow);
    let id = begin(&service, "/mcp").await;
    send(&service, post_in(&id, "/mcp", CALL)).await;
    let mut request = post_in(&id, "/mcp", CALL);
    request
        .headers_mut()
        .insert("x-slow", HeaderValue::from_static("1"));
    let (long, others) = tokio::join!(tokio::spawn(service.clone().oneshot(request)), async {
        soon(entered.recv()).await.unwrap();
        // What is refused or ended needs no permit inside; tower asks for one first all the same.
        let waiting: Vec<_> = (0..10)
            .map(|_| tokio::spawn(service.clone().oneshot(post("/mcp", INITIALIZE))))
            .collect();
        tokio::task::yield_now().await;
        assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
        open.send(true).unwrap();
        soon(join_all(waiting)).await
    });
    assert_eq!(long.unwrap().unwrap().status(), StatusCode::OK);
    for answer in others {
        minted(&answer.unwrap().unwrap().map(|_| ()));
    }
}

#[tokio::test]
async fn load_shedding_inside_is_the_callers_error() {
    let (enter, mut entered) = mpsc::channel(1);
    let (open, gate) = tokio::sync::watch::channel(false);
    let slow = service_fn(move |request: Inside| {
        let (enter, mut gate) = (enter.clone(), gate.clone());
        async move {
            enter.send(()).await.unwrap();
            gate.wait_for(|open| *open).await.unwrap();
            frameworks::serve_mcp(request).await
        }
    });
    let layer = layer();
    let service = ServiceBuilder::new()
        .layer(layer.clone())
        .layer(LoadShedLayer::new())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(slow);
    let first = tokio::spawn(service.clone().oneshot(post("/mcp", INITIALIZE)));
    soon(entered.recv()).await.unwrap();
    let shed = soon(service.clone().oneshot(post("/mcp", INITIALIZE)))
        .await
        .unwrap_err();
    assert!(shed.is::<tower::load_shed::error::Overloaded>(), "{shed:?}");
    open.send(true).unwrap();
    minted(&soon(first).await.unwrap().unwrap().map(|_| ()));
    soon(async {
        while layer.live_sessions() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_buffer_inside_or_outside_changes_nothing() {
    let inside = ServiceBuilder::new()
        .layer(layer())
        .layer(BufferLayer::new(1))
        .service(service_fn(|request: Inside| Box::pin(yields(request))));
    fifty_at_once(&inside).await;
    lives_through(&inside, "/mcp").await;
    let outside = ServiceBuilder::new()
        .layer(BufferLayer::new(1))
        .layer(layer())
        .service_fn(yields);
    lives_through(&outside, "/mcp").await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_tower_inside_is_the_callers_error_and_leaves_nothing() {
    let layer = layer();
    let service = ServiceBuilder::new()
        .layer(layer.clone())
        .layer(TimeoutLayer::new(Duration::from_secs(5)))
        .service(service_fn(|request: Inside| async move {
            let slow = request.headers().contains_key("x-slow");
            let answer = frameworks::serve_mcp(request).await;
            if slow {
                std::future::pending::<()>().await;
            }
            answer
        }));
    let slow = |mut request: Request<Body>| {
        request
            .headers_mut()
            .insert("x-slow", HeaderValue::from_static("1"));
        request
    };
    let error = service
        .clone()
        .oneshot(slow(post("/mcp", INITIALIZE)))
        .await
        .unwrap_err();
    assert!(error.is::<tower::timeout::error::Elapsed>());
    assert_eq!(layer.live_sessions(), 0);
    let id = begin(&service, "/mcp").await;
    for _ in 0..2 {
        let request = slow(post_in(&id, "/mcp", CALL));
        assert!(service.clone().oneshot(request).await.is_err());
    }
    assert_eq!(
        send(&service, post_in(&id, "/mcp", CALL)).await.status(),
        StatusCode::OK
    );
    let answer = service.oneshot(delete_in(&id, "/mcp")).await.unwrap();
    assert!(
        answer
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .is_empty()
    );
}
