//! A small MCP client on bare HTTP, which shows statuses, headers and messages as they come.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::time::timeout;

/// A client of one endpoint, with the headers that it sends each time.
#[derive(Clone, Debug)]
pub(crate) struct McpClient {
    http: Client<HttpConnector, Full<Bytes>>,
    url: String,
    headers: HeaderMap,
}

impl McpClient {
    pub(crate) fn new(url: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        Self {
            http: Client::builder(TokioExecutor::new()).build_http(),
            url: url.to_owned(),
            headers,
        }
    }

    /// The same client, sending one header more.
    pub(crate) fn with(&self, name: &'static str, value: &str) -> Self {
        let mut client = self.clone();
        let value = HeaderValue::from_str(value).unwrap();
        client.headers.insert(HeaderName::from_static(name), value);
        client
    }

    /// A client in a session of 2025-11-25.
    pub(crate) async fn begin(&self) -> Self {
        self.begin_as("test", "2025-11-25").await
    }

    /// A client called `name` in a session of `version`.
    pub(crate) async fn begin_as(&self, name: &str, version: &str) -> Self {
        let answer = self.post(initialize(name, version)).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.result()["protocolVersion"], version);
        let id = answer.headers["mcp-session-id"].to_str().unwrap();
        let client = self
            .with("mcp-session-id", id)
            .with("mcp-protocol-version", version);
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(client.post(initialized).await.status, StatusCode::ACCEPTED);
        client
    }

    /// The same client, at another instance.
    pub(crate) fn at(&self, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ..self.clone()
        }
    }

    /// The id of the session that the client is in.
    pub(crate) fn id(&self) -> &str {
        self.headers["mcp-session-id"].to_str().unwrap()
    }

    /// Calls a tool and returns the text of its result, which is a success.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> String {
        let result = self.post(tool_call(tool, arguments)).await.result();
        assert_ne!(result["isError"], true, "{tool}: {result}");
        text_of(&result)
    }

    /// Sends one message and reads all of the answer.
    pub(crate) async fn post(&self, message: Value) -> Answer {
        self.send(Method::POST, message.to_string()).await
    }

    pub(crate) async fn delete(&self) -> StatusCode {
        self.send(Method::DELETE, "").await.status
    }

    pub(crate) async fn send(&self, method: Method, body: impl Into<Bytes>) -> Answer {
        let (head, body) = self.open(method, body).await.into_parts();
        let body = timeout(PATIENCE, body.collect()).await;
        Answer {
            status: head.status,
            headers: head.headers,
            body: body
                .expect("the answer ends in time")
                .expect("the answer is whole")
                .to_bytes(),
        }
    }

    /// Sends a request and reads the head of the answer.
    pub(crate) async fn open(&self, method: Method, body: impl Into<Bytes>) -> Response<Incoming> {
        let response = self.try_open(method, body).await;
        response.expect("there is an answer")
    }

    /// As [`post`](Self::post); `None` if there is nobody to answer.
    pub(crate) async fn try_post(&self, message: Value) -> Option<Answer> {
        let response = self
            .try_open(Method::POST, message.to_string())
            .await
            .ok()?;
        let (head, body) = response.into_parts();
        let body = timeout(PATIENCE, body.collect())
            .await
            .expect("the answer ends in time");
        Some(Answer {
            status: head.status,
            headers: head.headers,
            body: body.ok()?.to_bytes(),
        })
    }

    async fn try_open(
        &self,
        method: Method,
        body: impl Into<Bytes>,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        let mut request = Request::new(Full::from(body.into()));
        *request.method_mut() = method;
        *request.uri_mut() = self.url.parse().unwrap();
        *request.headers_mut() = self.headers.clone();
        let response = timeout(PATIENCE, self.http.request(request)).await;
        response.expect("the answer begins in time")
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The messages of a body, be it one JSON text or a stream of events.
    pub(crate) fn messages(&self) -> Vec<Value> {
        let body = str::from_utf8(&self.body).unwrap();
        if let Ok(message) = serde_json::from_str(body) {
            return vec![message];
        }
        let data = body.lines().filter_map(|line| line.strip_prefix("data:"));
        let data = data.map(str::trim).filter(|data| !data.is_empty());
        data.map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }

    /// The result, which comes last.
    pub(crate) fn result(&self) -> Value {
        let mut messages = self.messages();
        let last = messages.pop().expect("there is an answer");
        assert!(last["result"].is_object(), "{last}");
        last["result"].clone()
    }
}

pub(crate) fn initialize(name: &str, version: &str) -> Value {
    json!({
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": version,
            "capabilities": {},
            "clientInfo": { "name": name, "version": "1" },
        },
    })
}

pub(crate) fn tool_call(tool: &str, arguments: Value) -> Value {
    json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": { "name": tool, "arguments": arguments },
    })
}

/// The text of a tool's result.
pub(crate) fn text_of(result: &Value) -> String {
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

/// A tool call whose client wants to hear of its progress.
pub(crate) fn with_progress(tool: &str, arguments: Value) -> Value {
    let mut call = tool_call(tool, arguments);
    call["params"]["_meta"] = json!({ "progressToken": "token" });
    call
}

/// Opens the stream for messages that answer no request.
pub(crate) async fn open_stream(client: &McpClient) -> Incoming {
    let answer = client.open(Method::GET, "").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    answer.into_body()
}

/// Reads a stream until `text` has come.
pub(crate) async fn read_until(stream: &mut Incoming, text: &str) {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let frame = timeout(PATIENCE, stream.frame())
            .await
            .expect("it comes in time");
        let frame = frame.expect("the stream goes on").unwrap();
        read.extend(frame.into_data().unwrap_or_default());
    }
}

/// Far more than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
