//! Run with `cargo run --example audit_log`, or with `-- FILE` to write to a file.
//!
//! An audit trail: who began, used and ended which session, when and why, one JSON object on each line. Sessions are
//! named by the fingerprints of their ids, which are no secrets.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{tool, tool_router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_mcp_session::{
    EndReason, MemoryStore, ObservedSession, Observer, Principal, RefusalCause, SessionLayer,
    SessionState, Timestamp,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = match std::env::args().nth(1) {
        Some(path) => sessions(File::options().append(true).create(true).open(path)?),
        None => sessions(io::stdout()),
    };
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    tokio::select! {
        ended = axum::serve(listener, app(sessions.clone())) => ended?,
        _ = tokio::signal::ctrl_c() => {}
    }
    // It waits for the trail: the last line is as much a part of it as the first.
    sessions.drain(Duration::ZERO).await;
    Ok(())
}

/// A layer whose trail goes to `trail`.
pub(crate) fn sessions(trail: impl Write + Send + 'static) -> SessionLayer {
    SessionLayer::new(MemoryStore::new())
        .with_path("/mcp")
        .with_observer(Trail(Mutex::new(trail)))
        // Set by a proxy that knows who is calling, and lets no client set it.
        .with_principal(|head| match head.headers.get("x-user") {
            Some(user) => Ok(Some(Principal::new(user.to_str()?))),
            None => Ok(None),
        })
}

/// A server behind `sessions`.
pub(crate) fn app(sessions: SessionLayer) -> Router {
    Router::new().route_service("/mcp", mcp()).layer(sessions)
}

/// Writes what it is told. It is told by one thread, in order, which may wait for the disk: no request does.
struct Trail<W>(Mutex<W>);

impl<W: Write> Trail<W> {
    fn write(&self, event: &str, at: Timestamp, session: Option<&ObservedSession>, why: Value) {
        let line = json!({
            "at": at.as_millis(),
            "event": event,
            "session": session.map(|session| session.fingerprint().to_string()),
            "who": session.and_then(|s| Some(s.principal()?.subject().to_owned())),
            "client": session.and_then(|session| Some(session.client_info()?.name)),
            "why": why,
        });
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
            eprintln!("the audit trail has a gap: {error}");
        }
    }
}

impl<W: Write + Send + 'static> Observer for Trail<W> {
    fn created(&self, session: &ObservedSession, at: Timestamp) {
        self.write("created", at, Some(session), Value::Null);
    }

    fn restored(&self, session: &ObservedSession, at: Timestamp) {
        self.write("restored", at, Some(session), Value::Null);
    }

    fn used(&self, session: &ObservedSession, at: Timestamp) {
        self.write("used", at, Some(session), Value::Null);
    }

    fn moved(&self, session: &ObservedSession, _: SessionState, to: SessionState, at: Timestamp) {
        self.write(to.as_str(), at, Some(session), Value::Null);
    }

    fn ended(&self, session: &ObservedSession, reason: EndReason, at: Timestamp) {
        self.write("ended", at, Some(session), reason.as_str().into());
    }

    fn refused(&self, session: Option<&ObservedSession>, cause: RefusalCause, at: Timestamp) {
        self.write("refused", at, session, cause.as_str().into());
    }

    fn missed(&self, events: u64) {
        self.write("missed", Timestamp::EPOCH, None, events.into());
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
