//! Who may begin a session: caps, and the counts they need.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::half_open::Queue;
use super::live::LiveSession;
use super::{Shared, flag};
use crate::config::Config;
use crate::session::{OwnerTag, Timestamp};

/// Counts the sessions of this instance. Locked at the beginning and the end of a session, never for a request.
#[derive(Default)]
pub(super) struct Admission(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    sessions: usize,
    /// Half-open ones without a principal. Those with one have the cap of their principal.
    half_open: usize,
    /// Those, and the half-open ones with a principal.
    queues: [Queue; 2],
    owners: HashMap<OwnerTag, Owned>,
}

#[derive(Default)]
struct Owned {
    count: usize,
    sessions: Vec<Weak<LiveSession>>,
}

/// The cap that is in the way of a new session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cap {
    Sessions,
    HalfOpen,
    Principal,
}

impl Admission {
    /// Counts one session more, unless that is over a cap.
    pub(super) fn reserve(
        shared: &Arc<Shared>,
        owner: Option<OwnerTag>,
        half_open: bool,
        config: &Config,
    ) -> Result<Reservation, Cap> {
        let mut counts = shared.admission.counts();
        let owned = owner
            .as_ref()
            .and_then(|owner| counts.owners.get(owner))
            .map_or(0, |owned| owned.count);
        if owned >= config.max_sessions_per_principal {
            return Err(Cap::Principal);
        }
        let half_open = half_open && owner.is_none();
        if half_open && counts.half_open >= config.max_half_open() {
            return Err(Cap::HalfOpen);
        }
        if counts.sessions >= config.max_sessions {
            return Err(Cap::Sessions);
        }
        counts.sessions += 1;
        counts.half_open += usize::from(half_open);
        if let Some(owner) = owner {
            counts.owners.entry(owner).or_default().count += 1;
        }
        Ok(Reservation {
            shared: Arc::clone(shared),
            owner,
            half_open,
            seated: false,
        })
    }

    /// How many sessions there are, reserved ones included.
    pub(super) fn sessions(&self) -> usize {
        self.counts().sessions
    }

    /// How many of them belong to `owner`.
    pub(super) fn sessions_of(&self, owner: Option<&OwnerTag>) -> usize {
        let counts = self.counts();
        match owner {
            Some(owner) => counts.owners.get(owner).map_or(0, |owned| owned.count),
            None => {
                counts.sessions
                    - counts
                        .owners
                        .values()
                        .map(|owned| owned.count)
                        .sum::<usize>()
            }
        }
    }

    /// The live sessions of `owner`.
    pub(super) fn live_of(&self, owner: &OwnerTag) -> Vec<Arc<LiveSession>> {
        let counts = self.counts();
        counts.owners.get(owner).map_or_else(Vec::new, |owned| {
            owned.sessions.iter().filter_map(Weak::upgrade).collect()
        })
    }

    /// The session that has been half-open for longest and may go; one with a principal only if `owned`.
    pub(super) fn stale_half_open(&self, now: Timestamp, owned: bool) -> Option<Arc<LiveSession>> {
        let mut counts = self.counts();
        let queues = counts.queues.iter_mut().take(1 + usize::from(owned));
        queues
            .filter_map(|queue| queue.stale(now))
            .min_by_key(|session| session.record().created())
    }

    /// Notes that a half-open session was used.
    pub(super) fn opened(&self, session: &LiveSession) {
        if session.clear(flag::HALF_OPEN) && !session.has(flag::OWNED) {
            self.counts().half_open -= 1;
        }
    }

    /// Notes that a session has left the table.
    pub(super) fn left(&self, session: &LiveSession) {
        self.opened(session);
        self.release(session.group().as_ref(), false);
    }

    fn release(&self, owner: Option<&OwnerTag>, half_open: bool) {
        let mut counts = self.counts();
        counts.sessions -= 1;
        counts.half_open -= usize::from(half_open);
        let Some((owner, owned)) =
            owner.and_then(|owner| Some((owner, counts.owners.get_mut(owner)?)))
        else {
            return;
        };
        owned.count -= 1;
        owned.sessions.retain(|session| {
            session
                .upgrade()
                .is_some_and(|session| !session.uses.are_closed())
        });
        if owned.count == 0 {
            counts.owners.remove(owner);
        }
    }

    /// Forgets the queues' used and gone ones; a part of each clean-up.
    pub(super) fn tidy(&self) {
        self.counts().queues.iter_mut().for_each(Queue::tidy);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("sessions", &self.sessions())
            .finish_non_exhaustive()
    }
}

/// Room for one session, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    shared: Arc<Shared>,
    owner: Option<OwnerTag>,
    half_open: bool,
    seated: bool,
}

impl Reservation {
    /// The session takes the room, and gives it back through [`Admission::left`].
    pub(super) fn seat(mut self, session: &Arc<LiveSession>) {
        self.seated = true;
        let mut counts = self.shared.admission.counts();
        if session.has(flag::HALF_OPEN) {
            counts.queues[usize::from(self.owner.is_some())].push(session);
        }
        // None if the session has left already: then nothing may be noted of it any more.
        if let Some(owned) = self.owner.and_then(|owner| counts.owners.get_mut(&owner)) {
            owned.sessions.push(Arc::downgrade(session));
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.seated {
            self.shared
                .admission
                .release(self.owner.as_ref(), self.half_open);
        }
    }
}
