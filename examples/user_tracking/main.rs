//! Run with `ADMIN_TOKEN=a-secret cargo run --example user_tracking`.
//!
//! Who is using the server: each session belongs to the user whose token began it. What an operator sees of them, and
//! how all of a user are ended, is in `admin.rs`.

mod admin;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{tool, tool_router};
use tokio::net::TcpListener;
use tower_mcp_session::{MemoryStore, Principal, SessionLayer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let admin_token = std::env::var("ADMIN_TOKEN").map_err(|_| "ADMIN_TOKEN is not set")?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app(&admin_token)).await?;
    Ok(())
}

/// A server for the bearers of two tokens, watched by whoever has `admin_token`.
pub(crate) fn app(admin_token: &str) -> Router {
    let sessions = SessionLayer::new(MemoryStore::new())
        .with_path("/mcp")
        .with_principal(|head| {
            let caller = head.extensions.get::<Caller>();
            Ok(caller.map(|caller| Principal::new(caller.0)))
        });
    let admin = admin::routes(sessions.sessions(), admin_token);
    Router::new()
        .route_service("/mcp", mcp())
        .layer(sessions)
        .layer(from_fn(authenticate))
        .merge(admin)
}

/// Who the token speaks for. Only [`authenticate`] makes one.
#[derive(Clone, Copy, Debug)]
struct Caller(&'static str);

/// Lets the bearers of known tokens in. A real server verifies a signature and an audience here.
async fn authenticate(mut request: Request, next: Next) -> Response {
    let token = request.headers().get(header::AUTHORIZATION);
    let token = token.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let known = TOKENS.iter().find(|(known, _)| token == Some(known));
    let Some((_, user)) = known else {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge).into_response();
    };
    request.extensions_mut().insert(Caller(user));
    next.run(request).await
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

/// Tokens of the example, and who they speak for.
const TOKENS: [(&str, &str); 2] = [("token-of-alice", "alice"), ("token-of-bob", "bob")];
