//! One session in memory.

use std::sync::Arc;

use crate::session::{History, SessionKey, SessionRecord, Timestamp};
use crate::sharded::Keyed;
use crate::store::{Revision, WatchCell, WatchStatus};

pub(super) struct Slot {
    pub(super) key: SessionKey,
    pub(super) record: Arc<SessionRecord>,
    /// Holds the revision: the slot and those who watch it cannot disagree.
    pub(super) cell: WatchCell,
    pub(super) last_activity: Timestamp,
    pub(super) idle_deadline: Timestamp,
    pub(super) history: Option<Box<History>>,
}

impl Slot {
    pub(super) fn revision(&self) -> Revision {
        match self.cell.status() {
            WatchStatus::Current(revision) => revision,
            // Never seen: the cell is set gone as the slot leaves the table, and a memory store never says ask.
            WatchStatus::Gone | WatchStatus::Ask => Revision::FIRST,
        }
    }

    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        // The idle deadline is never past the absolute end.
        now >= self.idle_deadline
    }

    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.record.size() + self.history_size()
    }
}

impl Keyed for Box<Slot> {
    type Key = SessionKey;

    fn key(&self) -> &SessionKey {
        &self.key
    }
}
