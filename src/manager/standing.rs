//! Where a live session stands, by what this instance knows.

use super::flag;
use super::live::LiveSession;
use crate::config;
use crate::session::{SessionState, Timestamp};

/// What follows from the use of a session.
impl LiveSession {
    /// The state as [`SessionState`] derives it from the last activity.
    pub(crate) fn state(&self, now: Timestamp) -> SessionState {
        if self.has_ended() || self.is_gone() {
            SessionState::Closed
        } else if self.has(flag::SUSPENDED) {
            SessionState::Suspended
        } else if self.is_busy(now) || now.since(self.last_seen()) < config::IDLE_AFTER {
            SessionState::Active
        } else {
            SessionState::Idle
        }
    }

    /// When it ends if it is not used again; [`Timestamp::NEVER`] if it does not.
    pub(super) fn ends_at(&self) -> Timestamp {
        let used = self.last_seen().max(self.told_use());
        let idle = self.core().idle_deadline(used, self.has(flag::HALF_OPEN));
        idle.min(self.record().absolute_end())
    }

    /// When it ends by what is known here at `now`; while it is in use, only with its life.
    pub(super) fn known_end(&self, now: Timestamp) -> Timestamp {
        match self.is_busy(now) {
            true => self.record().absolute_end(),
            false => self.ends_at(),
        }
    }

    /// Whether a request runs, or a stream is open whose last byte was taken less than an hour ago.
    pub(crate) fn is_busy(&self, now: Timestamp) -> bool {
        self.uses.requests() > 0
            || (self.uses.streams() > 0 && now.since(self.last_seen()) < config::STREAM_HOLD)
    }

    /// Whether it was not used for `quiet` milliseconds.
    pub(super) fn is_quiet(&self, now: Timestamp, quiet: u64) -> bool {
        now.as_millis().saturating_sub(self.last_seen().as_millis()) >= quiet
    }
}
