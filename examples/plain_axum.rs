//! Run with `cargo run --example plain_axum --features axum`.
//!
//! MCP by hand: handlers of axum, no MCP library. The extractor gives a handler its session.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_mcp_session::{
    MemoryStore, Modern, SessionContext, SessionError, SessionLayer, SessionStore,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app()).await?;
    Ok(())
}

/// A server with one tool, which counts its calls in a session.
pub(crate) fn app() -> Router {
    app_over(MemoryStore::new())
}

/// The same, with its sessions in `store`.
pub(crate) fn app_over(store: impl SessionStore) -> Router {
    let sessions = SessionLayer::new(store)
        .with_path("/mcp")
        .with_allowed_hosts(["localhost", "127.0.0.1"])
        // These handlers know the revisions that have sessions, and say so to clients of later ones.
        .with_modern(Modern::Refuse);
    Router::new().route("/mcp", post(mcp)).layer(sessions)
}

/// Answers one message. There is a session in all but the first.
async fn mcp(session: Option<SessionContext>, Json(message): Json<Message>) -> Response {
    let Some(id) = message.id else {
        return StatusCode::ACCEPTED.into_response();
    };
    let answer = match (message.method.as_str(), session) {
        ("initialize", _) => Ok(initialize(&message.params)),
        ("ping", _) => Ok(json!({})),
        ("tools/list", _) => Ok(tools()),
        ("tools/call", Some(session)) => visit(session).await.map_err(|error| error.to_string()),
        (method, _) => Err(format!("not understood: {method}")),
    };
    let answer = match answer {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(message) => {
            let error = json!({ "code": -32603, "message": message });
            json!({ "jsonrpc": "2.0", "id": id, "error": error })
        }
    };
    Json(answer).into_response()
}

fn initialize(params: &Value) -> Value {
    let asked = params["protocolVersion"].as_str();
    let version = asked
        .filter(|asked| VERSIONS.contains(asked))
        .unwrap_or(VERSIONS[0]);
    json!({
        "protocolVersion": version,
        "capabilities": { "tools": {} },
        "serverInfo": { "name": "plain-axum", "version": "0.1.0" },
    })
}

fn tools() -> Value {
    let visit = json!({
        "name": "visit",
        "description": "Counts your visits.",
        "inputSchema": { "type": "object" },
    });
    json!({ "tools": [visit] })
}

async fn visit(session: SessionContext) -> Result<Value, SessionError> {
    let visits = session
        .update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1)
        .await?;
    Ok(json!({ "content": [{ "type": "text", "text": visits.to_string() }] }))
}

/// A JSON-RPC request, or a notification, which has no id.
#[derive(Debug, Deserialize)]
struct Message {
    id: Option<Value>,
    method: String,
    #[serde(default)]
    params: Value,
}

const VERSIONS: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];
