//! The ways of requests that must wait: for their body, for the store, for the inner service.

mod again;
mod begin;
mod delete;
mod grpc;
mod initialize;
mod known;
mod restore;

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http::request::Parts;
use http_body::Body;

use super::body::RequestBody;
use super::collect::{self, End, Limits};
use super::endpoint::{Endpoint, PrincipalUnknown};
use super::future::Passing;
use super::inner::{Address, Closer, InnerService, call};
use super::options::{MissingId, Modern, StaleNotification, UnknownId};
use super::reply::{self, Answer};
use crate::config;
use crate::manager::LiveSession;
use crate::protocol::cause::Unavailable;
use crate::protocol::error::Refusal;
use crate::protocol::header::{self, Lines, RawId};
use crate::protocol::message::{Peek, PeekError, may_concern_us};
use crate::protocol::request::{BodyLook, Decision, Head, Standing, Verb, classify};
use crate::session::SessionId;

pub(super) use again::{Again, Kept};
pub(super) use known::{may_resume, swap_id};

/// A request that must wait, without its body, and what it may need.
pub(super) struct Arrival<S> {
    /// Not ready: whatever way is taken makes it so when its turn comes.
    pub(super) inner: S,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) closer: Closer,
    pub(super) parts: Parts,
}

/// Finds out which way a request goes, and goes it.
pub(super) async fn arrive<S, B, R>(arrival: Arrival<S>, body: B) -> Result<Answer<R>, S::Error>
where
    S: InnerService<B, R>,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    let Parts {
        method, headers, ..
    } = &arrival.parts;
    if header::is_grpc(headers) {
        return grpc::run(arrival, body).await;
    }
    let rules = &arrival.endpoint.options.rules;
    let head = Head::read(method, headers, &Lines::of(headers));
    let (mut standing, mut session) = (Standing::Unasked, None);
    let mut decision = classify(&head, standing, BodyLook::Unread, rules);
    if decision == Decision::Lookup {
        let found = match find(&arrival.endpoint, &arrival.parts).await {
            Ok(found) => found,
            Err(cause) => return Ok(reply::unavailable(&arrival.endpoint, None, cause, None)),
        };
        standing = found.as_ref().map_or(Standing::NotAlive, |session| {
            Standing::Alive(session.record().handshake().version())
        });
        session = found;
        decision = classify(&head, standing, BodyLook::Unread, rules);
    }
    if decision == Decision::ReadBody && header::has_content_coding(&arrival.parts.headers) {
        decision = classify(&head, standing, BodyLook::Coded, rules);
    }
    match decision {
        Decision::ReadBody => arrival.read(&head, standing, session, body).await,
        decision => {
            arrival
                .go(decision, RequestBody::unread(body), session, None)
                .await
        }
    }
}

/// The answer to a request whose body broke off, if anybody still reads it.
fn broken(standing: Standing) -> Refusal {
    match standing {
        Standing::NotAlive => Refusal::SessionNotFound,
        Standing::Unasked | Standing::Alive(_) => Refusal::NotJson,
    }
}

/// What was seen of a body.
enum Seen<'a> {
    Read(Result<Peek<'a>, PeekError>),
    Harmless,
    Not(End),
}

fn look_at(end: End, bytes: &[u8], standing: Standing) -> Seen<'_> {
    match end {
        End::Whole if matches!(standing, Standing::Alive(_)) && !may_concern_us(bytes) => {
            Seen::Harmless
        }
        End::Whole => Seen::Read(Peek::parse(bytes)),
        end => Seen::Not(end),
    }
}

impl<'a> Seen<'a> {
    fn look(&self) -> BodyLook<'_> {
        match self {
            Self::Read(peek) => BodyLook::from(peek),
            Self::Harmless => BodyLook::Harmless,
            Self::Not(End::TooLong) => BodyLook::TooLong,
            Self::Not(End::NotJson) => BodyLook::NotJson,
            Self::Not(_) => BodyLook::Unreadable,
        }
    }

    fn message(&self) -> Option<&Peek<'a>> {
        match self {
            Self::Read(peek) => peek.as_ref().ok(),
            Self::Harmless | Self::Not(_) => None,
        }
    }
}

/// The session of a request's id, if it is alive and the caller's; an error if the store, or the principal, is not to
/// be had.
async fn find(endpoint: &Endpoint, parts: &Parts) -> Result<Option<Arc<LiveSession>>, Unavailable> {
    let principal = endpoint
        .principal(parts)
        .map_err(|PrincipalUnknown| Unavailable::PrincipalUnknown)?;
    let RawId::One(text) = RawId::from(&parts.headers) else {
        return Ok(None);
    };
    let Ok(id) = SessionId::parse(text.as_bytes()) else {
        return Ok(None);
    };
    if !endpoint.options.stateful {
        return Ok(None);
    }
    let audience = Arc::from(endpoint.audience(parts));
    endpoint
        .manager
        .find(&audience, &id, principal.as_ref())
        .await
        .map_err(|error| {
            tracing::warn!(%error, "session could not be looked for");
            Unavailable::Store
        })
}

impl<S> Arrival<S> {
    /// Reads the body, and goes the way that it tells.
    async fn read<B, R>(
        self,
        head: &Head,
        standing: Standing,
        session: Option<Arc<LiveSession>>,
        body: B,
    ) -> Result<Answer<R>, S::Error>
    where
        S: InnerService<B, R>,
        B: Body<Data = Bytes> + Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
    {
        let read = collect::read(body, self.limits(standing)).await;
        let refusal = match read.end {
            End::Full => Some(Refusal::Unavailable(Unavailable::Busy)),
            // After its error a body looks over: the inner service would take the part for the whole.
            End::Broken => Some(broken(standing)),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return Ok(self.refuse(session.as_ref(), refusal, None));
        }
        let (end, bytes, mut body) = read.split();
        let seen = look_at(end, &bytes, standing);
        let decision = classify(head, standing, seen.look(), &self.endpoint.options.rules);
        if let (Decision::Initialize, Some(Peek::Object(message))) = (decision, seen.message()) {
            return initialize::run(self, body, message).await;
        }
        if end == End::TooLong && matches!(decision, Decision::Refuse(_)) {
            body = collect::discard(body).await;
        }
        self.go(decision, body, session, seen.message()).await
    }

    fn limits(&self, standing: Standing) -> Limits {
        let options = &self.endpoint.manager.core().config;
        let (bytes, time) = match standing {
            Standing::Alive(_) => (options.max_strict_body, options.body_timeout),
            // Most of these are read only to echo their id.
            Standing::NotAlive => (
                options.max_initialize_body,
                options.body_timeout.min(config::ECHO_TIMEOUT),
            ),
            Standing::Unasked => (options.max_initialize_body, options.body_timeout),
        };
        let json_only = standing == Standing::Unasked && !self.endpoint.options.rules.whole_path;
        Limits {
            bytes,
            time,
            all: Arc::clone(self.endpoint.manager.body_bytes()),
            json_only,
        }
    }

    /// Goes the way of `decision`; `message` is what was read of the body.
    async fn go<B, R>(
        self,
        decision: Decision,
        body: RequestBody<B>,
        session: Option<Arc<LiveSession>>,
        message: Option<&Peek<'_>>,
    ) -> Result<Answer<R>, S::Error>
    where
        S: InnerService<B, R>,
        B: Body<Data = Bytes> + Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
    {
        let options = &self.endpoint.options;
        match (decision, session) {
            (Decision::Known, Some(session)) => known::run(self, body, session, message).await,
            (Decision::Delete, Some(session)) => Ok(delete::run(&self.endpoint, session).await),
            (Decision::Modern, _) if options.modern == Modern::Refuse => {
                Ok(reply::not_modern(&self.endpoint))
            }
            (Decision::Modern, _) => self.pass(body, true).await,
            (Decision::NotOurs, _) => self.pass(body, false).await,
            (Decision::Refuse(refusal), _) if self.passes_on(refusal) => {
                self.pass(body, false).await
            }
            (Decision::Refuse(refusal), session) => {
                Ok(self.refuse(session.as_ref(), refusal, message))
            }
            // `arrive` has acted on these, or they come with a session.
            _ => Ok(self.refuse(None, Refusal::SessionNotFound, message)),
        }
    }

    /// Whether an option says that what is refused by default passes.
    fn passes_on(&self, refusal: Refusal) -> bool {
        let options = &self.endpoint.options;
        let is_post = Verb::from(&self.parts.method) == Verb::Post;
        match refusal {
            Refusal::MissingSessionId => {
                options.missing_id == MissingId::PassOn || !options.stateful && is_post
            }
            Refusal::SessionNotFound => options.unknown_id == UnknownId::PassOn,
            _ => false,
        }
    }

    fn refuse<R>(
        &self,
        session: Option<&Arc<LiveSession>>,
        refusal: Refusal,
        message: Option<&Peek<'_>>,
    ) -> Answer<R> {
        let is_notification =
            matches!(message, Some(Peek::Object(message)) if message.is_notification());
        if refusal == Refusal::SessionNotFound
            && is_notification
            && self.endpoint.options.stale_notification == StaleNotification::Accept
        {
            return reply::dropped(&self.endpoint);
        }
        let id = message.and_then(Peek::request_id);
        reply::refuse(&self.endpoint, session, refusal, id)
    }

    /// Passes the request on without a session.
    async fn pass<B, R>(mut self, body: RequestBody<B>, modern: bool) -> Result<Answer<R>, S::Error>
    where
        S: InnerService<B, R>,
        R: Body<Data = Bytes>,
    {
        self.parts.headers.remove(header::SESSION_ID);
        if modern {
            self.parts.headers.remove(header::LAST_EVENT_ID);
        }
        let address = Address::of(&self.parts.uri, &self.parts.headers);
        let passing = Passing {
            modern: modern.then_some(self.endpoint),
            minter: Some(Box::new((self.closer, address))),
        };
        let response = call(&mut self.inner, Request::from_parts(self.parts, body)).await?;
        Ok(passing.answer(response))
    }
}
