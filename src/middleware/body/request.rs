//! The body that the inner service reads.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::Rest;

pin_project! {
    /// The body of a request as the inner service gets it: that of the client, byte for byte.
    ///
    /// What the layer had to read of it comes first, then the rest as it arrives.
    pub struct RequestBody<B> {
        read: Bytes,
        #[pin]
        rest: Rest<B>,
        trailers: Option<Box<HeaderMap>>,
    }
}

impl<B> RequestBody<B> {
    /// A body nothing was read of.
    pub(crate) fn unread(body: B) -> Self {
        Self {
            read: Bytes::new(),
            rest: Rest::Untouched { body },
            trailers: None,
        }
    }

    /// A body of which `read` was read.
    pub(crate) fn begun(read: Bytes, rest: Pin<Box<B>>) -> Self {
        Self {
            read,
            rest: Rest::Begun { body: rest },
            trailers: None,
        }
    }

    /// A body that was read to its end.
    pub(crate) fn whole(read: Bytes, trailers: Option<Box<HeaderMap>>) -> Self {
        Self {
            read,
            rest: Rest::Over,
            trailers,
        }
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
        if !this.read.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(this.read)))));
        }
        if let Some(trailers) = this.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(*trailers))));
        }
        this.rest.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.trailers.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.size_hint_after(self.read.len())
    }
}

impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("read", &self.read.len())
            .finish_non_exhaustive()
    }
}
