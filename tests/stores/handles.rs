//! Two handles to the same data, and every way in which they can be told not to be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tower_mcp_session::store::{
    Capabilities, EXPIRED_GRACE, Revision, StoreError, StoreErrorKind, Stored, WatchCell,
};
use tower_mcp_session::{
    MemoryStore, NewSession, OwnerTag, Principal, SessionId, SessionKey, SessionRecord,
    SessionStore, Timestamp,
};

/// What a [`Handle`] does wrong: mostly it believes that it is alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    None,
    /// Each handle has data of its own.
    SharesNothing,
    DeclaresSomethingElse,
    CreateRaces,
    RecordsAreRemembered,
    RevisionsAreRemembered,
    DeadlinesAreRemembered,
    ActivityIsRemembered,
    SaveRaces,
    SaveRevivesInARace,
    TombstonesAreItsOwn,
    DeletedTwice,
    CleanUpTrustsItsMemory,
    WatchIsItsOwn,
    TagsAreItsOwn,
}

/// What the rules for two handles say of each fault.
pub(super) const EXPECTED: &[(Fault, &[&str])] = &[
    (Fault::None, &[]),
    (
        Fault::DeclaresSomethingElse,
        &["every_handle_sees_a_create"],
    ),
    (
        Fault::CreateRaces,
        &["one_winner_in_a_create_race_of_two_handles"],
    ),
    (
        Fault::RecordsAreRemembered,
        &[
            "every_handle_sees_a_save",
            "saves_of_two_handles_lose_nothing",
        ],
    ),
    (Fault::RevisionsAreRemembered, &["every_handle_sees_a_save"]),
    (
        Fault::DeadlinesAreRemembered,
        &["every_handle_sees_a_touch"],
    ),
    (Fault::ActivityIsRemembered, &["every_handle_sees_a_touch"]),
    (Fault::SaveRaces, &["saves_of_two_handles_lose_nothing"]),
    (
        Fault::SaveRevivesInARace,
        &["delete_wins_over_late_writes_of_two_handles"],
    ),
    (Fault::TombstonesAreItsOwn, &["every_handle_sees_a_delete"]),
    (Fault::DeletedTwice, &["every_handle_sees_a_delete"]),
    (
        Fault::CleanUpTrustsItsMemory,
        &["every_handle_sees_a_clean_up"],
    ),
    (
        Fault::WatchIsItsOwn,
        &["a_watch_sees_what_other_handles_do"],
    ),
    (
        Fault::TagsAreItsOwn,
        &["owner_tags_are_the_same_on_every_handle"],
    ),
];

#[derive(Debug)]
pub(super) struct Handle {
    fault: Fault,
    number: u8,
    inner: MemoryStore,
    seen: Mutex<HashMap<SessionKey, Seen>>,
}

/// What a handle remembers of a session.
#[derive(Debug)]
struct Seen {
    stored: Stored,
    deleted: bool,
    revived: bool,
    cell: WatchCell,
}

pub(super) fn pair(fault: Fault) -> (Handle, Handle) {
    let shared = MemoryStore::new();
    let handle = |number| Handle {
        fault,
        number,
        inner: match fault {
            Fault::SharesNothing => MemoryStore::new(),
            _ => shared.clone(),
        },
        seen: Mutex::default(),
    };
    (handle(0), handle(1))
}

impl Handle {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<SessionKey, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves others the time to come between.
    async fn gap(&self, fault: Fault) {
        for _ in 0..if self.has(fault) { 20 } else { 0 } {
            tokio::task::yield_now().await;
        }
    }

    /// The session as this handle gives it.
    fn given(&self, mut stored: Stored) -> Stored {
        let mut all = self.seen();
        let seen = all.entry(stored.key).or_insert_with(|| Seen {
            stored: stored.clone(),
            deleted: false,
            revived: false,
            cell: WatchCell::new(stored.revision),
        });
        match self.fault {
            Fault::RecordsAreRemembered => {
                stored.record = Arc::clone(&seen.stored.record);
                stored.revision = seen.stored.revision;
            }
            Fault::DeadlinesAreRemembered => stored.idle_deadline = seen.stored.idle_deadline,
            Fault::ActivityIsRemembered => stored.last_activity = seen.stored.last_activity,
            Fault::WatchIsItsOwn => stored.watch = Some(seen.cell.watch()),
            _ => {}
        }
        stored
    }
}

#[async_trait]
impl SessionStore for Handle {
    fn capabilities(&self) -> Capabilities {
        let mut able = self.inner.capabilities();
        able.shared = self.number == 0 || !self.has(Fault::DeclaresSomethingElse);
        able
    }

    fn owner_tag(&self, _: &SessionId, principal: &Principal) -> OwnerTag {
        match self.fault {
            Fault::TagsAreItsOwn => OwnerTag::from([self.number; 32]),
            _ => OwnerTag::of(principal),
        }
    }

    async fn create(&self, candidate: &SessionId, new: NewSession) -> Result<Stored, StoreError> {
        let key = SessionKey::new(&new.audience, candidate);
        let early = self.inner.load(&new.audience, candidate, new.now).await?;
        self.gap(Fault::CreateRaces).await;
        match self.inner.create(candidate, new.clone()).await {
            Ok(stored) => Ok(self.given(stored)),
            Err(error) => {
                let mine = self.seen().get(&key).is_some_and(|seen| seen.deleted);
                let late = self.inner.load(&new.audience, candidate, new.now).await?;
                let lies = self.has(Fault::CreateRaces) && early.is_none() && late.is_some()
                    || self.has(Fault::TombstonesAreItsOwn) && early.is_none() && !mine;
                lies.then(|| Stored::created(candidate.clone(), new))
                    .ok_or(error)
            }
        }
    }

    async fn load(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        let key = SessionKey::new(audience, id);
        let found = self.inner.load(audience, id, now).await?;
        let revived = self.seen().get(&key).is_some_and(|seen| seen.revived);
        Ok(match found {
            Some(stored) => Some(self.given(stored)),
            None if revived => self.seen().get(&key).map(|seen| seen.stored.clone()),
            None => None,
        })
    }

    async fn save(
        &self,
        key: &SessionKey,
        record: Arc<SessionRecord>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        let began = record.created();
        let early = self.inner.touch(key, began, None).await?;
        self.gap(Fault::SaveRaces).await;
        self.gap(Fault::SaveRevivesInARace).await;
        let mut expected = expected;
        if self.has(Fault::SaveRaces) && early == Some(expected) {
            // Nobody else can have written meanwhile.
            let now = self.inner.touch(key, began, None).await?;
            expected = now.unwrap_or(expected);
        }
        let saved = self.inner.save(key, record, expected).await;
        let mut all = self.seen();
        let Some(seen) = all.get_mut(key) else {
            return saved;
        };
        match &saved {
            Ok(revision) => seen.cell.set_current(*revision),
            Err(error) if error.kind() == StoreErrorKind::Gone => {
                seen.revived |= early.is_some() && self.has(Fault::SaveRevivesInARace);
            }
            Err(_) => drop(all.remove(key)),
        }
        saved
    }

    async fn touch(
        &self,
        key: &SessionKey,
        now: Timestamp,
        idle_deadline: Option<Timestamp>,
    ) -> Result<Option<Revision>, StoreError> {
        let revision = self.inner.touch(key, now, idle_deadline).await?;
        let all = self.seen();
        let seen = all
            .get(key)
            .filter(|_| self.has(Fault::RevisionsAreRemembered));
        Ok(revision.map(|revision| seen.map_or(revision, |seen| seen.stored.revision)))
    }

    async fn delete(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError> {
        let deleted = self.inner.delete(key, now).await?;
        let mut all = self.seen();
        let Some(seen) = all.get_mut(key) else {
            return Ok(deleted);
        };
        seen.cell.set_gone();
        let again = std::mem::replace(&mut seen.deleted, true);
        Ok(deleted || self.has(Fault::DeletedTwice) && !again)
    }

    async fn delete_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        let mut removed = self.inner.delete_expired(now, limit).await?;
        if self.has(Fault::CleanUpTrustsItsMemory) {
            let due: Vec<SessionKey> = {
                let all = self.seen();
                let due = all
                    .values()
                    .filter(|seen| now >= seen.stored.idle_deadline.saturating_add(EXPIRED_GRACE));
                due.map(|seen| seen.stored.key).collect()
            };
            for key in due {
                if self.inner.delete(&key, now).await? {
                    removed.push(key);
                }
            }
        }
        Ok(removed)
    }
}
