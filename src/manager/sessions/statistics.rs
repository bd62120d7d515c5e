//! How many sessions there are, what became of others, and how long they lasted.

use super::{SessionFilter, Sessions};
use crate::config;
use crate::manager::observe::Counts;
use crate::manager::{Durations, EndReason, flag};
use crate::protocol::RefusalCause;
use crate::session::SessionState;
use crate::store::StoreError;

/// How many sessions stand where.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Standings {
    /// All of them.
    pub total: u64,
    /// In use, or used a moment ago.
    pub active: u64,
    /// Quiet for 300 s.
    pub idle: u64,
    /// Not served until they are resumed.
    pub suspended: u64,
}

impl Standings {
    fn add(&mut self, state: SessionState) {
        self.total += 1;
        match state {
            SessionState::Active => self.active += 1,
            SessionState::Idle => self.idle += 1,
            SessionState::Suspended => self.suspended += 1,
            // Nobody counts these: they are gone.
            SessionState::Closed => self.total -= 1,
        }
    }
}

/// What one instance knows of its sessions.
///
/// What *is* was looked up at the time, and what *happened* was counted since the layer was made; its clones count as
/// one.
#[derive(Clone, Debug)]
pub struct Statistics {
    live: Standings,
    half_open: u64,
    counts: Counts,
}

impl Statistics {
    /// The sessions that live on this instance.
    pub fn live(&self) -> Standings {
        self.live
    }

    /// How many of them are half-open: nothing came after their initialize yet.
    pub fn half_open(&self) -> u64 {
        self.half_open
    }

    /// How many sessions have begun on this instance.
    pub fn created(&self) -> u64 {
        self.counts.created
    }

    /// How many sessions this instance took up: they had begun elsewhere, or had left it, or the inner service had lost
    /// its part.
    pub fn restored(&self) -> u64 {
        self.counts.restored
    }

    /// How many sessions of this instance have ended by `reason`.
    pub fn ended(&self, reason: EndReason) -> u64 {
        self.counts.ended[reason as usize].1
    }

    /// How many sessions of this instance have ended, by whatever reason.
    pub fn ended_in_all(&self) -> u64 {
        self.counts.ended.iter().map(|(_, count)| count).sum()
    }

    /// How many requests the layer itself answered for `cause`.
    pub fn refused(&self, cause: RefusalCause) -> u64 {
        self.counts.refused[cause as usize].1
    }

    /// How many messages were put into histories from this instance; none where those are off.
    pub fn messages(&self) -> u64 {
        self.counts.messages
    }

    /// How many bodies, and events of streams, were heard here and put into no history: the store failed, took too long
    /// to say, or was too slow for all that came. Each is one message, or a batch of them.
    pub fn messages_lost(&self) -> u64 {
        self.counts.messages_lost
    }

    /// How long the sessions lasted that have ended on this instance, from their initialize on.
    pub fn durations(&self) -> &Durations {
        &self.counts.durations
    }
}

/// What a store knows of the sessions of all instances.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StoredStatistics {
    /// The sessions that are alive, by what the store was told: of a use it hears within a touch interval.
    pub alive: Standings,
    /// How long they have lasted, from their initialize to their last use.
    pub ages: Durations,
    /// How many cannot be read, and are not counted.
    pub unreadable: u64,
}

impl Sessions {
    /// What this instance knows of its sessions, exactly.
    ///
    /// A session that has expired, or that another instance has ended, counts as ended when this one notices: at its
    /// next request or in a clean-up.
    ///
    /// It looks at each session that lives here, a part of them at a time: about 20 ms of computing for a million.
    pub async fn statistics(&self) -> Statistics {
        let now = self.0.core.now();
        let (mut live, mut half_open) = (Standings::default(), 0);
        self.for_each_live(|session| {
            let state = session.state(now);
            live.add(state);
            let counts = state != SessionState::Closed && session.has(flag::HALF_OPEN);
            half_open += u64::from(counts);
        })
        .await;
        Statistics {
            live,
            half_open,
            counts: self.0.events().tally().snapshot(),
        }
    }

    /// What the store knows of the sessions of all instances that share it.
    ///
    /// It reads the record of each session, 1 000 in a call: for many sessions this is dear, and takes its time.
    /// What begins or ends meanwhile may be counted or not. To know only how many there are,
    /// [`SessionIndex::count`](crate::store::SessionIndex::count) costs less.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unsupported`](crate::store::StoreErrorKind::Unsupported) if the store has no index; if it
    /// could not be asked.
    pub async fn stored_statistics(&self) -> Result<StoredStatistics, StoreError> {
        self.index()?;
        let mut found = StoredStatistics::default();
        let mut after = None;
        loop {
            let all = SessionFilter::default();
            let page = self.list(&all, after.as_ref(), config::MAX_PAGE).await?;
            for session in &page.sessions {
                found.alive.add(session.state);
                let age = session.last_activity.since(session.created);
                found.ages.add(age);
            }
            found.unreadable += page.unreadable.len() as u64;
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }
}
