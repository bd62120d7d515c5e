//! How operators end sessions.

use std::sync::Arc;

use super::Sessions;
use crate::manager::EndReason;
use crate::manager::live::LiveSession;
use crate::session::{OwnerTag, Principal, SessionKey, Timestamp};
use crate::store::StoreError;

impl Sessions {
    /// Ends the session of `key` on every instance that shares the store; says whether there was one.
    ///
    /// New requests are answered 404 at once; work and streams on other instances end within a touch interval, those
    /// of this one at once.
    ///
    /// # Errors
    ///
    /// If the store did not do it; nothing has changed then.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the session ends, or nothing has happened: never a half of it.
    pub async fn terminate(&self, key: &SessionKey) -> Result<bool, StoreError> {
        let (sessions, key) = (self.clone(), *key);
        in_a_task(async move {
            if let Some(live) = sessions.live(&key).await {
                return sessions.0.terminate(&live, EndReason::Terminated).await;
            }
            let core = &sessions.0.core;
            let existed = core.delete(&key, core.now()).await?;
            // A request may have taken it up meanwhile.
            if let Some(live) = sessions.live(&key).await {
                sessions.0.end_here(&live, EndReason::Terminated);
            }
            Ok(existed)
        })
        .await
    }

    /// Ends all sessions of `principal` that have begun by now, on every instance that shares the store, and those
    /// whose initialize is under way: that is answered 503. Later ones may begin: take the right to from `principal`
    /// first.
    ///
    /// New requests are answered 404 at once; work and streams on other instances end within a touch interval, those
    /// of this one at once. What came earlier is told by the clocks of the instances.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unsupported`](crate::store::StoreErrorKind::Unsupported) if the store has no index. If the
    /// store did not do all of it: say it again.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, they end, or nothing has happened.
    pub async fn terminate_all(&self, principal: &Principal) -> Result<(), StoreError> {
        let (sessions, owner) = (self.clone(), OwnerTag::of(principal));
        in_a_task(async move {
            let core = &sessions.0.core;
            let index = sessions.index()?;
            let now = core.now();
            let until = core.absolute_end(now);
            let here = sessions.begun_until(now, &owner);
            let bar = core.patient(index.bar(&owner, now, until));
            let reason = EndReason::Terminated;
            sessions.0.end_all(&here, reason, bar).await?;
            // Some may have begun, or been taken up, before the store said no to them.
            for late in sessions.begun_until(now, &owner) {
                sessions.0.end_here(&late, reason);
            }
            Ok(())
        })
        .await
    }

    /// The live sessions of `owner` whose initialize came at `moment` or earlier.
    fn begun_until(&self, moment: Timestamp, owner: &OwnerTag) -> Vec<Arc<LiveSession>> {
        let mut here = self.0.shared.admission.live_of(owner);
        here.retain(|live| live.record().created() <= moment);
        here
    }
}

/// Runs what must not stop half-way in a task of its own.
async fn in_a_task<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::spawn(work).await;
    done.unwrap_or_else(|_| Err(crate::store::StoreErrorKind::OutcomeUnknown.into()))
}
