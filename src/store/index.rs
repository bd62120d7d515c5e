//! What a store can do beside: show which sessions there are, and end those of one owner.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Revision, StoreError};
use crate::session::{OwnerTag, SessionKey, SessionRecord, Timestamp};

/// Knows which sessions there are.
///
/// A store that does gives itself out by [`SessionStore::index`](super::SessionStore::index). Sessions are named by
/// their keys: a store shows no id.
///
/// # The contract
///
/// 1. A list goes in the order of the keys. Page after page it shows each session once that is alive from the first
///    page to the last; those that begin or end meanwhile may be shown or not. Expired and ended ones are not shown.
/// 2. From the return of `bar` on, sessions of the owner whose records were created at its `not_before` or earlier are
///    gone, for `load`, `touch`, `save` and whoever lists; and `create` refuses such a record as
///    [`StoreErrorKind::Gone`](super::StoreErrorKind::Gone), so that an initialize that is under way does not slip
///    through: a session is created when its initialize comes. Those of others, and later ones, are left alone.
/// 3. A later `bar` only moves forward what an earlier one has said.
#[async_trait]
pub trait SessionIndex: fmt::Debug + Send + Sync {
    /// At most `limit` sessions alive at `now`, of `owner` only if one is given, whose keys come after `after`.
    ///
    /// A page may hold fewer sessions than there are; only one without `next` is the last.
    ///
    /// # Errors
    ///
    /// If the store could not be asked.
    async fn list(
        &self,
        now: Timestamp,
        owner: Option<&OwnerTag>,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<SessionPage, StoreError>;

    /// The session of `key`, if it is alive at `now`.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`](super::StoreErrorKind::Corrupt) if there is one that cannot be read.
    async fn inspect(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<ListedSession>, StoreError>;

    /// How many sessions are alive at `now`.
    ///
    /// # Errors
    ///
    /// If the store could not be asked.
    async fn count(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Ends all sessions of `owner` that were created at `not_before` or earlier. The store may forget of
    /// it at `until`, when all of them have come to their absolute end.
    ///
    /// # Errors
    ///
    /// If the store did not do it, or not wholly: it is to be said again.
    async fn bar(
        &self,
        owner: &OwnerTag,
        not_before: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError>;
}

/// A page of the sessions in a store.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SessionPage {
    /// The sessions, in the order of their keys.
    pub sessions: Vec<ListedSession>,
    /// Which ones cannot be read.
    pub unreadable: Vec<SessionKey>,
    /// What to ask the next page with; `None` if this is the last.
    pub next: Option<SessionKey>,
}

/// A session as a list shows it: with its key, never with its id.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ListedSession {
    /// The name the store keeps the session under.
    pub key: SessionKey,
    /// The record.
    pub record: Arc<SessionRecord>,
    /// The record's revision.
    pub revision: Revision,
    /// When the session was last noted as used.
    pub last_activity: Timestamp,
    /// When the session ends unless it is touched.
    pub idle_deadline: Timestamp,
}

impl ListedSession {
    /// A session as a store has it.
    pub fn new(
        key: SessionKey,
        record: impl Into<Arc<SessionRecord>>,
        revision: Revision,
        last_activity: Timestamp,
        idle_deadline: Timestamp,
    ) -> Self {
        Self {
            key,
            record: record.into(),
            revision,
            last_activity,
            idle_deadline,
        }
    }
}

impl SessionPage {
    /// A page of these sessions, in the order of their keys. It is the last one if there are fewer than `limit`.
    pub fn new(sessions: Vec<ListedSession>, unreadable: Vec<SessionKey>, limit: usize) -> Self {
        let full = sessions.len() + unreadable.len() >= limit;
        let last = sessions.last().map(|session| session.key);
        let next = last.max(unreadable.last().copied()).filter(|_| full);
        Self {
            sessions,
            unreadable,
            next,
        }
    }
}
