//! Run with `cargo run --example custom_store`.
//!
//! A server with a store of its own, which is in `store.rs`.

mod store;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_mcp_session::{SessionContext, SessionLayer};

pub(crate) use store::JsonStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app()).await?;
    Ok(())
}

/// A server that counts the calls of a session, in the store beside this file.
pub(crate) fn app() -> Router {
    let sessions = SessionLayer::new(JsonStore::default()).with_path("/mcp");
    Router::new().route("/mcp", post(mcp)).layer(sessions)
}

async fn mcp(
    Extension(session): Extension<SessionContext>,
    Json(message): Json<Value>,
) -> Response {
    let result = match message["method"].as_str() {
        Some("initialize") => json!({ "protocolVersion": "2025-11-25", "capabilities": {} }),
        Some("tools/call") => match session
            .update("calls", |n: Option<u64>| n.unwrap_or(0) + 1)
            .await
        {
            Ok(calls) => json!({ "content": [{ "type": "text", "text": calls.to_string() }] }),
            Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        },
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    Json(json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })).into_response()
}
