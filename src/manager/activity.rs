//! When a session was used, until when the store need not be asked, and what the store was told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::session::Timestamp;

/// Two moments that each request reads and few write.
#[derive(Debug, Default)]
pub(super) struct Activity {
    fresh_until: AtomicU64,
    last_seen: AtomicU64,
}

impl Activity {
    pub(super) fn last_seen(&self) -> Timestamp {
        read(&self.last_seen)
    }

    /// Whether what the store said last still holds at `now`.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        now < read(&self.fresh_until)
    }

    /// Notes that the session is in use. One write a second, so that requests of one session do not fight for the
    /// cache line.
    pub(super) fn see(&self, now: Timestamp) {
        let seen = self.last_seen.load(Ordering::Relaxed);
        if now.as_millis().saturating_sub(seen) >= 1000 {
            self.last_seen.fetch_max(now.as_millis(), Ordering::Relaxed);
        }
    }

    /// Notes that the session was used at `seen`.
    pub(super) fn see_exactly(&self, seen: Timestamp) {
        self.last_seen
            .fetch_max(seen.as_millis(), Ordering::Relaxed);
    }

    /// Notes that the store answered at `now`, and that its answer holds for `window`, at most until `end`.
    pub(super) fn set_asked(&self, now: Timestamp, window: Duration, end: Timestamp) {
        // Near the end the store is asked each time: it decides, to the millisecond.
        let now = now.min(end.saturating_sub(window));
        write(&self.fresh_until, now.saturating_add(window));
    }
}

/// What the store was told of a session's use. Requests look at it only when they ask the store.
///
/// One word, among a million sessions: milliseconds until the year 2527, and how much later the store was told, up to
/// 17 minutes. What took longer counts as told earlier: the store hears of the next use a little sooner.
#[derive(Debug, Default)]
pub(super) struct Told(AtomicU64);

impl Told {
    /// The last use that the store knows of: its idle deadline counts from there.
    pub(super) fn last_use(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed) >> LAG_BITS)
    }

    /// When it was told so.
    pub(super) fn at(&self) -> Timestamp {
        let told = self.0.load(Ordering::Relaxed);
        Timestamp::from_millis((told >> LAG_BITS) + (told & LONGEST_LAG))
    }

    /// Notes that the store was told at `at` of a use at `last_use`.
    pub(super) fn set(&self, last_use: Timestamp, at: Timestamp) {
        let last_use = last_use.as_millis().min(u64::MAX >> LAG_BITS);
        let lag = at.as_millis().saturating_sub(last_use).min(LONGEST_LAG);
        self.0.store(last_use << LAG_BITS | lag, Ordering::Relaxed);
    }
}

const LAG_BITS: u32 = 20;
const LONGEST_LAG: u64 = (1 << LAG_BITS) - 1;

fn read(moment: &AtomicU64) -> Timestamp {
    Timestamp::from_millis(moment.load(Ordering::Relaxed))
}

fn write(moment: &AtomicU64, now: Timestamp) {
    moment.store(now.as_millis(), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_when_is_kept_in_one_word() {
        let now = 1_795_000_000_000;
        for (last_use, at, expected) in [
            (now, now, now),
            (now, now + 30_001, now + 30_001),
            (now, now + LONGEST_LAG + 7, now + LONGEST_LAG),
            (now, now - 1, now),
            (0, 0, 0),
        ] {
            let told = Told::default();
            let moment = Timestamp::from_millis;
            told.set(moment(last_use), moment(at));
            assert_eq!(told.last_use(), moment(last_use));
            assert_eq!(told.at(), moment(expected));
        }
        let told = Told::default();
        told.set(Timestamp::NEVER, Timestamp::NEVER);
        assert!(told.last_use() < told.at());
    }
}
