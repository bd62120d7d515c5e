//! The initialize of a session, sent again to an inner service that has not heard of it.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, FORWARDED, HOST, HeaderName, ORIGIN,
};
use http::request::Parts;
use http::{
    Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
};
use http_body::Body;
use tracing::debug;

use super::answer::{Outcome, examine};
use super::body::{RequestBody, ResponseBody};
use super::endpoint::Endpoint;
use super::inner::{self, Address, Closer, InnerService, call};
use super::reply::Answer;
use crate::clock;
use crate::manager::{InnerSession, LiveSession, Replayed, SessionContext};
use crate::protocol::ProtocolVersion;
use crate::protocol::header;
use crate::protocol::message::RequestId;
use crate::session::Handshake;

/// Marks an initialize, and the `notifications/initialized` after it, that the layer sends again for a session which
/// another instance began.
///
/// It is in the extensions of such a request, beside the [`SessionContext`] of the session, which has its id and its
/// values already. A handler that gives each new session its first values leaves them alone then.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::{SessionContext, SessionError, SessionRestored};
///
/// async fn initialize(parts: http::request::Parts) -> Result<(), SessionError> {
///     if let (None, Some(session)) = (
///         parts.extensions.get::<SessionRestored>(),
///         parts.extensions.get::<SessionContext>(),
///     ) {
///         session.insert("cart", &Vec::<String>::new()).await?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SessionRestored;

/// What it takes to send an initialize again.
#[derive(Clone)]
pub(super) struct Replay<S> {
    inner: S,
    closer: Closer,
    address: Address,
    head: Head,
    /// At most so many bytes of the answer are read.
    limit: usize,
}

/// What goes along of the request that a replay is for.
#[derive(Clone)]
struct Head {
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    extensions: Extensions,
}

impl<S> Replay<S> {
    /// A replay to `inner` on behalf of the caller that sent `parts`.
    pub(super) fn new(inner: S, closer: Closer, endpoint: &Endpoint, parts: &Parts) -> Self {
        let address = Address::of(&parts.uri, &parts.headers);
        endpoint.note_address(&address);
        let mut headers: HeaderMap = parts
            .headers
            .iter()
            .filter(|(name, _)| goes_along(name) || endpoint.options.restore_headers.contains(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        for name in header::OF_ONE_REQUEST {
            headers.remove(name);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        Self {
            inner,
            closer,
            address,
            head: Head {
                uri: parts.uri.clone(),
                version: parts.version,
                headers,
                extensions: parts.extensions.clone(),
            },
            limit: endpoint.manager.core().config.max_initialize_answer,
        }
    }

    /// Sends the initialize of `session`, and `notifications/initialized` if its client has.
    pub(super) async fn run<B, R>(mut self, session: Arc<LiveSession>) -> Replayed<Answer<R>>
    where
        S: InnerService<B, R>,
        R: Body<Data = Bytes> + Send + 'static,
    {
        let context = SessionContext::live(Arc::clone(&session));
        self.head.extensions.insert(SessionRestored);
        self.head.extensions.insert(context);
        let record = session.record();
        let initialized = session.has_initialized();
        let inner = match self.begin::<B, R>(record.handshake()).await {
            ControlFlow::Continue(inner) => inner,
            ControlFlow::Break(replayed) => return replayed,
        };
        if initialized {
            let id = inner.as_ref().map(|inner| inner.id().clone());
            self.head.continues(id, record.handshake().version());
            if let ControlFlow::Break(replayed) = self.finish::<B, R>().await {
                return replayed;
            }
        }
        debug!(session = %session.id().fingerprint(), "initialize replayed");
        Replayed::Taken { inner, initialized }
    }

    /// Sends the initialize; gives the session that the inner service began for itself.
    async fn begin<B, R>(
        &mut self,
        handshake: &Handshake,
    ) -> ControlFlow<Replayed<Answer<R>>, Option<InnerSession>>
    where
        S: InnerService<B, R>,
        R: Body<Data = Bytes> + Send + 'static,
    {
        let (id, body) = initialize(handshake.params().get());
        let request = self.head.clone().request(body);
        let Ok(mut response) = call(&mut self.inner, request).await else {
            return ControlFlow::Break(Replayed::Failed);
        };
        // From here on it is ended unless the session takes it.
        let inner = inner::take_id(response.headers_mut())
            .map(|id| self.closer.inner_session(id, self.address.clone()));
        let response = judge(response)?;
        let (answer, outcome) = examine(response, &id, self.limit).await;
        drop(answer);
        match outcome {
            Outcome::Success(version) if version == handshake.version() => {
                ControlFlow::Continue(inner)
            }
            Outcome::Success(_) | Outcome::Refused => ControlFlow::Break(Replayed::Refused),
            Outcome::Failure | Outcome::Unknown => ControlFlow::Break(Replayed::Failed),
        }
    }

    /// Says for the client that the handshake is finished.
    async fn finish<B, R>(&mut self) -> ControlFlow<Replayed<Answer<R>>>
    where
        S: InnerService<B, R>,
        R: Body<Data = Bytes> + Send + 'static,
    {
        let request = self.head.clone().request(Bytes::from_static(INITIALIZED));
        let Ok(mut response) = call(&mut self.inner, request).await else {
            return ControlFlow::Break(Replayed::Failed);
        };
        inner::take_id(response.headers_mut());
        judge(response)?;
        ControlFlow::Continue(())
    }
}

impl Head {
    fn request<B>(self, body: Bytes) -> Request<RequestBody<B>> {
        let mut request = Request::new(RequestBody::whole(body, None));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri;
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers;
        *request.extensions_mut() = self.extensions;
        request
    }

    /// Makes it the head of a request in the session that an initialize began.
    fn continues(&mut self, inner_id: Option<HeaderValue>, version: ProtocolVersion) {
        if let Some(mut id) = inner_id {
            id.set_sensitive(true);
            self.headers.insert(header::SESSION_ID, id);
        }
        // 2025-03-26 has no such header.
        if version >= ProtocolVersion::V2025_06_18
            && let Ok(version) = HeaderValue::try_from(version.to_string())
        {
            self.headers.insert(header::PROTOCOL_VERSION, version);
        }
    }
}

/// Whether a header of the caller goes along: what says who calls and where, and traces. All else belongs to the one
/// request, or to its body.
fn goes_along(name: &HeaderName) -> bool {
    [HOST, ORIGIN, AUTHORIZATION, COOKIE, FORWARDED].contains(name)
        || TRACES.contains(&name.as_str())
        || PREFIXES
            .iter()
            .any(|prefix| name.as_str().starts_with(prefix))
}

/// An initialize with these `params`, and its id.
fn initialize(params: &str) -> (RequestId<'static>, Bytes) {
    // 2025-11-25, basic, Requests: ids are unique in a session. No client of it uses this one.
    let id = RequestId::numbered("restore", clock::spread(u64::MAX));
    let json = id.as_json();
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":{json},"method":"initialize","params":{params}}}"#);
    (id, Bytes::from(body))
}

/// Goes on with an answer whose status says that the inner service took the request.
fn judge<R>(response: Response<R>) -> ControlFlow<Replayed<Answer<R>>, Response<R>>
where
    R: Body<Data = Bytes>,
{
    ControlFlow::Break(match response.status() {
        status if status.is_success() => return ControlFlow::Continue(response),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Replayed::Denied(response.map(ResponseBody::passed))
        }
        StatusCode::BAD_REQUEST
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::UNPROCESSABLE_ENTITY => Replayed::Refused,
        _ => Replayed::Failed,
    })
}

const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const TRACES: [&str; 4] = ["traceparent", "tracestate", "baggage", "b3"];
const PREFIXES: [&str; 2] = ["x-forwarded-", "x-b3-"];
