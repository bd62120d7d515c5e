//! The body that the client reads.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::Rest;
use crate::manager::{Busy, Use};
use crate::protocol::header;

pin_project! {
    /// The body of an answer: the inner service's, byte for byte, or one of ours.
    ///
    /// It holds its session busy until the last byte. A body of unknown length ends early when its session ends, or
    /// when this instance has been drained.
    pub struct ResponseBody<R> {
        read: VecDeque<Frame<Bytes>>,
        #[pin]
        rest: Rest<R>,
        busy: Option<Busy>,
        end: End,
    }
}

/// What ends a stream from our side.
enum End {
    /// Nothing, or whatever ends the session that the body holds busy.
    OfSession,
    OfInstance(CancellationToken),
    Awaited(Pin<Box<WaitForCancellationFutureOwned>>),
}

impl<R> ResponseBody<R> {
    /// A body of ours.
    pub(crate) fn ours(bytes: Bytes) -> Self {
        let read = if bytes.is_empty() {
            VecDeque::new()
        } else {
            VecDeque::from([Frame::data(bytes)])
        };
        Self {
            read,
            rest: Rest::Over,
            busy: None,
            end: End::OfSession,
        }
    }

    /// The inner service's body.
    pub(crate) fn passed(body: R) -> Self {
        Self {
            read: VecDeque::new(),
            rest: Rest::Untouched { body },
            busy: None,
            end: End::OfSession,
        }
    }

    /// The inner service's body, of which `read` was read; `rest` is none if that was all.
    pub(crate) fn begun(read: VecDeque<Frame<Bytes>>, rest: Option<Pin<Box<R>>>) -> Self {
        let rest = rest.map_or(Rest::Over, |body| Rest::Begun { body });
        Self {
            read,
            rest,
            busy: None,
            end: End::OfSession,
        }
    }

    /// The same body, holding a session busy.
    pub(crate) fn holding(mut self, busy: Busy) -> Self {
        self.busy = Some(busy);
        self
    }
}

impl<R: Body<Data = Bytes>> ResponseBody<R> {
    /// The same body; if it is a stream, it ends when `drained` is cancelled.
    pub(crate) fn ending_with(mut self, drained: &CancellationToken) -> Self {
        if self.is_stream() {
            self.end = End::OfInstance(drained.clone());
        }
        self
    }

    /// Only a body without a length can end early and still be whole for its reader.
    fn is_stream(&self) -> bool {
        self.rest.size_hint().exact().is_none()
    }
}

impl<R: Body<Data = Bytes>> Body for ResponseBody<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        let is_stream = self.is_stream();
        let mut this = self.as_mut().project();
        if let Some(frame) = this.read.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let Poll::Ready(mut polled) = this.rest.as_mut().poll_frame(cx) else {
            ready!(poll_end(this.busy, this.end, is_stream, cx));
            this.rest.set(Rest::Over);
            drop(this.busy.take());
            return Poll::Ready(None);
        };
        match &mut polled {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    trailers.remove(header::SESSION_ID);
                }
                note_taken(this.busy.as_ref());
            }
            Some(Err(_)) | None => drop(this.busy.take()),
        }
        if this.rest.is_end_stream() {
            drop(this.busy.take());
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read = self
            .read
            .iter()
            .filter_map(Frame::data_ref)
            .map(Bytes::len)
            .sum();
        self.rest.size_hint_after(read)
    }
}

impl<R> fmt::Debug for ResponseBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("busy", &self.busy)
            .finish_non_exhaustive()
    }
}

/// Waits, beside the inner body, for what ends the stream from our side.
fn poll_end(
    busy: &mut Option<Busy>,
    end: &mut End,
    is_stream: bool,
    cx: &mut Context<'_>,
) -> Poll<()> {
    if let Some(busy) = busy {
        busy.wait();
    }
    if !is_stream {
        return Poll::Pending;
    }
    let token = match (&*end, busy) {
        (End::OfSession, Some(busy)) => Some(busy.session().streams_end()),
        (End::OfSession, None) => return Poll::Pending,
        (End::OfInstance(token), _) => Some(token.clone()),
        (End::Awaited(_), _) => None,
    };
    if let Some(token) = token {
        *end = End::Awaited(Box::pin(token.cancelled_owned()));
    }
    match end {
        End::Awaited(ended) => ended.as_mut().poll(cx),
        End::OfSession | End::OfInstance(_) => Poll::Pending,
    }
}

/// A stream is in use as long as its client takes bytes from it.
fn note_taken(busy: Option<&Busy>) {
    if let Some(busy) = busy.filter(|busy| busy.kind() == Use::Stream) {
        busy.see();
    }
}
