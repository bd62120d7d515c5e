//! The index of the store inside, which is asked each time: operators want the truth.

use async_trait::async_trait;

use super::CachedStore;
use crate::session::{OwnerTag, SessionKey, Timestamp};
use crate::store::{
    ListedSession, SessionIndex, SessionPage, SessionStore, StoreError, StoreErrorKind,
};

impl<S: SessionStore> CachedStore<S> {
    fn inner_index(&self) -> Result<&dyn SessionIndex, StoreError> {
        self.inner.index().ok_or(StoreErrorKind::Unsupported.into())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: SessionStore> SessionIndex for CachedStore<S> {
    async fn list(
        &self,
        now: Timestamp,
        owner: Option<&OwnerTag>,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<SessionPage, StoreError> {
        self.inner_index()?.list(now, owner, after, limit).await
    }

    async fn inspect(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<ListedSession>, StoreError> {
        self.inner_index()?.inspect(key, now).await
    }

    async fn count(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.inner_index()?.count(now).await
    }

    async fn bar(
        &self,
        owner: &OwnerTag,
        not_before: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        // Dropped in the middle, it may have happened.
        let _dropping = Dropping(self, *owner);
        self.inner_index()?.bar(owner, not_before, until).await
    }
}

/// Drops what is kept of an owner's sessions when it goes itself.
struct Dropping<'s, S>(&'s CachedStore<S>, OwnerTag);

impl<S> Drop for Dropping<'_, S> {
    fn drop(&mut self) {
        self.0.entries.drop_owned(&self.1);
    }
}
