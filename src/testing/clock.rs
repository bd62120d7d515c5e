//! Time that passes when a test says so.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::shared::Shared;
use crate::clock::Clock;
use crate::session::Timestamp;

/// A clock that stands still until a test advances it.
///
/// A clone is the same clock. A sleep begins when it is first polled and counts as a sleeper from then until the clock
/// reaches its end, or until it is dropped. [`ManualClock::advance`] takes out whoever has slept long enough before it
/// returns, so that [`ManualClock::wait_for_sleepers`] after it waits for a *new* sleep: for background work to have
/// done its round.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tower_mcp_session::Clock;
/// use tower_mcp_session::testing::ManualClock;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tokio::task::JoinError> {
/// let clock = ManualClock::new();
/// let sleeper = clock.clone();
/// let task = tokio::spawn(async move { sleeper.sleep(Duration::from_secs(30)).await });
///
/// clock.wait_for_sleepers(1).await;
/// clock.advance(Duration::from_secs(30));
/// assert_eq!(clock.sleepers(), 0);
/// task.await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ManualClock(Shared<State>);

#[derive(Debug)]
struct State {
    now: Timestamp,
    /// The end of each sleep, with a number that tells sleeps of equal ends apart.
    sleeping: BTreeSet<(Timestamp, u64)>,
    next: u64,
}

impl ManualClock {
    /// A clock at the beginning of 2026.
    pub fn new() -> Self {
        Self::at(Timestamp::from_millis(1_767_225_600_000))
    }

    /// A clock at `now`.
    pub fn at(now: Timestamp) -> Self {
        let sleeping = BTreeSet::new();
        let state = State {
            now,
            sleeping,
            next: 0,
        };
        Self(Shared::new(state))
    }

    /// How many tasks sleep.
    pub fn sleepers(&self) -> usize {
        self.0.read(|state| state.sleeping.len())
    }

    /// When the next sleeper is due; `None` if nobody sleeps.
    pub fn next_wake_up(&self) -> Option<Timestamp> {
        self.0
            .read(|state| state.sleeping.first().map(|(end, _)| *end))
    }

    /// Moves the clock on by `duration` and wakes those whose time has come.
    pub fn advance(&self, duration: Duration) {
        self.0.update(|state| {
            state.now = state.now.saturating_add(duration);
            let now = state.now;
            state.sleeping.retain(|(end, _)| now < *end);
        });
    }

    /// Ends when at least `count` tasks sleep.
    pub async fn wait_for_sleepers(&self, count: usize) {
        self.0.wait_for(|state| state.sleeping.len() >= count).await;
    }

    async fn sleep_until(&self, end: Timestamp) {
        let sleep = self.0.update(|state| {
            state.next += 1;
            let sleep = (end, state.next);
            let lasts = state.now < end;
            lasts.then(|| state.sleeping.insert(sleep)).map(|_| sleep)
        });
        if let Some(sleep) = sleep {
            let _guard = Sleeping { clock: self, sleep };
            self.0.wait_for(|state| state.now >= end).await;
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.read(|state| state.now)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.sleep_until(self.now().saturating_add(duration)))
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .read(|state| f.debug_tuple("ManualClock").field(state).finish())
    }
}

/// Takes a sleep out again, also when its future is dropped.
struct Sleeping<'c> {
    clock: &'c ManualClock,
    sleep: (Timestamp, u64),
}

impl Drop for Sleeping<'_> {
    fn drop(&mut self) {
        self.clock
            .0
            .update(|state| state.sleeping.remove(&self.sleep));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_sleep_ends_at_its_time_and_not_before() {
        let clock = ManualClock::new();
        let mut sleep = tokio_test::task::spawn(clock.sleep(SECOND * 2));
        assert!(sleep.poll().is_pending());
        clock.advance(SECOND);
        assert!(sleep.poll().is_pending());
        clock.advance(SECOND);
        assert!(sleep.is_woken() && sleep.poll().is_ready());
    }

    #[tokio::test]
    async fn a_sleep_counts_from_its_call_and_not_from_its_first_poll() {
        let clock = ManualClock::new();
        let mut sleep = tokio_test::task::spawn(clock.sleep(SECOND));
        clock.advance(SECOND);
        assert!(sleep.poll().is_ready());
    }

    #[tokio::test]
    async fn a_dropped_sleep_leaves_nothing_behind() {
        let clock = ManualClock::new();
        let mut sleep = tokio_test::task::spawn(clock.sleep(SECOND));
        assert!(sleep.poll().is_pending());
        assert_eq!(clock.sleepers(), 1);
        assert_eq!(
            clock.next_wake_up(),
            Some(clock.now().saturating_add(SECOND))
        );
        drop(sleep);
        assert_eq!(clock.sleepers(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_wake_up_of_many_tasks_is_lost() {
        let clock = ManualClock::new();
        let tasks: Vec<_> = (0..200)
            .map(|n| {
                let clock = clock.clone();
                tokio::spawn(async move {
                    clock.sleep(SECOND * (n % 10)).await;
                    clock.sleep(SECOND).await;
                })
            })
            .collect();
        while tasks.iter().any(|task| !task.is_finished()) {
            clock.advance(SECOND);
            tokio::task::yield_now().await;
        }
        assert_eq!(clock.sleepers(), 0);
    }
}
