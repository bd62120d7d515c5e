//! Requests as clients send them.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;

/// A session id as it stands in its header.
pub(crate) type Id = [u8; 32];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request of 2025-11-25 in a session.
    InSession,
    /// A request of 2026-07-28, which has no session.
    Modern,
    /// A request that is not MCP's.
    NotOurs,
}

/// Makes requests of one kind.
pub(crate) struct Template {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    has_id: bool,
}

impl Template {
    pub(crate) fn new(kind: Kind) -> Self {
        let (method, uri, own): (_, _, &[_]) = match kind {
            Kind::InSession => (Method::POST, "/mcp", &IN_SESSION),
            Kind::Modern => (Method::POST, "/mcp", &MODERN),
            Kind::NotOurs => (Method::GET, "/health", &[("accept", "*/*")]),
        };
        let headers = COMMON.iter().chain(own).map(|&(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        let body: &[u8] = if kind == Kind::NotOurs { b"" } else { CALL };
        Self {
            method,
            uri: Uri::from_static(uri),
            headers: headers.collect(),
            body: Bytes::from_static(body),
            has_id: kind == Kind::InSession,
        }
    }

    /// A request; it costs the same in each of the compared cases.
    pub(crate) fn request(&self, id: &Id) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if self.has_id {
            let id = HeaderValue::from_bytes(id).expect("an id is visible ASCII");
            request.headers_mut().insert(SESSION_ID, id);
        }
        request
    }
}

/// The request that begins a session. All clients are of one kind: their params are equal.
pub(crate) fn initialize() -> Request<Full<Bytes>> {
    first(Bytes::from_static(INITIALIZE))
}

/// The notification by which the client of session `id` ends the handshake.
pub(crate) fn initialized(id: &HeaderValue) -> Request<Full<Bytes>> {
    let mut request = first(Bytes::from_static(INITIALIZED));
    request.headers_mut().insert(SESSION_ID, id.clone());
    request
}

fn first(body: Bytes) -> Request<Full<Bytes>> {
    Request::post("/mcp")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(Full::new(body))
        .expect("all parts are valid")
}

pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

const COMMON: [(&str, &str); 3] = [
    ("host", "mcp.example.com"),
    ("user-agent", "bench/1.0"),
    ("authorization", "Bearer mF_9.B5f-4.1JqM"),
];

const IN_SESSION: [(&str, &str); 5] = [
    ("content-type", "application/json"),
    ("content-length", "89"),
    ("accept", "application/json, text/event-stream"),
    ("mcp-session-id", "replaced"),
    ("mcp-protocol-version", "2025-11-25"),
];

const MODERN: [(&str, &str); 6] = [
    ("content-type", "application/json"),
    ("content-length", "89"),
    ("accept", "application/json, text/event-stream"),
    ("mcp-protocol-version", "2026-07-28"),
    ("mcp-method", "tools/call"),
    ("mcp-name", "search"),
];

const CALL: &[u8] =
    br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","arguments":{}}}"#;
const INITIALIZE: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{"listChanged":true},"sampling":{},"elicitation":{}},"clientInfo":{"name":"example-client","title":"Example Client","version":"1.0.0"}}}"#;
const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
