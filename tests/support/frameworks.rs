//! What the composition tests share: MCP requests, a small MCP server, and ways to send.

#![allow(dead_code, reason = "each test uses a part of it")]
#![expect(
    clippy::future_not_send,
    reason = "tests send from the thread they run on"
)]

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::serve::ListenerExt;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::{Service, ServiceExt};
use tower_mcp_session::SessionContext;

pub(crate) const SESSION_ID: &str = "mcp-session-id";

pub(crate) const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"composition","version":"1"}}}"#;
pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
pub(crate) const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count"}}"#;

pub(crate) const INITIALIZE_RESULT: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"composition","version":"1"}}}"#;

/// A POST as MCP clients send it.
pub(crate) fn post(path: &str, message: &str) -> Request<Body> {
    Request::post(path)
        .header("host", "127.0.0.1")
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json, text/event-stream")
        .body(Body::from(message.to_owned()))
        .unwrap()
}

/// The same in a session.
pub(crate) fn post_in(id: &HeaderValue, path: &str, message: &str) -> Request<Body> {
    with_id(post(path, message), id)
}

/// A GET for an event stream in a session.
pub(crate) fn get_in(id: &HeaderValue, path: &str) -> Request<Body> {
    let mut request = bare(Method::GET, path);
    request
        .headers_mut()
        .insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    with_id(request, id)
}

pub(crate) fn delete_in(id: &HeaderValue, path: &str) -> Request<Body> {
    with_id(bare(Method::DELETE, path), id)
}

pub(crate) fn bare(method: Method, path: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1")
        .body(Body::empty())
        .unwrap()
}

pub(crate) fn with_id(mut request: Request<Body>, id: &HeaderValue) -> Request<Body> {
    request.headers_mut().append(SESSION_ID, id.clone());
    request
}

/// An id that nobody ever minted.
pub(crate) fn unknown_id() -> HeaderValue {
    HeaderValue::from_static("3f0e2c8a-7d1b-4b7e-9a52-0f6c1d2e3b4a")
}

/// Sends a request and reads the whole answer.
pub(crate) async fn send<S, R>(service: &S, request: Request<Body>) -> Response<Bytes>
where
    S: Service<Request<Body>, Response = Response<R>, Error: Debug> + Clone,
    R: http_body::Body<Data = Bytes, Error: Debug>,
{
    let response = service.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

/// Begins a session at `path`; gives its id.
pub(crate) async fn begin<S, R>(service: &S, path: &str) -> HeaderValue
where
    S: Service<Request<Body>, Response = Response<R>, Error: Debug> + Clone,
    R: http_body::Body<Data = Bytes, Error: Debug>,
{
    minted(&send(service, post(path, INITIALIZE)).await)
}

/// The one id of an answer to an initialize.
pub(crate) fn minted<T: Debug>(answer: &Response<T>) -> HeaderValue {
    assert!(answer.status().is_success(), "{answer:?}");
    let ids: Vec<_> = answer.headers().get_all(SESSION_ID).iter().collect();
    assert_eq!(ids.len(), 1, "{answer:?}");
    ids[0].clone()
}

/// A whole life of a session at `path`: it begins, counts, and ends.
pub(crate) async fn lives_through<S, R>(service: &S, path: &str)
where
    S: Service<Request<Body>, Response = Response<R>, Error: Debug> + Clone,
    R: http_body::Body<Data = Bytes, Error: Debug>,
{
    let id = begin(service, path).await;
    let answer = send(service, post_in(&id, path, INITIALIZED)).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    for n in 1..3 {
        let answer = send(service, post_in(&id, path, CALL)).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(!answer.headers().contains_key(SESSION_ID));
        assert_eq!(answer.body(), &counted(n));
    }
    let answer = send(service, post_in(&unknown_id(), path, CALL)).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let ended = send(service, delete_in(&id, path)).await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    for request in [
        delete_in(&id, path),
        get_in(&id, path),
        post_in(&id, path, CALL),
    ] {
        assert_eq!(send(service, request).await.status(), StatusCode::NOT_FOUND);
    }
}

/// What [`mcp`] answers to the `n`th call of a session.
pub(crate) fn counted(n: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"count":{n}}}}}"#)
}

/// A small MCP server, in any framework: it answers initialize, counts the calls of a session, and streams.
pub(crate) async fn mcp<B>(request: Request<B>) -> Response<BoxBody<Bytes, Infallible>>
where
    B: http_body::Body<Data = Bytes, Error: Debug>,
{
    assert!(
        !request.headers().contains_key(SESSION_ID),
        "the client's id went in"
    );
    let session = request.extensions().get::<SessionContext>().cloned();
    if request.method() == Method::GET {
        return stream("data: {}\n\n");
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    if text.contains(r#""initialize""#) {
        return json(INITIALIZE_RESULT.to_owned());
    }
    if text.contains("stream") {
        return stream("data: {}\n\n");
    }
    let Some(session) = session else {
        return json(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned());
    };
    if !text.contains(r#""id""#) {
        let mut accepted = json(String::new());
        *accepted.status_mut() = StatusCode::ACCEPTED;
        return accepted;
    }
    json(counted(
        session
            .update("count", |n: Option<u32>| n.unwrap_or(0) + 1)
            .await
            .unwrap(),
    ))
}

/// [`mcp`] as a service that cannot fail.
pub(crate) async fn serve_mcp<B>(
    request: Request<B>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible>
where
    B: http_body::Body<Data = Bytes, Error: Debug>,
{
    Ok(mcp(request).await)
}

fn json(text: String) -> Response<BoxBody<Bytes, Infallible>> {
    let mut response = Response::new(Full::from(text).boxed());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An event stream that begins with `first` and never ends by itself.
pub(crate) fn stream(first: &'static str) -> Response<BoxBody<Bytes, Infallible>> {
    use futures_util::StreamExt;
    let first = Frame::data(Bytes::from_static(first.as_bytes()));
    let frames =
        futures_util::stream::iter([Ok(first)]).chain(futures_util::stream::once(pending::<
            Result<Frame<Bytes>, Infallible>,
        >()));
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(frames)));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

/// A server on a socket, until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves a router of axum.
    pub(crate) async fn axum(router: Router) -> Self {
        Self::with(|listener| async move {
            let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
            axum::serve(listener, router.into_make_service())
                .await
                .unwrap();
        })
        .await
    }

    /// Runs `serve` with a listener on a free port.
    pub(crate) async fn with<F>(serve: impl FnOnce(TcpListener) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self {
            address,
            task: tokio::spawn(serve(listener)),
        }
    }

    /// A client of this server that speaks HTTP/1.1.
    pub(crate) fn client(&self) -> RemoteClient {
        self.client_of(false)
    }

    /// A client of this server that speaks HTTP/2.
    pub(crate) fn http2_client(&self) -> RemoteClient {
        self.client_of(true)
    }

    fn client_of(&self, http2: bool) -> RemoteClient {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .http2_only(http2)
            .build(connector);
        let authority = Authority::try_from(self.address.to_string()).unwrap();
        RemoteClient { client, authority }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client of one server; its requests name a path only.
#[derive(Clone, Debug)]
pub(crate) struct RemoteClient {
    client: Client<HttpConnector, Body>,
    authority: Authority,
}

impl Service<Request<Body>> for RemoteClient {
    type Response = Response<Incoming>;
    type Error = legacy::Error;
    type Future = legacy::ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), legacy::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> legacy::ResponseFuture {
        let mut parts = request.uri().clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        *request.uri_mut() = Uri::from_parts(parts).unwrap();
        self.client.request(request)
    }
}

/// Fails the test if `future` hangs. What it waits for never takes as long.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    let Ok(output) = tokio::time::timeout(Duration::from_secs(20), future).await else {
        panic!("stuck");
    };
    output
}
