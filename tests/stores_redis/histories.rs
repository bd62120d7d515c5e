//! Histories: what they leave, how long they stay, and what they cost.

use std::sync::Arc;
use std::time::Duration;

use tower_mcp_session::store::redis::cmd;
use tower_mcp_session::store::{StoreErrorKind, Stored};
use tower_mcp_session::{
    History, HistoryLimits, Message, NewSession, RedisStore, Role, SessionId, SessionRecord,
    SessionStore, Timestamp,
};

use crate::common::{
    HOUR, admin, after, begin, fresh, handle, key_of, keys, now, owner, prefix, record, said, tell,
    until,
};
use crate::proxy::Proxy;
use crate::redis::RedisServer;

const LIMITS: HistoryLimits = HistoryLimits::new(100, 64 << 10);

async fn append(store: &RedisStore, session: &Stored, text: &str) {
    append_at(store, session, text, now()).await;
}

async fn append_at(store: &RedisStore, session: &Stored, text: &str, now: Timestamp) {
    let history = store.history().unwrap();
    let call = history.append(&session.key, now, vec![said(text)], LIMITS);
    call.await.unwrap();
}

async fn recent(store: &RedisStore, session: &Stored) -> Vec<String> {
    let history = store.history().unwrap();
    let recent = history.recent(&session.key, now(), 100).await.unwrap();
    let text = |message: &Message| message.content_as().unwrap();
    recent.iter().map(text).collect()
}

#[tokio::test]
async fn whatever_is_appended_the_server_keeps_what_a_history_would() {
    let store = fresh().await;
    let session = begin(&store).await;
    let history = store.history().unwrap();
    let mut expected = History::default();
    for round in 0..60_usize {
        let messages: Vec<_> = (0..round % 4)
            .map(|n| {
                let text = "x".repeat((round * 37 + n * 53) % 90);
                let at = Timestamp::from_millis((round * 10 + n) as u64);
                Message::new(Role::ALL[(round + n) % 4], &text, at).unwrap()
            })
            .collect();
        let limits = HistoryLimits::new(round * 7 % 11, round * 41 % 300);
        expected.append(messages.clone(), limits);
        let call = history.append(&session.key, now(), messages, limits);
        call.await.unwrap();
        let kept = history.recent(&session.key, now(), 100).await.unwrap();
        assert!(kept.iter().eq(expected.iter()), "round {round}");
        let summary = history.summary(&session.key, now()).await.unwrap();
        assert_eq!(summary, expected.summary(), "round {round}");
    }
}

#[tokio::test]
async fn a_history_goes_with_its_session() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let mut admin = admin(server).await;
    let [deleted, expired] = [begin(&store).await, begin(&store).await];
    for session in [&deleted, &expired] {
        append(&store, session, "hello").await;
        let key = key_of(&prefix, "history", session);
        assert!(keys(&mut admin, &prefix).await.contains(&key));
    }
    store.delete(&deleted.key, now()).await.unwrap();
    let removed = store.delete_expired(after(3 * HOUR), 10).await.unwrap();
    assert_eq!(removed, [expired.key]);
    let tombstone = key_of(&prefix, "record", &deleted);
    assert_eq!(keys(&mut admin, &prefix).await, [tombstone]);
}

#[tokio::test]
async fn nothing_is_left_of_a_session_that_the_server_removes_by_itself() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let mut admin = admin(server).await;
    // By the clock of the caller it has been over for so long that the server's grace is nearly over too.
    let end = now();
    let late = end.saturating_add(Duration::from_secs(299));
    let handshake = Arc::clone(record("short").handshake());
    let short = SessionRecord::new(now(), end, Some(owner("alice")), handshake);
    let id = SessionId::random().unwrap();
    let new = NewSession::new("/mcp", short, late, end);
    let session = store.create(&id, new).await.unwrap();
    let last = end.saturating_sub(Duration::from_millis(1));
    append_at(&store, &session, "hello", last).await;
    assert_eq!(keys(&mut admin, &prefix).await.len(), 5);
    let gone = || async {
        let mut admin = admin.clone();
        keys(&mut admin, &prefix).await.is_empty().then_some(())
    };
    until("nothing is left", gone).await;
}

#[tokio::test]
async fn a_history_stays_as_long_as_the_last_use_and_its_time_moves_with_a_touch() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let session = begin(&store).await;
    let mut admin = admin(server).await;
    let [seen, history] = ["seen", "history"].map(|kind| key_of(&prefix, kind, &session));
    append(&store, &session, "hello").await;
    let mut last = 0;
    for minutes in [60, 90] {
        let deadline = Some(after(HOUR * minutes / 60));
        store.touch(&session.key, now(), deadline).await.unwrap();
        let [one, other]: [i64; 2] = [
            tell(&mut admin, &format!("PTTL {seen}")).await,
            tell(&mut admin, &format!("PTTL {history}")).await,
        ];
        assert!((one - other).abs() < 2_000, "{one} and {other}");
        assert!(other > last, "{minutes} minutes");
        last = other;
    }
    // By another clock than the server's.
    append_at(&store, &session, "later", after(HOUR / 2)).await;
    let left: i64 = tell(&mut admin, &format!("PTTL {history}")).await;
    assert!((left - last).abs() < 2_000, "{left} and {last}");
}

#[tokio::test]
async fn a_history_of_a_session_without_an_end_has_none() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let session = begin(&store).await;
    append(&store, &session, "hello").await;
    let handshake = Arc::clone(record("endless").handshake());
    let endless = SessionRecord::new(now(), Timestamp::NEVER, None, handshake);
    let saved = store.save(&session.key, Arc::new(endless), session.revision);
    saved.await.unwrap();
    let deadline = Some(Timestamp::NEVER);
    store.touch(&session.key, now(), deadline).await.unwrap();
    let mut admin = admin(server).await;
    for _ in 0..2 {
        for kind in ["record", "seen", "history"] {
            let key = key_of(&prefix, kind, &session);
            let left: i64 = tell(&mut admin, &format!("PTTL {key}")).await;
            assert_eq!(left, -1, "{kind}");
        }
        append(&store, &session, "again").await;
    }
}

#[tokio::test]
async fn a_session_begins_without_a_history_whatever_an_earlier_one_of_its_id_left() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let mut admin = admin(server).await;
    let session = begin(&store).await;
    append(&store, &session, "hello").await;
    // As when the record has gone and the rest not yet.
    let record = key_of(&prefix, "record", &session);
    tell::<()>(&mut admin, &format!("DEL {record}")).await;
    let new = NewSession::new("/mcp", (*session.record).clone(), now(), after(HOUR));
    store.create(&session.id, new).await.unwrap();
    assert_eq!(recent(&store, &session).await, [""; 0]);
}

#[tokio::test]
async fn each_call_is_one_round_trip() {
    let server = RedisServer::shared();
    let proxy = Proxy::to(server.port()).await;
    let store = handle(&proxy.url(), &prefix()).await;
    let history = store.history().unwrap();
    let session = begin(&store).await;
    for round in 0..2 {
        proxy.seen();
        append(&store, &session, "hello").await;
        recent(&store, &session).await;
        history.summary(&session.key, now()).await.unwrap();
        history.clear(&session.key, now()).await.unwrap();
        if round == 1 {
            assert_eq!(proxy.seen(), ["EVALSHA"; 4]);
        }
    }
}

#[tokio::test]
async fn an_append_whose_connection_breaks_is_not_repeated() {
    let server = RedisServer::shared();
    let proxy = Proxy::to(server.port()).await;
    let store = handle(&proxy.url(), &prefix()).await;
    let session = begin(&store).await;
    append(&store, &session, "one").await;
    proxy.cut_at("EVALSHA");
    let history = store.history().unwrap();
    let call = history.append(&session.key, now(), vec![said("two")], LIMITS);
    let unknown = StoreErrorKind::OutcomeUnknown;
    assert_eq!(call.await.unwrap_err().kind(), unknown);
    assert_eq!(recent(&store, &session).await, ["one", "two"]);
}

#[tokio::test]
async fn a_history_that_cannot_be_read_is_an_error_that_shows_nothing_of_it() {
    let server = RedisServer::shared();
    let prefix = prefix();
    let store = handle(&server.url(), &prefix).await;
    let mut admin = admin(server).await;
    let numbers = "0".repeat(140);
    let message = format!("{}swordfish", "0".repeat(20));
    for texts in [
        vec!["swordfish"],
        vec![&numbers, &message],
        vec![&numbers, "7"],
    ] {
        let session = begin(&store).await;
        let key = key_of(&prefix, "history", &session);
        let mut push = cmd("RPUSH");
        push.arg(&key).arg(&texts);
        push.exec_async(&mut admin).await.unwrap();
        let history = store.history().unwrap();
        if texts.len() == 1 {
            let call = history.append(&session.key, now(), vec![said("one")], LIMITS);
            let error = call.await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "no numbers");
        }
        let error = history.recent(&session.key, now(), 9).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{texts:?}");
        assert!(
            std::error::Error::source(&error).is_none(),
            "it would quote"
        );
        history.clear(&session.key, now()).await.unwrap();
        append(&store, &session, "anew").await;
        assert_eq!(recent(&store, &session).await, ["anew"]);
    }
}

#[tokio::test]
async fn a_server_without_memory_refuses_an_append_and_nothing_has_changed() {
    let server = RedisServer::start(&["--save", ""]);
    let store = handle(&server.url(), "mcp").await;
    let history = store.history().unwrap();
    let session = begin(&store).await;
    append(&store, &session, "one").await;
    let mut admin = admin(&server).await;
    tell::<()>(&mut admin, "CONFIG SET maxmemory 1").await;
    let call = history.append(&session.key, now(), vec![said("two")], LIMITS);
    let unavailable = StoreErrorKind::Unavailable;
    assert_eq!(call.await.unwrap_err().kind(), unavailable);
    assert_eq!(recent(&store, &session).await, ["one"]);
    let deadline = Some(after(HOUR * 3 / 2));
    store.touch(&session.key, now(), deadline).await.unwrap();
    assert_eq!(recent(&store, &session).await, ["one"]);
    history.clear(&session.key, now()).await.unwrap();
    assert_eq!(recent(&store, &session).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_survives_a_server_that_is_killed() {
    let server = RedisServer::durable();
    let store = handle(&server.url(), "mcp").await;
    let session = begin(&store).await;
    let texts = ["one", "two", "three"];
    for text in texts {
        append(&store, &session, text).await;
    }
    server.kill();
    server.restart();
    let history = store.history().unwrap();
    let reached = || async { history.summary(&session.key, now()).await.ok() };
    let summary = until("the server is reached again", reached).await;
    assert_eq!((summary.total, summary.kept), (3, 3));
    assert_eq!(recent(&store, &session).await, texts);
    let index = store.index().unwrap();
    assert_eq!(index.count(now()).await.unwrap(), 1);
}
