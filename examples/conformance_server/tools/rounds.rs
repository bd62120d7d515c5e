//! Tools that ask by their result and are called again with the answers (SEP-2322).

use rmcp::{
    ErrorData, RoleServer,
    model::{
        CallToolRequestParams, CallToolResponse, ClientCapabilities, InputRequest, InputRequests,
        InputRequiredResult, SealOptions,
    },
    service::RequestContext,
};
use serde_json::{Value, json};

use super::{
    input::{form_request, one_request, roots_request, sampling_request},
    text,
};
use crate::fixture::Fixture;

/// The response, or none if the tool is not one of these.
pub(super) fn call(
    fixture: &Fixture,
    request: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<Option<CallToolResponse>, ErrorData> {
    let name = request
        .name
        .strip_prefix("test_input_required_result_")
        .unwrap_or(&request.name);
    let response = match name {
        "elicitation" | "test_streaming_elicitation" => name_form(request)?,
        "sampling" => {
            let ask = sampling_request("What is the capital of France?", 100);
            once(request, "capital_question", ask)
        }
        "list_roots" => once(request, "client_roots", roots_request()),
        "request_state" | "tampered_state" => confirmed(fixture, request)?,
        "multiple_inputs" => several(fixture, request)?,
        "multi_round" => two_rounds(fixture, request)?,
        "capabilities" => capable(context.client_capabilities().unwrap_or_default())?,
        _ => return Ok(None),
    };
    Ok(Some(response))
}

/// Asks for a name, again and again until there is one.
pub(super) fn name_form(request: &CallToolRequestParams) -> Result<CallToolResponse, ErrorData> {
    Ok(match user_name(request) {
        Some(name) => text(format!("Hello, {name}!")).into(),
        None => ask("user_name", ask_text("What is your name?", "name")?, None),
    })
}

/// The name the client's user gave.
pub(super) fn user_name(request: &CallToolRequestParams) -> Option<&str> {
    answer(request, "user_name")?
        .pointer("/content/name")?
        .as_str()
}

fn once(request: &CallToolRequestParams, key: &str, question: InputRequest) -> CallToolResponse {
    match answer(request, key) {
        Some(answer) => text(format!("The client answered {answer}")).into(),
        None => ask(key, question, None),
    }
}

fn confirmed(
    fixture: &Fixture,
    request: &CallToolRequestParams,
) -> Result<CallToolResponse, ErrorData> {
    if opened(fixture, request)?.is_some() && answer(request, "confirm").is_some() {
        return Ok(text("state-ok").into());
    }
    let schema = json!({ "type": "object", "properties": { "ok": { "type": "boolean" } }, "required": ["ok"] });
    let state = sealed(fixture, request, "confirm");
    Ok(ask(
        "confirm",
        form_request("Please confirm", schema)?,
        Some(state),
    ))
}

fn several(
    fixture: &Fixture,
    request: &CallToolRequestParams,
) -> Result<CallToolResponse, ErrorData> {
    let questions = InputRequests::from([
        (
            "user_name".to_owned(),
            ask_text("What is your name?", "name")?,
        ),
        (
            "greeting".to_owned(),
            sampling_request("Generate a greeting", 50),
        ),
        ("client_roots".to_owned(), roots_request()),
    ]);
    if opened(fixture, request)?.is_some()
        && questions.keys().all(|key| answer(request, key).is_some())
    {
        return Ok(text("All answers are here.").into());
    }
    let state = sealed(fixture, request, "several");
    Ok(InputRequiredResult::new(Some(questions), Some(state)).into())
}

fn two_rounds(
    fixture: &Fixture,
    request: &CallToolRequestParams,
) -> Result<CallToolResponse, ErrorData> {
    let step = opened(fixture, request)?;
    Ok(match step.as_deref() {
        Some(b"step2") if answer(request, "step2").is_some() => text("Both steps are done.").into(),
        Some(b"step1") if answer(request, "step1").is_some() => {
            let question = ask_text("Step 2: What is your favorite color?", "color")?;
            ask("step2", question, Some(sealed(fixture, request, "step2")))
        }
        _ => {
            let question = ask_text("Step 1: What is your name?", "name")?;
            ask("step1", question, Some(sealed(fixture, request, "step1")))
        }
    })
}

fn capable(client: ClientCapabilities) -> Result<CallToolResponse, ErrorData> {
    let mut questions = InputRequests::new();
    if client.sampling.is_some() {
        questions.insert(
            "greeting".to_owned(),
            sampling_request("Generate a greeting", 50),
        );
    }
    if client.elicitation.is_some() {
        questions.insert(
            "user_name".to_owned(),
            ask_text("What is your name?", "name")?,
        );
    }
    if questions.is_empty() {
        return Ok(text("This client can answer nothing.").into());
    }
    Ok(InputRequiredResult::from_input_requests(questions).into())
}

/// The answer to one question, if it has the shape of one.
fn answer<'a>(request: &'a CallToolRequestParams, key: &str) -> Option<&'a Value> {
    let answers = request.input_responses.as_ref()?;
    answers.get(key).filter(|answer| answer.is_object())
}

fn ask(key: &str, question: InputRequest, state: Option<String>) -> CallToolResponse {
    InputRequiredResult::new(Some(one_request(key, question)), state).into()
}

fn ask_text(message: &str, field: &str) -> Result<InputRequest, ErrorData> {
    let schema = json!({ "type": "object", "properties": { field: { "type": "string" } }, "required": [field] });
    form_request(message, schema)
}

fn sealed(fixture: &Fixture, request: &CallToolRequestParams, step: &str) -> String {
    let tool = SealOptions::new().associated_data(request.name.as_bytes());
    fixture
        .shared
        .request_states
        .seal_with(step.as_bytes(), &tool)
}

/// The step the client is at, by a state that we wrote for the same tool.
fn opened(
    fixture: &Fixture,
    request: &CallToolRequestParams,
) -> Result<Option<Vec<u8>>, ErrorData> {
    let Some(state) = &request.request_state else {
        return Ok(None);
    };
    let step = fixture
        .shared
        .request_states
        .open_with(state, request.name.as_bytes());
    step.map(Some)
        .map_err(|error| ErrorData::invalid_params(error.to_string(), None))
}
