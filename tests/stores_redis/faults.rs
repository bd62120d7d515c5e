//! Servers that crash, hang, refuse, and connections that break.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tower_mcp_session::store::redis::{Client, cmd};
use tower_mcp_session::store::{StoreError, StoreErrorKind, Stored, WatchStatus};
use tower_mcp_session::{RedisStore, SessionStore};

use crate::common::{
    HOUR, admin, after, ask, begin, handle, key_of, load, now, prefix, record, save, status, tell,
    tracking, try_begin, until, until_current,
};
use crate::proxy::Proxy;
use crate::redis::RedisServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_acknowledged_is_lost_when_the_server_is_killed() {
    let server = RedisServer::durable();
    let store = handle(&server.url(), "mcp").await;
    let writers: Vec<_> = (0..8)
        .map(|_| tokio::spawn(begin_until_it_fails(store.clone())))
        .collect();
    let deleted = begin(&store).await;
    store.delete(&deleted.key, now()).await.unwrap();
    until("sessions are made", || async {
        let mut admin = admin(&server).await;
        let keys: u64 = tell(&mut admin, "DBSIZE").await;
        (keys > 200).then_some(())
    })
    .await;
    server.kill();
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    server.restart();
    reached(&store).await;
    assert!(acknowledged.len() > 90, "{}", acknowledged.len());
    for session in &acknowledged {
        let found = load(&store, &session.id).await.unwrap();
        assert_eq!(found.revision, session.revision.next());
    }
    assert!(load(&store, &deleted.id).await.is_none());
    let saved = store.save(&deleted.key, Arc::new(record("late")), deleted.revision);
    assert_eq!(saved.await.unwrap_err().kind(), StoreErrorKind::Gone);
}

/// The sessions that were created and saved with success.
async fn begin_until_it_fails(store: RedisStore) -> Vec<Stored> {
    let mut done = Vec::new();
    loop {
        let Ok(session) = try_begin(&store).await else {
            return done;
        };
        let saved = store.save(&session.key, Arc::new(record("saved")), session.revision);
        if saved.await.is_err() {
            return done;
        }
        done.push(session);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_there_is_no_server_calls_fail_at_once_and_afterwards_they_work() {
    let server = RedisServer::durable();
    let store = handle(&server.url(), "mcp").await;
    let session = begin(&store).await;
    server.kill();
    let refused = || async { (failure(&store).await == StoreErrorKind::Unavailable).then_some(()) };
    until("the loss is noticed", refused).await;
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(failure(&store).await, StoreErrorKind::Unavailable);
        let read = store.load("/mcp", &session.id, now()).await;
        assert_eq!(read.unwrap_err().kind(), StoreErrorKind::Unavailable);
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "they wait");
    server.restart();
    reached(&store).await;
    let found = load(&store, &session.id).await.unwrap();
    assert_eq!(found.record, session.record);
    // Nobody called in between: the connection is kept without that.
    server.restart();
    let works = || async { store.touch(&session.key, now(), None).await.ok() };
    assert_eq!(until("it works again", works).await, Some(session.revision));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_on_a_server_that_hangs_end_in_time_and_work_again_when_it_goes_on() {
    let server = RedisServer::start(&["--save", ""]);
    let store = handle(&server.url(), "mcp").await;
    let mut session = begin(&store).await;
    // From here on the server knows the script.
    session.revision = save(&store, &session, session.revision).await;
    server.pause();
    let begun = Instant::now();
    let deadline = Some(after(HOUR));
    let (saved, touched, loaded) = tokio::join!(
        store.save(&session.key, Arc::new(record("saved")), session.revision),
        store.touch(&session.key, now(), deadline),
        store.load("/mcp", &session.id, now()),
    );
    let took = begun.elapsed();
    assert_eq!(saved.unwrap_err().kind(), StoreErrorKind::OutcomeUnknown);
    assert_eq!(touched.unwrap_err().kind(), StoreErrorKind::OutcomeUnknown);
    assert_eq!(loaded.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert!(
        took < Duration::from_secs(2),
        "later than the layer: {took:?}"
    );
    server.resume();
    reached(&store).await;
    // It had been sent: the server did it after all.
    let found = load(&store, &session.id).await.unwrap();
    assert_eq!(found.revision, session.revision.next());
    assert_eq!(
        save(&store, &session, found.revision).await,
        found.revision.next()
    );
}

#[tokio::test]
async fn a_write_whose_connection_breaks_is_not_repeated_and_its_outcome_is_unknown() {
    let server = RedisServer::shared();
    let proxy = Proxy::to(server.port()).await;
    let store = handle(&proxy.url(), &prefix()).await;
    let session = begin(&store).await;
    proxy.seen();

    proxy.cut_at("EVALSHA");
    let saved = store.save(&session.key, Arc::new(record("saved")), session.revision);
    assert_eq!(
        saved.await.unwrap_err().kind(),
        StoreErrorKind::OutcomeUnknown
    );
    let found = load(&store, &session.id).await.unwrap();
    assert_eq!(found.revision, session.revision.next(), "it was done, once");
    proxy.cut_at("EVALSHA");
    let begun = try_begin(&store).await;
    assert_eq!(begun.unwrap_err().kind(), StoreErrorKind::OutcomeUnknown);
    proxy.cut_at("EVALSHA");
    let deleted = store.delete(&session.key, now()).await;
    assert_eq!(deleted.unwrap_err().kind(), StoreErrorKind::OutcomeUnknown);
    assert!(load(&store, &session.id).await.is_none(), "it was done");
    let scripts = proxy
        .seen()
        .iter()
        .filter(|name| *name == "EVALSHA")
        .count();
    assert_eq!(scripts, 5, "three writes and two loads, each once");
}

#[tokio::test]
async fn reads_and_touches_whose_connection_breaks_are_sent_again() {
    let server = RedisServer::shared();
    let proxy = Proxy::to(server.port()).await;
    let store = handle(&proxy.url(), &prefix()).await;
    let session = begin(&store).await;
    proxy.seen();
    proxy.cut_at("EVALSHA");
    assert!(load(&store, &session.id).await.is_some());
    proxy.cut_at("EVALSHA");
    let touched = store
        .touch(&session.key, now(), Some(after(2 * HOUR)))
        .await;
    assert_eq!(touched.unwrap(), Some(session.revision));
    let mut seen = proxy.seen();
    seen.retain(|name| name == "EVALSHA");
    assert_eq!(seen.len(), 4);
}

#[tokio::test]
async fn a_touch_that_was_sent_once_and_could_not_be_repeated_has_an_unknown_outcome() {
    let server = RedisServer::shared();
    let proxy = Proxy::to(server.port()).await;
    let store = handle(&proxy.url(), &prefix()).await;
    let session = begin(&store).await;
    proxy.refuse();
    proxy.cut_at("EVALSHA");
    let deadline = Some(after(HOUR));
    let touched = store.touch(&session.key, now(), deadline).await;
    let unknown = StoreErrorKind::OutcomeUnknown;
    assert_eq!(touched.unwrap_err().kind(), unknown);
    // Nothing was sent of this one.
    let touched = store.touch(&session.key, now(), deadline).await;
    let unavailable = StoreErrorKind::Unavailable;
    assert_eq!(touched.unwrap_err().kind(), unavailable);
}

#[tokio::test]
async fn the_connection_to_a_server_that_has_become_a_replica_is_left_for_a_new_one() {
    let server = RedisServer::start(&["--save", ""]);
    let proxy = Proxy::to(server.port()).await;
    let store = handle(&proxy.url(), "mcp").await;
    begin(&store).await;
    let mut admin = admin(&server).await;
    tell::<()>(&mut admin, "REPLICAOF 127.0.0.1 1").await;
    proxy.seen();
    assert_eq!(failure(&store).await, StoreErrorKind::Unavailable);
    let anew = || async {
        let seen = proxy.seen();
        seen.iter().any(|name| name == "HELLO").then_some(())
    };
    until("it connects anew", anew).await;
    tell::<()>(&mut admin, "REPLICAOF NO ONE").await;
    reached(&store).await;
}

#[tokio::test]
async fn a_server_that_refuses_to_write_is_unavailable() {
    let server = RedisServer::start(&["--save", ""]);
    let store = handle(&server.url(), "mcp").await;
    let session = begin(&store).await;
    let mut admin = admin(&server).await;

    tell::<()>(&mut admin, "CONFIG SET maxmemory 1").await;
    assert_eq!(failure(&store).await, StoreErrorKind::Unavailable);
    let saved = store.save(&session.key, Arc::new(record("saved")), session.revision);
    assert_eq!(saved.await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    let deadline = after(HOUR * 3 / 2);
    let touched = store.touch(&session.key, now(), Some(deadline)).await;
    assert_eq!(touched.unwrap(), Some(session.revision), "it takes no room");
    let found = load(&store, &session.id).await.unwrap();
    assert_eq!(found.idle_deadline, deadline);
    assert!(
        store.delete(&session.key, now()).await.unwrap(),
        "that frees memory"
    );
    tell::<()>(&mut admin, "CONFIG SET maxmemory 0").await;
    let session = begin(&store).await;

    tell::<()>(&mut admin, "REPLICAOF 127.0.0.1 1").await;
    assert_eq!(failure(&store).await, StoreErrorKind::Unavailable);
    let saved = store.save(&session.key, Arc::new(record("saved")), session.revision);
    assert_eq!(saved.await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    tell::<()>(&mut admin, "REPLICAOF NO ONE").await;
    reached(&store).await;
    save(&store, &session, session.revision).await;
}

#[tokio::test]
async fn a_url_that_is_none_and_a_server_that_is_none_are_told_apart() {
    for (url, kind) in [
        ("nonsense", StoreErrorKind::Unsupported),
        ("rediss://127.0.0.1/", StoreErrorKind::Unsupported),
        (
            "redis://user:secret@127.0.0.1:1/",
            StoreErrorKind::Unavailable,
        ),
    ] {
        let error = RedisStore::connect(url).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{url}");
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("secret") && !shown.contains("127"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_store_that_was_made_without_connecting_connects_when_it_is_used() {
    let server = RedisServer::shared();
    let client = Client::open(server.url()).unwrap();
    let store = RedisStore::from_client(&client).unwrap();
    let store = store.with_prefix(&prefix());
    let session = begin(&store).await;
    assert!(load(&store, &session.id).await.is_some());
}

#[test]
fn a_store_outlives_the_runtime_that_it_was_made_in() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let url = RedisServer::shared().url();
    let (store, session) = runtime().block_on(async {
        let store = tracking(&url, &prefix()).await;
        let session = begin(&store).await;
        until_current(&store, &session).await;
        (store, session)
    });
    assert_eq!(status(&session), WatchStatus::Ask);
    runtime().block_on(async {
        assert_eq!(ask(&store, &session).await, Some(session.revision));
        until_current(&store, &session).await;
    });
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_and_not_absence() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let mut admin = admin(server).await;
    let no_revision = format!("R{}{}{{}}", "0".repeat(20), "9".repeat(20));
    for (kind, wrong) in [
        ("record", "garbage".to_owned()),
        ("record", no_revision),
        ("seen", "garbage".to_owned()),
    ] {
        let session = begin(&store).await;
        let key = key_of(&prefix, kind, &session);
        cmd("SET")
            .arg(key)
            .arg(wrong)
            .exec_async(&mut admin)
            .await
            .unwrap();
        let loaded = store.load("/mcp", &session.id, now()).await;
        assert_eq!(loaded.unwrap_err().kind(), StoreErrorKind::Corrupt);
        let touched = store.touch(&session.key, now(), Some(after(HOUR))).await;
        assert_eq!(touched.unwrap_err().kind(), StoreErrorKind::Corrupt);
        // It may be readable to another version, so clean-up leaves it.
        let removed = store.delete_expired(after(HOUR / 2), 10).await.unwrap();
        assert_eq!(removed, []);
        store.delete(&session.key, now()).await.unwrap();
        assert!(load(&store, &session.id).await.is_none());
    }
}

/// The kind of error with which a session does not begin; it must not.
async fn failure(store: &RedisStore) -> StoreErrorKind {
    let error: StoreError = try_begin(store).await.unwrap_err();
    error.kind()
}

/// Ends when the server is reached again.
async fn reached(store: &RedisStore) {
    let begins = || async { try_begin(store).await.ok() };
    until("the server is reached again", begins).await;
}
