//! The contract of `SessionStore`: kept by our stores, and shown to reject each way of breaking it.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may unwrap as tests do"
)]

#[path = "stores/broken.rs"]
mod broken;
#[path = "stores/expected.rs"]
mod expected;
#[path = "stores/handles.rs"]
mod handles;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use broken::{Broken, Fault};
use expected::EXPECTED;
use tower_mcp_session::store::{Capabilities, StoreErrorKind};
use tower_mcp_session::testing::store::{RULES, Rule, SHARED_RULES, SharedRule};
use tower_mcp_session::testing::{FaultyStore, Operation, shared_store_contract, store_contract};
use tower_mcp_session::{
    Clock, Handshake, MemoryStore, NewSession, ProtocolVersion, SessionId, SessionRecord,
    SessionStore, SystemClock, Timestamp, Values,
};

store_contract!(memory, MemoryStore::new());
store_contract!(boxed, Box::new(MemoryStore::new()) as Box<dyn SessionStore>);
store_contract!(counted, Arc::new(MemoryStore::new()));
store_contract!(faulty, FaultyStore::new(MemoryStore::new()));
store_contract!(plain, Broken::by(Fault::None));
store_contract!(
    unwatched,
    FaultyStore::new(MemoryStore::new()).without_watch()
);
store_contract!(read_only, lacking(|able| able.save = false));
store_contract!(undeletable, lacking(|able| able.delete = false));
store_contract!(without_touch, lacking(|able| able.idle_expiry = false));
store_contract!(
    helpless,
    lacking(|able| {
        able.save = false;
        able.delete = false;
        able.idle_expiry = false;
        able.watch = false;
    })
);

shared_store_contract!(two_clones, {
    let store = MemoryStore::new();
    (store.clone(), store)
});
shared_store_contract!(two_unwatched_clones, {
    let store = FaultyStore::new(MemoryStore::new()).without_watch();
    (store.clone(), store)
});
shared_store_contract!(two_helpless_clones, {
    let store = lacking(|able| {
        able.save = false;
        able.delete = false;
        able.idle_expiry = false;
        able.watch = false;
    });
    (store.clone(), store)
});
shared_store_contract!(two_handles, handles::pair(handles::Fault::None));

/// A memory store that lacks what `take` takes away.
fn lacking(take: impl FnOnce(&mut Capabilities)) -> FaultyStore<MemoryStore> {
    let store = MemoryStore::new();
    let mut able = store.capabilities();
    take(&mut able);
    FaultyStore::new(store).with_capabilities(able)
}

// On one thread, so that tasks come between each other only where the fault lets them, whatever else the machine does.
#[tokio::test]
async fn each_fault_is_rejected_by_the_rules_meant_for_it_and_by_no_other() {
    let mut wrong = Vec::new();
    for &(fault, expected) in EXPECTED {
        let rejected = rejected_by(fault).await;
        if rejected != expected {
            wrong.push(format!("{fault:?}\n  {rejected:?}\n  and not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_store_that_always_fails_is_rejected_by_every_rule() {
    assert_eq!(rejected_by(Fault::Errors).await, names());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_rejected_by_every_rule() {
    assert_eq!(rejected_by(Fault::Hangs).await, names());
}

#[test]
fn each_rule_rejects_some_fault() {
    let rejecting: HashSet<_> = EXPECTED.iter().flat_map(|(_, rules)| *rules).collect();
    assert!(names().iter().all(|name| rejecting.contains(name)));
}

#[test]
fn rules_have_names_of_their_own() {
    let mut names = names();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RULES.len());
}

fn names() -> Vec<&'static str> {
    RULES.iter().map(Rule::name).collect()
}

/// The names of the rules that reject a store with this fault.
async fn rejected_by(fault: Fault) -> Vec<&'static str> {
    let mut rejected = Vec::new();
    for rule in RULES {
        let task = tokio::spawn(rule.check(Broken::by(fault)));
        if let Err(error) = task.await {
            assert!(error.is_panic());
            rejected.push(rule.name());
        }
    }
    rejected
}

// On one thread, as for one handle. Paused: a watch that is told nothing is given up at once.
#[tokio::test(start_paused = true)]
async fn each_fault_of_two_handles_is_rejected_by_the_rule_meant_for_it_and_by_no_other() {
    for &(fault, expected) in handles::EXPECTED {
        assert_eq!(rejected_pairs(fault).await, expected, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_handles_that_share_nothing_are_rejected_by_every_rule_but_one() {
    let mut all = shared_names();
    // Tags need nothing to be shared.
    all.retain(|name| *name != "owner_tags_are_the_same_on_every_handle");
    assert_eq!(rejected_pairs(handles::Fault::SharesNothing).await, all);
}

#[test]
fn each_rule_for_two_handles_rejects_some_fault() {
    let rejecting: HashSet<_> = handles::EXPECTED
        .iter()
        .flat_map(|(_, rules)| *rules)
        .collect();
    assert!(shared_names().iter().all(|name| rejecting.contains(name)));
}

fn shared_names() -> Vec<&'static str> {
    SHARED_RULES.iter().map(SharedRule::name).collect()
}

/// The names of the rules that reject two handles with this fault.
async fn rejected_pairs(fault: handles::Fault) -> Vec<&'static str> {
    let mut rejected = Vec::new();
    for rule in SHARED_RULES {
        let (first, second) = handles::pair(fault);
        let task = tokio::spawn(rule.check(first, second));
        if let Err(error) = task.await {
            assert!(error.is_panic());
            rejected.push(rule.name());
        }
    }
    rejected
}

#[tokio::test]
async fn a_full_memory_store_refuses_and_takes_again_once_there_is_room() {
    let one = size_of_one_session().await;
    let store = MemoryStore::new().with_max_bytes(2 * one);
    let first = create(&store, "a").await.unwrap();
    let second = create(&store, "a").await.unwrap();
    let full = create(&store, "a").await.unwrap_err();
    assert_eq!(full.kind(), StoreErrorKind::Unavailable);
    assert_eq!(store.len(), 2);

    let larger = Arc::new(record("a much longer value than before"));
    let full = store
        .save(&first.key, Arc::clone(&larger), first.revision)
        .await
        .unwrap_err();
    assert_eq!(full.kind(), StoreErrorKind::Unavailable);
    let loaded = store
        .load("/mcp", &first.id, first.last_activity)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (loaded.record, loaded.revision),
        (first.record, first.revision)
    );

    assert!(
        store
            .delete(&second.key, second.last_activity)
            .await
            .unwrap()
    );
    store
        .save(&first.key, larger, first.revision)
        .await
        .unwrap();
    assert!(
        create(&store, "a").await.is_err(),
        "the longer value took the room"
    );
    assert!(store.delete(&first.key, first.last_activity).await.unwrap());
    create(&store, "a").await.unwrap();
    create(&store, "a").await.unwrap();
}

#[tokio::test]
async fn a_memory_store_forgets_tombstones_after_the_absolute_end() {
    let store = MemoryStore::new();
    let stored = create(&store, "a").await.unwrap();
    assert!(
        store
            .delete(&stored.key, stored.last_activity)
            .await
            .unwrap()
    );
    let end = stored.record.absolute_end();
    for (now, taken) in [
        (end.saturating_sub(Duration::from_millis(1)), true),
        (end, false),
    ] {
        assert_eq!(store.delete_expired(now, 10).await.unwrap(), []);
        let new = NewSession::new("/mcp", record("b"), now, Timestamp::NEVER);
        assert_eq!(store.create(&stored.id, new).await.is_err(), taken);
    }
}

#[tokio::test]
async fn a_clone_of_a_memory_store_is_another_handle() {
    let store = MemoryStore::new();
    let stored = create(&store.clone(), "a").await.unwrap();
    assert_eq!(store.len(), 1);
    assert!(
        store
            .delete(&stored.key, stored.last_activity)
            .await
            .unwrap()
    );
    assert!(store.clone().is_empty());
}

#[tokio::test]
async fn calls_fail_as_they_are_told_and_are_counted() {
    let store = FaultyStore::new(MemoryStore::new());
    store.fail_next(Operation::Create, StoreErrorKind::Unavailable);
    store.lose_next_answer(Operation::Create, StoreErrorKind::OutcomeUnknown);
    for (kind, len) in [
        (StoreErrorKind::Unavailable, 0),
        (StoreErrorKind::OutcomeUnknown, 1),
    ] {
        assert_eq!(create(&store, "a").await.unwrap_err().kind(), kind);
        assert_eq!(store.inner().len(), len);
    }
    store.fail_all(Operation::Create, StoreErrorKind::TooLarge);
    for _ in 0..3 {
        let error = create(&store.clone(), "a").await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::TooLarge);
    }
    store.heal();
    create(&store, "a").await.unwrap();
    assert_eq!(store.calls(Operation::Create), 6);
    assert_eq!((store.calls(Operation::Load), store.total_calls()), (0, 6));
}

#[tokio::test]
async fn calls_hang_until_they_are_released_or_dropped() {
    let store = FaultyStore::new(MemoryStore::new());
    store.hang(Operation::Create);
    let other = store.clone();
    let hanging = tokio::spawn(async move { create(&other, "a").await.is_ok() });
    store.arrived(Operation::Create).await;
    let other = store.clone();
    let dropped = tokio::spawn(async move { create(&other, "a").await.is_ok() });
    store.wait_for_calls(Operation::Create, 2).await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    assert_eq!(
        (store.hanging(Operation::Create), store.inner().len()),
        (1, 0)
    );
    store.release();
    assert!(hanging.await.unwrap());
    assert_eq!(
        (store.hanging(Operation::Create), store.inner().len()),
        (0, 1)
    );
}

#[tokio::test]
async fn answers_are_kept_back_until_they_are_released() {
    let store = FaultyStore::new(MemoryStore::new());
    let stored = create(&store, "a").await.unwrap();
    let (id, now) = (stored.id.clone(), stored.last_activity);
    store.hang_after(Operation::Load);
    let (other, read) = (store.clone(), id.clone());
    let loading = tokio::spawn(async move { other.load("/mcp", &read, now).await });
    arrived(&store, Operation::Load).await;
    assert!(store.delete(&stored.key, now).await.unwrap());
    store.release();
    let old = loading.await.unwrap().unwrap();
    assert!(
        old.is_some_and(|old| old.id == id),
        "the answer is from before"
    );
    assert!(store.load("/mcp", &id, now).await.unwrap().is_none());
    assert_eq!(store.hanging(Operation::Load), 0);
}

#[tokio::test]
async fn a_call_that_is_dropped_with_its_answer_has_done_its_work() {
    let store = FaultyStore::new(MemoryStore::new());
    store.hang_after(Operation::Create);
    let other = store.clone();
    let dropped = tokio::spawn(async move { create(&other, "a").await.is_ok() });
    arrived(&store, Operation::Create).await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    assert_eq!(
        (store.hanging(Operation::Create), store.inner().len()),
        (0, 1)
    );
    store.release();
    store.lose_next_answer(Operation::Create, StoreErrorKind::OutcomeUnknown);
    assert!(create(&store, "b").await.is_err());
    assert_eq!(store.inner().len(), 2);
}

/// Waits until a call hangs, which must happen.
async fn arrived(store: &FaultyStore<MemoryStore>, operation: Operation) {
    let arrival = tokio::time::timeout(Duration::from_secs(10), store.arrived(operation));
    arrival.await.expect("a call hangs");
}

async fn create(
    store: &impl SessionStore,
    value: &str,
) -> Result<tower_mcp_session::store::Stored, tower_mcp_session::store::StoreError> {
    let new = NewSession::new("/mcp", record(value), SystemClock.now(), Timestamp::NEVER);
    store.create(&SessionId::random().unwrap(), new).await
}

fn record(value: &str) -> SessionRecord {
    let params = serde_json::value::to_raw_value("params").unwrap();
    let handshake = Arc::new(Handshake::new(params, ProtocolVersion::V2025_11_25));
    let mut values = Values::default();
    values.insert("value", value).unwrap();
    let now = SystemClock.now();
    let end = now.saturating_add(Duration::from_secs(3600));
    SessionRecord::new(now, end, None, handshake).with_values(values)
}

/// The smallest limit at which one session fits.
async fn size_of_one_session() -> usize {
    for bytes in 1..10_000 {
        let store = MemoryStore::new().with_max_bytes(bytes);
        if create(&store, "a").await.is_ok() {
            return bytes;
        }
    }
    panic!("a small session takes more than 10 000 bytes");
}
