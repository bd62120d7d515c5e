//! The tools: what is listed, and which module answers a call.

mod catalogue;
mod content;
pub(crate) mod input;
mod live;
mod rounds;
mod tasks;

use rmcp::{
    ErrorData, RoleServer,
    model::{CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock},
    service::RequestContext,
};
use serde_json::Value;

pub(crate) use self::catalogue::list;
use crate::fixture::Fixture;

/// Answers `tools/call`.
pub(crate) async fn call(
    fixture: &Fixture,
    request: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    if let Some(result) = content::call(request) {
        return Ok(result.into());
    }
    if let Some(response) = rounds::call(fixture, request, context)? {
        return Ok(response);
    }
    if let Some(response) = tasks::call(fixture, request, context).await? {
        return Ok(response);
    }
    live::call(fixture, request, context)
        .await
        .map(CallToolResponse::from)
}

/// A result of one text.
fn text(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

/// A text argument, empty if it is missing.
fn argument<'a>(request: &'a CallToolRequestParams, name: &str) -> &'a str {
    let arguments = request.arguments.as_ref();
    arguments
        .and_then(|arguments| arguments.get(name))
        .and_then(Value::as_str)
        .unwrap_or_default()
}
