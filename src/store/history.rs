//! What a store can do beside: keep what was said in a session.

use std::fmt;

use async_trait::async_trait;

use super::StoreError;
use crate::session::{HistoryLimits, HistorySummary, Message, SessionKey, Timestamp};

/// Keeps the messages of sessions, bounded, for as long as the session is alive.
///
/// A store that can do so gives itself out by [`SessionStore::history`](super::SessionStore::history).
///
/// # The contract
///
/// 1. `append` adds all of its messages in their order or none, and the oldest go until the limits are kept to: nobody
///    ever sees more. A message that is too long by itself goes too.
/// 2. Every method fails as [`StoreErrorKind::Gone`](super::StoreErrorKind::Gone) if there is no session that is alive
///    at `now`, by the rules of `load`; nothing has changed then.
/// 3. Appends at the same time, from any number of instances, lose nothing of each other; what one caller appends one
///    after the other stays in that order.
/// 4. Nothing of a history is left when its session was deleted, or removed by clean-up.
/// 5. An append is no use of the session: it moves no deadline and does not change the revision.
#[async_trait]
pub trait HistoryStore: fmt::Debug + Send + Sync {
    /// Adds `messages` to the history of a session, and lets the oldest go until `limits` are kept to.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Gone`](super::StoreErrorKind::Gone) if there is no session.
    async fn append(
        &self,
        key: &SessionKey,
        now: Timestamp,
        messages: Vec<Message>,
        limits: HistoryLimits,
    ) -> Result<(), StoreError>;

    /// The last `count` messages that are kept, the oldest of them first.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Gone`](super::StoreErrorKind::Gone) if there is no session.
    async fn recent(
        &self,
        key: &SessionKey,
        now: Timestamp,
        count: usize,
    ) -> Result<Vec<Message>, StoreError>;

    /// What there is, in numbers.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Gone`](super::StoreErrorKind::Gone) if there is no session.
    async fn summary(&self, key: &SessionKey, now: Timestamp)
    -> Result<HistorySummary, StoreError>;

    /// Forgets all messages of a session, and their numbers.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Gone`](super::StoreErrorKind::Gone) if there is no session.
    async fn clear(&self, key: &SessionKey, now: Timestamp) -> Result<(), StoreError>;
}
