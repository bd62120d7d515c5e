//! The layer on routers of axum: each way to put it there, extractors, nested paths.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/frameworks.rs"]
mod frameworks;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{MethodRouter, any, any_service, delete, get, post, post_service};
use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};
use tower::{Layer, Service, ServiceBuilder, service_fn};
use tower_http::map_request_body::MapRequestBodyLayer;
use tower_mcp_session::{MemoryStore, SessionContext, SessionLayer};

use frameworks::{
    CALL, INITIALIZE, SESSION_ID, Server, bare, begin, counted, delete_in, get_in, lives_through,
    minted, post_in, send, serve_mcp, unknown_id,
};

fn layer() -> SessionLayer {
    SessionLayer::new(MemoryStore::new())
}

/// The MCP server as handlers of methods.
fn methods() -> MethodRouter {
    get(frameworks::mcp::<Body>)
        .post(frameworks::mcp::<Body>)
        .delete(gone)
}

/// A DELETE that the layer lets through: none of a session.
async fn gone() -> StatusCode {
    StatusCode::GONE
}

#[tokio::test]
async fn each_way_to_route_to_a_service_gives_it_sessions() {
    let nested = Router::new().route("/mcp", methods());
    for (path, router) in [
        ("/mcp", Router::new().route("/mcp", methods())),
        (
            "/mcp",
            Router::new().route("/mcp", any(frameworks::mcp::<Body>)),
        ),
        (
            "/mcp",
            Router::new().route("/mcp", any_service(service_fn(serve_mcp::<Body>))),
        ),
        (
            "/mcp",
            Router::new().route_service("/mcp", service_fn(serve_mcp::<Body>)),
        ),
        (
            "/{tenant}/mcp",
            Router::new().route("/{tenant}/mcp", methods()),
        ),
        ("/a/mcp", Router::new().nest("/a", nested.clone())),
        (
            "/a/b/mcp",
            Router::new().nest("/a", Router::new().nest("/b", nested.clone())),
        ),
        ("/a/mcp", Router::new().nest_service("/a", nested.clone())),
        (
            "/a/mcp",
            Router::new().nest_service("/a", service_fn(serve_mcp::<Body>)),
        ),
        ("/mcp", Router::new().merge(nested.clone())),
        (
            "/any/where",
            Router::new().fallback(frameworks::mcp::<Body>),
        ),
        (
            "/any/where",
            Router::new().fallback_service(service_fn(serve_mcp::<Body>)),
        ),
    ] {
        lives_through(&router.layer(layer()), &path.replace("{tenant}", "one")).await;
    }
}

#[tokio::test]
async fn each_place_for_the_layer_gives_sessions() {
    let inside = Router::new().route("/mcp", methods()).layer(layer());
    for router in [
        Router::new().route("/mcp", methods()).route_layer(layer()),
        Router::new().route("/mcp", methods().layer(layer())),
        Router::new().route("/mcp", methods().route_layer(layer())),
        Router::new().route_service("/mcp", layer().layer(service_fn(serve_mcp::<_>))),
        Router::new().merge(inside.clone()),
        Router::new().fallback_service(layer().layer(Router::new().route("/mcp", methods()))),
    ] {
        lives_through(&router, "/mcp").await;
    }
    lives_through(&Router::new().nest("/a", inside.clone()), "/a/mcp").await;
    lives_through(&Router::new().nest_service("/a", inside), "/a/mcp").await;
    // Around a router as a whole, as any other service.
    let whole = layer().layer(Router::new().route("/mcp", methods()));
    lives_through(&whole, "/mcp").await;
}

#[tokio::test]
async fn the_route_layer_of_a_method_router_sees_only_its_methods() {
    let posts = || post(frameworks::mcp::<Body>);
    for (router, expected) in [
        // axum's own 405: the layer is not asked. With `delete(..)` on the route, or `layer`, it is.
        (
            Router::new().route("/mcp", posts().route_layer(layer())),
            StatusCode::METHOD_NOT_ALLOWED,
        ),
        (
            Router::new().route("/mcp", posts().delete(gone).route_layer(layer())),
            StatusCode::NO_CONTENT,
        ),
        (
            Router::new().route("/mcp", posts().layer(layer())),
            StatusCode::NO_CONTENT,
        ),
        (
            Router::new().route("/mcp", posts()).route_layer(layer()),
            StatusCode::NO_CONTENT,
        ),
        (
            Router::new().route("/mcp", posts()).layer(layer()),
            StatusCode::NO_CONTENT,
        ),
    ] {
        let id = begin(&router, "/mcp").await;
        assert_eq!(
            send(&router, delete_in(&id, "/mcp")).await.status(),
            expected
        );
    }
}

#[tokio::test]
async fn delete_is_answered_by_the_layer_where_the_route_has_only_post() {
    for router in [
        Router::new().route("/mcp", post(frameworks::mcp::<Body>)),
        Router::new().route("/mcp", post_service(service_fn(serve_mcp::<Body>))),
    ] {
        let router = router.layer(layer());
        let id = begin(&router, "/mcp").await;
        // What is inside has no stream to offer: its own answer, in its words.
        let answer = send(&router, get_in(&id, "/mcp")).await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()[ALLOW], "POST");
        // axum adds `Allow: POST` to whatever comes out of a route for a method that it lacks, outside of its layers.
        for status in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
            assert_eq!(send(&router, delete_in(&id, "/mcp")).await.status(), status);
        }
        // Without an id it is not of the layer.
        let answer = send(&router, bare(Method::DELETE, "/mcp")).await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()[ALLOW], "POST");
    }
}

#[tokio::test]
async fn answers_of_the_layer_name_no_methods() {
    for router in [
        Router::new().route("/mcp", methods()),
        Router::new().route("/mcp", any(frameworks::mcp::<Body>)),
        Router::new().route_service("/mcp", service_fn(serve_mcp::<Body>)),
    ] {
        let router = router.layer(layer());
        let id = begin(&router, "/mcp").await;
        for status in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
            let answer = send(&router, delete_in(&id, "/mcp")).await;
            assert_eq!(answer.status(), status);
            assert!(!answer.headers().contains_key(ALLOW), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_delete_route_of_the_application_keeps_its_answers() {
    let router = Router::new()
        .route("/items/{id}", delete(gone))
        .layer(layer());
    let answer = send(&router, bare(Method::DELETE, "/items/1")).await;
    assert_eq!(answer.status(), StatusCode::GONE);
}

#[tokio::test]
async fn head_and_options_pass() {
    let bare_router = Router::new().route("/mcp", get(|| async { "page" }));
    let router = bare_router.clone().layer(layer());
    for method in [Method::HEAD, Method::OPTIONS, Method::PATCH] {
        let expected = send(&bare_router, bare(method.clone(), "/mcp")).await;
        let answer = send(&router, bare(method.clone(), "/mcp")).await;
        assert_eq!(answer.status(), expected.status(), "{method}");
        assert_eq!(answer.headers(), expected.headers(), "{method}");
        let in_session = frameworks::with_id(bare(method.clone(), "/mcp"), &unknown_id());
        assert_eq!(
            send(&router, in_session).await.status(),
            expected.status(),
            "{method}"
        );
    }
}

#[tokio::test]
async fn rule_86_an_id_of_one_endpoint_is_unknown_at_another() {
    let router = Router::new()
        .route("/a", methods())
        .route("/b", methods())
        .layer(layer());
    let (a, b) = (begin(&router, "/a").await, begin(&router, "/b").await);
    for (id, path) in [(&a, "/b"), (&b, "/a")] {
        for request in [
            post_in(id, path, CALL),
            get_in(id, path),
            delete_in(id, path),
        ] {
            assert_eq!(send(&router, request).await.status(), StatusCode::NOT_FOUND);
        }
    }
    for (id, path) in [(&a, "/a"), (&b, "/b")] {
        assert_eq!(
            send(&router, post_in(id, path, CALL)).await.body(),
            &counted(1)
        );
    }
}

#[tokio::test]
async fn endpoints_behind_stripped_prefixes_are_told_apart_by_their_audience() {
    let layer = layer();
    let endpoint = |layer: SessionLayer| Router::new().route("/mcp", methods()).layer(layer);
    let router = Router::new()
        .nest("/one", endpoint(layer.clone().with_audience("one")))
        .nest("/two", endpoint(layer.clone().with_audience("two")))
        // These two see the same path.
        .nest("/three", endpoint(layer.clone()))
        .nest("/four", endpoint(layer));
    for (first, second, status) in [
        ("/one/mcp", "/two/mcp", StatusCode::NOT_FOUND),
        ("/two/mcp", "/one/mcp", StatusCode::NOT_FOUND),
        ("/one/mcp", "/three/mcp", StatusCode::NOT_FOUND),
        ("/three/mcp", "/four/mcp", StatusCode::OK),
    ] {
        let id = begin(&router, first).await;
        assert_eq!(
            send(&router, post_in(&id, second, CALL)).await.status(),
            status
        );
        assert_eq!(
            send(&router, post_in(&id, first, CALL)).await.status(),
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn outside_of_nest_the_layer_sees_the_whole_path() {
    let endpoint = Router::new().route("/mcp", methods());
    let router = Router::new()
        .nest("/one", endpoint.clone())
        .nest("/two", endpoint)
        .layer(layer());
    let id = begin(&router, "/one/mcp").await;
    let elsewhere = send(&router, post_in(&id, "/two/mcp", CALL)).await;
    assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        send(&router, post_in(&id, "/one/mcp", CALL)).await.body(),
        &counted(1)
    );
}

#[tokio::test]
async fn one_audience_is_one_endpoint_whatever_the_path() {
    let router = Router::new()
        .route("/{tenant}/mcp", methods())
        .layer(layer().with_audience("mcp"));
    let id = begin(&router, "/one/mcp").await;
    assert_eq!(
        send(&router, post_in(&id, "/two/mcp", CALL)).await.body(),
        &counted(1)
    );
}

#[tokio::test]
async fn with_path_in_a_router_leaves_the_other_routes_alone() {
    let router = Router::new()
        .route("/mcp", methods())
        .route("/other", methods())
        .layer(layer().with_path("/mcp"));
    lives_through(&router, "/mcp").await;
    let answer = send(&router, frameworks::post("/other", INITIALIZE)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(!answer.headers().contains_key(SESSION_ID));
    // On its own path a GET without an id is refused, whatever it accepts. Rule 19.
    let answer = send(&router, bare(Method::GET, "/mcp")).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn middleware_of_axum_goes_outside_and_inside() {
    async fn fingerprint(request: Request, next: Next) -> Response {
        let session = request.extensions().get::<SessionContext>().cloned();
        let mut response = next.run(request).await;
        if let Some(fingerprint) = session.and_then(|session| session.fingerprint()) {
            let value = HeaderValue::try_from(fingerprint.to_string()).unwrap();
            response.headers_mut().insert("x-session", value);
        }
        response
    }
    // In one ServiceBuilder `from_fn` gets the layer's own body type, which it does not take.
    let stack = ServiceBuilder::new()
        .layer(from_fn(fingerprint))
        .layer(layer())
        .layer(MapRequestBodyLayer::new(Body::new))
        .layer(from_fn(fingerprint));
    let together = Router::new().route("/mcp", methods()).layer(stack);
    // In layers of their own axum converts the body in between.
    let apart = Router::new()
        .route("/mcp", methods())
        .layer(from_fn(fingerprint))
        .layer(layer())
        .layer(from_fn(fingerprint));
    for router in [together, apart] {
        lives_through(&router, "/mcp").await;
        let id = begin(&router, "/mcp").await;
        let answer = send(&router, post_in(&id, "/mcp", CALL)).await;
        let shown = answer.headers()["x-session"].to_str().unwrap();
        assert!(!id.to_str().unwrap().contains(shown));
    }
}

#[tokio::test]
async fn handlers_extract_the_session() {
    async fn strict(session: SessionContext) -> String {
        format!("{:?} {}", session.scope(), session.id().is_some())
    }
    async fn lenient(session: Option<SessionContext>) -> String {
        session.is_some().to_string()
    }
    let router = Router::new()
        .route("/mcp", methods())
        .route("/strict", any(strict))
        .route("/lenient", any(lenient))
        .layer(layer().with_audience("all"));
    let id = begin(&router, "/mcp").await;
    let body = async |request| send(&router, request).await.into_body();
    assert_eq!(body(post_in(&id, "/strict", CALL)).await, "Session true");
    assert_eq!(body(post_in(&id, "/lenient", CALL)).await, "true");
    assert_eq!(body(bare(Method::GET, "/lenient")).await, "false");
    // An initialize has a session that has not begun.
    assert_eq!(
        body(frameworks::post("/strict", INITIALIZE)).await,
        "Initialize false"
    );

    let answer = send(&router, bare(Method::GET, "/strict")).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!answer.body().is_empty());
}

#[tokio::test]
async fn a_router_serves_sessions_over_a_socket() {
    let server = Server::axum(Router::new().route("/mcp", methods()).layer(layer())).await;
    lives_through(&server.client(), "/mcp").await;
    lives_through(&server.http2_client(), "/mcp").await;
}

#[tokio::test]
async fn a_session_is_one_over_all_clones_and_routes() {
    fn both<S: Service<http::Request<Body>> + Clone>(service: &S) -> [S; 2] {
        [service.clone(), service.clone()]
    }
    let layer = layer();
    let router = Router::new().route("/mcp", methods()).layer(layer.clone());
    let again = Router::new().route("/mcp", methods()).layer(layer.clone());
    let id = begin(&router, "/mcp").await;
    let mut n = 0;
    for router in both(&router).iter().chain(&both(&again)) {
        n += 1;
        let answer: http::Response<Bytes> = send(router, post_in(&id, "/mcp", CALL)).await;
        assert_eq!(answer.body(), &counted(n));
    }
    assert_eq!(layer.live_sessions(), 1);
    drop(minted(
        &send(&again, frameworks::post("/mcp", INITIALIZE)).await,
    ));
    assert_eq!(layer.live_sessions(), 2);
}
