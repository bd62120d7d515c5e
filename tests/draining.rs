//! Draining an instance, over real connections: nothing new begins, the rest goes on, streams end after the grace.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/frameworks.rs"]
mod frameworks;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tower::ServiceExt;
use tower_mcp_session::testing::ManualClock;
use tower_mcp_session::{MemoryStore, SessionLayer};

use frameworks::{
    CALL, INITIALIZE, RemoteClient, SESSION_ID, Server, begin, counted, get_in, minted, post,
    post_in, send, soon,
};

const STREAM: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"stream"}}"#;

fn router(layer: SessionLayer) -> Router {
    Router::new()
        .route("/mcp", any(frameworks::mcp::<Body>))
        .layer(layer)
}

/// Opens a stream and takes its first event.
async fn open(client: &RemoteClient, request: http::Request<Body>) -> Incoming {
    let answer = soon(client.clone().oneshot(request)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let mut body = answer.into_body();
    assert_eq!(next(&mut body).await.unwrap(), "data: {}\n\n");
    body
}

/// The next bytes of a stream; `None` at an orderly end, which in HTTP/2 may be an empty frame.
async fn next(body: &mut Incoming) -> Option<Bytes> {
    loop {
        let data = soon(body.frame()).await?.unwrap().into_data().unwrap();
        if !data.is_empty() {
            return Some(data);
        }
    }
}

fn modern(mut request: http::Request<Body>) -> http::Request<Body> {
    request.headers_mut().insert(
        "mcp-protocol-version",
        HeaderValue::from_static("2026-07-28"),
    );
    request
}

#[tokio::test]
async fn a_drained_instance_ends_its_streams_after_the_grace_and_keeps_its_sessions() {
    for http2 in [false, true] {
        let clock = ManualClock::new();
        let layer = SessionLayer::new(MemoryStore::new()).with_clock(clock.clone());
        let server = Server::axum(router(layer.clone())).await;
        let client = if http2 {
            server.http2_client()
        } else {
            server.client()
        };
        let (first, second) = (begin(&client, "/mcp").await, begin(&client, "/mcp").await);
        let mut streams = [
            open(&client, get_in(&first, "/mcp")).await,
            open(&client, post_in(&first, "/mcp", STREAM)).await,
            open(&client, post_in(&second, "/mcp", STREAM)).await,
            open(&client, modern(post("/mcp", STREAM))).await,
        ];

        let draining = layer.clone();
        let drained = tokio::spawn(async move { draining.drain(Duration::from_secs(5)).await });
        soon(async {
            // From its first poll on, drain sleeps on the clock.
            while clock.next_wake_up().is_none()
                || send(&client, post("/mcp", INITIALIZE)).await.status() == StatusCode::OK
            {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let refused = send(&client, post("/mcp", INITIALIZE)).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key(RETRY_AFTER));
        assert!(!refused.headers().contains_key(SESSION_ID));

        // Within the grace all else goes on.
        for (id, n) in [(&first, 1), (&second, 1), (&first, 2)] {
            assert_eq!(
                send(&client, post_in(id, "/mcp", CALL)).await.body(),
                &counted(n)
            );
        }
        for stream in &mut streams {
            let mut pending = tokio_test::task::spawn(stream.frame());
            assert!(
                pending.poll().is_pending(),
                "a stream ended within the grace"
            );
        }
        assert!(!drained.is_finished());

        clock.advance(Duration::from_secs(5));
        soon(drained).await.unwrap();
        for mut stream in streams {
            assert_eq!(next(&mut stream).await, None);
        }
        // The sessions are alive, and are served for as long as the process is.
        assert!(layer.live_sessions() >= 2);
        for (id, n) in [(&first, 3), (&second, 2)] {
            assert_eq!(
                send(&client, post_in(id, "/mcp", CALL)).await.body(),
                &counted(n)
            );
        }
    }
}

#[tokio::test]
async fn a_server_of_axum_shuts_down_gracefully_after_a_drain_with_streams_open() {
    let layer = SessionLayer::new(MemoryStore::new());
    let (stop, stopped) = oneshot::channel::<()>();
    let (finish, finished) = oneshot::channel();
    let app = router(layer.clone());
    let server = Server::with(|listener| async move {
        let signal = async { drop(stopped.await) };
        axum::serve(listener, app)
            .with_graceful_shutdown(signal)
            .await
            .unwrap();
        finish.send(()).unwrap();
    })
    .await;
    let client = server.client();
    let id = minted(&send(&client, post("/mcp", INITIALIZE)).await);
    let mut stream = open(&client, get_in(&id, "/mcp")).await;
    layer.drain(Duration::ZERO).await;
    stop.send(()).unwrap();
    assert_eq!(next(&mut stream).await, None);
    drop((stream, client));
    soon(finished).await.unwrap();
}

#[tokio::test]
async fn without_a_drain_an_open_stream_is_not_ended() {
    let layer = SessionLayer::new(MemoryStore::new());
    let server = Server::axum(router(layer.clone())).await;
    let id = begin(&server.client(), "/mcp").await;
    let mut stream = open(&server.client(), get_in(&id, "/mcp")).await;
    layer.clean_up().await.unwrap();
    assert_eq!(
        send(&server.client(), post_in(&id, "/mcp", CALL))
            .await
            .status(),
        StatusCode::OK
    );
    let mut pending = tokio_test::task::spawn(stream.frame());
    assert!(pending.poll().is_pending());
}

#[tokio::test]
async fn the_end_of_a_session_ends_its_streams_and_no_others() {
    let layer = SessionLayer::new(MemoryStore::new());
    let server = Server::axum(router(layer)).await;
    let client = server.client();
    let (first, second) = (begin(&client, "/mcp").await, begin(&client, "/mcp").await);
    let mut ending = [
        open(&client, get_in(&first, "/mcp")).await,
        open(&client, post_in(&first, "/mcp", STREAM)).await,
    ];
    let mut staying = open(&client, get_in(&second, "/mcp")).await;
    let ended = send(&client, frameworks::delete_in(&first, "/mcp")).await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    for stream in &mut ending {
        assert_eq!(next(stream).await, None);
    }
    let mut pending = tokio_test::task::spawn(staying.frame());
    assert!(pending.poll().is_pending());
}
