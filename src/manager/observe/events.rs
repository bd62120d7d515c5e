//! What happens to sessions, told once and in order: to the observers, the counts and the metrics.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::feed::{Event, Feed};
use super::tally::Tally;
use super::{EndReason, ObservedSession, Observer, meter};
use crate::config;
use crate::manager::core::Core;
use crate::manager::flag;
use crate::manager::live::{Held, LiveSession};
use crate::protocol::RefusalCause;
use crate::session::{SessionState, Timestamp};

/// Who is told, and what was counted. One for each layer, shared by its clones.
#[derive(Default)]
pub(in crate::manager) struct Watchers {
    tally: Tally,
    /// Empty where nobody observes.
    feed: OnceLock<Feed>,
}

impl Watchers {
    pub(in crate::manager) fn add(&self, observer: Arc<dyn Observer>) {
        self.feed.get_or_init(Feed::new).add(observer);
    }
}

impl fmt::Debug for Watchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchers")
            .field("observed", &self.feed.get().is_some())
            .finish_non_exhaustive()
    }
}

/// Tells what happens. One method for each event: whoever is told of it, it is told from here.
///
/// What happens to one session is told under its lock, so that all see it in one order. Nothing waits there: a queue
/// takes the event, or does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Events<'a> {
    watchers: &'a Watchers,
    core: &'a Core,
}

impl<'a> Events<'a> {
    pub(in crate::manager) fn new(watchers: &'a Watchers, core: &'a Core) -> Self {
        Self { watchers, core }
    }

    /// The counts so far.
    pub(crate) fn tally(self) -> &'a Tally {
        &self.watchers.tally
    }

    /// Whether somebody observes. All that only observers need is left undone otherwise.
    pub(in crate::manager) fn are_observed(self) -> bool {
        self.watchers.feed.get().is_some()
    }

    /// A session has begun here.
    pub(in crate::manager) fn created(self, session: &Arc<LiveSession>) {
        self.watchers.tally.created();
        meter::created();
        let _order = session.held();
        session.set(flag::SERVED);
        self.tell(|| Event::Created(ObservedSession::new(session)));
    }

    /// So many messages were put into a history.
    pub(in crate::manager) fn said(self, messages: usize) {
        self.watchers.tally.said(messages as u64);
        meter::said(messages as u64);
    }

    /// So much was heard that no history has.
    pub(in crate::manager) fn lost(self, heard: usize) {
        self.watchers.tally.lost(heard as u64);
        meter::lost(heard as u64);
    }

    /// A session has been taken up here. Not if it has ended meanwhile.
    pub(in crate::manager) fn restored(self, session: &Arc<LiveSession>) {
        {
            let _order = session.held();
            if session.uses.are_closed() {
                return;
            }
            session.set(flag::SERVED);
            self.tell(|| Event::Restored(ObservedSession::new(session)));
        }
        self.watchers.tally.restored();
        meter::restored();
    }

    /// A request of a session goes in at `now`. Each request passes here: one branch where nobody observes.
    #[inline]
    pub(crate) fn used(self, session: &Arc<LiveSession>, now: Timestamp) {
        if let Some(feed) = self.watchers.feed.get() {
            self.tell_used(feed, session, now);
        }
    }

    #[cold]
    fn tell_used(self, feed: &Feed, session: &Arc<LiveSession>, now: Timestamp) {
        let queue = self.core.config.observer_queue;
        let _order = session.held();
        if session.has(flag::TOLD_END) {
            return;
        }
        if session.clear(flag::IDLE) {
            let back = moved(session, SessionState::Idle, SessionState::Active);
            feed.tell(back, now, queue);
        }
        feed.tell(Event::Used(ObservedSession::new(session)), now, queue);
    }

    /// A round of the keeper found that nobody has used a session for a while. Told once, until it is used again.
    pub(in crate::manager) fn idle(self, session: &Arc<LiveSession>, now: Timestamp) {
        let _order = session.held();
        if session.has(flag::TOLD_END | flag::SUSPENDED) || !session.has(flag::SERVED) {
            return;
        }
        if !session.set(flag::IDLE) {
            return;
        }
        // After the mark: a request that comes now either sees it, or is seen here.
        if session.state(now) == SessionState::Idle {
            self.tell(|| moved(session, SessionState::Active, SessionState::Idle));
        } else {
            session.clear(flag::IDLE);
        }
    }

    /// A session's record, whose lock is `held`, has been taken over, and says that it is suspended, or is not any
    /// more.
    pub(in crate::manager) fn suspended(self, session: &Arc<LiveSession>, held: &Held) {
        if !session.has(flag::SERVED) || session.has(flag::TOLD_END) || session.is_detached() {
            return;
        }
        use SessionState::{Active, Idle, Suspended};
        if !held.record.suspended() {
            return self.tell(|| moved(session, Suspended, Active));
        }
        // The table knows no way from idle to suspended but through active.
        if session.clear(flag::IDLE) {
            self.tell(|| moved(session, Idle, Active));
        }
        self.tell(|| moved(session, Active, Suspended));
    }

    /// A session is over. Told once, whoever notices.
    pub(in crate::manager) fn ended(self, session: &Arc<LiveSession>, reason: EndReason) {
        let now = self.core.now();
        let (lasted, version) = {
            let held = session.held();
            if !session.set(flag::TOLD_END) {
                return;
            }
            let from = if held.record.suspended() {
                SessionState::Suspended
            } else if session.clear(flag::IDLE) {
                SessionState::Idle
            } else {
                SessionState::Active
            };
            self.tell(|| moved(session, from, SessionState::Closed));
            self.tell(|| Event::Ended(ObservedSession::new(session), reason));
            let version = held.record.handshake().version();
            (now.since(held.record.created()), version)
        };
        self.watchers.tally.ended(reason, lasted);
        meter::ended(reason, version, lasted);
    }

    /// A request, of `session` if that is known, was answered here.
    pub(crate) fn refused(self, session: Option<&Arc<LiveSession>>, cause: RefusalCause) {
        self.watchers.tally.refused(cause);
        meter::refused(cause);
        self.tell(|| Event::Refused(session.map(ObservedSession::new), cause));
    }

    /// This instance holds so many sessions.
    pub(in crate::manager) fn live(self, sessions: usize) {
        meter::live(sessions);
    }

    /// Waits until the observers have been told all so far, for 5 s at most.
    pub(in crate::manager) async fn told_all(self) {
        if let Some(feed) = self.watchers.feed.get() {
            feed.told_all(config::OBSERVER_PATIENCE).await;
        }
    }

    /// Queues an event that happens now, if somebody observes.
    fn tell(self, event: impl FnOnce() -> Event) {
        if let Some(feed) = self.watchers.feed.get() {
            feed.tell(event(), self.core.now(), self.core.config.observer_queue);
        }
    }
}

fn moved(session: &Arc<LiveSession>, from: SessionState, to: SessionState) -> Event {
    Event::Moved(ObservedSession::new(session), from, to)
}
