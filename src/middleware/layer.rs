//! [`SessionLayer`]: how sessions come in front of a service.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tower_layer::Layer;

use super::endpoint::Endpoint;
use super::options::Options;
use super::service::Session;
use crate::manager::{SessionManager, Sessions};
use crate::store::SessionStore;

/// Gives the service inside it MCP sessions.
///
/// A clone shares the sessions of its original. Options are set before the first request; those set on a clone count
/// for that clone.
///
/// # Defaults
///
/// | what | default | option |
/// |---|---|---|
/// | end of a session without a request | 24 h | [`with_idle_timeout`](Self::with_idle_timeout) |
/// | the same before the first request after initialize | 5 min | [`with_half_open_timeout`](Self::with_half_open_timeout) |
/// | end of a session in any case | 7 d | [`with_max_lifetime`](Self::with_max_lifetime) |
/// | the store is told of a used session at most every | a tenth of the idle timeout, at most 30 s | [`with_touch_interval`](Self::with_touch_interval) |
/// | a store without a watch is asked | for each request | [`with_freshness`](Self::with_freshness) |
/// | sessions on this instance | 100 000 | [`with_max_sessions`](Self::with_max_sessions) |
/// | sessions of one principal | 1 000 | [`with_max_sessions_per_principal`](Self::with_max_sessions_per_principal) |
/// | half-open sessions without a principal | a quarter of the cap | [`with_max_half_open`](Self::with_max_half_open) |
/// | at the cap | the oldest half-open session goes, else one that was idle for 300 s | [`with_when_full`](Self::with_when_full) |
/// | values of one session | 64 KiB | [`with_max_values_bytes`](Self::with_max_values_bytes) |
/// | history of one session | off; 100 messages and 64 KiB if it is on | [`with_history`](Self::with_history) |
/// | body of an initialize | 64 KiB | [`with_max_initialize_body`](Self::with_max_initialize_body) |
/// | its params, as stored | 16 KiB | [`with_max_initialize_params`](Self::with_max_initialize_params) |
/// | its answer | 1 MiB | [`with_max_initialize_answer`](Self::with_max_initialize_answer) |
/// | until the answer is there | 60 s | [`with_initialize_timeout`](Self::with_initialize_timeout) |
/// | reading a body | 30 s; 5 s to echo an id | [`with_body_timeout`](Self::with_body_timeout) |
/// | one call of the store | 2 s; 30 times that where it may look at each session | [`with_store_timeout`](Self::with_store_timeout) |
/// | a session that only the store knows | its initialize is sent again if the inner service has ids of its own | [`with_restore`](Self::with_restore) |
/// | until the inner service has taken it up | 10 s | [`with_restore_timeout`](Self::with_restore_timeout) |
/// | headers that go along | `Host`, `Origin`, credentials, `Forwarded`, traces | [`with_restore_headers`](Self::with_restore_headers) |
/// | who is told what happens to sessions | nobody | [`with_observer`](Self::with_observer) |
/// | events that wait for an observer | 4 096 | [`with_observer_queue`](Self::with_observer_queue) |
/// | bodies inside a session | not read | [`with_strict_bodies`](Self::with_strict_bodies) |
///
/// Fixed: all bodies being read together 256 MiB; of a refused body 4 MiB are read, for at most 5 s; 1 024 initializes
/// at once; inner sessions are ended 64 at a time, within 5 s each, and at most 10 000 wait for it; a stream alone keeps
/// its session busy for an hour after its last byte was taken; an id has at
/// most 1 KiB; 256 restores at once, and a session whose restore failed is not tried again for 2 s; where the inner
/// service has ids of its own, 64 KiB of a request are kept until it is answered, and a session that it lost is begun
/// again once in 10 s; of what was heard for a history and is not yet written at most 1 000 bodies and 1 MiB wait for a
/// session, and 64 MiB for all, the oldest go; for a minute after a restore bodies of up to 1 KiB are looked at; a refused client is told to come back after 1 to 3 s; a session that eviction may end was idle for
/// 300 s, or half-open for 10 s; equal handshakes are kept once, for up to 1 024 different ones.
///
/// # Examples
///
/// ```
/// use tower::{Layer, service_fn};
/// use tower_mcp_session::{MemoryStore, SessionLayer};
///
/// let server = service_fn(|request: http::Request<tower_mcp_session::RequestBody<String>>| async move {
///     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
/// });
/// let with_sessions = SessionLayer::new(MemoryStore::new()).layer(server);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SessionLayer {
    pub(super) manager: SessionManager,
    pub(super) options: Arc<Options>,
}

impl SessionLayer {
    /// Keeps sessions in `store`, with the defaults above.
    pub fn new(store: impl SessionStore) -> Self {
        Self {
            manager: SessionManager::new(Arc::new(store)),
            options: Arc::default(),
        }
    }

    /// Keeps no sessions at all: mints nothing, answers each id 404, and GET and DELETE 405.
    ///
    /// For services that are stateless on purpose. Requests without an id pass.
    pub fn stateless() -> Self {
        let mut layer = Self::new(crate::store::MemoryStore::new());
        let options = layer.options_mut();
        options.stateful = false;
        options.rules.streams = false;
        options.rules.delete = false;
        layer
    }

    /// How many sessions this instance holds, those that are about to begin included.
    pub fn live_sessions(&self) -> usize {
        self.manager.len()
    }

    /// The sessions of this layer, for operators.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        Sessions::new(self.manager.clone())
    }

    /// Refuses new sessions with 503 from now on; after `grace`, ends the streams of this instance.
    ///
    /// Sessions stay alive, and their requests are served until the process ends. The store is told of all that was
    /// used last, and observers of all that happened, which may take 5 s more. For a rolling deploy: call it, wait for it,
    /// then stop the server.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, new sessions stay refused and the streams stay open.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_mcp_session::{MemoryStore, SessionLayer};
    /// # async fn stop() {
    /// let layer = SessionLayer::new(MemoryStore::new());
    /// // ... serve, with a clone of it ...
    /// layer.drain(Duration::from_secs(5)).await;
    /// # }
    /// ```
    pub async fn drain(&self, grace: Duration) {
        self.manager.drain(grace).await;
    }

    /// Tells the store of the sessions that were used, drops what is over, and removes what expired.
    ///
    /// The layer does so by itself every touch interval; whoever has no runtime that lasts, or tests, calls this.
    ///
    /// # Errors
    ///
    /// If the store did not do its part; a later call goes on.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, a part was done; a later call goes on.
    pub async fn clean_up(&self) -> Result<(), crate::store::StoreError> {
        self.manager.clean_up().await
    }

    pub(super) fn options_mut(&mut self) -> &mut Options {
        Arc::make_mut(&mut self.options)
    }
}

impl<S: Clone> Layer<S> for SessionLayer {
    type Service = Session<S>;

    fn layer(&self, inner: S) -> Session<S> {
        let mut options = (*self.options).clone();
        // Wire rule 26: a DELETE that the store cannot keep to is refused before any look-up.
        options.rules.delete &= self.manager.core().capabilities.delete;
        let endpoint = Endpoint {
            options,
            manager: self.manager.clone(),
            address: OnceLock::new(),
            closer: OnceLock::new(),
        };
        Session::new(inner, Arc::new(endpoint))
    }
}
