//! Run with `cargo run --example signed_ids --features signed`.
//!
//! Two servers that share no store, only a key: the id of a session says it all. Then the key is replaced in three
//! steps, one server after the other, and the session goes on until the key is taken away that its id was signed with.

use std::error::Error;

use axum::Router;
use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rmcp::handler::server::tool::Extension;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{tool, tool_router};
use serde_json::Value;
use tokio::net::TcpListener;
use tower_mcp_session::store::{KeyRing, SignedStore, SigningKey};
use tower_mcp_session::{SessionContext, SessionLayer};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "it shows what happens")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Yours are random, made with `openssl rand -base64 32`, and come from `KeyRing::from_file` or `from_env`.
    let old = SigningKey::from_bytes("2026-05", &[5; 32])?;
    let new = SigningKey::from_bytes("2026-11", &[11; 32])?;
    let a = Server::start(KeyRing::new(old.clone())).await?;
    let b = Server::start(KeyRing::new(old.clone())).await?;
    let id = a.begin().await?;
    println!("a session begins at A: B says {}", b.hello(&id).await?);
    let new_verifies = KeyRing::new(old.clone()).with_verifying(new.clone())?;
    let new_signs = KeyRing::new(new.clone()).with_verifying(old)?;
    // For the last step, wait as long as an id may live, by default a week: it ends what the old key has signed.
    let steps = [new_verifies, new_signs, KeyRing::new(new)];
    for (step, keys) in (1..).zip(steps) {
        for (name, server, other) in [("A", &a, &b), ("B", &b, &a)] {
            server.store.replace_keys(&keys);
            let signing = keys.signing().id();
            let (at_a, at_b) = (a.hello(&id).await?, b.hello(&id).await?);
            // What one server signs the other takes, though it may be a step behind.
            let fresh = other.hello(&server.begin().await?).await?;
            println!("step {step} at {name}, {signing} signs: A says {at_a}, B says {at_b}");
            println!("- in a session that begins at {name} now, the other says {fresh}");
        }
    }
    Ok(())
}

/// A server whose sessions `store` signs, with a tool that greets whoever began one.
pub(crate) fn app(store: SignedStore) -> Router {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true);
    let never = std::sync::Arc::<NeverSessionManager>::default();
    let mcp = StreamableHttpService::new(|| Ok(Hello), never, config);
    let sessions = SessionLayer::new(store).with_path("/mcp");
    Router::new().route_service("/mcp", mcp).layer(sessions)
}

struct Hello;

#[tool_router(server_handler)]
impl Hello {
    /// Says hello.
    #[tool]
    async fn hello(&self, Extension(head): Extension<Parts>) -> String {
        let session = head.extensions.get::<SessionContext>();
        let client = session.and_then(SessionContext::client_info);
        let name = client.map(|client| client.name).unwrap_or_default();
        format!("hello {name}")
    }
}

struct Server {
    store: SignedStore,
    url: String,
}

impl Server {
    async fn start(keys: KeyRing) -> Result<Self, Box<dyn Error>> {
        let store = SignedStore::new(keys, "https://mcp.example.com");
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/mcp", listener.local_addr()?);
        tokio::spawn(axum::serve(listener, app(store.clone())).into_future());
        Ok(Self { store, url })
    }

    /// The id of a new session of alice.
    async fn begin(&self) -> Result<String, Box<dyn Error>> {
        let answer = self.send("", INITIALIZE).await?;
        let id = answer.headers().get("mcp-session-id").ok_or("no id")?;
        Ok(id.to_str()?.to_owned())
    }

    /// What the server says in the session `id`: its greeting, or a status.
    async fn hello(&self, id: &str) -> Result<String, Box<dyn Error>> {
        let answer = self.send(id, HELLO).await?;
        let greeting = answer.body()["result"]["content"][0]["text"].as_str();
        Ok(greeting.unwrap_or(answer.status().as_str()).to_owned())
    }

    /// Sends a message in the session `id`; an empty one is none.
    async fn send(&self, id: &str, message: &str) -> Result<Response<Value>, Box<dyn Error>> {
        let request = Request::post(&self.url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-session-id", id)
            .body(Full::<Bytes>::from(message.to_owned()))?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (head, body) = client.request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Response::from_parts(head, serde_json::from_slice(&body)?))
    }
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"alice","version":"1"}}}"#;
const HELLO: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hello"}}"#;
