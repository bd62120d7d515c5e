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
#[derive(Debug, Default)]
pub(super) struct Told {
    last_use: AtomicU64,
    at: AtomicU64,
}

impl Told {
    /// The last use that the store knows of: its idle deadline counts from there.
    pub(super) fn last_use(&self) -> Timestamp {
        read(&self.last_use)
    }

    /// When it was told so.
    pub(super) fn at(&self) -> Timestamp {
        read(&self.at)
    }

    /// Notes that the store was told at `at` of a use at `last_use`.
    pub(super) fn set(&self, last_use: Timestamp, at: Timestamp) {
        write(&self.last_use, last_use);
        write(&self.at, at);
    }
}

fn read(moment: &AtomicU64) -> Timestamp {
    Timestamp::from_millis(moment.load(Ordering::Relaxed))
}

fn write(moment: &AtomicU64, now: Timestamp) {
    moment.store(now.as_millis(), Ordering::Relaxed);
}
