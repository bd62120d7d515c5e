//! What was said in a session: taken down as it streams past, appended by handlers, bounded, gone with the session.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod appending;
mod attacked;
mod recording;
mod streams;

#[path = "../support/log.rs"]
mod log;
#[path = "../support/sessions.rs"]
mod support;

use http::{Request, StatusCode};
use serde_json::Value;
use support::{Body, ID, Instance, read};
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::{HistoryLimits, Message, SessionContext, SessionError, SessionLayer};

/// Histories of the usual size.
pub(crate) fn recording(layer: SessionLayer) -> SessionLayer {
    layer.with_history(HistoryLimits::default())
}

pub(crate) fn post(id: &str, body: impl Into<String>) -> Request<Body> {
    let body = body.into();
    Request::post("/mcp")
        .header(ID, id)
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap()
}

/// A call of a tool.
pub(crate) fn call(number: u64) -> String {
    let params = format!(r#"{{"name":"add","arguments":{{"n":{number}}}}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{params}}}"#)
}

/// Sends a request, and reads the answer to its end.
pub(crate) async fn say(instance: &Instance, request: Request<Body>) -> StatusCode {
    read(instance.send(request).await).await.0
}

/// A session of which nothing is in the history, its id and its context.
pub(crate) async fn begun(instance: &Instance) -> (String, SessionContext) {
    let (id, session) = instance.open_context().await;
    session.history().clear().await.unwrap();
    (id, session)
}

/// Role, side, kind and method of each message, and what it says.
pub(crate) fn told(messages: &[Message]) -> Vec<(String, Value)> {
    let one = |message: &Message| {
        let metadata = message.metadata();
        let of = |name: &str| metadata.get::<String>(name).unwrap().unwrap_or("-".into());
        let facts = [
            message.role().to_string(),
            of("from"),
            of("kind"),
            of("method"),
        ];
        (facts.join(" "), message.content_as().unwrap())
    };
    messages.iter().map(one).collect()
}

/// The facts that [`told`] gives, alone.
pub(crate) async fn facts(session: &SessionContext) -> Vec<String> {
    let messages = session.history().recent(usize::MAX).await.unwrap();
    told(&messages)
        .into_iter()
        .map(|(facts, _)| facts)
        .collect()
}

pub(crate) fn kind_of(error: &SessionError) -> Option<StoreErrorKind> {
    match error {
        SessionError::Store(error) => Some(error.kind()),
        _ => None,
    }
}
