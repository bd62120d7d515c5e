//! The list of tools.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool};
use serde_json::{Value, json};

/// All tools, in an order that never changes.
pub(crate) fn list() -> Vec<Tool> {
    let plain = PLAIN
        .iter()
        .map(|(name, description)| tool(name, description, properties(json!({}), &[])));
    plain.chain(with_arguments()).collect()
}

fn with_arguments() -> Vec<Tool> {
    let string = |name: &str| properties(json!({ name: { "type": "string" } }), &[name]);
    let seconds = properties(
        json!({ "seconds": { "type": "integer", "minimum": 0 } }),
        &[],
    );
    let header = json!({ "value": { "type": "string", "x-mcp-header": "Value" } });
    vec![
        tool(
            "test_sampling",
            "Asks the client's model.",
            string("prompt"),
        ),
        tool(
            "test_elicitation",
            "Asks the client's user.",
            string("message"),
        ),
        tool(
            "test_custom_header",
            "Repeats a value that a header repeats.",
            properties(header, &["value"]),
        ),
        tool(
            "json_schema_2020_12_tool",
            "Tool with JSON Schema 2020-12 features",
            schema_2020_12(),
        ),
        tool("greet", "Greets at once.", string("name")),
        tool("slow_compute", "Takes as long as it is told.", seconds),
        tool(
            "confirm_delete",
            "Asks before it deletes.",
            string("filename"),
        ),
    ]
}

fn tool(name: &'static str, description: &'static str, schema: Value) -> Tool {
    let schema = match schema {
        Value::Object(schema) => schema,
        _ => JsonObject::new(),
    };
    Tool::new(name, description, Arc::new(schema))
}

fn properties(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

/// Keywords that a careless server would lose (SEP-1613, SEP-2106).
fn schema_2020_12() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
            },
        },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
}

const PLAIN: &[(&str, &str)] = &[
    ("test_simple_text", "Returns a text."),
    ("test_image_content", "Returns an image."),
    ("test_audio_content", "Returns a sound."),
    ("test_embedded_resource", "Returns a resource."),
    (
        "test_multiple_content_types",
        "Returns a text, an image and a resource.",
    ),
    ("test_error_handling", "Fails, always."),
    ("test_tool_with_logging", "Logs three times."),
    ("test_tool_with_progress", "Reports progress three times."),
    (
        "test_elicitation_sep1034_defaults",
        "Asks with default values.",
    ),
    (
        "test_elicitation_sep1330_enums",
        "Asks with every kind of choice.",
    ),
    (
        "test_reconnection",
        "Closes its own stream before it answers.",
    ),
    ("test_missing_capability", "Needs a client that can sample."),
    (
        "test_streaming_elicitation",
        "Asks by its result, never by a request of its own.",
    ),
    ("test_logging_tool", "Logs if the request asked for logs."),
    (
        "test_trigger_tool_change",
        "Says that the list of tools changed.",
    ),
    (
        "test_trigger_prompt_change",
        "Says that the list of prompts changed.",
    ),
    ("test_input_required_result_elicitation", "Asks for a name."),
    ("test_input_required_result_sampling", "Asks for a capital."),
    (
        "test_input_required_result_list_roots",
        "Asks for the roots.",
    ),
    (
        "test_input_required_result_request_state",
        "Asks, and checks its own state.",
    ),
    (
        "test_input_required_result_multiple_inputs",
        "Asks three things at once.",
    ),
    ("test_input_required_result_multi_round", "Asks twice."),
    (
        "test_input_required_result_tampered_state",
        "Refuses a state it did not write.",
    ),
    (
        "test_input_required_result_capabilities",
        "Asks only what the client can answer.",
    ),
    ("failing_job", "A task whose tool fails."),
    ("protocol_error_job", "A task that breaks."),
    ("multi_input", "A task that asks two things at once."),
    ("test_tool_with_task", "Asks first, then goes on as a task."),
];
