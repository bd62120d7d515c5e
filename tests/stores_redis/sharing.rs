//! Several handles on the same sessions, and what a call costs.

use std::sync::Arc;

use tower_mcp_session::store::{Revision, StoreErrorKind, WatchStatus};
use tower_mcp_session::{
    NewSession, RedisStore, SessionId, SessionRecord, SessionStore, Timestamp,
};

use crate::common::{
    HOUR, admin, after, ask, begin, fresh, handle, key_of, load, now, prefix, record, save, status,
    tell, tracking, until_current,
};
use crate::proxy::Proxy;
use crate::redis::RedisServer;

#[tokio::test]
async fn a_new_handle_finds_the_sessions_of_one_that_is_gone() {
    let (url, prefix) = (RedisServer::shared().url(), prefix());
    let old = handle(&url, &prefix).await;
    let session = begin(&old).await;
    let revision = save(&old, &session, session.revision).await;
    drop(old);
    let new = handle(&url, &prefix).await;
    let found = load(&new, &session.id).await.unwrap();
    assert_eq!(found.revision, revision);
    assert_eq!(found.record.values(), record("saved").values());
    assert_eq!(found.idle_deadline, session.idle_deadline);
}

#[tokio::test]
async fn stores_of_different_prefixes_know_nothing_of_each_other() {
    let url = RedisServer::shared().url();
    let one = handle(&url, &prefix()).await;
    let other = handle(&url, &prefix()).await;
    let session = begin(&one).await;
    assert!(load(&other, &session.id).await.is_none());
    assert!(!other.delete(&session.key, now()).await.unwrap());
    let late = after(3 * HOUR);
    assert_eq!(other.delete_expired(late, 10).await.unwrap(), []);
    assert!(load(&one, &session.id).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_on_two_handles_that_race_lose_no_update() {
    let (url, prefix) = (RedisServer::shared().url(), prefix());
    let handles = [tracking(&url, &prefix).await, handle(&url, &prefix).await];
    let session = begin(&handles[0]).await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|n| tokio::spawn(add(handles[n % 2].clone(), session.id.clone(), n)))
        .collect();
    let mut revisions = Vec::new();
    for task in tasks {
        revisions.push(task.await.unwrap());
    }
    let record = load(&handles[1], &session.id).await.unwrap().record;
    for n in 0..TASKS {
        assert!(record.values().contains(&n.to_string()), "task {n}");
    }
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), TASKS);
}

/// Adds a value named `n` by compare-and-swap.
async fn add(store: RedisStore, id: SessionId, n: usize) -> Revision {
    loop {
        let read = load(&store, &id).await.unwrap();
        let mut values = read.record.values().clone();
        values.insert(n.to_string(), &n).unwrap();
        let record = Arc::new((*read.record).clone().with_values(values));
        match store.save(&read.key, record, read.revision).await {
            Ok(revision) => return revision,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Conflict),
        }
    }
}

#[tokio::test]
async fn each_call_is_one_round_trip_once_the_server_knows_the_scripts() {
    let server = RedisServer::shared();
    let proxy = Proxy::to(server.port()).await;
    let store = handle(&proxy.url(), &prefix()).await;
    for round in 0..2 {
        let session = begin(&store).await;
        store
            .touch(&session.key, now(), Some(after(HOUR)))
            .await
            .unwrap();
        ask(&store, &session).await;
        load(&store, &session.id).await;
        save(&store, &session, session.revision).await;
        store.delete(&session.key, now()).await.unwrap();
        let seen = proxy.seen();
        if round == 1 {
            assert_eq!(seen, ["EVALSHA"; 6]);
        }
    }
}

#[tokio::test]
async fn a_tracked_session_costs_no_round_trip_until_it_changes() {
    let server = RedisServer::shared();
    let proxy = Proxy::to(server.port()).await;
    let prefix = prefix();
    let store = tracking(&proxy.url(), &prefix).await;
    let session = begin(&store).await;
    until_current(&store, &session).await;
    proxy.seen();
    // One that says *current* of this revision is all that a request looks at.
    let other = handle(&server.url(), &prefix).await;
    for _ in 0..3 {
        other
            .touch(&session.key, now(), Some(after(HOUR)))
            .await
            .unwrap();
    }
    // Whatever the server says of it has been said before its answer to this.
    ask(&store, &session).await;
    assert_eq!(status(&session), WatchStatus::Current(session.revision));
    assert_eq!(proxy.seen(), ["EVALSHA"]);
}

#[tokio::test]
async fn scripts_that_were_flushed_are_sent_again_once() {
    let server = RedisServer::start(&["--save", ""]);
    let proxy = Proxy::to(server.port()).await;
    let store = handle(&proxy.url(), "mcp").await;
    let session = begin(&store).await;
    ask(&store, &session).await;
    let mut admin = admin(&server).await;
    tell::<()>(&mut admin, "SCRIPT FLUSH").await;
    proxy.seen();
    for _ in 0..2 {
        assert_eq!(ask(&store, &session).await, Some(session.revision));
    }
    assert_eq!(proxy.seen(), ["EVALSHA", "EVAL", "EVALSHA"]);
    let saved = save(&store, &session, session.revision).await;
    assert_eq!(saved, session.revision.next());
    assert!(store.delete(&session.key, now()).await.unwrap());
}

#[tokio::test]
async fn keys_hold_digests_in_one_slot_and_end_some_time_after_the_session() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let session = begin(&store).await;
    let mut admin = admin(server).await;
    let mut keys: Vec<String> = tell(&mut admin, &format!("KEYS {prefix}*")).await;
    keys.sort();
    let [record, seen] = ["record", "seen"].map(|kind| key_of(&prefix, kind, &session));
    let index = format!("{prefix}:sessions");
    assert_eq!(keys, [record.clone(), seen.clone(), index]);
    for (key, hours) in [(&record, 2), (&seen, 1)] {
        let value: String = tell(&mut admin, &format!("GET {key}")).await;
        assert!(!value.contains(&session.id.expose()));
        let left: u64 = tell(&mut admin, &format!("PTTL {key}")).await;
        let end = u64::try_from(HOUR.as_millis()).unwrap() * hours;
        assert!((end..=end + 300_000).contains(&left), "{key}: {left}");
    }
    let beyond = Some(after(10 * HOUR));
    store.touch(&session.key, now(), beyond).await.unwrap();
    let left: u64 = tell(&mut admin, &format!("PTTL {seen}")).await;
    assert!((7_100_000..=7_500_000).contains(&left), "{left}");
    store.delete(&session.key, now()).await.unwrap();
    let size: u64 = tell(&mut admin, &format!("STRLEN {record}")).await;
    let left: u64 = tell(&mut admin, &format!("PTTL {record}")).await;
    assert_eq!(size, 21, "of a deleted session a tombstone stays");
    assert!(left > 7_000_000, "to its absolute end: {left}");
    let seen: bool = tell(&mut admin, &format!("EXISTS {seen}")).await;
    assert!(!seen);
}

#[tokio::test]
async fn the_time_to_live_follows_the_absolute_end_of_the_record_that_is_saved() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let session = begin(&store).await;
    let mut admin = admin(server).await;
    let key = key_of(&prefix, "record", &session);
    let same = Arc::new((*session.record).clone().with_suspended(true));
    let revision = store.save(&session.key, same, session.revision).await;
    let left: u64 = tell(&mut admin, &format!("PTTL {key}")).await;
    assert!((7_100_000..=7_500_000).contains(&left), "{left}");
    let handshake = Arc::clone(session.record.handshake());
    let longer = SessionRecord::new(now(), after(4 * HOUR), None, handshake);
    let longer = store.save(&session.key, Arc::new(longer), revision.unwrap());
    longer.await.unwrap();
    let left: u64 = tell(&mut admin, &format!("PTTL {key}")).await;
    assert!((14_300_000..=14_800_000).contains(&left), "{left}");
}

#[tokio::test]
async fn sessions_without_an_end_have_no_time_to_live_and_leave_a_tombstone_for_thirty_days() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let never = Timestamp::NEVER;
    let handshake = Arc::clone(record("endless").handshake());
    let endless = SessionRecord::new(now(), never, None, handshake);
    let new = NewSession::new("/mcp", endless.clone(), now(), never);
    let id = SessionId::random().unwrap();
    let session = store.create(&id, new).await.unwrap();
    store.touch(&session.key, now(), Some(never)).await.unwrap();
    let saved = store.save(&session.key, Arc::new(endless), session.revision);
    saved.await.unwrap();
    let mut admin = admin(server).await;
    for kind in ["record", "seen"] {
        let key = key_of(&prefix, kind, &session);
        let left: i64 = tell(&mut admin, &format!("PTTL {key}")).await;
        assert_eq!(left, -1, "{kind}");
    }
    assert!(store.delete(&session.key, now()).await.unwrap());
    let key = key_of(&prefix, "record", &session);
    let left: u64 = tell(&mut admin, &format!("TTL {key}")).await;
    assert!((29 * 86_400..=30 * 86_400).contains(&left), "{left}");
}

#[tokio::test]
async fn an_id_whose_tombstone_is_over_may_be_used_again() {
    let store = fresh().await;
    let session = begin(&store).await;
    assert!(store.delete(&session.key, now()).await.unwrap());
    let end = session.record.absolute_end();
    let new = NewSession::new("/mcp", record("again"), end, end.saturating_add(HOUR));
    store.create(&session.id, new).await.unwrap();
}

const TASKS: usize = 64;
