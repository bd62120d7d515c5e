//! 10: what grows or waits has a limit.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::StreamBody;
use serde_json::json;
use tower::{Layer, ServiceExt};
use tower_mcp_session::testing::{Answer, ManualClock, ScriptedService};
use tower_mcp_session::{MemoryStore, SessionLayer};

use crate::support::{Body, HOUR, ID, Instance, SECOND, UNKNOWN, initialize, settle};

fn initialize_of(padding: usize, in_params: bool) -> Request<Body> {
    let text = "x".repeat(padding);
    let (inside, outside) = if in_params {
        (text.as_str(), "")
    } else {
        ("", text.as_str())
    };
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"2025-11-25","x":"{inside}"}},"y":"{outside}"}}"#
    );
    Request::post("/mcp").body(Body::from(body)).unwrap()
}

#[tokio::test]
async fn bodies_and_params_over_their_limit_are_413_and_not_passed_on() {
    let instance = Instance::new(|layer| layer.with_path("/mcp"));
    assert_eq!(instance.status(initialize_of(60_000, false)).await, 200);
    assert_eq!(instance.status(initialize_of(16_000, true)).await, 200);
    let seen = instance.server.calls();
    assert_eq!(instance.status(initialize_of(70_000, false)).await, 413);
    assert_eq!(instance.status(initialize_of(17_000, true)).await, 413);
    assert_eq!(instance.server.calls(), seen);
    assert_eq!(instance.layer.live_sessions(), 2);
}

#[tokio::test]
async fn an_answer_to_initialize_that_is_too_long_begins_nothing() {
    let instance = Instance::new(|layer| layer.with_max_initialize_answer(1_000));
    let long = "x".repeat(1_000);
    let result = json!({ "protocolVersion": "2025-11-25", "instructions": long });
    for answer in [
        Answer::result(result),
        Answer::bytes("text/event-stream", format!(": {long}\n\n")).left_open(),
    ] {
        instance.server.answer_next(answer.with_session_id("inner"));
        assert_eq!(instance.status(initialize()).await, 502);
        instance.server.wait_for_open_sessions(0).await;
        assert_eq!(instance.layer.live_sessions(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_waited_for_without_end() {
    let instance = Instance::new(|layer| layer.with_path("/mcp"));
    // The answer to an initialize.
    instance
        .server
        .answer_next(Answer::events([]).left_open().with_session_id("inner"));
    let begun = tokio::time::Instant::now();
    assert_eq!(instance.status(initialize()).await, 502);
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
    instance.server.wait_for_open_sessions(0).await;
    instance.server.hold();
    assert_eq!(instance.status(initialize()).await, 502);
    instance.server.release();
    assert_eq!(instance.layer.live_sessions(), 0);
    // A body that never comes.
    let never = || {
        let frames =
            futures_util::stream::pending::<Result<http_body::Frame<Bytes>, std::io::Error>>();
        StreamBody::new(frames)
    };
    let service = instance.layer.layer(instance.server.clone());
    for (id, limit) in [(None, 30), (Some(UNKNOWN), 5)] {
        let mut request = Request::post("/mcp");
        if let Some(id) = id {
            request = request.header(ID, id);
        }
        let request = request.body(never()).unwrap();
        let begun = tokio::time::Instant::now();
        let answer = service.clone().oneshot(request).await.unwrap();
        assert!(answer.status().is_client_error());
        // What is refused is read for five seconds more, so that its client comes to read the answer.
        let limits = Duration::from_secs(limit)..=Duration::from_secs(limit + 5);
        assert!(limits.contains(&begun.elapsed()));
    }
}

#[tokio::test]
async fn so_many_initializes_run_at_once_and_no_more() {
    let instance = Instance::new(|layer| layer);
    instance.server.hold();
    let tasks: Vec<_> = (0..1_024)
        .map(|_| {
            let instance = instance.clone();
            tokio::spawn(async move { instance.status(initialize()).await })
        })
        .collect();
    instance.server.wait_for_held(1_024).await;
    assert_eq!(instance.status(initialize()).await, 503);
    instance.server.release();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    assert_eq!(instance.status(initialize()).await, 200);
}

#[tokio::test]
async fn the_bytes_of_handshakes_count_for_the_limit_of_a_memory_store() {
    let store = MemoryStore::new().with_max_bytes(200_000);
    let instance = Instance::over(store, &ManualClock::new(), |layer| layer);
    let mut begun = 0;
    for number in 0..100 {
        let request = initialize_of(10_000 + number, true);
        match instance.status(request).await {
            StatusCode::OK => begun += 1,
            status => assert_eq!(status, 503),
        }
    }
    assert!(begun < 20, "{begun} sessions of 10 kB each in 200 kB");
}

#[tokio::test]
async fn inner_sessions_that_do_not_end_hold_up_nobody() {
    let clock = ManualClock::new();
    let server = ScriptedService::new().minting_ids();
    let instance = Instance::serving(server, MemoryStore::new(), &clock, |layer: SessionLayer| {
        layer.with_half_open_timeout(SECOND * 30)
    });
    for _ in 0..10_064 {
        instance.begin().await;
    }
    instance.server.hold();
    instance.pass(SECOND * 30).await;
    settle().await;
    assert_eq!(instance.layer.live_sessions(), 0);
    assert_eq!(instance.server.held(), 64, "so many are ended at a time");
    instance.server.release();
    // So many wait for it; the rest is the inner service's to end.
    instance.server.wait_for_open_sessions(64).await;
    settle().await;
    assert_eq!(instance.server.open_sessions().len(), 64);
    clock.advance(HOUR);
    instance.begin().await;
}

#[tokio::test]
async fn an_upload_that_is_not_ours_is_not_limited() {
    let instance = Instance::new(|layer| layer);
    let body = vec![b'x'; 1 << 20];
    let request = Request::post("/upload").body(Body::from(body)).unwrap();
    let mut service = instance.service.clone();
    poll_fn(|cx| tower::Service::<Request<Body>>::poll_ready(&mut service, cx))
        .await
        .unwrap();
    instance.server.answer_next(Answer::status(StatusCode::OK));
    let answer = tower::Service::call(&mut service, request).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(instance.server.requests()[0].body.len(), 1 << 20);
}
