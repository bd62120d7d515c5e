//! Requests as MCP clients send them, and the layer around a scripted server that answers them.

#![allow(dead_code, reason = "each test file uses a part of this")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::{Layer, ServiceExt};
use tower_mcp_session::testing::{
    FaultyStore, ManualClock, Operation, ScriptedBody, ScriptedService, SeenRequest,
};
use tower_mcp_session::{MemoryStore, ResponseBody, Session, SessionContext, SessionLayer};

pub(crate) const ID: &str = "mcp-session-id";
pub(crate) const VERSION: &str = "mcp-protocol-version";
pub(crate) const MCP_METHOD: &str = "mcp-method";
pub(crate) const LAST_EVENT_ID: &str = "last-event-id";

/// The revisions that have sessions.
pub(crate) const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
pub(crate) const LATEST: &str = "2025-11-25";
pub(crate) const MODERN: &str = "2026-07-28";

pub(crate) const PING: &str = r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;
pub(crate) const LIST: &str = r#"{"jsonrpc":"2.0","id":8,"method":"tools/list"}"#;
pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
pub(crate) const RESPONSE: &str = r#"{"jsonrpc":"2.0","id":"s-1","result":{"roots":[]}}"#;

/// An id of the form that the layer mints, which it never has.
pub(crate) const UNKNOWN: &str = "00000000000000000000000000000000";

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;
pub(crate) type Store = FaultyStore<Arc<MemoryStore>>;

pub(crate) fn initialize(version: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{{}},"clientInfo":{{"name":"t","version":"1"}}}}}}"#
    )
}

/// A request of 2026-07-28 or later: it names its version in `_meta`.
pub(crate) fn modern(method: &str) -> String {
    modern_of(MODERN, method)
}

pub(crate) fn modern_of(version: &str, method: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":9,"method":"{method}","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    )
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A request that is being put together.
pub(crate) struct Call(Request<Body>);

pub(crate) fn call(method: Method, body: Body) -> Call {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = "/mcp".parse().unwrap();
    Call(request)
}

/// A POST as MCP clients send it.
pub(crate) fn post(body: impl Into<Bytes>) -> Call {
    call(Method::POST, full(body))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
}

/// A GET that asks for a stream.
pub(crate) fn get() -> Call {
    call(Method::GET, full("")).header("accept", "text/event-stream")
}

pub(crate) fn delete() -> Call {
    call(Method::DELETE, full(""))
}

/// One request of each verb: a ping, a stream, an end.
pub(crate) fn each_verb() -> [Call; 3] {
    [post(PING), get(), delete()]
}

impl Call {
    pub(crate) fn at(mut self, uri: &str) -> Self {
        *self.0.uri_mut() = uri.parse().unwrap();
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        self.0
            .headers_mut()
            .append(HeaderName::from_static(name), value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.headers_mut().remove(name);
        self
    }

    pub(crate) fn id(self, id: impl AsRef<[u8]>) -> Self {
        self.header(ID, id)
    }

    pub(crate) fn version(self, version: &str) -> Self {
        self.header(VERSION, version)
    }

    pub(crate) fn extension(mut self, extension: impl Clone + Send + Sync + 'static) -> Self {
        self.0.extensions_mut().insert(extension);
        self
    }

    pub(crate) fn method(&self) -> &Method {
        self.0.method()
    }

    pub(crate) fn into_request(self) -> Request<Body> {
        self.0
    }
}

/// The settings that the wire rules hold with, whatever they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Whether the layer is told its path.
    pub(crate) path: bool,
    pub(crate) strict: bool,
    /// Whether the inner service mints ids of its own.
    pub(crate) minting: bool,
    /// Whether it answers with event streams.
    pub(crate) sse: bool,
}

impl Setup {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..16).map(|bits| Self {
            path: bits & 1 != 0,
            strict: bits & 2 != 0,
            minting: bits & 4 != 0,
            sse: bits & 8 != 0,
        })
    }

    pub(crate) fn wire(self) -> Wire {
        self.wire_with(|layer| layer)
    }

    pub(crate) fn wire_with(self, options: impl FnOnce(SessionLayer) -> SessionLayer) -> Wire {
        self.wire_over(FaultyStore::new(Arc::new(MemoryStore::new())), options)
    }

    pub(crate) fn wire_over(
        self,
        store: Store,
        options: impl FnOnce(SessionLayer) -> SessionLayer,
    ) -> Wire {
        let mut inner = ScriptedService::new();
        if self.minting {
            inner = inner.minting_ids();
        }
        if self.sse {
            inner = inner.answering_sse();
        }
        Wire::over(store, inner, |layer| {
            let layer = layer.with_strict_bodies(self.strict);
            options(if self.path {
                layer.with_path("/mcp")
            } else {
                layer
            })
        })
    }
}

/// A layer around a scripted server, with a store and a clock that do as they are told.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) layer: SessionLayer,
    pub(crate) inner: ScriptedService,
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    pub(crate) service: Session<ScriptedService>,
}

impl Wire {
    pub(crate) fn new(
        inner: ScriptedService,
        options: impl FnOnce(SessionLayer) -> SessionLayer,
    ) -> Self {
        let store = FaultyStore::new(Arc::new(MemoryStore::new()));
        Self::over(store, inner, options)
    }

    pub(crate) fn over(
        store: Store,
        inner: ScriptedService,
        options: impl FnOnce(SessionLayer) -> SessionLayer,
    ) -> Self {
        let clock = ManualClock::new();
        let layer = options(SessionLayer::new(store.clone()).with_clock(clock.clone()));
        Self {
            service: layer.layer(inner.clone()),
            layer,
            inner,
            store,
            clock,
        }
    }

    /// The defaults, around a server that keeps no sessions.
    pub(crate) fn plain() -> Self {
        Self::new(ScriptedService::new(), |layer| layer)
    }

    /// The answer, whose body has yet to be read.
    pub(crate) async fn open(&self, call: Call) -> Response<ResponseBody<ScriptedBody>> {
        let Ok(response) = self.service.clone().oneshot(call.into_request()).await;
        response
    }

    /// The answer, whole.
    pub(crate) async fn send(&self, call: Call) -> Got {
        Got::read(self.open(call).await).await
    }

    /// Begins a session and gives its id. Nothing has come after the initialize.
    pub(crate) async fn begin(&self) -> String {
        self.begin_as(LATEST).await
    }

    pub(crate) async fn begin_as(&self, version: &str) -> String {
        self.begin_with(post(initialize(version))).await
    }

    pub(crate) async fn begin_with(&self, initialize: Call) -> String {
        let got = self.send(initialize).await;
        assert!(got.status.is_success(), "{got:?}");
        got.id().expect("a session has begun")
    }

    /// Begins a session and finishes the handshake.
    pub(crate) async fn begin_ready(&self, version: &str) -> String {
        let id = self.begin_as(version).await;
        let got = self.send(post(INITIALIZED).id(&id).version(version)).await;
        assert_eq!(got.status, 202);
        id
    }

    /// The last request that the inner service has seen.
    pub(crate) fn last(&self) -> SeenRequest {
        self.inner.requests().pop().expect("a request has come in")
    }

    /// The last request of the JSON-RPC method `method` that the inner service has seen.
    pub(crate) fn last_of(&self, method: &str) -> SeenRequest {
        let mut seen = self.inner.requests();
        seen.retain(|request| request.rpc_method().as_deref() == Some(method));
        seen.pop().expect("such a request has come in")
    }

    /// How many sessions were written to the store.
    pub(crate) fn created(&self) -> usize {
        self.store.calls(Operation::Create)
    }

    /// Whether the session still serves a request.
    pub(crate) async fn serves(&self, id: &str) -> bool {
        let got = self.send(post(PING).id(id)).await;
        assert!(matches!(got.status.as_u16(), 200 | 404), "{got:?}");
        got.status == 200
    }
}

/// The session that a request came in with.
pub(crate) fn session_of(request: &SeenRequest) -> Option<&SessionContext> {
    request.extensions.get()
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) status: http::StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) async fn read(response: Response<ResponseBody<ScriptedBody>>) -> Self {
        let (parts, body) = response.into_parts();
        let body = tokio::time::timeout(Duration::from_secs(20), body.collect()).await;
        let body = body.expect("the body ends").unwrap().to_bytes();
        Self {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// The one session id of the answer.
    pub(crate) fn id(&self) -> Option<String> {
        let mut lines = self.headers.get_all(ID).iter();
        let id = lines.next()?.to_str().unwrap().to_owned();
        assert!(lines.next().is_none(), "two ids in one answer");
        Some(id)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Checks a refusal of ours; `id` is the id it echoes, as JSON.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, code: i64, id: Option<&str>) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/json");
        assert_eq!(self.headers["cache-control"], "no-store");
        assert!(!self.headers.contains_key(ID), "{self:?}");
        let body = self.json();
        assert_eq!(body["jsonrpc"], "2.0", "{self:?}");
        assert_eq!(body["error"]["code"], code, "{self:?}");
        let id: Option<Value> = id.map(|id| serde_json::from_str(id).unwrap());
        assert_eq!(body.get("id"), id.as_ref(), "{self:?}");
    }

    /// Checks that a batch is refused for being one.
    #[track_caller]
    pub(crate) fn assert_no_batch(&self) {
        self.assert_refused(400, -32600, None);
        assert_eq!(self.json()["error"]["message"], "Batch not allowed here");
    }

    /// Checks that this is the one 404 of an id that names no session.
    #[track_caller]
    pub(crate) fn assert_not_found(&self, id: Option<&str>) {
        self.assert_refused(404, -32001, id);
        assert_eq!(self.json()["error"]["message"], "Session not found");
    }
}

/// Ends when `condition` holds. It must come to hold by work that is under way.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if condition() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{what} does not happen");
}

/// Ends when the inner service holds exactly `count` sessions of its own.
pub(crate) async fn until_open(inner: &ScriptedService, count: usize) {
    let opened = tokio::time::timeout(Duration::from_secs(20), inner.wait_for_open_sessions(count));
    assert!(
        opened.await.is_ok(),
        "inner sessions are left open: {:?}",
        inner.open_sessions()
    );
}
