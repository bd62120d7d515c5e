//! One session, as an operator sees it.

use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::{FaultyStore, ManualClock, Operation};
use tower_mcp_session::{
    Clock, MemoryStore, OwnerTag, Principal, ProtocolVersion, SessionId, SessionInfo, SessionState,
};

use crate::support::{HOUR, Instance, LIST, MINUTE, SECOND, UNKNOWN, by, delete, get, ping, post};
use crate::{Pair, key, plain, with_and_without_index};

async fn inspect(instance: &Instance, id: &str) -> Option<SessionInfo> {
    instance.layer.sessions().inspect(&key(id)).await.unwrap()
}

#[tokio::test]
async fn a_session_that_lives_here_is_shown_as_it_is() {
    for instance in with_and_without_index() {
        let begun = instance.clock.now();
        let id = instance.open_as("alice").await;
        // So little that the store need not hear of it.
        instance.clock.advance(SECOND * 7);
        assert_eq!(instance.status(by(post(&id, LIST), "alice")).await, 200);
        instance.clock.advance(SECOND);
        let shown = inspect(&instance, &id).await.unwrap();
        let parsed = SessionId::parse(id.as_bytes()).unwrap();
        assert_eq!(shown.key, key(&id));
        assert_eq!(shown.fingerprint, Some(parsed.fingerprint()));
        assert_eq!(shown.state, SessionState::Active);
        assert_eq!(shown.owner, Some(OwnerTag::of(&Principal::new("alice"))));
        assert_eq!(shown.principal, Some(Principal::new("alice")));
        assert_eq!(shown.client.unwrap().name, "test");
        assert_eq!(shown.protocol_version, ProtocolVersion::V2025_11_25);
        assert_eq!(shown.created, begun);
        let used = begun.saturating_add(SECOND * 7);
        assert_eq!(shown.last_activity, used);
        assert_eq!(shown.expires_at, used.saturating_add(HOUR * 24));
    }
}

#[tokio::test]
async fn a_session_that_lives_elsewhere_is_shown_as_the_store_knows_it() {
    let Pair {
        instances: [a, b],
        clock,
        ..
    } = Pair::new();
    let begun = clock.now();
    let id = a.open_as("alice").await;
    clock.advance(SECOND * 7);
    assert_eq!(a.status(by(post(&id, LIST), "alice")).await, 200);
    let shown = inspect(&b, &id).await.unwrap();
    assert_eq!((shown.fingerprint, shown.principal), (None, None));
    assert_eq!(shown.owner, Some(OwnerTag::of(&Principal::new("alice"))));
    assert_eq!(shown.client.unwrap().name, "test");
    assert_eq!((shown.created, shown.last_activity), (begun, begun));
    // The keeper there tells the store.
    a.pass(SECOND * 30).await;
    let shown = inspect(&b, &id).await.unwrap();
    let used = begun.saturating_add(SECOND * 7);
    assert_eq!(shown.last_activity, used);
    assert_eq!(shown.expires_at, used.saturating_add(HOUR * 24));
    assert_eq!(b.layer.live_sessions(), 0, "to look at it takes nothing up");
}

#[tokio::test]
async fn states_are_shown_as_they_pass() {
    let Pair {
        instances: [a, b],
        clock,
        ..
    } = Pair::new();
    let id = a.open().await;
    let sessions = b.layer.sessions();
    let expected = async |state| {
        for instance in [&a, &b] {
            assert_eq!(inspect(instance, &id).await.unwrap().state, state);
        }
    };
    expected(SessionState::Active).await;
    clock.advance(MINUTE * 5);
    expected(SessionState::Idle).await;
    sessions.suspend(&key(&id)).await.unwrap();
    expected(SessionState::Suspended).await;
    sessions.resume(&key(&id)).await.unwrap();
    expected(SessionState::Idle).await;
    assert!(a.serves(&id).await);
    a.pass(SECOND * 30).await;
    expected(SessionState::Active).await;
}

#[tokio::test]
async fn a_session_that_is_also_used_elsewhere_is_shown_with_its_latest_use() {
    for watched in [true, false] {
        let pair = Pair::serving(Default::default, watched);
        let [a, b] = &pair.instances;
        let id = a.open().await;
        pair.clock.advance(MINUTE * 10);
        assert!(b.serves(&id).await);
        let used = pair.clock.now();
        for instance in [a, b] {
            let shown = inspect(instance, &id).await.unwrap();
            assert!(shown.fingerprint.is_some(), "it lives on both");
            assert_eq!(shown.last_activity, used);
            assert_eq!(shown.state, SessionState::Active);
            assert_eq!(shown.expires_at, used.saturating_add(HOUR * 24));
        }
    }
}

#[tokio::test]
async fn a_busy_session_is_active() {
    let instance = Instance::new(plain);
    let id = instance.open().await;
    let stream = instance.send(get(&id)).await;
    instance.pass(MINUTE * 20).await;
    let shown = inspect(&instance, &id).await.unwrap();
    assert_eq!(shown.state, SessionState::Active);
    drop(stream);
}

#[tokio::test]
async fn of_a_session_that_is_gone_nothing_is_shown() {
    for instance in with_and_without_index() {
        assert!(inspect(&instance, UNKNOWN).await.is_none());
        let (ended, expired) = (instance.open().await, instance.begin().await);
        assert!(inspect(&instance, &expired).await.is_some());
        assert_eq!(instance.status(delete(&ended)).await, 204);
        assert!(inspect(&instance, &ended).await.is_none());
        instance.pass(MINUTE * 5).await;
        assert!(inspect(&instance, &expired).await.is_none());
    }
}

#[tokio::test]
async fn a_session_that_has_ended_elsewhere_is_not_shown_where_it_lived() {
    for watched in [true, false] {
        let pair = Pair::serving(Default::default, watched);
        let [a, b] = &pair.instances;
        let id = a.open().await;
        assert_eq!(b.status(delete(&id)).await, 204);
        assert!(inspect(a, &id).await.is_none());
        assert_eq!(a.status(ping(&id)).await, 404);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_asked_is_an_error() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), plain);
    let id = instance.open().await;
    let sessions = instance.layer.sessions();
    store.fail_next(Operation::Inspect, StoreErrorKind::Corrupt);
    let failed = sessions.inspect(&key(&id)).await.unwrap_err();
    assert_eq!(failed.kind(), StoreErrorKind::Corrupt);
    store.hang(Operation::Inspect);
    let failed = sessions.inspect(&key(&id)).await.unwrap_err();
    assert_eq!(failed.kind(), StoreErrorKind::OutcomeUnknown);
}
