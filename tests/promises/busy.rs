//! 8: what keeps a session busy, for how long, and what ends it all the same.

use http_body_util::BodyExt;
use serde_json::json;
use tower_mcp_session::testing::{Answer, FaultyStore, ManualClock, Operation};
use tower_mcp_session::{MemoryStore, SessionLayer, SessionState};

use crate::support::{HOUR, Instance, LIST, MINUTE, SECOND, delete, get, ping, post, with_watch};

fn ten_minutes(layer: SessionLayer) -> SessionLayer {
    layer.with_idle_timeout(MINUTE * 10)
}

#[tokio::test]
async fn a_running_request_keeps_its_session() {
    for watched in [true, false] {
        let store = with_watch(FaultyStore::new(MemoryStore::new()), watched);
        let instance = Instance::over(store, &ManualClock::new(), ten_minutes);
        let (id, context) = instance.open_context().await;
        instance.server.hold();
        let mut call = tokio_test::task::spawn(instance.send(ping(&id)));
        while instance.server.held() == 0 {
            assert!(call.poll().is_pending());
        }
        instance.pass(HOUR * 3).await;
        assert_eq!(context.state(), SessionState::Active);
        instance.server.release();
        assert_eq!(call.await.status(), 200);
        // Its end counts as use.
        instance.pass(MINUTE * 9).await;
        assert!(instance.serves(&id).await);
        instance.pass(MINUTE * 10).await;
        assert!(!instance.serves(&id).await);
    }
}

#[tokio::test]
async fn a_stream_alone_keeps_its_session_for_an_hour_after_its_last_byte() {
    let instance = Instance::new(ten_minutes);
    let (id, context) = instance.open_context().await;
    let mut stream = instance.send(get(&id)).await.into_body();
    instance.pass(MINUTE * 50).await;
    instance.server.streams()[0].send_event(&json!({}));
    stream.frame().await.unwrap().unwrap();
    instance.pass(MINUTE * 59).await;
    assert_eq!(context.state(), SessionState::Active);
    instance.pass(MINUTE * 10).await;
    assert!(!context.has_ended(), "the idle time begins after the hour");
    let mut end = tokio_test::task::spawn(stream.frame());
    assert!(end.poll().is_pending());
    instance.pass(MINUTE * 2).await;
    assert!(context.has_ended());
    assert!(end.is_woken() && end.await.is_none());
    assert!(!instance.serves(&id).await);
}

#[tokio::test]
async fn a_stream_that_nobody_reads_does_not_hold_its_session_for_ever() {
    let instance = Instance::new(|layer| ten_minutes(layer).without_max_lifetime());
    let (id, context) = instance.open_context().await;
    let unread = instance.send(get(&id)).await;
    instance.pass(HOUR * 2).await;
    assert!(context.has_ended());
    drop(unread);
}

#[tokio::test]
async fn a_busy_session_is_told_to_the_store_each_interval_and_not_more_often() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| layer);
    let id = instance.open().await;
    let stream = instance.send(get(&id)).await;
    for _ in 0..10 {
        instance.clock.wait_for_sleepers(1).await;
        let before = store.calls(Operation::Touch);
        instance.clock.advance(SECOND * 30);
        instance.clock.wait_for_sleepers(1).await;
        assert_eq!(store.calls(Operation::Touch) - before, 1);
    }
    let before = store.calls(Operation::Touch);
    for _ in 0..26 {
        instance.clock.advance(SECOND);
        assert!(instance.serves(&id).await);
    }
    assert_eq!(store.calls(Operation::Touch), before);
    drop(stream);
}

#[tokio::test]
async fn the_keeper_tells_the_store_by_itself() {
    let store = FaultyStore::new(MemoryStore::new());
    let clock = ManualClock::new();
    let instance = Instance::over(store.clone(), &clock, ten_minutes);
    let id = instance.open().await;
    clock.wait_for_sleepers(1).await;
    instance.server.hold();
    let mut call = tokio_test::task::spawn(instance.send(ping(&id)));
    assert!(call.poll().is_pending());
    for _ in 0..80 {
        let told = store.calls(Operation::Touch);
        clock.advance(SECOND * 30);
        clock.wait_for_sleepers(1).await;
        assert!(store.calls(Operation::Touch) > told);
    }
    instance.server.release();
    assert_eq!(call.await.status(), 200);
    assert!(instance.serves(&id).await);
}

#[tokio::test]
async fn what_another_layer_ends_or_suspends_ends_here_within_one_round() {
    for watched in [true, false] {
        for suspend in [true, false] {
            let (store, clock) = (MemoryStore::new(), ManualClock::new());
            let faulty = with_watch(FaultyStore::new(store.clone()), watched);
            let one = Instance::over(faulty, &clock, |layer| layer);
            let other = Instance::over(store, &clock, |layer| layer);
            let (id, context) = one.open_context().await;
            let mut stream = one.send(get(&id)).await.into_body();
            one.server
                .answer_next(Answer::events([json!({})]).left_open());
            let mut call = one.send(post(&id, LIST)).await.into_body();
            call.frame().await.unwrap().unwrap();
            let unpolled = one.send(get(&id)).await;
            let mut work = tokio_test::task::spawn(context.cancelled());
            let mut streaming = tokio_test::task::spawn(stream.frame());
            let mut calling = tokio_test::task::spawn(call.frame());
            assert!(work.poll().is_pending());
            assert!(streaming.poll().is_pending() && calling.poll().is_pending());
            assert!(other.serves(&id).await);
            match suspend {
                true => other.context().suspend().await.unwrap(),
                false => assert_eq!(other.status(delete(&id)).await, 204),
            }
            one.pass(SECOND * 30).await;
            assert!(work.is_woken() && work.poll().is_ready());
            assert!(streaming.is_woken() && streaming.await.is_none());
            assert!(calling.is_woken() && calling.await.is_none());
            let rest = unpolled.into_body().collect();
            let mut rest = tokio_test::task::spawn(rest);
            assert!(
                rest.poll().is_ready(),
                "a stream nobody had read of ends too"
            );
            let expected = if suspend { 503 } else { 404 };
            assert_eq!(one.status(ping(&id)).await, expected);
        }
    }
}

#[tokio::test]
async fn the_absolute_end_ends_busy_sessions() {
    let instance = Instance::new(|layer| layer.with_max_lifetime(HOUR));
    let (id, context) = instance.open_context().await;
    let mut stream = instance.send(get(&id)).await.into_body();
    instance.server.hold();
    let mut call = tokio_test::task::spawn(instance.send(ping(&id)));
    assert!(call.poll().is_pending());
    instance.pass(MINUTE * 59).await;
    assert!(!context.has_ended());
    let mut end = tokio_test::task::spawn(stream.frame());
    assert!(end.poll().is_pending());
    instance.pass(MINUTE).await;
    assert!(context.has_ended());
    assert!(end.is_woken() && end.await.is_none());
    let mut cancelled = tokio_test::task::spawn(context.cancelled());
    assert!(cancelled.poll().is_ready());
    instance.server.release();
    drop(call);
    assert!(!instance.serves(&id).await);
}

#[tokio::test]
async fn a_session_is_not_ended_by_a_store_that_was_away() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), ten_minutes);
    let id = instance.open().await;
    let stream = instance.send(get(&id)).await;
    store.fail_all(
        Operation::Touch,
        tower_mcp_session::store::StoreErrorKind::Unavailable,
    );
    // Longer than the idle time, and not so long that a clean-up may remove it.
    for _ in 0..21 {
        instance.clock.advance(SECOND * 30);
        instance.layer.clean_up().await.unwrap();
    }
    store.heal();
    instance.pass(MINUTE).await;
    assert!(instance.serves(&id).await);
    drop(stream);
}

#[tokio::test]
async fn a_stream_that_holds_its_session_no_more_ends_with_it_all_the_same() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let one = Instance::over(store.clone(), &clock, |layer| layer);
    let other = Instance::over(store, &clock, |layer| layer);
    let id = one.open().await;
    let mut stream = one.send(get(&id)).await.into_body();
    let mut end = tokio_test::task::spawn(stream.frame());
    assert!(end.poll().is_pending());
    one.pass(HOUR * 2).await;
    assert_eq!(other.status(delete(&id)).await, 204);
    one.pass(SECOND * 30).await;
    assert!(end.is_woken() && end.await.is_none());
}
