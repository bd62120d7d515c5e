//! The layer on hyper alone: HTTP/1.1 and HTTP/2 over sockets, bodies of hyper and of others.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/frameworks.rs"]
mod frameworks;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt, service_fn};
use tower_mcp_session::testing::ManualClock;
use tower_mcp_session::{MemoryStore, RequestBody, SessionContext, SessionLayer};

use frameworks::{
    CALL, INITIALIZE, INITIALIZE_RESULT, Server, bare, begin, counted, get_in, lives_through, post,
    post_in, send, soon,
};

fn layer() -> SessionLayer {
    SessionLayer::new(MemoryStore::new())
}

/// Accepts connections for ever, and runs `connection` for each.
macro_rules! accept {
    ($listener:expr, |$io:ident| $connection:expr) => {
        loop {
            let (stream, _) = $listener.accept().await.unwrap();
            let $io = TokioIo::new(stream);
            let connection = $connection;
            // A connection that the client closes is no concern of the test.
            tokio::spawn(async move { drop(connection.await) });
        }
    };
}

async fn http1_server(layer: SessionLayer) -> Server {
    let service = TowerToHyperService::new(
        layer.layer(service_fn(frameworks::serve_mcp::<RequestBody<Incoming>>)),
    );
    Server::with(|listener: TcpListener| async move {
        accept!(listener, |io| http1::Builder::new()
            .serve_connection(io, service.clone()))
    })
    .await
}

#[tokio::test]
async fn sessions_live_over_http1() {
    let server = http1_server(layer()).await;
    let client = server.client();
    lives_through(&client, "/mcp").await;
    let answer = client
        .clone()
        .oneshot(post("/mcp", INITIALIZE))
        .await
        .unwrap();
    assert_eq!(answer.version(), Version::HTTP_11);
}

#[tokio::test]
async fn sessions_live_over_http2() {
    let service = TowerToHyperService::new(
        layer().layer(service_fn(frameworks::serve_mcp::<RequestBody<Incoming>>)),
    );
    let server = Server::with(|listener: TcpListener| async move {
        accept!(listener, |io| http2::Builder::new(TokioExecutor::new())
            .serve_connection(io, service.clone()))
    })
    .await;
    let client = server.http2_client();
    lives_through(&client, "/mcp").await;
    let answer = client
        .clone()
        .oneshot(post("/mcp", INITIALIZE))
        .await
        .unwrap();
    assert_eq!(answer.version(), Version::HTTP_2);
}

#[tokio::test]
async fn a_session_is_the_same_over_both_protocols() {
    let service = TowerToHyperService::new(
        layer().layer(service_fn(frameworks::serve_mcp::<RequestBody<Incoming>>)),
    );
    let server = Server::with(|listener: TcpListener| async move {
        accept!(listener, |io| {
            let service = service.clone();
            async move {
                auto::Builder::new(TokioExecutor::new())
                    .serve_connection(io, service)
                    .await
            }
        })
    })
    .await;
    let id = begin(&server.client(), "/mcp").await;
    assert_eq!(
        send(&server.http2_client(), post_in(&id, "/mcp", CALL))
            .await
            .body(),
        &counted(1)
    );
    assert_eq!(
        send(&server.client(), post_in(&id, "/mcp", CALL))
            .await
            .body(),
        &counted(2)
    );
}

#[tokio::test]
async fn services_with_bodies_of_their_own_fit() {
    async fn text(request: Request<RequestBody<Incoming>>) -> Result<Response<String>, Infallible> {
        let has_session = request
            .extensions()
            .get::<SessionContext>()
            .is_some_and(|session| session.id().is_some());
        Ok(Response::new(
            if has_session {
                "in a session"
            } else {
                INITIALIZE_RESULT
            }
            .to_owned(),
        ))
    }
    async fn full(
        request: Request<RequestBody<Incoming>>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(text(request).await?.map(Full::from))
    }
    async fn boxed(
        request: Request<RequestBody<Incoming>>,
    ) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
        Ok(full(request).await?.map(BodyExt::boxed_unsync))
    }
    macro_rules! lives {
        ($service:expr) => {{
            let service = TowerToHyperService::new(layer().layer(service_fn($service)));
            let server = Server::with(|listener: TcpListener| async move {
                accept!(listener, |io| http1::Builder::new()
                    .serve_connection(io, service.clone()))
            })
            .await;
            let id = begin(&server.client(), "/").await;
            assert_eq!(
                send(&server.client(), post_in(&id, "/", CALL)).await.body(),
                "in a session"
            );
        }};
    }
    lives!(text);
    lives!(full);
    lives!(boxed);
}

#[tokio::test]
async fn an_error_of_the_service_ends_the_connection_as_without_the_layer() {
    #[derive(Debug, thiserror::Error)]
    #[error("out of order")]
    struct OutOfOrder;
    async fn fails(_: Request<RequestBody<Incoming>>) -> Result<Response<String>, OutOfOrder> {
        Err(OutOfOrder)
    }
    let layer = layer();
    let service = TowerToHyperService::new(layer.layer(service_fn(fails)));
    let server = Server::with(|listener: TcpListener| async move {
        accept!(listener, |io| http1::Builder::new()
            .serve_connection(io, service.clone()))
    })
    .await;
    for request in [post("/mcp", INITIALIZE), bare(Method::GET, "/")] {
        assert!(soon(server.client().oneshot(request)).await.is_err());
    }
    assert_eq!(layer.live_sessions(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_frees_its_session() {
    let clock = ManualClock::new();
    let layer = layer()
        .with_clock(clock.clone())
        .with_idle_timeout(Duration::from_secs(60));
    let server = http1_server(layer.clone()).await;
    let id = begin(&server.client(), "/mcp").await;
    assert_eq!(
        send(&server.client(), post_in(&id, "/mcp", CALL))
            .await
            .status(),
        StatusCode::OK
    );
    let mut stream = server.client().oneshot(get_in(&id, "/mcp")).await.unwrap();
    soon(stream.body_mut().frame()).await.unwrap().unwrap();

    // A session with an open stream is busy, and does not expire.
    clock.advance(Duration::from_secs(120));
    assert_eq!(
        send(&server.client(), post_in(&id, "/mcp", CALL))
            .await
            .body(),
        &counted(2)
    );
    drop(stream);
    soon(async {
        // hyper sees the closed connection in its own time.
        while layer.live_sessions() > 0 {
            clock.advance(Duration::from_secs(61));
            layer.clean_up().await.unwrap();
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(
        send(&server.client(), post_in(&id, "/mcp", CALL))
            .await
            .status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_initialize_leaves_nothing() {
    let layer = layer();
    let (entered, mut inside) = tokio::sync::mpsc::channel(1);
    let (release, gate) = tokio::sync::watch::channel(false);
    let slow = service_fn(move |request: Request<RequestBody<Incoming>>| {
        let (entered, mut gate) = (entered.clone(), gate.clone());
        async move {
            drop(request);
            entered.send(()).await.unwrap();
            gate.wait_for(|open| *open).await.unwrap();
            Ok::<_, Infallible>(Response::new(INITIALIZE_RESULT.to_owned()))
        }
    });
    let service = TowerToHyperService::new(layer.layer(slow));
    let server = Server::with(|listener: TcpListener| async move {
        accept!(listener, |io| http1::Builder::new()
            .serve_connection(io, service.clone()))
    })
    .await;
    let asking = tokio::spawn(server.client().oneshot(post("/mcp", INITIALIZE)));
    soon(inside.recv()).await.unwrap();
    assert_eq!(layer.live_sessions(), 1, "room is reserved");
    asking.abort();
    assert!(asking.await.is_err());
    release.send(true).unwrap();
    soon(async {
        while layer.live_sessions() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
