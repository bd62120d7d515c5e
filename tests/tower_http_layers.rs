//! The layers of tower-http, on either side of ours.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/frameworks.rs"]
mod frameworks;

use std::any::Any;
use std::future::pending;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_ENCODING, ORIGIN,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutLayer};
use tower_http::trace::TraceLayer;
use tower_mcp_session::{MemoryStore, SessionLayer};

use frameworks::{
    CALL, INITIALIZE, INITIALIZE_RESULT, SESSION_ID, Server, bare, begin, counted, delete_in,
    get_in, lives_through, minted, post, post_in, send, soon, unknown_id,
};

fn layer() -> SessionLayer {
    SessionLayer::new(MemoryStore::new())
}

fn router() -> Router {
    Router::new().route("/mcp", any(frameworks::mcp::<Body>))
}

/// The router with one more layer, inside of ours and outside of it.
macro_rules! both_sides {
    ($layer:expr) => {
        [
            router().layer($layer).layer(layer()),
            router().layer(layer()).layer($layer),
        ]
    };
}

#[tokio::test]
async fn sessions_live_with_each_layer_on_either_side() {
    let seconds = Duration::from_secs(60);
    let header = SetResponseHeaderLayer::overriding(
        HeaderName::from_static("x-own"),
        HeaderValue::from_static("1"),
    );
    for routers in [
        both_sides!(TraceLayer::new_for_http()),
        both_sides!(CorsLayer::very_permissive()),
        both_sides!(CompressionLayer::new()),
        both_sides!(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            seconds
        )),
        both_sides!(RequestBodyTimeoutLayer::new(seconds)),
        both_sides!(RequestBodyLimitLayer::new(1 << 20)),
        both_sides!(header.clone()),
        both_sides!(CatchPanicLayer::new()),
    ] {
        for router in routers {
            lives_through(&router, "/mcp").await;
        }
    }
}

#[tokio::test]
async fn sessions_live_amid_all_layers_at_once() {
    let seconds = Duration::from_secs(60);
    let router = router()
        .layer(CatchPanicLayer::new())
        .layer(RequestBodyLimitLayer::new(1 << 20))
        .layer(CompressionLayer::new())
        .layer(TraceLayer::new_for_http())
        .layer(layer())
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            seconds,
        ))
        .layer(CompressionLayer::new())
        .layer(browser_cors())
        .layer(TraceLayer::new_for_http());
    lives_through(&router, "/mcp").await;
    let server = Server::axum(router).await;
    lives_through(&server.client(), "/mcp").await;
}

/// What a page needs to speak MCP to a server of another origin.
fn browser_cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::exact(HeaderValue::from_static(
            "https://app.example",
        )))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(
            [
                "content-type",
                "accept",
                "authorization",
                SESSION_ID,
                "mcp-protocol-version",
                "last-event-id",
            ]
            .map(HeaderName::from_static),
        )
        .expose_headers([HeaderName::from_static(SESSION_ID)])
}

#[tokio::test]
async fn a_page_of_another_origin_can_hold_a_session() {
    for router in both_sides!(browser_cors()) {
        let id = HeaderName::from_static(SESSION_ID);
        let from_page = |mut request: Request| {
            request
                .headers_mut()
                .insert(ORIGIN, HeaderValue::from_static("https://app.example"));
            request
        };
        let mut preflight = from_page(bare(Method::OPTIONS, "/mcp"));
        for (name, value) in [
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "content-type,mcp-session-id,mcp-protocol-version",
            ),
        ] {
            preflight
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        let answer = send(&router, preflight).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(
            answer.headers()[ACCESS_CONTROL_ALLOW_ORIGIN],
            "https://app.example"
        );
        let allowed = answer.headers()[ACCESS_CONTROL_ALLOW_HEADERS]
            .to_str()
            .unwrap();
        assert!(allowed.contains(id.as_str()) && allowed.contains("mcp-protocol-version"));

        let answer = send(&router, from_page(post("/mcp", INITIALIZE))).await;
        minted(&answer);
        assert_eq!(answer.headers()[ACCESS_CONTROL_EXPOSE_HEADERS], id.as_str());
    }
    // Only outside of the layer does CORS reach the layer's own answers: a page must see a 404 to start anew.
    let [inside, outside] = both_sides!(browser_cors());
    for (router, readable) in [(inside, false), (outside, true)] {
        let mut request = post_in(&unknown_id(), "/mcp", CALL);
        request
            .headers_mut()
            .insert(ORIGIN, HeaderValue::from_static("https://app.example"));
        let answer = send(&router, request).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        assert_eq!(
            answer.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN),
            readable
        );
    }
}

#[tokio::test]
async fn a_compressed_initialize_begins_a_session() {
    let compression = || CompressionLayer::new().compress_when(SizeAbove::new(1));
    let [inside, outside] = both_sides!(compression());
    for (router, initialize_is_coded) in [(inside, false), (outside, true)] {
        let gzip = |mut request: Request| {
            request
                .headers_mut()
                .insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            request
        };
        let answer = send(&router, gzip(post("/mcp", INITIALIZE))).await;
        let id = minted(&answer);
        assert_eq!(
            answer.headers().contains_key(CONTENT_ENCODING),
            initialize_is_coded
        );
        if !initialize_is_coded {
            assert_eq!(answer.body(), INITIALIZE_RESULT);
        }
        // Inside a session the layer reads no answer, and the client gets what it asked for.
        for _ in 0..2 {
            let answer = send(&router, gzip(post_in(&id, "/mcp", CALL))).await;
            assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
            assert!(answer.body().starts_with(&[0x1f, 0x8b]));
        }
        let missing = send(&router, gzip(delete_in(&unknown_id(), "/mcp"))).await;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        assert_eq!(missing.headers()[CACHE_CONTROL], "no-store");
    }
}

#[tokio::test]
async fn a_compressed_event_stream_flows() {
    for router in both_sides!(CompressionLayer::new()) {
        let id = begin(&router, "/mcp").await;
        let mut request = get_in(&id, "/mcp");
        request
            .headers_mut()
            .insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let mut answer = router.clone().oneshot(request).await.unwrap();
        let frame = soon(answer.body_mut().frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "data: {}\n\n");
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_the_wait_and_leaves_nothing() {
    async fn hangs(request: Request) -> Response {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        if body.windows(4).any(|window| window == b"hang") {
            pending::<()>().await;
        }
        (StatusCode::OK, INITIALIZE_RESULT).into_response()
    }
    let timeout =
        || TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(5));
    let router = || Router::new().route("/mcp", any(hangs));
    for inside in [true, false] {
        let layer = layer().with_initialize_timeout(Duration::from_secs(10));
        let router = if inside {
            router().layer(timeout()).layer(layer.clone())
        } else {
            router().layer(layer.clone()).layer(timeout())
        };
        let slow = INITIALIZE.replace("composition", "hang");
        let answer = send(&router, post("/mcp", &slow)).await;
        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
        assert!(!answer.headers().contains_key(SESSION_ID));
        // The initialize goes on in a task of its own until its own limit, then nothing is left of it.
        tokio::time::advance(Duration::from_secs(6)).await;
        while layer.live_sessions() > 0 {
            tokio::task::yield_now().await;
        }
        let id = begin(&router, "/mcp").await;
        let answer = send(
            &router,
            post_in(&id, "/mcp", &CALL.replace("count", "hang")),
        )
        .await;
        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
        // The session is none the worse for it.
        assert_eq!(
            send(&router, post_in(&id, "/mcp", CALL)).await.status(),
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn a_body_limit_holds_on_either_side() {
    let limit = || RequestBodyLimitLayer::new(2_000);
    let long = |message: &str| format!("{message}{}", " ".repeat(4_000));
    for router in both_sides!(limit()) {
        // Over a socket, where a body of a known length says so in the head.
        let server = Server::axum(router).await;
        let client = server.client();
        let id = begin(&client, "/mcp").await;
        send(&client, post_in(&id, "/mcp", CALL)).await;
        for request in [
            post_in(&id, "/mcp", &long(CALL)),
            post("/mcp", &long(INITIALIZE)),
        ] {
            let answer = send(&client, request).await;
            assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
            assert!(!answer.headers().contains_key(SESSION_ID));
        }
        assert_eq!(
            send(&client, post_in(&id, "/mcp", CALL)).await.body(),
            &counted(2)
        );
    }
}

#[tokio::test]
async fn a_body_without_a_length_over_the_limit_begins_nothing() {
    let pieces =
        [INITIALIZE, &" ".repeat(4_000)].map(|piece| Ok::<_, std::io::Error>(piece.to_owned()));
    let layer = layer();
    let router = router()
        .layer(layer.clone())
        .layer(RequestBodyLimitLayer::new(2_000));
    let mut request = post("/mcp", "");
    *request.body_mut() = Body::from_stream(futures_util::stream::iter(pieces));
    let answer = send(&router, request).await;
    assert!(answer.status().is_client_error(), "{answer:?}");
    assert_eq!(layer.live_sessions(), 0);
}

#[tokio::test]
async fn set_header_outside_reaches_the_answers_of_the_layer() {
    let own = || {
        SetResponseHeaderLayer::overriding(
            HeaderName::from_static("x-own"),
            HeaderValue::from_static("1"),
        )
    };
    let [inside, outside] = both_sides!(own());
    for (router, expected) in [(inside, false), (outside, true)] {
        let answer = send(&router, delete_in(&unknown_id(), "/mcp")).await;
        assert_eq!(answer.headers().contains_key("x-own"), expected);
        assert_eq!(
            send(&router, post("/mcp", INITIALIZE)).await.headers()["x-own"],
            "1"
        );
    }
}

#[tokio::test]
async fn an_id_that_a_layer_inside_sets_never_leaves() {
    let forged = SetResponseHeaderLayer::overriding(
        HeaderName::from_static(SESSION_ID),
        HeaderValue::from_static("forged"),
    );
    let router = Router::new()
        .route("/mcp", any(|| async { INITIALIZE_RESULT }))
        .layer(forged)
        .layer(layer());
    let id = begin(&router, "/mcp").await;
    assert_ne!(id, "forged");
    let answer = send(&router, post_in(&id, "/mcp", CALL)).await;
    assert!(!answer.headers().contains_key(SESSION_ID));
    let answer = send(&router, bare(Method::GET, "/mcp")).await;
    assert!(!answer.headers().contains_key(SESSION_ID));
}

#[tokio::test]
async fn a_panic_is_caught_on_either_side_and_ends_no_session() {
    fn caught(_: Box<dyn Any + Send>) -> http::Response<http_body_util::Full<Bytes>> {
        let mut response = http::Response::default();
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    }
    async fn panics(
        request: Request,
    ) -> http::Response<impl http_body::Body<Data = Bytes, Error = std::convert::Infallible>> {
        assert!(!request.headers().contains_key("x-panic"), "as asked");
        frameworks::mcp(request).await
    }
    let bomb = |mut request: Request| {
        request
            .headers_mut()
            .insert("x-panic", HeaderValue::from_static("1"));
        request
    };
    let router = || Router::new().route("/mcp", any(panics));
    for inside in [true, false] {
        let layer = layer();
        let catch = CatchPanicLayer::custom(caught);
        let (router, initialize) = if inside {
            (
                router().layer(catch).layer(layer.clone()),
                StatusCode::INTERNAL_SERVER_ERROR,
            )
        } else {
            // Ours: the panic ended a task of ours, and the client may try again.
            (
                router().layer(layer.clone()).layer(catch),
                StatusCode::SERVICE_UNAVAILABLE,
            )
        };
        let answer = send(&router, bomb(post("/mcp", INITIALIZE))).await;
        assert_eq!(answer.status(), initialize);
        assert_eq!(layer.live_sessions(), 0);
        let id = begin(&router, "/mcp").await;
        for n in 1..3 {
            let answer = send(&router, bomb(post_in(&id, "/mcp", CALL))).await;
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(
                send(&router, post_in(&id, "/mcp", CALL)).await.body(),
                &counted(n)
            );
        }
    }
}
