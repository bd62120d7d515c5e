//! What the tests have in common: stores, sessions, and the server itself.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tower_mcp_session::store::redis::{Client, FromRedisValue, aio::MultiplexedConnection, cmd};
use tower_mcp_session::store::{Revision, StoreError, Stored, Watch, WatchStatus};
use tower_mcp_session::{
    Clock, Handshake, Message, NewSession, OwnerTag, Principal, ProtocolVersion, RedisStore, Role,
    SessionId, SessionRecord, SessionStore, SystemClock, Timestamp, Values,
};

use crate::redis::RedisServer;

pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

/// A prefix that no other test of this process has.
pub(crate) fn prefix() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A store on the shared server, with a prefix of its own.
pub(crate) async fn fresh() -> RedisStore {
    handle(&RedisServer::shared().url(), &prefix()).await
}

pub(crate) async fn handle(url: &str, prefix: &str) -> RedisStore {
    let store = RedisStore::connect(url).await.unwrap();
    store.with_prefix(prefix)
}

/// A handle whose tracking has begun.
pub(crate) async fn tracking(url: &str, prefix: &str) -> RedisStore {
    let store = handle(url, prefix).await.with_tracking(true);
    let session = begin(&store).await;
    until_current(&store, &session).await;
    store.delete(&session.key, now()).await.unwrap();
    store
}

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

pub(crate) fn after(duration: Duration) -> Timestamp {
    now().saturating_add(duration)
}

/// A session that ends in two hours, or in one without use.
pub(crate) async fn begin(store: &RedisStore) -> Stored {
    try_begin(store).await.unwrap()
}

pub(crate) async fn try_begin(store: &RedisStore) -> Result<Stored, StoreError> {
    let id = SessionId::random().unwrap();
    let new = NewSession::new("/mcp", record("begun"), now(), after(HOUR));
    store.create(&id, new).await
}

pub(crate) fn record(value: &str) -> SessionRecord {
    let params = serde_json::value::to_raw_value("params").unwrap();
    let handshake = Arc::new(Handshake::new(params, ProtocolVersion::V2025_11_25));
    let mut values = Values::default();
    values.insert("value", value).unwrap();
    SessionRecord::new(now(), after(2 * HOUR), None, handshake).with_values(values)
}

pub(crate) fn owner(name: &str) -> OwnerTag {
    OwnerTag::of(&Principal::new(name))
}

/// A session of `owner` that began a moment ago.
pub(crate) async fn begin_of(store: &RedisStore, owner: &OwnerTag) -> Stored {
    let id = SessionId::random().unwrap();
    let new = NewSession::new("/mcp", record_of(owner), now(), after(HOUR));
    store.create(&id, new).await.unwrap()
}

pub(crate) fn record_of(owner: &OwnerTag) -> SessionRecord {
    let handshake = Arc::clone(record("owned").handshake());
    SessionRecord::new(now(), after(2 * HOUR), Some(*owner), handshake)
}

pub(crate) fn said(text: &str) -> Message {
    Message::new(Role::User, text, now()).unwrap()
}

pub(crate) async fn load(store: &RedisStore, id: &SessionId) -> Option<Stored> {
    store.load("/mcp", id, now()).await.unwrap()
}

pub(crate) async fn ask(store: &RedisStore, session: &Stored) -> Option<Revision> {
    store.touch(&session.key, now(), None).await.unwrap()
}

pub(crate) async fn save(store: &RedisStore, session: &Stored, at: Revision) -> Revision {
    let saved = store.save(&session.key, Arc::new(record("saved")), at);
    saved.await.unwrap()
}

pub(crate) fn status(session: &Stored) -> WatchStatus {
    session.watch.as_ref().map(Watch::status).unwrap()
}

/// Asks until the watch says that the session is current: a change of ours is heard of a little later.
pub(crate) async fn until_current(store: &RedisStore, session: &Stored) -> Revision {
    let asked = || async {
        let revision = ask(store, session).await?;
        (status(session) == WatchStatus::Current(revision)).then_some(revision)
    };
    until("the watch is current", asked).await
}

/// Ends when the watch says `expected`, without asking.
pub(crate) async fn until_says(session: &Stored, expected: WatchStatus) {
    let says = || async { (status(session) == expected).then_some(()) };
    until("the watch changes", says).await;
}

/// What `look` gives as soon as it gives something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}: never");
        tokio::task::yield_now().await;
    }
}

/// An administrator's connection.
pub(crate) async fn admin(server: &RedisServer) -> MultiplexedConnection {
    let client = Client::open(server.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// The answer to a command, given as its words.
pub(crate) async fn tell<T: FromRedisValue>(admin: &mut MultiplexedConnection, words: &str) -> T {
    let mut words = words.split(' ');
    let mut command = cmd(words.next().unwrap());
    words.for_each(|word| {
        command.arg(word);
    });
    command.query_async(admin).await.unwrap()
}

/// All keys of a store.
pub(crate) async fn keys(admin: &mut MultiplexedConnection, prefix: &str) -> Vec<String> {
    let mut keys: Vec<String> = tell(admin, &format!("KEYS {prefix}:*")).await;
    keys.sort();
    keys
}

/// The key of the session's record, of its last use (`seen`), or of its `history`.
pub(crate) fn key_of(prefix: &str, kind: &str, session: &Stored) -> String {
    format!("{prefix}:{kind}:{{{}}}", session.key)
}
