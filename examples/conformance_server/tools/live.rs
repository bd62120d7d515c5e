//! Tools that talk to the client while the call is open.

#![expect(deprecated, reason = "the suite still tests what SEP-2577 deprecates")]

use std::{sync::Arc, time::Duration};

use axum::http::request::Parts;
use rmcp::{
    ErrorData, RoleServer,
    model::{
        CallToolRequestParams, CallToolResult, ClientCapabilities, ContentBlock, LoggingLevel,
        LoggingMessageNotificationParam, ProgressNotificationParam,
    },
    service::{RequestContext, ServiceError},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    argument,
    input::{form, sampling},
    text,
};
use crate::{changes::Change, fixture::Fixture};

type Context = RequestContext<RoleServer>;

/// The result of one of these tools, or the error for a name that no module knows.
pub(super) async fn call(
    fixture: &Fixture,
    request: &CallToolRequestParams,
    context: &Context,
) -> Result<CallToolResult, ErrorData> {
    let result = match request.name.as_ref() {
        "test_tool_with_logging" => logging(fixture, context).await,
        "test_logging_tool" => logging_if_asked(context).await,
        "test_tool_with_progress" => progress(context).await,
        "test_sampling" => ask_model(context, argument(request, "prompt")).await,
        "test_elicitation" => {
            let message = argument(request, "message");
            ask_user(context, message, contact_schema(), "User response").await
        }
        "test_elicitation_sep1034_defaults" => {
            let message = "Please check the values";
            ask_user(context, message, defaults_schema(), "Elicitation completed").await
        }
        "test_elicitation_sep1330_enums" => {
            let message = "Please choose";
            ask_user(context, message, choices_schema(), "Elicitation completed").await
        }
        "test_reconnection" => close_stream(fixture, context).await,
        "test_missing_capability" => return needs_sampling(context),
        "test_trigger_tool_change" => Ok(changed(fixture, Change::Tools)),
        "test_trigger_prompt_change" => Ok(changed(fixture, Change::Prompts)),
        name => {
            return Err(ErrorData::invalid_params(
                format!("Unknown tool: {name}"),
                None,
            ));
        }
    };
    Ok(result.unwrap_or_else(|error| {
        CallToolResult::error(vec![ContentBlock::text(format!(
            "The client did not answer: {error}"
        ))])
    }))
}

async fn logging(fixture: &Fixture, context: &Context) -> Result<CallToolResult, ServiceError> {
    for message in [
        "Tool execution started",
        "Tool processing data",
        "Tool execution completed",
    ] {
        if fixture.logs(LoggingLevel::Info) {
            let log = LoggingMessageNotificationParam::new(LoggingLevel::Info, json!(message));
            context.peer.notify_logging_message(log).await?;
        }
        sleep(STEP).await;
    }
    Ok(text("Logged three times."))
}

async fn logging_if_asked(context: &Context) -> Result<CallToolResult, ServiceError> {
    if let Some(level) = context.meta.log_level() {
        let log = LoggingMessageNotificationParam::new(level, json!("The request asked for logs"));
        context.peer.notify_logging_message(log).await?;
    }
    Ok(text("Done."))
}

async fn progress(context: &Context) -> Result<CallToolResult, ServiceError> {
    for progress in [0.0, 50.0, 100.0] {
        if let Some(token) = context.meta.get_progress_token() {
            let report = ProgressNotificationParam::new(token, progress).with_total(100.0);
            context.peer.notify_progress(report).await?;
        }
        sleep(STEP).await;
    }
    Ok(text("Reported three times."))
}

async fn ask_model(context: &Context, prompt: &str) -> Result<CallToolResult, ServiceError> {
    if client(context).sampling.is_none() {
        return Ok(unable("sampling"));
    }
    let answer = context.peer.create_message(sampling(prompt, 100)).await?;
    let answer = answer
        .message
        .content
        .first()
        .and_then(|content| content.as_text());
    Ok(text(format!(
        "LLM response: {}",
        answer.map_or("", |answer| &answer.text)
    )))
}

async fn ask_user(
    context: &Context,
    message: &str,
    schema: Value,
    what: &str,
) -> Result<CallToolResult, ServiceError> {
    if client(context).elicitation.is_none() {
        return Ok(unable("elicitation"));
    }
    let form = form(message, schema).map_err(ServiceError::McpError)?;
    let answer = context.peer.create_elicitation(form).await?;
    let (action, content) = (json!(answer.action), json!(answer.content));
    Ok(text(format!(
        "{what}: action={}, content={content}",
        action.as_str().unwrap_or_default()
    )))
}

/// Closes the session's first POST stream; the answer then waits for `Last-Event-ID`. rmcp tells a
/// handler no stream number, but the suite makes this call the first of its session.
async fn close_stream(
    fixture: &Fixture,
    context: &Context,
) -> Result<CallToolResult, ServiceError> {
    let id = context
        .extensions
        .get::<Parts>()
        .and_then(|parts| parts.headers.get("mcp-session-id"));
    let id: Option<Arc<str>> = id.and_then(|id| id.to_str().ok()).map(Arc::from);
    if let Some(id) = id {
        let session = fixture
            .shared
            .sessions
            .sessions
            .read()
            .await
            .get(&id)
            .cloned();
        if let Some(session) = session
            && let Err(error) = session.close_sse_stream(0, Some(STEP)).await
        {
            tracing::warn!(%error, "the stream could not be closed");
        }
    }
    sleep(STEP * 2).await;
    Ok(text("The call outlived its stream."))
}

fn needs_sampling(context: &Context) -> Result<CallToolResult, ErrorData> {
    if client(context).sampling.is_some() {
        return Ok(text("This client can sample."));
    }
    let sampling = ClientCapabilities::builder().enable_sampling().build();
    Err(ErrorData::missing_required_client_capability(sampling))
}

fn changed(fixture: &Fixture, change: Change) -> CallToolResult {
    fixture.shared.changes.publish(change);
    text("Changed.")
}

/// What the client declared. A stateless rmcp has forgotten it by the time a tool is called.
fn client(context: &Context) -> ClientCapabilities {
    context.client_capabilities().unwrap_or_default()
}

fn unable(capability: &str) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(format!(
        "The client declared no {capability}."
    ))])
}

fn contact_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "username": { "type": "string", "description": "User's response" },
            "email": { "type": "string", "description": "User's email address" },
        },
        "required": ["username", "email"],
    })
}

fn defaults_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "default": "John Doe" },
            "age": { "type": "integer", "default": 30 },
            "score": { "type": "number", "default": 95.5 },
            "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
            "verified": { "type": "boolean", "default": true },
        },
    })
}

fn choices_schema() -> Value {
    let titled = |titles: [&str; 3]| -> Vec<Value> {
        let values = ["value1", "value2", "value3"].into_iter().zip(titles);
        values
            .map(|(value, title)| json!({ "const": value, "title": title }))
            .collect()
    };
    let single = titled(["First Option", "Second Option", "Third Option"]);
    let several = titled(["First Choice", "Second Choice", "Third Choice"]);
    let plain = json!(["option1", "option2", "option3"]);
    json!({
        "type": "object",
        "properties": {
            "untitledSingle": { "type": "string", "enum": plain },
            "titledSingle": { "type": "string", "oneOf": single },
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": { "type": "array", "items": { "type": "string", "enum": plain } },
            "titledMulti": { "type": "array", "items": { "anyOf": several } },
        },
    })
}

const STEP: Duration = Duration::from_millis(50);
