//! rmcp with sessions of its own inside the layer, on routers of axum: neither side sees the other's ids.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/frameworks.rs"]
mod frameworks;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tower::ServiceExt;
use tower_mcp_session::testing::ManualClock;
use tower_mcp_session::{MemoryStore, SessionContext, SessionLayer};

use frameworks::{
    CALL, INITIALIZE, INITIALIZED, SESSION_ID, bare, delete_in, get_in, minted, post, post_in,
    send, soon, with_id,
};

/// A server with one tool: `count`.
#[derive(Clone, Default)]
struct Counter;

impl ServerHandler for Counter {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let parts = context.extensions.get::<http::request::Parts>().unwrap();
        let session = parts.extensions.get::<SessionContext>().unwrap();
        let n = session
            .update(&request.name, |n: Option<u32>| n.unwrap_or(0) + 1)
            .await
            .unwrap();
        Ok(CallToolResult::success(vec![ContentBlock::text(format!("n = {n}"))]).into())
    }
}

type Service = StreamableHttpService<Counter, LocalSessionManager>;

/// A way to route to rmcp.
type Route = fn(Service) -> Router;

/// rmcp behind the layer, and everything that passes between them.
struct Mapped {
    router: Router,
    layer: SessionLayer,
    sessions: Arc<LocalSessionManager>,
    inside: Inside,
}

/// A request that rmcp got: its method, and the ids in it.
type Got = (Method, Vec<HeaderValue>);

/// The requests that rmcp got, with the id in them, and the ids that it answered with.
#[derive(Clone, Default)]
struct Inside {
    requests: Arc<Mutex<Vec<Got>>>,
    answers: Arc<Mutex<Vec<HeaderValue>>>,
}

async fn listen(State(inside): State<Inside>, request: Request, next: Next) -> Response {
    let ids = |headers: &http::HeaderMap| {
        headers
            .get_all(SESSION_ID)
            .iter()
            .cloned()
            .collect::<Vec<_>>()
    };
    inside
        .requests
        .lock()
        .unwrap()
        .push((request.method().clone(), ids(request.headers())));
    let response = next.run(request).await;
    inside
        .answers
        .lock()
        .unwrap()
        .extend(ids(response.headers()));
    response
}

impl Mapped {
    fn new(layer: SessionLayer, route: impl FnOnce(Service) -> Router) -> Self {
        let sessions = Arc::new(LocalSessionManager::default());
        let service = StreamableHttpService::new(
            || Ok(Counter),
            Arc::clone(&sessions),
            StreamableHttpServerConfig::default(),
        );
        let inside = Inside::default();
        let router = route(service)
            .layer(from_fn_with_state(inside.clone(), listen))
            .layer(layer.clone());
        Self {
            router,
            layer,
            sessions,
            inside,
        }
    }

    fn at_mcp(layer: SessionLayer) -> Self {
        Self::new(layer, |service| {
            Router::new().route_service("/mcp", service)
        })
    }

    /// A session that has finished its handshake.
    async fn begin(&self, path: &str) -> HeaderValue {
        let answer = send(&self.router, post(path, INITIALIZE)).await;
        let id = minted(&answer);
        let answer = send(&self.router, post_in(&id, path, INITIALIZED)).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        id
    }

    async fn call(&self, path: &str, id: &HeaderValue) -> http::Response<bytes::Bytes> {
        send(&self.router, post_in(id, path, CALL)).await
    }

    /// The inner ids, in the order in which they were minted.
    fn inner_ids(&self) -> Vec<HeaderValue> {
        let mut ids = self.inside.answers.lock().unwrap().clone();
        ids.dedup();
        ids
    }

    /// Waits until rmcp holds `count` sessions.
    async fn inner_sessions(&self, count: usize) {
        soon(async {
            while self.sessions.sessions.read().await.len() != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// No request went in with an id of ours, `ours`, and all but initialize with exactly one of rmcp's.
    fn assert_apart(&self, ours: &[&HeaderValue]) {
        let inner = self.inner_ids();
        for (method, ids) in &*self.inside.requests.lock().unwrap() {
            assert!(ids.len() <= 1, "{method} {ids:?}");
            assert!(
                ids.iter()
                    .all(|id| !ours.contains(&id) && inner.contains(id)),
                "{method} {ids:?}"
            );
        }
    }
}

fn layer() -> SessionLayer {
    SessionLayer::new(MemoryStore::new())
}

#[tokio::test]
async fn a_session_of_rmcp_lives_behind_ours_on_each_kind_of_route() {
    let routes: [(&str, Route); 5] = [
        ("/mcp", |service| {
            Router::new().route_service("/mcp", service)
        }),
        ("/mcp", |service| {
            Router::new().nest_service("/mcp", service)
        }),
        ("/mcp/deeper", |service| {
            Router::new().nest_service("/mcp", service)
        }),
        ("/any/where", |service| {
            Router::new().fallback_service(service)
        }),
        ("/a/mcp", |service| {
            Router::new().nest("/a", Router::new().route_service("/mcp", service))
        }),
    ];
    for (path, route) in routes {
        let mapped = Mapped::new(layer(), route);
        let id = mapped.begin(path).await;
        mapped.inner_sessions(1).await;
        let inner = mapped.inner_ids();
        assert_eq!(inner.len(), 1);
        assert_ne!(inner[0], id);
        for n in 1..3 {
            let answer = mapped.call(path, &id).await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert!(
                !answer.headers().contains_key(SESSION_ID),
                "an inner id left"
            );
            let text = String::from_utf8_lossy(answer.body()).into_owned();
            assert!(text.contains(&format!("n = {n}")), "{text}");
        }
        let mut stream = mapped
            .router
            .clone()
            .oneshot(get_in(&id, path))
            .await
            .unwrap();
        assert_eq!(stream.status(), StatusCode::OK);
        assert!(!stream.headers().contains_key(SESSION_ID));

        let ended = send(&mapped.router, delete_in(&id, path)).await;
        assert_eq!(ended.status(), StatusCode::NO_CONTENT);
        mapped.inner_sessions(0).await;
        soon(async { while let Some(Ok(_)) = stream.body_mut().frame().await {} }).await;
        assert_eq!(mapped.call(path, &id).await.status(), StatusCode::NOT_FOUND);
        mapped.assert_apart(&[&id]);
    }
}

#[tokio::test]
async fn rule_84_an_inner_id_opens_nothing_from_outside() {
    let mapped = Mapped::at_mcp(layer());
    let id = mapped.begin("/mcp").await;
    let inner = mapped.inner_ids().remove(0);
    let seen = mapped.inside.requests.lock().unwrap().len();
    for request in [
        post_in(&inner, "/mcp", CALL),
        get_in(&inner, "/mcp"),
        delete_in(&inner, "/mcp"),
    ] {
        assert_eq!(
            send(&mapped.router, request).await.status(),
            StatusCode::NOT_FOUND
        );
    }
    let both = with_id(post_in(&id, "/mcp", CALL), &inner);
    assert_eq!(
        send(&mapped.router, both).await.status(),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        mapped.inside.requests.lock().unwrap().len(),
        seen,
        "rmcp saw a refused request"
    );
    // With verbs that are not of MCP it does not go in either.
    send(&mapped.router, with_id(bare(Method::PUT, "/mcp"), &inner)).await;
    let (_, ids) = mapped.inside.requests.lock().unwrap().pop().unwrap();
    assert!(ids.is_empty());
    mapped.inner_sessions(1).await;
    assert_eq!(mapped.call("/mcp", &id).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn sessions_side_by_side_reach_their_own_inner_sessions() {
    let mapped = Mapped::at_mcp(layer());
    let (first, second) = (mapped.begin("/mcp").await, mapped.begin("/mcp").await);
    mapped.inner_sessions(2).await;
    let inner = mapped.inner_ids();
    for (id, inner, n) in [
        (&first, &inner[0], 1),
        (&second, &inner[1], 1),
        (&first, &inner[0], 2),
    ] {
        let answer = mapped.call("/mcp", id).await;
        assert!(String::from_utf8_lossy(answer.body()).contains(&format!("n = {n}")));
        let (_, ids) = mapped
            .inside
            .requests
            .lock()
            .unwrap()
            .last()
            .cloned()
            .unwrap();
        assert_eq!(ids, std::slice::from_ref(inner));
    }
    send(&mapped.router, delete_in(&first, "/mcp")).await;
    mapped.inner_sessions(1).await;
    assert_eq!(mapped.call("/mcp", &second).await.status(), StatusCode::OK);
    mapped.assert_apart(&[&first, &second]);
}

#[tokio::test]
async fn an_initialize_that_rmcp_refuses_leaves_nothing() {
    let mapped = Mapped::at_mcp(layer());
    let json_only = |mut request: http::Request<Body>| {
        request
            .headers_mut()
            .insert("accept", HeaderValue::from_static("application/json"));
        request
    };
    let foreign_host = |mut request: http::Request<Body>| {
        request
            .headers_mut()
            .insert("host", HeaderValue::from_static("evil.example"));
        request
    };
    let incomplete = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
    for request in [
        json_only(post("/mcp", INITIALIZE)),
        foreign_host(post("/mcp", INITIALIZE)),
        post("/mcp", incomplete),
    ] {
        let answer = send(&mapped.router, request).await;
        assert!(answer.status().is_client_error(), "{answer:?}");
        assert!(!answer.headers().contains_key(SESSION_ID));
        mapped.inner_sessions(0).await;
        assert_eq!(mapped.layer.live_sessions(), 0);
    }
    assert_eq!(
        mapped.inside.requests.lock().unwrap().len(),
        3,
        "nothing else went in"
    );
}

#[tokio::test]
async fn an_expired_session_takes_its_inner_session_along() {
    let clock = ManualClock::new();
    let mapped = Mapped::at_mcp(
        layer()
            .with_clock(clock.clone())
            .with_idle_timeout(Duration::from_secs(60)),
    );
    let (used, left) = (mapped.begin("/mcp").await, mapped.begin("/mcp").await);
    mapped.inner_sessions(2).await;
    clock.advance(Duration::from_secs(45));
    assert_eq!(mapped.call("/mcp", &used).await.status(), StatusCode::OK);
    clock.advance(Duration::from_secs(30));
    mapped.layer.clean_up().await.unwrap();
    mapped.inner_sessions(1).await;
    assert_eq!(
        mapped.call("/mcp", &left).await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(mapped.call("/mcp", &used).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_evicted_session_takes_its_inner_session_along() {
    let clock = ManualClock::new();
    let mapped = Mapped::at_mcp(layer().with_clock(clock.clone()).with_max_sessions(1));
    let first = mapped.begin("/mcp").await;
    clock.advance(Duration::from_secs(600));
    let second = mapped.begin("/mcp").await;
    mapped.inner_sessions(1).await;
    assert_eq!(
        mapped.call("/mcp", &first).await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(mapped.call("/mcp", &second).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_session_that_rmcp_lost_is_begun_again_behind_ours() {
    let mapped = Mapped::at_mcp(layer());
    let id = mapped.begin("/mcp").await;
    assert_eq!(mapped.call("/mcp", &id).await.status(), StatusCode::OK);
    mapped.sessions.sessions.write().await.clear();
    let answer = mapped.call("/mcp", &id).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(String::from_utf8_lossy(answer.body()).contains("n = 2"));
    mapped.inner_sessions(1).await;
    assert_eq!(mapped.layer.live_sessions(), 1);
    mapped.assert_apart(&[&id]);
}
