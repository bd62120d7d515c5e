//! rmcp in its stateful mode inside two instances: a session begun at one is used, and ended, at the other.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ElicitRequestParams,
    ElicitationAction, ElicitationSchema, ErrorData, ServerCapabilities, ServerConfig,
};
use rmcp::service::{NotificationContext, RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tower::ServiceExt;
use tower_mcp_session::testing::ManualClock;
use tower_mcp_session::{MemoryStore, SessionContext, SessionLayer};

use crate::support;

#[path = "../support/frameworks.rs"]
mod frameworks;

use frameworks::{INITIALIZED, delete_in, get_in, minted, post, post_in, send, soon};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"c","version":"1"}}}"#;
const ASK: &str = r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"ask"}}"#;

/// A server whose one tool counts, and asks the client before it answers.
#[derive(Clone)]
struct Asking {
    initialized: UnboundedSender<()>,
}

impl ServerHandler for Asking {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn on_initialized(&self, _: NotificationContext<RoleServer>) {
        self.initialized.send(()).unwrap();
    }

    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let parts = context.extensions.get::<http::request::Parts>().unwrap();
        let session = parts.extensions.get::<SessionContext>().unwrap();
        let n = session
            .update("n", |n: Option<u32>| n.unwrap_or(0) + 1)
            .await
            .unwrap();
        let question = ElicitRequestParams::FormElicitationParams {
            meta: None,
            message: "go on?".to_owned(),
            requested_schema: ElicitationSchema::builder()
                .required_string("name")
                .build()
                .unwrap(),
        };
        let answer = context.peer.create_elicitation(question).await.unwrap();
        assert_eq!(answer.action, ElicitationAction::Accept);
        let restored = session.is_restored();
        let text = format!("n = {n}, restored = {restored}");
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}

struct Instance {
    router: Router,
    layer: SessionLayer,
    sessions: Arc<LocalSessionManager>,
    initialized: UnboundedReceiver<()>,
}

impl Instance {
    fn over(store: &MemoryStore, clock: &ManualClock) -> Self {
        let sessions = Arc::new(LocalSessionManager::default());
        let (told, initialized) = unbounded_channel();
        let service = StreamableHttpService::new(
            move || {
                Ok(Asking {
                    initialized: told.clone(),
                })
            },
            Arc::clone(&sessions),
            StreamableHttpServerConfig::default(),
        );
        let layer = SessionLayer::new(support::shared(store)).with_clock(clock.clone());
        let router = Router::new()
            .route_service("/mcp", service)
            .layer(layer.clone());
        Self {
            router,
            layer,
            sessions,
            initialized,
        }
    }

    async fn status(&self, request: Request<Body>) -> StatusCode {
        send(&self.router, request).await.status()
    }

    /// Calls the tool, answers its question in a request of its own, and gives what it says in the end.
    async fn call(&self, id: &HeaderValue) -> String {
        let answer = self.router.clone().oneshot(post_in(id, "/mcp", ASK)).await;
        let mut body = answer.unwrap().into_body();
        let question = next_message(&mut body).await;
        assert_eq!(question["method"], "elicitation/create", "{question}");
        let reply = serde_json::json!({
            "jsonrpc": "2.0",
            "id": question["id"],
            "result": { "action": "accept", "content": { "name": "x" } },
        });
        let reply = post_in(id, "/mcp", &reply.to_string());
        assert_eq!(self.status(reply).await, StatusCode::ACCEPTED);
        next_message(&mut body).await.to_string()
    }

    async fn inner_sessions(&self, count: usize) {
        soon(async {
            while self.sessions.sessions.read().await.len() != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// The next message of an event stream.
async fn next_message(body: &mut Body) -> serde_json::Value {
    soon(async {
        loop {
            let frame = body.frame().await.unwrap().unwrap();
            let data: Bytes = frame.into_data().unwrap();
            let text = String::from_utf8_lossy(&data).into_owned();
            let mut lines = text.lines().filter_map(|line| line.strip_prefix("data:"));
            if let Some(message) = lines.find_map(|line| serde_json::from_str(line.trim()).ok()) {
                return message;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_session_of_rmcp_is_used_elsewhere_and_its_server_asks_the_client_there() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let (mut a, mut b) = (
        Instance::over(&store, &clock),
        Instance::over(&store, &clock),
    );
    let id = minted(&send(&a.router, post("/mcp", INITIALIZE)).await);
    assert_eq!(
        a.status(post_in(&id, "/mcp", INITIALIZED)).await,
        StatusCode::ACCEPTED
    );
    soon(a.initialized.recv()).await.unwrap();
    assert!(a.call(&id).await.contains("n = 1, restored = false"));
    assert!(b.call(&id).await.contains("n = 2, restored = true"));
    soon(b.initialized.recv()).await.unwrap();
    // The client's own word of it does not run the hook again.
    let again = b.status(post_in(&id, "/mcp", INITIALIZED)).await;
    assert_eq!(again, StatusCode::ACCEPTED);
    assert!(a.call(&id).await.contains("n = 3, restored = false"));
    assert!(b.call(&id).await.contains("n = 4, restored = true"));
    assert!(b.initialized.try_recv().is_err());
    a.inner_sessions(1).await;
    b.inner_sessions(1).await;

    assert_eq!(
        b.status(delete_in(&id, "/mcp")).await,
        StatusCode::NO_CONTENT
    );
    b.inner_sessions(0).await;
    assert_eq!(
        a.status(post_in(&id, "/mcp", ASK)).await,
        StatusCode::NOT_FOUND
    );
    a.inner_sessions(0).await;
}

#[tokio::test]
async fn an_end_elsewhere_ends_the_session_of_rmcp_within_a_round() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let (a, b) = (
        Instance::over(&store, &clock),
        Instance::over(&store, &clock),
    );
    let id = minted(&send(&a.router, post("/mcp", INITIALIZE)).await);
    a.status(post_in(&id, "/mcp", INITIALIZED)).await;
    let stream = a.router.clone().oneshot(get_in(&id, "/mcp")).await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    assert_eq!(
        b.status(delete_in(&id, "/mcp")).await,
        StatusCode::NO_CONTENT
    );
    a.layer.clean_up().await.unwrap();
    a.inner_sessions(0).await;
    let mut body = stream.into_body();
    soon(async { while let Some(Ok(_)) = body.frame().await {} }).await;
}

#[tokio::test]
async fn rmcp_that_forgot_its_session_gets_it_back() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let a = Instance::over(&store, &clock);
    let id = minted(&send(&a.router, post("/mcp", INITIALIZE)).await);
    a.status(post_in(&id, "/mcp", INITIALIZED)).await;
    assert!(a.call(&id).await.contains("n = 1"));
    a.sessions.sessions.write().await.clear();
    assert!(a.call(&id).await.contains("n = 2"));
    a.inner_sessions(1).await;
}
