//! A request of a session.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body::Body;

use super::{Arrival, call};
use crate::config;
use crate::manager::{Busy, LiveSession, SessionContext, flag};
use crate::middleware::body::RequestBody;
use crate::middleware::collect::{self, End, Limits};
use crate::middleware::endpoint::Endpoint;
use crate::middleware::future::Known;
use crate::middleware::inner::InnerService;
use crate::middleware::reply::{self, Answer};
use crate::protocol::error::Refusal;
use crate::protocol::header;
use crate::protocol::message::Peek;
use crate::store::{StoreError, StoreErrorKind};

/// Serves a request whose session is alive, after the second look that it needs.
pub(super) async fn run<S, B, R>(
    mut arrival: Arrival<S>,
    body: RequestBody<B>,
    session: Arc<LiveSession>,
    message: Option<&Peek<'_>>,
) -> Result<Answer<R>, S::Error>
where
    S: InnerService<B, R>,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    let id = message.and_then(Peek::request_id);
    // It may have ended since it was found.
    let Some(mut busy) = arrival
        .endpoint
        .begin(Arc::clone(&session), &arrival.parts.method)
    else {
        return Ok(if session.is_detached() {
            // It is alive: the next request takes it up again.
            reply::unavailable(id)
        } else {
            reply::refuse(Refusal::SessionNotFound, id)
        });
    };
    busy.wait();
    if session.has(flag::SUSPENDED) {
        return Ok(reply::unavailable(id));
    }
    let resumes = arrival.parts.headers.contains_key(header::LAST_EVENT_ID);
    if resumes && !may_resume(&arrival.parts.method, &session) {
        return Ok(reply::refuse(Refusal::UnknownLastEventId, id));
    }
    let is_post = arrival.parts.method == Method::POST;
    let body = match open(&arrival.endpoint, is_post, body, &session, message).await {
        Ok(body) => body,
        Err(Unopened::Body) => return Ok(reply::refuse(Refusal::NotJson, id)),
        Err(Unopened::Store(error)) if error.kind() == StoreErrorKind::Gone => {
            return Ok(reply::refuse(Refusal::SessionNotFound, id));
        }
        Err(Unopened::Store(error)) => {
            tracing::warn!(%error, "use of a session could not be noted");
            return Ok(reply::unavailable(id));
        }
    };
    let inner_id = enter(&mut arrival.parts, &busy);
    let known = Known {
        busy,
        endpoint: arrival.endpoint,
        inner_id: inner_id.map(Box::new),
    };
    let response = call(&mut arrival.inner, Request::from_parts(arrival.parts, body)).await?;
    Ok(known.answer(response))
}

/// Puts the session into a request: its context, and the inner service's id in place of the client's.
pub(super) fn enter(parts: &mut Parts, busy: &Busy) -> Option<HeaderValue> {
    let context = SessionContext::live(Arc::clone(busy.session()));
    parts.extensions.insert(context);
    swap_id(&mut parts.headers, busy.session())
}

/// Puts the inner service's id, if it has one, in the place of the client's.
pub(in crate::middleware) fn swap_id(
    headers: &mut HeaderMap,
    session: &LiveSession,
) -> Option<HeaderValue> {
    let inner_id = session.inner_id();
    match &inner_id {
        Some(id) => headers.insert(header::SESSION_ID, id.clone()),
        None => headers.remove(header::SESSION_ID),
    };
    inner_id
}

/// Whether a request with a Last-Event-ID resumes no stream, or one that the inner service can know: that of a
/// session it began here. Wire rules 45 and 46.
pub(in crate::middleware) fn may_resume(method: &Method, session: &LiveSession) -> bool {
    *method != Method::GET || (session.has(flag::MAPPED) && !session.has(flag::RESTORED))
}

/// Notes what the first requests after initialize say of the handshake. Gives the body back as it was.
async fn open<B>(
    endpoint: &Endpoint,
    is_post: bool,
    body: RequestBody<B>,
    session: &Arc<LiveSession>,
    message: Option<&Peek<'_>>,
) -> Result<RequestBody<B>, Unopened>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    if !session.has(flag::HALF_OPEN | flag::UNINITIALIZED) {
        return Ok(body);
    }
    let (body, ready) = match message {
        _ if !is_post => (body, false),
        Some(message) => (body, finishes_handshake(message)),
        None => look_into(endpoint, body).await?,
    };
    endpoint
        .manager
        .note_use(session, ready)
        .await
        .map_err(Unopened::Store)?;
    Ok(body)
}

/// Reads a short body, for what it says of the handshake; a longer one is a request.
async fn look_into<B>(
    endpoint: &Endpoint,
    body: RequestBody<B>,
) -> Result<(RequestBody<B>, bool), Unopened>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    if body
        .size_hint()
        .exact()
        .is_none_or(|length| length > config::MAX_HALF_OPEN_BODY)
    {
        return Ok((body, true));
    }
    let manager = &endpoint.manager;
    let limits = Limits {
        bytes: config::MAX_INITIALIZE_BODY,
        time: manager.core().config.body_timeout,
        all: Arc::clone(manager.body_bytes()),
        json_only: false,
    };
    let read = collect::read(body, limits).await;
    match read.end {
        End::Whole => {}
        End::Full => return Err(Unopened::Store(StoreErrorKind::Unavailable.into())),
        End::TooLong | End::NotJson | End::TooSlow | End::Broken => return Err(Unopened::Body),
    }
    let ready = Peek::parse(read.bytes()).is_ok_and(|message| finishes_handshake(&message));
    Ok((read.into_whole(), ready))
}

/// Whether a client that sends this has got the answer to its initialize and goes on. A ping may come before.
fn finishes_handshake(message: &Peek<'_>) -> bool {
    !matches!(message, Peek::Object(message) if message.is_ping())
}

/// Why a request could not be let in.
enum Unopened {
    /// Its body did not come.
    Body,
    Store(StoreError),
}
