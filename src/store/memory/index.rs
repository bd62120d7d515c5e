//! Which sessions there are in memory. Each call goes through all of them: a thousandth of a second for ten thousand.

use async_trait::async_trait;

use super::{MemoryStore, PARTS_AT_ONCE, Slot};
use crate::config;
use crate::session::{OwnerTag, SessionKey, Timestamp};
use crate::sharded::Sharded;
use crate::store::{ListedSession, SessionIndex, SessionPage, StoreError};

impl MemoryStore {
    /// Shows each session to `f`, some parts of them at a time.
    async fn for_each(&self, mut f: impl FnMut(&Slot) + Send) {
        for part in 0..Sharded::<Box<Slot>>::SHARDS {
            self.shared.slots.for_each(part, |slot| f(slot));
            if part.is_multiple_of(PARTS_AT_ONCE) {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[async_trait]
impl SessionIndex for MemoryStore {
    async fn list(
        &self,
        now: Timestamp,
        owner: Option<&OwnerTag>,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<SessionPage, StoreError> {
        let limit = limit.clamp(1, config::MAX_PAGE);
        let mut found = Vec::new();
        self.for_each(|slot| {
            let is_next = after.is_none_or(|after| slot.key > *after);
            let is_owned = owner.is_none_or(|owner| slot.record.owner() == Some(owner));
            if is_next && is_owned && !slot.is_expired(now) {
                found.push(slot.listed());
            }
            // Twice a page: what lies behind the page is dropped now and then, and not for each one that comes.
            if found.len() >= limit * 2 {
                keep_first(&mut found, limit);
            }
        })
        .await;
        keep_first(&mut found, limit);
        Ok(SessionPage::new(found, Vec::new(), limit))
    }

    async fn inspect(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<ListedSession>, StoreError> {
        Ok(self.shared.slots.with_mut(key, |slot| {
            let slot = slot.filter(|slot| !slot.is_expired(now))?;
            Some(slot.listed())
        }))
    }

    async fn count(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut count = 0;
        self.for_each(|slot| count += u64::from(!slot.is_expired(now)))
            .await;
        Ok(count)
    }

    async fn bar(
        &self,
        owner: &OwnerTag,
        not_before: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        // First: what is created from here on is refused under the lock under which the others are looked for.
        self.shared.bars.add(*owner, not_before, until);
        for part in 0..Sharded::<Box<Slot>>::SHARDS {
            self.shared.slots.retain(part, |slot| {
                if !self.shared.bars.concern(&slot.record) {
                    return true;
                }
                self.bury(slot);
                false
            });
            if part.is_multiple_of(PARTS_AT_ONCE) {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

impl Slot {
    fn listed(&self) -> ListedSession {
        ListedSession::new(
            self.key,
            std::sync::Arc::clone(&self.record),
            self.revision(),
            self.last_activity,
            self.idle_deadline,
        )
    }
}

fn keep_first(found: &mut Vec<ListedSession>, limit: usize) {
    found.sort_unstable_by_key(|session| session.key);
    found.truncate(limit);
}
