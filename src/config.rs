//! Every limit and default, in one place, and the plain options that start from them.
//!
//! Each constant is documented where its option is: on [`SessionLayer`](crate::SessionLayer).

use std::time::Duration;

use crate::session::{Expiry, HistoryLimits};

// Ends of a session.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
pub(crate) const HALF_OPEN_TIMEOUT: Duration = Duration::from_secs(5 * 60);
pub(crate) const MAX_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

// Activity.
/// The touch interval is a tenth of the idle timeout, and at most this.
pub(crate) const MAX_TOUCH_INTERVAL: Duration = Duration::from_secs(30);
/// After this time without a request the live part of a session goes, where a shared store keeps the rest.
pub(crate) const QUIET_AFTER: Duration = Duration::from_secs(30 * 60);
/// A stream alone keeps its session busy this long after its last byte was taken.
pub(crate) const STREAM_HOLD: Duration = Duration::from_secs(60 * 60);
/// Without a request for this long a session counts as idle, and may be evicted.
pub(crate) const IDLE_AFTER: Duration = Duration::from_secs(300);

// Room.
pub(crate) const MAX_SESSIONS: usize = 100_000;
pub(crate) const MAX_SESSIONS_PER_PRINCIPAL: usize = 1_000;
/// Half-open sessions without a principal take at most this part of the cap: one fourth.
pub(crate) const HALF_OPEN_SHARE: usize = 4;
/// A half-open session younger than this is never evicted: its client may be on the way.
pub(crate) const HALF_OPEN_GRACE: Duration = Duration::from_secs(10);
/// How many sessions eviction looks at.
pub(crate) const EVICTION_SAMPLE: usize = 64;
pub(crate) const MEMORY_STORE_BYTES: usize = 1 << 30;
/// A `CachedStore` lets an answer hold this long, and keeps so many of them in so many bytes.
pub(crate) const CACHE_STALENESS: Duration = Duration::from_secs(1);
pub(crate) const CACHE_SESSIONS: usize = 10_000;
pub(crate) const CACHE_BYTES: usize = 64 << 20;
/// A signed id may be issued so much later than now: the clocks of instances differ.
#[cfg(feature = "signed")]
pub(crate) const SIGNED_CLOCK_LEEWAY: Duration = Duration::from_secs(60);
/// Of so many signed ids, and as many more, it is known until when they last.
#[cfg(feature = "signed")]
pub(crate) const RECENT_IDS: usize = 100_000;
/// One record, as JSON.
#[cfg(feature = "file")]
pub(crate) const MAX_FILE_RECORD: usize = 16 << 20;
/// One history, as JSON.
#[cfg(feature = "file")]
pub(crate) const MAX_FILE_HISTORY: usize = 16 << 20;
pub(crate) const MAX_VALUES_BYTES: usize = 64 << 10;
/// Handshakes kept once for all sessions that share them; further ones are kept per session.
pub(crate) const SHARED_HANDSHAKES: usize = 1024;

// History.
pub(crate) const HISTORY_MESSAGES: usize = 100;
pub(crate) const HISTORY_BYTES: usize = 64 << 10;
/// What was heard and not yet written, of a session: so many messages or bodies, of so many bytes together, or as much
/// as a history holds if that is more; and of all sessions.
pub(crate) const MAX_HEARD: usize = 1_000;
pub(crate) const MAX_HEARD_BYTES: usize = 1 << 20;
pub(crate) const MAX_ALL_HEARD_BYTES: usize = 64 << 20;

// Lists.
/// A call that may look at each session of a store gets so many times the time of any other.
pub(crate) const INDEX_PATIENCE: u32 = 30;
/// Sessions of a page of a list, at most.
pub(crate) const MAX_PAGE: usize = 1_000;
/// Principals of whom a memory store remembers that their sessions were all ended.
pub(crate) const MAX_BARRED: usize = 100_000;

// Bodies, in bytes.
pub(crate) const MAX_INITIALIZE_BODY: usize = 64 << 10;
pub(crate) const MAX_INITIALIZE_PARAMS: usize = 16 << 10;
pub(crate) const MAX_INITIALIZE_ANSWER: usize = 1 << 20;
/// A body read to apply the wire rules inside a session (strict bodies).
pub(crate) const MAX_STRICT_BODY: usize = 4 << 20;
/// A body looked at in a half-open session.
pub(crate) const MAX_HALF_OPEN_BODY: u64 = 1 << 10;
/// What is read of a refused body, only so that its client sees the answer.
pub(crate) const MAX_DISCARDED: usize = 4 << 20;
/// All bodies being read, together.
pub(crate) const MAX_BODIES: usize = 256 << 20;
/// The answer to a gRPC call that begins a session.
pub(crate) const MAX_GRPC_ANSWER: usize = 64 << 10;

// Waiting.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// For a body that is read only to echo its id in an error.
pub(crate) const ECHO_TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const INITIALIZE_TIMEOUT: Duration = Duration::from_secs(60);
pub(crate) const GRPC_TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// For the lock of another process: shorter than a store call may take, so that the caller learns of it.
#[cfg(feature = "file")]
pub(crate) const FILE_LOCK_TIMEOUT: Duration = Duration::from_millis(1500);
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const RESTORE_TIMEOUT: Duration = Duration::from_secs(10);

// Restore.
/// A session that could not be restored is not tried again for this long.
pub(crate) const RESTORE_FAILURE_MEMORY: Duration = Duration::from_secs(2);
/// Failures remembered at once; further ones are not.
pub(crate) const MAX_RESTORE_FAILURES: usize = 10_000;
/// A session whose inner session was lost is restored for that at most once in this time.
pub(crate) const LOST_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// For so long after a replay that finished the handshake the client's own word of that is waited for.
pub(crate) const DUPLICATE_AWAITED: Duration = Duration::from_secs(60);
/// What is kept of a request's body, so that it can be sent again.
pub(crate) const MAX_KEPT_BODY: usize = 64 << 10;

// Things under way at once.
pub(crate) const MAX_INITIALIZES: usize = 1024;
pub(crate) const MAX_CLOSERS: usize = 64;
pub(crate) const MAX_RESTORES: usize = 256;
/// Calls that end inner sessions, those that wait for their turn included.
pub(crate) const MAX_CLOSINGS: usize = 10_000;
pub(crate) const MAX_TOUCHES: usize = 16;
/// Calls of one file store that use the disk; further ones wait.
#[cfg(feature = "file")]
pub(crate) const MAX_FILE_JOBS: usize = 64;

// Observers.
/// Events that wait for an observer; further ones are dropped and counted.
pub(crate) const OBSERVER_QUEUE: usize = 4096;
/// How long a drain waits for the observers.
pub(crate) const OBSERVER_PATIENCE: Duration = Duration::from_secs(5);

// Clean-up.
pub(crate) const CLEAN_UP_BATCH: usize = 1_000;
/// After this many files a clean-up of a file store stops; the next one goes on there.
#[cfg(feature = "file")]
pub(crate) const FILES_LOOKED_AT: usize = 10_000;
/// Files that were reported as not readable: each once, and after so many none.
#[cfg(feature = "file")]
pub(crate) const MAX_REPORTED_FILES: usize = 1_000;

// Values: how often a write is tried when others write too, and how long it waits between, at most.
pub(crate) const WRITE_ATTEMPTS: u32 = 64;
pub(crate) const WRITE_BACKOFF: Duration = Duration::from_millis(50);

/// What to do with an initialize when there is no room.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum WhenFull {
    /// Make room by ending a session that nobody uses; 503 if there is none.
    #[default]
    Evict,
    /// Answer 503.
    Reject,
}

/// What to do with a session that this instance does not hold, and its store does.
///
/// A session is *mapped* if the inner service minted an `Mcp-Session-Id` of its own at initialize: on an instance that
/// does not know that id the inner service must hear of the client first. It gets the stored initialize again, and its
/// answer goes to nobody: the client sees no difference.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Restore {
    /// Send the initialize of a mapped session again; load any other.
    #[default]
    Auto,
    /// Send the initialize of each session again, for inner services that keep something of it without an id.
    Always,
    /// Send none again. A mapped session is served only where it began; elsewhere it is answered 404. It ends when that
    /// instance needs its room.
    Never,
}

impl Restore {
    /// Whether the inner service must hear the initialize of a session again.
    pub(crate) fn replays(self, mapped: bool) -> bool {
        match self {
            Self::Auto => mapped,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// The options that are plain values; the layer's `with_` methods set them.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) expiry: Expiry,
    pub(crate) touch_interval: Option<Duration>,
    pub(crate) freshness: Duration,
    pub(crate) max_sessions: usize,
    pub(crate) max_sessions_per_principal: usize,
    pub(crate) max_half_open: Option<usize>,
    pub(crate) when_full: WhenFull,
    pub(crate) max_values_bytes: usize,
    /// `None`: histories are off.
    pub(crate) history: Option<HistoryLimits>,
    pub(crate) max_initialize_body: usize,
    pub(crate) max_initialize_params: usize,
    pub(crate) max_initialize_answer: usize,
    pub(crate) max_strict_body: usize,
    pub(crate) body_timeout: Duration,
    pub(crate) initialize_timeout: Duration,
    pub(crate) store_timeout: Duration,
    pub(crate) restore: Restore,
    pub(crate) restore_timeout: Duration,
    pub(crate) observer_queue: usize,
}

impl Config {
    /// How often, at most, one instance tells the store that a session is in use.
    pub(crate) fn touch_interval(&self) -> Duration {
        let derived = self
            .expiry
            .idle
            .map_or(MAX_TOUCH_INTERVAL, |idle| MAX_TOUCH_INTERVAL.min(idle / 10));
        self.touch_interval.unwrap_or(derived)
    }

    /// How long an answer of the store holds for a session, with a watch or without one.
    pub(crate) fn window(&self, watched: bool) -> Duration {
        let longest = if watched {
            self.expiry.idle.unwrap_or(Duration::MAX)
        } else {
            self.freshness
        };
        longest.min(self.touch_interval())
    }

    /// How many half-open sessions without a principal there may be.
    pub(crate) fn max_half_open(&self) -> usize {
        self.max_half_open
            .unwrap_or((self.max_sessions / HALF_OPEN_SHARE).max(1))
    }
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self::new(HISTORY_MESSAGES, HISTORY_BYTES)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            expiry: Expiry {
                idle: Some(IDLE_TIMEOUT),
                half_open: Some(HALF_OPEN_TIMEOUT),
                absolute: Some(MAX_LIFETIME),
            },
            touch_interval: None,
            freshness: Duration::ZERO,
            max_sessions: MAX_SESSIONS,
            max_sessions_per_principal: MAX_SESSIONS_PER_PRINCIPAL,
            max_half_open: None,
            when_full: WhenFull::default(),
            max_values_bytes: MAX_VALUES_BYTES,
            history: None,
            max_initialize_body: MAX_INITIALIZE_BODY,
            max_initialize_params: MAX_INITIALIZE_PARAMS,
            max_initialize_answer: MAX_INITIALIZE_ANSWER,
            max_strict_body: MAX_STRICT_BODY,
            body_timeout: BODY_TIMEOUT,
            initialize_timeout: INITIALIZE_TIMEOUT,
            store_timeout: STORE_TIMEOUT,
            restore: Restore::default(),
            restore_timeout: RESTORE_TIMEOUT,
            observer_queue: OBSERVER_QUEUE,
        }
    }
}
