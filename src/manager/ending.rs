//! The end of a session: why, and told once, whoever notices.

use std::sync::Arc;

use tracing::debug;

use super::live::LiveSession;
use super::{EndReason, SessionManager, flag};
use crate::session::Timestamp;
use crate::store::StoreError;

/// Why a session is about to end here, and how many are at it.
pub(super) struct Ending {
    reason: EndReason,
    count: usize,
}

/// Says why the store is about to have the session no more: whoever sees that it is gone tells this reason.
struct AtIt<'a>(&'a LiveSession);

impl<'a> AtIt<'a> {
    fn new(session: &'a LiveSession, reason: EndReason) -> Self {
        session.with_extras(|extras| {
            extras
                .ending
                .get_or_insert(Ending { reason, count: 0 })
                .count += 1;
        });
        Self(session)
    }
}

impl Drop for AtIt<'_> {
    fn drop(&mut self) {
        self.0.with_extras(|extras| {
            if let Some(ending) = &mut extras.ending {
                ending.count -= 1;
                extras.ending.take_if(|ending| ending.count == 0);
            }
        });
    }
}

impl SessionManager {
    /// Ends a session everywhere; says whether there was one. On an error nothing has changed here.
    pub(crate) async fn terminate(
        &self,
        session: &Arc<LiveSession>,
        reason: EndReason,
    ) -> Result<bool, StoreError> {
        // Another request may have taken the session up since this one has found it.
        let same = |live: &Arc<LiveSession>| live.audience() == session.audience();
        let live = self.live(session.id()).filter(same);
        let held = live.as_ref().unwrap_or(session);
        let existed = self.delete(held, reason, false).await?;
        if !Arc::ptr_eq(held, session) {
            self.end(session, reason, false);
        }
        // And once more: the store has said no to nobody until now.
        if let Some(late) = self.live(session.id()).filter(same) {
            self.end_here(&late, reason);
        }
        Ok(existed)
    }

    /// Deletes a session in the store, and ends what is held of it here; if `whatever` happens, also when the store
    /// fails.
    pub(super) async fn delete(
        &self,
        session: &Arc<LiveSession>,
        reason: EndReason,
        whatever: bool,
    ) -> Result<bool, StoreError> {
        let now = self.core.now();
        let at_it = AtIt::new(session, reason);
        let deleted = self.core.delete(&session.key(), now).await;
        match deleted {
            // Told also of one that never lived here: it ends by what was done here.
            Ok(true) => self.end(session, reason, true),
            // Somebody else was faster: if it was here, that one has said why.
            Ok(false) => {
                drop(at_it);
                self.end_gone(session);
            }
            Err(_) if whatever => self.end_here(session, reason),
            Err(_) => {}
        }
        deleted
    }

    /// Ends what is held here of `sessions`, after `deleting` has ended them in the store.
    pub(super) async fn end_all(
        &self,
        sessions: &[Arc<LiveSession>],
        reason: EndReason,
        deleting: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        let at_it: Vec<_> = sessions.iter().map(|it| AtIt::new(it, reason)).collect();
        deleting.await?;
        drop(at_it);
        for session in sessions {
            self.end_here(session, reason);
        }
        Ok(())
    }

    /// Ends a session whose client has never got its id. If the store fails, it expires there.
    pub(crate) async fn abandon(&self, session: &Arc<LiveSession>) {
        // Without records the id was all there was of it, and nobody has that.
        let is_kept = self.core.capabilities.records;
        if !is_kept || self.terminate(session, EndReason::Abandoned).await.is_err() {
            self.end_here(session, EndReason::Abandoned);
        }
    }

    /// Ends what this instance holds of a session of which the store says that it is gone.
    pub(super) fn end_gone(&self, session: &Arc<LiveSession>) {
        self.end_here(session, why_gone(session, self.core.now()));
    }

    /// Ends what this instance holds of a session that is over.
    pub(crate) fn end_here(&self, session: &Arc<LiveSession>, reason: EndReason) {
        // One whose live part was dropped before is not told of any more.
        let was_here = !session.is_detached();
        session.uses.close();
        // Under the lock under which a restore is told: that finds it closed, or is known here.
        let was_served = {
            let _order = session.held();
            session.has(flag::SERVED)
        };
        self.end(session, reason, was_here && was_served);
    }

    fn end(&self, session: &Arc<LiveSession>, reason: EndReason, tells: bool) {
        session.uses.close();
        if self.remove(session) {
            debug!(session = %session.id().fingerprint(), ?reason, "session ended");
        }
        if tells {
            self.events().ended(session, reason);
        }
    }
}

/// Why the store has a session no more: for what is done here at this moment, or its time is over, or else another
/// instance ended it.
fn why_gone(session: &LiveSession, now: Timestamp) -> EndReason {
    let at_it = {
        let held = session.held();
        let ending = held
            .extras
            .as_ref()
            .and_then(|extras| extras.ending.as_ref());
        ending.map(|ending| ending.reason)
    };
    if let Some(reason) = at_it {
        return reason;
    }
    let half_open = session.has(flag::HALF_OPEN);
    let idle = session.core().idle_deadline(session.told_use(), half_open);
    if now >= idle.min(session.record().absolute_end()) {
        EndReason::Expired
    } else {
        EndReason::Elsewhere
    }
}
