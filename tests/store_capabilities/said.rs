//! The histories of a [`Broken`] store.

use async_trait::async_trait;
use tower_mcp_session::store::{HistoryStore, StoreError, StoreErrorKind};
use tower_mcp_session::{
    HistoryLimits, HistorySummary, Message, Role, SessionKey, Timestamp, Values,
};

use crate::broken::{Broken, Fault, Rows};

/// What was said in a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    messages: Vec<Message>,
    totals: [u64; 4],
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

#[async_trait]
impl HistoryStore for Broken {
    async fn append(
        &self,
        key: &SessionKey,
        now: Timestamp,
        messages: Vec<Message>,
        limits: HistoryLimits,
    ) -> Result<(), StoreError> {
        self.begin().await?;
        let key = self.history_key(key);
        let early = self.rows().histories.get(&key).cloned();
        self.gap(Fault::AppendRaces).await;
        let mut rows = self.rows();
        if !self.takes(&rows, &key, now) {
            return Err(StoreErrorKind::Gone.into());
        }
        if self.has(Fault::AppendRaces) {
            rows.histories.insert(key, early.unwrap_or_default());
        }
        self.add(rows.histories.entry(key).or_default(), messages, limits);
        if let Some(row) = rows.live.get_mut(&key) {
            match () {
                () if self.has(Fault::AppendMovesTheDeadline) => {
                    row.idle_deadline = row.record.absolute_end();
                }
                () if self.has(Fault::AppendIsAnActivity) => row.last_activity = now,
                () if self.has(Fault::AppendChangesTheRevision) => {
                    row.revision = row.revision.next();
                }
                () => {}
            }
        }
        Ok(())
    }

    async fn recent(
        &self,
        key: &SessionKey,
        now: Timestamp,
        count: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let messages = self.said(key, now).await?.messages;
        let skipped = match self.has(Fault::RecentGivesTheOldest) {
            true => 0,
            false => messages.len().saturating_sub(count),
        };
        Ok(messages.into_iter().skip(skipped).take(count).collect())
    }

    async fn summary(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<HistorySummary, StoreError> {
        let said = self.said(key, now).await?;
        let kept = said.messages.len();
        let mut first = said.first;
        if self.has(Fault::ForgetsTheFirst) {
            first = said.messages.first().map(Message::timestamp);
        }
        Ok(HistorySummary::new(said.totals, kept, first, said.last))
    }

    async fn clear(&self, key: &SessionKey, now: Timestamp) -> Result<(), StoreError> {
        self.said(key, now).await?;
        let key = self.history_key(key);
        let mut rows = self.rows();
        let said = rows.histories.entry(key).or_default();
        match () {
            () if self.has(Fault::ClearDoesNothing) => {}
            () if self.has(Fault::ClearKeepsTheNumbers) => said.messages.clear(),
            () => *said = Said::default(),
        }
        Ok(())
    }
}

impl Broken {
    /// Where the history of a session lies.
    fn history_key(&self, key: &SessionKey) -> SessionKey {
        let first = || self.rows().live.keys().next().copied();
        let shared = self.has(Fault::SharesHistories).then(first).flatten();
        shared.unwrap_or(*key)
    }

    /// Whether something may be appended.
    fn takes(&self, rows: &Rows, key: &SessionKey, now: Timestamp) -> bool {
        match rows.live.get(key) {
            Some(row) => {
                now < row.idle_deadline
                    || self.has(Fault::AppendsToTheExpired)
                    || self.has(Fault::AppendsAtTheDeadline) && now == row.idle_deadline
            }
            None if rows.ended.contains_key(key) => self.has(Fault::AppendsToTheEnded),
            None => self.has(Fault::AppendsToTheUnknown),
        }
    }

    async fn said(&self, key: &SessionKey, now: Timestamp) -> Result<Said, StoreError> {
        self.begin().await?;
        let key = self.history_key(key);
        let rows = self.rows();
        let row = rows.live.get(&key);
        if row.is_none_or(|row| now >= row.idle_deadline) && !self.has(Fault::ReadsOfTheDead) {
            return Err(StoreErrorKind::Gone.into());
        }
        Ok(rows.histories.get(&key).cloned().unwrap_or_default())
    }

    fn add(&self, said: &mut Said, mut messages: Vec<Message>, limits: HistoryLimits) {
        if self.has(Fault::AppendKeepsTheFirstOnly) {
            messages.truncate(1);
        }
        for message in messages {
            let role = match self.has(Fault::CountsOneRole) {
                true => Role::User,
                false => message.role(),
            };
            said.totals[role as usize] += 1;
            said.first.get_or_insert(message.timestamp());
            said.last = Some(message.timestamp());
            let place = match self.has(Fault::LosesTheOrder) {
                true => 0,
                false => said.messages.len(),
            };
            said.messages.insert(place, self.written(message));
        }
        while !self.fits(said, limits) {
            match self.has(Fault::KeepsTheOldest) {
                true => drop(said.messages.pop()),
                false => drop(said.messages.remove(0)),
            }
        }
        if self.has(Fault::CountsWhatIsKept) {
            said.totals = Role::ALL.map(|role| {
                let of = said
                    .messages
                    .iter()
                    .filter(|message| message.role() == role);
                of.count() as u64
            });
        }
    }

    fn fits(&self, said: &Said, limits: HistoryLimits) -> bool {
        let count = said.messages.len();
        let bytes: usize = said.messages.iter().map(Message::size).sum();
        let most = match self.has(Fault::KeepsOneTooMany) {
            true => limits.messages.saturating_add(1),
            false => limits.messages,
        };
        let most_bytes = match self.has(Fault::KeepsOneByteTooFew) {
            true => limits.bytes.saturating_sub(1),
            false => limits.bytes,
        };
        count == 0
            || (count <= most || self.has(Fault::IgnoresTheCount))
                && (bytes <= most_bytes || self.has(Fault::IgnoresTheBytes))
    }

    /// A message as this store writes it.
    fn written(&self, message: Message) -> Message {
        if self.has(Fault::LosesMetadata) {
            return message.with_metadata(&Values::default()).unwrap();
        }
        if self.has(Fault::LosesOddCharacters)
            && let Ok(text) = message.content_as::<String>()
        {
            let plain: String = text.chars().filter(|c| !c.is_control()).collect();
            return message.with_content(&plain).unwrap();
        }
        message
    }
}
