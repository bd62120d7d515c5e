//! Run with `cargo run --example conversation`.
//!
//! Context that is kept between requests: what was said is in the session's history, without passwords, and who said
//! it is one of its values. The tools (`tools.rs`) answer from both.

mod tools;

use std::sync::Arc;

use axum::Router;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;
use tokio::net::TcpListener;
use tower_mcp_session::{HistoryLimits, MemoryStore, Message, SessionLayer};

use self::tools::Tools;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app(MemoryStore::new())).await?;
    Ok(())
}

/// A server whose sessions keep their last 100 messages, in `store`.
pub(crate) fn app(store: MemoryStore) -> Router {
    let sessions = SessionLayer::new(store)
        .with_path("/mcp")
        .with_history(HistoryLimits::default())
        .with_redaction(without_passwords);
    Router::new().route_service("/mcp", mcp()).layer(sessions)
}

/// Each message passes here before it is stored. It is read as JSON: in its text, a name may be spelled with escapes.
fn without_passwords(message: Message) -> Option<Message> {
    let mut content: Value = message.content_as().ok()?;
    hide_passwords(&mut content);
    message.with_content(&content).ok()
}

fn hide_passwords(json: &mut Value) {
    match json {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| match &**name {
            "password" => *value = "***".into(),
            _ => hide_passwords(value),
        }),
        Value::Array(values) => values.iter_mut().for_each(hide_passwords),
        _ => {}
    }
}

fn mcp() -> StreamableHttpService<Tools, NeverSessionManager> {
    let config = StreamableHttpServerConfig::default().with_legacy_session_mode(false);
    StreamableHttpService::new(|| Ok(Tools), Arc::default(), config)
}
