//! What an operator is warned of, and what no log shows.

use tower_mcp_session::store::WatchStatus;
use tower_mcp_session::{HistoryLimits, RedisStore, SessionStore};

use crate::common::{
    HOUR, admin, after, ask, begin, begin_of, handle, load, now, owner, prefix, said, status, tell,
    try_begin, until,
};
use crate::log::Log;
use crate::redis::RedisServer;

// On one thread: the store's own task logs to this test too.
#[tokio::test]
async fn a_server_that_evicts_is_warned_of_once() {
    let (log, _guard) = Log::of_this_thread();
    let server = RedisServer::start(&["--save", "", "--maxmemory-policy", "allkeys-lru"]);
    let store = handle(&server.url(), "mcp").await.with_tracking(true);
    begin(&store).await;
    server.restart();
    until("it is reached again", || async {
        try_begin(&store).await.ok()
    })
    .await;
    assert_eq!(log.count("noeviction"), 1, "{}", log.text());
}

#[tokio::test]
async fn a_server_as_it_should_be_is_not_warned_of() {
    let (log, _guard) = Log::of_this_thread();
    let store = handle(&RedisServer::shared().url(), &prefix()).await;
    begin(&store).await;
    assert_eq!(log.count("WARN"), 0, "{}", log.text());
}

#[tokio::test]
async fn a_user_that_may_not_see_the_settings_or_track_can_keep_sessions() {
    let server = RedisServer::start(&["--save", ""]);
    let mut admin = admin(&server).await;
    let rights = "ACL SETUSER clerk on >hush ~mcp:* -@all +eval +evalsha +get +getrange +set +del +scan +ping \
        +pttl +pexpire +persist +zadd +zrem +zrangebylex";
    tell::<()>(&mut admin, rights).await;
    let (log, _guard) = Log::of_this_thread();
    let url = format!("redis://clerk:hush@127.0.0.1:{}/", server.port());
    let store = RedisStore::connect(&url).await.unwrap().with_tracking(true);
    let session = begin(&store).await;
    assert!(load(&store, &session.id).await.is_some());
    assert_eq!(status(&session), WatchStatus::Ask);
    assert_eq!(ask(&store, &session).await, Some(session.revision));
    assert!(store.delete(&session.key, now()).await.unwrap());
    store.delete_expired(now(), 10).await.unwrap();
    let more = "ACL SETUSER clerk +rpush +lpush +lpop +llen +lindex +lrange +time";
    tell::<()>(&mut admin, more).await;
    everything_beside(&store).await;
    assert_eq!(log.count("CLIENT TRACKING"), 1, "{}", log.text());
}

/// Uses the history and the index in each of their ways.
async fn everything_beside(store: &RedisStore) {
    let owner = owner("alice");
    let session = begin_of(store, &owner).await;
    let history = store.history().unwrap();
    for limit in [9, 1] {
        let messages = vec![said("one"), said("two")];
        let limits = HistoryLimits::new(limit, 1_000);
        let appended = history.append(&session.key, now(), messages, limits);
        appended.await.unwrap();
    }
    let recent = history.recent(&session.key, now(), 9).await.unwrap();
    assert_eq!(recent.len(), 1);
    history.clear(&session.key, now()).await.unwrap();
    let index = store.index().unwrap();
    assert_eq!(index.count(now()).await.unwrap(), 1);
    index.bar(&owner, now(), after(HOUR)).await.unwrap();
    let page = index.list(now(), Some(&owner), None, 9).await.unwrap();
    assert_eq!(page.sessions, []);
}

#[tokio::test]
async fn no_secret_is_in_a_log_or_a_debug_text() {
    let server = RedisServer::start(&["--save", "", "--requirepass", "hush"]);
    let (log, _guard) = Log::of_this_thread();
    let url = format!("redis://:hush@127.0.0.1:{}/", server.port());
    let store = RedisStore::connect(&url).await.unwrap().with_tracking(true);
    let session = begin(&store).await;
    server.kill();
    let fails = || async { try_begin(&store).await.err() };
    let error = until("it fails", fails).await;
    let wrong = format!("redis://:wrong-word@127.0.0.1:{}/", server.port());
    server.restart();
    let refused = RedisStore::connect(&wrong).await.unwrap_err();
    let shown = format!(
        "{} {store:?} {error} {error:?} {refused} {refused:?}",
        log.text()
    );
    assert!(log.count("cannot be reached") >= 1, "{shown}");
    let id = session.id.expose();
    let key = session.key.to_string();
    let port = server.port().to_string();
    for secret in ["hush", "wrong-word", "127.0.0.1", &id, &key, &port] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}

#[test]
fn handles_are_what_a_layer_needs() {
    fn ok<T: Clone + Send + Sync + SessionStore>() {}
    ok::<RedisStore>();
}
