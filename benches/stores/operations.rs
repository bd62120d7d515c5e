//! The operations of a store, each for a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tower_mcp_session::store::Stored;
use tower_mcp_session::{
    Clock, Handshake, HistoryLimits, Message, NewSession, ProtocolVersion, Role, SessionId,
    SessionRecord, SessionStore, SystemClock, Timestamp, Values,
};

const AUDIENCE: &str = "/mcp";
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
/// A history of so many messages, of so many bytes each, is as long as by default.
const MESSAGES: usize = 100;
const MESSAGE: usize = 640;
/// So many sessions are there, so that few tasks meet at one.
const SESSIONS: usize = 512;

/// Prints the operations per second with so many under way `at_once`.
pub(crate) async fn run(store: &Arc<dyn SessionStore>, at_once: usize) {
    let create = join_all((0..SESSIONS).map(|_| begin(store))).await;
    let sessions: Arc<[Stored]> = create.into();
    let made = rate(at_once, |_| async { drop(begin(store).await) }).await;
    let load = rate(at_once, |turn| {
        let session = &sessions[turn % SESSIONS];
        async move {
            let loaded = store.load(AUDIENCE, &session.id, SystemClock.now()).await;
            assert!(loaded.expect("it answers").is_some());
        }
    })
    .await;
    let ask = touches(store, &sessions, at_once, None).await;
    let touch = touches(store, &sessions, at_once, Some(HOUR)).await;
    // Each session is saved by one task only: what others would do to it is a conflict.
    let save = rate(at_once, |turn| {
        let session = &sessions[turn % SESSIONS];
        async move {
            let now = SystemClock.now();
            let present = store.load(AUDIENCE, &session.id, now).await;
            let present = present.expect("it answers").expect("it is there");
            drop(
                store
                    .save(&session.key, present.record, present.revision)
                    .await,
            );
        }
    })
    .await;
    println!(
        "  {at_once:>2} at once, per second: create {made}, load {load}, ask {ask}, touch {touch}, load and save {save}"
    );
    if store.history().is_some() {
        let [short, full] = [1, MESSAGES].map(|kept| appends(store, &sessions, at_once, kept));
        println!(
            "  {at_once:>2} at once, per second: append to a short history {}, to a full one {}",
            short.await,
            full.await
        );
    }
}

/// Appends to histories of so many messages, of [`MESSAGE`] bytes each.
async fn appends(
    store: &Arc<dyn SessionStore>,
    sessions: &[Stored],
    at_once: usize,
    kept: usize,
) -> usize {
    let history = store.history().expect("it keeps histories");
    let message = Message::new(Role::User, &"x".repeat(MESSAGE), SystemClock.now());
    let message = message.expect("text is JSON");
    let sessions = &sessions[..sessions.len().min(at_once)];
    let append = |turn: usize, messages| {
        let key = &sessions[turn % sessions.len()].key;
        let limits = HistoryLimits::new(kept, usize::MAX);
        history.append(key, SystemClock.now(), messages, limits)
    };
    for turn in 0..sessions.len() {
        let full = append(turn, vec![message.clone(); kept]).await;
        full.expect("it is kept");
    }
    rate(at_once, |turn| {
        let appended = append(turn, vec![message.clone()]);
        async move { appended.await.expect("it is kept") }
    })
    .await
}

async fn touches(
    store: &Arc<dyn SessionStore>,
    sessions: &[Stored],
    at_once: usize,
    moved: Option<Duration>,
) -> usize {
    rate(at_once, |turn| {
        let key = &sessions[turn % SESSIONS].key;
        async move {
            let now = SystemClock.now();
            let deadline = moved.map(|moved| now.saturating_add(moved));
            let touched = store.touch(key, now, deadline).await;
            assert!(touched.expect("it answers").is_some());
        }
    })
    .await
}

/// How often `operation` ends in a second.
#[expect(clippy::future_not_send, reason = "one thread waits for it")]
async fn rate<F: Future<Output = ()>>(at_once: usize, operation: impl Fn(usize) -> F) -> usize {
    let turns = AtomicUsize::new(0);
    let start = Instant::now();
    let workers = (0..at_once).map(|_| async {
        while start.elapsed() < SECOND {
            operation(turns.fetch_add(1, Ordering::Relaxed)).await;
            tokio::task::yield_now().await;
        }
    });
    join_all(workers).await;
    (turns.into_inner() as f64 / start.elapsed().as_secs_f64()) as usize
}

async fn begin(store: &Arc<dyn SessionStore>) -> Stored {
    let id = SessionId::random().expect("the system has random bits");
    let now = SystemClock.now();
    let params = r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}"#;
    let params = serde_json::value::RawValue::from_string(params.to_owned()).expect("it is JSON");
    let handshake = Arc::new(Handshake::new(params, ProtocolVersion::V2025_11_25));
    let mut values = Values::default();
    values.insert("counter", &1).expect("a number is JSON");
    let end = now.saturating_add(24 * HOUR);
    let record = SessionRecord::new(now, end, None, handshake).with_values(values);
    let deadline: Timestamp = now.saturating_add(HOUR);
    let new = NewSession::new(AUDIENCE, record, now, deadline);
    store.create(&id, new).await.expect("there is room")
}
