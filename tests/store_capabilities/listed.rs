//! The index of a [`Broken`] store.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tower_mcp_session::store::{ListedSession, Revision, SessionIndex, SessionPage, StoreError};
use tower_mcp_session::{OwnerTag, SessionKey, SessionRecord, Timestamp};

use crate::broken::{Broken, Fault, Row, Rows};

#[async_trait]
impl SessionIndex for Broken {
    async fn list(
        &self,
        now: Timestamp,
        owner: Option<&OwnerTag>,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<SessionPage, StoreError> {
        self.begin().await?;
        let rows = self.rows();
        let after =
            after.filter(|after| !self.has(Fault::LosesItsPlace) || rows.live.contains_key(*after));
        let [expired, ended] = [Fault::ListsTheExpired, Fault::ListsTheEnded];
        let mut found = self.alive(&rows, now, expired, ended);
        found.retain(|(key, row)| {
            let comes = after.is_none_or(|after| {
                key > after || self.has(Fault::RepeatsAtPageEnds) && key == after
            });
            comes && self.is_of(row, owner)
        });
        found.sort_unstable_by_key(|(key, _)| *key);
        if self.has(Fault::SkipsAtPageEnds) && after.is_some() && !found.is_empty() {
            found.remove(0);
        }
        if !self.has(Fault::PagesIgnoreTheirLimit) {
            found.truncate(limit);
        }
        let next = found.last().map(|(key, _)| *key);
        let next = next.filter(|_| found.len() >= limit && !self.has(Fault::EndsAtTheFirstPage));
        if self.has(Fault::ListsOutOfOrder) {
            found.reverse();
        }
        let mut page = SessionPage::default();
        page.sessions = found
            .iter()
            .map(|(key, row)| self.listed(*key, row))
            .collect();
        page.next = next;
        Ok(page)
    }

    async fn inspect(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<ListedSession>, StoreError> {
        self.begin().await?;
        let rows = self.rows();
        let [expired, ended] = [Fault::InspectsTheExpired, Fault::InspectsTheEnded];
        let alive = self.alive(&rows, now, expired, ended);
        let row = alive.into_iter().find(|(found, _)| found == key);
        Ok(row.map(|(key, row)| shown(key, &row)))
    }

    async fn count(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.begin().await?;
        let rows = self.rows();
        let [expired, ended] = [Fault::CountsTheExpired, Fault::CountsTheEnded];
        Ok(self.alive(&rows, now, expired, ended).len() as u64)
    }

    async fn bar(
        &self,
        owner: &OwnerTag,
        not_before: Timestamp,
        _until: Timestamp,
    ) -> Result<(), StoreError> {
        self.begin().await?;
        if !self.has(Fault::BarMarksAtItsEnd) {
            self.mark(owner, not_before);
        }
        let concerned = |record: &SessionRecord| self.concerns(owner, not_before, record);
        if !self.has(Fault::BarOnlyMarks) {
            let rows = &mut *self.rows();
            let (ended, live) = std::mem::take(&mut rows.live)
                .into_iter()
                .partition(|(_, row)| concerned(&row.record));
            rows.live = live;
            rows.ended.extend::<BTreeMap<_, _>>(ended);
        }
        if self.has(Fault::BarMarksAtItsEnd) {
            self.gap(Fault::BarMarksAtItsEnd).await;
            self.mark(owner, not_before);
        }
        Ok(())
    }
}

impl Broken {
    /// The sessions there are, and those that this store takes for some.
    fn alive(
        &self,
        rows: &Rows,
        now: Timestamp,
        expired: Fault,
        ended: Fault,
    ) -> Vec<(SessionKey, Row)> {
        let at_deadline = self.has(Fault::ListsAtTheDeadline) && expired == Fault::ListsTheExpired;
        let is_alive = |row: &Row| {
            now < row.idle_deadline || self.has(expired) || at_deadline && now == row.idle_deadline
        };
        let live = rows.live.iter().filter(|(_, row)| is_alive(row));
        let others = rows.ended.iter().filter(|_| self.has(ended));
        live.chain(others)
            .map(|(key, row)| (*key, row.clone()))
            .collect()
    }

    fn is_of(&self, row: &Row, owner: Option<&OwnerTag>) -> bool {
        owner.is_none_or(|owner| match row.record.owner() {
            _ if self.has(Fault::ListsAllOwners) => true,
            Some(of) => of == owner,
            None => self.has(Fault::ListsNobodysForAll),
        })
    }

    fn listed(&self, key: SessionKey, row: &Row) -> ListedSession {
        let mut listed = shown(key, row);
        if self.has(Fault::ListsWhatWas) {
            listed.revision = Revision::FIRST;
            listed.idle_deadline = row.first_deadline;
        }
        listed
    }

    fn mark(&self, owner: &OwnerTag, not_before: Timestamp) {
        if self.has(Fault::BarForgetsItsMark) {
            return;
        }
        let mut rows = self.rows();
        let mark = rows.bars.entry(*owner).or_insert(not_before);
        match () {
            () if self.has(Fault::BarMovesBack) => *mark = not_before,
            () if self.has(Fault::BarIsTheFirstOne) => {}
            () => *mark = not_before.max(*mark),
        }
    }

    fn concerns(&self, owner: &OwnerTag, not_before: Timestamp, record: &SessionRecord) -> bool {
        let is_theirs = match record.owner() {
            Some(of) => of == owner || self.has(Fault::BarEndsOthers),
            None => self.has(Fault::BarEndsNobodys),
        };
        let in_time = match () {
            () if self.has(Fault::BarEndsLaterOnes) => true,
            () if self.has(Fault::BarSparesTheVeryMillisecond) => record.created() < not_before,
            () => record.created() <= not_before,
        };
        is_theirs && in_time
    }
}

fn shown(key: SessionKey, row: &Row) -> ListedSession {
    let record = Arc::clone(&row.record);
    let (revision, activity) = (row.revision, row.last_activity);
    ListedSession::new(key, record, revision, activity, row.idle_deadline)
}
