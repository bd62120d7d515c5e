//! The body that the inner service reads.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::kept::Again;
use super::{KeptBody, Rest};

pin_project! {
    /// The body of a request as the inner service gets it: that of the client, byte for byte.
    ///
    /// What the layer had to read of it comes first, then the rest as it arrives.
    pub struct RequestBody<B> {
        // Boxed: most bodies are untouched, and a request is moved several times on its way.
        ahead: Option<Box<Ahead>>,
        #[pin]
        rest: Rest<B>,
    }
}

/// What was read of a body.
struct Ahead {
    data: Bytes,
    trailers: Option<Box<HeaderMap>>,
}

impl<B> RequestBody<B> {
    /// A body nothing was read of.
    #[inline]
    pub(crate) fn unread(body: B) -> Self {
        Self {
            ahead: None,
            rest: Rest::Untouched { body },
        }
    }

    /// A body of which `read` was read.
    pub(crate) fn begun(read: Bytes, rest: Pin<Box<B>>) -> Self {
        Self {
            ahead: Ahead::of(read, None),
            rest: Rest::Begun { body: rest },
        }
    }

    /// A body that was read to its end.
    pub(crate) fn whole(read: Bytes, trailers: Option<Box<HeaderMap>>) -> Self {
        Self {
            ahead: Ahead::of(read, trailers),
            rest: Rest::Over,
        }
    }

    /// The same body, and a second hold on it that can send it again.
    pub(crate) fn keep(self) -> (Self, KeptBody<B>) {
        let ahead = self.ahead.map(|ahead| *ahead);
        let (read, trailers) =
            ahead.map_or_else(Default::default, |ahead| (ahead.data, ahead.trailers));
        let rest = match self.rest {
            Rest::Untouched { body } => Some(Box::pin(body)),
            Rest::Begun { body } => Some(body),
            // What is kept already is not kept twice: it was sent again once.
            Rest::Kept { body } => body.take().and_then(|whole| whole.rest),
            Rest::Over => None,
        };
        let ahead = Ahead::of(read.clone(), trailers.clone());
        let kept = KeptBody::new(Again {
            read,
            trailers,
            rest,
        });
        let rest = Rest::Kept { body: kept.clone() };
        (Self { ahead, rest }, kept)
    }

    /// The body of `kept` from its beginning, if it is whole.
    pub(crate) fn again(kept: &KeptBody<B>) -> Option<Self> {
        let Again {
            read,
            trailers,
            rest,
        } = kept.take()?;
        Some(match rest {
            Some(rest) => Self::begun(read, rest),
            None => Self::whole(read, trailers),
        })
    }
}

impl Ahead {
    fn of(data: Bytes, trailers: Option<Box<HeaderMap>>) -> Option<Box<Self>> {
        let is_empty = data.is_empty() && trailers.is_none();
        (!is_empty).then(|| Box::new(Self { data, trailers }))
    }

    /// What comes next of it.
    fn next(&mut self) -> Option<Frame<Bytes>> {
        if !self.data.is_empty() {
            return Some(Frame::data(mem::take(&mut self.data)));
        }
        self.trailers
            .take()
            .map(|trailers| Frame::trailers(*trailers))
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        if let Some(ahead) = this.ahead {
            if let Some(frame) = ahead.next() {
                return Poll::Ready(Some(Ok(frame)));
            }
            *this.ahead = None;
        }
        this.rest.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        let ahead_is_over = |ahead: &Ahead| ahead.data.is_empty() && ahead.trailers.is_none();
        self.ahead.as_deref().is_none_or(ahead_is_over) && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.ahead.as_ref().map_or(0, |ahead| ahead.data.len());
        self.rest.size_hint_after(read)
    }
}

impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}
