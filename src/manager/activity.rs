//! When a session was used, and until when the store need not be asked.

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
        Timestamp::from_millis(self.last_seen.load(Ordering::Relaxed))
    }

    /// Whether what the store said last still holds at `now`.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        now.as_millis() < self.fresh_until.load(Ordering::Relaxed)
    }

    /// When the store was last told, where an answer of it holds for `window`.
    pub(super) fn told_at(&self, window: Duration) -> Timestamp {
        Timestamp::from_millis(self.fresh_until.load(Ordering::Relaxed)).saturating_sub(window)
    }

    /// Whether the session was used after the store was last told, where an answer of it holds for `window`
    /// milliseconds.
    pub(super) fn is_untold(&self, window: u64) -> bool {
        let fresh_until = self.fresh_until.load(Ordering::Relaxed);
        self.last_seen.load(Ordering::Relaxed) > fresh_until.saturating_sub(window)
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

    /// Notes that the store was told at `now`, and that its answer holds for `window`, at most until `end`.
    pub(super) fn set_told(&self, now: Timestamp, window: Duration, end: Timestamp) {
        // Near the end the store is asked each time: it decides, to the millisecond.
        let now = now.min(end.saturating_sub(window));
        self.fresh_until
            .store(now.saturating_add(window).as_millis(), Ordering::Relaxed);
    }
}
