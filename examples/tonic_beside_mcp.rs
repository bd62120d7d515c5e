//! Run with `cargo run --example tonic_beside_mcp`.
//!
//! A gRPC service and an MCP endpoint at one address, under one layer. A session begins at MCP's initialize; gRPC calls
//! carry its id in their metadata, as `mcp-session-id`, and find the same session.

use std::sync::Arc;

use axum::Router;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{tool, tool_router};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::{Request, Status};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower_mcp_session::{MemoryStore, SessionContext, SessionLayer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app()).await?;
    Ok(())
}

/// gRPC health checks and an MCP server, for the same sessions.
pub(crate) fn app() -> Router {
    // Without a name for all, the sessions of `/mcp` would be unknown to gRPC.
    let sessions = SessionLayer::new(MemoryStore::new()).with_audience("example");
    let health = HealthService::from_health_reporter(HealthReporter::new());
    let health = HealthServer::with_interceptor(health, only_with_a_session);
    Routes::new(health)
        .into_axum_router()
        .route_service("/mcp", mcp())
        .layer(sessions)
}

/// Lets calls of a live session in. The layer itself refuses an id that is unknown, and lets calls without one pass.
fn only_with_a_session(request: Request<()>) -> Result<Request<()>, Status> {
    match request.extensions().get::<SessionContext>() {
        Some(_) => Ok(request),
        None => Err(Status::failed_precondition("begin a session at /mcp first")),
    }
}

fn mcp() -> StreamableHttpService<Hello, NeverSessionManager> {
    let config = StreamableHttpServerConfig::default().with_legacy_session_mode(false);
    StreamableHttpService::new(|| Ok(Hello), Arc::default(), config)
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
