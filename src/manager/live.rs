//! A session that this instance holds.

use std::fmt;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;
use tracing::{Span, debug_span};

use super::activity::{Activity, Told};
use super::busy::Uses;
use super::core::Core;
use super::extras::Extras;
use super::{SessionManager, Shared, flag};
use crate::config;
use crate::session::{SessionId, SessionKey, SessionRecord, Timestamp};
use crate::sharded::Keyed;
use crate::store::{Revision, Stored, Watch, WatchStatus};

/// What all live sessions of one endpoint share.
#[derive(Debug)]
pub(crate) struct Home {
    pub(super) core: Arc<Core>,
    pub(super) audience: Arc<str>,
    /// Weak: the table in it holds the sessions.
    pub(super) shared: Weak<Shared>,
    /// Cancelled when a drain's grace is over.
    pub(super) drained: CancellationToken,
}

/// A session that this instance holds: the store's record, and what only lives here.
///
/// The fields that each request reads are atomics, so that requests of one session do not wait for each other. They
/// come first and lie together: among a million sessions each further cache line costs as much as all the rest. What
/// most sessions never need is allocated when it is first used.
#[repr(C)]
pub(crate) struct LiveSession {
    id: SessionId,
    pub(super) home: Arc<Home>,
    watch: Option<Watch>,
    /// The revision of the record held here.
    pub(super) revision: AtomicU64,
    activity: Activity,
    pub(super) uses: Uses,
    pub(super) flags: AtomicU16,
    told: Told,
    held: Mutex<Held>,
}

pub(super) struct Held {
    pub(super) record: Arc<SessionRecord>,
    pub(super) extras: Option<Box<Extras>>,
}

impl LiveSession {
    /// A session as the store has it, which was asked at `now`.
    pub(super) fn new(home: Arc<Home>, stored: Stored, flags: u16, now: Timestamp) -> Self {
        let session = Self {
            id: stored.id,
            home,
            watch: stored.watch,
            revision: AtomicU64::new(stored.revision.number()),
            activity: Activity::default(),
            uses: Uses::default(),
            flags: AtomicU16::new(flags | flags_of(&stored.record)),
            told: Told::default(),
            held: Mutex::new(Held {
                record: stored.record,
                extras: None,
            }),
        };
        session.activity.see_exactly(stored.last_activity);
        session.set_told(stored.last_activity, stored.last_activity);
        session.set_asked(now);
        session
    }

    pub(crate) fn id(&self) -> &SessionId {
        &self.id
    }

    /// [`span`](Self::span), where somebody may read it: on the way of most requests it must cost nothing.
    #[inline]
    pub(crate) fn span_if_read(&self) -> Option<Box<Span>> {
        if LevelFilter::current() < LevelFilter::DEBUG {
            return None;
        }
        let span = self.span();
        (!span.is_disabled()).then(|| Box::new(span))
    }

    /// What a request of the session runs in, so that whatever is logged there says whose it is.
    #[cold]
    pub(crate) fn span(&self) -> Span {
        debug_span!(target: "tower_mcp_session", "mcp_session", session = %self.id.fingerprint())
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.home.core
    }

    /// The manager that holds it, as long as there is one.
    pub(super) fn manager(&self) -> Option<SessionManager> {
        let core = Arc::clone(self.core());
        let shared = self.home.shared.upgrade()?;
        Some(SessionManager { core, shared })
    }

    pub(crate) fn audience(&self) -> &str {
        &self.home.audience
    }

    pub(crate) fn key(&self) -> SessionKey {
        SessionKey::new(self.audience(), &self.id)
    }

    pub(crate) fn record(&self) -> Arc<SessionRecord> {
        Arc::clone(&self.held().record)
    }

    pub(super) fn versioned_record(&self) -> (Arc<SessionRecord>, Revision) {
        let held = self.held();
        let number = self.revision.load(Ordering::Acquire);
        (
            Arc::clone(&held.record),
            Revision::from_number(number).unwrap_or(Revision::FIRST),
        )
    }

    pub(super) fn revision_is(&self, revision: Revision) -> bool {
        self.revision.load(Ordering::Acquire) == revision.number()
    }

    pub(crate) fn last_seen(&self) -> Timestamp {
        self.activity.last_seen()
    }

    pub(crate) fn has(&self, flags: u16) -> bool {
        self.flags.load(Ordering::Acquire) & flags != 0
    }

    /// Whether a request may be served at once: nothing to look at, nothing to ask.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        self.activity.is_fresh(now) && !self.has(flag::LOOK) && self.watch_agrees()
    }

    /// Whether the record held here is known to be the store's, or was read from it within the freshness allowed.
    pub(super) fn is_current(&self, now: Timestamp) -> bool {
        match self.watch {
            // A watch says nothing of time: at its end a session is gone, also where nobody has cleaned up.
            Some(_) => self.watch_agrees() && now < self.known_end(now),
            None => self.activity.is_fresh(now),
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        let status = self.watch.as_ref().map(Watch::status);
        status == Some(WatchStatus::Gone)
    }

    /// Whether its watch says that it is there: nobody need ask.
    pub(super) fn is_watched_over(&self) -> bool {
        let status = self.watch.as_ref().map(Watch::status);
        matches!(status, Some(WatchStatus::Current(_)))
    }

    /// Without a watch only the time counts.
    fn watch_agrees(&self) -> bool {
        let Some(watch) = &self.watch else {
            return true;
        };
        matches!(watch.status(), WatchStatus::Current(now) if self.revision_is(now))
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.uses.have_ended()
    }

    /// Whether it left the table though it is alive in the store.
    pub(crate) fn is_detached(&self) -> bool {
        self.uses.are_detached()
    }

    /// Takes no more uses if nothing keeps it busy; says whether it did so.
    pub(super) fn close_if_quiet(&self, now: Timestamp, detach: bool) -> bool {
        let streams_hold = now.since(self.last_seen()) < config::STREAM_HOLD;
        self.uses.close_if_unused(streams_hold, detach)
    }

    /// Whether it was used after the last use that the store knows of.
    pub(super) fn is_untold(&self) -> bool {
        self.last_seen() > self.told_use()
    }

    /// The last use that the store knows of.
    pub(super) fn told_use(&self) -> Timestamp {
        self.told.last_use()
    }

    /// Whether the store must hear at `now` that the session is in use: a touch interval after it last did, or before
    /// the session would end there for want of a word.
    pub(super) fn must_tell(&self, now: Timestamp, half_open: bool) -> bool {
        let interval = self.core().config.touch_interval();
        let known_end = self.core().idle_deadline(self.told_use(), half_open);
        now.since(self.told.at()) >= interval || known_end <= now.saturating_add(interval)
    }

    /// Notes that the session is in use; exact to a second.
    pub(crate) fn see(&self, now: Timestamp) {
        self.activity.see(now);
    }

    /// Notes that a request came at `now`.
    pub(super) fn see_exactly(&self, now: Timestamp) {
        self.activity.see_exactly(now);
    }

    /// Notes that the store answered at `now`. That is no use: a stream that nobody reads would last for ever.
    pub(super) fn set_asked(&self, now: Timestamp) {
        let end = self.held().record.absolute_end();
        let window = self.core().config.window(self.watch.is_some());
        self.activity.set_asked(now, window, end);
    }

    /// Notes that the store was told at `at` of a use at `last_use`.
    pub(super) fn set_told(&self, last_use: Timestamp, at: Timestamp) {
        self.told.set(last_use, at);
    }

    /// Sets `flags`; says whether one of them was not set before.
    pub(super) fn set(&self, flags: u16) -> bool {
        self.flags.fetch_or(flags, Ordering::AcqRel) & flags != flags
    }

    /// Clears `flags`; says whether one of them was set before.
    pub(super) fn clear(&self, flags: u16) -> bool {
        self.flags.fetch_and(!flags, Ordering::AcqRel) & flags != 0
    }

    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keyed for Arc<LiveSession> {
    type Key = SessionId;

    fn key(&self) -> &SessionId {
        &self.id
    }
}

impl fmt::Debug for LiveSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSession")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

pub(super) fn flags_of(record: &SessionRecord) -> u16 {
    let mark = |set: bool, flag: u16| if set { flag } else { 0 };
    mark(!record.initialized(), flag::UNINITIALIZED)
        | mark(record.suspended(), flag::SUSPENDED)
        | mark(record.owner().is_some(), flag::OWNED)
        | mark(record.mapped(), flag::MAPPED)
}
