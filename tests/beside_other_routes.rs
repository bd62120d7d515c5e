//! One layer over a whole application: what is not MCP's stays as it is, byte for byte. Wire rule 89.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/frameworks.rs"]
mod frameworks;

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{Html, IntoResponse};
use axum::routing::{any, get};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tower::ServiceExt;
use tower_mcp_session::{MemoryStore, MissingId, SessionLayer};

use frameworks::{CALL, INITIALIZE, RemoteClient, Server, lives_through, send, soon};

/// An application that has everything beside its MCP endpoint.
fn application() -> Router {
    Router::new()
        .route("/mcp", any(frameworks::mcp::<Body>))
        .route("/health", get(|| async { "ok" }))
        .route(
            "/page",
            get(|| async { Html("<!doctype html><title>page</title>") }),
        )
        .route(
            "/events",
            get(|| async {
                (
                    [(CONTENT_TYPE, "text/event-stream")],
                    "data: 1\n\ndata: 2\n\n",
                )
            }),
        )
        .fallback(echo)
}

/// Answers with all that came in: nothing can change unseen.
async fn echo(request: Request) -> impl IntoResponse {
    let (parts, mut body) = request.into_parts();
    let mut headers: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    headers.sort();
    let (mut digest, mut length, mut trailers) = (Sha256::new(), 0, HeaderMap::new());
    while let Some(frame) = body.frame().await {
        match frame.unwrap().into_data() {
            Ok(data) => {
                length += data.len();
                digest.update(data);
            }
            Err(frame) => trailers = frame.into_trailers().unwrap(),
        }
    }
    let text = format!(
        "{} {} {headers:?} {length} {:?} {trailers:?}",
        parts.method,
        parts.uri,
        digest.finalize()
    );
    (StatusCode::IM_A_TEAPOT, [("x-own", "kept")], text)
}

/// The same application without and with the layer.
async fn both() -> [Server; 2] {
    let layer = SessionLayer::new(MemoryStore::new());
    [
        Server::axum(application()).await,
        Server::axum(application().layer(layer)).await,
    ]
}

async fn compare(clients: &[RemoteClient; 2], request: impl Fn() -> Request) {
    let [without, with] = clients;
    let (without, with) = (send(without, request()).await, send(with, request()).await);
    assert_eq!(all_of(&with), all_of(&without), "{:?}", request());
}

fn all_of(answer: &Response<Bytes>) -> (StatusCode, HeaderMap, Bytes) {
    let mut headers = answer.headers().clone();
    headers.remove(DATE);
    (answer.status(), headers, answer.body().clone())
}

fn request(
    method: Method,
    path: &str,
    headers: &[(&'static str, &str)],
    body: impl Into<Body>,
) -> Request {
    let mut request = Request::new(body.into());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    request
        .headers_mut()
        .insert(HOST, "application.test".parse().unwrap());
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn rule_89_requests_of_others_and_their_answers_are_unchanged() {
    let servers = both().await;
    let clients = servers.each_ref().map(Server::client);
    for (method, path, headers, body) in OTHERS {
        compare(&clients, || request(method.clone(), path, headers, *body)).await;
    }
    let long = format!(r#"{{"items":"{}"}}"#, "x".repeat(200_000));
    compare(&clients, || {
        request(Method::POST, "/items", JSON, long.clone())
    })
    .await;
    lives_through(&clients[1], "/mcp").await;
}

#[tokio::test]
async fn rule_89_an_upload_of_20_mib_arrives_whole() {
    // As JSON it is looked at until it is too long to be MCP's.
    let json = |length: usize| format!(r#"{{"file":"{}"}}"#, "x".repeat(length)).into_bytes();
    let servers = both().await;
    let clients = servers.each_ref().map(Server::client);
    for (content_type, whole, with_length) in [
        ("application/octet-stream", noise(20 << 20), true),
        ("multipart/form-data; boundary=x", noise(20 << 20), false),
        ("application/json", noise(20 << 20), false),
        ("application/json", json(20 << 20), true),
    ] {
        let whole = Bytes::from(whole);
        compare(&clients, || {
            let headers = &[("content-type", content_type)];
            let body = if with_length {
                Body::from(whole.clone())
            } else {
                in_pieces(&whole)
            };
            request(Method::POST, "/upload", headers, body)
        })
        .await;
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_never_looks_whole() {
    async fn take(request: Request) -> StatusCode {
        match request.into_body().collect().await {
            Ok(_) => StatusCode::CREATED,
            Err(_) => StatusCode::BAD_REQUEST,
        }
    }
    let router = Router::new().route("/items", any(take));
    let with = router.clone().layer(SessionLayer::new(MemoryStore::new()));
    // Each first part would be whole by itself: a handler that took it for all would act on half an order.
    for first in [
        "",
        r#"{"name":"a"}"#,
        "{\"name\":\"a\"}\n",
        INITIALIZE,
        CALL,
    ] {
        let broken = || {
            // As hyper does: after its error a body is over.
            let pieces = [Ok(first), Err(std::io::Error::other("the client has left"))];
            let body = Body::from_stream(futures_util::stream::iter(pieces));
            request(
                Method::POST,
                "/items",
                &[("content-type", "application/json")],
                body,
            )
        };
        let answer = send(&router, broken()).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{first}");
        let answer = send(&with, broken()).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{first}");
    }
}

#[tokio::test]
async fn an_upload_streams_through_while_it_is_sent() {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(1);
    let take = move |request: Request| async move {
        let mut body = request.into_body();
        while let Some(frame) = body.frame().await {
            sender
                .send(frame.unwrap().into_data().unwrap())
                .await
                .unwrap();
        }
    };
    let router = Router::new()
        .route("/upload", axum::routing::post(take))
        .layer(SessionLayer::new(MemoryStore::new()));
    let server = Server::axum(router).await;
    let (pieces, body) = channel();
    let upload = request(
        Method::POST,
        "/upload",
        &[("content-type", "text/plain")],
        body,
    );
    let answer = tokio::spawn(server.client().oneshot(upload));
    for piece in ["one", "two", "three"] {
        pieces.send(Bytes::from(piece)).await.unwrap();
        // It is inside before the next one is sent.
        assert_eq!(soon(receiver.recv()).await.unwrap(), piece);
    }
    drop(pieces);
    assert_eq!(
        soon(answer).await.unwrap().unwrap().status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn an_event_stream_of_another_route_needs_a_word_to_pass() {
    let accept = &[("accept", "text/event-stream")];
    let events = || request(Method::GET, "/events", accept, Body::empty());
    // Nothing tells it from the GET of an MCP client without an id. Rule 19.
    let layer = SessionLayer::new(MemoryStore::new());
    let answer = send(&application().layer(layer), events()).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);

    let expected = all_of(&send(&application(), events()).await);
    for layer in [
        SessionLayer::new(MemoryStore::new()).with_path("/mcp"),
        SessionLayer::new(MemoryStore::new()).with_missing_id(MissingId::PassOn),
        SessionLayer::new(MemoryStore::new()).with_enabled(false),
    ] {
        assert_eq!(
            all_of(&send(&application().layer(layer), events()).await),
            expected
        );
    }
}

#[tokio::test]
async fn with_path_leaves_even_json_rpc_of_other_routes_alone() {
    let layer = SessionLayer::new(MemoryStore::new()).with_path("/mcp");
    let [without, with] = [application(), application().layer(layer)];
    let with_id = &[
        ("mcp-session-id", "x"),
        ("content-type", "application/json"),
    ][..];
    for headers in [&with_id[1..], with_id] {
        for body in [INITIALIZE, CALL, "not json"] {
            for (method, path) in [
                (Method::POST, "/rpc"),
                (Method::DELETE, "/rpc"),
                (Method::GET, "/mcp/x"),
            ] {
                let request = || request(method.clone(), path, headers, body);
                let expected = all_of(&send(&without, request()).await);
                assert_eq!(all_of(&send(&with, request()).await), expected);
            }
        }
    }
}

#[tokio::test]
async fn a_download_of_another_route_outlives_a_drain() {
    let layer = SessionLayer::new(MemoryStore::new());
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let receiver = std::sync::Arc::new(tokio::sync::Mutex::new(Some(receiver)));
    let download = move || {
        let receiver = std::sync::Arc::clone(&receiver);
        async move { body_of(receiver.lock().await.take().unwrap()) }
    };
    let router = Router::new()
        .route("/download", get(download))
        .layer(layer.clone());
    let server = Server::axum(router).await;
    let request = request(Method::GET, "/download", &[], Body::empty());
    let mut body = server.client().oneshot(request).await.unwrap().into_body();
    sender.send(Bytes::from("first ")).await.unwrap();
    assert_eq!(
        soon(body.frame())
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap(),
        "first "
    );
    let waiting = tokio::spawn(async move { body.collect().await.unwrap().to_bytes() });
    layer.drain(Duration::ZERO).await;
    drop(sender.send(Bytes::from("second")).await);
    drop(sender);
    assert_eq!(
        soon(waiting).await.unwrap(),
        "second",
        "a file cut short looks whole to its reader"
    );
}

#[tokio::test]
async fn nothing_is_added_to_the_answers_of_others() {
    let router = application().layer(SessionLayer::new(MemoryStore::new()));
    let answer = send(
        &router,
        request(
            Method::GET,
            "/health",
            &[(ACCEPT.as_str(), "*/*")],
            Body::empty(),
        ),
    )
    .await;
    let names: Vec<_> = answer.headers().keys().collect();
    assert_eq!(names, [CONTENT_TYPE, CONTENT_LENGTH]);
}

/// Bytes that begin as no JSON does, and that no piece of a body can be missing from unseen.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0] | 0x80
    };
    let block: Vec<_> = (0..65_537).map(next).collect();
    block.into_iter().cycle().take(length).collect()
}

/// A body without a length, in frames of 64 KiB.
fn in_pieces(whole: &Bytes) -> Body {
    let pieces: Vec<_> = whole
        .chunks(64 << 10)
        .map(|piece| whole.slice_ref(piece))
        .collect();
    let frames = pieces
        .into_iter()
        .map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    Body::new(StreamBody::new(futures_util::stream::iter(frames)))
}

/// A body that arrives piece by piece.
fn channel() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, body_of(receiver))
}

fn body_of(receiver: mpsc::Receiver<Bytes>) -> Body {
    Body::from_stream(futures_util::stream::unfold(
        receiver,
        |mut receiver| async move {
            let piece = receiver.recv().await?;
            Some((Ok::<_, Infallible>(piece), receiver))
        },
    ))
}

type Headers = &'static [(&'static str, &'static str)];

const JSON: Headers = &[("content-type", "application/json")];
const FORM: Headers = &[("content-type", "application/x-www-form-urlencoded")];
const AUTHORIZED: Headers = &[
    ("authorization", "Bearer x"),
    ("cookie", "a=1"),
    ("cookie", "b=2"),
];
const NAMED: Headers = &[
    ("mcp-protocol-version", "2025-11-25"),
    ("accept", "application/json"),
];
const GZIP: Headers = &[
    ("content-type", "application/json"),
    ("content-encoding", "gzip"),
];
const PAGE: Headers = &[("accept", "text/html,*/*;q=0.8")];
const CURL: Headers = &[("accept", "*/*")];
const PREFLIGHT: Headers = &[
    ("origin", "https://a.example"),
    ("access-control-request-method", "POST"),
];

/// Requests that are none of MCP's, and have no id.
const OTHERS: &[(Method, &str, Headers, &str)] = &[
    (Method::GET, "/health", &[], ""),
    (Method::HEAD, "/health", &[], ""),
    (Method::GET, "/page", PAGE, ""),
    (Method::GET, "/events", CURL, ""),
    (Method::GET, "/search?q=mcp%20session&q=2", AUTHORIZED, ""),
    (
        Method::GET,
        "/.well-known/oauth-protected-resource",
        NAMED,
        "",
    ),
    (
        Method::POST,
        "/items",
        JSON,
        r#"{"name":"initialize","method":"initialize"}"#,
    ),
    (
        Method::POST,
        "/items",
        JSON,
        r#"[{"name":"a"},{"name":"b"}]"#,
    ),
    (Method::POST, "/items", JSON, "not json"),
    (
        Method::POST,
        "/items",
        JSON,
        r#"{"a":1,"a":2,"method":1,"method":2}"#,
    ),
    (Method::POST, "/items", JSON, ""),
    (Method::POST, "/items", JSON, r#""jsonrpc""#),
    (Method::POST, "/items", GZIP, "no gzip"),
    (Method::POST, "/login", FORM, "user=a&password=b"),
    (Method::POST, "/items", &[], r#"{"name":"a"}"#),
    (Method::POST, "/items", &[], ""),
    (Method::PUT, "/items/1", JSON, r#"{"jsonrpc":"2.0"}"#),
    (
        Method::PATCH,
        "/items/1",
        JSON,
        r#"[{"op":"remove","path":"/a"}]"#,
    ),
    (Method::DELETE, "/items/1", AUTHORIZED, ""),
    (Method::DELETE, "/items", JSON, r#"{"ids":[1,2]}"#),
    (Method::OPTIONS, "/items", PREFLIGHT, ""),
    (Method::TRACE, "/", &[], ""),
];
