//! The router, with and without the session layer.

use std::sync::Arc;

use axum::Router;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use tower_mcp_session::{MemoryStore, SessionLayer};

use crate::fixture::{Fixture, Shared};

/// How rmcp itself treats sessions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Inner {
    /// Each request is served on its own; no session id.
    Stateless,
    /// rmcp mints a session id and keeps a task for each session.
    Stateful,
}

/// The fixture at `/mcp`, behind the session layer if `layer` is true.
pub(crate) fn app(layer: bool, inner: Inner) -> Router {
    let router = Router::new().route_service("/mcp", service(inner));
    if layer {
        router.layer(SessionLayer::new(MemoryStore::new()))
    } else {
        router
    }
}

fn service(inner: Inner) -> StreamableHttpService<Fixture, LocalSessionManager> {
    let sessions = Arc::new(LocalSessionManager::default());
    let shared = Arc::new(Shared::new(Arc::clone(&sessions)));
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(inner == Inner::Stateful)
        .with_allowed_origins(["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"]);
    StreamableHttpService::new(
        move || Ok(Fixture::new(Arc::clone(&shared))),
        sessions,
        config,
    )
}
