//! What the task of a restore does: the inner service hears of the session, the store is asked, requests come in.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::{debug, warn};

use super::eviction::Full;
use super::live::LiveSession;
use super::restoring::{Outcome, Replayed};
use super::{Busy, SessionManager, Use, flag};
use crate::protocol::cause::Unavailable;
use crate::store::StoreError;

impl SessionManager {
    /// Holds a session here that is only loaded, for a call that never replays: it stays dormant if others must.
    pub(crate) async fn hold(
        &self,
        session: Arc<LiveSession>,
        replays: bool,
    ) -> Result<Option<Arc<LiveSession>>, Unavailable> {
        let (session, _) = self.seat(session).await.map_err(|Full(cause)| cause)?;
        if !replays {
            session.clear(flag::DORMANT);
        }
        let session = self.ask(session).await.map_err(|_| Unavailable::Store)?;
        if let Some(session) = session.as_ref().filter(|session| session.set(flag::SERVED)) {
            self.events().restored(session);
        }
        Ok(session)
    }

    /// Gives the session a place in the table, dormant, and wakes it there.
    ///
    /// In that order, so that whoever ends it meanwhile finds it: no inner session is begun for one that is over, or
    /// is left behind.
    pub(super) async fn take_up<A, R, F>(
        &self,
        session: Arc<LiveSession>,
        replay: Option<R>,
        denied: oneshot::Sender<A>,
    ) -> Outcome
    where
        A: Send + 'static,
        R: Fn(Arc<LiveSession>) -> F + Send + 'static,
        F: Future<Output = Replayed<A>> + Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.shared.restores.permits).try_acquire_owned() else {
            warn!("too many restores at once");
            return Outcome::NotNow(Unavailable::Busy);
        };
        let session = match self.afresh(session).await {
            Ok(Some(session)) => session,
            Ok(None) => return Outcome::Gone,
            Err(error) => {
                warn!(%error, "session not restored");
                return Outcome::Failed(Unavailable::Store);
            }
        };
        let (session, is_new) = match self.seat(session).await {
            Ok(seated) => seated,
            Err(Full(cause)) => {
                warn!(sessions = self.len(), "no room to restore a session");
                return Outcome::NotNow(cause);
            }
        };
        if !session.has(flag::DORMANT) {
            return Outcome::AlreadyPresent(session);
        }
        // Busy, it is not evicted meanwhile.
        let Some(busy) = Busy::begin(Arc::clone(&session), Use::Request) else {
            return not_in_use(&session);
        };
        let outcome = match self.wake(&session, replay, permit, denied).await {
            Ok(()) => self.let_in(&session),
            Err(outcome) => outcome,
        };
        drop(busy);
        if is_new && session.has(flag::DORMANT) {
            self.detach(&session, self.core.now());
        }
        outcome
    }

    /// The session itself, or as it was loaded again if it left the table since it was found.
    async fn afresh(
        &self,
        session: Arc<LiveSession>,
    ) -> Result<Option<Arc<LiveSession>>, StoreError> {
        if !session.is_detached() {
            return Ok(Some(session));
        }
        let principal = session.principal();
        self.load(&session.home.audience, session.id(), principal.as_ref())
            .await
    }

    /// The session of this id in the table, which is `session` if there was none, and whether it is new there.
    async fn seat(&self, session: Arc<LiveSession>) -> Result<(Arc<LiveSession>, bool), Full> {
        let held = || self.live(session.id()).filter(|held| !held.is_detached());
        if let Some(held) = held() {
            return Ok((held, false));
        }
        if session.uses.are_closed() {
            return Ok((session, false));
        }
        let room = self.admit(session.group(), false).await?;
        // It is in use: in the table it must not look like one that may be evicted.
        session.see_exactly(self.core.now());
        match self.shared.table.insert_if(Arc::clone(&session), || true) {
            Ok(()) => {
                room.seat(&session);
                Ok((session, true))
            }
            // Another one was faster: its session is the one.
            Err(_) => held()
                .map(|held| (held, false))
                .ok_or(Full(Unavailable::Busy)),
        }
    }

    /// Lets the inner service hear of the session, if it must, then asks the store, then lets requests in.
    async fn wake<A, R, F>(
        &self,
        session: &Arc<LiveSession>,
        replay: Option<R>,
        permit: OwnedSemaphorePermit,
        denied: oneshot::Sender<A>,
    ) -> Result<(), Outcome>
    where
        A: Send + 'static,
        R: Fn(Arc<LiveSession>) -> F + Send + 'static,
        F: Future<Output = Replayed<A>> + Send + 'static,
    {
        let Some(replay) = replay else {
            return self.is_still_there(session).await;
        };
        let permit = Arc::new(permit);
        for _ in 0..REPLAYS {
            let replaying = self.limited(replay(Arc::clone(session)), Arc::clone(&permit));
            let (inner, told) = match replaying.await {
                Replayed::Taken { inner, initialized } => (inner, initialized),
                Replayed::Refused => return Err(Outcome::NotSupported),
                Replayed::Failed => return Err(Outcome::Failed(Unavailable::RestoreFailed)),
                Replayed::Denied(answer) => {
                    // An error says that its caller has left.
                    drop(denied.send(answer));
                    return Err(Outcome::Denied);
                }
            };
            self.is_still_there(session).await?;
            if told || !session.has_initialized() {
                session.set_inner(inner);
                if told {
                    session.set_replayed(self.core.now());
                }
                return Ok(());
            }
            // The client finished its handshake elsewhere meanwhile: this inner session would never hear of it.
        }
        Err(Outcome::NotNow(Unavailable::RestoreFailed))
    }

    /// What comes of `replaying` within the time for a restore. What it begins later, or for nobody, ends with its
    /// task; if it panics, only that does.
    async fn limited<A: Send + 'static>(
        &self,
        replaying: impl Future<Output = Replayed<A>> + Send + 'static,
        permit: Arc<OwnedSemaphorePermit>,
    ) -> Replayed<A> {
        let config = &self.core.config;
        // Dropped in the middle, it would leave an inner session whose id nobody knows.
        let longest = config.initialize_timeout.max(config.restore_timeout);
        let task = tokio::spawn(async move {
            let _permit = permit;
            tokio::time::timeout(longest, replaying).await
        });
        match tokio::time::timeout(config.restore_timeout, task).await {
            Ok(Ok(Ok(replayed))) => replayed,
            Ok(Ok(Err(_)) | Err(_)) | Err(_) => Replayed::Failed,
        }
    }

    /// Asks the store whether the session may still be served: it may have ended, or been suspended, meanwhile.
    async fn is_still_there(&self, session: &Arc<LiveSession>) -> Result<(), Outcome> {
        let owner = session.record().owner().copied();
        let now = self.core.now();
        match self.touch(session, now, false, true).await {
            Ok(true) => {}
            Ok(false) => {
                self.end_gone(session);
                return Err(Outcome::Gone);
            }
            Err(error) => {
                warn!(%error, "session not restored");
                return Err(Outcome::Failed(Unavailable::Store));
            }
        }
        session.see_exactly(now);
        if session.record().owner().copied() != owner {
            return Err(Outcome::Gone);
        }
        if session.has(flag::SUSPENDED) {
            return Err(Outcome::NotNow(Unavailable::Suspended));
        }
        Ok(())
    }

    /// From here on requests find the session.
    fn let_in(&self, session: &Arc<LiveSession>) -> Outcome {
        session.set(flag::RESTORED);
        // Told before the first request goes in, which is told too.
        self.events().restored(session);
        session.clear(flag::DORMANT);
        if session.uses.are_closed() {
            // It was ended at the last moment, maybe before its inner session was there to be closed.
            session.shut();
            return not_in_use(session);
        }
        debug!(session = %session.id().fingerprint(), "session restored");
        Outcome::Restored(Arc::clone(session))
    }
}

/// What to say of a session that takes no more requests.
fn not_in_use(session: &LiveSession) -> Outcome {
    if session.has_ended() {
        Outcome::Gone
    } else {
        Outcome::NotNow(Unavailable::Busy)
    }
}

/// How often the inner service hears of a session whose client finishes its handshake in the middle of it.
const REPLAYS: usize = 2;
