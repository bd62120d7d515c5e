//! The prompts, and the completion of their arguments.

use rmcp::{
    ErrorData,
    model::{
        CompleteRequestParams, CompleteResult, CompletionInfo, ContentBlock,
        GetPromptRequestParams, GetPromptResponse, GetPromptResult, InputRequiredResult, Prompt,
        PromptArgument, PromptMessage, Role,
    },
};
use serde_json::{Value, json};

use crate::{
    resources::{PNG, text},
    tools::input::{form_request, one_request},
};

pub(crate) fn list() -> Vec<Prompt> {
    let argument = |name: &str, description: &str| {
        PromptArgument::new(name)
            .with_description(description)
            .with_required(true)
    };
    let prompt = |name: &str, description: &str, arguments: Vec<PromptArgument>| {
        Prompt::new(
            name,
            Some(description),
            (!arguments.is_empty()).then_some(arguments),
        )
    };
    vec![
        prompt("test_simple_prompt", "One sentence.", vec![]),
        prompt(
            "test_prompt_with_arguments",
            "Repeats its arguments.",
            vec![
                argument("arg1", "First test argument"),
                argument("arg2", "Second test argument"),
            ],
        ),
        prompt(
            "test_prompt_with_embedded_resource",
            "Embeds a resource.",
            vec![argument("resourceUri", "URI of the resource to embed")],
        ),
        prompt("test_prompt_with_image", "Embeds an image.", vec![]),
        prompt(
            "test_input_required_result_prompt",
            "Asks for its context first.",
            vec![],
        ),
    ]
}

pub(crate) fn get(request: &GetPromptRequestParams) -> Result<GetPromptResponse, ErrorData> {
    let argument = |name: &str| {
        let arguments = request.arguments.as_ref();
        arguments
            .and_then(|arguments| arguments.get(name))
            .and_then(Value::as_str)
            .ok_or_else(|| ErrorData::invalid_params(format!("Missing argument: {name}"), None))
    };
    let messages = match request.name.as_str() {
        "test_simple_prompt" => vec![say("This is a simple prompt for testing.")],
        "test_prompt_with_arguments" => {
            let (first, second) = (argument("arg1")?, argument("arg2")?);
            vec![say(format!(
                "Prompt with arguments: arg1='{first}', arg2='{second}'"
            ))]
        }
        "test_prompt_with_embedded_resource" => {
            let uri = argument("resourceUri")?;
            let resource = text(uri, "text/plain", "Embedded resource content for testing.");
            vec![
                show(ContentBlock::resource(resource)),
                say("Please process the embedded resource above."),
            ]
        }
        "test_prompt_with_image" => {
            vec![
                show(ContentBlock::image(PNG, "image/png")),
                say("Please analyze the image above."),
            ]
        }
        "test_input_required_result_prompt" => return with_context(request),
        name => {
            return Err(ErrorData::invalid_params(
                format!("Unknown prompt: {name}"),
                None,
            ));
        }
    };
    Ok(GetPromptResult::new(messages).into())
}

pub(crate) fn complete(request: &CompleteRequestParams) -> Result<CompleteResult, ErrorData> {
    let words = ["paris", "park", "party", "test"];
    let typed = request.argument.value.as_str();
    let values = words
        .iter()
        .filter(|word| word.starts_with(typed))
        .map(|word| (*word).to_owned());
    let completion = CompletionInfo::with_all_values(values.collect())
        .map_err(|reason| ErrorData::internal_error(reason, None))?;
    Ok(CompleteResult::new(completion))
}

fn with_context(request: &GetPromptRequestParams) -> Result<GetPromptResponse, ErrorData> {
    let answer = request
        .input_responses
        .as_ref()
        .and_then(|answers| answers.get("user_context"));
    if let Some(context) = answer.and_then(|answer| answer.pointer("/content/context")) {
        return Ok(GetPromptResult::new(vec![say(format!("Use this context: {context}"))]).into());
    }
    let schema = json!({
        "type": "object",
        "properties": { "context": { "type": "string" } },
        "required": ["context"],
    });
    let ask = form_request("What context should the prompt use?", schema)?;
    Ok(InputRequiredResult::from_input_requests(one_request("user_context", ask)).into())
}

fn say(text: impl Into<String>) -> PromptMessage {
    PromptMessage::new_text(Role::User, text)
}

fn show(content: ContentBlock) -> PromptMessage {
    PromptMessage::new(Role::User, content)
}
