//! Making room: which session goes when a cap is reached.
//!
//! A flood of initializes fills its own part of the cap and evicts its own: half-open sessions are limited apart and
//! go first, and nobody's session that was used a moment ago goes at all.

use std::sync::Arc;

use hashbrown::HashMap;

use super::admission::{Admission, Cap, Reservation};
use super::half_open::{is_stale, may_go};
use super::live::LiveSession;
use super::{EndReason, SessionManager, flag};
use crate::clock;
use crate::config::{self, WhenFull};
use crate::protocol::cause::Unavailable;
use crate::session::{OwnerTag, Timestamp};
use crate::sharded::Sharded;

/// No room for another session, and nothing that may be evicted; or what was in the way of that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Full(pub(crate) Unavailable);

impl SessionManager {
    /// Room for a new session of `owner`, made if need be.
    pub(crate) async fn admit(
        &self,
        owner: Option<OwnerTag>,
        half_open: bool,
    ) -> Result<Reservation, Full> {
        for _ in 0..ATTEMPTS {
            let cap = match Admission::reserve(&self.shared, owner, half_open, &self.core.config) {
                Ok(room) => return Ok(room),
                Err(cap) => cap,
            };
            if self.core.config.when_full == WhenFull::Reject {
                return Err(cap.into());
            }
            let victim = self.victim(cap, owner.as_ref()).ok_or(cap)?;
            self.evict(&victim).await?;
        }
        Err(Full(Unavailable::Full))
    }

    /// Whether a session whose live part is dropped here comes back when it is needed: from a shared store or from its
    /// id, unless its inner session is one that is never begun again.
    pub(super) fn comes_back(&self, session: &LiveSession) -> bool {
        let mapped = session.has(flag::MAPPED);
        self.core.keeps_elsewhere() && (!mapped || self.core.config.restore.replays(mapped))
    }

    /// Ends a session that nobody uses. One that comes back stays alive in the store.
    async fn evict(&self, session: &Arc<LiveSession>) -> Result<(), Full> {
        // A store that cannot delete keeps its sessions whatever happens here.
        let now = self.core.now();
        if self.comes_back(session) || !self.core.capabilities.delete {
            self.detach(session, now);
            return Ok(());
        }
        if !session.close_if_quiet(now, false) {
            return Ok(());
        }
        // In a task of its own: closed, it must also leave the table, whoever waits for its room. If the store fails
        // it is gone here all the same, and expires there: it is in nobody's way.
        let (manager, session) = (self.clone(), Arc::clone(session));
        let evicting =
            tokio::spawn(async move { manager.delete(&session, EndReason::Evicted, true).await });
        match evicting.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Full(Unavailable::Store)),
        }
    }

    /// Drops the live part of a session that nobody uses, and nothing else.
    pub(super) fn detach(&self, session: &Arc<LiveSession>, now: Timestamp) {
        if session.close_if_quiet(now, true) {
            self.remove(session);
        }
    }

    fn victim(&self, cap: Cap, owner: Option<&OwnerTag>) -> Option<Arc<LiveSession>> {
        let now = self.core.now();
        match (cap, owner) {
            (Cap::HalfOpen, _) => self.shared.admission.stale_half_open(now, false),
            (Cap::Principal, Some(owner)) => oldest_of(self.shared.admission.live_of(owner), now),
            (Cap::Sessions | Cap::Principal, _) => self
                .shared
                .admission
                .stale_half_open(now, true)
                .or_else(|| self.idle_of_a_sample(now)),
        }
    }

    /// Of a sample of idle sessions, the oldest of the owner with most sessions.
    fn idle_of_a_sample(&self, now: Timestamp) -> Option<Arc<LiveSession>> {
        let mut sample = Vec::with_capacity(config::EVICTION_SAMPLE);
        let start = clock::spread(Sharded::<Arc<LiveSession>>::SHARDS as u64) as usize;
        for part in 0..Sharded::<Arc<LiveSession>>::SHARDS {
            self.shared.table.for_each(
                (start + part) % Sharded::<Arc<LiveSession>>::SHARDS,
                |session| {
                    if sample.len() < config::EVICTION_SAMPLE && is_idle(session, now) {
                        sample.push(Arc::clone(session));
                    }
                },
            );
            if sample.len() >= config::EVICTION_SAMPLE {
                break;
            }
        }
        let mut counts = HashMap::<_, _, foldhash::fast::RandomState>::default();
        for session in &sample {
            let owner = session.group();
            counts
                .entry(owner)
                .or_insert_with(|| self.shared.admission.sessions_of(owner.as_ref()));
        }
        let most = counts.values().copied().max()?;
        sample.retain(|session| counts.get(&session.group()) == Some(&most));
        sample.into_iter().min_by_key(|session| session.last_seen())
    }
}

impl From<Cap> for Full {
    fn from(cap: Cap) -> Self {
        Self(match cap {
            Cap::Sessions | Cap::HalfOpen => Unavailable::Full,
            Cap::Principal => Unavailable::PrincipalFull,
        })
    }
}

/// Of one owner's sessions: a stale half-open one, or the one that has been idle for longest.
fn oldest_of(sessions: Vec<Arc<LiveSession>>, now: Timestamp) -> Option<Arc<LiveSession>> {
    sessions
        .into_iter()
        .filter(|session| is_stale(session, now) || is_idle(session, now))
        .min_by_key(|session| (!session.has(flag::HALF_OPEN), session.last_seen()))
}

fn is_idle(session: &LiveSession, now: Timestamp) -> bool {
    may_go(session, now) && now.since(session.last_seen()) > config::IDLE_AFTER
}

/// A victim that is used at the last moment is left alone, and another one looked for.
const ATTEMPTS: usize = 4;
