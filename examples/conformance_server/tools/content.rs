//! Tools that answer at once with fixed contents.

use rmcp::model::{CallToolRequestParams, CallToolResult, ContentBlock};

use super::{argument, text};
use crate::resources::{self, PNG, WAV};

/// The result, or none if the tool is not one of these.
pub(super) fn call(request: &CallToolRequestParams) -> Option<CallToolResult> {
    let result = match request.name.as_ref() {
        "test_simple_text" => text("This is a simple text response for testing."),
        "test_image_content" => one(ContentBlock::image(PNG, "image/png")),
        "test_audio_content" => one(ContentBlock::audio(WAV, "audio/wav")),
        "test_embedded_resource" => {
            let content = "This is an embedded resource content.";
            one(resource("test://embedded-resource", "text/plain", content))
        }
        "test_multiple_content_types" => CallToolResult::success(vec![
            ContentBlock::text("Multiple content types test:"),
            ContentBlock::image(PNG, "image/png"),
            resource(
                "test://mixed-content-resource",
                "application/json",
                r#"{"test":"data","value":123}"#,
            ),
        ]),
        "test_error_handling" => CallToolResult::error(vec![ContentBlock::text(
            "This tool intentionally returns an error for testing",
        )]),
        "test_custom_header" => text(argument(request, "value")),
        "json_schema_2020_12_tool" => text("Accepted."),
        "greet" => text(format!("Hello, {}!", argument(request, "name"))),
        _ => return None,
    };
    Some(result)
}

fn one(content: ContentBlock) -> CallToolResult {
    CallToolResult::success(vec![content])
}

fn resource(uri: &str, mime: &str, text: &str) -> ContentBlock {
    ContentBlock::resource(resources::text(uri, mime, text))
}
