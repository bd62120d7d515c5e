//! Background work of one instance: it tells the store which sessions are in use, drops what is over, cleans up.
//!
//! Nothing depends on it for correctness: a session that has expired is refused whether or not somebody removed it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tracing::warn;

use super::core::Core;
use super::live::LiveSession;
use super::{SessionManager, Shared, flag};
use crate::clock;
use crate::config;
use crate::session::{SessionState, Timestamp};
use crate::sharded::Sharded;
use crate::store::StoreError;

/// Marks the keeper as running until its task ends, by whatever way: a runtime that is dropped drops its tasks.
struct Running(Weak<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.keeper.store(false, Ordering::Release);
        }
    }
}

impl SessionManager {
    /// Starts the keeper unless one runs. Called for each request: one load when it does.
    pub(crate) fn keep(&self) {
        if self.shared.keeper.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.shared.keeper.swap(true, Ordering::AcqRel) {
            let running = Running(Arc::downgrade(&self.shared));
            // It ends by itself when the last layer and service are gone.
            drop(runtime.spawn(run(Arc::clone(&self.core), running)));
        }
    }

    /// One round of the keeper.
    pub(crate) async fn clean_up(&self) -> Result<(), StoreError> {
        self.look_through(false).await;
        self.shared.admission.tidy();
        self.record_metrics();
        loop {
            let now = self.core.now();
            let removed = self
                .core
                .delete_expired(now, config::CLEAN_UP_BATCH)
                .await?;
            if removed.len() < config::CLEAN_UP_BATCH {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    /// Looks at each live session: tells the store of those in use, drops those that are over or long quiet. `all`
    /// tells it also what can wait.
    async fn look_through(&self, all: bool) {
        let observed = self.events().are_observed();
        for part in 0..Sharded::<Arc<LiveSession>>::SHARDS {
            let look = Look::new(&self.core);
            let now = look.now;
            let (mut due, mut idle) = (Vec::new(), Vec::new());
            self.shared.table.for_each(part, |session| {
                if look.finds(session) {
                    due.push(Arc::clone(session));
                }
                if observed && turns_idle(session, now) {
                    idle.push(Arc::clone(session));
                }
            });
            for session in &idle {
                self.events().idle(session, now);
            }
            stream::iter(due)
                .for_each_concurrent(config::MAX_TOUCHES, |session| {
                    self.care_for(session, now, all)
                })
                .await;
            if part % PARTS_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn care_for(&self, session: Arc<LiveSession>, now: Timestamp, all: bool) {
        if session.is_gone() {
            return self.end_gone(&session);
        }
        let quiet = !session.is_busy(now) && now.since(session.last_seen()) >= config::QUIET_AFTER;
        // Work that waits for the end of its session is told of it only as long as the session is held here.
        if quiet && self.comes_back(&session) && !session.has(flag::AWAITED) {
            return self.detach(&session, now);
        }
        match self.tell(&session, now, all).await {
            Ok(true) => {}
            Ok(false) => self.end_gone(&session),
            Err(error) => {
                warn!(session = %session.id().fingerprint(), %error, "session not touched")
            }
        }
    }

    /// Tells the store of the session's last use if it is time, or `must` be; says whether the session is alive.
    async fn tell(
        &self,
        session: &Arc<LiveSession>,
        now: Timestamp,
        must: bool,
    ) -> Result<bool, StoreError> {
        let half_open = session.has(flag::HALF_OPEN);
        if session.is_busy(now) || !self.core.capabilities.idle_expiry {
            return self.touch(session, now, half_open, must).await;
        }
        if !self.recognizes(session, now) {
            return Ok(false);
        }
        let key = session.key();
        let tells = session.is_untold() && (must || session.must_tell(now, half_open));
        // Another instance may have used it, or ended it: the store knows.
        let seen = if tells { session.last_seen() } else { now };
        let deadline = tells.then(|| self.core.idle_deadline(seen, half_open));
        let Some(revision) = self.core.touch(&key, seen, deadline).await? else {
            return Ok(false);
        };
        if tells {
            session.set_told(seen, now);
            session.set_asked(seen);
        }
        self.see_revision(session, revision, now).await
    }

    /// Whether a session that is held here is alive, though no request asks: that does not prolong it.
    pub(super) async fn is_alive(&self, session: &Arc<LiveSession>) -> Result<bool, StoreError> {
        let now = self.core.now();
        // First what the store has not heard: by that it decides.
        let alive = self.tell(session, now, true).await?
            && self.core.touch(&session.key(), now, None).await?.is_some();
        if !alive {
            self.end_gone(session);
        }
        Ok(alive)
    }

    /// Writes all touches that the store has not heard of.
    pub(super) async fn tell_the_store(&self) {
        self.look_through(true).await;
    }
}

async fn run(core: Arc<Core>, running: Running) {
    let mut failures = 0;
    loop {
        core.clock.sleep(pause(&core, failures)).await;
        let Some(shared) = running.0.upgrade() else {
            return;
        };
        let manager = SessionManager {
            core: Arc::clone(&core),
            shared,
        };
        match manager.clean_up().await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                warn!(%error, failures, "session clean-up failed");
            }
        }
    }
}

/// Until the next round: one touch interval, longer after failures, and a little apart from other instances.
fn pause(core: &Core, failures: u32) -> Duration {
    let interval = core.config.touch_interval().max(SHORTEST_PAUSE);
    let backoff = interval
        .saturating_mul(1 << failures.min(6))
        .min(LONGEST_PAUSE.max(interval));
    let millis = u64::try_from(backoff.as_millis()).unwrap_or(u64::MAX);
    backoff - Duration::from_millis(clock::spread(millis / 10 + 1))
}

/// What a round of the keeper asks of each session, in numbers: at a million sessions each step counts. As long as it
/// takes few of them, the processor fetches the next sessions from memory while it looks at this one.
struct Look {
    now: Timestamp,
    /// How long a session must not have been used to be quiet, in milliseconds.
    quiet: u64,
    /// Whether the store is told of uses.
    tells: bool,
}

impl Look {
    fn new(core: &Core) -> Self {
        let able = core.capabilities;
        let (idle, life) = (core.config.expiry.idle, core.config.expiry.absolute);
        // After so long it has ended if nothing happened meanwhile, whichever end came first.
        let longest = idle
            .filter(|_| able.idle_expiry)
            .unwrap_or(Duration::MAX)
            .min(life.unwrap_or(Duration::MAX));
        let quiet = if core.keeps_elsewhere() {
            longest.min(config::QUIET_AFTER)
        } else {
            longest
        };
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            now: core.now(),
            quiet: millis(quiet),
            tells: able.idle_expiry,
        }
    }

    /// Whether the keeper has something to do for a session.
    ///
    /// One that ended on another instance leaves an inner session behind here, until somebody asks.
    fn finds(&self, session: &LiveSession) -> bool {
        session.uses.are_some()
            || session.has(flag::AWAITED)
            || session.has(flag::MAPPED) && !session.is_watched_over()
            || session.is_quiet(self.now, self.quiet)
            || self.tells && (session.has(flag::HALF_OPEN) || session.is_untold())
    }
}

/// Whether `session` is idle, and the observers do not know.
fn turns_idle(session: &LiveSession, now: Timestamp) -> bool {
    !session.has(flag::IDLE) && session.state(now) == SessionState::Idle
}

/// How many parts are looked at before other tasks run.
const PARTS_AT_ONCE: usize = 16;

const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
