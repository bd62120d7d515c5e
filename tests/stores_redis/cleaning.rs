//! Clean-up: what it finds, and what it costs.

use std::collections::HashSet;
use std::sync::Arc;

use tower_mcp_session::SessionStore;
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::store::redis::{cmd, pipe};

use crate::common::{HOUR, admin, after, begin, fresh, handle, key_of, load, now, prefix, tell};
use crate::proxy::Proxy;
use crate::redis::RedisServer;

#[tokio::test]
async fn a_record_whose_last_use_has_expired_is_gone_and_clean_up_finds_it() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let [expired, alive] = [begin(&store).await, begin(&store).await];
    let mut admin = admin(server).await;
    let seen = key_of(&prefix, "seen", &expired);
    tell::<()>(&mut admin, &format!("DEL {seen}")).await;
    assert!(load(&store, &expired.id).await.is_none());
    assert_eq!(
        store
            .touch(&expired.key, now(), Some(after(HOUR)))
            .await
            .unwrap(),
        None
    );
    let saved = store.save(&expired.key, Arc::clone(&expired.record), expired.revision);
    assert_eq!(saved.await.unwrap_err().kind(), StoreErrorKind::Gone);
    assert_eq!(
        store.delete_expired(now(), 10).await.unwrap(),
        [expired.key]
    );
    let record = key_of(&prefix, "record", &expired);
    assert!(!tell::<bool>(&mut admin, &format!("EXISTS {record}")).await);
    assert!(load(&store, &alive.id).await.is_some());
}

#[tokio::test]
async fn clean_up_leaves_tombstones() {
    let store = fresh().await;
    let session = begin(&store).await;
    store.delete(&session.key, now()).await.unwrap();
    assert_eq!(
        store.delete_expired(after(100 * HOUR), 10).await.unwrap(),
        []
    );
}

#[tokio::test]
async fn more_tombstones_than_a_clean_up_may_remove_do_not_stop_it() {
    let store = fresh().await;
    for _ in 0..50 {
        let session = begin(&store).await;
        store.delete(&session.key, now()).await.unwrap();
    }
    let expired = begin(&store).await;
    // What the other tests keep in the same database lies between.
    let mut removed = Vec::new();
    for _ in 0..10 {
        removed.extend(store.delete_expired(after(3 * HOUR), 2).await.unwrap());
    }
    assert_eq!(removed, [expired.key]);
}

#[tokio::test]
async fn keys_of_another_kind_do_not_stop_clean_up() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let [one, other, expired] = [
        begin(&store).await,
        begin(&store).await,
        begin(&store).await,
    ];
    let mut admin = admin(server).await;
    for key in [
        key_of(&prefix, "seen", &one),
        key_of(&prefix, "record", &other),
    ] {
        tell::<()>(&mut admin, &format!("DEL {key}")).await;
        tell::<()>(&mut admin, &format!("LPUSH {key} 1")).await;
    }
    let removed = store.delete_expired(after(3 * HOUR), 10).await.unwrap();
    assert_eq!(removed, [expired.key]);
}

#[tokio::test]
async fn one_clean_up_looks_at_a_part_of_a_large_database_and_the_next_goes_on_there() {
    let server = RedisServer::start(&["--save", ""]);
    let proxy = Proxy::to(server.port()).await;
    let store = handle(&proxy.url(), "mcp").await;
    let mut admin = admin(&server).await;
    for part in 0..50 {
        let mut others = pipe();
        for n in 0..1000 {
            others.cmd("SET").arg(format!("other:{part}:{n}")).arg(1);
        }
        others.exec_async(&mut admin).await.unwrap();
    }
    let mut sessions = HashSet::new();
    for _ in 0..40 {
        sessions.insert(begin(&store).await.key);
    }
    let mut calls = 0;
    let mut removed = HashSet::new();
    while removed.len() < sessions.len() {
        proxy.seen();
        removed.extend(store.delete_expired(after(3 * HOUR), 1000).await.unwrap());
        let scans = proxy.seen().iter().filter(|name| *name == "SCAN").count();
        assert!(scans <= 20, "{scans}");
        calls += 1;
        assert!(calls <= 4, "it does not go on where it was");
    }
    assert_eq!(removed, sessions);
    assert!(calls > 1, "all 50 080 keys in one call");
    let left: u64 = cmd("DBSIZE").query_async(&mut admin).await.unwrap();
    assert_eq!(left, 50_000);
}
