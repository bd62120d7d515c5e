//! What a store can do beside, with the same commands.

use async_trait::async_trait;

use super::{FaultyStore, Operation};
use crate::session::{HistoryLimits, HistorySummary, Message, OwnerTag, SessionKey, Timestamp};
use crate::store::{
    HistoryStore, ListedSession, SessionIndex, SessionPage, SessionStore, StoreError,
    StoreErrorKind,
};

/// What is not hidden of the store inside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    pub(super) histories: bool,
    pub(super) index: bool,
}

impl Default for Beside {
    fn default() -> Self {
        Self {
            histories: true,
            index: true,
        }
    }
}

impl<S: SessionStore> FaultyStore<S> {
    fn inner_history(&self) -> Result<&dyn HistoryStore, StoreError> {
        let history = self.inner.history();
        history.ok_or(StoreErrorKind::Unsupported.into())
    }

    fn inner_index(&self) -> Result<&dyn SessionIndex, StoreError> {
        self.inner.index().ok_or(StoreErrorKind::Unsupported.into())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: SessionStore> HistoryStore for FaultyStore<S> {
    async fn append(
        &self,
        key: &SessionKey,
        now: Timestamp,
        messages: Vec<Message>,
        limits: HistoryLimits,
    ) -> Result<(), StoreError> {
        let call = self.inner_history()?.append(key, now, messages, limits);
        self.commands.run(Operation::Append, call).await
    }

    async fn recent(
        &self,
        key: &SessionKey,
        now: Timestamp,
        count: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let call = self.inner_history()?.recent(key, now, count);
        self.commands.run(Operation::Recent, call).await
    }

    async fn summary(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<HistorySummary, StoreError> {
        let call = self.inner_history()?.summary(key, now);
        self.commands.run(Operation::Summary, call).await
    }

    async fn clear(&self, key: &SessionKey, now: Timestamp) -> Result<(), StoreError> {
        let call = self.inner_history()?.clear(key, now);
        self.commands.run(Operation::Clear, call).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: SessionStore> SessionIndex for FaultyStore<S> {
    async fn list(
        &self,
        now: Timestamp,
        owner: Option<&OwnerTag>,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<SessionPage, StoreError> {
        let call = self.inner_index()?.list(now, owner, after, limit);
        self.commands.run(Operation::List, call).await
    }

    async fn inspect(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<ListedSession>, StoreError> {
        let call = self.inner_index()?.inspect(key, now);
        self.commands.run(Operation::Inspect, call).await
    }

    async fn count(&self, now: Timestamp) -> Result<u64, StoreError> {
        let call = self.inner_index()?.count(now);
        self.commands.run(Operation::Count, call).await
    }

    async fn bar(
        &self,
        owner: &OwnerTag,
        not_before: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let call = self.inner_index()?.bar(owner, not_before, until);
        self.commands.run(Operation::Bar, call).await
    }
}
