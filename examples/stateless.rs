//! Run with `cargo run --example stateless`.
//!
//! A server that is stateless on purpose: no id is given out, and each that comes in is answered 404, so that a client
//! with an id from an older deployment begins anew.

use std::sync::Arc;

use axum::Router;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{tool, tool_router};
use tokio::net::TcpListener;
use tower_mcp_session::SessionLayer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app()).await?;
    Ok(())
}

/// A server with one tool, without sessions.
pub(crate) fn app() -> Router {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true);
    let mcp =
        StreamableHttpService::new(|| Ok(Hello), Arc::<NeverSessionManager>::default(), config);
    let no_sessions = SessionLayer::stateless().with_path("/mcp");
    Router::new().route_service("/mcp", mcp).layer(no_sessions)
}

struct Hello;

#[tool_router(server_handler)]
impl Hello {
    /// Says hello.
    #[tool]
    async fn hello(&self) -> String {
        "Hello!".to_owned()
    }
}
