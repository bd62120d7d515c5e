//! The store behind a time limit, with the clock and the options: what a session needs of its manager.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::recording::Redaction;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::session::{
    HistorySummary, Message, NewSession, SessionId, SessionKey, SessionRecord, Timestamp,
};
use crate::store::{Capabilities, Revision, SessionStore, StoreError, StoreErrorKind, Stored};

/// Store, clock and options of a layer. Options are set before the first request; a clone whose options are changed
/// later has them for itself.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) capabilities: Capabilities,
    pub(crate) clock: Arc<dyn Clock>,
    /// What is done to messages before they are stored.
    pub(super) redaction: Option<Redaction>,
    pub(crate) config: Config,
}

impl Core {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// When a session that is used now ends for want of use.
    pub(crate) fn idle_deadline(&self, now: Timestamp, half_open: bool) -> Timestamp {
        match self.capabilities.idle_expiry {
            true => self.config.expiry.idle_deadline(now, half_open),
            false => Timestamp::NEVER,
        }
    }

    /// When a session that begins now ends in any case.
    pub(super) fn absolute_end(&self, now: Timestamp) -> Timestamp {
        let longest = self.capabilities.max_lifetime;
        let latest = longest.map_or(Timestamp::NEVER, |life| now.saturating_add(life));
        self.config.expiry.absolute_end(now).min(latest)
    }

    /// Whether nothing is saved by ending a session that takes room here only: it lives elsewhere, or in its id.
    pub(super) fn keeps_elsewhere(&self) -> bool {
        self.capabilities.shared || !self.capabilities.records
    }

    pub(super) async fn create(
        &self,
        candidate: &SessionId,
        new: NewSession,
    ) -> Result<Stored, StoreError> {
        self.limited(self.store.create(candidate, new)).await
    }

    pub(super) async fn load(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        self.limited(self.store.load(audience, id, now)).await
    }

    pub(super) async fn save(
        &self,
        key: &SessionKey,
        record: Arc<SessionRecord>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        self.limited(self.store.save(key, record, expected)).await
    }

    pub(super) async fn touch(
        &self,
        key: &SessionKey,
        now: Timestamp,
        idle_deadline: Option<Timestamp>,
    ) -> Result<Option<Revision>, StoreError> {
        self.limited(self.store.touch(key, now, idle_deadline))
            .await
    }

    pub(super) async fn delete(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.limited(self.store.delete(key, now)).await
    }

    pub(super) async fn delete_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        self.limited(self.store.delete_expired(now, limit)).await
    }

    /// Adds `messages` to a history now.
    pub(super) async fn append(
        &self,
        key: &SessionKey,
        messages: Vec<Message>,
    ) -> Result<(), StoreError> {
        let (history, limits) = self.history()?;
        self.limited(history.append(key, self.now(), messages, limits))
            .await
    }

    pub(super) async fn recent(
        &self,
        key: &SessionKey,
        count: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let (history, _) = self.history()?;
        self.limited(history.recent(key, self.now(), count)).await
    }

    pub(super) async fn summary(&self, key: &SessionKey) -> Result<HistorySummary, StoreError> {
        let (history, _) = self.history()?;
        self.limited(history.summary(key, self.now())).await
    }

    pub(super) async fn clear(&self, key: &SessionKey) -> Result<(), StoreError> {
        let (history, _) = self.history()?;
        self.limited(history.clear(key, self.now())).await
    }

    /// A call of an index, which may look at each session there is.
    pub(super) async fn patient<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let timeout = self.config.store_timeout;
        let longest = timeout.saturating_mul(config::INDEX_PATIENCE);
        within(longest, call).await
    }

    async fn limited<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        within(self.config.store_timeout, call).await
    }
}

/// A call that takes too long may still happen: it is not tried again.
async fn within<T>(
    longest: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(longest, call).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreErrorKind::OutcomeUnknown.into()),
    }
}
