//! What keeps a session busy: running requests and open streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use super::live::LiveSession;

/// How many requests and streams use a session, and whether it takes more.
///
/// One word, so that "nobody uses it" and "nobody may use it from now on" are one step: an eviction never meets a
/// request half-way.
#[derive(Debug, Default)]
pub(super) struct Uses(AtomicU64);

const CLOSED: u64 = 1 << 63;
/// Closed here, though the session is alive in the store.
const DETACHED: u64 = 1 << 62;
const STREAM: u64 = 1 << 32;
const REQUEST: u64 = 1;

impl Uses {
    pub(super) fn requests(&self) -> u64 {
        self.0.load(Ordering::Acquire) & (STREAM - 1)
    }

    pub(super) fn streams(&self) -> u64 {
        (self.0.load(Ordering::Acquire) & !(CLOSED | DETACHED)) / STREAM
    }

    pub(super) fn are_some(&self) -> bool {
        self.0.load(Ordering::Acquire) & !(CLOSED | DETACHED) != 0
    }

    pub(super) fn are_closed(&self) -> bool {
        self.0.load(Ordering::Acquire) & CLOSED != 0
    }

    pub(super) fn are_detached(&self) -> bool {
        self.0.load(Ordering::Acquire) & DETACHED != 0
    }

    /// Whether they are closed because the session is over.
    pub(super) fn have_ended(&self) -> bool {
        self.0.load(Ordering::Acquire) & (CLOSED | DETACHED) == CLOSED
    }

    /// Takes no more uses, for the session is over.
    pub(super) fn close(&self) {
        self.0.fetch_or(CLOSED, Ordering::AcqRel);
        // What was detached has ended now: in between it looks as it did before.
        self.0.fetch_and(!DETACHED, Ordering::AcqRel);
    }

    /// Takes no more uses if there are none now; streams count as long as `streams_hold`.
    pub(super) fn close_if_unused(&self, streams_hold: bool, detach: bool) -> bool {
        let closed = if detach { CLOSED | DETACHED } else { CLOSED };
        let close = |uses: u64| {
            let unused = uses.is_multiple_of(STREAM) && (uses < STREAM || !streams_hold);
            (uses & CLOSED == 0 && unused).then_some(uses | closed)
        };
        let closed = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, close);
        closed.is_ok()
    }
}

/// How a session is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Use {
    /// A request runs, from its arrival to the last byte of its answer.
    Request,
    /// A stream that the client opened with GET.
    Stream,
}

impl Use {
    fn unit(self) -> u64 {
        match self {
            Self::Request => REQUEST,
            Self::Stream => STREAM,
        }
    }
}

/// Holds a session busy until it is dropped.
#[derive(Debug)]
pub(crate) struct Busy {
    session: Arc<LiveSession>,
    kind: Use,
    waited: bool,
}

impl Busy {
    /// Holds `session` busy; `None` if it has ended.
    pub(crate) fn begin(session: Arc<LiveSession>, kind: Use) -> Option<Self> {
        if session.uses.0.fetch_add(kind.unit(), Ordering::AcqRel) & CLOSED != 0 {
            session.uses.0.fetch_sub(kind.unit(), Ordering::AcqRel);
            return None;
        }
        Some(Self {
            session,
            kind,
            waited: false,
        })
    }

    pub(crate) fn session(&self) -> &Arc<LiveSession> {
        &self.session
    }

    pub(crate) fn kind(&self) -> Use {
        self.kind
    }

    /// Cancelled when a stream that answers must end from our side.
    ///
    /// The answer to a request that came after a drain's grace is only ended with its session: whoever asks then is to
    /// be served, and what would be cut off at once is no service.
    pub(crate) fn end_of_answer(&self) -> CancellationToken {
        match self.kind {
            Use::Request if self.session.home.drained.is_cancelled() => self.session.ended(),
            Use::Request | Use::Stream => self.session.streams_end(),
        }
    }

    /// Notes that time has passed: the session is seen again at the end. A request that never waits ends in the
    /// moment in which it began, and need not read the clock twice.
    pub(crate) fn wait(&mut self) {
        self.waited = true;
    }

    /// Notes that the client took bytes of a stream.
    pub(crate) fn see(&self) {
        self.session.see(self.session.core().now());
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.waited {
            self.see();
        }
        self.session
            .uses
            .0
            .fetch_sub(self.kind.unit(), Ordering::AcqRel);
    }
}
