//! The router: rmcp at `/mcp`, the session layer in front of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http_body_util::BodyExt;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::time::timeout;
use tower_mcp_session::{SessionLayer, SessionStore};

use crate::tools::Tools;

/// How rmcp itself treats sessions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Inner {
    /// Each request is served on its own. Costs least, but a tool cannot ask the client back.
    Stateless,
    /// rmcp has a session of its own for each of the layer's, in which a tool can ask the client back.
    Stateful,
}

/// The layer: sessions in `store`, for callers on this machine only.
pub(crate) fn sessions(store: impl SessionStore) -> SessionLayer {
    SessionLayer::new(store)
        .with_path("/mcp")
        .with_loopback_only()
}

/// The whole server.
pub(crate) fn app(sessions: &SessionLayer, inner: Inner) -> Router {
    let mut router = Router::new().route_service("/mcp", mcp(inner));
    if inner == Inner::Stateless {
        router = router.layer(from_fn(quiet_stream));
    }
    // The last layer is the outermost: it sees a request first.
    router
        .layer(sessions.clone())
        .layer(from_fn(refuse_large_bodies))
}

/// Opens the stream that a client asks for by GET. A stateless server has nothing to say on it, but the layer ends it
/// with the session, and when this instance is about to stop.
async fn quiet_stream(request: Request, next: Next) -> Response {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    let nothing = stream::pending::<Result<Event, Infallible>>();
    Sse::new(nothing)
        .keep_alive(KeepAlive::default())
        .into_response()
}

/// Answers 413 to a body that says it is too large, and reads it: a client that is cut off while it sends may never see
/// the answer. One that does not say how large it is has rmcp's limit.
async fn refuse_large_bodies(request: Request, next: Next) -> Response {
    if request.body().size_hint().lower() <= MAX_BODY as u64 {
        return next.run(request).await;
    }
    let mut body = request.into_body();
    let read = async { while let Some(Ok(_)) = body.frame().await {} };
    if timeout(LARGE_BODY_TIMEOUT, read).await.is_err() {
        tracing::debug!("a body that is too large did not end");
    }
    StatusCode::PAYLOAD_TOO_LARGE.into_response()
}

fn mcp(inner: Inner) -> StreamableHttpService<Tools, LocalSessionManager> {
    let mut inner_sessions = LocalSessionManager::default();
    // The layer says when a session ends, and tells rmcp.
    inner_sessions.session_config.keep_alive = None;
    // By default rmcp checks the host as the layer does, and no origin.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(inner == Inner::Stateful)
        .with_max_request_body_bytes(MAX_BODY);
    StreamableHttpService::new(|| Ok(Tools), Arc::new(inner_sessions), config)
}

const MAX_BODY: usize = 40 * 1024 * 1024;
const LARGE_BODY_TIMEOUT: Duration = Duration::from_secs(10);
