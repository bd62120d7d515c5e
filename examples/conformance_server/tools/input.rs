//! Questions to the client, as a request of their own or inside a result.

#![expect(deprecated, reason = "the suite still tests what SEP-2577 deprecates")]

use rmcp::{
    ErrorData,
    model::{
        CreateMessageRequest, CreateMessageRequestParams, ElicitRequest, ElicitRequestParams,
        InputRequest, InputRequests, ListRootsRequest, SamplingMessage,
    },
};
use serde_json::Value;

/// A form that the client's user fills in.
pub(crate) fn form(message: &str, schema: Value) -> Result<ElicitRequestParams, ErrorData> {
    let requested_schema = serde_json::from_value(schema)
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    Ok(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: message.to_owned(),
        requested_schema,
    })
}

/// A prompt for the client's model.
pub(crate) fn sampling(prompt: &str, max_tokens: u32) -> CreateMessageRequestParams {
    CreateMessageRequestParams::new(vec![SamplingMessage::user_text(prompt)], max_tokens)
}

/// [`form`] as part of a result.
pub(crate) fn form_request(message: &str, schema: Value) -> Result<InputRequest, ErrorData> {
    form(message, schema).map(|form| InputRequest::Elicitation(ElicitRequest::new(form)))
}

/// [`sampling`] as part of a result.
pub(crate) fn sampling_request(prompt: &str, max_tokens: u32) -> InputRequest {
    InputRequest::CreateMessage(CreateMessageRequest::new(sampling(prompt, max_tokens)))
}

/// The question for the client's roots, as part of a result.
pub(crate) fn roots_request() -> InputRequest {
    InputRequest::ListRoots(ListRootsRequest::default())
}

/// A result's only question.
pub(crate) fn one_request(key: &str, request: InputRequest) -> InputRequests {
    InputRequests::from([(key.to_owned(), request)])
}
