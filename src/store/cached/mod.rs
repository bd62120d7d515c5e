//! A store's answers, kept for a moment.

mod entries;
mod entry;
mod index;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::entries::{Entries, Limits};
use self::entry::Asked;
use super::{
    Capabilities, HistoryStore, Recognition, Revision, SessionIndex, SessionStore, StoreError,
    Stored,
};
use crate::config;
use crate::session::{
    NewSession, OwnerTag, Principal, SessionId, SessionKey, SessionRecord, Timestamp,
};

/// Keeps what another store answered for a moment: fewer round trips, for a little less truth.
///
/// `load`, and a `touch` that only asks, are answered from memory if the store inside was asked less than the
/// *staleness* ago (default: 1 s). All else goes through. Each `touch` that does checks the revision of what is kept,
/// and confirms or drops it. A clone shares what is kept.
///
/// # What it gives up
///
/// What *another* instance does to a session may go unseen here for the staleness: a change of its values, its
/// suspension, its end. So the promise that after DELETE each instance answers 404 holds only after the staleness has
/// passed. The activity and the idle deadline of a session that was loaded may be behind those in the store.
///
/// What it does not give up: what went through this store, or a clone of it, is seen by both at once. No update is
/// lost, since `save` always goes through with its revision and a conflict drops what is kept. A session is never given
/// out after the deadlines that are known, and one that seems expired is asked for again. Absence is never kept, and
/// `delete_expired` is the work of the store inside.
///
/// Where the store inside hands out a [`Watch`](super::Watch), that decides in place of the staleness: as long as it
/// says *current* nothing is asked, and nothing but activity and idle deadline can be behind.
///
/// # When to use it
///
/// - For the requests of a session that this instance holds,
///   [`SessionLayer::with_freshness`](crate::SessionLayer::with_freshness) spares the question itself: this store adds
///   nothing to it. With both, the two times add up.
/// - It is for a store without a watch and handlers that read values often: without freshness each
///   [`SessionContext::get`](crate::SessionContext::get) is a `load` there. This store answers it from memory, where
///   the touch of the request has just confirmed what it has.
/// - It spares the `load`s of sessions that are alive and not held here: those whose requests are refused because they
///   belong to somebody else or to the instance that began them, and those that several layers of one process share.
/// - It is nothing for ids that are unknown or ended: the store is asked for each. Nor is it for a
///   [`MemoryStore`](super::MemoryStore), which is no slower.
///
/// # Limits
///
/// At most 10 000 sessions ([`CachedStore::with_max_sessions`]) and 64 MiB of records
/// ([`CachedStore::with_max_bytes`]) are kept; at the limit others make room, whichever they are. The staleness is
/// counted by the `now` of the calls and by the process's own steady clock, whichever says first that it is over.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tower_mcp_session::store::CachedStore;
/// use tower_mcp_session::{MemoryStore, SessionLayer};
///
/// # let database = MemoryStore::new();
/// let store = CachedStore::new(database).with_staleness(Duration::from_millis(200));
/// let layer = SessionLayer::new(store);
/// ```
#[derive(Clone)]
pub struct CachedStore<S> {
    inner: S,
    entries: Arc<Entries>,
    staleness: Duration,
    limits: Limits,
}

impl<S: SessionStore> CachedStore<S> {
    /// Keeps answers of `inner`, within the limits above.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            entries: Arc::new(Entries::new()),
            staleness: config::CACHE_STALENESS,
            limits: Limits {
                sessions: config::CACHE_SESSIONS,
                bytes: config::CACHE_BYTES,
            },
        }
    }

    /// Lets an answer hold for `staleness`. Default: 1 s. With zero each call goes through, unless the store inside has
    /// a watch.
    #[must_use]
    pub fn with_staleness(mut self, staleness: Duration) -> Self {
        self.staleness = staleness;
        self
    }

    /// Keeps at most this many sessions. Default: 10 000.
    #[must_use]
    pub fn with_max_sessions(mut self, sessions: usize) -> Self {
        self.limits.sessions = sessions;
        self
    }

    /// Keeps at most `bytes` of records. Default: 64 MiB.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// The store inside, which knows the truth.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: fmt::Debug> fmt::Debug for CachedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedStore")
            .field("inner", &self.inner)
            .field("staleness", &self.staleness)
            .finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: SessionStore> SessionStore for CachedStore<S> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn owner_tag(&self, id: &SessionId, principal: &Principal) -> OwnerTag {
        self.inner.owner_tag(id, principal)
    }

    fn recognize(&self, audience: &str, id: &SessionId, now: Timestamp) -> Recognition {
        self.inner.recognize(audience, id, now)
    }

    fn history(&self) -> Option<&dyn HistoryStore> {
        self.inner.history()
    }

    fn index(&self) -> Option<&dyn SessionIndex> {
        self.inner.index().map(|_| self as &dyn SessionIndex)
    }

    async fn create(&self, candidate: &SessionId, new: NewSession) -> Result<Stored, StoreError> {
        let key = SessionKey::new(&new.audience, candidate);
        let reading = self.entries.read(key, Asked::at(new.now));
        let stored = self.inner.create(candidate, new).await?;
        self.entries.fill(reading, &stored, self.limits);
        Ok(stored)
    }

    async fn load(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        let key = SessionKey::new(audience, id);
        if let Some(kept) = self.entries.get(&key, now, self.staleness)
            // What can be said without asking is never behind.
            && self.inner.recognize(audience, id, now) != Recognition::Unknown
        {
            return Ok(Some(kept.into_stored(id.clone())));
        }
        let reading = self.entries.read(key, Asked::at(now));
        let stored = self.inner.load(audience, id, now).await?;
        match &stored {
            Some(stored) => self.entries.fill(reading, stored, self.limits),
            None => self.entries.drop_of(&key),
        }
        Ok(stored)
    }

    async fn save(
        &self,
        key: &SessionKey,
        record: Arc<SessionRecord>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        let writing = self.entries.write(*key);
        let revision = self.inner.save(key, Arc::clone(&record), expected).await?;
        writing.saved(record, revision, self.limits);
        Ok(revision)
    }

    async fn touch(
        &self,
        key: &SessionKey,
        now: Timestamp,
        idle_deadline: Option<Timestamp>,
    ) -> Result<Option<Revision>, StoreError> {
        if idle_deadline.is_none()
            && self.inner.capabilities().idle_expiry
            && let Some(kept) = self.entries.get(key, now, self.staleness)
        {
            return Ok(Some(kept.revision));
        }
        let asked = Asked::at(now);
        let revision = self.inner.touch(key, now, idle_deadline).await?;
        self.entries.touched(key, asked, idle_deadline, revision);
        Ok(revision)
    }

    async fn delete(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError> {
        let _writing = self.entries.write(*key);
        self.inner.delete(key, now).await
    }

    async fn delete_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        let removed = self.inner.delete_expired(now, limit).await?;
        for key in &removed {
            self.entries.drop_of(key);
        }
        self.entries.clean_up(now, self.staleness).await;
        Ok(removed)
    }
}
