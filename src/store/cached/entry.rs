//! One session that is kept, and for how long it holds.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::session::{SessionId, SessionKey, SessionRecord, Timestamp};
use crate::sharded::Keyed;
use crate::store::{Revision, Stored, Watch, WatchStatus};

/// A session as the store inside had it when it was asked.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: SessionKey,
    pub(super) record: Arc<SessionRecord>,
    pub(super) revision: Revision,
    last_activity: Timestamp,
    idle_deadline: Timestamp,
    watch: Option<Watch>,
    asked: Asked,
}

/// When the store inside was asked: before the call, for the answer may be as old as that.
///
/// Two clocks, for that of the callers may be set back.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    now: Timestamp,
    instant: Instant,
}

impl Entry {
    /// What the store inside answered when it was `asked`.
    pub(super) fn new(stored: &Stored, asked: Asked) -> Self {
        Self {
            key: stored.key,
            record: Arc::clone(&stored.record),
            revision: stored.revision,
            last_activity: stored.last_activity,
            idle_deadline: stored.idle_deadline,
            watch: stored.watch.clone(),
            asked,
        }
    }

    /// The session, as a load would give it.
    pub(super) fn into_stored(self, id: SessionId) -> Stored {
        Stored {
            id,
            key: self.key,
            record: self.record,
            revision: self.revision,
            last_activity: self.last_activity,
            idle_deadline: self.idle_deadline,
            watch: self.watch,
        }
    }

    /// Whether the store inside need not be asked.
    pub(super) fn holds(&self, now: Timestamp, staleness: Duration) -> bool {
        match &self.watch {
            Some(watch) => watch.status() == WatchStatus::Current(self.revision),
            None => self.asked.is_within(staleness, now),
        }
    }

    /// Another handle may have touched it: the store inside knows.
    pub(super) fn seems_expired(&self, now: Timestamp) -> bool {
        now >= self.idle_deadline || now >= self.record.absolute_end()
    }

    /// Notes that the session was there, at this revision, when it was touched.
    pub(super) fn confirm(&mut self, asked: Asked, idle_deadline: Option<Timestamp>) {
        if self.asked.instant <= asked.instant {
            self.asked = asked;
        }
        if let Some(deadline) = idle_deadline {
            let deadline = deadline.min(self.record.absolute_end());
            self.last_activity = self.last_activity.max(asked.now);
            self.idle_deadline = self.idle_deadline.max(deadline);
        }
    }

    /// Takes over what was saved. It holds as long as what was there would have: no time came with it.
    pub(super) fn replace(&mut self, record: Arc<SessionRecord>, revision: Revision) {
        self.idle_deadline = self.idle_deadline.min(record.absolute_end());
        self.record = record;
        self.revision = revision;
    }

    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.record.size()
    }
}

impl Keyed for Box<Entry> {
    type Key = SessionKey;

    fn key(&self) -> &SessionKey {
        &self.key
    }
}

impl Asked {
    pub(super) fn at(now: Timestamp) -> Self {
        let instant = Instant::now();
        Self { now, instant }
    }

    /// Whether it is less than `staleness` ago. A `now` before it is from another time: nobody can tell.
    fn is_within(&self, staleness: Duration, now: Timestamp) -> bool {
        now >= self.now && now.since(self.now) < staleness && self.instant.elapsed() < staleness
    }
}
