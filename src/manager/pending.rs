//! What a handler of initialize can do with a session that does not exist yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::core::Core;
use super::live::LiveSession;
use crate::session::{Handshake, Principal, Values};

/// A session between the arrival of its initialize and the store's word.
///
/// What is written meanwhile is staged, and becomes the first values of the session if it begins.
pub(crate) struct Pending {
    pub(super) core: Arc<Core>,
    pub(super) principal: Option<Principal>,
    /// The client's params, with the version that is assumed until the inner service names one.
    pub(super) asked: Handshake,
    stage: Mutex<Stage>,
    /// Cancelled when the outcome is known.
    settled: CancellationToken,
    /// Cancelled when there will be no session.
    pub(super) failed: CancellationToken,
}

enum Stage {
    Open(Values),
    /// The values were taken for the store's record; writers wait for the outcome.
    Sealed,
    Begun(Arc<LiveSession>),
    Failed,
}

impl Pending {
    pub(crate) fn new(
        core: Arc<Core>,
        principal: Option<Principal>,
        asked: Handshake,
    ) -> Arc<Self> {
        Arc::new(Self {
            core,
            principal,
            asked,
            stage: Mutex::new(Stage::Open(Values::default())),
            settled: CancellationToken::new(),
            failed: CancellationToken::new(),
        })
    }

    /// Takes what was staged; later writes wait for the outcome.
    pub(crate) fn seal(&self) -> Values {
        match std::mem::replace(&mut *self.stage(), Stage::Sealed) {
            Stage::Open(values) => values,
            Stage::Sealed | Stage::Begun(_) | Stage::Failed => Values::default(),
        }
    }

    pub(crate) fn begin(&self, session: Arc<LiveSession>) {
        self.settle(Stage::Begun(session));
    }

    pub(crate) fn fail(&self) {
        let begun = matches!(*self.stage(), Stage::Begun(_));
        if !begun {
            self.settle(Stage::Failed);
            self.failed.cancel();
        }
    }

    /// The session, once it has begun.
    pub(super) fn session(&self) -> Option<Arc<LiveSession>> {
        match &*self.stage() {
            Stage::Begun(session) => Some(Arc::clone(session)),
            Stage::Open(_) | Stage::Sealed | Stage::Failed => None,
        }
    }

    /// The values staged so far; `None` once they were taken.
    pub(super) fn staged(&self) -> Option<Values> {
        match &*self.stage() {
            Stage::Open(values) => Some(values.clone()),
            Stage::Sealed | Stage::Begun(_) | Stage::Failed => None,
        }
    }

    /// Stages `next` if `before` is what is staged; says whether it was.
    pub(super) fn replace_staged(&self, before: &Values, next: Values) -> bool {
        match &mut *self.stage() {
            Stage::Open(values) if values == before => {
                *values = next;
                true
            }
            _ => false,
        }
    }

    /// Waits for the outcome; `None` if there is no session.
    pub(super) async fn outcome(&self) -> Option<Arc<LiveSession>> {
        self.settled.cancelled().await;
        self.session()
    }

    fn settle(&self, stage: Stage) {
        *self.stage() = stage;
        self.settled.cancel();
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
