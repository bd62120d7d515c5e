//! The options of [`SessionLayer`].

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

use super::layer::SessionLayer;
use super::options::{MissingId, Modern, StaleNotification, UnknownId};
use super::principal::PrincipalExtractor;
use crate::clock::Clock;
use crate::config::WhenFull;
use crate::session::Principal;

/// How long sessions last.
impl SessionLayer {
    /// Ends a session after `idle` without a request. Default: 24 h. A request that runs, and an open stream, count.
    pub fn with_idle_timeout(mut self, idle: Duration) -> Self {
        self.manager.config_mut().expiry.idle = Some(idle);
        self
    }

    /// Ends no session for want of use. Default: after 24 h.
    pub fn without_idle_timeout(mut self) -> Self {
        self.manager.config_mut().expiry.idle = None;
        self
    }

    /// Ends a session after `timeout` if nothing came after its initialize. Default: 5 min.
    pub fn with_half_open_timeout(mut self, timeout: Duration) -> Self {
        self.manager.config_mut().expiry.half_open = Some(timeout);
        self
    }

    /// Ends a session after `life`, used or not. Default: 7 d.
    pub fn with_max_lifetime(mut self, life: Duration) -> Self {
        self.manager.config_mut().expiry.absolute = Some(life);
        self
    }

    /// Lets a session last for as long as it is used. Default: 7 d at most.
    pub fn without_max_lifetime(mut self) -> Self {
        self.manager.config_mut().expiry.absolute = None;
        self
    }

    /// Tells the store of a session in use at most every `interval`. Default: a tenth of the idle timeout, at most
    /// 30 s.
    pub fn with_touch_interval(mut self, interval: Duration) -> Self {
        self.manager.config_mut().touch_interval = Some(interval);
        self
    }

    /// Lets an answer of a store without a watch count for `freshness`. Default: zero, the store is asked for each
    /// request. For that long an end on another instance may go unseen.
    ///
    /// A [`CachedStore`](crate::store::CachedStore) around the store spares other calls, and says when to use which.
    pub fn with_freshness(mut self, freshness: Duration) -> Self {
        self.manager.config_mut().freshness = freshness;
        self
    }

    /// Takes the time from `clock`. Default: [`SystemClock`](crate::SystemClock).
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.manager.set_clock(Arc::new(clock));
        self
    }
}

/// How much there may be.
impl SessionLayer {
    /// Holds at most `sessions` at once on this instance. Default: 100 000.
    pub fn with_max_sessions(mut self, sessions: usize) -> Self {
        self.manager.config_mut().max_sessions = sessions;
        self
    }

    /// Holds at most `sessions` of one principal at once on this instance. Default: 1 000.
    pub fn with_max_sessions_per_principal(mut self, sessions: usize) -> Self {
        self.manager.config_mut().max_sessions_per_principal = sessions;
        self
    }

    /// Holds at most `sessions` without a principal that nothing came for after initialize. Default: a quarter of
    /// the cap on all.
    pub fn with_max_half_open(mut self, sessions: usize) -> Self {
        self.manager.config_mut().max_half_open = Some(sessions);
        self
    }

    /// What to do with an initialize at a cap. Default: [`WhenFull::Evict`].
    pub fn with_when_full(mut self, when_full: WhenFull) -> Self {
        self.manager.config_mut().when_full = when_full;
        self
    }

    /// Limits the values of one session to `bytes`, names and JSON texts together. Default: 64 KiB.
    pub fn with_max_values_bytes(mut self, bytes: usize) -> Self {
        self.manager.config_mut().max_values_bytes = bytes;
        self
    }

    /// Limits the body of an initialize, and each body without a live session that must be read, to `bytes`.
    /// Default: 64 KiB.
    pub fn with_max_initialize_body(mut self, bytes: usize) -> Self {
        self.manager.config_mut().max_initialize_body = bytes;
        self
    }

    /// Limits the params of an initialize, as they are stored, to `bytes`. Default: 16 KiB.
    pub fn with_max_initialize_params(mut self, bytes: usize) -> Self {
        self.manager.config_mut().max_initialize_params = bytes;
        self
    }

    /// Reads at most `bytes` of the answer to an initialize to find its result. Default: 1 MiB.
    pub fn with_max_initialize_answer(mut self, bytes: usize) -> Self {
        self.manager.config_mut().max_initialize_answer = bytes;
        self
    }

    /// Waits at most `timeout` for the answer to an initialize. Default: 60 s.
    pub fn with_initialize_timeout(mut self, timeout: Duration) -> Self {
        self.manager.config_mut().initialize_timeout = timeout;
        self
    }

    /// Reads a body for at most `timeout`. Default: 30 s.
    pub fn with_body_timeout(mut self, timeout: Duration) -> Self {
        self.manager.config_mut().body_timeout = timeout;
        self
    }

    /// Waits at most `timeout` for one call of the store. Default: 2 s.
    pub fn with_store_timeout(mut self, timeout: Duration) -> Self {
        self.manager.config_mut().store_timeout = timeout;
        self
    }
}

/// Whose sessions they are, and who may come in.
impl SessionLayer {
    /// Binds each session to the principal that began it, which `extractor` finds. Default: sessions are anonymous.
    ///
    /// See [`PrincipalExtractor`] for an example. Another principal, or none, gets the 404 of an unknown id.
    pub fn with_principal<F>(self, extractor: F) -> Self
    where
        F: Fn(&Parts) -> Result<Option<Principal>, Box<dyn Error + Send + Sync>>
            + Send
            + Sync
            + 'static,
    {
        self.with_principal_extractor(extractor)
    }

    /// As [`with_principal`](Self::with_principal), for a type of yours.
    pub fn with_principal_extractor(mut self, extractor: impl PrincipalExtractor) -> Self {
        self.options_mut().principal = Some(Arc::new(extractor));
        self
    }

    /// Names the endpoint that sessions belong to. Default: the path of their requests; all gRPC methods together
    /// are one endpoint.
    ///
    /// A session is unknown at any other audience. Name one where paths differ between requests of a session, where
    /// a router strips a prefix that tells endpoints apart, or where gRPC calls use the sessions of an MCP endpoint.
    pub fn with_audience(mut self, audience: impl Into<Arc<str>>) -> Self {
        self.options_mut().audience = Some(audience.into());
        self
    }

    /// Answers 403 to requests whose `Origin` is not one of `origins`. Default: all are allowed.
    ///
    /// An entry is a scheme and host, such as `https://app.example.com`; without a port it allows each port. Requests
    /// without an `Origin` do not come from a page, and pass. 2025-11-25, Transports, Security Warning.
    pub fn with_allowed_origins<I>(mut self, origins: I) -> Self
    where
        I: IntoIterator<Item: Into<Box<str>>>,
    {
        self.options_mut().allowed.origins = Some(origins.into_iter().map(Into::into).collect());
        self
    }

    /// Answers 403 to requests whose `Host` is not one of `hosts`. Default: all are allowed.
    ///
    /// An entry without a port allows each port. Requests that are none of the layer's, because
    /// [`with_path`](Self::with_path) names another path, are not looked at.
    pub fn with_allowed_hosts<I>(mut self, hosts: I) -> Self
    where
        I: IntoIterator<Item: Into<Box<str>>>,
    {
        self.options_mut().allowed.hosts = Some(hosts.into_iter().map(Into::into).collect());
        self
    }
}

/// Shorthands.
impl SessionLayer {
    /// Answers 403 to requests that do not come from this machine, by their `Host` and `Origin`: for a server that
    /// listens on a loopback address. Default: all are allowed.
    ///
    /// The same as [`with_allowed_hosts`](Self::with_allowed_hosts) and
    /// [`with_allowed_origins`](Self::with_allowed_origins) with the names of this machine, on any port.
    pub fn with_loopback_only(self) -> Self {
        let origins = LOOPBACK
            .into_iter()
            .flat_map(|host| [format!("http://{host}"), format!("https://{host}")]);
        self.with_allowed_hosts(LOOPBACK)
            .with_allowed_origins(origins)
    }
}

/// The names of this machine, as they stand in `Host`.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Which requests are MCP's, and what becomes of the odd ones.
impl SessionLayer {
    /// Lets everything pass untouched if `enabled` is false. Default: true.
    pub fn with_enabled(mut self, enabled: bool) -> Self {
        self.options_mut().enabled = enabled;
        self
    }

    /// Takes each request of `path` for MCP's, and none of another path. Default: requests are told by what they
    /// carry.
    pub fn with_path(mut self, path: impl Into<Arc<str>>) -> Self {
        let options = self.options_mut();
        options.path = Some(path.into());
        options.rules.whole_path = true;
        self
    }

    /// Lets a GET open a stream. Default: true; without, GET is answered 405.
    pub fn with_streams(mut self, streams: bool) -> Self {
        self.options_mut().rules.streams = streams;
        self
    }

    /// Lets a client end its session with DELETE. Default: true; without, DELETE is answered 405. Wire rule 25.
    pub fn with_delete(mut self, delete: bool) -> Self {
        self.options_mut().rules.delete = delete;
        self
    }

    /// Reads the bodies of requests inside sessions, up to 4 MiB, and applies the wire rules about them (12, 13, 39,
    /// 66, 69, 70, 76). Default: false; they are the inner service's to judge.
    pub fn with_strict_bodies(mut self, strict: bool) -> Self {
        self.options_mut().rules.strict = strict;
        self
    }

    /// What to do with a request of an older revision without an id. Default: [`MissingId::Refuse`].
    pub fn with_missing_id(mut self, missing_id: MissingId) -> Self {
        self.options_mut().missing_id = missing_id;
        self
    }

    /// What to do with a request whose id is unknown. Default: [`UnknownId::Refuse`].
    pub fn with_unknown_id(mut self, unknown_id: UnknownId) -> Self {
        self.options_mut().unknown_id = unknown_id;
        self
    }

    /// What to do with a notification whose session is over. Default: [`StaleNotification::Refuse`].
    pub fn with_stale_notification(mut self, stale: StaleNotification) -> Self {
        self.options_mut().stale_notification = stale;
        self
    }

    /// What to do with requests of 2026-07-28 and later. Default: [`Modern::PassOn`].
    pub fn with_modern(mut self, modern: Modern) -> Self {
        self.options_mut().modern = modern;
        self
    }

    /// Begins a session with each successful call of the gRPC method `path`, such as `/package.Service/Method`.
    /// Default: none; sessions begin at an MCP initialize only.
    ///
    /// The method must be unary. Its answer is held until its status is known, at most 64 KiB and 10 s, and the id
    /// goes out in the initial metadata.
    pub fn with_grpc_initialize(mut self, path: impl Into<Arc<str>>) -> Self {
        self.options_mut().grpc_initialize = Some(path.into());
        self
    }
}
