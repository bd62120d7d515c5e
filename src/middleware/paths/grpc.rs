//! gRPC beside MCP: the session id travels as metadata, and answers of ours are gRPC statuses.
//!
//! A call without an id passes. One method may be configured to begin sessions: its answer is held until its status
//! is known, and the id goes out in the initial metadata.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body;

use super::begin::{Admitted, Begun, admit, in_a_task};
use super::known::enter;
use super::restore;
use super::{Arrival, find};
use crate::config;
use crate::manager::{LiveSession, flag};
use crate::middleware::body::{RequestBody, ResponseBody};
use crate::middleware::inner::{self, InnerService, call, call_in};
use crate::middleware::known::Known;
use crate::middleware::reply::{self, Answer};
use crate::protocol::ProtocolVersion;
use crate::protocol::cause::Unavailable;
use crate::protocol::error::Refusal;
use crate::protocol::header::{self, RawId};
use crate::store::StoreErrorKind;

/// Serves a gRPC call.
pub(super) async fn run<S, B, R>(arrival: Arrival<S>, body: B) -> Result<Answer<R>, S::Error>
where
    S: InnerService<B, R>,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    let body = RequestBody::unread(body);
    let content_type = arrival.parts.headers.get(CONTENT_TYPE).cloned();
    let endpoint = Arc::clone(&arrival.endpoint);
    let refuse = |session: Option<&Arc<LiveSession>>, refusal| {
        let content_type = content_type.clone();
        Ok(reply::refuse_call(
            &endpoint,
            session,
            refusal,
            content_type,
        ))
    };
    match RawId::from(&arrival.parts.headers) {
        RawId::Several => return refuse(None, Refusal::SeveralSessionIds),
        RawId::Missing if begins_session(&arrival) => {
            return initialize(arrival, body, content_type).await;
        }
        RawId::Missing => return arrival.pass(body, false).await,
        RawId::One(_) => {}
    }
    match find(&endpoint, &arrival.parts).await {
        Ok(Some(session)) => match in_session(arrival, body, Arc::clone(&session)).await {
            Ok(result) => result,
            Err(refusal) => refuse(Some(&session), refusal),
        },
        Ok(None) => refuse(None, Refusal::SessionNotFound),
        Err(cause) => refuse(None, Refusal::Unavailable(cause)),
    }
}

fn begins_session<S>(arrival: &Arrival<S>) -> bool {
    let options = &arrival.endpoint.options;
    options.stateful && options.grpc_initialize.as_deref() == Some(arrival.parts.uri.path())
}

/// Serves a call of a session; the error is what to answer with.
async fn in_session<S, B, R>(
    mut arrival: Arrival<S>,
    body: RequestBody<B>,
    session: Arc<LiveSession>,
) -> Result<Result<Answer<R>, S::Error>, Refusal>
where
    S: InnerService<B, R>,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    let endpoint = &arrival.endpoint;
    let session = restore::load_only(endpoint, session)
        .await
        .map_err(Refusal::Unavailable)?
        .ok_or(Refusal::SessionNotFound)?;
    let mut busy = endpoint
        .begin(Arc::clone(&session), &arrival.parts.method)
        .ok_or(if session.is_detached() {
            Refusal::Unavailable(Unavailable::Busy)
        } else {
            Refusal::SessionNotFound
        })?;
    busy.wait();
    if session.has(flag::SUSPENDED) {
        return Err(Refusal::Unavailable(Unavailable::Suspended));
    }
    endpoint
        .manager
        .note_use(&session, true)
        .await
        .map_err(|error| match error.kind() {
            StoreErrorKind::Gone => Refusal::SessionNotFound,
            _ => Refusal::Unavailable(Unavailable::Store),
        })?;
    let manager = &endpoint.manager;
    manager.events().used(&session, manager.core().now());
    let inner_id = enter(&mut arrival.parts, &busy);
    let known = Known::new(busy, arrival.endpoint, inner_id);
    let request = Request::from_parts(arrival.parts, body);
    let result = call_in(&session, &mut arrival.inner, request).await;
    Ok(result.map(|response| known.answer_as_it_is(response)))
}

/// Serves the call that begins a session if it succeeds.
async fn initialize<S, B, R>(
    arrival: Arrival<S>,
    body: RequestBody<B>,
    content_type: Option<HeaderValue>,
) -> Result<Answer<R>, S::Error>
where
    S: InnerService<B, R>,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    let endpoint = Arc::clone(&arrival.endpoint);
    let refuse = |refusal, content_type| reply::refuse_call(&endpoint, None, refusal, content_type);
    let params = serde_json::value::RawValue::from_string("{}".to_owned()).unwrap_or_default();
    let admitted = match admit(&endpoint, &arrival.parts, params).await {
        Ok(admitted) => admitted,
        Err(not_begun) => return Ok(refuse(not_begun.into(), content_type)),
    };
    let begun = in_a_task(begin(arrival, admitted, body, content_type.clone())).await;
    let panicked = Refusal::Unavailable(Unavailable::Panicked);
    begun.unwrap_or_else(|| Ok(refuse(panicked, content_type)))
}

async fn begin<S, B, R>(
    mut arrival: Arrival<S>,
    admitted: Admitted,
    body: RequestBody<B>,
    content_type: Option<HeaderValue>,
) -> Result<Begun<R>, S::Error>
where
    S: InnerService<B, R>,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    arrival.parts.extensions.insert(admitted.context());
    let endpoint = arrival.endpoint;
    let answering = async {
        let mut response =
            call(&mut arrival.inner, Request::from_parts(arrival.parts, body)).await?;
        inner::take_id(response.headers_mut());
        Ok(hold(response).await)
    };
    let refuse = |refusal| {
        let content_type = content_type.clone();
        Begun::without_session(reply::refuse_call(&endpoint, None, refusal, content_type))
    };
    Ok(
        match tokio::time::timeout(config::GRPC_TIMEOUT, answering).await {
            Err(_) => refuse(Refusal::BadInitializeAnswer),
            Ok(held) => match held? {
                Some((answer, true)) => match admitted
                    .commit(answer, ProtocolVersion::ASSUMED, None)
                    .await
                {
                    Ok(begun) => begun,
                    Err(not_begun) => refuse(not_begun.into()),
                },
                Some((answer, false)) => Begun::without_session(answer),
                None => refuse(Refusal::BadInitializeAnswer),
            },
        },
    )
}

/// Reads an answer to its end, and says whether its status is OK; `None` if it is too long or breaks off.
async fn hold<R: Body<Data = Bytes>>(response: Response<R>) -> Option<(Answer<R>, bool)> {
    let (parts, body) = response.into_parts();
    let mut body: Pin<Box<R>> = Box::pin(body);
    let mut frames = VecDeque::new();
    let (mut bytes, mut web) = (0, Vec::new());
    let mut succeeded = is_ok(&parts.headers);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let mut frame = frame.ok()?;
        if let Some(data) = frame.data_ref() {
            bytes += data.len();
            web.extend_from_slice(data);
        }
        if let Some(trailers) = frame.trailers_mut() {
            trailers.remove(header::SESSION_ID);
            succeeded |= is_ok(trailers);
        }
        if bytes > config::MAX_GRPC_ANSWER {
            return None;
        }
        frames.push_back(frame);
    }
    succeeded |= is_ok_in_web_trailers(&web);
    Some((
        Response::from_parts(parts, ResponseBody::begun(frames, None)),
        succeeded,
    ))
}

fn is_ok(headers: &HeaderMap) -> bool {
    headers
        .get("grpc-status")
        .is_some_and(|status| status == "0")
}

/// gRPC-Web puts the trailers into the body: a frame whose first bit is set, with lines as in HTTP/1.
fn is_ok_in_web_trailers(mut body: &[u8]) -> bool {
    while let Some(([flags, length @ ..], rest)) = body.split_first_chunk::<5>() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some((frame, after)) = rest.split_at_checked(length) else {
            return false;
        };
        if flags & 0x80 != 0 {
            return frame.split(|byte| *byte == b'\n').any(|line| {
                let (name, value) = line
                    .split_at_checked("grpc-status:".len())
                    .unwrap_or((line, &[]));
                name.eq_ignore_ascii_case(b"grpc-status:") && value.trim_ascii() == b"0"
            });
        }
        body = after;
    }
    false
}
