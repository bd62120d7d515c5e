//! What is left of a body of which something was read, or nothing.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::KeptBody;

pin_project! {
    /// A body that was not touched, or was pinned to read from it, or may be sent again, or is over.
    #[project = RestProject]
    pub(super) enum Rest<B> {
        Untouched { #[pin] body: B },
        Begun { body: Pin<Box<B>> },
        Kept { body: KeptBody<B> },
        Over,
    }
}

impl<B: Body<Data = Bytes>> Rest<B> {
    /// The size hint with `read` bytes more.
    pub(super) fn size_hint_after(&self, read: usize) -> SizeHint {
        let read = read as u64;
        let mut hint = self.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(read));
        }
        hint.set_lower(hint.lower().saturating_add(read));
        hint
    }
}

impl<B: Body<Data = Bytes>> Body for Rest<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project() {
            RestProject::Untouched { body } => body.poll_frame(cx),
            RestProject::Begun { body } => body.as_mut().poll_frame(cx),
            RestProject::Kept { body } => body.poll_frame(cx),
            RestProject::Over => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Untouched { body } => body.is_end_stream(),
            Self::Begun { body } => body.is_end_stream(),
            Self::Kept { body } => body.is_end_stream(),
            Self::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Untouched { body } => body.size_hint(),
            Self::Begun { body } => body.size_hint(),
            Self::Kept { body } => body.size_hint(),
            Self::Over => SizeHint::with_exact(0),
        }
    }
}
