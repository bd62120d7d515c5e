//! A plain store that keeps the contract, and every way in which it can be told not to.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tower_mcp_session::store::{
    Capabilities, EXPIRED_GRACE, Recognition, Revision, StoreError, StoreErrorKind, Stored, Watch,
    WatchCell,
};
use tower_mcp_session::{
    Clock, NewSession, OwnerTag, Principal, SessionId, SessionKey, SessionRecord, SessionStore,
    SystemClock, Timestamp, Values,
};

/// What a [`Broken`] store does wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    None,
    /// Every call fails.
    Errors,
    /// No call ends.
    Hangs,
    // create
    CreateOverwrites,
    CreateRaces,
    CreateAnswersAnotherDeadline,
    CreateKeepsALaterDeadline,
    ForgetsTheTombstone,
    // load
    LoadGivesTheExpired,
    LoadGivesTheExpiredAtTheDeadline,
    LoadAsksTheWallClock,
    LoadRemovesTheExpired,
    LoadFailsForStrangeIds,
    RecognizesNothing,
    RecognizesNothingLate,
    RecognizesAnotherOwner,
    LosesAFlag,
    // save
    SaveIgnoresTheRevision,
    SaveRaces,
    SaveWritesOthersBack,
    SaveWritesTheDeadlineBack,
    SaveInserts,
    SaveRevivesTheDeleted,
    SaveRevivesInARace,
    SaveKeepsTheRevision,
    SaveExtends,
    // touch
    TouchMovesBack,
    TouchWritesTheRecordBack,
    TouchForgetsTheActivity,
    AskingNotesTheActivity,
    TouchPassesTheAbsoluteEnd,
    TouchChangesTheRevision,
    TouchRevivesTheExpired,
    TouchInserts,
    // delete
    DeleteDoesNothing,
    DeleteSaysYes,
    DeleteTakesAll,
    // delete_expired
    CleanUpHasNoGrace,
    CleanUpIgnoresTheLimit,
    CleanUpRemovesNothing,
    CleanUpIgnoresTouches,
    CleanUpRaces,
    CleanUpRemovesTheEndless,
    // the rest
    StaleWatch,
    WatchOutlivesTheSession,
    DeclaresNoWatch,
    HandsOutNoWatch,
    DeclaresNoSave,
    DeclaresNoDelete,
    DeclaresNoIdleExpiry,
    LeaksAcrossAudiences,
    LosesOddNames,
    LosesUnknownFields,
    GivesAllTheSameTag,
}

#[derive(Debug)]
pub(super) struct Broken {
    fault: Fault,
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    live: HashMap<SessionKey, Row>,
    tombstones: HashSet<SessionKey>,
    by_id: Vec<(SessionId, SessionKey)>,
}

#[derive(Clone, Debug)]
struct Row {
    record: Arc<SessionRecord>,
    cell: Arc<WatchCell>,
    revision: Revision,
    last_activity: Timestamp,
    idle_deadline: Timestamp,
    first_deadline: Timestamp,
}

impl Row {
    fn new(record: Arc<SessionRecord>, now: Timestamp, idle_deadline: Timestamp) -> Self {
        let idle_deadline = idle_deadline.min(record.absolute_end());
        Self {
            record,
            cell: Arc::new(WatchCell::new(Revision::FIRST)),
            revision: Revision::FIRST,
            last_activity: now,
            idle_deadline,
            first_deadline: idle_deadline,
        }
    }
}

impl Broken {
    pub(super) fn by(fault: Fault) -> Self {
        Self {
            fault,
            rows: Mutex::default(),
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn begin(&self) -> Result<(), StoreError> {
        match self.fault {
            Fault::Errors => Err(StoreErrorKind::Unavailable.into()),
            Fault::Hangs => std::future::pending().await,
            _ => Ok(()),
        }
    }

    /// Leaves others the time to come between.
    async fn gap(&self, fault: Fault) {
        for _ in 0..if self.has(fault) { 20 } else { 0 } {
            tokio::task::yield_now().await;
        }
    }

    fn is_expired(&self, row: &Row, now: Timestamp) -> bool {
        match self.fault {
            Fault::LoadGivesTheExpired => false,
            Fault::LoadGivesTheExpiredAtTheDeadline => now > row.idle_deadline,
            Fault::LoadAsksTheWallClock => SystemClock.now() >= row.idle_deadline,
            _ => now >= row.idle_deadline,
        }
    }

    fn watch(&self, row: &Row) -> Option<Watch> {
        Some(row.cell.watch()).filter(|_| !self.has(Fault::HandsOutNoWatch))
    }

    /// The record as this store writes it.
    fn written(&self, record: Arc<SessionRecord>) -> Arc<SessionRecord> {
        if self.has(Fault::LosesOddNames) {
            let mut values = Values::default();
            for name in record.values().names().filter(|name| name.is_ascii()) {
                let value: serde_json::Value = record.values().get(name).unwrap().unwrap();
                values.insert(name, &value).unwrap();
            }
            return Arc::new((*record).clone().with_values(values));
        }
        if self.has(Fault::LosesUnknownFields) {
            let (owner, handshake) = (record.owner().cloned(), Arc::clone(record.handshake()));
            let known =
                SessionRecord::new(record.created(), record.absolute_end(), owner, handshake)
                    .with_values(record.values().clone())
                    .with_initialized(record.initialized())
                    .with_mapped(record.mapped())
                    .with_suspended(record.suspended());
            return Arc::new(known);
        }
        record
    }
}

#[async_trait]
impl SessionStore for Broken {
    fn capabilities(&self) -> Capabilities {
        let mut able = Capabilities::default();
        able.watch = !self.has(Fault::DeclaresNoWatch);
        able.save = !self.has(Fault::DeclaresNoSave);
        able.delete = !self.has(Fault::DeclaresNoDelete);
        able.idle_expiry = !self.has(Fault::DeclaresNoIdleExpiry);
        able
    }

    fn owner_tag(&self, _: &SessionId, principal: &Principal) -> OwnerTag {
        match self.fault {
            Fault::GivesAllTheSameTag => OwnerTag::from([0; 32]),
            _ => OwnerTag::of(principal),
        }
    }

    fn recognize(&self, _: &str, _: &SessionId, now: Timestamp) -> Recognition {
        let is_late = now.since(SystemClock.now()).as_secs() >= 60;
        match self.fault {
            Fault::RecognizesNothing => Recognition::Unknown,
            Fault::RecognizesNothingLate if is_late => Recognition::Unknown,
            Fault::RecognizesAnotherOwner => Recognition::Owned(None),
            _ => Recognition::Possible,
        }
    }

    async fn create(&self, candidate: &SessionId, new: NewSession) -> Result<Stored, StoreError> {
        self.begin().await?;
        let key = SessionKey::new(&new.audience, candidate);
        let taken = |rows: &Rows| match self.fault {
            Fault::CreateOverwrites => rows.tombstones.contains(&key),
            _ => rows.live.contains_key(&key) || rows.tombstones.contains(&key),
        };
        let early = taken(&self.rows());
        self.gap(Fault::CreateRaces).await;
        let mut rows = self.rows();
        let late = taken(&rows);
        if early || late && !self.has(Fault::CreateRaces) {
            return Err(StoreErrorKind::AlreadyExists.into());
        }
        let mut stored = Stored::created(candidate.clone(), new.clone());
        let mut row = Row::new(self.written(new.record), new.now, new.idle_deadline);
        if self.has(Fault::CreateKeepsALaterDeadline) {
            row.idle_deadline = new.idle_deadline;
        }
        stored.watch = self.watch(&row);
        rows.live.insert(key, row);
        rows.by_id.push((candidate.clone(), key));
        if self.has(Fault::CreateAnswersAnotherDeadline) {
            stored.idle_deadline = Timestamp::NEVER;
        }
        Ok(stored)
    }

    async fn load(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        self.begin().await?;
        if self.has(Fault::LoadFailsForStrangeIds) && !id.is_random() {
            return Err(StoreErrorKind::Corrupt.into());
        }
        let mut rows = self.rows();
        let mut key = SessionKey::new(audience, id);
        if self.has(Fault::LeaksAcrossAudiences)
            && !rows.live.contains_key(&key)
            && let Some((_, other)) = rows.by_id.iter().find(|(known, _)| known == id)
        {
            key = *other;
        }
        let Some(row) = rows.live.get(&key).cloned() else {
            return Ok(None);
        };
        if self.is_expired(&row, now) {
            if self.has(Fault::LoadRemovesTheExpired) {
                rows.live.remove(&key);
            }
            return Ok(None);
        }
        let watch = self.watch(&row);
        let mut record = row.record;
        if self.has(Fault::LosesAFlag) {
            record = Arc::new((*record).clone().with_mapped(false));
        }
        let (revision, activity) = (row.revision, row.last_activity);
        let mut stored = Stored::loaded(
            id.clone(),
            key,
            record,
            revision,
            activity,
            row.idle_deadline,
        );
        stored.watch = watch;
        Ok(Some(stored))
    }

    async fn save(
        &self,
        key: &SessionKey,
        record: Arc<SessionRecord>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        self.begin().await?;
        let early = self.rows().live.get(key).cloned();
        let all = self.has(Fault::SaveWritesOthersBack);
        let all = all.then(|| self.rows().live.clone());
        self.gap(Fault::SaveWritesOthersBack).await;
        self.gap(Fault::SaveWritesTheDeadlineBack).await;
        self.gap(Fault::SaveRaces).await;
        self.gap(Fault::SaveRevivesInARace).await;
        let mut rows = self.rows();
        let revives = self.has(Fault::SaveInserts)
            || self.has(Fault::SaveRevivesTheDeleted) && rows.tombstones.contains(key)
            || self.has(Fault::SaveRevivesInARace) && early.is_some();
        if revives && !rows.live.contains_key(key) {
            let row = Row::new(Arc::clone(&record), record.created(), Timestamp::NEVER);
            rows.live.insert(*key, early.clone().unwrap_or(row));
        }
        for (other, old) in all.into_iter().flatten().filter(|(other, _)| other != key) {
            if let Some(row) = rows.live.get_mut(&other) {
                row.record = old.record;
            }
        }
        let row = rows.live.get_mut(key).ok_or(StoreErrorKind::Gone)?;
        if self.has(Fault::SaveWritesTheDeadlineBack)
            && let Some(early) = &early
        {
            row.idle_deadline = early.idle_deadline;
        }
        let seen = match (self.fault, early) {
            (Fault::SaveRaces, Some(early)) => early.revision,
            _ => row.revision,
        };
        if seen != expected && !self.has(Fault::SaveIgnoresTheRevision) {
            return Err(StoreErrorKind::Conflict.into());
        }
        row.record = self.written(record);
        if self.has(Fault::SaveExtends) {
            row.idle_deadline = row.record.absolute_end();
        }
        if !self.has(Fault::SaveKeepsTheRevision) {
            row.revision = row.revision.next();
        }
        if !self.has(Fault::StaleWatch) {
            row.cell.set_current(row.revision);
        }
        Ok(row.revision)
    }

    async fn touch(
        &self,
        key: &SessionKey,
        now: Timestamp,
        idle_deadline: Option<Timestamp>,
    ) -> Result<Option<Revision>, StoreError> {
        self.begin().await?;
        let early = self.rows().live.get(key).cloned();
        self.gap(Fault::TouchWritesTheRecordBack).await;
        let mut rows = self.rows();
        if self.has(Fault::TouchInserts) && !rows.live.contains_key(key) {
            return Ok(Some(Revision::FIRST));
        }
        let Some(row) = rows.live.get_mut(key) else {
            return Ok(None);
        };
        if now >= row.idle_deadline && !self.has(Fault::TouchRevivesTheExpired) {
            return Ok(None);
        }
        if self.has(Fault::TouchWritesTheRecordBack)
            && let Some(early) = early
        {
            row.record = early.record;
        }
        let notes = idle_deadline.is_some() || self.has(Fault::AskingNotesTheActivity);
        if notes && !self.has(Fault::TouchForgetsTheActivity) {
            row.last_activity = row.last_activity.max(now);
        }
        if let Some(mut deadline) = idle_deadline {
            if !self.has(Fault::TouchPassesTheAbsoluteEnd) {
                deadline = deadline.min(row.record.absolute_end());
            }
            if !self.has(Fault::TouchMovesBack) {
                deadline = deadline.max(row.idle_deadline);
            }
            row.idle_deadline = deadline;
        }
        if self.has(Fault::TouchChangesTheRevision) {
            row.revision = row.revision.next();
            row.cell.set_current(row.revision);
        }
        Ok(Some(row.revision))
    }

    async fn delete(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError> {
        self.begin().await?;
        if self.has(Fault::DeleteDoesNothing) {
            return Ok(true);
        }
        let mut rows = self.rows();
        let removed = rows.live.remove(key);
        if let Some(row) = &removed {
            if !self.has(Fault::WatchOutlivesTheSession) {
                row.cell.set_gone();
            }
            if !self.has(Fault::ForgetsTheTombstone) {
                rows.tombstones.insert(*key);
            }
        }
        if self.has(Fault::DeleteTakesAll) {
            rows.live.clear();
        }
        let there = removed.is_some_and(|row| now < row.idle_deadline);
        Ok(there || self.has(Fault::DeleteSaysYes))
    }

    async fn delete_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        self.begin().await?;
        let due = |row: &Row| {
            let deadline = match self.fault {
                Fault::CleanUpIgnoresTouches => row.first_deadline,
                Fault::CleanUpRemovesTheEndless if row.idle_deadline == Timestamp::NEVER => {
                    row.last_activity
                }
                _ => row.idle_deadline,
            };
            let grace = match self.fault {
                Fault::CleanUpHasNoGrace => std::time::Duration::ZERO,
                _ => EXPIRED_GRACE,
            };
            now >= deadline.saturating_add(grace)
        };
        let limit = match self.fault {
            Fault::CleanUpIgnoresTheLimit => usize::MAX,
            Fault::CleanUpRemovesNothing => 0,
            _ => limit,
        };
        let keys: Vec<SessionKey> = {
            let rows = self.rows();
            let due = rows.live.iter().filter(|(_, row)| due(row));
            due.map(|(key, _)| *key).take(limit).collect()
        };
        self.gap(Fault::CleanUpRaces).await;
        let mut rows = self.rows();
        let mut removed = Vec::new();
        for key in keys {
            let still = rows.live.get(&key).is_some_and(due) || self.has(Fault::CleanUpRaces);
            if still && let Some(row) = rows.live.remove(&key) {
                if !self.has(Fault::WatchOutlivesTheSession) {
                    row.cell.set_gone();
                }
                removed.push(key);
            }
        }
        Ok(removed)
    }
}
