//! Which answers end early from our side, and which never do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt};
use tower_mcp_session::testing::{Answer, ScriptedBody, ScriptedService};
use tower_mcp_session::{MemoryStore, ResponseBody, Session, SessionLayer};

type Service = Session<ScriptedService>;
type Reply = Response<ResponseBody<ScriptedBody>>;

async fn send(
    service: &Service,
    id: Option<&HeaderValue>,
    verb: &str,
    body: &'static str,
) -> Reply {
    let mut request = Request::builder().method(verb).uri("/mcp");
    if let Some(id) = id {
        request = request.header("mcp-session-id", id);
    }
    let body = Full::new(Bytes::from_static(body.as_bytes()));
    service
        .clone()
        .oneshot(request.body(body).unwrap())
        .await
        .unwrap()
}

async fn begin(service: &Service) -> HeaderValue {
    let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
    let answer = send(service, None, "POST", initialize).await;
    let id = answer.headers()["mcp-session-id"].clone();
    let ready = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(send(service, Some(&id), "POST", ready).await.status(), 202);
    id
}

const SLOW: &str = r#"{"jsonrpc":"2.0","id":1,"method":"slow"}"#;

#[tokio::test]
async fn a_request_after_the_grace_of_a_drain_is_answered_to_its_end() {
    let inner = ScriptedService::new();
    inner.on("slow", |_| {
        Answer::bytes("text/event-stream", "data: 1\n\n").left_open()
    });
    let layer = SessionLayer::new(MemoryStore::new());
    let service = layer.layer(inner.clone());
    let id = begin(&service).await;
    layer.drain(Duration::ZERO).await;

    let mut body = send(&service, Some(&id), "POST", SLOW).await.into_body();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "data: 1\n\n"
    );
    let mut rest = tokio_test::task::spawn(body.collect());
    assert!(rest.poll().is_pending());
    let stream = inner.streams().remove(0);
    assert!(stream.is_open());
    stream.send("data: 2\n\n");
    stream.end();
    assert_eq!(rest.await.unwrap().to_bytes(), "data: 2\n\n");
}

#[tokio::test]
async fn a_document_of_unknown_length_is_never_cut() {
    let inner = ScriptedService::new();
    inner.on("slow", |_| {
        Answer::bytes("application/json", r#"{"jsonrpc":"2.0","#).left_open()
    });
    let service = SessionLayer::new(MemoryStore::new()).layer(inner.clone());
    let id = begin(&service).await;

    let answer = send(&service, Some(&id), "POST", SLOW).await;
    let mut whole = tokio_test::task::spawn(answer.into_body().collect());
    assert!(whole.poll().is_pending());
    assert_eq!(send(&service, Some(&id), "DELETE", "").await.status(), 204);
    assert!(whole.poll().is_pending());
    let stream = inner.streams().remove(0);
    stream.send(r#""id":1,"result":{}}"#);
    stream.end();
    assert_eq!(
        whole.await.unwrap().to_bytes(),
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#
    );
}

#[tokio::test]
async fn a_stream_of_events_ends_with_its_session() {
    for verb in ["POST", "GET"] {
        let inner = ScriptedService::new();
        inner.on("slow", |_| {
            Answer::bytes("text/event-stream", "data: 1\n\n").left_open()
        });
        let service = SessionLayer::new(MemoryStore::new()).layer(inner.clone());
        let id = begin(&service).await;

        let answer = send(&service, Some(&id), verb, SLOW).await;
        let mut stream = tokio_test::task::spawn(answer.into_body().collect());
        assert!(stream.poll().is_pending());
        assert_eq!(send(&service, Some(&id), "DELETE", "").await.status(), 204);
        assert!(stream.is_woken(), "{verb}");
        assert!(stream.await.is_ok(), "{verb}: an orderly end");
    }
}
