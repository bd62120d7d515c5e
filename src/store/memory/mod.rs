//! Sessions in this process's memory.

mod history;
mod index;
mod slot;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use self::slot::Slot;
use super::bars::Bars;
use super::tombstones::Tombstones;
use super::{
    Capabilities, EXPIRED_GRACE, HistoryStore, Recognition, Revision, SessionIndex, SessionStore,
    StoreError, StoreErrorKind, Stored, WatchCell,
};
use crate::config;
use crate::session::{NewSession, SessionId, SessionKey, SessionRecord, Timestamp};
use crate::sharded::Sharded;

/// Keeps sessions in this process's memory: they end with it.
///
/// A clone is another handle to the same sessions. Each answer is ready at once, and a [`Watch`](super::Watch) spares
/// the layer from asking again.
///
/// # Limits
///
/// All records, with their histories, together take at most 1 GiB ([`MemoryStore::with_max_bytes`]); a session that does not fit is refused
/// as [`StoreErrorKind::Unavailable`]. Of the ids that were deleted the last 100 000 are remembered, so that they
/// cannot be created again; ids made by [`SessionId::random`] never repeat in any case.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::{MemoryStore, SessionLayer};
///
/// let layer = SessionLayer::new(MemoryStore::new());
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    max_bytes: usize,
}

struct Shared {
    slots: Sharded<Box<Slot>>,
    tombstones: Tombstones,
    bars: Bars,
    bytes: AtomicUsize,
    /// The part at which the next clean-up goes on.
    cursor: AtomicUsize,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        let shared = Shared {
            slots: Sharded::new(),
            tombstones: Tombstones::default(),
            bars: Bars::default(),
            bytes: AtomicUsize::new(0),
            cursor: AtomicUsize::new(0),
        };
        Self {
            shared: Arc::new(shared),
            max_bytes: config::MEMORY_STORE_BYTES,
        }
    }

    /// Limits all records, with their histories, together to `bytes`. Default: 1 GiB.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How many sessions the store holds, expired ones that were not yet removed included.
    pub fn len(&self) -> usize {
        self.shared.slots.len()
    }

    /// Whether the store holds no session.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts `new` bytes in place of `old`, if they fit.
    fn resize(&self, old: usize, new: usize) -> Result<(), StoreError> {
        let fits = |bytes: usize| {
            Some(bytes - old + new).filter(|&sum| new <= old || sum <= self.max_bytes)
        };
        let bytes = &self.shared.bytes;
        match bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "the memory store is full",
            )),
        }
    }

    /// Ends the slot's session for good.
    fn bury(&self, slot: &Slot) {
        let tombstones = &self.shared.tombstones;
        tombstones.add(slot.key, slot.record.absolute_end());
        self.forget(slot);
    }

    /// Gives the slot's bytes back and tells those who watch it.
    fn forget(&self, slot: &Slot) {
        slot.cell.set_gone();
        self.shared.bytes.fetch_sub(slot.size(), Ordering::Relaxed);
    }

    fn clean_part(
        &self,
        index: usize,
        now: Timestamp,
        limit: usize,
        removed: &mut Vec<SessionKey>,
    ) {
        let due = now.saturating_sub(EXPIRED_GRACE);
        self.shared.slots.retain(index, |slot| {
            if !slot.is_expired(due) || removed.len() >= limit {
                return true;
            }
            self.forget(slot);
            removed.push(slot.key);
            false
        });
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            watch: true,
            ..Capabilities::default()
        }
    }

    fn history(&self) -> Option<&dyn HistoryStore> {
        Some(self)
    }

    fn index(&self) -> Option<&dyn SessionIndex> {
        Some(self)
    }

    fn recognize(&self, _: &str, _: &SessionId, _: Timestamp) -> Recognition {
        Recognition::Possible
    }

    async fn create(&self, candidate: &SessionId, new: NewSession) -> Result<Stored, StoreError> {
        let cell = WatchCell::new(Revision::FIRST);
        let stored = Stored::created(candidate.clone(), new).with_watch(cell.watch());
        let slot = Box::new(Slot {
            key: stored.key,
            record: Arc::clone(&stored.record),
            cell,
            last_activity: stored.last_activity,
            idle_deadline: stored.idle_deadline,
            history: None,
        });
        let size = slot.size();
        self.resize(0, size)?;
        let Shared {
            slots,
            tombstones,
            bars,
            bytes,
            ..
        } = &*self.shared;
        let is_new = || !tombstones.contains(&stored.key) && !bars.concern(&stored.record);
        if slots.insert_if(slot, is_new).is_err() {
            bytes.fetch_sub(size, Ordering::Relaxed);
            let is_barred = bars.concern(&stored.record);
            let kind =
                [StoreErrorKind::AlreadyExists, StoreErrorKind::Gone][usize::from(is_barred)];
            return Err(kind.into());
        }
        Ok(stored)
    }

    async fn load(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        let key = SessionKey::new(audience, id);
        Ok(self.shared.slots.with_mut(&key, |slot| {
            let slot = slot.filter(|slot| !slot.is_expired(now))?;
            let stored = Stored::loaded(
                id.clone(),
                key,
                Arc::clone(&slot.record),
                slot.revision(),
                slot.last_activity,
                slot.idle_deadline,
            );
            Some(stored.with_watch(slot.cell.watch()))
        }))
    }

    async fn save(
        &self,
        key: &SessionKey,
        record: Arc<SessionRecord>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        self.shared.slots.with_mut(key, |slot| {
            let slot = slot.ok_or(StoreErrorKind::Gone)?;
            if slot.revision() != expected {
                return Err(StoreErrorKind::Conflict.into());
            }
            self.resize(slot.record.size(), record.size())?;
            slot.idle_deadline = slot.idle_deadline.min(record.absolute_end());
            slot.record = record;
            // Last: whoever reads the new revision finds the new record.
            slot.cell.set_current(expected.next());
            Ok(expected.next())
        })
    }

    async fn touch(
        &self,
        key: &SessionKey,
        now: Timestamp,
        idle_deadline: Option<Timestamp>,
    ) -> Result<Option<Revision>, StoreError> {
        Ok(self.shared.slots.with_mut(key, |slot| {
            let slot = slot.filter(|slot| !slot.is_expired(now))?;
            if let Some(deadline) = idle_deadline {
                slot.last_activity = slot.last_activity.max(now);
                slot.idle_deadline = slot
                    .idle_deadline
                    .max(deadline.min(slot.record.absolute_end()));
            }
            Some(slot.revision())
        }))
    }

    async fn delete(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError> {
        let removed = self.shared.slots.remove_if(key, |slot| {
            // Under the same lock, so that no `create` comes between.
            self.bury(slot);
            true
        });
        Ok(removed.is_some_and(|slot| !slot.is_expired(now)))
    }

    async fn delete_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        self.shared.tombstones.clean(now);
        self.shared.bars.clean(now);
        let mut removed = Vec::new();
        for _ in 0..Sharded::<Box<Slot>>::SHARDS {
            let index = self.shared.cursor.load(Ordering::Relaxed) % Sharded::<Box<Slot>>::SHARDS;
            self.clean_part(index, now, limit, &mut removed);
            if removed.len() >= limit {
                break;
            }
            self.shared.cursor.store(index + 1, Ordering::Relaxed);
            if index.is_multiple_of(PARTS_AT_ONCE) {
                tokio::task::yield_now().await;
            }
        }
        Ok(removed)
    }
}

/// How many parts a clean-up looks at before it lets other tasks run: about half a millisecond at a million sessions.
const PARTS_AT_ONCE: usize = 16;
