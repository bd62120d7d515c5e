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
use super::{KeptBody, Rest, Tap};

pin_project! {
    /// The body of a request as the inner service gets it: that of the client, byte for byte.
    ///
    /// What the layer had to read of it comes first, then the rest as it arrives.
    pub struct RequestBody<B> {
        // Boxed: most bodies are untouched, and a request is moved several times on its way.
        extra: Option<Box<Extra>>,
        #[pin]
        rest: Rest<B>,
    }
}

/// What not every body has.
#[derive(Default)]
struct Extra {
    /// What was read of it.
    data: Bytes,
    trailers: Option<Box<HeaderMap>>,
    /// Takes down what is said in it.
    tap: Option<Tap>,
}

impl<B> RequestBody<B> {
    /// A body nothing was read of.
    #[inline]
    pub(crate) fn unread(body: B) -> Self {
        Self {
            extra: None,
            rest: Rest::Untouched { body },
        }
    }

    /// A body of which `read` was read.
    pub(crate) fn begun(read: Bytes, rest: Pin<Box<B>>) -> Self {
        Self {
            extra: Extra::of(read, None),
            rest: Rest::Begun { body: rest },
        }
    }

    /// A body that was read to its end.
    pub(crate) fn whole(read: Bytes, trailers: Option<Box<HeaderMap>>) -> Self {
        Self {
            extra: Extra::of(read, trailers),
            rest: Rest::Over,
        }
    }

    /// The same body, of which `tap` takes down what is said.
    pub(crate) fn tapped(mut self, tap: Option<Tap>) -> Self {
        if tap.is_some() {
            self.extra.get_or_insert_default().tap = tap;
        }
        self
    }

    /// The same body, and a second hold on it that can send it again.
    pub(crate) fn keep(mut self) -> (Self, KeptBody<B>) {
        let (read, trailers) = self.extra.as_ref().map_or_else(Default::default, |extra| {
            (extra.data.clone(), extra.trailers.clone())
        });
        let rest = match self.rest {
            Rest::Untouched { body } => Some(Box::pin(body)),
            Rest::Begun { body } => Some(body),
            // What is kept already is not kept twice: it was sent again once.
            Rest::Kept { body } => body.take().and_then(|whole| whole.rest),
            Rest::Over => None,
        };
        let kept = KeptBody::new(Again {
            read,
            trailers,
            rest,
        });
        self.rest = Rest::Kept { body: kept.clone() };
        (self, kept)
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

impl Extra {
    fn of(data: Bytes, trailers: Option<Box<HeaderMap>>) -> Option<Box<Self>> {
        let extra = Self {
            data,
            trailers,
            tap: None,
        };
        (!extra.is_read()).then(|| Box::new(extra))
    }

    /// Whether nothing is left of what was read ahead.
    fn is_read(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none()
    }

    /// What comes next of what was read ahead.
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
        let mut this = self.project();
        let Some(extra) = this.extra else {
            return this.rest.poll_frame(cx);
        };
        let polled = match extra.next() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => this.rest.as_mut().poll_frame(cx),
        };
        let is_over = extra.is_read() && this.rest.is_end_stream();
        Tap::see_polled(&mut extra.tap, &polled, is_over);
        if extra.is_read() && extra.tap.is_none() {
            *this.extra = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.extra.as_deref().is_none_or(Extra::is_read) && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.extra.as_ref().map_or(0, |extra| extra.data.len());
        self.rest.size_hint_after(read)
    }
}

impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}
