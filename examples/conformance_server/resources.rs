//! The resources and the resource template.

use rmcp::{
    ErrorData,
    model::{ReadResourceResult, Resource, ResourceContents, ResourceTemplate},
};
use serde_json::json;

pub(crate) fn list() -> Vec<Resource> {
    let resource = |uri, name, description, mime| {
        Resource::new(uri, name)
            .with_description(description)
            .with_mime_type(mime)
    };
    vec![
        resource(
            "test://static-text",
            "static-text",
            "A text that never changes.",
            "text/plain",
        ),
        resource(
            "test://static-binary",
            "static-binary",
            "An image that never changes.",
            "image/png",
        ),
        resource(
            "test://watched-resource",
            "watched-resource",
            "A text to subscribe to.",
            "text/plain",
        ),
    ]
}

pub(crate) fn templates() -> Vec<ResourceTemplate> {
    let template = ResourceTemplate::new("test://template/{id}/data", "template")
        .with_description("A document for each id.")
        .with_mime_type("application/json");
    vec![template]
}

pub(crate) fn read(uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let contents = match uri {
        "test://static-text" => text(
            uri,
            "text/plain",
            "This is the content of the static text resource.",
        ),
        "test://static-binary" => ResourceContents::blob(PNG, uri).with_mime_type("image/png"),
        "test://watched-resource" => text(
            uri,
            "text/plain",
            "This is the content of the watched resource.",
        ),
        _ => {
            let id = template_id(uri).ok_or_else(|| {
                ErrorData::resource_not_found("Resource not found", Some(json!({ "uri": uri })))
            })?;
            let data =
                json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
            text(uri, "application/json", &data.to_string())
        }
    };
    Ok(ReadResourceResult::new(vec![contents]))
}

/// The contents of a text resource.
pub(crate) fn text(uri: &str, mime: &str, text: &str) -> ResourceContents {
    ResourceContents::text(text, uri).with_mime_type(mime)
}

fn template_id(uri: &str) -> Option<&str> {
    let id = uri
        .strip_prefix("test://template/")?
        .strip_suffix("/data")?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

/// One red pixel, in base64.
pub(crate) const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
/// A sound of no length, in base64.
pub(crate) const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=";
