//! What a scripted service is told to answer.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::SeenRequest;
use crate::protocol::header;

/// An answer for a [`ScriptedService`](super::ScriptedService) to give.
///
/// # Examples
///
/// ```
/// use serde_json::json;
/// use tower_mcp_session::testing::{Answer, ScriptedService};
///
/// let service = ScriptedService::new();
/// // An initialize that fails and sets an id all the same.
/// service.answer_next(Answer::error(-32603, "no").with_session_id("orphan"));
/// // One result late in a stream that the test goes on to fill.
/// service.answer_next(Answer::events([json!({ "jsonrpc": "2.0", "method": "notifications/x" })]).left_open());
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) content: Content,
    pub(super) open: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Bytes(Bytes),
    /// A member of a JSON-RPC answer, which takes its id from the request.
    Rpc(&'static str, Value),
    Panic,
}

impl Answer {
    /// No body.
    pub fn status(status: StatusCode) -> Self {
        Self::with(status, Content::Bytes(Bytes::new()))
    }

    /// 200 and these bytes.
    pub fn bytes(content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        Self::with(StatusCode::OK, Content::Bytes(bytes.into()))
            .with_header("content-type", content_type)
    }

    /// 200 and this document.
    pub fn json(document: &Value) -> Self {
        Self::bytes("application/json", document.to_string())
    }

    /// 200 and a JSON-RPC result for the request it answers, as JSON.
    pub fn result(result: Value) -> Self {
        Self::with(StatusCode::OK, Content::Rpc("result", result))
            .with_header("content-type", "application/json")
    }

    /// 200 and a JSON-RPC error for the request it answers, as JSON.
    pub fn error(code: i64, message: &str) -> Self {
        let error = json!({ "code": code, "message": message });
        Self::with(StatusCode::OK, Content::Rpc("error", error))
            .with_header("content-type", "application/json")
    }

    /// 200 and an event stream of these messages.
    pub fn events(messages: impl IntoIterator<Item = Value>) -> Self {
        let text: String = messages
            .into_iter()
            .map(|message| event(&message))
            .collect();
        Self::bytes("text/event-stream", text)
    }

    /// The service panics.
    pub fn panic() -> Self {
        Self::with(StatusCode::OK, Content::Panic)
    }

    /// The same with another status.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with a further header line.
    ///
    /// # Panics
    ///
    /// If `name` has an upper case letter, or either cannot stand in a header.
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers
            .append(HeaderName::from_static(name), parse(value));
        self
    }

    /// The same with an `Mcp-Session-Id` header, which counts as a session of the server's own.
    ///
    /// # Panics
    ///
    /// If `id` cannot stand in a header.
    pub fn with_session_id(mut self, id: &str) -> Self {
        self.headers.append(header::SESSION_ID, parse(id));
        self
    }

    /// The same with a trailer.
    ///
    /// # Panics
    ///
    /// If `name` has an upper case letter, or either cannot stand in a header.
    pub fn with_trailer(mut self, name: &'static str, value: &str) -> Self {
        let trailers = self.trailers.get_or_insert_default();
        trailers.append(HeaderName::from_static(name), parse(value));
        self
    }

    /// The same with a body that stays open: the test goes on with it through
    /// [`ScriptedService::streams`](super::ScriptedService::streams).
    pub fn left_open(mut self) -> Self {
        self.open = true;
        self
    }

    /// The body's bytes in answer to `request`.
    pub(super) fn content(&self, request: &SeenRequest) -> Bytes {
        match &self.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Rpc(member, value) => {
                let mut message = json!({ "jsonrpc": "2.0", "id": request.rpc_id() });
                message[*member] = value.clone();
                message.to_string().into()
            }
            Content::Panic => panic!("the scripted service was told to panic"),
        }
    }

    fn with(status: StatusCode, content: Content) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            trailers: None,
            content,
            open: false,
        }
    }
}

/// `message` as one event of a stream.
pub(super) fn event(message: &Value) -> String {
    format!("event: message\ndata: {message}\n\n")
}

fn parse(value: &str) -> HeaderValue {
    value.parse().expect("a test gives a valid header value")
}
