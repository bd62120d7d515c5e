//! What was said in a session, bounded by count and bytes.

mod message;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

pub use message::{Message, Role};

use super::Timestamp;

/// How much a history keeps: the oldest message goes first.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::HistoryLimits;
///
/// let limits = HistoryLimits::default();
/// assert_eq!((limits.messages, limits.bytes), (100, 64 << 10));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HistoryLimits {
    /// How many messages. Default: 100.
    pub messages: usize,
    /// The bytes of all of them together ([`Message::size`]). Default: 64 KiB.
    pub bytes: usize,
}

impl HistoryLimits {
    /// At most `messages` messages, of at most `bytes` bytes together.
    pub const fn new(messages: usize, bytes: usize) -> Self {
        Self { messages, bytes }
    }
}

/// The messages of one session that are kept, and the count of all there ever were.
///
/// A value without a store around it: what stores that write whole histories keep, and what an answer is made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct History {
    messages: VecDeque<Message>,
    /// Of the messages kept. Derived, and so not written.
    #[serde(skip)]
    bytes: usize,
    totals: [u64; 4],
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

/// What a history holds, in numbers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct HistorySummary {
    /// How many messages there were since the session began, or since its history was cleared.
    pub total: u64,
    /// How many of them are kept.
    pub kept: usize,
    /// When the first one was said, kept or not.
    pub first: Option<Timestamp>,
    /// When the last one was said.
    pub last: Option<Timestamp>,
    totals: [u64; 4],
}

impl History {
    /// Adds `messages` in their order, and lets the oldest go until `limits` are kept to.
    pub fn append(&mut self, messages: impl IntoIterator<Item = Message>, limits: HistoryLimits) {
        for message in messages {
            self.totals[message.role() as usize] += 1;
            self.first.get_or_insert(message.timestamp());
            self.last = Some(message.timestamp());
            self.bytes += message.size();
            self.messages.push_back(message);
            // Each time: room made for many at once would stay for the rest of the session.
            self.shorten(limits);
        }
        // Also where nothing is added: the limits may be smaller than they were.
        self.shorten(limits);
    }

    fn shorten(&mut self, limits: HistoryLimits) {
        while self.messages.len() > limits.messages || self.bytes > limits.bytes {
            let Some(oldest) = self.messages.pop_front() else {
                break;
            };
            self.bytes -= oldest.size();
        }
    }

    /// The last `count` messages that are kept, the oldest of them first.
    pub fn recent(&self, count: usize) -> Vec<Message> {
        let skipped = self.messages.len().saturating_sub(count);
        self.messages.iter().skip(skipped).cloned().collect()
    }

    /// The messages that are kept, from the oldest.
    pub fn iter(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter()
    }

    /// What there is, in numbers.
    pub fn summary(&self) -> HistorySummary {
        HistorySummary::new(self.totals, self.messages.len(), self.first, self.last)
    }

    /// The bytes of the messages that are kept.
    pub fn size(&self) -> usize {
        self.bytes
    }
}

impl HistorySummary {
    /// The numbers of a history: `totals` are the messages of each of [`Role::ALL`].
    pub fn new(
        totals: [u64; 4],
        kept: usize,
        first: Option<Timestamp>,
        last: Option<Timestamp>,
    ) -> Self {
        Self {
            total: totals.iter().sum(),
            kept,
            first,
            last,
            totals,
        }
    }

    /// How many of the [`total`](Self::total) were said by `role`.
    pub fn of(&self, role: Role) -> u64 {
        self.totals[role as usize]
    }
}

/// A history as it is written.
#[derive(Deserialize)]
struct Written {
    messages: VecDeque<Message>,
    totals: [u64; 4],
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl From<Written> for History {
    fn from(written: Written) -> Self {
        Self {
            bytes: written.messages.iter().map(Message::size).sum(),
            messages: written.messages,
            totals: written.totals,
            first: written.first,
            last: written.last,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(role: Role, length: usize, at: u64) -> Message {
        Message::new(role, &"x".repeat(length), Timestamp::from_millis(at)).unwrap()
    }

    proptest! {
        #[test]
        fn a_history_is_the_tail_of_what_was_said_that_fits(
            lengths in prop::collection::vec(0..60_usize, 0..40),
            messages in 0..12_usize,
            bytes in 0..200_usize,
            at_once in 1..5_usize,
        ) {
            let limits = HistoryLimits::new(messages, bytes);
            let all: Vec<_> = lengths.iter().enumerate()
                .map(|(n, &length)| said(Role::ALL[n % 4], length, n as u64)).collect();
            let mut history = History::default();
            for part in all.chunks(at_once) {
                history.append(part.iter().cloned(), limits);
            }
            let kept: Vec<_> = history.iter().cloned().collect();
            prop_assert!(kept.len() <= messages);
            prop_assert_eq!(history.size(), kept.iter().map(Message::size).sum::<usize>());
            prop_assert!(history.size() <= bytes);
            prop_assert_eq!(&kept[..], &all[all.len() - kept.len()..]);
            prop_assert_eq!(history.summary().total, all.len() as u64);
            prop_assert_eq!(history.summary().kept, kept.len());
            let written = serde_json::to_string(&history).unwrap();
            prop_assert_eq!(&serde_json::from_str::<History>(&written).unwrap(), &history);
            prop_assert_eq!(history.summary().last, all.last().map(Message::timestamp));
            for role in Role::ALL {
                let count = all.iter().filter(|message| message.role() == role).count();
                prop_assert_eq!(history.summary().of(role), count as u64);
            }
        }
    }

    #[test]
    fn many_messages_at_once_leave_no_more_room_behind_than_few() {
        let mut history = History::default();
        let many = (0..10_000).map(|n| said(Role::User, 1, n));
        history.append(many, HistoryLimits::new(10, 1_000));
        assert!(history.messages.capacity() <= 32);
    }

    #[test]
    fn smaller_limits_count_though_nothing_is_added() {
        let mut history = History::default();
        let all = (0..5).map(|n| said(Role::User, 1, n));
        history.append(all, HistoryLimits::new(9, 99));
        history.append([], HistoryLimits::new(2, 99));
        assert_eq!(history.summary().kept, 2);
        assert_eq!(history.summary().total, 5);
    }

    #[test]
    fn recent_gives_the_last_ones_oldest_first() {
        let mut history = History::default();
        history.append(
            (0..5).map(|n| said(Role::User, n, n as u64)),
            HistoryLimits::new(9, 99),
        );
        for (count, expected) in [(0, vec![]), (2, vec![3, 4]), (9, vec![0, 1, 2, 3, 4])] {
            let times = history
                .recent(count)
                .iter()
                .map(|m| m.timestamp().as_millis())
                .collect::<Vec<_>>();
            assert_eq!(times, expected);
        }
    }
}
