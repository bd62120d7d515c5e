//! The ids that a [`MemoryStore`](super::MemoryStore) must not create again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::session::{SessionKey, Timestamp};

/// Keys that were deleted, each until its session would have ended in any case.
#[derive(Default)]
pub(super) struct Tombstones(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    until: HashMap<SessionKey, Timestamp>,
    oldest_first: VecDeque<SessionKey>,
}

impl Tombstones {
    pub(super) fn contains(&self, key: &SessionKey) -> bool {
        self.lock().until.contains_key(key)
    }

    pub(super) fn add(&self, key: SessionKey, until: Timestamp) {
        let mut kept = self.lock();
        kept.until.insert(key, until);
        kept.oldest_first.push_back(key);
        if kept.oldest_first.len() > MAX_TOMBSTONES
            && let Some(oldest) = kept.oldest_first.pop_front()
        {
            kept.until.remove(&oldest);
        }
    }

    pub(super) fn clean(&self, now: Timestamp) {
        let Kept {
            until,
            oldest_first,
        } = &mut *self.lock();
        until.retain(|_, until| now < *until);
        oldest_first.retain(|key| until.contains_key(key));
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const MAX_TOMBSTONES: usize = 100_000;
