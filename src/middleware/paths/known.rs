//! A request of a session.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body::Body;

use super::restore::{self, Unrestored};
use super::{Arrival, Kept, find};
use crate::config;
use crate::manager::{Busy, LiveSession, SessionContext, flag};
use crate::middleware::body::RequestBody;
use crate::middleware::collect::{self, End, Limits};
use crate::middleware::endpoint::Endpoint;
use crate::middleware::inner::{Closer, InnerService, call_in};
use crate::middleware::known::{Answered, Known};
use crate::middleware::reply::{self, Answer};
use crate::protocol::cause::Unavailable;
use crate::protocol::error::Refusal;
use crate::protocol::header;
use crate::protocol::message::{Peek, RequestId};
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
    let mut busy = match occupy::<S, B, R>(&mut arrival, Arc::clone(&session)).await {
        Ok(busy) => busy,
        Err(Unrestored::Refused(refusal)) => {
            return Ok(arrival.refuse(Some(&session), refusal, message));
        }
        Err(Unrestored::Answered(answer)) => return Ok(answer),
    };
    busy.wait();
    let session = Arc::clone(busy.session());
    if session.has(flag::SUSPENDED) {
        let (endpoint, cause) = (&arrival.endpoint, Unavailable::Suspended);
        return Ok(reply::unavailable(endpoint, Some(&session), cause, id));
    }
    let is_post = arrival.parts.method == Method::POST;
    let body = match open(&arrival.endpoint, is_post, body, &session, message).await {
        Ok(body) => body,
        Err(unopened) => return Ok(unopened.answer(&arrival.endpoint, &session, id)),
    };
    let events = arrival.endpoint.manager.events();
    events.used(&session, arrival.endpoint.manager.core().now());
    let inner_id = enter(&mut arrival.parts, &busy);
    let mut known = Known::new(busy, arrival.endpoint, inner_id);
    let request = known.tapped(Request::from_parts(arrival.parts, body));
    go_in(arrival.inner, arrival.closer, request, known).await
}

/// Holds the session busy for a request, restored if need be.
async fn occupy<S, B, R>(
    arrival: &mut Arrival<S>,
    mut session: Arc<LiveSession>,
) -> Result<Busy, Unrestored<R>>
where
    S: InnerService<B, R>,
    B: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    for _ in 0..ATTEMPTS {
        let live = restore::run::<S, B, R>(arrival, session).await?;
        let endpoint = &arrival.endpoint;
        if let Some(busy) = endpoint.begin(Arc::clone(&live), &arrival.parts.method) {
            return Ok(busy);
        }
        if !live.is_detached() {
            // It has ended since it was found.
            return Err(Unrestored::Refused(Refusal::SessionNotFound));
        }
        // Its live part was dropped a moment ago, because nobody used it. It is alive, and is taken up again.
        session = match find(endpoint, &arrival.parts).await {
            Ok(Some(found)) => found,
            Ok(None) => return Err(Unrestored::Refused(Refusal::SessionNotFound)),
            Err(cause) => return Err(Unrestored::Refused(Refusal::Unavailable(cause))),
        };
    }
    Err(Unrestored::Refused(Refusal::Unavailable(Unavailable::Busy)))
}

/// Calls the inner service in a session; once more if that has lost its own.
async fn go_in<S, B, R>(
    mut inner: S,
    closer: Closer,
    request: Request<RequestBody<B>>,
    known: Known,
) -> Result<Answer<R>, S::Error>
where
    S: InnerService<B, R>,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    if known.inner_id().is_none() || !known.endpoint.replays() {
        let response = call_in(known.busy.session(), &mut inner, request).await?;
        return Ok(match known.answer(response) {
            Answered::Given(answer) => answer,
            Answered::Lost(known) => known.end(),
        });
    }
    let (request, kept) = Kept::of(request);
    let response = call_in(known.busy.session(), &mut inner, request).await?;
    match known.answer(response) {
        Answered::Given(answer) => Ok(answer),
        Answered::Lost(known) => kept.again(inner, closer, known).await,
    }
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
    *method != Method::GET
        || (session.has(flag::MAPPED) && !session.has(flag::RESTORED | flag::DORMANT))
}

/// Notes what the first requests after initialize say of the handshake. Gives the body back as it was.
pub(super) async fn open<B>(
    endpoint: &Endpoint,
    is_post: bool,
    body: RequestBody<B>,
    session: &Arc<LiveSession>,
    message: Option<&Peek<'_>>,
) -> Result<RequestBody<B>, Unopened>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    let awaits_duplicate = is_post && session.awaits_duplicate(endpoint.manager.core().now());
    if !session.has(flag::HALF_OPEN | flag::UNINITIALIZED) && !awaits_duplicate {
        return Ok(body);
    }
    let (body, said) = match message {
        _ if !is_post => (body, Said::Nothing),
        Some(message) => (body, Said::by(message)),
        None => look_into(endpoint, body).await?,
    };
    if awaits_duplicate && said == Said::Initialized && session.take_duplicate() {
        // The replay has said so. Said twice, it would run the inner service's hook twice.
        return Err(Unopened::Duplicate);
    }
    endpoint
        .manager
        .note_use(session, said != Said::Nothing)
        .await
        .map_err(Unopened::Store)?;
    Ok(body)
}

/// Reads a short body, for what it says of the handshake; a longer one is a request.
async fn look_into<B>(
    endpoint: &Endpoint,
    body: RequestBody<B>,
) -> Result<(RequestBody<B>, Said), Unopened>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    if body
        .size_hint()
        .exact()
        .is_none_or(|length| length > config::MAX_HALF_OPEN_BODY)
    {
        return Ok((body, Said::Other));
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
        End::Full => return Err(Unopened::Full),
        End::TooLong | End::NotJson | End::TooSlow | End::Broken => return Err(Unopened::Body),
    }
    let message = Peek::parse(read.bytes());
    let said = message.map_or(Said::Nothing, |message| Said::by(&message));
    Ok((read.into_whole(), said))
}

/// What a message says of the handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Said {
    /// Nothing: a ping may come before its end.
    Nothing,
    /// That the client has finished it.
    Initialized,
    /// That the client has got the answer to its initialize, and goes on.
    Other,
}

impl Said {
    fn by(message: &Peek<'_>) -> Self {
        match message {
            Peek::Object(message) if message.is_ping() => Self::Nothing,
            Peek::Object(message) if message.is_initialized() => Self::Initialized,
            _ => Self::Other,
        }
    }
}

/// Why a request could not be let in.
pub(super) enum Unopened {
    /// Its body did not come.
    Body,
    /// Too much of bodies is being read.
    Full,
    /// It says what a replay has said already.
    Duplicate,
    Store(StoreError),
}

impl Unopened {
    pub(super) fn answer<R>(
        self,
        endpoint: &Endpoint,
        session: &Arc<LiveSession>,
        id: Option<&RequestId<'_>>,
    ) -> Answer<R> {
        let refusal = match self {
            Self::Duplicate => return reply::accepted(),
            Self::Body => Refusal::NotJson,
            Self::Full => {
                tracing::warn!("use of a session could not be noted: too many bodies are read");
                Refusal::Unavailable(Unavailable::Busy)
            }
            Self::Store(error) if error.kind() == StoreErrorKind::Gone => Refusal::SessionNotFound,
            Self::Store(error) => {
                tracing::warn!(%error, "use of a session could not be noted");
                Refusal::Unavailable(Unavailable::Store)
            }
        };
        reply::refuse(endpoint, Some(session), refusal, id)
    }
}

/// How often a session is looked for again whose live part is dropped at that moment.
const ATTEMPTS: usize = 4;
