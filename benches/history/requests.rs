//! A session, and requests in it.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::Full;
use tokio::runtime::Runtime;
use tower::util::{BoxCloneSyncService, service_fn};
use tower::{Layer, Service, ServiceExt};
use tower_mcp_session::{HistoryLimits, MemoryStore, RequestBody, ResponseBody, SessionLayer};

/// What a message holds.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    /// One long text.
    Text,
    /// Many short tokens, the dearest to read.
    Numbers,
}

impl Content {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Numbers => "numbers",
        }
    }

    /// A notification of about `length` bytes.
    pub(crate) fn message(self, length: usize) -> String {
        let params = match self {
            Self::Text => format!(r#"{{"text":"{}"}}"#, "x".repeat(length)),
            Self::Numbers => format!("[{}1]", "12,".repeat(length / 3)),
        };
        format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{params}}}"#)
    }
}

type Answer = Response<ResponseBody<Full<Bytes>>>;

/// One session, in a layer with histories or without.
pub(crate) struct Served {
    service: BoxCloneSyncService<Request<Full<Bytes>>, Answer, Infallible>,
    id: HeaderValue,
    runtime: Runtime,
}

impl Served {
    pub(crate) fn new(history: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let mut layer = SessionLayer::new(MemoryStore::new());
        if history {
            layer = layer.with_history(HistoryLimits::default());
        }
        let mut service = BoxCloneSyncService::new(layer.layer(service_fn(echo)));
        let id = runtime.block_on(async {
            let request = Request::post("/mcp").body(Full::from(INITIALIZE));
            let request = request.expect("a request");
            let answer = service
                .ready()
                .await
                .expect("it is ready")
                .call(request)
                .await;
            answer.expect("it answers").headers()["mcp-session-id"].clone()
        });
        let mut served = Self {
            service,
            id,
            runtime,
        };
        // The first request is looked at, and waits for the store.
        served.warm_up();
        served
    }

    fn warm_up(&mut self) {
        let request = self.request(Content::Text.message(100).into());
        let service = &mut self.service;
        let answer = self.runtime.block_on(async {
            service
                .ready()
                .await
                .expect("it is ready")
                .call(request)
                .await
        });
        drop(answer);
    }

    /// Serves one request with this body, to the last frame of its answer, which holds the same.
    pub(crate) fn serve(&mut self, message: &str) {
        let request = self.request(Bytes::copy_from_slice(message.as_bytes()));
        let _inside = self.runtime.enter();
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(self.service.poll_ready(cx).is_ready());
        let Poll::Ready(Ok(answer)) = pin!(self.service.call(request)).poll(cx) else {
            panic!("the inner service answers at once");
        };
        assert!(answer.status().is_success());
        assert_eq!(read(pin!(answer.into_body())).len(), message.len());
    }

    /// Lets what was spawned run to its end.
    pub(crate) fn settle(&self) {
        self.runtime.block_on(async {
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        });
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = http::Uri::from_static("/mcp");
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        request
            .headers_mut()
            .insert("mcp-session-id", self.id.clone());
        request
    }
}

/// Answers with what it was asked; an initialize it accepts.
async fn echo(
    request: Request<RequestBody<Full<Bytes>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = read(pin!(request.into_body()));
    if body.starts_with(INITIALIZE.as_bytes()) {
        body = Bytes::from_static(ACCEPTED.as_bytes());
    }
    let mut response = Response::new(Full::from(body));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

/// A body of one piece.
fn read<B: Body<Data = Bytes>>(mut body: Pin<&mut B>) -> Bytes {
    let cx = &mut Context::from_waker(Waker::noop());
    let mut all = Bytes::new();
    while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(cx) {
        if let Ok(data) = frame.into_data() {
            all = data;
        }
    }
    all
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
const ACCEPTED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;
