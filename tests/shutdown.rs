//! The end of an instance: draining, runtimes that come and go, layers that are dropped.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "support/sessions.rs"]
mod support;

use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_mcp_session::testing::{Answer, FaultyStore, ManualClock, Operation, ScriptedService};
use tower_mcp_session::{MemoryStore, RequestBody, SessionLayer};

use support::{
    Body, HOUR, Instance, LIST, MINUTE, SECOND, delete, get, id_of, initialize, ping, post, settle,
};

#[tokio::test]
async fn a_drain_refuses_new_sessions_and_after_its_grace_ends_streams_but_no_session() {
    let instance = Instance::new(|layer| layer);
    let (id, context) = instance.open_context().await;
    let mut stream = instance.send(get(&id)).await.into_body();
    instance
        .server
        .answer_next(Answer::events([json!({})]).left_open());
    let mut call = instance.send(post(&id, LIST)).await.into_body();
    call.frame().await.unwrap().unwrap();
    let unpolled = instance.send(get(&id)).await;
    let layer = instance.layer.clone();
    let drain = tokio::spawn(async move { layer.drain(SECOND * 5).await });
    instance.clock.wait_for_sleepers(2).await;
    assert_eq!(instance.status(initialize()).await, 503);
    assert!(instance.serves(&id).await);
    let mut streaming = tokio_test::task::spawn(stream.frame());
    let mut calling = tokio_test::task::spawn(call.frame());
    assert!(streaming.poll().is_pending() && calling.poll().is_pending());
    instance.clock.advance(SECOND * 5);
    drain.await.unwrap();
    assert!(streaming.is_woken() && streaming.await.is_none());
    assert!(calling.is_woken() && calling.await.is_none());
    assert!(unpolled.into_body().collect().await.is_ok());
    assert!(!context.has_ended());
    let mut work = tokio_test::task::spawn(context.cancelled());
    assert!(work.poll().is_pending(), "work is left to end by itself");
    assert!(instance.serves(&id).await);
    let late = instance.send(get(&id)).await;
    assert!(
        late.into_body().collect().await.is_ok(),
        "no new stream stays open"
    );
    assert_eq!(instance.status(initialize()).await, 503);
    assert_eq!(instance.status(delete(&id)).await, 204);
}

#[tokio::test]
async fn a_drain_that_is_dropped_keeps_the_door_closed_and_the_streams_open() {
    let instance = Instance::new(|layer| layer);
    let id = instance.open().await;
    let mut stream = instance.send(get(&id)).await.into_body();
    let mut drain = tokio_test::task::spawn(instance.layer.drain(SECOND));
    assert!(drain.poll().is_pending());
    drop(drain);
    instance.clock.advance(HOUR);
    settle().await;
    let mut end = tokio_test::task::spawn(stream.frame());
    assert!(end.poll().is_pending());
    assert_eq!(instance.status(initialize()).await, 503);
}

#[tokio::test]
async fn a_drain_ends_though_the_store_fails() {
    let store = FaultyStore::new(MemoryStore::new());
    let clock = ManualClock::new();
    let instance = Instance::over(store.clone(), &clock, |layer| layer);
    let id = instance.open().await;
    clock.advance(SECOND * 10);
    assert!(instance.serves(&id).await);
    store.fail_all(
        Operation::Touch,
        tower_mcp_session::store::StoreErrorKind::Unavailable,
    );
    instance.layer.drain(Duration::ZERO).await;
    assert!(instance.serves(&id).await);
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

#[test]
fn the_keeper_starts_again_on_a_new_runtime() {
    let clock = ManualClock::new();
    let instance = Instance::over(MemoryStore::new(), &clock, |layer| layer);
    for _ in 0..3 {
        let runtime = runtime();
        runtime.block_on(async {
            assert_eq!(clock.sleepers(), 0);
            instance.begin().await;
            clock.wait_for_sleepers(1).await;
            assert_eq!(instance.layer.live_sessions(), 1);
            clock.advance(MINUTE * 6);
            clock.wait_for_sleepers(1).await;
            assert_eq!(instance.layer.live_sessions(), 0);
        });
    }
}

#[test]
fn sessions_outlive_the_runtime_they_began_on() {
    let instance = Instance::new(|layer| layer);
    let id = runtime().block_on(instance.open());
    assert!(runtime().block_on(instance.serves(&id)));
}

#[tokio::test]
async fn one_keeper_runs_for_all_services_of_a_layer() {
    let instance = Instance::new(|layer| layer);
    for _ in 0..10 {
        let service = instance.layer.layer(instance.server.clone());
        let answer = service.oneshot(initialize()).await.unwrap();
        assert!(id_of(answer.headers()).is_some());
        settle().await;
    }
    assert_eq!(instance.clock.sleepers(), 1);
}

/// A store that says whether somebody still has it.
fn watched_store() -> (Arc<MemoryStore>, Weak<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    let weak = Arc::downgrade(&store);
    (store, weak)
}

#[tokio::test]
async fn dropping_the_layer_ends_the_keeper_and_frees_store_and_services() {
    let clock = ManualClock::new();
    let (store, weak) = watched_store();
    // A clone in each service: it lives as long as one of them does.
    let alive = Arc::new(());
    let server = {
        let (alive, scripted) = (Arc::clone(&alive), ScriptedService::new().minting_ids());
        service_fn(move |request: Request<RequestBody<Body>>| {
            let (_alive, scripted) = (Arc::clone(&alive), scripted.clone());
            async move {
                // Its requests are not kept: they would keep their contexts.
                let (parts, body) = request.into_parts();
                let mut request = Request::new(body);
                *request.method_mut() = parts.method;
                *request.headers_mut() = parts.headers;
                scripted.oneshot(request).await
            }
        })
    };
    let layer = SessionLayer::new(store).with_clock(clock.clone());
    let service = layer.layer(server);
    let mut streams = Vec::new();
    for n in 0..20 {
        let answer = service.clone().oneshot(initialize()).await.unwrap();
        let id = id_of(answer.headers()).unwrap();
        drop(answer);
        match n % 4 {
            0 => {}
            1 => drop(service.clone().oneshot(ping(&id)).await.unwrap()),
            2 => streams.push(service.clone().oneshot(get(&id)).await.unwrap()),
            _ => drop(service.clone().oneshot(delete(&id)).await.unwrap()),
        }
    }
    clock.wait_for_sleepers(1).await;
    drop((layer, service));
    drop(streams);
    settle().await;
    // The sessions go at once, the keeper when it wakes.
    assert_eq!(Arc::strong_count(&alive), 1, "nobody has the inner service");
    clock.advance(MINUTE);
    settle().await;
    assert_eq!(clock.sleepers(), 0, "the keeper has ended");
    assert!(weak.upgrade().is_none(), "nobody has the store any more");
}

#[tokio::test]
async fn sessions_that_ended_leave_no_memory_behind() {
    #[derive(Clone)]
    struct Mark(#[allow(dead_code, reason = "held, not read")] Arc<()>);
    let mark = Mark(Arc::new(()));
    let marks = Arc::downgrade(&mark.0);
    let clock = ManualClock::new();
    let layer = SessionLayer::new(MemoryStore::new()).with_clock(clock.clone());
    let server = move |request: Request<RequestBody<Body>>| {
        let mark = mark.clone();
        async move {
            let text = request.into_body().collect().await.unwrap().to_bytes();
            let is_initialize = text.windows(12).any(|part| part == b"\"initialize\"");
            let answer = match is_initialize {
                true => r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#,
                false => "{}",
            };
            let mut answer = Response::new(Full::new(Bytes::from(answer)));
            answer.extensions_mut().insert(mark);
            Ok::<_, Infallible>(answer)
        }
    };
    let service = layer.layer(service_fn(server));
    for n in 0..1_000 {
        let answer = service.clone().oneshot(initialize()).await.unwrap();
        let id = id_of(answer.headers()).unwrap();
        drop(answer);
        drop(service.clone().oneshot(ping(&id)).await.unwrap());
        if n % 2 == 0 {
            drop(service.clone().oneshot(delete(&id)).await.unwrap());
        }
    }
    clock.advance(HOUR * 25);
    layer.clean_up().await.unwrap();
    assert_eq!(layer.live_sessions(), 0);
    drop(service);
    settle().await;
    assert_eq!(marks.strong_count(), 0);
}

#[test]
fn a_layer_without_a_runtime_serves_what_needs_none() {
    let layer = SessionLayer::new(MemoryStore::new());
    let server = ScriptedService::new();
    let mut service = layer.layer(server.clone());
    assert_eq!(layer.live_sessions(), 0);
    let modern = Request::post("/mcp")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/list")
        .body(Body::from(LIST))
        .unwrap();
    let health = Request::get("/health").body(Body::default()).unwrap();
    for request in [modern, health] {
        let mut ready = tokio_test::task::spawn(async {
            std::future::poll_fn(|cx| Service::<Request<Body>>::poll_ready(&mut service, cx))
                .await
                .unwrap();
            service.call(request).await.unwrap().status()
        });
        match ready.poll() {
            std::task::Poll::Ready(status) => assert_eq!(status, 200),
            std::task::Poll::Pending => panic!("it waits for nothing"),
        }
    }
    assert_eq!(server.calls(), 2);
}

#[test]
fn a_session_that_lives_here_needs_no_runtime_either() {
    let instance = Instance::new(|layer| layer);
    let id = runtime().block_on(instance.open());
    let mut call = tokio_test::task::spawn(instance.status(ping(&id)));
    assert!(call.poll().is_ready());
    // Answers that are dropped outside of one, too.
    let answer = runtime().block_on(instance.send(initialize()));
    drop(answer);
    assert_eq!(instance.layer.live_sessions(), 2);
    let first = runtime();
    let mut call = tokio_test::task::spawn(instance.send(initialize()));
    {
        let _inside = first.enter();
        assert!(call.poll().is_pending());
    }
    // The client and the runtime leave in the middle.
    drop(first);
    drop(call);
    assert_eq!(instance.layer.live_sessions(), 2);
}
