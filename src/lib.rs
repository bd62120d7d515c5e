//! Session management for Model Context Protocol servers, as a tower layer.
//!
//! [`SessionLayer`] goes around the MCP server you have: rmcp's, handlers of axum, a service of your own. It mints a
//! session id when an initialize succeeds, knows each request of the session by it, answers 404 once it is over, ends
//! it at DELETE, and gives handlers a [`SessionContext`] to keep values in.
//!
//! # Examples
//!
//! ```
//! use http_body_util::Full;
//! use tower::{Layer, Service, ServiceExt, service_fn};
//! use tower_mcp_session::{MemoryStore, RequestBody, SessionContext, SessionLayer};
//!
//! type Body = Full<bytes::Bytes>;
//!
//! // Stands for your server: it answers an initialize, and counts all other requests of a session.
//! async fn server(request: http::Request<RequestBody<Body>>) -> Result<http::Response<Body>, std::convert::Infallible> {
//!     let session = request.extensions().get::<SessionContext>().cloned();
//!     let answer = match session {
//!         Some(session) if session.id().is_some() => {
//!             let count = session.update("count", |count: Option<u32>| count.unwrap_or(0) + 1).await;
//!             count.unwrap_or(0).to_string()
//!         }
//!         _ => r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#.to_owned(),
//!     };
//!     Ok(http::Response::new(Body::from(answer)))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut service = SessionLayer::new(MemoryStore::new()).layer(service_fn(server));
//!
//! let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
//! let request = http::Request::post("/mcp").body(Body::from(initialize))?;
//! let answer = service.ready().await?.call(request).await?;
//! let id = &answer.headers()["mcp-session-id"];
//!
//! let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}"#;
//! let request = http::Request::post("/mcp").header("mcp-session-id", id).body(Body::from(call))?;
//! assert_eq!(service.ready().await?.call(request).await?.status(), 200);
//!
//! let request = http::Request::delete("/mcp").header("mcp-session-id", id).body(Body::default())?;
//! assert_eq!(service.ready().await?.call(request).await?.status(), 204);
//! # Ok(())
//! # }
//! ```
//!
//! # The ways of a request
//!
//! | a request | goes this way | costs |
//! |---|---|---|
//! | of an older revision with the id of a live session | to the inner service, with its [`SessionContext`] | one look-up; the body is not read |
//! | of a session that another instance began | the inner service gets the initialize again if it needs it, then the request | one read of the store, and one task for all that come at once |
//! | of 2026-07-28 or later | to the inner service, its answer untouched | nothing is looked up or read |
//! | that is an initialize | to the inner service; a session begins if it succeeds | up to 64 KiB of the body, and the answer up to its result, are read |
//! | that is not MCP's | to the inner service, byte for byte | the start of a JSON body without an id is read |
//!
//! Everything else is answered by the layer: 404 for an id that is unknown, expired, ended or another's; 400 for a
//! missing id; 503 with `Retry-After` when the store cannot be asked or there is no room.
//!
//! # Many instances, and restarts
//!
//! Over a shared store a session is not bound to the instance that began it: any other takes it up at its first
//! request, be it a POST or a GET. Where the inner service mints ids of its own (rmcp in its stateful mode), it first
//! gets the stored initialize again, marked with [`SessionRestored`], and `notifications/initialized` if the client
//! has sent that. What it answers goes to nobody. [`Restore`] says when.
//!
//! - 404 only if the session is over, or the inner service says no to the initialize: an error, another version, or
//!   400, 404, 405, 422. Its 401 and 403 go to the caller whose credentials were sent along. All else is 503 with
//!   `Retry-After`: the client keeps its session.
//! - An inner service that answers 404 in a session of its own has lost it: it gets the initialize, and the request,
//!   once more.
//! - The end or the suspension of a session counts for new requests everywhere at once, and reaches work and streams
//!   on other instances within one touch interval.
//! - What the inner service keeps in memory besides is not brought back: subscriptions, running calls, its events. A
//!   `Last-Event-ID` is answered 400 after a restore.
//!
//! # What is remembered, and what operators do
//!
//! - [`SessionLayer::with_history`] keeps the last messages of each session, for handlers to read and to add to
//!   ([`SessionContext::history`]). It is off by default: arguments of tools hold secrets.
//! - [`SessionLayer::sessions`] is for operators: list, inspect, suspend, resume and end sessions, all of a principal
//!   too, and [`Statistics`]. Over a store with an index it reaches those of all instances.
//!
//! # Where the layer goes
//!
//! - Authentication, CORS and compression go outside: they see a request before the layer does. CORS must allow and
//!   expose `Mcp-Session-Id`, or pages see neither the id nor our 404.
//! - `Router::layer`, `Router::route_layer` and `MethodRouter::layer` of axum see each method of a route. On
//!   `MethodRouter::route_layer` DELETE never arrives unless the route handles it.
//! - `axum::middleware::from_fn` right inside the layer, in one `ServiceBuilder`, wants the body that axum has: put
//!   `MapRequestBodyLayer::new(axum::body::Body::new)` of tower-http between them.
//! - Around a whole router, a GET that asks for an event stream is taken for MCP's. If other routes serve such
//!   streams, name the path of the MCP endpoint with [`SessionLayer::with_path`].
//! - Where the inner service has sessions of its own, all methods must lead to one service, as with
//!   `Router::route_service`: the layer ends inner sessions through the service that began them, and sends an initialize
//!   again through the one that the request was for.
//!
//! # Seeing what happens
//!
//! An [`Observer`] is told of each session that begins, is used, changes its state or ends, and of each request that the
//! layer answers itself, with its cause: enough for an audit trail. With the feature `metrics` the same is counted for
//! Prometheus, OpenTelemetry and others. Each request of a session runs in a span of `tracing` that is called
//! `mcp_session` and has the fingerprint of the session, at the level debug: what handlers log says whose session it was.
//!
//! # More examples
//!
//! The folder `examples` of this crate has whole servers, each for one idea, which its tests run:
//!
//! - what sessions are for: `workflow` (an order in several calls, suspended until an operator approves it) and
//!   `conversation` (what was said before, kept without passwords);
//! - other layers: `bearer_auth` and `rate_limit`;
//! - operation: `user_tracking` (whose sessions there are, and all of a user ended), `audit_log`, `metrics`;
//! - frameworks and stores: `server`, `plain_axum`, `hyper_server`, `tonic_beside_mcp`, `custom_store`,
//!   `two_instances`, `signed_ids`, `stateless`.
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | adds | needs Rust |
//! |---|---|---|
//! | `axum` | extractors for handlers of axum | 1.88 |
//! | `file` | `FileStore`: one file for each session, in a folder of this machine | 1.88 |
//! | `metrics` | metrics of sessions after OpenTelemetry's conventions, for the recorder of the crate `metrics` that you set; `SessionLayer::record_metrics` | 1.88 |
//! | `postgres` | `PostgresStore`, for PostgreSQL; `store::sqlx`, which it is built from | 1.94 |
//! | `redis` | `RedisStore`, for Redis and Valkey; `store::redis`, which it is built from | 1.88 |
//! | `signed` | `SignedStore`: ids that say it all, and are kept nowhere ([`store`] says when) | 1.88 |
//! | `sqlite` | `SqliteStore`; SQLite is compiled in; `store::sqlx`, which it is built from | 1.94 |
//! | `testing` | the store contract as functions, a manual clock, stores that fail, a scripted server | 1.88 |
//!
//! The stores are listed in [`store`], all limits and their defaults at [`SessionLayer`].
//!
//! # Security
//!
//! - A session id is no proof of who is calling: authenticate each request, outside this layer, and tell the layer who
//!   it is with [`SessionLayer::with_principal`]. Without it, whoever has an id has the session.
//! - Handlers authorise from the present request, never from what was true at initialize.
//! - A server that listens on a loopback address sets [`SessionLayer::with_allowed_hosts`] and
//!   [`SessionLayer::with_allowed_origins`] against DNS rebinding.
//! - Ids, principals and messages never reach a log or an error text; [`SessionId::fingerprint`] does.
//!
//! # Minimum supported Rust version
//!
//! 1.88, and for some features a later one: the table above says which. A newer one is a minor release.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod protocol;

mod session;

mod clock;

mod config;

mod sharded;

pub mod store;

#[cfg(feature = "testing")]
pub mod testing;

mod manager;

mod middleware;

#[cfg(feature = "axum")]
pub mod axum;

pub use clock::{Clock, SystemClock};
pub use config::{Restore, WhenFull};
pub use manager::{
    Durations, EndReason, ObservedSession, Observer, Scope, SessionContext, SessionError,
    SessionFilter, SessionHistory, SessionInfo, SessionListPage, Sessions, Standings, Statistics,
    StoredStatistics,
};
pub use middleware::{
    MissingId, Modern, PrincipalExtractor, RequestBody, ResponseBody, ResponseFuture, Session,
    SessionLayer, SessionRestored, StaleNotification, UnknownId,
};
pub use protocol::{InvalidProtocolVersion, ProtocolVersion, RefusalCause};
pub use session::{
    ClientInfo, Fingerprint, Handshake, History, HistoryLimits, HistorySummary, InvalidSessionId,
    InvalidSessionKey, InvalidTransition, Message, NewSession, OwnerTag, Principal,
    RandomSourceError, Role, SessionId, SessionKey, SessionRecord, SessionState, Timestamp, Values,
    ValuesError,
};
#[cfg(feature = "file")]
pub use store::FileStore;
#[cfg(feature = "postgres")]
pub use store::PostgresStore;
#[cfg(feature = "redis")]
pub use store::RedisStore;
#[cfg(feature = "signed")]
pub use store::SignedStore;
#[cfg(feature = "sqlite")]
pub use store::SqliteStore;
pub use store::{CachedStore, MemoryStore, SessionStore};

/// The README's code, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
