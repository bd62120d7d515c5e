//! A layer around a scripted server, under a clock that stands still, and a client that talks to it.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt};
use tower_mcp_session::testing::{FaultyStore, ManualClock, ScriptedBody, ScriptedService};
use tower_mcp_session::{
    MemoryStore, Principal, ResponseBody, Session, SessionContext, SessionLayer, SessionStore,
};

pub(crate) const ID: &str = "mcp-session-id";
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// An id of the form that the layer mints, which it never has.
pub(crate) const UNKNOWN: &str = "0123456789abcdef0123456789abcdef";

pub(crate) const PING: &str = r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;
pub(crate) const LIST: &str = r#"{"jsonrpc":"2.0","id":8,"method":"tools/list"}"#;

pub(crate) type Body = Full<Bytes>;
pub(crate) type Answer = Response<ResponseBody<ScriptedBody>>;

/// Who is calling, as an authentication layer would note it.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) String);

/// One layer, the server inside it, and its clock.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) layer: SessionLayer,
    pub(crate) server: ScriptedService,
    pub(crate) clock: ManualClock,
    pub(crate) service: Session<ScriptedService>,
}

impl Instance {
    /// A layer over a memory store of its own.
    pub(crate) fn new(options: impl FnOnce(SessionLayer) -> SessionLayer) -> Self {
        Self::over(MemoryStore::new(), &ManualClock::new(), options)
    }

    pub(crate) fn over(
        store: impl SessionStore,
        clock: &ManualClock,
        options: impl FnOnce(SessionLayer) -> SessionLayer,
    ) -> Self {
        Self::serving(ScriptedService::new(), store, clock, options)
    }

    pub(crate) fn serving(
        server: ScriptedService,
        store: impl SessionStore,
        clock: &ManualClock,
        options: impl FnOnce(SessionLayer) -> SessionLayer,
    ) -> Self {
        let layer = SessionLayer::new(store)
            .with_clock(clock.clone())
            .with_principal(|parts| {
                let caller = parts.extensions.get::<Caller>();
                Ok(caller.map(|caller| Principal::new(caller.0.as_str())))
            });
        let layer = options(layer);
        let service = layer.layer(server.clone());
        let clock = clock.clone();
        Self {
            layer,
            server,
            clock,
            service,
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        self.service.clone().oneshot(request).await.unwrap()
    }

    /// The status of the answer, which is read to its end.
    pub(crate) async fn status(&self, request: Request<Body>) -> StatusCode {
        read(self.send(request).await).await.0
    }

    /// Begins a session, of which nothing is used yet; gives its id.
    pub(crate) async fn begin(&self) -> String {
        self.begin_with(initialize()).await
    }

    pub(crate) async fn begin_as(&self, who: &str) -> String {
        self.begin_with(by(initialize(), who)).await
    }

    async fn begin_with(&self, request: Request<Body>) -> String {
        let answer = self.send(request).await;
        assert_eq!(answer.status(), 200);
        let id = id_of(answer.headers()).expect("an initialize that succeeds mints an id");
        read(answer).await;
        id
    }

    /// Begins a session and uses it once.
    pub(crate) async fn open(&self) -> String {
        let id = self.begin().await;
        assert_eq!(self.status(post(&id, LIST)).await, 200);
        id
    }

    pub(crate) async fn open_as(&self, who: &str) -> String {
        let id = self.begin_as(who).await;
        assert_eq!(self.status(by(post(&id, LIST), who)).await, 200);
        id
    }

    /// Whether a ping to the session is served.
    pub(crate) async fn serves(&self, id: &str) -> bool {
        match self.status(ping(id)).await.as_u16() {
            200 => true,
            404 => false,
            other => panic!("a ping was answered {other}"),
        }
    }

    /// The context that the server saw in the latest request with one.
    pub(crate) fn context(&self) -> SessionContext {
        let requests = self.server.requests();
        let mut contexts = requests
            .iter()
            .rev()
            .filter_map(|seen| seen.extensions.get::<SessionContext>());
        contexts.next().expect("a request had a session").clone()
    }

    /// Opens a session and gives its id and its context.
    pub(crate) async fn open_context(&self) -> (String, SessionContext) {
        let id = self.open().await;
        (id, self.context())
    }

    /// Lets time pass, with a round of the keeper every 30 seconds.
    pub(crate) async fn pass(&self, time: Duration) {
        let mut left = time;
        while left > Duration::ZERO {
            let step = left.min(SECOND * 30);
            self.clock.advance(step);
            self.layer.clean_up().await.unwrap();
            left -= step;
        }
    }
}

pub(crate) fn initialize() -> Request<Body> {
    let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{}},"clientInfo":{"name":"test","version":"1"}}}"#;
    Request::post("/mcp").body(Body::from(body)).unwrap()
}

/// A request as `who` sends it.
pub(crate) fn by(mut request: Request<Body>, who: &str) -> Request<Body> {
    request.extensions_mut().insert(Caller(who.to_owned()));
    request
}

pub(crate) fn post(id: &str, body: &'static str) -> Request<Body> {
    Request::post("/mcp")
        .header(ID, id)
        .body(Body::from(body))
        .unwrap()
}

pub(crate) fn ping(id: &str) -> Request<Body> {
    post(id, PING)
}

pub(crate) fn get(id: &str) -> Request<Body> {
    Request::get("/mcp")
        .header(ID, id)
        .header("accept", "text/event-stream")
        .body(Body::default())
        .unwrap()
}

pub(crate) fn delete(id: &str) -> Request<Body> {
    Request::delete("/mcp")
        .header(ID, id)
        .body(Body::default())
        .unwrap()
}

pub(crate) fn id_of(headers: &HeaderMap) -> Option<String> {
    let id: &HeaderValue = headers.get(ID)?;
    Some(id.to_str().unwrap().to_owned())
}

/// Status, sorted headers and body of an answer.
pub(crate) async fn read(answer: Answer) -> (StatusCode, Vec<(String, Vec<u8>)>, Bytes) {
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let mut headers: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    headers.sort();
    (parts.status, headers, bytes)
}

/// Lets all tasks that can go on do so.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// `store`, which says of changes by itself if it is `watched`, and else must be asked.
pub(crate) fn with_watch(
    store: FaultyStore<MemoryStore>,
    watched: bool,
) -> FaultyStore<MemoryStore> {
    if watched {
        store
    } else {
        store.without_watch()
    }
}

/// A memory store that says several instances share it.
pub(crate) fn shared(store: &MemoryStore) -> FaultyStore<MemoryStore> {
    let mut able = store.capabilities();
    able.shared = true;
    FaultyStore::new(store.clone()).with_capabilities(able)
}
