//! Signed ids in front of a store.

use std::sync::Arc;

use tower_mcp_session::store::{Recognition, SignedStore};
use tower_mcp_session::testing::ManualClock;
use tower_mcp_session::{
    Clock, Handshake, MemoryStore, NewSession, OwnerTag, ProtocolVersion, SessionRecord,
    SessionStore,
};

use crate::support::{HOUR, Instance, MINUTE, by, delete, ping, shared};
use crate::{DAY, over, parsed, signed};

/// A session that begins now.
pub(crate) fn new_session(clock: &ManualClock, owner: Option<OwnerTag>) -> NewSession {
    let params = serde_json::value::RawValue::NULL.to_owned();
    let handshake = Arc::new(Handshake::new(params, ProtocolVersion::V2025_11_25));
    let (now, end) = (clock.now(), clock.now().saturating_add(DAY));
    NewSession::new(
        "/mcp",
        SessionRecord::new(now, end, owner, handshake),
        now,
        end,
    )
}

/// Two instances over one store, and that store.
fn two_backed() -> ([Instance; 2], MemoryStore) {
    let (memory, clock) = (MemoryStore::new(), ManualClock::new());
    let instances = [(); 2].map(|()| over(signed().with_backing(shared(&memory)), &clock));
    (instances, memory)
}

#[tokio::test]
async fn values_states_and_the_end_for_want_of_use_work_on_each_instance() {
    let ([a, b], _) = two_backed();
    let id = a.open_as("alice").await;
    a.context().insert("n", &1).await.unwrap();
    assert_eq!(b.status(by(ping(&id), "alice")).await, 200);
    let session = b.context();
    assert_eq!(session.get::<u32>("n").await.unwrap(), Some(1));
    session.suspend().await.unwrap();
    assert_eq!(a.status(by(ping(&id), "alice")).await, 503);
    session.resume().await.unwrap();
    assert_eq!(a.status(by(ping(&id), "bob")).await, 404);
    a.clock.advance(HOUR * 23);
    assert_eq!(a.status(by(ping(&id), "alice")).await, 200);
    a.clock.advance(DAY);
    assert_eq!(a.status(by(ping(&id), "alice")).await, 404);
    assert_eq!(b.status(by(ping(&id), "alice")).await, 404);
}

#[tokio::test]
async fn delete_is_204_and_the_id_is_404_everywhere() {
    let ([a, b], memory) = two_backed();
    let id = a.open().await;
    assert!(b.serves(&id).await);
    assert_eq!(b.status(delete(&id)).await, 204);
    assert!(!a.serves(&id).await && !b.serves(&id).await);
    assert!(memory.is_empty());
}

#[tokio::test]
async fn an_id_whose_record_is_not_there_is_unknown_and_gets_none() {
    let clock = ManualClock::new();
    let [before, after] = [(); 2].map(|()| over(signed().with_backing(MemoryStore::new()), &clock));
    let id = before.open().await;
    let empty = MemoryStore::new();
    let other = over(
        signed()
            .with_backing(empty.clone())
            .with_migration_until(clock.now().saturating_add(DAY)),
        &clock,
    );
    assert!(!after.serves(&id).await && !other.serves(&id).await);
    assert!(empty.is_empty());
}

#[tokio::test]
async fn an_id_that_stands_for_itself_is_refused_where_a_store_is_and_the_other_way_round() {
    let clock = ManualClock::new();
    let [alone, backed] = [
        over(signed(), &clock),
        over(signed().with_backing(MemoryStore::new()), &clock),
    ];
    let [of_alone, of_backed] = [alone.open().await, backed.open().await];
    assert!(of_backed.len() < of_alone.len());
    assert!(!backed.serves(&of_alone).await && !alone.serves(&of_backed).await);
    assert!(backed.serves(&of_backed).await && alone.serves(&of_alone).await);
    let recognition = signed().recognize("/mcp", &parsed(&of_backed), clock.now());
    assert_eq!(recognition, Recognition::Unknown);
}

/// A store that takes over the sessions of ids that stood for themselves, for a day.
fn migrating(clock: &ManualClock, memory: &MemoryStore) -> SignedStore {
    signed()
        .with_migration_until(clock.now().saturating_add(DAY))
        .with_backing(shared(memory))
}

#[tokio::test]
async fn during_a_migration_the_sessions_of_older_ids_get_a_record() {
    let (clock, memory) = (ManualClock::new(), MemoryStore::new());
    let before = over(signed(), &clock);
    let [kept, ended] = [before.open_as("alice").await, before.open_as("alice").await];
    let [a, b] = [(); 2].map(|()| over(migrating(&clock, &memory), &clock));
    assert_eq!(a.status(by(ping(&kept), "bob")).await, 404);
    let as_alice = |id: &str| by(ping(id), "alice");
    assert_eq!(a.status(as_alice(&kept)).await, 200);
    a.context().insert("n", &1).await.unwrap();
    assert_eq!(b.status(as_alice(&kept)).await, 200);
    assert_eq!(b.context().get::<u32>("n").await.unwrap(), Some(1));

    assert_eq!(a.status(by(delete(&ended), "alice")).await, 204);
    for _ in 0..3 {
        assert_eq!(a.status(as_alice(&ended)).await, 404);
        assert_eq!(b.status(as_alice(&ended)).await, 404);
        clock.advance(HOUR);
        a.layer.clean_up().await.unwrap();
    }

    clock.advance(DAY - HOUR * 3 - MINUTE);
    assert_eq!(a.status(as_alice(&kept)).await, 200);
    clock.advance(MINUTE);
    assert_eq!(a.status(as_alice(&kept)).await, 404);
    assert_eq!(b.status(as_alice(&kept)).await, 404);
}

#[tokio::test]
async fn the_session_of_an_older_id_does_not_end_for_want_of_use() {
    let (clock, memory) = (ManualClock::new(), MemoryStore::new());
    let id = over(signed(), &clock).open().await;
    let week = clock.now().saturating_add(DAY * 7);
    let store = signed()
        .with_migration_until(week)
        .with_backing(shared(&memory));
    let instance = over(store, &clock);
    assert!(instance.serves(&id).await);
    clock.advance(DAY * 3);
    assert!(instance.serves(&id).await);
    clock.advance(DAY * 4);
    assert!(!instance.serves(&id).await);
}

#[tokio::test]
async fn a_migration_revives_nothing_that_a_list_has_ended() {
    let (clock, memory, list) = (ManualClock::new(), MemoryStore::new(), MemoryStore::new());
    let with_list = |store: SignedStore| store.with_revocations(shared(&list)).unwrap();
    let before = over(with_list(signed()), &clock);
    let [kept, ended] = [before.open().await, before.open().await];
    assert_eq!(before.status(delete(&ended)).await, 204);
    let after = over(with_list(migrating(&clock, &memory)), &clock);
    assert!(!after.serves(&ended).await);
    assert!(after.serves(&kept).await);
}

#[tokio::test]
async fn two_requests_that_bring_an_older_id_at_once_are_both_served() {
    let (clock, memory) = (ManualClock::new(), MemoryStore::new());
    let before = over(signed(), &clock);
    for _ in 0..20 {
        let id = before.open().await;
        let [a, b] = [(); 2].map(|()| over(migrating(&clock, &memory), &clock));
        let (one, other) = tokio::join!(a.serves(&id), b.serves(&id));
        assert!(one && other);
    }
}

#[tokio::test]
async fn the_store_sees_each_id_as_its_key_and_never_keeps_it() {
    let (memory, clock) = (MemoryStore::new(), ManualClock::new());
    let store = signed().with_backing(memory.clone());
    let id = over(store, &clock).open().await;
    let stored = memory
        .load("/mcp", &parsed(&id), clock.now())
        .await
        .unwrap()
        .unwrap();
    let json = serde_json::to_string(&*stored.record).unwrap();
    assert!(id.split('.').all(|part| !json.contains(part)));
}

#[tokio::test]
async fn a_store_that_settles_on_ids_of_its_own_cannot_stand_behind() {
    let instance = over(signed().with_backing(signed()), &ManualClock::new());
    let answer = instance.send(crate::support::initialize()).await;
    assert_eq!(answer.status(), 503);
}
