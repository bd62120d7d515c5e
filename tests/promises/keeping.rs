//! 2: DELETE ends a session everywhere. 3: nothing else on one instance ends a session of a shared store.
//! 4: no update of a value is lost.

use serde_json::json;
use tower_mcp_session::testing::{Answer, FaultyStore, ManualClock, Operation};
use tower_mcp_session::{MemoryStore, SessionStore};

use crate::slow::Slow;
use crate::support::{
    HOUR, Instance, LIST, MINUTE, SECOND, delete, get, initialize, ping, post, read, settle,
    shared, with_watch,
};

#[tokio::test]
async fn after_a_delete_each_instance_answers_404_and_no_late_write_revives_the_session() {
    for watched in [true, false] {
        let (store, clock) = (MemoryStore::new(), ManualClock::new());
        let instance = || {
            let store = with_watch(FaultyStore::new(store.clone()), watched);
            Instance::over(store, &clock, |layer| layer)
        };
        let (one, other) = (instance(), instance());
        let (id, context) = one.open_context().await;
        assert!(other.serves(&id).await);
        let elsewhere = other.context();
        assert_eq!(one.status(delete(&id)).await, 204);
        assert!(!one.serves(&id).await && !other.serves(&id).await);
        assert!(context.insert("late", &1).await.is_err());
        assert!(elsewhere.insert("late", &1).await.is_err());
        one.pass(MINUTE).await;
        other.pass(MINUTE).await;
        assert!(!one.serves(&id).await && !other.serves(&id).await);
        assert_eq!(store.len(), 0);
    }
}

#[tokio::test]
async fn work_on_another_instance_ends_within_one_round_after_a_delete() {
    for watched in [true, false] {
        let (store, clock) = (MemoryStore::new(), ManualClock::new());
        let instance = || {
            let store = with_watch(FaultyStore::new(store.clone()), watched);
            Instance::over(store, &clock, |layer| layer)
        };
        let (one, other) = (instance(), instance());
        let id = one.open().await;
        assert!(other.serves(&id).await);
        // No request runs there any more, but work that one of them has begun.
        let mut work = tokio_test::task::spawn(other.context().cancelled());
        assert!(work.poll().is_pending());
        assert_eq!(one.status(delete(&id)).await, 204);
        other.pass(SECOND * 30).await;
        assert!(work.poll().is_ready());
    }
}

#[tokio::test]
async fn a_session_that_ends_in_the_middle_of_its_restore_is_not_revived() {
    for watched in [true, false] {
        let (store, clock) = (MemoryStore::new(), ManualClock::new());
        let instance = |store| Instance::over(store, &clock, |layer| layer);
        let one = instance(shared(&store));
        let slow = match watched {
            true => shared(&store),
            false => shared(&store).without_watch(),
        };
        let other = instance(slow.clone());
        let id = one.open().await;

        slow.hang_after(Operation::Load);
        let mut restored = tokio_test::task::spawn(other.serves(&id));
        assert!(
            restored.poll().is_pending(),
            "the record was read, and is on its way"
        );
        assert_eq!(one.status(delete(&id)).await, 204);
        slow.release();
        assert!(!restored.await);
        assert!(!other.serves(&id).await);
        assert_eq!(other.server.calls(), 0);
    }
}

#[tokio::test]
async fn an_eviction_does_not_end_a_session_of_a_shared_store() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let instance = Instance::over(shared(&store), &clock, |layer| layer.with_max_sessions(1));
    let (id, context) = instance.open_context().await;
    context.insert("kept", &1).await.unwrap();
    clock.advance(SECOND * 301);
    let other = instance.open().await;
    assert_eq!((instance.layer.live_sessions(), store.len()), (1, 2));
    assert!(!context.has_ended());
    assert_eq!(context.get("kept").await.unwrap(), Some(1));
    clock.advance(SECOND * 301);
    assert!(instance.serves(&id).await);
    assert!(instance.context().is_restored());
    assert_eq!(instance.context().get("kept").await.unwrap(), Some(1));
    assert!(!context.has_ended());
    clock.advance(SECOND * 301);
    assert!(instance.serves(&other).await);
}

#[tokio::test]
async fn an_eviction_ends_a_session_of_a_store_that_is_not_shared() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let instance = Instance::over(store.clone(), &clock, |layer| layer.with_max_sessions(1));
    let (id, context) = instance.open_context().await;
    let mut ended = tokio_test::task::spawn(context.cancelled());
    assert!(ended.poll().is_pending());
    clock.advance(SECOND * 301);
    instance.open().await;
    assert!(ended.poll().is_ready() && context.has_ended());
    assert_eq!((instance.layer.live_sessions(), store.len()), (1, 1));
    assert!(!instance.serves(&id).await);
}

#[tokio::test]
async fn quiet_clean_up_and_drain_leave_sessions_of_a_shared_store_alive() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let instance = Instance::over(shared(&store), &clock, |layer| layer);
    let (id, context) = instance.open_context().await;
    context.insert("kept", &1).await.unwrap();
    instance.pass(MINUTE * 31).await;
    assert_eq!(
        instance.layer.live_sessions(),
        0,
        "the live part of a quiet session goes"
    );
    assert!(instance.serves(&id).await);
    assert_eq!(instance.context().get("kept").await.unwrap(), Some(1));
    let mut drain = tokio_test::task::spawn(instance.layer.drain(SECOND));
    assert!(drain.poll().is_pending());
    clock.advance(SECOND);
    drain.await;
    let other = Instance::over(shared(&store), &clock, |layer| layer);
    assert!(instance.serves(&id).await && other.serves(&id).await);
}

#[tokio::test]
async fn a_quiet_session_with_an_open_stream_keeps_its_live_part() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let instance = Instance::over(shared(&store), &clock, |layer| layer);
    let id = instance.open().await;
    let stream = instance.send(get(&id)).await;
    instance.pass(MINUTE * 45).await;
    assert_eq!(instance.layer.live_sessions(), 1);
    drop(stream);
}

#[tokio::test]
async fn a_clean_up_leaves_what_another_instance_uses() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let options = |layer: tower_mcp_session::SessionLayer| layer.with_idle_timeout(MINUTE * 10);
    let one = Instance::over(store.clone(), &clock, options);
    let other = Instance::over(store.clone(), &clock, options);
    let id = one.open().await;
    assert!(other.serves(&id).await);
    for _ in 0..30 {
        one.pass(MINUTE).await;
        other.layer.clean_up().await.unwrap();
        assert!(one.serves(&id).await);
    }
    assert!(other.serves(&id).await);
}

#[tokio::test]
async fn writes_go_through_at_once_and_outlive_their_request() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let instance = Instance::over(store.clone(), &clock, |layer| layer);
    let other = Instance::over(store, &clock, |layer| layer);
    let id = instance.open().await;
    let kept = async |name: &str| {
        assert!(other.serves(&id).await);
        other.context().get::<u32>(name).await.unwrap()
    };
    // While the answer streams.
    instance
        .server
        .answer_next(Answer::events([json!({})]).left_open());
    let answer = instance.send(post(&id, LIST)).await;
    instance.context().insert("streaming", &1).await.unwrap();
    assert_eq!(kept("streaming").await, Some(1));
    drop(answer);
    // Before an answer of 500.
    instance.server.hold();
    let mut request = tokio_test::task::spawn(instance.send(ping(&id)));
    assert!(request.poll().is_pending());
    instance.context().insert("failed", &2).await.unwrap();
    let failure = Answer::status(http::StatusCode::INTERNAL_SERVER_ERROR);
    instance.server.answer_next(failure);
    instance.server.release();
    assert_eq!(read(request.await).await.0, 500);
    assert_eq!(kept("failed").await, Some(2));
    // In a request that is dropped.
    instance.server.hold();
    let mut request = tokio_test::task::spawn(instance.send(ping(&id)));
    assert!(request.poll().is_pending());
    instance.context().insert("dropped", &3).await.unwrap();
    drop(request);
    instance.server.release();
    assert_eq!(kept("dropped").await, Some(3));
}

#[tokio::test]
async fn an_evicted_session_is_gone_for_each_layer_over_its_store() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let one = Instance::over(store.clone(), &clock, |layer| layer.with_max_sessions(1));
    let other = Instance::over(store.clone(), &clock, |layer| layer);
    let id = one.open().await;
    clock.advance(SECOND * 301);
    assert_eq!(one.status(initialize()).await, 200);
    settle().await;
    assert!(!one.serves(&id).await && !other.serves(&id).await);
    clock.advance(HOUR);
    assert_eq!(other.layer.live_sessions(), 0);
}

#[tokio::test]
async fn a_read_that_comes_late_does_not_undo_a_write() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let mut able = store.capabilities();
    able.watch = false;
    let instance = Instance::over(Slow(store, able), &clock, |layer| {
        layer.with_freshness(MINUTE)
    });
    let (id, context) = instance.open_context().await;
    context.insert("n", &1).await.unwrap();
    clock.advance(MINUTE);
    let mut late = tokio_test::task::spawn(context.get::<u32>("n"));
    // Before the store has read, and before it has told what.
    assert!(late.poll().is_pending() && late.poll().is_pending());
    assert!(instance.serves(&id).await);
    context.insert("n", &2).await.unwrap();
    assert!(late.poll().is_ready());
    assert_eq!(context.get::<u32>("n").await.unwrap(), Some(2));
}
