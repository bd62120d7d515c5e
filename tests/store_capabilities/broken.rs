//! A plain store that keeps histories and an index, and every way in which it can be told to do so badly.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tower_mcp_session::store::{
    EXPIRED_GRACE, HistoryStore, Revision, SessionIndex, StoreError, StoreErrorKind, Stored,
};
use tower_mcp_session::{
    NewSession, OwnerTag, SessionId, SessionKey, SessionRecord, SessionStore, Timestamp,
};

use crate::said::Said;

/// What a [`Broken`] store does wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    None,
    /// Every call fails.
    Errors,
    /// No call ends.
    Hangs,
    // histories
    LosesTheOrder,
    AppendRaces,
    AppendKeepsTheFirstOnly,
    IgnoresTheCount,
    IgnoresTheBytes,
    KeepsOneTooMany,
    KeepsOneByteTooFew,
    KeepsTheOldest,
    CountsWhatIsKept,
    CountsOneRole,
    ForgetsTheFirst,
    RecentGivesTheOldest,
    ClearDoesNothing,
    ClearKeepsTheNumbers,
    SharesHistories,
    AppendsToTheUnknown,
    AppendsToTheExpired,
    AppendsAtTheDeadline,
    AppendsToTheEnded,
    ReadsOfTheDead,
    AppendMovesTheDeadline,
    AppendIsAnActivity,
    AppendChangesTheRevision,
    LosesOddCharacters,
    LosesMetadata,
    // list, inspect, count
    RepeatsAtPageEnds,
    SkipsAtPageEnds,
    EndsAtTheFirstPage,
    LosesItsPlace,
    PagesIgnoreTheirLimit,
    ListsOutOfOrder,
    ListsTheExpired,
    ListsAtTheDeadline,
    ListsTheEnded,
    ListsAllOwners,
    ListsNobodysForAll,
    ListsWhatWas,
    CountsTheExpired,
    CountsTheEnded,
    InspectsTheExpired,
    InspectsTheEnded,
    // bar
    BarForgetsItsMark,
    BarOnlyMarks,
    BarSparesTheVeryMillisecond,
    BarEndsLaterOnes,
    BarEndsOthers,
    BarEndsNobodys,
    BarMovesBack,
    BarIsTheFirstOne,
    BarIsForgottenAtCleanUp,
    BarRefusesOthers,
    CreateRacesWithBar,
    BarMarksAtItsEnd,
}

/// A clone is another handle.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    fault: Fault,
    rows: Arc<Mutex<Rows>>,
}

#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) live: BTreeMap<SessionKey, Row>,
    pub(super) ended: BTreeMap<SessionKey, Row>,
    pub(super) bars: HashMap<OwnerTag, Timestamp>,
    pub(super) histories: HashMap<SessionKey, Said>,
    known: HashSet<SessionKey>,
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) record: Arc<SessionRecord>,
    pub(super) revision: Revision,
    pub(super) last_activity: Timestamp,
    pub(super) idle_deadline: Timestamp,
    pub(super) first_deadline: Timestamp,
}

impl Broken {
    pub(super) fn by(fault: Fault) -> Self {
        let rows = Arc::default();
        Self { fault, rows }
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    pub(super) fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn begin(&self) -> Result<(), StoreError> {
        match self.fault {
            Fault::Errors => Err(StoreErrorKind::Unavailable.into()),
            Fault::Hangs => std::future::pending().await,
            _ => Ok(()),
        }
    }

    /// Leaves others the time to come between.
    pub(super) async fn gap(&self, fault: Fault) {
        for _ in 0..if self.has(fault) { 5 } else { 0 } {
            tokio::task::yield_now().await;
        }
    }

    /// Whether the session of `record` was ended with all others of its owner.
    pub(super) fn is_barred(&self, rows: &Rows, record: &SessionRecord) -> bool {
        let bar = match record.owner() {
            _ if self.has(Fault::BarRefusesOthers) => rows.bars.values().max(),
            Some(owner) => rows.bars.get(owner),
            None => None,
        };
        bar.is_some_and(|bar| record.created() <= *bar)
    }
}

#[async_trait]
impl SessionStore for Broken {
    fn history(&self) -> Option<&dyn HistoryStore> {
        Some(self)
    }

    fn index(&self) -> Option<&dyn SessionIndex> {
        Some(self)
    }

    async fn create(&self, candidate: &SessionId, new: NewSession) -> Result<Stored, StoreError> {
        self.begin().await?;
        let stored = Stored::created(candidate.clone(), new);
        let early = self.is_barred(&self.rows(), &stored.record);
        self.gap(Fault::CreateRacesWithBar).await;
        let mut rows = self.rows();
        let late = self.is_barred(&rows, &stored.record);
        if early || late && !self.has(Fault::CreateRacesWithBar) {
            return Err(StoreErrorKind::Gone.into());
        }
        if !rows.known.insert(stored.key) {
            return Err(StoreErrorKind::AlreadyExists.into());
        }
        let row = Row {
            record: Arc::clone(&stored.record),
            revision: stored.revision,
            last_activity: stored.last_activity,
            idle_deadline: stored.idle_deadline,
            first_deadline: stored.idle_deadline,
        };
        rows.live.insert(stored.key, row);
        Ok(stored)
    }

    async fn load(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        self.begin().await?;
        let key = SessionKey::new(audience, id);
        let rows = self.rows();
        let row = rows.live.get(&key).filter(|row| now < row.idle_deadline);
        Ok(row.cloned().map(|row| {
            let (revision, activity) = (row.revision, row.last_activity);
            Stored::loaded(
                id.clone(),
                key,
                row.record,
                revision,
                activity,
                row.idle_deadline,
            )
        }))
    }

    async fn save(
        &self,
        key: &SessionKey,
        record: Arc<SessionRecord>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        self.begin().await?;
        let mut rows = self.rows();
        let row = rows.live.get_mut(key).ok_or(StoreErrorKind::Gone)?;
        if row.revision != expected {
            return Err(StoreErrorKind::Conflict.into());
        }
        row.idle_deadline = row.idle_deadline.min(record.absolute_end());
        row.record = record;
        row.revision = expected.next();
        Ok(row.revision)
    }

    async fn touch(
        &self,
        key: &SessionKey,
        now: Timestamp,
        idle_deadline: Option<Timestamp>,
    ) -> Result<Option<Revision>, StoreError> {
        self.begin().await?;
        let mut rows = self.rows();
        let row = rows.live.get_mut(key);
        let Some(row) = row.filter(|row| now < row.idle_deadline) else {
            return Ok(None);
        };
        if let Some(deadline) = idle_deadline {
            let latest = row.record.absolute_end();
            row.last_activity = row.last_activity.max(now);
            row.idle_deadline = row.idle_deadline.max(deadline).min(latest);
        }
        Ok(Some(row.revision))
    }

    async fn delete(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError> {
        self.begin().await?;
        let mut rows = self.rows();
        let Some(row) = rows.live.remove(key) else {
            return Ok(false);
        };
        let there = now < row.idle_deadline;
        rows.ended.insert(*key, row);
        Ok(there)
    }

    async fn delete_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        self.begin().await?;
        let mut rows = self.rows();
        if self.has(Fault::BarIsForgottenAtCleanUp) {
            rows.bars.clear();
        }
        let due = |row: &Row| now >= row.idle_deadline.saturating_add(EXPIRED_GRACE);
        let over = rows.live.iter().filter(|(_, row)| due(row));
        let over: Vec<_> = over.map(|(key, _)| *key).take(limit).collect();
        for key in &over {
            rows.live.remove(key);
            rows.histories.remove(key);
        }
        Ok(over)
    }
}
