//! A service that stands for the MCP server inside the layer.

mod answer;
mod body;
mod defaults;
mod request;
mod state;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

pub use answer::Answer;
pub use body::{ScriptedBody, ScriptedStream};
pub use request::SeenRequest;

use super::shared::Shared;
use state::State;

/// A tower service that behaves like an MCP server, and otherwise as it is told.
///
/// Left alone, it answers an initialize with the version it was asked for, other requests with a result that names
/// their method (`{"method": "tools/list"}`), notifications with 202, GET with an event stream that stays open, DELETE
/// with 200. It keeps each request it has seen. A clone is the same server; as tower demands, each clone must be polled
/// ready before each call, or the call panics.
///
/// It is a `Service` for requests with any body, its error is [`Infallible`].
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use http::Request;
/// use http_body_util::Full;
/// use tower::ServiceExt;
/// use tower_mcp_session::testing::{Answer, ScriptedService};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let service = ScriptedService::new();
/// service.on("tools/call", |_| Answer::error(-32602, "no such tool"));
///
/// let body = Full::new(Bytes::from(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#));
/// let answer = service.clone().oneshot(Request::post("/mcp").body(body)?).await?;
/// assert!(answer.into_body().text().await.contains("no such tool"));
/// assert_eq!(service.requests()[0].rpc_method().as_deref(), Some("tools/call"));
/// # Ok(())
/// # }
/// ```
pub struct ScriptedService {
    shared: Shared<State>,
    ready: bool,
}

impl ScriptedService {
    /// A server that answers in JSON and keeps no sessions of its own.
    pub fn new() -> Self {
        Self {
            shared: Shared::new(State::default()),
            ready: false,
        }
    }

    /// Answers requests with an event stream, which begins with a priming event. Default: JSON.
    #[must_use]
    pub fn answering_sse(self) -> Self {
        self.shared.update(|state| state.options.sse = true);
        self
    }

    /// Mints a session id of its own at initialize, demands it in each later request, and forgets it on DELETE.
    /// Default: no ids.
    #[must_use]
    pub fn minting_ids(self) -> Self {
        self.shared.update(|state| state.options.minting = true);
        self
    }

    /// Answers each initialize with protocol version `version`. Default: the version it was asked for.
    #[must_use]
    pub fn negotiating(self, version: &str) -> Self {
        self.shared
            .update(|state| state.options.version = Some(version.to_owned()));
        self
    }

    /// All requests seen so far, each from the moment its body was read.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.shared.read(|state| state.requests.clone())
    }

    /// How many calls there were, also such whose body has not been read to the end.
    pub fn calls(&self) -> usize {
        self.shared.read(|state| state.calls)
    }

    /// How often the service was cloned.
    pub fn clones(&self) -> usize {
        self.shared.read(|state| state.clones)
    }

    /// The ids of the server's own sessions that were given out, in any answer, and have not ended.
    pub fn open_sessions(&self) -> Vec<String> {
        self.shared
            .read(|state| state.sessions.iter().cloned().collect())
    }

    /// The streams that are open: their bodies were neither dropped nor read to the end.
    pub fn streams(&self) -> Vec<ScriptedStream> {
        self.shared.read(|state| state.streams.clone())
    }

    /// How many requests are held at the moment.
    pub fn held(&self) -> usize {
        self.shared.read(|state| state.held)
    }

    /// Answers requests of the JSON-RPC method `method` as `answer` says. What was said last counts.
    pub fn on(
        &self,
        method: &str,
        answer: impl Fn(&SeenRequest) -> Answer + Send + Sync + 'static,
    ) {
        let method = method.to_owned();
        self.on_request(move |request| {
            let fits = request.rpc_method().is_some_and(|name| name == method);
            fits.then(|| answer(request))
        });
    }

    /// Answers each request for which `answer` has an answer. What was said last is asked first.
    pub fn on_request(
        &self,
        answer: impl Fn(&SeenRequest) -> Option<Answer> + Send + Sync + 'static,
    ) {
        self.shared
            .update(|state| state.scripts.push(Arc::new(answer)));
    }

    /// Answers the next request, whatever it is, with `answer`. Said twice, the next two.
    pub fn answer_next(&self, answer: Answer) {
        self.shared.update(|state| state.next.push_back(answer));
    }

    /// Keeps each request waiting for its answer, once it was seen, until [`ScriptedService::release`].
    pub fn hold(&self) {
        self.shared.update(|state| state.holding = true);
    }

    /// Answers those who wait; later requests do not.
    pub fn release(&self) {
        self.shared.update(|state| state.holding = false);
    }

    /// Forgets all sessions of the server's own, as when it was restarted.
    pub fn forget_sessions(&self) {
        self.shared.update(|state| state.sessions.clear());
    }

    /// Ends when at least `count` requests were seen.
    pub async fn wait_for_requests(&self, count: usize) {
        self.shared
            .wait_for(|state| state.requests.len() >= count)
            .await;
    }

    /// Ends when at least `count` requests are held.
    pub async fn wait_for_held(&self, count: usize) {
        self.shared.wait_for(|state| state.held >= count).await;
    }

    /// Ends when exactly `count` streams are open.
    pub async fn wait_for_streams(&self, count: usize) {
        self.shared
            .wait_for(|state| state.streams.len() == count)
            .await;
    }

    /// Ends when exactly `count` of the server's own sessions are open.
    pub async fn wait_for_open_sessions(&self, count: usize) {
        self.shared
            .wait_for(|state| state.sessions.len() == count)
            .await;
    }
}

impl<B> Service<Request<B>> for ScriptedService
where
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<ScriptedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(self.ready, "`call` on a service that was not polled ready");
        self.ready = false;
        self.shared.update(|state| state.calls += 1);
        let shared = self.shared.clone();
        Box::pin(async move {
            let request = SeenRequest::read(request).await;
            Ok(state::answer(&shared, request).await)
        })
    }
}

impl Clone for ScriptedService {
    fn clone(&self) -> Self {
        self.shared.update(|state| state.clones += 1);
        Self {
            shared: self.shared.clone(),
            ready: false,
        }
    }
}

impl Default for ScriptedService {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ScriptedService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedService").finish_non_exhaustive()
    }
}
