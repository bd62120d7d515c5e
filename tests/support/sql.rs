//! What the tables of an SQL store hold, and what must hold of them in both databases.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tower_mcp_session::store::{HistoryStore, SessionIndex, StoreErrorKind, Stored};
use tower_mcp_session::{
    HistoryLimits, Message, NewSession, OwnerTag, Principal, Role, SessionId, SessionKey,
    SessionRecord, SessionStore, Timestamp,
};

use crate::stores::{AUDIENCE, DAY, HOUR, after, begin, load, now, record};

/// The database that a store is over.
pub(crate) trait Tables: Sync {
    /// The number that this query gives.
    fn number(&self, query: &'static str) -> impl Future<Output = i64> + Send;

    /// Runs a statement whose parameters are a key, the bytes of a record, and times that are now and in a day.
    fn run(
        &self,
        statement: &'static str,
        key: &SessionKey,
        record: &[u8],
    ) -> impl Future<Output = ()> + Send;
}

/// Version 1 of the tables writes a session so.
const CREATE_OF_VERSION_1: &str = "
    INSERT INTO mcp_session
        (session_key, revision, last_activity, idle_deadline, absolute_end, record)
    VALUES ($1, 1, $3, $4, $4, $2)";

/// And ends one so.
const DELETE_OF_VERSION_1: &str = "
    UPDATE mcp_session SET record = NULL
    WHERE session_key = $1 AND $2 IS NOT NULL AND $3 < $4";

pub(crate) const HISTORIES: &str = "SELECT COUNT(*) FROM mcp_session WHERE history IS NOT NULL";
const BARS: &str = "SELECT COUNT(*) FROM mcp_session_bar";

pub(crate) fn owner() -> OwnerTag {
    OwnerTag::of(&Principal::new("owner"))
}

pub(crate) fn owned() -> SessionRecord {
    let handshake = Arc::clone(record("value", "owned").handshake());
    SessionRecord::new(now(), after(DAY), Some(owner()), handshake)
}

pub(crate) async fn begin_owned(store: &dyn SessionStore) -> Stored {
    let id = SessionId::random().unwrap();
    let new = NewSession::new(AUDIENCE, owned(), now(), after(HOUR));
    store.create(&id, new).await.unwrap()
}

fn index(store: &dyn SessionStore) -> &dyn SessionIndex {
    store.index().expect("the store has an index")
}

fn history(store: &dyn SessionStore) -> &dyn HistoryStore {
    store.history().expect("the store keeps histories")
}

pub(crate) fn said(text: &str) -> Message {
    Message::new(Role::User, text, now()).unwrap()
}

pub(crate) async fn append(store: &dyn SessionStore, key: &SessionKey, text: &str) {
    let limits = HistoryLimits::default();
    let done = history(store).append(key, now(), vec![said(text)], limits);
    done.await.unwrap();
}

async fn keys_of_the_owner(store: &dyn SessionStore) -> Vec<SessionKey> {
    let page = index(store).list(now(), Some(&owner()), None, 100).await;
    let page = page.unwrap();
    assert_eq!(page.unreadable, []);
    page.sessions.iter().map(|session| session.key).collect()
}

pub(crate) async fn bar(store: &dyn SessionStore, not_before: Timestamp) {
    let (index, until) = (index(store), after(DAY));
    index.bar(&owner(), not_before, until).await.unwrap();
}

/// As an instance of version 1 of the tables does it, that runs beside or was there before.
async fn begin_as_version_1(tables: &impl Tables) -> (SessionId, SessionKey) {
    let id = SessionId::random().unwrap();
    let key = SessionKey::new(AUDIENCE, &id);
    let record = serde_json::to_vec(&owned()).unwrap();
    tables.run(CREATE_OF_VERSION_1, &key, &record).await;
    (id, key)
}

/// `tables` are of version 1; `open` makes a store of them, which brings them to the present version.
pub(crate) async fn sessions_of_version_1_go_on<S: SessionStore>(
    tables: &impl Tables,
    open: impl Future<Output = S> + Send,
) {
    let (mut all, mut keys) = (Vec::new(), Vec::new());
    for _ in 0..250 {
        let (id, key) = begin_as_version_1(tables).await;
        all.push(id);
        keys.push(key);
    }
    let torn = SessionKey::from([7; 32]);
    tables.run(CREATE_OF_VERSION_1, &torn, b"torn").await;
    keys.sort();
    let store = open.await;
    let found = load(&store, &all[0]).await.expect("it is there");
    assert_eq!(found.record.owner(), Some(&owner()));
    append(&store, &found.key, "said").await;
    assert_eq!(keys_of_the_owner(&store).await[..], keys[..100]);
    let other = begin(&store).await;

    bar(&store, now()).await;
    for id in &all {
        assert!(load(&store, id).await.is_none(), "a session is not ended");
    }
    assert!(load(&store, &other.id).await.is_some());
    assert_eq!(tables.number(HISTORIES).await, 0);
}

/// `tables` are of version 1; `open` makes a store of them, several at once: none loses anything, or waits in vain.
pub(crate) async fn several_bring_version_1_to_the_present<S, F>(
    tables: &impl Tables,
    open: impl Fn() -> F,
) where
    S: SessionStore,
    F: Future<Output = S> + Send + 'static,
{
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(begin_as_version_1(tables).await.0);
    }
    let mut opening = JoinSet::new();
    for _ in 0..6 {
        opening.spawn(open());
    }
    let stores = opening.join_all().await;
    let (late, _) = begin_as_version_1(tables).await;
    for store in &stores {
        assert_eq!(keys_of_the_owner(store).await.len(), 21);
        for id in all.iter().chain([&late]) {
            assert!(load(store, id).await.is_some(), "a session is lost");
        }
    }
    bar(&stores[0], now()).await;
    for store in &stores {
        assert_eq!(keys_of_the_owner(store).await, []);
        assert_eq!(index(store).count(now()).await.unwrap(), 0);
    }
}

/// A session that is saved by another owner is that one's.
pub(crate) async fn a_session_that_gets_another_owner_is_that_ones(store: &dyn SessionStore) {
    let session = begin_owned(store).await;
    let handshake = Arc::clone(session.record.handshake());
    let other = OwnerTag::of(&Principal::new("other"));
    let record = SessionRecord::new(now(), after(DAY), Some(other), handshake);
    let saved = store.save(&session.key, Arc::new(record), session.revision);
    saved.await.unwrap();
    assert_eq!(keys_of_the_owner(store).await, []);
    let page = index(store).list(now(), Some(&other), None, 9).await;
    assert_eq!(page.unwrap().sessions[0].key, session.key);
    bar(store, now()).await;
    assert!(load(store, &session.id).await.is_some());
    index(store).bar(&other, now(), after(DAY)).await.unwrap();
    assert!(load(store, &session.id).await.is_none());
}

/// An instance of version 1 goes on beside: what it begins is found, and what it ends leaves nothing for long.
pub(crate) async fn an_instance_of_version_1_goes_on_beside(
    store: &dyn SessionStore,
    tables: &impl Tables,
) {
    let (_, listed) = begin_as_version_1(tables).await;
    assert_eq!(keys_of_the_owner(store).await, [listed]);
    let (late, _) = begin_as_version_1(tables).await;
    bar(store, now()).await;
    assert!(load(store, &late).await.is_none());

    let ended = begin(store).await;
    append(store, &ended.key, "said").await;
    tables.run(DELETE_OF_VERSION_1, &ended.key, b"").await;
    assert!(load(store, &ended.id).await.is_none());
    assert_eq!(store.delete_expired(now(), 10).await.unwrap(), []);
    assert_eq!(tables.number(HISTORIES).await, 0);
}

/// Clean-up tells rows of version 1 whose they are, so that what began there after a bar is gone too.
pub(crate) async fn clean_up_finds_what_version_1_began_after_a_bar(
    store: &dyn SessionStore,
    tables: &impl Tables,
) {
    bar(store, after(HOUR)).await;
    let (id, _) = begin_as_version_1(tables).await;
    store.delete_expired(now(), 10).await.unwrap();
    assert!(load(store, &id).await.is_none());
}

/// Nothing of a history is left when its session was deleted, barred, or removed by clean-up.
pub(crate) async fn nothing_of_a_history_is_left(store: &dyn SessionStore, tables: &impl Tables) {
    let [deleted, barred, expired, kept] = [
        begin(store).await,
        begin_owned(store).await,
        begin(store).await,
        begin(store).await,
    ];
    for session in [&deleted, &barred, &expired, &kept] {
        append(store, &session.key, "said \u{0} \u{1f980}").await;
    }
    let used = store.touch(&kept.key, now(), Some(after(HOUR * 9))).await;
    assert!(used.unwrap().is_some());
    assert_eq!(tables.number(HISTORIES).await, 4);
    assert!(store.delete(&deleted.key, now()).await.unwrap());
    assert_eq!(tables.number(HISTORIES).await, 3, "after `delete`");
    bar(store, now()).await;
    assert_eq!(tables.number(HISTORIES).await, 2, "after `bar`");
    let removed = store.delete_expired(after(HOUR * 2), 10).await.unwrap();
    assert_eq!(removed, [expired.key]);
    assert_eq!(tables.number(HISTORIES).await, 1, "after clean-up");
    let recent = history(store).recent(&kept.key, now(), 9).await.unwrap();
    let texts: Vec<_> = recent.iter().map(Message::content_as::<String>).collect();
    assert_eq!(texts.len(), 1);
    assert_eq!(texts[0].as_deref().unwrap(), "said \u{0} \u{1f980}");
    history(store).clear(&kept.key, now()).await.unwrap();
    assert_eq!(tables.number(HISTORIES).await, 0, "after `clear`");
}

/// Whichever of the two comes first, through one handle or two: nothing of a history is left beside a tombstone.
pub(crate) async fn an_append_beside_an_end_leaves_nothing(
    handles: [&dyn SessionStore; 2],
    tables: &impl Tables,
) {
    for round in 0..80 {
        let [store, other] = handles;
        let session = begin_owned(store).await;
        let late = async {
            let limits = HistoryLimits::default();
            let append = history(store).append(&session.key, now(), vec![said("late")], limits);
            let error = append.await.err().map(|error| error.kind());
            assert!(
                matches!(error, None | Some(StoreErrorKind::Gone)),
                "{error:?}"
            );
        };
        let end = async {
            for _ in 0..round / 2 {
                tokio::task::yield_now().await;
            }
            match round % 2 {
                0 => assert!(other.delete(&session.key, now()).await.unwrap()),
                _ => bar(other, now()).await,
            }
        };
        tokio::join!(late, end);
        assert_eq!(tables.number(HISTORIES).await, 0, "after {round} rounds");
        // What begins in the millisecond of a bar is barred.
        let ended = now();
        while now() <= ended {
            tokio::task::yield_now().await;
        }
    }
}

/// A session whose `create` was done after `bar` had looked, and had begun before, is gone for every method.
pub(crate) async fn what_was_created_while_its_owner_was_barred_is_gone(
    store: &dyn SessionStore,
    tables: &impl Tables,
) {
    let session = begin_owned(store).await;
    append(store, &session.key, "said").await;
    // As if the session had come after: the mark is there, and no tombstone.
    let mark = "
        INSERT INTO mcp_session_bar (owner, not_before, forget_at)
        SELECT owner, $3, $4 FROM mcp_session WHERE session_key = $1 AND $2 IS NOT NULL";
    tables.run(mark, &session.key, b"").await;
    let (key, gone) = (&session.key, StoreErrorKind::Gone);
    assert!(load(store, &session.id).await.is_none());
    let deadline = Some(after(HOUR * 2));
    assert_eq!(store.touch(key, now(), None).await.unwrap(), None);
    assert_eq!(store.touch(key, now(), deadline).await.unwrap(), None);
    let saved = store.save(key, Arc::new(owned()), session.revision).await;
    assert_eq!(saved.unwrap_err().kind(), gone);
    assert_eq!(index(store).inspect(key, now()).await.unwrap(), None);
    assert_eq!(index(store).count(now()).await.unwrap(), 0);
    assert_eq!(keys_of_the_owner(store).await, []);
    let all = index(store).list(now(), None, None, 9).await.unwrap();
    assert_eq!(all.sessions, []);
    let recent = history(store).recent(key, now(), 9).await;
    assert_eq!(recent.unwrap_err().kind(), gone);
    let done = history(store).append(key, now(), vec![said("late")], HistoryLimits::default());
    assert_eq!(done.await.unwrap_err().kind(), gone);
    let cleared = history(store).clear(key, now()).await;
    assert_eq!(cleared.unwrap_err().kind(), gone);
}

/// A mark goes when its time has passed by the grace, and not before.
pub(crate) async fn bars_go_after_their_time(store: &dyn SessionStore, tables: &impl Tables) {
    let (at, grace) = (now(), Duration::from_secs(60));
    let (index, until) = (index(store), at.saturating_add(HOUR));
    index.bar(&owner(), at, until).await.unwrap();
    index.bar(&owner(), at, at).await.unwrap();
    let end = at.saturating_add(HOUR + grace);
    let last = end.saturating_sub(Duration::from_millis(1));
    store.delete_expired(last, 10).await.unwrap();
    assert_eq!(tables.number(BARS).await, 1);
    store.delete_expired(end, 10).await.unwrap();
    assert_eq!(tables.number(BARS).await, 0);
}

/// A history that cannot be read is corrupt, hurts nothing else, and can be cleared.
pub(crate) async fn a_history_that_cannot_be_read_is_corrupt(
    store: &dyn SessionStore,
    tables: &impl Tables,
) {
    let session = begin(store).await;
    append(store, &session.key, "said").await;
    let damage = "
        UPDATE mcp_session SET history = $2
        WHERE session_key = $1 AND $3 < $4";
    for bytes in [&b""[..], b"\xff{", b"{\"messages\":[]}", b"[]"] {
        tables.run(damage, &session.key, bytes).await;
        let corrupt = StoreErrorKind::Corrupt;
        let recent = history(store).recent(&session.key, now(), 9).await;
        assert_eq!(recent.unwrap_err().kind(), corrupt);
        let summary = history(store).summary(&session.key, now()).await;
        assert_eq!(summary.unwrap_err().kind(), corrupt);
        let limits = HistoryLimits::default();
        let done = history(store).append(&session.key, now(), vec![said("late")], limits);
        assert_eq!(done.await.unwrap_err().kind(), corrupt);
        assert!(load(store, &session.id).await.is_some());
    }
    history(store).clear(&session.key, now()).await.unwrap();
    append(store, &session.key, "said").await;
}
