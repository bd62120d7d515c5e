//! A store that gives way at each of its steps.

use std::sync::Arc;

use async_trait::async_trait;
use tower_mcp_session::store::{Capabilities, Revision, StoreError, Stored};
use tower_mcp_session::{
    MemoryStore, NewSession, SessionId, SessionKey, SessionRecord, SessionStore, Timestamp,
};

/// Gives way before and after each step of the store inside.
#[derive(Clone, Debug)]
pub(crate) struct Slow(pub(crate) MemoryStore, pub(crate) Capabilities);

macro_rules! slowly {
    ($call:expr) => {{
        tokio::task::yield_now().await;
        let answer = $call.await;
        tokio::task::yield_now().await;
        answer
    }};
}

#[async_trait]
impl SessionStore for Slow {
    fn capabilities(&self) -> Capabilities {
        self.1
    }

    async fn create(&self, candidate: &SessionId, new: NewSession) -> Result<Stored, StoreError> {
        let stored = slowly!(self.0.create(candidate, new));
        stored.map(|stored| self.hide_watch(stored))
    }

    async fn load(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        let stored = slowly!(self.0.load(audience, id, now));
        Ok(stored?.map(|stored| self.hide_watch(stored)))
    }

    async fn save(
        &self,
        key: &SessionKey,
        record: Arc<SessionRecord>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        slowly!(self.0.save(key, record, expected))
    }

    async fn touch(
        &self,
        key: &SessionKey,
        now: Timestamp,
        deadline: Option<Timestamp>,
    ) -> Result<Option<Revision>, StoreError> {
        slowly!(self.0.touch(key, now, deadline))
    }

    async fn delete(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError> {
        slowly!(self.0.delete(key, now))
    }

    async fn delete_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        slowly!(self.0.delete_expired(now, limit))
    }
}

impl Slow {
    fn hide_watch(&self, mut stored: Stored) -> Stored {
        stored.watch = stored.watch.filter(|_| self.1.watch);
        stored
    }
}
