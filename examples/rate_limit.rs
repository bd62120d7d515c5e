//! Run with `cargo run --example rate_limit`.
//!
//! Each session has a rate of its own, whatever address its requests come from: tower_governor, inside the session
//! layer, takes its key from the session.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{tool, tool_router};
use tokio::net::TcpListener;
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::{KeyExtractor, PeerIpKeyExtractor};
use tower_governor::{GovernorError, GovernorLayer};
use tower_mcp_session::{Fingerprint, MemoryStore, SessionContext, SessionLayer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(
        listener,
        app().into_make_service_with_connect_info::<SocketAddr>(),
    )
    .await?;
    Ok(())
}

/// A server whose sessions may make five calls at once, and one more each second.
pub(crate) fn app() -> Router {
    let config = GovernorConfigBuilder::default()
        .key_extractor(PerSession)
        .per_second(1)
        .burst_size(5)
        .finish()
        .expect("neither the period nor the burst is zero");
    // Buckets that are full again are forgotten, or each session would leave one behind.
    let limiter = Arc::clone(config.limiter());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(60)).await;
            limiter.retain_recent();
        }
    });
    let sessions = SessionLayer::new(MemoryStore::new()).with_path("/mcp");
    // The last layer is the outermost: by the time of the limit it is known whose request it is.
    Router::new()
        .route_service("/mcp", mcp())
        .layer(GovernorLayer::new(config))
        .layer(sessions)
}

/// Whose bucket a request takes from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Bucket {
    /// By the fingerprint of its id, which is no secret.
    OfSession(Fingerprint),
    /// Without a session, at initialize.
    OfAddress(IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct PerSession;

impl KeyExtractor for PerSession {
    type Key = Bucket;

    fn extract<T>(&self, request: &Request<T>) -> Result<Bucket, GovernorError> {
        let session = request.extensions().get::<SessionContext>();
        match session.and_then(SessionContext::fingerprint) {
            Some(session) => Ok(Bucket::OfSession(session)),
            None => PeerIpKeyExtractor.extract(request).map(Bucket::OfAddress),
        }
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
