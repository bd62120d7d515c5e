//! Run with `cargo run --example metrics --features metrics`, then `curl http://127.0.0.1:3000/metrics`.
//!
//! The layer's metrics go to whatever recorder the server sets, here one for Prometheus.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{tool, tool_router};
use tokio::net::TcpListener;
use tower_mcp_session::{MemoryStore, SessionLayer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app(recorder()?)).await?;
    Ok(())
}

/// Sets the recorder of this process, with the buckets that OpenTelemetry advises for the length of a session.
pub(crate) fn recorder() -> Result<PrometheusHandle, BuildError> {
    let duration = Matcher::Prefix("mcp_server_session_duration".to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(duration, &BUCKETS)?
        .install_recorder()
}

/// A server with sessions at `/mcp`, and what is known of them at `/metrics`.
pub(crate) fn app(recorder: PrometheusHandle) -> Router {
    let sessions = SessionLayer::new(MemoryStore::new()).with_path("/mcp");
    let observed = sessions.clone();
    let scrape = get(async move || {
        // How many sessions there are is asked at each scrape; all else is counted when it happens.
        observed.record_metrics();
        recorder.run_upkeep();
        recorder.render()
    });
    Router::new()
        .route_service("/mcp", mcp())
        .layer(sessions)
        .route("/metrics", scrape)
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

/// In seconds.
const BUCKETS: [f64; 14] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];
