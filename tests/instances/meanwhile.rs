//! What takes long, and what happens in the middle of a restore: two instances in this process, with a clock set by hand
//! and rmcp inside, over the real stores.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::{HeaderValue, StatusCode};
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::sync::{Semaphore, mpsc};
use tower_mcp_session::testing::ManualClock;
use tower_mcp_session::{Restore, SessionContext, SessionLayer, SessionRestored};

use crate::frameworks::{INITIALIZED, begin, delete_in, post_in, send, soon};
use crate::site::Site;

/// Each instance cleans up every half minute; sessions end after ten without use. The call takes forty.
pub(crate) async fn a_call_of_forty_minutes_is_not_expired_by_the_other_instance(site: &Site) {
    let [mut a, b] = Instance::two_over(site).await;
    let id = a.begin().await;
    let working = a.calls(&id, "hold");
    soon(a.held.recv()).await.unwrap();

    for _ in 0..80 {
        a.clock.advance(HALF_A_MINUTE);
        b.layer.clean_up().await.unwrap();
        a.layer.clean_up().await.unwrap();
    }

    b.release.add_permits(2);
    assert_eq!(b.status(&id, "count").await, StatusCode::OK);
    a.release.add_permits(1);
    let (status, text) = soon(working).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("released"), "{text}");
}

pub(crate) async fn a_session_ended_in_the_middle_of_its_restore_is_404(site: &Site) {
    let [a, mut b] = Instance::two_over(site).await;
    let id = a.begin().await;
    let first = b.calls(&id, "count");
    soon(b.held.recv()).await.unwrap();

    let ended = send(&a.router, delete_in(&id, "/mcp")).await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    b.release.add_permits(2);

    assert_eq!(soon(first).await.unwrap().0, StatusCode::NOT_FOUND);
    assert_eq!(b.status(&id, "count").await, StatusCode::NOT_FOUND);
    b.holds_no_inner_session().await;
}

pub(crate) async fn a_session_that_expires_in_the_middle_of_its_restore_is_404(site: &Site) {
    let [a, mut b] = Instance::two_over(site).await;
    let id = a.begin().await;
    let first = b.calls(&id, "count");
    soon(b.held.recv()).await.unwrap();

    // A request that waits keeps its session from ending for want of use, and not from its absolute end.
    b.clock.advance(LIFE);
    b.release.add_permits(2);

    assert_eq!(soon(first).await.unwrap().0, StatusCode::NOT_FOUND);
    assert_eq!(a.status(&id, "count").await, StatusCode::NOT_FOUND);
    b.holds_no_inner_session().await;
}

pub(crate) async fn a_session_suspended_in_the_middle_of_its_restore_is_kept_and_503(site: &Site) {
    let [a, mut b] = Instance::two_over(site).await;
    let id = a.begin().await;
    let first = b.calls(&id, "count");
    soon(b.held.recv()).await.unwrap();

    assert_eq!(a.status(&id, "suspend").await, StatusCode::OK);
    b.release.add_permits(2);

    assert_eq!(
        soon(first).await.unwrap().0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    for instance in [&a, &b] {
        let status = instance.status(&id, "count").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let ended = send(&b.router, delete_in(&id, "/mcp")).await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    assert_eq!(a.status(&id, "count").await, StatusCode::NOT_FOUND);
    b.holds_no_inner_session().await;
}

/// One instance: rmcp behind the layer, and a gate between them.
struct Instance {
    layer: SessionLayer,
    router: Router,
    clock: ManualClock,
    inner: Arc<LocalSessionManager>,
    /// Told of each call of the tool `hold`, and of each initialize that is sent again: both wait for a permit.
    held: mpsc::UnboundedReceiver<()>,
    release: Arc<Semaphore>,
}

impl Instance {
    async fn two_over(site: &Site) -> [Self; 2] {
        let clock = ManualClock::new();
        let [first, second] = site.handles().await;
        let stateful = site.inner() == "stateful";
        [first, second].map(|store| {
            let layer = SessionLayer::new(store)
                .with_clock(clock.clone())
                .with_idle_timeout(IDLE)
                .with_max_lifetime(LIFE)
                // In its stateless mode rmcp need not hear of a session: here it does, so that a restore takes its time.
                .with_restore(Restore::Always);
            Self::new(layer, clock.clone(), stateful)
        })
    }

    fn new(layer: SessionLayer, clock: ManualClock, stateful: bool) -> Self {
        let (told, held) = mpsc::unbounded_channel();
        let release = Arc::new(Semaphore::new(0));
        let gate = Gate {
            told,
            release: Arc::clone(&release),
        };
        let inner = Arc::new(LocalSessionManager::default());
        let tools = Tools(gate.clone());
        let service = StreamableHttpService::new(
            move || Ok(tools.clone()),
            Arc::clone(&inner),
            StreamableHttpServerConfig::default().with_legacy_session_mode(stateful),
        );
        let router = Router::new()
            .route_service("/mcp", service)
            .layer(from_fn_with_state(gate, hold_replays))
            .layer(layer.clone());
        Self {
            layer,
            router,
            clock,
            inner,
            held,
            release,
        }
    }

    /// A session whose handshake is finished.
    async fn begin(&self) -> HeaderValue {
        let id = begin(&self.router, "/mcp").await;
        let answer = send(&self.router, post_in(&id, "/mcp", INITIALIZED)).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        id
    }

    /// Calls a tool in a task of its own; gives the status and the text of the answer.
    fn calls(&self, id: &HeaderValue, tool: &str) -> tokio::task::JoinHandle<(StatusCode, String)> {
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"}}}}"#
        );
        let (router, request) = (self.router.clone(), post_in(id, "/mcp", &call));
        tokio::spawn(async move {
            let answer = send(&router, request).await;
            let text = String::from_utf8_lossy(answer.body()).into_owned();
            (answer.status(), text)
        })
    }

    async fn status(&self, id: &HeaderValue, tool: &str) -> StatusCode {
        soon(self.calls(id, tool)).await.unwrap().0
    }

    /// What the layer closes, it closes in tasks of its own.
    async fn holds_no_inner_session(&self) {
        let gone = async {
            while !self.inner.sessions.read().await.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        soon(gone).await;
    }
}

#[derive(Clone)]
struct Gate {
    told: mpsc::UnboundedSender<()>,
    release: Arc<Semaphore>,
}

impl Gate {
    async fn pass(&self) {
        self.told.send(()).unwrap_or_default();
        self.release.acquire().await.unwrap().forget();
    }
}

/// Holds back the initialize that the layer sends again.
async fn hold_replays(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    if request.extensions().get::<SessionRestored>().is_some() {
        gate.pass().await;
    }
    next.run(request).await
}

#[derive(Clone)]
struct Tools(Gate);

impl ServerHandler for Tools {
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
        let text = match &*request.name {
            "hold" => {
                self.0.pass().await;
                "released".to_owned()
            }
            "suspend" => {
                session.suspend().await.unwrap();
                "suspended".to_owned()
            }
            _ => {
                let next = |n: Option<u32>| n.unwrap_or(0) + 1;
                session.update("n", next).await.unwrap().to_string()
            }
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}

const HALF_A_MINUTE: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(600);
const LIFE: Duration = Duration::from_secs(24 * 3600);
