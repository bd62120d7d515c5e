//! The tools. What they keep, they keep in the session.

use std::error::Error;
use std::time::Duration;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::ProgressNotificationParam;
use rmcp::schemars::{self, JsonSchema};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_handler, tool_router};
use serde::{Deserialize, Serialize};
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::{SessionContext, SessionError};

use crate::session::CurrentSession;

/// The MCP server. It has no fields: rmcp makes a new one for each session or request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tools;

#[tool_router]
impl Tools {
    /// Counts the calls of this session, and returns the next number.
    #[tool]
    async fn counter(&self, CurrentSession(session): CurrentSession) -> Result<String, String> {
        let Some(session) = session else {
            return Ok("1".to_owned());
        };
        let number = session
            .update("counter", |last: Option<u64>| last.unwrap_or(0) + 1)
            .await;
        number.map(|number| number.to_string()).map_err(failed)
    }

    /// Keeps a value under a key for the rest of this session.
    #[tool]
    async fn remember(
        &self,
        CurrentSession(session): CurrentSession,
        Parameters(note): Parameters<Note>,
    ) -> Result<String, String> {
        let session = session.ok_or("Without a session nothing is kept.")?;
        session
            .insert(&name_of(&note.key), &note.value)
            .await
            .map_err(failed)?;
        Ok(format!("Kept under {:?}.", note.key))
    }

    /// Returns what this session keeps under a key.
    #[tool]
    async fn recall(
        &self,
        CurrentSession(session): CurrentSession,
        Parameters(Key { key }): Parameters<Key>,
    ) -> Result<String, String> {
        let value = match session {
            Some(session) => session.get(&name_of(&key)).await.map_err(failed)?,
            None => None,
        };
        value.ok_or_else(|| format!("Nothing is kept under {key:?}."))
    }

    /// Says whose session this is, as JSON.
    #[tool]
    async fn whoami(
        &self,
        CurrentSession(session): CurrentSession,
        context: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let who = session.map_or_else(
            || Who::without_session(&context),
            |session| Who::of(&session),
        );
        serde_json::to_string(&who).map_err(|error| error.to_string())
    }

    /// Takes its time, and reports progress if asked to. Stops when its session ends.
    #[tool]
    async fn slow(
        &self,
        CurrentSession(session): CurrentSession,
        Parameters(Work { steps, delay_ms }): Parameters<Work>,
        context: RequestContext<RoleServer>,
    ) -> Result<String, String> {
        let session_ended = async {
            match session {
                Some(session) => session.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let delay = Duration::from_millis(delay_ms.into());
        tokio::select! {
            () = work(steps, delay, &context) => Ok(format!("Done after {steps} steps.")),
            () = session_ended => Err("The session ended.".to_owned()),
            () = context.ct.cancelled() => Err("The call was cancelled.".to_owned()),
        }
    }
}

#[tool_handler(name = "tower-mcp-session-example")]
impl rmcp::ServerHandler for Tools {}

async fn work(steps: u32, delay: Duration, context: &RequestContext<RoleServer>) {
    let token = context.meta.get_progress_token();
    for step in 1..=steps {
        tokio::time::sleep(delay).await;
        if let Some(token) = token.clone() {
            let report =
                ProgressNotificationParam::new(token, step.into()).with_total(steps.into());
            if let Err(error) = context.peer.notify_progress(report).await {
                // The result may still be wanted, by a client that comes back for it.
                tracing::debug!(%error, step, "nobody heard of the progress");
            }
        }
    }
}

/// What the model reads if the session could not be used. Errors of sessions name no id and no value.
fn failed(error: SessionError) -> String {
    let way_out = match &error {
        // What a store cannot do at all, its source says how to come by. Other sources may hold addresses.
        SessionError::Store(store) if store.kind() == StoreErrorKind::Unsupported => store.source(),
        _ => None,
    };
    let way_out = way_out.map(|source| format!(": {source}"));
    let way_out = way_out.unwrap_or_default();
    format!("The session could not be used: {error}{way_out}.")
}

/// The name of a note among the session's values: apart from `counter`.
fn name_of(key: &str) -> String {
    format!("note:{key}")
}

/// What to remember.
#[derive(Debug, Deserialize, JsonSchema)]
struct Note {
    key: String,
    value: String,
}

/// What to recall.
#[derive(Debug, Deserialize, JsonSchema)]
struct Key {
    key: String,
}

/// How long to take.
#[derive(Debug, Deserialize, JsonSchema)]
struct Work {
    steps: u32,
    /// Milliseconds before each step.
    delay_ms: u32,
}

/// The answer of `whoami`.
#[derive(Debug, Serialize)]
struct Who {
    session_id: Option<String>,
    client_name: Option<String>,
    protocol_version: Option<String>,
    state: Option<&'static str>,
    restored: bool,
}

impl Who {
    fn of(session: &SessionContext) -> Self {
        // The client knows its id already; do not show it to anybody else.
        Self {
            session_id: session.id().map(|id| id.expose()),
            client_name: session.client_info().map(|client| client.name),
            protocol_version: session
                .protocol_version()
                .map(|version| version.to_string()),
            state: Some(session.state().as_str()),
            restored: session.is_restored(),
        }
    }

    fn without_session(context: &RequestContext<RoleServer>) -> Self {
        Self {
            session_id: None,
            client_name: context.client_info().map(|client| client.name),
            protocol_version: context
                .protocol_version()
                .map(|version| version.to_string()),
            state: None,
            restored: false,
        }
    }
}
