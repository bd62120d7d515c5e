//! Restore: making a session live here that only the store has, or whose inner session was lost.
//!
//! One task for each session does it, whoever asked first; the others wait for what comes of it. A caller that leaves
//! stops nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, oneshot, watch};

use super::SessionManager;
use super::inner_session::InnerSession;
use super::live::LiveSession;
use crate::config;
use crate::protocol::cause::Unavailable;
use crate::session::{SessionKey, Timestamp};

/// How a restore ended, if nothing was in its way.
#[derive(Debug)]
pub(crate) enum RestoreOutcome {
    /// The session lives here now.
    Restored(Arc<LiveSession>),
    /// It lives here through another request.
    AlreadyPresent(Arc<LiveSession>),
    /// The inner service does not take the session up.
    NotSupported,
}

/// Why there was no restore.
#[derive(Debug)]
pub(crate) enum NotRestored<A> {
    /// The session is over.
    Gone,
    /// Not now: later it may work.
    Unavailable(Unavailable),
    /// The inner service does not let this caller in. This is what it says.
    Denied(A),
}

/// What the inner service made of the stored initialize.
#[derive(Debug)]
pub(crate) enum Replayed<A> {
    /// It took it.
    Taken {
        /// The session that it began for itself, if it has such.
        inner: Option<InnerSession>,
        /// Whether it was told that the handshake is finished.
        initialized: bool,
    },
    /// It said no, and would say so again.
    Refused,
    /// It did not say.
    Failed,
    /// It said no to the caller whose request went along.
    Denied(A),
}

/// The restores under way, and those that failed a moment ago.
pub(super) struct Restores {
    tasks: Mutex<HashMap<SessionKey, Task>>,
    pub(super) permits: Arc<Semaphore>,
}

enum Task {
    Running(watch::Receiver<Option<Outcome>>),
    Failed { at: Timestamp, outcome: Outcome },
}

/// What those who wait are told.
#[derive(Clone)]
pub(super) enum Outcome {
    Restored(Arc<LiveSession>),
    AlreadyPresent(Arc<LiveSession>),
    NotSupported,
    Gone,
    /// It failed, and is not tried again for a moment.
    Failed(Unavailable),
    /// There was no room, or the session is suspended: nothing was tried.
    NotNow(Unavailable),
    /// To the caller whose request went along. The next one tries with its own.
    Denied,
}

/// What a caller finds when it comes.
enum Place {
    First(Running),
    Waiting(watch::Receiver<Option<Outcome>>),
    TooSoon(Outcome),
}

impl SessionManager {
    /// Makes a dormant session live. `replay` sends its initialize to the inner service; none, if that need not hear
    /// of it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the restore goes on, for those who wait for it and for the next request.
    pub(crate) async fn restore<A, R, F>(
        &self,
        session: Arc<LiveSession>,
        replay: Option<R>,
    ) -> Result<RestoreOutcome, NotRestored<A>>
    where
        A: Send + 'static,
        R: Fn(Arc<LiveSession>) -> F + Send + 'static,
        F: Future<Output = Replayed<A>> + Send + 'static,
    {
        // One that is refused for its own credentials leaves the others waiting: not for ever.
        let patience = self.core.config.restore_timeout.saturating_mul(2);
        tokio::time::timeout(patience, self.restore_in_turn(session, replay))
            .await
            .unwrap_or(Err(NotRestored::Unavailable(Unavailable::RestoreFailed)))
    }

    async fn restore_in_turn<A, R, F>(
        &self,
        session: Arc<LiveSession>,
        replay: Option<R>,
    ) -> Result<RestoreOutcome, NotRestored<A>>
    where
        A: Send + 'static,
        R: Fn(Arc<LiveSession>) -> F + Send + 'static,
        F: Future<Output = Replayed<A>> + Send + 'static,
    {
        let key = session.key();
        loop {
            match self.place(key) {
                Place::TooSoon(outcome) => return outcome.of_another(),
                Place::Waiting(running) => match wait(running).await {
                    Outcome::Denied => {}
                    outcome => return outcome.of_another(),
                },
                Place::First(running) => {
                    let outcome = running.outcome.subscribe();
                    let (tell, denied) = oneshot::channel();
                    drop(tokio::spawn(async move {
                        let outcome = running.manager.take_up(session, replay, tell).await;
                        running.end(outcome);
                    }));
                    return match wait(outcome).await {
                        Outcome::Restored(session) => Ok(RestoreOutcome::Restored(session)),
                        Outcome::Denied => Err(denied.await.map_or(
                            NotRestored::Unavailable(Unavailable::RestoreFailed),
                            NotRestored::Denied,
                        )),
                        outcome => outcome.of_another(),
                    };
                }
            }
        }
    }

    fn place(&self, key: SessionKey) -> Place {
        let now = self.core.now();
        let mut tasks = self.shared.restores.tasks();
        match tasks.get(&key) {
            Some(Task::Running(outcome)) => return Place::Waiting(outcome.clone()),
            Some(Task::Failed { at, outcome }) if is_remembered(*at, now) => {
                return Place::TooSoon(outcome.clone());
            }
            Some(Task::Failed { .. }) | None => {}
        }
        let (outcome, running) = watch::channel(None);
        tasks.insert(key, Task::Running(running));
        Place::First(Running {
            manager: self.clone(),
            key,
            outcome,
        })
    }
}

/// A restore under way. Dropped before its end, because something panicked, it has failed.
struct Running {
    manager: SessionManager,
    key: SessionKey,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Running {
    /// Makes way for the next one, if there may be one, and then tells those who wait: they may come back at once.
    fn end(&self, outcome: Outcome) {
        let now = self.manager.core.now();
        let mut tasks = self.manager.shared.restores.tasks();
        tasks.remove(&self.key);
        if outcome.is_lasting() && has_room(&mut tasks, now) {
            let outcome = outcome.clone();
            tasks.insert(self.key, Task::Failed { at: now, outcome });
        }
        drop(tasks);
        self.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.outcome.borrow().is_none() {
            self.end(FAILED);
        }
    }
}

impl Outcome {
    /// Whether it is remembered for a moment.
    fn is_lasting(&self) -> bool {
        matches!(self, Self::NotSupported | Self::Failed(_))
    }

    /// What it means to a caller who has not led the restore.
    fn of_another<A>(self) -> Result<RestoreOutcome, NotRestored<A>> {
        match self {
            Self::Restored(session) | Self::AlreadyPresent(session) => {
                Ok(RestoreOutcome::AlreadyPresent(session))
            }
            Self::NotSupported => Ok(RestoreOutcome::NotSupported),
            Self::Gone => Err(NotRestored::Gone),
            Self::Failed(cause) | Self::NotNow(cause) => Err(NotRestored::Unavailable(cause)),
            Self::Denied => Err(NotRestored::Unavailable(Unavailable::RestoreFailed)),
        }
    }
}

impl Restores {
    fn tasks(&self) -> MutexGuard<'_, HashMap<SessionKey, Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Restores {
    fn default() -> Self {
        Self {
            tasks: Mutex::default(),
            permits: Arc::new(Semaphore::new(config::MAX_RESTORES)),
        }
    }
}

/// Whether another failure may be remembered; old ones are forgotten for it.
fn has_room(tasks: &mut HashMap<SessionKey, Task>, now: Timestamp) -> bool {
    if tasks.len() >= config::MAX_RESTORE_FAILURES {
        tasks.retain(|_, task| match task {
            Task::Running(_) => true,
            Task::Failed { at, .. } => is_remembered(*at, now),
        });
    }
    tasks.len() < config::MAX_RESTORE_FAILURES
}

async fn wait(mut running: watch::Receiver<Option<Outcome>>) -> Outcome {
    match running.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or(FAILED),
        Err(_) => FAILED,
    }
}

fn is_remembered(at: Timestamp, now: Timestamp) -> bool {
    now.since(at) < config::RESTORE_FAILURE_MEMORY
}

/// What a restore comes to whose task ended in the middle.
const FAILED: Outcome = Outcome::Failed(Unavailable::RestoreFailed);
