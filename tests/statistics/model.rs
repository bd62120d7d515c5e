//! What should be: the sessions, by hand. Times are seconds since the beginning.

pub(crate) const IDLE_END: u64 = 20 * 60;
pub(crate) const HALF_OPEN_END: u64 = 12 * 60;
pub(crate) const LIFE: u64 = 3 * 3600;
/// After so long without a use an instance lets go of what it holds.
pub(crate) const QUIET: u64 = 30 * 60;
pub(crate) const IDLE_AFTER: u64 = 300;
/// The store is told of uses no more often.
pub(crate) const TOUCH: u64 = 30;

pub(crate) const MAX_SESSIONS: usize = 24;
pub(crate) const MAX_HALF_OPEN: usize = MAX_SESSIONS / 4;
pub(crate) const MAX_OF_ONE: usize = 6;

/// A session, as somebody who sees everything knows it.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) id: String,
    /// Nobody's is 0.
    pub(crate) owner: usize,
    pub(crate) created: u64,
    pub(crate) last_use: u64,
    /// When it ends for want of use.
    pub(crate) idle_end: u64,
    pub(crate) suspended: bool,
    /// Whether somebody has ended it.
    pub(crate) over: bool,
    /// What each instance holds of it.
    pub(crate) here: [Option<Here>; 2],
}

/// What an instance holds of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Here {
    pub(crate) seen: u64,
    pub(crate) half_open: bool,
}

impl Kept {
    pub(crate) fn begun(id: String, owner: usize, now: u64, at: usize) -> Self {
        let mut here = [None; 2];
        here[at] = Some(Here {
            seen: now,
            half_open: true,
        });
        Self {
            id,
            owner,
            created: now,
            last_use: now,
            idle_end: now + HALF_OPEN_END,
            suspended: false,
            over: false,
            here,
        }
    }

    /// When it ends if it is not used again.
    pub(crate) fn end(&self) -> u64 {
        self.idle_end.min(self.created + LIFE)
    }

    pub(crate) fn is_alive(&self, now: u64) -> bool {
        !self.over && now < self.end()
    }

    /// Whether its time is over, by what the instance `at` knows of it.
    pub(crate) fn is_late(&self, at: usize, now: u64) -> bool {
        let idle_end = self.here[at].map_or(0, |here| {
            let lasts = if here.half_open {
                HALF_OPEN_END
            } else {
                IDLE_END
            };
            here.seen + lasts
        });
        now >= idle_end.min(self.created + LIFE)
    }

    /// A request of it, suspended, comes to an instance that does not hold it, and tells the store that there is a
    /// client.
    pub(crate) fn is_waited_for(&mut self, now: u64) {
        self.idle_end = self.idle_end.max(now + IDLE_END);
        self.last_use = now;
    }

    /// A request of it comes to the instance `at`, which holds it.
    pub(crate) fn is_asked_for(&mut self, at: usize, now: u64, served: bool) {
        let half_open = self.here[at].is_some_and(|here| here.half_open) && !served;
        let lasts = if half_open { HALF_OPEN_END } else { IDLE_END };
        self.idle_end = self.idle_end.max(now + lasts);
        self.last_use = now;
        self.here[at] = Some(Here {
            seen: now,
            half_open,
        });
    }
}
