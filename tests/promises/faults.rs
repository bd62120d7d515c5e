//! 12: each call of the store has a time limit; a clean-up survives errors; who needs no store is not hurt by it.

use std::time::Duration;

use tower_mcp_session::MemoryStore;
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::{FaultyStore, ManualClock, Operation};

use crate::support::{
    HOUR, Instance, MINUTE, SECOND, delete, initialize, ping, settle, with_watch,
};

const ALL: [Operation; 6] = [
    Operation::Create,
    Operation::Load,
    Operation::Save,
    Operation::Touch,
    Operation::Delete,
    Operation::DeleteExpired,
];

#[tokio::test(start_paused = true)]
async fn no_call_of_the_store_is_waited_for_longer_than_its_limit() {
    for watched in [true, false] {
        let store = with_watch(FaultyStore::new(MemoryStore::new()), watched);
        let clock = ManualClock::new();
        let instance = Instance::over(store.clone(), &clock, |layer| {
            layer.with_store_timeout(Duration::from_secs(7))
        });
        let (id, context) = instance.open_context().await;
        let half_open = instance.begin().await;
        instance.clock.advance(MINUTE);
        for operation in ALL {
            store.hang(operation);
        }
        let limited = async |what: &str, call: std::pin::Pin<Box<dyn Future<Output = ()>>>| {
            let call = tokio::time::timeout(Duration::from_secs(15), call);
            assert!(call.await.is_ok(), "{what} waits too long");
        };
        let requests = [
            ("initialize", initialize()),
            ("request", ping(&id)),
            ("first request", ping(&half_open)),
            ("unknown", ping(crate::support::UNKNOWN)),
            ("DELETE", delete(&id)),
        ];
        for (what, request) in requests {
            let instance = instance.clone();
            let call = async move { assert_eq!(instance.status(request).await, 503) };
            limited(what, Box::pin(call)).await;
        }
        let writer = context.clone();
        let write = async move { writer.insert("n", &1).await.unwrap_err() };
        limited("write", Box::pin(async { drop(write.await) })).await;
        let layer = instance.layer.clone();
        let clean_up = async move { layer.clean_up().await.unwrap_err() };
        limited("clean-up", Box::pin(async { drop(clean_up.await) })).await;
        assert_eq!(ALL.map(|operation| store.hanging(operation)), [0; 6]);
        store.release();
        assert!(instance.serves(&id).await);
        context.insert("n", &1).await.unwrap();
    }
}

#[tokio::test]
async fn a_store_that_hangs_does_not_hurt_sessions_that_need_not_ask_it() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| layer);
    let (id, context) = instance.open_context().await;
    context.insert("n", &1).await.unwrap();
    for operation in ALL {
        store.hang(operation);
    }
    let mut waits = tokio_test::task::spawn(instance.send(initialize()));
    assert!(waits.poll().is_pending());
    assert!(instance.serves(&id).await);
    assert_eq!(context.get("n").await.unwrap(), Some(1));
    store.release();
    assert_eq!(waits.await.status(), 200);
}

#[tokio::test]
async fn a_clean_up_survives_errors() {
    let store = FaultyStore::new(MemoryStore::new());
    let clock = ManualClock::new();
    let instance = Instance::over(store.clone(), &clock, |layer| layer);
    for _ in 0..10 {
        instance.begin().await;
    }
    for operation in [Operation::DeleteExpired, Operation::Touch] {
        store.fail_all(operation, StoreErrorKind::Unavailable);
    }
    // The keeper, not a call of ours.
    for round in 1..5 {
        let calls = store.calls(Operation::DeleteExpired);
        clock.wait_for_sleepers(1).await;
        clock.advance(MINUTE * 10);
        store
            .wait_for_calls(Operation::DeleteExpired, calls + 1)
            .await;
        assert_eq!(store.calls(Operation::DeleteExpired), calls + 1, "{round}");
    }
    assert_eq!(store.inner().len(), 10);
    store.heal();
    clock.wait_for_sleepers(1).await;
    clock.advance(HOUR);
    clock.wait_for_sleepers(1).await;
    settle().await;
    assert_eq!(
        (store.inner().len(), instance.layer.live_sessions()),
        (0, 0)
    );
}

#[tokio::test]
async fn the_keeper_backs_off_after_failures_and_comes_back() {
    let store = FaultyStore::new(MemoryStore::new());
    let clock = ManualClock::new();
    let instance = Instance::over(store.clone(), &clock, |layer| layer);
    instance.open().await;
    clock.wait_for_sleepers(1).await;
    let pause = || {
        clock
            .next_wake_up()
            .unwrap()
            .since(tower_mcp_session::Clock::now(&clock))
    };
    assert!((SECOND * 27..=SECOND * 30).contains(&pause()));
    store.fail_all(Operation::DeleteExpired, StoreErrorKind::Unavailable);
    for _ in 0..6 {
        clock.advance(MINUTE * 5);
        clock.wait_for_sleepers(1).await;
    }
    assert!((SECOND * 270..=SECOND * 300).contains(&pause()));
    store.heal();
    clock.advance(MINUTE * 5);
    clock.wait_for_sleepers(1).await;
    assert!((SECOND * 27..=SECOND * 30).contains(&pause()));
}

#[tokio::test]
async fn a_store_that_cannot_move_the_idle_deadline_serves_sessions_to_their_absolute_end() {
    for watched in [true, false] {
        let inner = MemoryStore::new();
        let mut able = tower_mcp_session::SessionStore::capabilities(&inner);
        (able.idle_expiry, able.watch) = (false, watched);
        let store = FaultyStore::new(inner.clone()).with_capabilities(able);
        let clock = ManualClock::new();
        let instance = Instance::over(store.clone(), &clock, |layer| layer);
        let other = Instance::over(store, &clock, |layer| layer);
        let id = instance.open().await;
        for _ in 0..6 {
            clock.advance(HOUR * 25);
            instance.layer.clean_up().await.unwrap();
            assert!(instance.serves(&id).await, "{watched}");
            assert!(other.serves(&id).await);
        }
        instance.clock.advance(HOUR * 24);
        assert!(!instance.serves(&id).await && !other.serves(&id).await);
        let id = instance.open().await;
        assert!(other.serves(&id).await);
        assert_eq!(other.status(delete(&id)).await, 204);
        assert!(!instance.serves(&id).await);
    }
}

#[tokio::test]
async fn a_lost_answer_to_create_leaves_no_session_that_a_client_could_use() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| layer);
    store.lose_next_answer(Operation::Create, StoreErrorKind::OutcomeUnknown);
    assert_eq!(instance.status(initialize()).await, 503);
    assert_eq!(instance.layer.live_sessions(), 0);
    // What the store may have kept ends as a half-open session does.
    instance.pass(MINUTE * 7).await;
    assert_eq!(store.inner().len(), 0);
}

#[tokio::test]
async fn a_session_that_may_have_been_created_all_the_same_is_taken_back() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| layer);
    store.lose_next_answer(Operation::Create, StoreErrorKind::OutcomeUnknown);
    assert_eq!(instance.status(initialize()).await, 503);
    let taken_back = store.wait_for_calls(Operation::Delete, 1);
    let bounded = tokio::time::timeout(Duration::from_secs(10), taken_back).await;
    assert!(bounded.is_ok(), "nobody takes the session back");
    assert!(store.inner().is_empty());
    assert_eq!(instance.layer.live_sessions(), 0);
}
