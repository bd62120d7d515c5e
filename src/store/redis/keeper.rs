//! The task that makes a connection again when it is lost, and asks whether it is.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ::redis::RedisResult;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::link::{CONNECT_TIMEOUT, Link, Phase, State, timed_out};
use crate::clock;

/// The task that keeps a connection. When it ends, by whatever way, the connection is no more: a runtime that is dropped
/// drops its tasks.
pub(super) struct Keeper(Weak<Link>);

impl Keeper {
    pub(super) fn new(link: &Arc<Link>) -> Self {
        Self(Arc::downgrade(link))
    }

    /// Ends when the last store has gone.
    pub(super) async fn run(self) {
        let mut failures = 0;
        while let Some(link) = self.0.upgrade() {
            // A server that takes the connection and says nothing is no better than none.
            let attempt = timeout(CONNECT_TIMEOUT, link.connect()).await;
            match attempt.unwrap_or_else(|_| Err(timed_out())) {
                Ok(number) => {
                    let state = link.state.subscribe();
                    drop(link);
                    // One that was lost at once is a failure too: a server may take connections and drop them.
                    failures = u32::from(!lost(&self.0, number, state).await);
                }
                Err(error) => {
                    if !matches!(link.state.borrow().phase, Phase::Down(_)) {
                        // Nothing of the error: it may name the server.
                        warn!(kind = ?error.kind(), "Redis cannot be reached");
                    }
                    link.lose_any();
                    link.state
                        .send_modify(|state| state.phase = Phase::Down(error));
                    drop(link);
                    failures += 1;
                }
            }
            if failures > 0 {
                sleep(pause(failures)).await;
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(link) = self.0.upgrade() {
            link.lose_any();
            // Whoever calls next starts another task, and waits for what it finds.
            link.state
                .send_modify(|state| state.phase = Phase::Connecting);
            link.kept.store(false, Ordering::Release);
        }
    }
}

/// Ends when the connection of this number is lost; says whether it lived for a heartbeat. A silent one is found by
/// asking.
async fn lost(link: &Weak<Link>, number: u64, mut state: watch::Receiver<State>) -> bool {
    let mut lived = false;
    let is_lost = |state: &State| state.lost >= number;
    // An error says that the store has gone.
    while timeout(HEARTBEAT, state.wait_for(is_lost)).await.is_err() {
        let connected = match &state.borrow().phase {
            Phase::Up(connected) if connected.number == number => connected.clone(),
            _ => return lived,
        };
        let mut connection = connected.connection;
        let ping: RedisResult<()> = ::redis::cmd("PING").query_async(&mut connection).await;
        lived |= ping.is_ok();
        if ping.is_err()
            && let Some(link) = link.upgrade()
        {
            link.lose(number);
        }
    }
    lived
}

/// Until the next attempt: longer each time, and a little apart from other instances.
fn pause(failures: u32) -> Duration {
    let longest = FIRST_PAUSE
        .saturating_mul(1 << failures.min(10))
        .min(LONGEST_PAUSE);
    let millis = u64::try_from(longest.as_millis()).unwrap_or(1);
    Duration::from_millis(millis / 2 + clock::spread(millis / 2 + 1))
}

/// A connection that has died without a word is found after this and the time limit of an answer.
const HEARTBEAT: Duration = Duration::from_secs(1);

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
