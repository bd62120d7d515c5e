//! What some sessions need and most do not: allocated when first used.

use std::sync::Arc;

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::ending::Ending;
use super::flag;
use super::inner_session::InnerSession;
use super::live::LiveSession;
use super::outbox::Outbox;
use crate::session::{OwnerTag, Principal, Timestamp};

/// The parts of a live session that not every session has.
#[derive(Default)]
pub(super) struct Extras {
    pub(super) signals: Option<Signals>,
    principal: Option<Principal>,
    pub(super) inner: Option<InnerSession>,
    /// When the inner service was last found to have lost its session.
    pub(super) lost: Option<Timestamp>,
    /// When a replay last finished the handshake.
    pub(super) replayed: Option<Timestamp>,
    /// The queue of writes: one permit, handed out in order. Gone when nobody writes.
    writes: Option<Arc<Semaphore>>,
    /// What waits for the one who writes it into the history. `None` if nobody does.
    pub(super) outbox: Option<Outbox>,
    /// Set while this instance ends the session.
    pub(super) ending: Option<Ending>,
}

/// What tells the work and the streams of a session that it is over.
#[derive(Clone)]
pub(super) struct Signals {
    pub(super) work: CancellationToken,
    /// Cancelled with the work, or when this instance has been drained.
    pub(super) streams: CancellationToken,
}

impl Extras {
    fn is_empty(&self) -> bool {
        self.signals.is_none()
            && self.principal.is_none()
            && self.inner.is_none()
            && self.lost.is_none()
            && self.replayed.is_none()
            && self.writes.is_none()
            && self.outbox.is_none()
            && self.ending.is_none()
    }
}

impl Signals {
    fn new(drained: &CancellationToken) -> Self {
        Self {
            work: CancellationToken::new(),
            streams: drained.child_token(),
        }
    }

    /// Runs the wakers of whoever waits: never under a lock.
    pub(super) fn cancel(&self) {
        self.work.cancel();
        self.streams.cancel();
    }
}

/// What the session says of its extras.
impl LiveSession {
    /// Whether `principal` may use this session. None equals only none.
    pub(crate) fn belongs_to(&self, principal: Option<&Principal>) -> bool {
        let (true, Some(principal)) = (self.has(flag::OWNED), principal) else {
            return !self.has(flag::OWNED) && principal.is_none();
        };
        let known = self
            .held()
            .extras
            .as_ref()
            .is_some_and(|extras| extras.principal.as_ref() == Some(principal));
        if known {
            return true;
        }
        let tag = self.core().store.owner_tag(self.id(), principal);
        self.record().owner() == Some(&tag)
    }

    /// Whose cap the session counts for. Not the record's tag, which may depend on the id.
    pub(super) fn group(&self) -> Option<OwnerTag> {
        self.principal().as_ref().map(OwnerTag::of)
    }

    pub(crate) fn principal(&self) -> Option<Principal> {
        self.held()
            .extras
            .as_ref()
            .and_then(|extras| extras.principal.clone())
    }

    pub(super) fn set_principal(&self, principal: Option<Principal>) {
        if principal.is_some() {
            self.with_extras(|extras| extras.principal = principal);
        }
    }

    /// Cancelled when the session ends or is suspended.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.set(flag::AWAITED);
        self.signals().work
    }

    /// Cancelled when the streams of this session must end.
    pub(crate) fn streams_end(&self) -> CancellationToken {
        self.signals().streams
    }

    /// The queue of this session's writes.
    pub(super) fn writes(&self) -> Writes<'_> {
        let queue = self.with_extras(|extras| {
            let queue = extras
                .writes
                .get_or_insert_with(|| Arc::new(Semaphore::new(1)));
            Arc::clone(queue)
        });
        Writes {
            session: self,
            queue,
        }
    }

    /// Cancels the work and the streams of a session whose uses were closed, and ends its inner session.
    pub(super) fn shut(&self) {
        let (signals, inner) = {
            let mut held = self.held();
            let Some(extras) = &mut held.extras else {
                return;
            };
            (extras.signals.clone(), extras.inner.take())
        };
        match signals {
            // Those that nobody has read for long; the session itself goes on. Nobody would tell its work of its end.
            Some(signals) if self.is_detached() && !self.has(flag::AWAITED) => {
                signals.streams.cancel();
            }
            Some(signals) => signals.cancel(),
            None => {}
        }
        drop(inner);
    }

    fn signals(&self) -> Signals {
        self.with_extras(|extras| {
            let signals = extras.signals.get_or_insert_with(|| {
                let signals = Signals::new(&self.home.drained);
                if self.has_ended() || self.has(flag::SUSPENDED) {
                    // Nobody waits for signals that were made a moment ago: no waker runs under the lock.
                    signals.cancel();
                }
                signals
            });
            signals.clone()
        })
    }

    pub(super) fn with_extras<R>(&self, f: impl FnOnce(&mut Extras) -> R) -> R {
        f(self.held().extras.get_or_insert_default())
    }
}

/// The queue of a session's writes, as long as somebody writes. Each session is written to once at the end of its
/// handshake: most would keep an unused queue for the rest of their lives.
pub(super) struct Writes<'a> {
    session: &'a LiveSession,
    queue: Arc<Semaphore>,
}

impl Writes<'_> {
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.queue.acquire().await
    }
}

impl Drop for Writes<'_> {
    fn drop(&mut self) {
        let mut held = self.session.held();
        let Some(extras) = &mut held.extras else {
            return;
        };
        // Others come by under the lock only. Two: the one there and this one.
        if Arc::strong_count(&self.queue) == 2 {
            extras.writes = None;
        }
        if extras.is_empty() {
            held.extras = None;
        }
    }
}
