//! The body that the client reads.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{Rest, Tap};
use crate::manager::{Busy, Use};
use crate::protocol::header;

pin_project! {
    /// The body of an answer: the inner service's, byte for byte, or one of ours.
    ///
    /// It holds its session busy until the last byte. A stream of events, or of gRPC messages, ends early when its
    /// session ends, or when this instance has been drained.
    pub struct ResponseBody<R> {
        // Boxed: most bodies are untouched, and an answer is moved several times on its way.
        extra: Option<Box<Extra>>,
        #[pin]
        rest: Rest<R>,
        busy: Option<Busy>,
        end: End,
    }
}

/// What not every body has.
#[derive(Default)]
struct Extra {
    /// What was read of it.
    ahead: VecDeque<Frame<Bytes>>,
    /// Takes down what is said in it.
    tap: Option<Tap>,
}

/// What ends a body from our side, beside the inner body's own end.
enum End {
    /// Nothing: it is a document, of which a part would be no whole.
    Never,
    /// What ends the session that it holds busy.
    OfSession,
    OfInstance(CancellationToken),
    Awaited(Pin<Box<WaitForCancellationFutureOwned>>),
}

impl<R> ResponseBody<R> {
    /// A body of ours.
    pub(crate) fn ours(bytes: Bytes) -> Self {
        let frame = (!bytes.is_empty()).then(|| Frame::data(bytes));
        Self::begun(frame.into_iter().collect(), None)
    }

    /// The inner service's body.
    #[inline]
    pub(crate) fn passed(body: R) -> Self {
        Self {
            extra: None,
            rest: Rest::Untouched { body },
            busy: None,
            end: End::Never,
        }
    }

    /// The inner service's body, of which `read` was read; `rest` is none if that was all.
    pub(crate) fn begun(read: VecDeque<Frame<Bytes>>, rest: Option<Pin<Box<R>>>) -> Self {
        let rest = rest.map_or(Rest::Over, |body| Rest::Begun { body });
        Self {
            extra: (!read.is_empty()).then(|| {
                Box::new(Extra {
                    ahead: read,
                    tap: None,
                })
            }),
            rest,
            busy: None,
            end: End::Never,
        }
    }
}

impl<R: Body<Data = Bytes>> ResponseBody<R> {
    /// From now on the body holds a session busy; if it is a stream, it ends with it.
    #[inline]
    pub(crate) fn hold(&mut self, busy: Busy, is_stream: bool) {
        if is_stream {
            self.end = End::OfSession;
        }
        self.busy = Some(busy);
    }

    /// From now on `tap` takes down what is said in the body.
    pub(crate) fn set_tap(&mut self, tap: Option<Tap>) {
        if tap.is_some() {
            self.extra.get_or_insert_default().tap = tap;
        }
    }

    /// From now on the body, a stream, ends when `drained` is cancelled.
    pub(crate) fn end_with(&mut self, drained: &CancellationToken) {
        self.end = End::OfInstance(drained.clone());
    }

    /// Whether the body is a stream, by the `headers` of its answer.
    pub(crate) fn is_stream(&self, headers: &HeaderMap) -> bool {
        // Most bodies know their length: for those no header is looked at.
        self.rest.size_hint().exact().is_none()
            && (header::is_event_stream(headers) || header::is_grpc(headers))
    }

    /// Polls what was not read yet. What it returns lies in one place from the beginning: frames are large to move.
    fn poll_rest(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        let mut this = self.project();
        let mut polled = this.rest.as_mut().poll_frame(cx);
        match &mut polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    trailers.remove(header::SESSION_ID);
                }
                note_taken(this.busy.as_ref());
                if this.rest.is_end_stream() {
                    drop(this.busy.take());
                }
            }
            Poll::Ready(Some(Err(_)) | None) => drop(this.busy.take()),
            Poll::Pending => {
                if poll_end(this.busy, this.end, cx).is_ready() {
                    this.rest.set(Rest::Over);
                    drop(this.busy.take());
                    polled = Poll::Ready(None);
                }
            }
        }
        polled
    }
}

impl<R: Body<Data = Bytes>> Body for ResponseBody<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        if self.extra.is_none() {
            return self.poll_rest(cx);
        }
        let next = self.as_mut().project().extra.as_mut();
        let polled = match next.and_then(|extra| extra.ahead.pop_front()) {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => self.as_mut().poll_rest(cx),
        };
        let is_over = self.is_end_stream();
        let extra = self.project().extra;
        if let Some(taken) = extra {
            Tap::see_polled(&mut taken.tap, &polled, is_over);
            if taken.ahead.is_empty() && taken.tap.is_none() {
                *extra = None;
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let is_read = |extra: &Extra| extra.ahead.is_empty();
        self.extra.as_deref().is_none_or(is_read) && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.extra.iter().flat_map(|extra| extra.ahead.iter());
        let data = ahead.filter_map(Frame::data_ref);
        self.rest.size_hint_after(data.map(Bytes::len).sum())
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
fn poll_end(busy: &mut Option<Busy>, end: &mut End, cx: &mut Context<'_>) -> Poll<()> {
    if let Some(busy) = busy {
        busy.wait();
    }
    let token = match (&*end, busy) {
        (End::OfSession, Some(busy)) => Some(busy.end_of_answer()),
        (End::OfInstance(token), _) => Some(token.clone()),
        (End::Awaited(_), _) => None,
        (End::Never, _) | (End::OfSession, None) => return Poll::Pending,
    };
    if let Some(token) = token {
        *end = End::Awaited(Box::pin(token.cancelled_owned()));
    }
    match end {
        End::Awaited(ended) => ended.as_mut().poll(cx),
        End::Never | End::OfSession | End::OfInstance(_) => Poll::Pending,
    }
}

/// A stream is in use as long as its client takes bytes from it.
fn note_taken(busy: Option<&Busy>) {
    if let Some(busy) = busy.filter(|busy| busy.kind() == Use::Stream) {
        busy.see();
    }
}
