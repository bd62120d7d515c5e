//! The session that the inner service keeps for itself beside one of ours.

use std::fmt;

use http::HeaderValue;

use super::flag;
use super::live::LiveSession;
use crate::config;
use crate::session::Timestamp;

/// The session that the inner service keeps for itself. It is ended when this is dropped: then nobody can reach it
/// any more.
pub(crate) struct InnerSession {
    id: HeaderValue,
    close: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl InnerSession {
    /// The inner session `id`, which `close` ends.
    pub(crate) fn new(id: HeaderValue, close: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self {
            id,
            close: Some(Box::new(close)),
        }
    }

    /// The id that the inner service knows it by.
    pub(crate) fn id(&self) -> &HeaderValue {
        &self.id
    }
}

impl Drop for InnerSession {
    fn drop(&mut self) {
        if let Some(close) = self.close.take() {
            close();
        }
    }
}

impl fmt::Debug for InnerSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InnerSession").finish_non_exhaustive()
    }
}

/// What an inner service that does not know an inner id means for its session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lost {
    /// It has another inner session by now: the request can be sent again.
    Moved,
    /// It must be restored.
    Dormant,
    /// It was restored for that a moment ago. That did not help.
    TooSoon,
}

/// What a session says of its inner session.
impl LiveSession {
    /// The id that the inner service knows this session by.
    pub(crate) fn inner_id(&self) -> Option<HeaderValue> {
        if !self.has(flag::MAPPED) {
            return None;
        }
        self.held()
            .extras
            .as_ref()
            .and_then(|extras| extras.inner.as_ref())
            .map(|inner| inner.id.clone())
    }

    /// Whether the client has finished the handshake, as far as is known.
    ///
    /// A store that cannot save never learns of it. There it is assumed of a session that another instance began.
    pub(crate) fn has_initialized(&self) -> bool {
        if self.core().capabilities.save {
            self.record().initialized()
        } else {
            self.has(flag::RESTORED) || !self.has(flag::UNINITIALIZED)
        }
    }

    /// Gives it another inner session, or none; the present one ends.
    pub(super) fn set_inner(&self, inner: Option<InnerSession>) {
        match inner {
            Some(_) => self.set(flag::MAPPED),
            None => self.clear(flag::MAPPED),
        };
        let before = self.with_extras(|extras| std::mem::replace(&mut extras.inner, inner));
        // Not under the lock: it runs what was made elsewhere.
        drop(before);
    }

    /// Notes that the inner service did not know `inner_id` at `now`.
    pub(crate) fn note_lost(&self, inner_id: Option<&HeaderValue>, now: Timestamp) -> Lost {
        self.with_extras(|extras| {
            if self.has(flag::DORMANT) {
                return Lost::Dormant;
            }
            if extras.inner.as_ref().map(|inner| &inner.id) != inner_id {
                return Lost::Moved;
            }
            if extras
                .lost
                .is_some_and(|lost| now.since(lost) < config::LOST_AGAIN_AFTER)
            {
                return Lost::TooSoon;
            }
            extras.lost = Some(now);
            self.set(flag::DORMANT);
            Lost::Dormant
        })
    }

    /// Notes that a replay finished the handshake at `now`.
    pub(super) fn set_replayed(&self, now: Timestamp) {
        self.with_extras(|extras| extras.replayed = Some(now));
        self.set(flag::DUPLICATES);
    }

    /// Whether the client's own `notifications/initialized` may still come though a replay was faster.
    pub(crate) fn awaits_duplicate(&self, now: Timestamp) -> bool {
        if !self.has(flag::DUPLICATES) {
            return false;
        }
        let awaits = self.with_extras(|extras| {
            extras
                .replayed
                .is_some_and(|replayed| now.since(replayed) < config::DUPLICATE_AWAITED)
        });
        if !awaits {
            self.clear(flag::DUPLICATES);
        }
        awaits
    }

    /// Takes the client's own `notifications/initialized` for one that has come already; true once.
    pub(crate) fn take_duplicate(&self) -> bool {
        self.clear(flag::DUPLICATES)
    }
}
