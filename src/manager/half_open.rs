//! Half-open sessions in the order in which they began: the first to go when there is no room.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use super::flag;
use super::live::LiveSession;
use crate::config;
use crate::session::Timestamp;

/// Half-open sessions, oldest first, some of them used or gone meanwhile.
///
/// At most twice as many as there are half-open ones, and some.
#[derive(Default)]
pub(super) struct Queue {
    sessions: VecDeque<Weak<LiveSession>>,
    /// How long it may get before it is tidied.
    tidy_at: usize,
}

impl Queue {
    pub(super) fn push(&mut self, session: &Arc<LiveSession>) {
        if self.sessions.len() >= self.tidy_at {
            self.tidy();
        }
        self.sessions.push_back(Arc::downgrade(session));
    }

    /// The session that has been half-open for longest, of those that nothing keeps busy; none that is young.
    pub(super) fn stale(&mut self, now: Timestamp) -> Option<Arc<LiveSession>> {
        while self.sessions.front().is_some_and(|first| !is_kept(first)) {
            self.sessions.pop_front();
        }
        let sessions = self.sessions.iter().filter_map(Weak::upgrade);
        sessions
            .filter(|session| session.has(flag::HALF_OPEN))
            .take_while(|session| is_old(session, now))
            .find(|session| may_go(session, now))
    }

    /// Forgets the used and gone ones.
    pub(super) fn tidy(&mut self) {
        self.sessions.retain(is_kept);
        self.tidy_at = self.sessions.len() * 2 + SPARE;
        self.sessions.shrink_to(self.tidy_at);
    }
}

/// Whether `session` was never used, and may go for it.
pub(super) fn is_stale(session: &LiveSession, now: Timestamp) -> bool {
    session.has(flag::HALF_OPEN) && is_old(session, now) && may_go(session, now)
}

/// Whether nothing keeps `session` busy. One that is on its way out is nobody's victim any more.
pub(super) fn may_go(session: &LiveSession, now: Timestamp) -> bool {
    !session.uses.are_closed() && !session.is_busy(now)
}

fn is_old(session: &LiveSession, now: Timestamp) -> bool {
    // Not since it was asked for: the inner service may take longer than the grace to answer.
    now.since(session.last_seen()) > config::HALF_OPEN_GRACE
}

fn is_kept(session: &Weak<LiveSession>) -> bool {
    session
        .upgrade()
        .is_some_and(|session| session.has(flag::HALF_OPEN) && !session.uses.are_closed())
}

const SPARE: usize = 64;
