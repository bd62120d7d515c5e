//! The bodies that a scripted service answers with, and the test's end of those that stay open.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::mpsc;

use super::answer::event;
use super::state::State;
use crate::testing::shared::Shared;

/// The body of an answer of a [`ScriptedService`](super::ScriptedService).
pub struct ScriptedBody {
    frames: VecDeque<Frame<Bytes>>,
    /// `None` if the body ends after `frames`.
    open: Option<Open>,
    trailers: Option<HeaderMap>,
}

struct Open {
    parts: mpsc::UnboundedReceiver<Part>,
    number: u64,
    service: Shared<State>,
}

enum Part {
    Frame(Frame<Bytes>),
    Error,
    End,
}

impl ScriptedBody {
    pub(super) fn new(bytes: Bytes, trailers: Option<HeaderMap>) -> Self {
        let frames = Some(bytes)
            .filter(|bytes| !bytes.is_empty())
            .map(Frame::data);
        Self {
            frames: frames.into_iter().collect(),
            open: None,
            trailers,
        }
    }

    /// The same body, but open: the service's list of streams gets the other end of it.
    pub(super) fn left_open(mut self, service: &Shared<State>) -> Self {
        let (sender, parts) = mpsc::unbounded_channel();
        let number = service.update(|state| {
            state.opened += 1;
            let number = state.opened;
            state.streams.push(ScriptedStream { sender, number });
            number
        });
        let service = service.clone();
        self.open = Some(Open {
            parts,
            number,
            service,
        });
        self
    }

    /// Reads the rest of the body as text, up to its end or an error.
    pub async fn text(mut self) -> String {
        let mut bytes = Vec::new();
        while let Some(Ok(frame)) = self.frame().await {
            bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(open) = &mut self.open {
            match std::task::ready!(open.parts.poll_recv(cx)) {
                Some(Part::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Some(Part::Error) => {
                    self.open = None;
                    self.trailers = None;
                    let error = io::Error::other("the scripted stream was told to fail");
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Part::End) | None => self.open = None,
            }
        }
        Poll::Ready(
            self.trailers
                .take()
                .map(|trailers| Ok(Frame::trailers(trailers))),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.open.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let frames = self.frames.iter().filter_map(Frame::data_ref);
        let length = frames.map(|data| data.len() as u64).sum();
        match self.open {
            None => SizeHint::with_exact(length),
            Some(_) => {
                let mut hint = SizeHint::new();
                hint.set_lower(length);
                hint
            }
        }
    }
}

impl fmt::Debug for ScriptedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedBody")
            .field("open", &self.open.is_some())
            .finish_non_exhaustive()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let number = self.number;
        self.service
            .update(|state| state.streams.retain(|stream| stream.number != number));
    }
}

/// The test's end of an open body.
///
/// What is sent after the body was dropped is lost without a sign; [`ScriptedStream::is_open`] tells.
#[derive(Clone)]
pub struct ScriptedStream {
    sender: mpsc::UnboundedSender<Part>,
    number: u64,
}

impl ScriptedStream {
    /// Whether somebody holds the body and has not read it to its end.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends `message` as one event.
    pub fn send_event(&self, message: &Value) {
        self.send(event(message));
    }

    /// Sends `bytes` as they are, as one frame.
    pub fn send(&self, bytes: impl Into<Bytes>) {
        self.part(Part::Frame(Frame::data(bytes.into())));
    }

    /// Sends trailers.
    pub fn send_trailers(&self, trailers: HeaderMap) {
        self.part(Part::Frame(Frame::trailers(trailers)));
    }

    /// Ends the body.
    pub fn end(&self) {
        self.part(Part::End);
    }

    /// Breaks the body off with an error.
    pub fn fail(&self) {
        self.part(Part::Error);
    }

    /// Ends when the body was dropped or read to its end.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }

    fn part(&self, part: Part) {
        // An error says that nobody reads any more, which `is_open` tells those who ask.
        let _: Result<_, _> = self.sender.send(part);
    }
}

impl fmt::Debug for ScriptedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedStream")
            .field("number", &self.number)
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}
