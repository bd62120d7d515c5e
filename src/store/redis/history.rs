//! Histories in Redis: a list for each session, in the slot of its other keys.

use async_trait::async_trait;

use super::RedisStore;
use super::errors::Effect;
use super::form::{self, DIGITS, digits, time};
use super::scripts::{APPEND, CLEAR, READ};
use crate::session::{
    History, HistoryLimits, HistorySummary, Message, Role, SessionKey, Timestamp,
};
use crate::store::{HistoryStore, StoreError, StoreErrorKind};

impl RedisStore {
    /// The last `count` messages, and the numbers of all.
    async fn history_of(
        &self,
        key: &SessionKey,
        now: Timestamp,
        count: usize,
    ) -> Result<(Vec<Message>, HistorySummary), StoreError> {
        let call = READ.call(self.names.keys(key), [time(now), digits(saturated(count))]);
        let found: Option<Vec<Vec<u8>>> = self.script(&call, Effect::None).await?;
        let found = found.ok_or(StoreErrorKind::Gone)?;
        let Some((numbers, messages)) = found.split_first() else {
            return Ok(Default::default());
        };
        let summary = read_numbers(numbers).ok_or(StoreErrorKind::Corrupt)?;
        let messages: Result<_, StoreError> = messages.iter().map(|text| read(text)).collect();
        Ok((messages?, summary))
    }
}

#[async_trait]
impl HistoryStore for RedisStore {
    async fn append(
        &self,
        key: &SessionKey,
        now: Timestamp,
        messages: Vec<Message>,
        limits: HistoryLimits,
    ) -> Result<(), StoreError> {
        // What would not stay by itself is counted and not sent.
        let mut new = History::default();
        new.append(messages, limits);
        let call = APPEND.call(self.names.keys(key), arguments(now, &new, limits)?);
        let appended: Option<u64> = self.script(&call, Effect::Once).await?;
        appended.map(drop).ok_or(StoreErrorKind::Gone.into())
    }

    async fn recent(
        &self,
        key: &SessionKey,
        now: Timestamp,
        count: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let (messages, _) = self.history_of(key, now, count).await?;
        Ok(messages)
    }

    async fn summary(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<HistorySummary, StoreError> {
        let (_, summary) = self.history_of(key, now, 0).await?;
        Ok(summary)
    }

    async fn clear(&self, key: &SessionKey, now: Timestamp) -> Result<(), StoreError> {
        let call = CLEAR.call(self.names.keys(key), [time(now)]);
        let cleared: Option<u64> = self.script(&call, Effect::Repeatable).await?;
        cleared.map(drop).ok_or(StoreErrorKind::Gone.into())
    }
}

/// What the script that appends takes.
fn arguments(
    now: Timestamp,
    new: &History,
    limits: HistoryLimits,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let summary = new.summary();
    let was_cut = summary.total > saturated(summary.kept);
    let mut arguments = vec![
        time(now),
        digits(saturated(limits.messages)),
        digits(saturated(limits.bytes)),
        // Where a new one has no place, no older one has.
        vec![b'0' + u8::from(was_cut)],
    ];
    arguments.extend(Role::ALL.map(|role| digits(summary.of(role))));
    arguments.extend([summary.first, summary.last].map(|at| at.map_or_else(Vec::new, time)));
    arguments.push(digits(saturated(new.size())));
    for message in new.iter() {
        arguments.push(write(message)?);
    }
    Ok(arguments)
}

/// A message as it stands in a list: its size, and its JSON.
fn write(message: &Message) -> Result<Vec<u8>, StoreError> {
    let mut text = digits(saturated(message.size()));
    // Without the error: its text may quote what was said.
    serde_json::to_writer(&mut text, message).map_err(|_| StoreErrorKind::Corrupt)?;
    Ok(text)
}

fn read(text: &[u8]) -> Result<Message, StoreError> {
    let json = text.get(DIGITS..).ok_or(StoreErrorKind::Corrupt)?;
    serde_json::from_slice(json).map_err(|_| StoreErrorKind::Corrupt.into())
}

/// The numbers of a history: four totals, the first and the last time, the bytes, and how many messages are kept.
fn read_numbers(text: &[u8]) -> Option<HistorySummary> {
    let numbers: Option<Vec<u64>> = text.chunks(DIGITS).map(form::number).collect();
    let &[one, two, three, four, first, last, _, kept] = numbers?.as_slice() else {
        return None;
    };
    Some(HistorySummary::new(
        [one, two, three, four],
        usize::try_from(kept).ok()?,
        Some(Timestamp::from_millis(first)),
        Some(Timestamp::from_millis(last)),
    ))
}

fn saturated(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
