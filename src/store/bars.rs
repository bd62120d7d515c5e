//! The owners whose sessions were all ended, in a [`MemoryStore`](super::MemoryStore).

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config;
use crate::session::{OwnerTag, SessionRecord, Timestamp};

/// For each owner, until when the creation of its sessions counts for nothing.
#[derive(Default)]
pub(super) struct Bars(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    bars: HashMap<OwnerTag, Bar>,
    oldest_first: VecDeque<OwnerTag>,
}

#[derive(Clone, Copy)]
struct Bar {
    not_before: Timestamp,
    /// When it may be forgotten.
    until: Timestamp,
}

impl Bars {
    /// Whether the session of `record` was ended with all others of its owner.
    pub(super) fn concern(&self, record: &SessionRecord) -> bool {
        let Some(owner) = record.owner() else {
            return false;
        };
        let kept = self.lock();
        let bar = kept.bars.get(owner);
        bar.is_some_and(|bar| record.created() <= bar.not_before)
    }

    pub(super) fn add(&self, owner: OwnerTag, not_before: Timestamp, until: Timestamp) {
        let mut kept = self.lock();
        let new = Bar { not_before, until };
        let Some(bar) = kept.bars.get_mut(&owner) else {
            kept.bars.insert(owner, new);
            kept.oldest_first.push_back(owner);
            if kept.oldest_first.len() > config::MAX_BARRED
                && let Some(oldest) = kept.oldest_first.pop_front()
            {
                kept.bars.remove(&oldest);
            }
            return;
        };
        bar.not_before = bar.not_before.max(not_before);
        bar.until = bar.until.max(until);
    }

    pub(super) fn clean(&self, now: Timestamp) {
        let Kept { bars, oldest_first } = &mut *self.lock();
        bars.retain(|_, bar| now < bar.until);
        oldest_first.retain(|owner| bars.contains_key(owner));
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
