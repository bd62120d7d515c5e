//! Every answer that the layer writes itself. Wire rules, part 2; promise 6.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::body::ResponseBody;
use super::endpoint::Endpoint;
use crate::clock;
use crate::manager::LiveSession;
use crate::protocol::RefusalCause;
use crate::protocol::cause::Unavailable;
use crate::protocol::error::Refusal;
use crate::protocol::message::RequestId;

/// An answer of ours, or the inner service's.
pub(super) type Answer<R> = Response<ResponseBody<R>>;

/// A refusal with its JSON-RPC error, which names `id` if the request's body was read. The layer's observers are told,
/// and of which `session`, if that is known.
pub(super) fn refuse<R>(
    endpoint: &Endpoint,
    session: Option<&Arc<LiveSession>>,
    refusal: Refusal,
    id: Option<&RequestId<'_>>,
) -> Answer<R> {
    endpoint.manager.events().refused(session, refusal.cause());
    let mut answer = with_status(refusal.status(), refusal.body(id));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Refusal::MethodNotAllowed { allow } = refusal {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
        // Not all at once: whoever is refused now comes back at a time of its own.
        answer.headers_mut().insert(
            RETRY_AFTER,
            HeaderValue::from(1 + clock::spread(RETRY_SPREAD)),
        );
    }
    answer
}

/// 503: the inner service has not seen the request, and later it may work.
pub(super) fn unavailable<R>(
    endpoint: &Endpoint,
    session: Option<&Arc<LiveSession>>,
    cause: Unavailable,
    id: Option<&RequestId<'_>>,
) -> Answer<R> {
    refuse(endpoint, session, Refusal::Unavailable(cause), id)
}

/// 204: the session has been ended.
pub(super) fn ended<R>() -> Answer<R> {
    with_status(StatusCode::NO_CONTENT, Bytes::new())
}

/// 202 for a notification whose session is over, where an option says so. Nobody gets it all the same.
pub(super) fn dropped<R>(endpoint: &Endpoint) -> Answer<R> {
    let events = endpoint.manager.events();
    events.refused(None, RefusalCause::SessionNotFound);
    accepted()
}

/// 202 for a notification that came too late to matter.
pub(super) fn accepted<R>() -> Answer<R> {
    with_status(StatusCode::ACCEPTED, Bytes::new())
}

/// 400 with an empty body: by it a client that speaks both eras learns that this server speaks the older one.
/// Wire rule 82.
pub(super) fn not_modern<R>(endpoint: &Endpoint) -> Answer<R> {
    let events = endpoint.manager.events();
    events.refused(None, RefusalCause::ModernRefused);
    with_status(StatusCode::BAD_REQUEST, Bytes::new())
}

/// A refusal as the status of a gRPC call, an answer without messages: HTTP 200 and the status in the head. The
/// observers are told, as by [`refuse`].
pub(super) fn refuse_call<R>(
    endpoint: &Endpoint,
    session: Option<&Arc<LiveSession>>,
    refusal: Refusal,
    content_type: Option<HeaderValue>,
) -> Answer<R> {
    endpoint.manager.events().refused(session, refusal.cause());
    let code = GrpcCode::from(refusal);
    let mut answer = with_status(StatusCode::OK, Bytes::new());
    let headers = answer.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        content_type.unwrap_or(HeaderValue::from_static("application/grpc")),
    );
    headers.insert("grpc-status", HeaderValue::from(code as u16));
    headers.insert("grpc-message", HeaderValue::from_static(code.message()));
    answer
}

/// The statuses of gRPC that we answer with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum GrpcCode {
    InvalidArgument = 3,
    NotFound = 5,
    Unavailable = 14,
}

impl From<Refusal> for GrpcCode {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::SeveralSessionIds => Self::InvalidArgument,
            Refusal::SessionNotFound => Self::NotFound,
            // What else there is to refuse of a call may work later.
            _ => Self::Unavailable,
        }
    }
}

impl GrpcCode {
    fn message(self) -> &'static str {
        match self {
            Self::InvalidArgument => "several session ids",
            Self::NotFound => "session not found",
            Self::Unavailable => "sessions unavailable",
        }
    }
}

/// Marks an answer as nobody's to cache. Wire rule 85: 404 and 405 are cacheable unless they say so.
pub(super) fn not_cached<R>(answer: &mut Answer<R>) {
    answer
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn with_status<R>(status: StatusCode, body: Bytes) -> Answer<R> {
    let mut answer = Response::new(ResponseBody::ours(body));
    *answer.status_mut() = status;
    not_cached(&mut answer);
    answer
}

/// Clients come back after 1 to 3 seconds.
const RETRY_SPREAD: u64 = 3;
