//! Finding out from the answer to an initialize whether it succeeded, without changing a byte of it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};

use super::body::ResponseBody;
use super::reply::Answer;
use crate::protocol::ProtocolVersion;
use crate::protocol::header;
use crate::protocol::initialize::InitializeAnswer;
use crate::protocol::message::RequestId;
use crate::protocol::sse::EventReader;

/// How an initialize ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// With a result that names this version.
    Success(ProtocolVersion),
    /// With an error, or a result with which no session begins: the inner service says no.
    Refused,
    /// With something that is no answer: no session begins either.
    Failure,
    /// It cannot be known: the answer is too long, or broke off.
    Unknown,
}

/// Reads as much of the answer to the initialize `id` as it takes to know, at most `limit` bytes.
pub(super) async fn examine<R>(
    response: Response<R>,
    id: &RequestId<'_>,
    limit: usize,
) -> (Answer<R>, Outcome)
where
    R: Body<Data = Bytes>,
{
    let (parts, body) = response.into_parts();
    if !parts.status.is_success() {
        return (
            Response::from_parts(parts, ResponseBody::passed(body)),
            Outcome::Failure,
        );
    }
    let mut reading = Reading {
        frames: VecDeque::new(),
        rest: Some(Box::pin(body)),
        bytes: 0,
        limit,
    };
    let outcome = if header::is_event_stream(&parts.headers) {
        reading.find_event(id).await
    } else {
        reading.read_message(id).await
    };
    let body = ResponseBody::begun(reading.frames, reading.rest);
    (
        Response::from_parts(parts, body),
        outcome.unwrap_or(Outcome::Unknown),
    )
}

/// The answer's body, and what was read of it.
struct Reading<R> {
    frames: VecDeque<Frame<Bytes>>,
    rest: Option<Pin<Box<R>>>,
    bytes: usize,
    limit: usize,
}

/// The body broke off, or is too long.
struct Unreadable;

impl<R: Body<Data = Bytes>> Reading<R> {
    /// Reads an event stream up to the event that answers `id`; comments, priming events, notifications and requests
    /// of the server may come before.
    async fn find_event(&mut self, id: &RequestId<'_>) -> Result<Outcome, Unreadable> {
        let mut events = EventReader::default();
        while let Some(data) = self.pull().await? {
            for event in events.push(&data) {
                match InitializeAnswer::read(&event, id) {
                    InitializeAnswer::NotForUs => {}
                    answer => return Ok(answer.into()),
                }
            }
        }
        Ok(Outcome::Failure)
    }

    /// Reads one JSON message to its end.
    async fn read_message(&mut self, id: &RequestId<'_>) -> Result<Outcome, Unreadable> {
        let mut message = Vec::new();
        while let Some(data) = self.pull().await? {
            message.extend_from_slice(&data);
        }
        Ok(InitializeAnswer::read(&message, id).into())
    }

    /// The next bytes, which are kept; `None` at the end.
    async fn pull(&mut self) -> Result<Option<Bytes>, Unreadable> {
        while let Some(rest) = &mut self.rest {
            let Some(frame) = poll_fn(|cx| rest.as_mut().poll_frame(cx)).await else {
                self.rest = None;
                break;
            };
            let mut frame = frame.map_err(|_| Unreadable)?;
            let data = frame.data_ref().cloned();
            if let Some(trailers) = frame.trailers_mut() {
                trailers.remove(header::SESSION_ID);
            }
            self.frames.push_back(frame);
            let Some(data) = data else { continue };
            self.bytes += data.len();
            if self.bytes > self.limit {
                return Err(Unreadable);
            }
            return Ok(Some(data));
        }
        Ok(None)
    }
}

impl From<InitializeAnswer> for Outcome {
    fn from(answer: InitializeAnswer) -> Self {
        match answer {
            // A result with a later version begins no session. Wire rule 9.
            InitializeAnswer::Result {
                version: Some(version),
            } if version.has_sessions() => Self::Success(version),
            InitializeAnswer::Result { .. } | InitializeAnswer::Error => Self::Refused,
            InitializeAnswer::NotForUs => Self::Failure,
        }
    }
}
