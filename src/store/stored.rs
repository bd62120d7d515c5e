//! What a store gives of a session.

use std::sync::Arc;

use super::{Revision, Watch};
use crate::session::{NewSession, SessionId, SessionKey, SessionRecord, Timestamp};

/// A session as a store has it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stored {
    /// The id the client holds.
    pub id: SessionId,
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
    /// Says when the above no longer holds, if the store can tell.
    pub watch: Option<Watch>,
}

impl Stored {
    /// A session that was created just now from `new`, without a watch.
    pub fn created(id: SessionId, new: NewSession) -> Self {
        Self {
            key: SessionKey::new(&new.audience, &id),
            id,
            revision: Revision::FIRST,
            last_activity: new.now,
            idle_deadline: new.idle_deadline.min(new.record.absolute_end()),
            record: new.record,
            watch: None,
        }
    }

    /// A session that was read from a store, without a watch.
    pub fn loaded(
        id: SessionId,
        key: SessionKey,
        record: impl Into<Arc<SessionRecord>>,
        revision: Revision,
        last_activity: Timestamp,
        idle_deadline: Timestamp,
    ) -> Self {
        Self {
            id,
            key,
            record: record.into(),
            revision,
            last_activity,
            idle_deadline,
            watch: None,
        }
    }

    /// The same session with a watch.
    #[must_use]
    pub fn with_watch(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Whether the session is over at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.idle_deadline || now >= self.record.absolute_end()
    }
}
