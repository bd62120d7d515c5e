//! rmcp's own client against rmcp's own server, over a real socket, with the layer between them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::request::Parts;
use rmcp::handler::server::tool::Extension;
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult,
    ElicitationAction, ElicitationSchema, Implementation, ProgressNotificationParam,
};
use rmcp::service::{NotificationContext, RequestContext, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{
    ClientHandler, ErrorData, RoleClient, RoleServer, ServerHandler, ServiceExt, tool,
    tool_handler, tool_router,
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tower_mcp_session::{MemoryStore, SessionContext, SessionLayer};

#[tokio::test]
async fn a_client_connects_lists_and_calls() {
    for stateful in [false, true] {
        let mut server = Server::start(stateful).await;
        let (client, _) = server.connect().await;

        let tools = client.list_all_tools().await.unwrap();
        assert_eq!(tools.len(), 3);
        assert_eq!(call(&client, "visit").await, "1");
        assert_eq!(call(&client, "visit").await, "2");

        let session = server.session().await;
        assert_eq!(session.client_info().unwrap().name, "test");
        assert_eq!(server.sessions.live_sessions(), 1);
        client.cancel().await.unwrap();
    }
}

#[tokio::test]
async fn two_clients_have_two_sessions() {
    for stateful in [false, true] {
        let server = Server::start(stateful).await;
        let ((one, _), (other, _)) = (server.connect().await, server.connect().await);

        assert_eq!(call(&one, "visit").await, "1");
        assert_eq!(call(&one, "visit").await, "2");
        assert_eq!(call(&other, "visit").await, "1");
        assert_eq!(server.sessions.live_sessions(), 2);
    }
}

#[tokio::test]
async fn close_ends_the_session() {
    for stateful in [false, true] {
        let mut server = Server::start(stateful).await;
        let (mut client, _) = server.connect().await;
        call(&client, "visit").await;
        let session = server.session().await;

        client.close().await.unwrap();

        within(session.cancelled()).await;
        assert_eq!(server.sessions.live_sessions(), 0);
        if stateful {
            within(server.inner_sessions_ended()).await;
        }
    }
}

#[tokio::test]
async fn a_client_whose_session_has_ended_begins_another_and_calls_again() {
    for stateful in [false, true] {
        let mut server = Server::start(stateful).await;
        let (client, _) = server.connect().await;
        assert_eq!(call(&client, "visit").await, "1");
        assert_eq!(call(&client, "visit").await, "2");
        let (first, _) = (server.session().await, server.session().await);

        first.end().await.unwrap();

        assert_eq!(call(&client, "visit").await, "1");
        let second = server.session().await;
        assert_ne!(first.id(), second.id());
        assert_eq!(server.sessions.live_sessions(), 1);
    }
}

#[tokio::test]
async fn a_call_reports_its_progress_to_the_client() {
    for stateful in [false, true] {
        let server = Server::start(stateful).await;
        let (client, mut heard) = server.connect().await;

        call(&client, "progress").await;

        assert_eq!(next(&mut heard).await, "progress 1");
        assert_eq!(next(&mut heard).await, "progress 2");
    }
}

#[tokio::test]
async fn notifications_of_the_client_reach_the_server() {
    let mut server = Server::start(true).await;
    let (client, _) = server.connect().await;

    assert_eq!(next(&mut server.heard).await, "initialized");
    client.notify_roots_list_changed().await.unwrap();

    assert_eq!(next(&mut server.heard).await, "roots changed");
}

#[tokio::test]
async fn a_notification_of_its_own_comes_on_the_clients_stream() {
    let mut server = Server::start(true).await;
    let (_client, mut heard) = server.connect().await;

    let peer = within(server.peers.recv()).await.unwrap();
    peer.notify_tool_list_changed().await.unwrap();

    assert_eq!(next(&mut heard).await, "tools changed");
}

#[tokio::test]
async fn a_tool_asks_the_client_back_while_it_is_called() {
    let server = Server::start(true).await;
    let (client, mut heard) = server.connect().await;

    assert_eq!(call(&client, "ask").await, "blue");
    assert_eq!(next(&mut heard).await, "asked: Which colour?");
}

/// An app on a free port, and what its handlers saw.
struct Server {
    url: String,
    sessions: SessionLayer,
    inner: Arc<LocalSessionManager>,
    contexts: UnboundedReceiver<SessionContext>,
    peers: UnboundedReceiver<rmcp::Peer<RoleServer>>,
    heard: UnboundedReceiver<String>,
}

impl Server {
    async fn start(stateful: bool) -> Self {
        let (contexts_in, contexts) = unbounded_channel();
        let (peers_in, peers) = unbounded_channel();
        let (heard_in, heard) = unbounded_channel();
        let tools = Tools {
            contexts: contexts_in,
            peers: peers_in,
            heard: heard_in,
        };
        let inner = Arc::new(LocalSessionManager::default());
        let config = StreamableHttpServerConfig::default().with_legacy_session_mode(stateful);
        let mcp = StreamableHttpService::new(move || Ok(tools.clone()), Arc::clone(&inner), config);
        let sessions = SessionLayer::new(MemoryStore::new());
        let app = Router::new()
            .route_service("/mcp", mcp)
            .layer(sessions.clone());

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, app).into_future());
        Self {
            url,
            sessions,
            inner,
            contexts,
            peers,
            heard,
        }
    }

    async fn connect(
        &self,
    ) -> (
        RunningService<RoleClient, Client>,
        UnboundedReceiver<String>,
    ) {
        let (heard_in, heard) = unbounded_channel();
        let transport = StreamableHttpClientTransport::from_uri(self.url.as_str());
        let client = Client { heard: heard_in }.serve(transport);
        (within(client).await.unwrap(), heard)
    }

    /// The session of the next call of `visit`.
    async fn session(&mut self) -> SessionContext {
        within(self.contexts.recv()).await.unwrap()
    }

    /// The layer ends them in tasks of its own.
    async fn inner_sessions_ended(&self) {
        while !self.inner.sessions.read().await.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

#[derive(Clone)]
struct Tools {
    contexts: UnboundedSender<SessionContext>,
    peers: UnboundedSender<rmcp::Peer<RoleServer>>,
    heard: UnboundedSender<String>,
}

#[tool_router]
impl Tools {
    #[tool]
    async fn visit(&self, Extension(head): Extension<Parts>) -> String {
        let session = head.extensions.get::<SessionContext>().unwrap();
        self.contexts.send(session.clone()).unwrap_or_default();
        let visits = session
            .update("visits", |visits: Option<u32>| visits.unwrap_or(0) + 1)
            .await;
        visits.unwrap().to_string()
    }

    #[tool]
    async fn progress(&self, context: RequestContext<RoleServer>) {
        let token = context.meta.get_progress_token().unwrap();
        for step in [1.0, 2.0] {
            let report = ProgressNotificationParam::new(token.clone(), step);
            context.peer.notify_progress(report).await.unwrap();
        }
    }

    #[tool]
    async fn ask(&self, context: RequestContext<RoleServer>) -> String {
        let question = ElicitRequestParams::FormElicitationParams {
            meta: None,
            message: "Which colour?".to_owned(),
            requested_schema: ElicitationSchema::builder()
                .required_string("colour")
                .build()
                .unwrap(),
        };
        let answer = context.peer.create_elicitation(question).await.unwrap();
        answer.content.unwrap()["colour"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

#[tool_handler]
impl ServerHandler for Tools {
    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        // The channels are closed where a test does not look.
        self.heard
            .send("initialized".to_owned())
            .unwrap_or_default();
        self.peers.send(context.peer).unwrap_or_default();
    }

    async fn on_roots_list_changed(&self, _: NotificationContext<RoleServer>) {
        self.heard
            .send("roots changed".to_owned())
            .unwrap_or_default();
    }
}

/// A client whose user likes blue.
struct Client {
    heard: UnboundedSender<String>,
}

impl ClientHandler for Client {
    async fn create_elicitation(
        &self,
        question: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        if let ElicitRequestParams::FormElicitationParams { message, .. } = question {
            self.heard
                .send(format!("asked: {message}"))
                .unwrap_or_default();
        }
        let answer = ElicitResult::new(ElicitationAction::Accept);
        Ok(answer.with_content(json!({ "colour": "blue" })))
    }

    async fn on_progress(
        &self,
        report: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.heard
            .send(format!("progress {}", report.progress))
            .unwrap_or_default();
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.heard
            .send("tools changed".to_owned())
            .unwrap_or_default();
    }

    fn get_info(&self) -> ClientConfig {
        let capabilities = ClientCapabilities::builder().enable_elicitation().build();
        ClientConfig::new(capabilities, Implementation::new("test", "1"))
    }
}

/// Calls a tool without arguments and returns its text.
async fn call(client: &RunningService<RoleClient, Client>, tool: &'static str) -> String {
    let result = within(client.call_tool(CallToolRequestParams::new(tool)))
        .await
        .unwrap();
    assert_ne!(result.is_error, Some(true), "{tool}: {result:?}");
    let text = result.content.first().and_then(|content| content.as_text());
    text.map(|text| text.text.clone()).unwrap_or_default()
}

async fn next(heard: &mut UnboundedReceiver<String>) -> String {
    within(heard.recv()).await.unwrap()
}

async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("it comes in time")
}

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
