//! A session that this instance holds.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::busy::Uses;
use super::core::Core;
use crate::config;
use crate::session::{
    OwnerTag, Principal, SessionId, SessionKey, SessionRecord, SessionState, Timestamp,
};
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
/// The fields that each request reads are atomics, so that requests of one session do not wait for each other. What
/// most sessions never need is allocated when it is first used.
pub(crate) struct LiveSession {
    id: SessionId,
    pub(super) home: Arc<Home>,
    watch: Option<Watch>,
    /// The revision of the record held here.
    revision: AtomicU64,
    /// Until then nothing needs to be asked of the store, if the watch agrees.
    fresh_until: AtomicU64,
    last_seen: AtomicU64,
    pub(super) uses: Uses,
    flags: AtomicU8,
    held: Mutex<Held>,
}

struct Held {
    record: Arc<SessionRecord>,
    extras: Option<Box<Extras>>,
}

/// What some sessions need.
struct Extras {
    /// Cancelled when the session ends.
    ended: CancellationToken,
    /// Cancelled when the session ends, or when this instance has been drained.
    streams: CancellationToken,
    principal: Option<Principal>,
    inner: Option<InnerSession>,
    writes: Arc<Semaphore>,
}

/// The session that the inner service keeps for itself. It is ended when this is dropped: then nobody can reach it
/// any more.
pub(crate) struct InnerSession {
    id: HeaderValue,
    close: Option<Box<dyn FnOnce() + Send>>,
}

impl InnerSession {
    /// The inner session `id`, which `close` ends.
    pub(crate) fn new(id: HeaderValue, close: impl FnOnce() + Send + 'static) -> Self {
        Self {
            id,
            close: Some(Box::new(close)),
        }
    }
}

impl Drop for InnerSession {
    fn drop(&mut self) {
        if let Some(close) = self.close.take() {
            close();
        }
    }
}

/// Marks of a session; see the methods of the same names.
pub(crate) mod flag {
    /// Nothing came after initialize yet.
    pub(crate) const HALF_OPEN: u8 = 1;
    /// The client has not finished the handshake, as far as is known.
    pub(crate) const UNINITIALIZED: u8 = 2;
    pub(crate) const SUSPENDED: u8 = 4;
    pub(crate) const OWNED: u8 = 8;
    pub(crate) const MAPPED: u8 = 16;
    /// Taken over from the store, not begun here.
    pub(crate) const RESTORED: u8 = 32;
    /// Not in the table any more, though alive in the store.
    pub(crate) const DETACHED: u8 = 64;
    /// With one of these a request cannot be served without a second look.
    pub(crate) const LOOK: u8 = HALF_OPEN | UNINITIALIZED | SUSPENDED;
}

impl LiveSession {
    /// A session as the store has it, which was asked at `now`.
    pub(super) fn new(home: Arc<Home>, stored: Stored, flags: u8, now: Timestamp) -> Self {
        let session = Self {
            id: stored.id,
            home,
            watch: stored.watch,
            revision: AtomicU64::new(stored.revision.number()),
            fresh_until: AtomicU64::new(0),
            last_seen: AtomicU64::new(stored.last_activity.as_millis()),
            uses: Uses::default(),
            flags: AtomicU8::new(flags | flags_of(&stored.record)),
            held: Mutex::new(Held {
                record: stored.record,
                extras: None,
            }),
        };
        session.set_touched(now);
        session
    }

    pub(crate) fn id(&self) -> &SessionId {
        &self.id
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.home.core
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
        Timestamp::from_millis(self.last_seen.load(Ordering::Relaxed))
    }

    pub(crate) fn has(&self, flags: u8) -> bool {
        self.flags.load(Ordering::Acquire) & flags != 0
    }

    /// Whether a request may be served at once: nothing to look at, nothing to ask.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        now.as_millis() < self.fresh_until.load(Ordering::Relaxed)
            && !self.has(flag::LOOK)
            && self.watch_agrees()
    }

    /// Whether the record held here is known to be the store's, or was read from it within the freshness allowed.
    pub(super) fn is_current(&self, now: Timestamp) -> bool {
        match self.watch {
            Some(_) => self.watch_agrees(),
            None => now.as_millis() < self.fresh_until.load(Ordering::Relaxed),
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.watch
            .as_ref()
            .is_some_and(|watch| watch.status() == WatchStatus::Gone)
    }

    /// Without a watch only the time counts.
    fn watch_agrees(&self) -> bool {
        let Some(watch) = &self.watch else {
            return true;
        };
        matches!(watch.status(), WatchStatus::Current(now) if self.revision_is(now))
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.uses.are_closed() && !self.has(flag::DETACHED)
    }

    /// The state as [`SessionState`] derives it from the last activity.
    pub(crate) fn state(&self, now: Timestamp) -> SessionState {
        if self.has_ended() || self.is_gone() {
            SessionState::Closed
        } else if self.has(flag::SUSPENDED) {
            SessionState::Suspended
        } else if self.is_busy(now) || now.since(self.last_seen()) < config::IDLE_AFTER {
            SessionState::Active
        } else {
            SessionState::Idle
        }
    }

    /// Whether a request runs, or a stream is open whose last byte was taken less than an hour ago.
    pub(crate) fn is_busy(&self, now: Timestamp) -> bool {
        self.uses.requests() > 0
            || (self.uses.streams() > 0 && now.since(self.last_seen()) < config::STREAM_HOLD)
    }

    /// Whether it was used after the store last heard of it.
    pub(super) fn is_untold(&self) -> bool {
        self.last_seen() > self.touched_at()
    }

    /// When the store last heard that the session is in use.
    pub(super) fn touched_at(&self) -> Timestamp {
        Timestamp::from_millis(self.fresh_until.load(Ordering::Relaxed))
            .saturating_sub(self.window())
    }

    /// Notes that the session is in use. One store to memory a second, so that requests of one session do not fight
    /// for the cache line.
    pub(crate) fn see(&self, now: Timestamp) {
        let seen = self.last_seen.load(Ordering::Relaxed);
        if now.as_millis().saturating_sub(seen) >= 1000 {
            self.last_seen.fetch_max(now.as_millis(), Ordering::Relaxed);
        }
    }

    /// Notes that the store was told at `now`.
    pub(super) fn set_touched(&self, now: Timestamp) {
        let window = self.window();
        // Near the absolute end the store is asked each time: it decides, to the millisecond.
        let latest = self.held().record.absolute_end().saturating_sub(window);
        self.fresh_until.store(
            now.min(latest).saturating_add(window).as_millis(),
            Ordering::Relaxed,
        );
        self.last_seen.fetch_max(now.as_millis(), Ordering::Relaxed);
    }

    /// How long an answer of the store holds.
    fn window(&self) -> Duration {
        let config = &self.core().config;
        match self.watch {
            Some(_) => config
                .touch_interval()
                .min(config.expiry.idle.unwrap_or(Duration::MAX)),
            None => config.freshness.min(config.touch_interval()),
        }
    }

    /// Takes over what the store has, unless what is held here is newer.
    pub(super) fn replace(
        &self,
        record: Arc<SessionRecord>,
        revision: Revision,
        expected: Option<Revision>,
    ) {
        let mut held = self.held();
        if expected.is_some_and(|expected| !self.revision_is(expected)) {
            return;
        }
        let stored = flags_of(&record) & (flag::SUSPENDED | flag::UNINITIALIZED);
        self.flags.fetch_and(
            !(flag::SUSPENDED | flag::UNINITIALIZED) | stored,
            Ordering::AcqRel,
        );
        self.flags.fetch_or(stored, Ordering::AcqRel);
        held.record = record;
        self.revision.store(revision.number(), Ordering::Release);
    }

    /// Sets `flags`; says whether one of them was not set before.
    pub(super) fn set(&self, flags: u8) -> bool {
        self.flags.fetch_or(flags, Ordering::AcqRel) & flags != flags
    }

    /// Clears `flags`; says whether one of them was set before.
    pub(super) fn clear(&self, flags: u8) -> bool {
        self.flags.fetch_and(!flags, Ordering::AcqRel) & flags != 0
    }

    /// Whether `principal` may use this session. None equals only none.
    pub(crate) fn belongs_to(&self, principal: Option<&Principal>) -> bool {
        let (true, Some(principal)) = (self.has(flag::OWNED), principal) else {
            return !self.has(flag::OWNED) && principal.is_none();
        };
        if self.principal().as_ref() == Some(principal) {
            return true;
        }
        let tag = self.core().store.owner_tag(&self.id, principal);
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

    pub(super) fn set_inner(&self, inner: InnerSession) {
        self.with_extras(|extras| extras.inner = Some(inner));
    }

    /// Cancelled when the session ends.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.with_extras(|extras| extras.ended.clone())
    }

    /// Cancelled when the streams of this session must end.
    pub(crate) fn streams_end(&self) -> CancellationToken {
        self.with_extras(|extras| extras.streams.clone())
    }

    /// The queue of this session's writes.
    pub(super) fn writes(&self) -> Arc<Semaphore> {
        self.with_extras(|extras| Arc::clone(&extras.writes))
    }

    /// Cancels the work and the streams of a session whose uses were closed, and ends its inner session.
    pub(super) fn shut(&self) {
        let (tokens, inner) = {
            let mut held = self.held();
            let Some(extras) = &mut held.extras else {
                return;
            };
            (
                [extras.ended.clone(), extras.streams.clone()],
                extras.inner.take(),
            )
        };
        // Not under the lock: this runs the wakers of whoever waits.
        if !self.has(flag::DETACHED) {
            tokens.iter().for_each(CancellationToken::cancel);
        }
        drop(inner);
    }

    fn with_extras<R>(&self, f: impl FnOnce(&mut Extras) -> R) -> R {
        let mut held = self.held();
        f(held
            .extras
            .get_or_insert_with(|| Box::new(Extras::new(&self.home.drained, self.has_ended()))))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Extras {
    fn new(drained: &CancellationToken, ended: bool) -> Self {
        let extras = Self {
            ended: CancellationToken::new(),
            streams: drained.child_token(),
            principal: None,
            inner: None,
            writes: Arc::new(Semaphore::new(1)),
        };
        if ended {
            extras.ended.cancel();
            extras.streams.cancel();
        }
        extras
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

impl fmt::Debug for InnerSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InnerSession").finish_non_exhaustive()
    }
}

fn flags_of(record: &SessionRecord) -> u8 {
    let mark = |set: bool, flag: u8| if set { flag } else { 0 };
    mark(!record.initialized(), flag::UNINITIALIZED)
        | mark(record.suspended(), flag::SUSPENDED)
        | mark(record.owner().is_some(), flag::OWNED)
        | mark(record.mapped(), flag::MAPPED)
}
