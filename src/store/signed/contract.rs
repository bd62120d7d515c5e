//! What [`SignedStore`] does as a store.

use std::sync::Arc;

use async_trait::async_trait;

use super::claims::Standing;
use super::ready::ReadyRing;
use super::revocations::Revocations;
use super::store::SignedStore;
use super::token::Token;
use crate::session::{
    NewSession, OwnerTag, Principal, SessionId, SessionKey, SessionRecord, Timestamp,
};
use crate::store::{
    Capabilities, HistoryStore, NO_RECORDS, Recognition, Revision, SessionIndex, SessionStore,
    StoreError, StoreErrorKind, Stored,
};

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SessionStore for SignedStore {
    fn capabilities(&self) -> Capabilities {
        let able = match (&self.backing, &self.revocations) {
            (Some(backing), _) => backing.capabilities(),
            (None, list) => Capabilities {
                shared: list.as_ref().is_none_or(Revocations::is_shared),
                delete: list.is_some(),
                save: false,
                idle_expiry: false,
                watch: list.is_none(),
                records: false,
                max_lifetime: None,
            },
        };
        Capabilities {
            // The watch of a backing store does not know of keys.
            watch: able.watch && self.backing.is_none(),
            max_lifetime: able
                .max_lifetime
                .into_iter()
                .chain([self.max_lifetime])
                .min(),
            ..able
        }
    }

    fn owner_tag(&self, id: &SessionId, principal: &Principal) -> OwnerTag {
        self.ring().owner_tag(id, principal)
    }

    fn recognize(&self, audience: &str, id: &SessionId, now: Timestamp) -> Recognition {
        let ring = self.keys.read();
        let terms = id.with_bytes(|text| self.verified(&ring, audience, &Token::split(text), now));
        terms.map_or(Recognition::Unknown, |terms| {
            Recognition::Owned(terms.owner)
        })
    }

    fn history(&self) -> Option<&dyn HistoryStore> {
        self.backing.as_ref().and_then(|backing| backing.history())
    }

    /// None: whose session it is stands there under the key of its id, so that nobody can be looked for.
    fn index(&self) -> Option<&dyn SessionIndex> {
        None
    }

    async fn create(&self, _: &SessionId, new: NewSession) -> Result<Stored, StoreError> {
        let life = new.record.absolute_end().since(new.record.created());
        if life > self.max_lifetime {
            return Err(unsupported(
                "a session longer than `SignedStore::with_max_lifetime`",
            ));
        }
        if self.backing.is_none() && !new.record.is_plain() {
            return Err(unsupported(NO_RECORDS));
        }
        let ring = self.ring();
        if ring.refuses(new.record.created()) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, TOO_EARLY));
        }
        let (id, record) = self.mint(&ring, &new)?;
        let Some(backing) = &self.backing else {
            let key = SessionKey::new(&new.audience, &id);
            if let Some(list) = &self.revocations {
                list.note(key, record.absolute_end());
            }
            let record = Arc::unwrap_or_clone(record);
            return Ok(self.stored(&ring, id, key, record));
        };
        let stored = backing.create(&id, new).await?;
        if stored.id != id {
            return Err(unsupported(
                "a backing store that keeps the ids it is given",
            ));
        }
        Ok(without_watch(stored))
    }

    async fn load(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        let ring = self.ring();
        let says = id.with_bytes(|text| {
            let token = Token::split(text);
            let terms = self.verified(&ring, audience, &token, now)?;
            Some(match terms.standing {
                Standing::Backed => None,
                Standing::Itself => Some(token.record()?),
            })
        });
        let Some(record) = says else {
            return Ok(None);
        };
        let key = SessionKey::new(audience, id);
        if let Some(list) = self.list(now) {
            if list.holds(&key, now).await? {
                return Ok(None);
            }
            if let Some(record) = &record {
                list.note(key, record.absolute_end());
            }
        }
        if let Some(store) = &self.backing {
            let stored = match (store.load(audience, id, now).await?, record) {
                (None, Some(record)) => migrated(store, audience, id, record, now).await?,
                (stored, _) => stored,
            };
            return Ok(stored.map(without_watch));
        }
        let Some(record) = record else {
            return Ok(None);
        };
        Ok(Some(self.stored(&ring, id.clone(), key, record)))
    }

    async fn save(
        &self,
        key: &SessionKey,
        record: Arc<SessionRecord>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        match &self.backing {
            Some(backing) => backing.save(key, record, expected).await,
            None => Err(unsupported(NO_RECORDS)),
        }
    }

    async fn touch(
        &self,
        key: &SessionKey,
        now: Timestamp,
        idle_deadline: Option<Timestamp>,
    ) -> Result<Option<Revision>, StoreError> {
        let Some(backing) = &self.backing else {
            return Err(unsupported(NO_RECORDS));
        };
        // During a migration: an instance that has no backing store as yet ends sessions in the list alone.
        if let Some(list) = self.list(now)
            && list.holds(key, now).await?
        {
            return Ok(None);
        }
        backing.touch(key, now, idle_deadline).await
    }

    async fn delete(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError> {
        // Issued by a clock that is ahead, an id lasts longer than one of now.
        let longest = now
            .saturating_add(self.clock_leeway)
            .saturating_add(self.max_lifetime);
        let ended = match self.list(now) {
            Some(list) => Some(list.add(key, now, longest).await?),
            None => None,
        };
        match &self.backing {
            // It says whether there was a session: during a migration the list is for those who have nothing else.
            Some(backing) => backing.delete(key, now).await,
            None => ended.ok_or_else(|| unsupported(CANNOT_END)),
        }
    }

    async fn delete_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        let removed = match &self.backing {
            Some(backing) => backing.delete_expired(now, limit).await,
            None => Ok(Vec::new()),
        };
        // Whether or not the other one can be asked.
        if let Some(list) = &self.revocations {
            list.clean_up(now, limit).await?;
        }
        removed
    }
}

impl SignedStore {
    /// The session of an id that is all there is of it.
    fn stored(
        &self,
        ring: &ReadyRing,
        id: SessionId,
        key: SessionKey,
        record: SessionRecord,
    ) -> Stored {
        let (begun, end) = (record.created(), record.absolute_end());
        let stored = Stored::loaded(id, key, record, ring.revision, begun, end);
        match self.revocations {
            Some(_) => stored,
            None => stored.with_watch(self.keys.cell.watch()),
        }
    }

    /// The list of ended ids. Beside a backing store it counts as long as ids are taken that are older than that store.
    fn list(&self, now: Timestamp) -> Option<&Revocations> {
        let list = self.revocations.as_ref();
        list.filter(|_| self.backing.is_none() || now < self.migration)
    }
}

/// The session of an id that was signed without the backing store: it gets one there.
async fn migrated(
    backing: &dyn SessionStore,
    audience: &str,
    id: &SessionId,
    record: SessionRecord,
    now: Timestamp,
) -> Result<Option<Stored>, StoreError> {
    let end = record.absolute_end();
    let new = NewSession::new(audience, record, now, end);
    match backing.create(id, new).await {
        Ok(stored) => Ok(Some(stored)),
        // Another request was faster, or the session has ended there.
        Err(error) if error.kind() == StoreErrorKind::AlreadyExists => {
            backing.load(audience, id, now).await
        }
        Err(error) => Err(error),
    }
}

fn without_watch(mut stored: Stored) -> Stored {
    stored.watch = None;
    stored
}

fn unsupported(what: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Unsupported, what)
}

const TOO_EARLY: &str = "the ring refuses ids of now: `KeyRing::with_not_before` lies ahead";
const CANNOT_END: &str =
    "a signed id cannot be taken back: `SignedStore::with_revocations` keeps a list of ended ones";
