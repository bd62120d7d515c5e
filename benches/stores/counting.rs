//! A store that counts what is asked of it. Each call is one round trip, which the tests of the stores show.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tower_mcp_session::store::{Capabilities, Recognition, Revision, StoreError, Stored};
use tower_mcp_session::{
    NewSession, OwnerTag, Principal, SessionId, SessionKey, SessionRecord, SessionStore, Timestamp,
};

#[derive(Clone, Debug)]
pub(crate) struct Counting {
    store: Arc<dyn SessionStore>,
    pub(crate) counts: Arc<Counts>,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    calls: AtomicUsize,
    writes: AtomicUsize,
}

impl Counting {
    pub(crate) fn new(store: &Arc<dyn SessionStore>) -> Self {
        Self {
            store: Arc::clone(store),
            counts: Arc::default(),
        }
    }

    fn count(&self, writes: bool) -> &dyn SessionStore {
        self.counts.calls.fetch_add(1, Ordering::Relaxed);
        self.counts
            .writes
            .fetch_add(usize::from(writes), Ordering::Relaxed);
        &*self.store
    }
}

impl Counts {
    /// The calls and the writes among them since the last time.
    pub(crate) fn take(&self) -> [usize; 2] {
        [&self.calls, &self.writes].map(|count| count.swap(0, Ordering::Relaxed))
    }
}

#[async_trait]
impl SessionStore for Counting {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn owner_tag(&self, id: &SessionId, principal: &Principal) -> OwnerTag {
        self.store.owner_tag(id, principal)
    }

    fn recognize(&self, audience: &str, id: &SessionId, now: Timestamp) -> Recognition {
        self.store.recognize(audience, id, now)
    }

    async fn create(&self, candidate: &SessionId, new: NewSession) -> Result<Stored, StoreError> {
        self.count(true).create(candidate, new).await
    }

    async fn load(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        self.count(false).load(audience, id, now).await
    }

    async fn save(
        &self,
        key: &SessionKey,
        record: Arc<SessionRecord>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        self.count(true).save(key, record, expected).await
    }

    async fn touch(
        &self,
        key: &SessionKey,
        now: Timestamp,
        idle_deadline: Option<Timestamp>,
    ) -> Result<Option<Revision>, StoreError> {
        let store = self.count(idle_deadline.is_some());
        store.touch(key, now, idle_deadline).await
    }

    async fn delete(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError> {
        self.count(true).delete(key, now).await
    }

    async fn delete_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        self.store.delete_expired(now, limit).await
    }
}
