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
use crate::middleware::future::Known;
use crate::middleware::inner::{self, InnerService, call};
use crate::middleware::reply::{self, Answer, GrpcCode};
use crate::protocol::ProtocolVersion;
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
    let status = |code| Ok(reply::grpc_status(code, content_type.clone()));
    match RawId::from(&arrival.parts.headers) {
        RawId::Several => return status(GrpcCode::InvalidArgument),
        RawId::Missing if begins_session(&arrival) => {
            return initialize(arrival, body, content_type).await;
        }
        RawId::Missing => return arrival.pass(body, false).await,
        RawId::One(_) => {}
    }
    match find(&arrival.endpoint, &arrival.parts).await {
        Ok(Some(session)) => match in_session(arrival, body, session).await {
            Ok(result) => result,
            Err(code) => status(code),
        },
        Ok(None) => status(GrpcCode::NotFound),
        Err(_) => status(GrpcCode::Unavailable),
    }
}

fn begins_session<S>(arrival: &Arrival<S>) -> bool {
    let options = &arrival.endpoint.options;
    options.stateful && options.grpc_initialize.as_deref() == Some(arrival.parts.uri.path())
}

/// Serves a call of a session; the error is the status to answer with.
async fn in_session<S, B, R>(
    mut arrival: Arrival<S>,
    body: RequestBody<B>,
    session: Arc<LiveSession>,
) -> Result<Result<Answer<R>, S::Error>, GrpcCode>
where
    S: InnerService<B, R>,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    let endpoint = &arrival.endpoint;
    let session = restore::load_only(endpoint, session)
        .await
        .map_err(|_| GrpcCode::Unavailable)?
        .ok_or(GrpcCode::NotFound)?;
    let mut busy = endpoint
        .begin(Arc::clone(&session), &arrival.parts.method)
        .ok_or(if session.is_detached() {
            GrpcCode::Unavailable
        } else {
            GrpcCode::NotFound
        })?;
    busy.wait();
    if session.has(flag::SUSPENDED) {
        return Err(GrpcCode::Unavailable);
    }
    endpoint
        .manager
        .note_use(&session, true)
        .await
        .map_err(|error| match error.kind() {
            StoreErrorKind::Gone => GrpcCode::NotFound,
            _ => GrpcCode::Unavailable,
        })?;
    let inner_id = enter(&mut arrival.parts, &busy);
    let known = Known::new(busy, arrival.endpoint, inner_id);
    let result = call(&mut arrival.inner, Request::from_parts(arrival.parts, body)).await;
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
    let unavailable = |content_type| reply::grpc_status(GrpcCode::Unavailable, content_type);
    let params = serde_json::value::RawValue::from_string("{}".to_owned()).unwrap_or_default();
    let Ok(admitted) = admit(&arrival.endpoint, &arrival.parts, params).await else {
        return Ok(unavailable(content_type));
    };
    let begun = in_a_task(begin(arrival, admitted, body, content_type.clone())).await;
    begun.unwrap_or_else(|| Ok(unavailable(content_type)))
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
    let answering = async {
        let mut response =
            call(&mut arrival.inner, Request::from_parts(arrival.parts, body)).await?;
        inner::take_id(response.headers_mut());
        Ok(hold(response).await)
    };
    let unavailable = || {
        Begun::without_session(reply::grpc_status(
            GrpcCode::Unavailable,
            content_type.clone(),
        ))
    };
    Ok(
        match tokio::time::timeout(config::GRPC_TIMEOUT, answering).await {
            Err(_) => unavailable(),
            Ok(held) => match held? {
                Some((answer, true)) => match admitted
                    .commit(answer, ProtocolVersion::ASSUMED, None)
                    .await
                {
                    Ok(begun) => begun,
                    Err(_) => unavailable(),
                },
                Some((answer, false)) => Begun::without_session(answer),
                None => unavailable(),
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
