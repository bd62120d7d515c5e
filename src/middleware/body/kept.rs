//! A request's body that can be sent a second time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::config;

/// A body, and what was pulled of it, by reference: at most 64 KiB, or nothing.
///
/// Whoever reads it and whoever wants it again hold the same. What the first reader leaves unread the second one reads.
pub(crate) struct KeptBody<B>(Arc<Mutex<State<B>>>);

struct State<B> {
    /// `None` once it came to its end, or was taken to be sent again.
    rest: Option<Pin<Box<B>>>,
    frames: Vec<Bytes>,
    trailers: Option<Box<HeaderMap>>,
    bytes: usize,
    /// Whether all that was pulled is there.
    is_whole: bool,
}

/// A body as it was before anything was read of it.
pub(super) struct Again<B> {
    pub(super) read: Bytes,
    pub(super) trailers: Option<Box<HeaderMap>>,
    pub(super) rest: Option<Pin<Box<B>>>,
}

impl<B> KeptBody<B> {
    pub(super) fn new(whole: Again<B>) -> Self {
        let mut state = State {
            rest: whole.rest,
            frames: Vec::new(),
            trailers: whole.trailers,
            bytes: 0,
            is_whole: true,
        };
        state.keep(whole.read);
        Self(Arc::new(Mutex::new(state)))
    }

    /// Whether it can be sent again.
    pub(crate) fn is_whole(&self) -> bool {
        self.state().is_whole
    }

    /// All of it, once.
    pub(super) fn take(&self) -> Option<Again<B>> {
        let mut state = self.state();
        if !std::mem::take(&mut state.is_whole) {
            return None;
        }
        let mut frames = std::mem::take(&mut state.frames);
        let read = match frames.len() {
            1 => frames.remove(0),
            _ => Bytes::from(frames.concat()),
        };
        Some(Again {
            read,
            trailers: state.trailers.take(),
            rest: state.rest.take(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> State<B> {
    fn keep(&mut self, data: Bytes) {
        self.bytes = self.bytes.saturating_add(data.len());
        if self.bytes > config::MAX_KEPT_BODY {
            self.is_whole = false;
        }
        if !self.is_whole {
            self.frames = Vec::new();
        } else if !data.is_empty() {
            // Each holds the buffer that it came in: many small ones would keep far more than they are.
            if self.frames.len() == MAX_FRAMES {
                self.frames = vec![Bytes::from(self.frames.concat())];
            }
            self.frames.push(data);
        }
    }
}

impl<B: Body<Data = Bytes>> KeptBody<B> {
    pub(super) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut state = self.state();
        let Some(rest) = &mut state.rest else {
            return Poll::Ready(None);
        };
        let polled = rest.as_mut().poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    state.keep(data.clone());
                } else if let Some(trailers) = frame.trailers_ref() {
                    state.trailers = Some(Box::new(trailers.clone()));
                }
            }
            // After its error a body looks over: the part must not pass for the whole.
            Poll::Ready(Some(Err(_))) => state.is_whole = false,
            Poll::Ready(None) => state.rest = None,
            Poll::Pending => {}
        }
        polled
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let state = self.state();
        state.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let state = self.state();
        let rest = state.rest.as_ref().map(|rest| rest.size_hint());
        rest.unwrap_or(SizeHint::with_exact(0))
    }
}

impl<B> Clone for KeptBody<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// So many pieces are kept as they came; then they become one.
const MAX_FRAMES: usize = 256;

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[test]
    fn a_body_in_single_bytes_is_kept_in_few_pieces() {
        let kept = KeptBody::<Full<Bytes>>::new(Again {
            read: Bytes::new(),
            trailers: None,
            rest: None,
        });
        let sent: Vec<u8> = (0..config::MAX_KEPT_BODY).map(|n| n as u8).collect();
        for byte in &sent {
            kept.state().keep(Bytes::copy_from_slice(&[*byte]));
            assert!(kept.state().frames.len() <= MAX_FRAMES);
        }
        assert!(kept.is_whole());
        assert_eq!(kept.take().unwrap().read, sent);
    }
}
