//! Run with `ADMIN_TOKEN=a-secret cargo run --example workflow`.
//!
//! An order in several calls of tools, whose step (`order.rs`) is kept in the session (`tools.rs`). Once it is
//! submitted its session is suspended: the client gets 503 with `Retry-After` until an operator approves, here.

mod order;
mod tools;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tower_mcp_session::store::{StoreError, StoreErrorKind};
use tower_mcp_session::{
    MemoryStore, SessionError, SessionFilter, SessionKey, SessionLayer, SessionState, Sessions,
};

use self::tools::Tools;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let admin_token = std::env::var("ADMIN_TOKEN").map_err(|_| "ADMIN_TOKEN is not set")?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app(&admin_token)).await?;
    Ok(())
}

/// A server that takes orders, and routes for whoever has `admin_token` to approve them.
pub(crate) fn app(admin_token: &str) -> Router {
    let sessions = SessionLayer::new(MemoryStore::new()).with_path("/mcp");
    let authorization: Arc<str> = format!("Bearer {admin_token}").into();
    let admin = Router::new()
        .route("/admin/waiting", get(waiting))
        .route("/admin/approve/{key}", post(approve))
        .layer(from_fn_with_state(authorization, authorize))
        .with_state(sessions.sessions());
    let mcp = Router::new().route_service("/mcp", mcp()).layer(sessions);
    mcp.merge(admin)
}

/// Lets nobody in without the token: what operators do, nobody asks whose session it is.
async fn authorize(State(expected): State<Arc<str>>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION);
    // In constant time, so that how long it takes says nothing of the token.
    match sent.is_some_and(|sent| sent.as_bytes().ct_eq(expected.as_bytes()).into()) {
        true => next.run(request).await,
        false => StatusCode::UNAUTHORIZED.into_response(),
    }
}

/// The keys of the sessions that wait, one on each line.
async fn waiting(State(sessions): State<Sessions>) -> Result<String, StatusCode> {
    let suspended = SessionFilter::default().with_state(SessionState::Suspended);
    let (mut keys, mut after) = (String::new(), None);
    loop {
        let page = sessions.list(&suspended, after.as_ref(), 1000).await;
        let page = page.map_err(|error| status_of(&error))?;
        keys.extend(
            page.sessions
                .iter()
                .map(|session| format!("{}\n", session.key)),
        );
        after = page.next;
        if after.is_none() {
            return Ok(keys);
        }
    }
}

/// Lets the session of `key` go on: its client may confirm now.
async fn approve(State(sessions): State<Sessions>, Path(key): Path<String>) -> StatusCode {
    let Ok(key) = key.parse::<SessionKey>() else {
        return StatusCode::NOT_FOUND;
    };
    match sessions.resume(&key).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(SessionError::State(_)) => StatusCode::CONFLICT,
        Err(SessionError::Store(error)) => status_of(&error),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn status_of(error: &StoreError) -> StatusCode {
    match error.kind() {
        StoreErrorKind::Gone => StatusCode::NOT_FOUND,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn mcp() -> StreamableHttpService<Tools, NeverSessionManager> {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        // A stream ends when its session is suspended. This way the answer to the submission is none, and arrives.
        .with_json_response(true);
    StreamableHttpService::new(|| Ok(Tools), Arc::default(), config)
}
