//! Run with `cargo run --example bearer_auth`.
//!
//! Authentication outside, sessions inside: a session belongs to whoever began it. Anybody else who comes with its id
//! gets the 404 of an unknown id, and never learns that it exists.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use rmcp::handler::server::tool::Extension;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{tool, tool_router};
use tokio::net::TcpListener;
use tower_mcp_session::{MemoryStore, Principal, SessionContext, SessionLayer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app()).await?;
    Ok(())
}

/// A server for the bearers of two tokens.
pub(crate) fn app() -> Router {
    let sessions = SessionLayer::new(MemoryStore::new())
        .with_path("/mcp")
        .with_principal(|head| {
            let caller = head.extensions.get::<Caller>();
            Ok(caller.map(|caller| Principal::new(caller.subject).with_issuer(ISSUER)))
        });
    // The last layer is the outermost: it sees a request first.
    Router::new()
        .route_service("/mcp", mcp())
        .layer(sessions)
        .layer(from_fn(authenticate))
}

/// Who the token speaks for. Only [`authenticate`] makes one.
#[derive(Clone, Copy, Debug)]
struct Caller {
    subject: &'static str,
}

/// Lets the bearers of known tokens in. A real server verifies a signature and an audience here.
async fn authenticate(mut request: Request, next: Next) -> Response {
    let token = request.headers().get(header::AUTHORIZATION);
    let token = token.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let known = TOKENS.iter().find(|(known, _)| token == Some(known));
    let Some((_, subject)) = known else {
        return (
            StatusCode::UNAUTHORIZED,
            [(header::WWW_AUTHENTICATE, "Bearer")],
        )
            .into_response();
    };
    request.extensions_mut().insert(Caller { subject });
    next.run(request).await
}

fn mcp() -> StreamableHttpService<Owner, NeverSessionManager> {
    let config = StreamableHttpServerConfig::default().with_legacy_session_mode(false);
    StreamableHttpService::new(|| Ok(Owner), Arc::default(), config)
}

struct Owner;

#[tool_router(server_handler)]
impl Owner {
    /// Says who is calling, and whose session it is.
    #[tool]
    async fn whose(&self, Extension(head): Extension<Parts>) -> Result<String, String> {
        // What a caller may do is decided by the present request. The session says who began it.
        let caller = head.extensions.get::<Caller>().ok_or("nobody was let in")?;
        let session = head
            .extensions
            .get::<SessionContext>()
            .ok_or("there is no session")?;
        let owner = session.principal().ok_or("the session is anonymous")?;
        Ok(format!(
            "{} in the session of {}",
            caller.subject,
            owner.subject()
        ))
    }
}

const ISSUER: &str = "https://login.example.com";

/// Tokens of the example, and who they speak for.
const TOKENS: [(&str, &str); 2] = [("token-of-alice", "alice"), ("token-of-bob", "bob")];
