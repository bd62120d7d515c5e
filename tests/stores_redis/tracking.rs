//! Messages of the server in place of questions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tower_mcp_session::store::{Revision, StoreErrorKind, Stored, WatchStatus};
use tower_mcp_session::{RedisStore, SessionStore};

use crate::common::{
    HOUR, admin, after, ask, begin, handle, load, now, prefix, record, save, status, tell,
    tracking, try_begin, until, until_current, until_says,
};
use crate::proxy::Proxy;
use crate::redis::RedisServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_on_another_handle_is_seen_within_milliseconds_without_asking() {
    let server = RedisServer::shared();
    let (proxy, prefix) = (Proxy::to(server.port()).await, prefix());
    let here = tracking(&proxy.url(), &prefix).await;
    let elsewhere = handle(&server.url(), &prefix).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let session = begin(&elsewhere).await;
        let session = load(&here, &session.id).await.unwrap();
        until_current(&here, &session).await;
        proxy.seen();
        assert!(elsewhere.delete(&session.key, now()).await.unwrap());
        let ended = Instant::now();
        until_says(&session, WatchStatus::Ask).await;
        slowest = slowest.max(ended.elapsed());
        assert_eq!(proxy.seen(), [""; 0]);
        assert_eq!(ask(&here, &session).await, None);
    }
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_on_another_handle_is_seen_and_the_new_revision_is_current_after_asking() {
    let (url, prefix) = (RedisServer::shared().url(), prefix());
    let here = tracking(&url, &prefix).await;
    let elsewhere = handle(&url, &prefix).await;
    let session = begin(&here).await;
    until_current(&here, &session).await;
    let revision = save(&elsewhere, &session, session.revision).await;
    until_says(&session, WatchStatus::Ask).await;
    assert_eq!(until_current(&here, &session).await, revision);
}

#[tokio::test]
async fn neither_a_touch_nor_a_question_of_anybody_changes_a_watch() {
    let (url, prefix) = (RedisServer::shared().url(), prefix());
    let here = tracking(&url, &prefix).await;
    let elsewhere = handle(&url, &prefix).await;
    let session = begin(&here).await;
    let other = begin(&here).await;
    until_current(&here, &session).await;
    until_current(&here, &other).await;
    for store in [&here, &elsewhere] {
        for hours in 1..3 {
            let deadline = Some(after(HOUR * hours));
            store.touch(&session.key, now(), deadline).await.unwrap();
        }
        ask(store, &session).await;
        load(store, &session.id).await;
    }
    // A change of the other one, heard here: what the server had to say before, it has said.
    save(&elsewhere, &other, other.revision).await;
    until_says(&other, WatchStatus::Ask).await;
    assert_eq!(status(&session), WatchStatus::Current(session.revision));
}

#[tokio::test]
async fn what_this_handle_changed_is_not_current_when_the_call_returns_whatever_the_server_says() {
    let server = RedisServer::shared();
    for deletes in [false, true] {
        let proxy = Proxy::to(server.port()).await;
        let store = tracking(&proxy.url(), &prefix()).await;
        let session = begin(&store).await;
        until_current(&store, &session).await;
        // The answer arrives, and the server's own message does not.
        proxy.hold_messages();
        if deletes {
            store.delete(&session.key, now()).await.unwrap();
            assert_eq!(status(&session), WatchStatus::Gone);
        } else {
            save(&store, &session, session.revision).await;
            assert_eq!(status(&session), WatchStatus::Ask);
        }
    }
}

#[tokio::test]
async fn when_everything_is_flushed_every_watch_asks() {
    let server = RedisServer::start(&["--save", ""]);
    let store = tracking(&server.url(), "mcp").await;
    let session = begin(&store).await;
    until_current(&store, &session).await;
    let mut admin = admin(&server).await;
    tell::<()>(&mut admin, "FLUSHALL").await;
    until_says(&session, WatchStatus::Ask).await;
    assert_eq!(ask(&store, &session).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_server_is_gone_every_watch_asks_at_once() {
    let server = RedisServer::durable();
    let store = tracking(&server.url(), "mcp").await;
    let session = begin(&store).await;
    until_current(&store, &session).await;
    server.kill();
    let killed = Instant::now();
    until_says(&session, WatchStatus::Ask).await;
    assert!(killed.elapsed() < Duration::from_millis(500));
    let error = store.touch(&session.key, now(), None).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    server.restart();
    let answer = until("the server is reached again", || async {
        store.touch(&session.key, now(), None).await.ok()
    });
    assert_eq!(answer.await, Some(session.revision));
    until_current(&store, &session).await;
}

#[tokio::test]
async fn sessions_that_clean_up_removes_are_gone_for_their_watches() {
    let store = tracking(&RedisServer::shared().url(), &prefix()).await;
    let session = begin(&store).await;
    until_current(&store, &session).await;
    let removed = store.delete_expired(after(3 * HOUR), 10).await.unwrap();
    assert_eq!(removed, [session.key]);
    assert_eq!(status(&session), WatchStatus::Gone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_connection_is_lost_every_watch_asks_and_tracking_comes_back() {
    let server = RedisServer::start(&["--save", ""]);
    let store = tracking(&server.url(), "mcp").await;
    let sessions = [begin(&store).await, begin(&store).await];
    for session in &sessions {
        until_current(&store, session).await;
    }
    let mut admin = admin(&server).await;
    tell::<u64>(&mut admin, "CLIENT KILL TYPE normal SKIPME yes").await;
    for session in &sessions {
        until_says(session, WatchStatus::Ask).await;
    }
    for session in &sessions {
        assert_eq!(until_current(&store, session).await, session.revision);
    }
    let elsewhere = handle(&server.url(), "mcp").await;
    elsewhere.delete(&sessions[0].key, now()).await.unwrap();
    until_says(&sessions[0], WatchStatus::Ask).await;
    assert_eq!(
        status(&sessions[1]),
        WatchStatus::Current(sessions[1].revision)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_dies_without_a_word_is_found_and_its_watches_ask() {
    let server = RedisServer::shared();
    let (proxy, prefix) = (Proxy::to(server.port()).await, prefix());
    let here = tracking(&proxy.url(), &prefix).await;
    let elsewhere = handle(&server.url(), &prefix).await;
    let session = begin(&here).await;
    until_current(&here, &session).await;
    proxy.be_silent(true);
    let silent = Instant::now();
    elsewhere.delete(&session.key, now()).await.unwrap();
    until_says(&session, WatchStatus::Ask).await;
    // 2.5 s are promised; the machine may be busy.
    assert!(silent.elapsed() < Duration::from_secs(5));
    proxy.be_silent(false);
    let answer = until("the server is reached again", || async {
        here.touch(&session.key, now(), None).await.ok()
    });
    assert_eq!(answer.await, None);
}

/// Whatever comes between a question and its answer, a watch never stays at what is no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_watch_stays_current_that_should_not_be_when_connections_break_all_the_time() {
    let server = RedisServer::start(&["--save", ""]);
    let here = tracking(&server.url(), "mcp").await;
    let elsewhere = handle(&server.url(), "mcp").await;
    let mut admin = admin(&server).await;
    for round in 0..30 {
        let session = begin_somehow(&elsewhere).await;
        let asking: Vec<_> = (0..4)
            .map(|_| {
                let (here, session) = (here.clone(), session.clone());
                tokio::spawn(async move {
                    let mut loaded = Vec::new();
                    for _ in 0..10 {
                        if let Ok(Some(found)) = here.load("/mcp", &session.id, now()).await {
                            loaded.push(found);
                        }
                        // A connection that broke twice fails it.
                        here.touch(&session.key, now(), None).await.ok();
                    }
                    loaded
                })
            })
            .collect();
        let mut revision = session.revision;
        for _ in 0..3 {
            tell::<u64>(&mut admin, "CLIENT KILL TYPE normal SKIPME yes").await;
            revision = save_somehow(&elsewhere, &session, revision).await;
        }
        let mut expected = WatchStatus::Current(revision);
        if round % 2 == 0 {
            while elsewhere.delete(&session.key, now()).await.is_err() {}
            expected = WatchStatus::Ask;
        }
        for task in asking {
            for loaded in task.await.unwrap() {
                let settles = || async {
                    let says = status(&loaded);
                    (says == expected || says == WatchStatus::Ask).then_some(())
                };
                until("a watch says what is no more", settles).await;
            }
        }
    }
}

async fn begin_somehow(store: &RedisStore) -> Stored {
    loop {
        if let Ok(session) = try_begin(store).await {
            return session;
        }
    }
}

/// Saves until it is known to have worked.
async fn save_somehow(store: &RedisStore, session: &Stored, at: Revision) -> Revision {
    let record = Arc::new(record("saved"));
    loop {
        match store.save(&session.key, Arc::clone(&record), at).await {
            Ok(revision) => return revision,
            // An earlier one had worked.
            Err(error) if error.kind() == StoreErrorKind::Conflict => {
                return at.next();
            }
            Err(_) => {}
        }
    }
}
