//! Sessions put straight into stores, and what must hold of any two handles to the same data.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tower_mcp_session::store::{Revision, StoreErrorKind, Stored};
use tower_mcp_session::{
    Clock, Handshake, NewSession, ProtocolVersion, SessionId, SessionRecord, SessionStore,
    SystemClock, Timestamp, Values,
};

pub(crate) const AUDIENCE: &str = "/mcp";
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

pub(crate) fn after(time: Duration) -> Timestamp {
    now().saturating_add(time)
}

pub(crate) fn values(name: &str, value: &str) -> Values {
    let mut values = Values::default();
    values.insert(name, value).unwrap();
    values
}

/// A record that ends in a day, with one value.
pub(crate) fn record(name: &str, value: &str) -> SessionRecord {
    let params = serde_json::value::to_raw_value("params").unwrap();
    let handshake = Arc::new(Handshake::new(params, ProtocolVersion::V2025_11_25));
    SessionRecord::new(now(), after(DAY), None, handshake).with_values(values(name, value))
}

/// A session that ends in an hour for want of use.
pub(crate) fn new_session(value: &str) -> NewSession {
    NewSession::new(AUDIENCE, record("value", value), now(), after(HOUR))
}

pub(crate) async fn begin(store: &dyn SessionStore) -> Stored {
    let id = SessionId::random().unwrap();
    store.create(&id, new_session("begun")).await.unwrap()
}

pub(crate) async fn load(store: &dyn SessionStore, id: &SessionId) -> Option<Stored> {
    store.load(AUDIENCE, id, now()).await.unwrap()
}

/// Adds a value of this name, as often as others come between.
pub(crate) async fn add_value(store: &dyn SessionStore, id: &SessionId, name: &str) -> Revision {
    loop {
        let stored = load(store, id).await.expect("the session is there");
        let mut all = stored.record.values().clone();
        all.extend(&values(name, name));
        let record = Arc::new((*stored.record).clone().with_values(all));
        match store.save(&stored.key, record, stored.revision).await {
            Ok(revision) => return revision,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Conflict),
        }
    }
}

/// 64 tasks over two handles each add a value to one session: none is lost, whichever handle is asked.
pub(crate) async fn two_handles_lose_nothing(handles: [Arc<dyn SessionStore>; 2]) {
    let session = begin(&*handles[0]).await;
    let mut tasks = JoinSet::new();
    for n in 0..64 {
        let (store, id) = (Arc::clone(&handles[n % 2]), session.id.clone());
        tasks.spawn(async move { add_value(&*store, &id, &format!("task {n}")).await });
    }
    let revisions: HashSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(revisions.len(), 64);
    for handle in &handles {
        let record = load(&**handle, &session.id).await.unwrap().record;
        for n in 0..64 {
            assert!(record.values().contains(&format!("task {n}")), "task {n}");
        }
    }
}

/// 64 tasks over two handles create with one id: one gets it.
pub(crate) async fn two_handles_have_one_winner(handles: [Arc<dyn SessionStore>; 2]) {
    let id = SessionId::random().unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..64 {
        let (store, id) = (Arc::clone(&handles[n % 2]), id.clone());
        tasks.spawn(async move { store.create(&id, new_session(&n.to_string())).await });
    }
    let mut winners = Vec::new();
    for result in tasks.join_all().await {
        match result {
            Ok(stored) => winners.push(stored.record),
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::AlreadyExists),
        }
    }
    assert_eq!(winners.len(), 1);
    for handle in &handles {
        assert_eq!(load(&**handle, &id).await.unwrap().record, winners[0]);
    }
}

/// What one handle did is seen by a handle that is opened later: saved, touched, deleted.
pub(crate) async fn a_later_handle_sees(
    earlier: impl SessionStore,
    later: impl AsyncFnOnce() -> Arc<dyn SessionStore>,
) {
    let [saved, touched, deleted] = [
        begin(&earlier).await,
        begin(&earlier).await,
        begin(&earlier).await,
    ];
    let revision = add_value(&earlier, &saved.id, "added").await;
    let (used, deadline) = (after(HOUR / 2), after(HOUR * 2));
    let touch = earlier.touch(&touched.key, used, Some(deadline)).await;
    assert_eq!(touch.unwrap(), Some(touched.revision));
    assert!(earlier.delete(&deleted.key, now()).await.unwrap());
    drop(earlier);

    let store = later().await;
    let found = load(&*store, &saved.id).await.unwrap();
    assert_eq!(found.revision, revision);
    assert!(found.record.values().contains("added"));
    let found = load(&*store, &touched.id).await.unwrap();
    assert_eq!((found.last_activity, found.idle_deadline), (used, deadline));
    assert_eq!(found.record, touched.record);
    assert!(load(&*store, &deleted.id).await.is_none());
    let again = store.create(&deleted.id, new_session("again")).await;
    assert_eq!(again.unwrap_err().kind(), StoreErrorKind::AlreadyExists);
}

/// Tombstones are cleaned up after the absolute end of their sessions, without being counted as sessions, however many
/// there are.
pub(crate) async fn tombstones_go_after_the_absolute_end(store: &dyn SessionStore) {
    let mut deleted = Vec::new();
    for _ in 0..10 {
        let session = begin(store).await;
        assert!(store.delete(&session.key, now()).await.unwrap());
        deleted.push(session);
    }
    let expired = begin(store).await;
    let kept = store.delete_expired(after(HOUR * 2), 3).await.unwrap();
    assert_eq!(kept, [expired.key]);
    let last = begin(store).await;
    let removed = store.delete_expired(after(DAY * 2), 3).await.unwrap();
    assert_eq!(removed, [last.key]);
    for session in deleted {
        let again = store.create(&session.id, new_session("again")).await;
        assert!(again.is_ok(), "the tombstone is gone");
    }
}
