//! What the store can do beside: histories, and the index of its folder.

use async_trait::async_trait;
use futures_util::future::join_all;

use super::bars::Bar;
use super::store::FileStore;
use super::{entry, history, listing};
use crate::session::{HistoryLimits, HistorySummary, Message, OwnerTag, SessionKey, Timestamp};
use crate::store::{HistoryStore, ListedSession, SessionIndex, SessionPage, StoreError};

#[async_trait]
impl HistoryStore for FileStore {
    async fn append(
        &self,
        key: &SessionKey,
        now: Timestamp,
        messages: Vec<Message>,
        limits: HistoryLimits,
    ) -> Result<(), StoreError> {
        let of = *key;
        self.write(key, move |folder| {
            history::append(folder, &of, now, messages, limits)
        })
        .await
    }

    async fn recent(
        &self,
        key: &SessionKey,
        now: Timestamp,
        count: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let of = *key;
        let read = self.read(move |folder| history::read(folder, &of, now));
        Ok(read.await?.recent(count))
    }

    async fn summary(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<HistorySummary, StoreError> {
        let of = *key;
        let read = self.read(move |folder| history::read(folder, &of, now));
        Ok(read.await?.summary())
    }

    async fn clear(&self, key: &SessionKey, now: Timestamp) -> Result<(), StoreError> {
        let of = *key;
        self.write(key, move |folder| history::clear(folder, &of, now))
            .await
    }
}

#[async_trait]
impl SessionIndex for FileStore {
    async fn list(
        &self,
        now: Timestamp,
        owner: Option<&OwnerTag>,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<SessionPage, StoreError> {
        let sought = listing::Sought::new(now, owner, after, limit);
        let mut page = SessionPage::default();
        for part in sought.first_part()..=u8::MAX {
            page = self
                .read(move |folder| sought.add_part(page, folder, part))
                .await?;
            if page.next.is_some() {
                break;
            }
        }
        Ok(page)
    }

    async fn inspect(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<ListedSession>, StoreError> {
        let of = *key;
        let session = self.read(move |folder| entry::read(folder, &of)).await?;
        let alive = session.filter(|session| !session.last_use.is_over(now));
        Ok(alive.map(|session| session.listed(of)))
    }

    async fn count(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut count = 0;
        for part in 0..=u8::MAX {
            count += self
                .read(move |folder| listing::count_part(folder, part, now))
                .await?;
        }
        Ok(count)
    }

    async fn bar(
        &self,
        owner: &OwnerTag,
        not_before: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let of = *owner;
        let bar = Bar::new(not_before, until);
        // The mark lies under the lock of the part that begins as the owner's tag does.
        let bar = self
            .write(&SessionKey::from(*owner.as_bytes()), move |folder| {
                bar.put(folder, &of)
            })
            .await?;
        let mut first_failure = Ok(());
        let parts: Vec<u8> = (0..=u8::MAX).collect();
        for some in parts.chunks(PARTS_AT_ONCE) {
            let ends = some.iter().map(|&part| {
                self.write_in(part, move |folder| bar.end_sessions(folder, part, &of))
            });
            for ended in join_all(ends).await {
                first_failure = first_failure.and(ended);
            }
        }
        first_failure
    }
}

/// How many parts of the folder a `bar` goes through at once.
const PARTS_AT_ONCE: usize = 16;
