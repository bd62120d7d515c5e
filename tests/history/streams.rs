//! Bodies that come in pieces, and streams that stay open.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use http::Request;
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Channel};
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};
use tower_mcp_session::testing::{ManualClock, ScriptedService};
use tower_mcp_session::{HistoryLimits, MemoryStore, RequestBody, SessionLayer};

use crate::support::{ID, Instance, LIST, get};
use crate::{begun, call, facts, post, recording};

#[tokio::test]
async fn events_are_taken_down_as_they_pass() {
    let server = ScriptedService::new().answering_sse();
    let instance = Instance::serving(server, MemoryStore::new(), &ManualClock::new(), recording);
    let (id, session) = begun(&instance).await;
    let answer = instance.send(get(&id)).await;
    let mut body = answer.into_body();
    let stream = instance.server.streams().pop().unwrap();
    for number in 0..3 {
        stream.send_event(
            &json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": number }),
        );
        while facts(&session).await.len() <= number {
            body.frame().await.unwrap().unwrap();
        }
        let facts = facts(&session).await;
        assert_eq!(
            facts[number],
            "assistant server notification notifications/message"
        );
    }
    stream.send_event(&json!({ "jsonrpc": "2.0", "id": "s", "method": "roots/list" }));
    stream.end();
    body.collect().await.unwrap();
    assert_eq!(
        facts(&session).await[3],
        "assistant server request roots/list"
    );
}

#[tokio::test]
async fn an_event_stream_that_answers_a_call_is_what_a_tool_says() {
    let server = ScriptedService::new().answering_sse();
    let instance = Instance::serving(server, MemoryStore::new(), &ManualClock::new(), recording);
    let (id, session) = begun(&instance).await;
    crate::say(&instance, post(&id, call(5))).await;
    assert_eq!(
        facts(&session).await,
        ["user client request tools/call", "tool server response -"]
    );
}

#[tokio::test]
async fn a_body_is_not_delayed_until_its_message_is_complete() {
    // Answers with each piece of the request as it comes.
    let echo = service_fn(|request: Request<RequestBody<Channel<Bytes>>>| async move {
        let answer = match request
            .extensions()
            .get::<tower_mcp_session::SessionContext>()
        {
            Some(session) if session.id().is_some() => {
                http_body_util::Either::Right(request.into_body())
            }
            _ => http_body_util::Either::Left(http_body_util::Full::from(
                r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#,
            )),
        };
        Ok::<_, std::convert::Infallible>(http::Response::new(answer))
    });
    let store = MemoryStore::new();
    let service = SessionLayer::new(store.clone())
        .with_history(HistoryLimits::default())
        .layer(echo);
    let (mut sender, body) = Channel::new(4);
    let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
    sender.send_data(Bytes::from(initialize)).await.unwrap();
    drop(sender);
    let answer = service
        .clone()
        .oneshot(Request::post("/mcp").body(body).unwrap())
        .await
        .unwrap();
    let id = answer.headers()[ID].clone();

    let (mut sender, body) = Channel::new(4);
    let request = Request::post("/mcp")
        .header(ID, id)
        .header("content-length", "4096")
        .body(body);
    let answer = service.clone().oneshot(request.unwrap()).await.unwrap();
    let mut body = answer.into_body();
    let (start, end) = LIST.split_at(LIST.len() / 2);
    for piece in [start, end] {
        sender.send_data(Bytes::from(piece)).await.unwrap();
        let frame: Frame<Bytes> = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            frame.into_data().unwrap(),
            piece,
            "what comes in goes out at once"
        );
    }
    drop(sender);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_body_that_breaks_off_says_nothing() {
    let instance = Instance::new(recording);
    let (id, session) = begun(&instance).await;
    let answer = instance.send(get(&id)).await;
    let mut body = answer.into_body();
    let stream = instance.server.streams().pop().unwrap();
    stream.send("data: {\"jsonrpc\":\"2.0\",\"method\":\"a\"}\n");
    body.frame().await.unwrap().unwrap();
    stream.fail();
    while let Some(Ok(_)) = body.frame().await {}
    drop(body);
    assert_eq!(facts(&session).await, [""; 0]);
}
