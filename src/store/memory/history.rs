//! Histories in memory: each lies with its session, and goes with it.

use async_trait::async_trait;

use super::{MemoryStore, Slot};
use crate::session::{History, HistoryLimits, HistorySummary, Message, SessionKey, Timestamp};
use crate::store::{HistoryStore, StoreError, StoreErrorKind};

impl MemoryStore {
    fn with_history<T>(
        &self,
        key: &SessionKey,
        now: Timestamp,
        f: impl FnOnce(&mut Slot) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.shared.slots.with_mut(key, |slot| {
            let slot = slot.filter(|slot| !slot.is_expired(now));
            f(slot.ok_or(StoreErrorKind::Gone)?)
        })
    }
}

#[async_trait]
impl HistoryStore for MemoryStore {
    async fn append(
        &self,
        key: &SessionKey,
        now: Timestamp,
        messages: Vec<Message>,
        limits: HistoryLimits,
    ) -> Result<(), StoreError> {
        self.with_history(key, now, |slot| {
            let before = slot.history_size();
            // More than it takes in the end, if old ones go.
            let added = size_of::<History>() + messages.iter().map(size_in_memory).sum::<usize>();
            self.resize(0, added)?;
            let history = slot.history.get_or_insert_default();
            history.append(messages, limits);
            self.resize(before + added, slot.history_size())
        })
    }

    async fn recent(
        &self,
        key: &SessionKey,
        now: Timestamp,
        count: usize,
    ) -> Result<Vec<Message>, StoreError> {
        self.with_history(key, now, |slot| {
            let history = slot.history.as_ref();
            Ok(history.map_or_else(Vec::new, |history| history.recent(count)))
        })
    }

    async fn summary(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<HistorySummary, StoreError> {
        self.with_history(key, now, |slot| {
            let history = slot.history.as_ref();
            Ok(history.map_or_else(HistorySummary::default, |history| history.summary()))
        })
    }

    async fn clear(&self, key: &SessionKey, now: Timestamp) -> Result<(), StoreError> {
        self.with_history(key, now, |slot| {
            let size = slot.history_size();
            slot.history = None;
            self.resize(size, 0)
        })
    }
}

impl Slot {
    /// The bytes that the history takes.
    pub(super) fn history_size(&self) -> usize {
        self.history.as_ref().map_or(0, |history| {
            size_of::<History>() + history.iter().map(size_in_memory).sum::<usize>()
        })
    }
}

fn size_in_memory(message: &Message) -> usize {
    size_of::<Message>() + message.size()
}
