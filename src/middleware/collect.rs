//! Reading bodies, within limits.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;

use super::body::RequestBody;
use crate::config;

/// How far a body is read.
pub(super) struct Limits {
    pub(super) bytes: usize,
    pub(super) time: Duration,
    /// The bytes of all bodies being read.
    pub(super) all: Arc<AtomicUsize>,
    /// Whether reading stops at once where the body cannot be JSON.
    pub(super) json_only: bool,
}

/// What was read of a body, and what is left of it.
pub(super) struct Read<B> {
    bytes: BytesMut,
    trailers: Option<Box<HeaderMap>>,
    rest: Option<Pin<Box<B>>>,
    pub(super) end: End,
    counted: Counted,
}

/// Where reading ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    Whole,
    /// There is more than the limit.
    TooLong,
    /// It is not JSON, by its first byte.
    NotJson,
    /// It took too long. The rest may still come.
    TooSlow,
    /// It failed: what was read must not pass for all of it.
    Broken,
    /// All requests together read too much at the moment.
    Full,
}

/// Reads `body` until its end or a limit. Nothing is lost: [`Read::split`] puts all of it back.
///
/// # Cancel safety
///
/// What was read is gone with the future: drop it only together with the request.
pub(super) async fn read<B: Body<Data = Bytes>>(body: B, limits: Limits) -> Read<B> {
    let counted = Counted {
        all: limits.all,
        bytes: 0,
    };
    let mut read = Read {
        bytes: BytesMut::new(),
        trailers: None,
        rest: Some(Box::pin(body)),
        end: End::Whole,
        counted,
    };
    let pulled = tokio::time::timeout(limits.time, read.pull(limits.bytes, limits.json_only)).await;
    read.end = pulled.unwrap_or(End::TooSlow);
    read
}

/// Reads what is left of a body and drops it, at most 4 MiB and for 5 seconds.
///
/// A client that still sends when it is answered and cut off may never see the answer: its connection is reset. Gives
/// an empty body in place of the other.
pub(super) async fn discard<B: Body<Data = Bytes>>(body: RequestBody<B>) -> RequestBody<B> {
    let mut body = pin!(body);
    let mut left = config::MAX_DISCARDED;
    let discarding = async {
        while let Some(Ok(frame)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            left = left.saturating_sub(bytes);
            if left == 0 {
                break;
            }
        }
    };
    // Whether it came to its end or not, the answer goes out now.
    tokio::time::timeout(config::ECHO_TIMEOUT, discarding)
        .await
        .unwrap_or_default();
    RequestBody::whole(Bytes::new(), None)
}

impl<B: Body<Data = Bytes>> Read<B> {
    /// The bytes, all of them if the end is [`End::Whole`].
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where reading ended, what was read, and the body as if nothing had been read of it.
    pub(super) fn split(self) -> (End, Bytes, RequestBody<B>) {
        let bytes = self.bytes.freeze();
        let body = match self.rest {
            Some(rest) => RequestBody::begun(bytes.clone(), rest),
            None => RequestBody::whole(bytes.clone(), self.trailers),
        };
        (self.end, bytes, body)
    }

    /// The bytes as the body of a request, where the end is [`End::Whole`].
    pub(super) fn into_whole<C>(self) -> RequestBody<C> {
        RequestBody::whole(self.bytes.freeze(), self.trailers)
    }

    async fn pull(&mut self, limit: usize, json_only: bool) -> End {
        while let Some(rest) = &mut self.rest {
            match poll_fn(|cx| rest.as_mut().poll_frame(cx)).await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let full = !self.counted.add(data.len());
                        self.bytes.extend_from_slice(&data);
                        if full {
                            return End::Full;
                        }
                    }
                    Err(frame) => self.trailers = frame.into_trailers().ok().map(Box::new),
                },
                Some(Err(_)) => return End::Broken,
                None => self.rest = None,
            }
            if self.bytes.len() > limit {
                return End::TooLong;
            }
            let first = self.bytes.trim_ascii_start().first();
            if json_only && first.is_some_and(|byte| !matches!(byte, b'{' | b'[')) {
                return End::NotJson;
            }
        }
        End::Whole
    }
}

/// The bytes of one body, as part of those of all.
struct Counted {
    all: Arc<AtomicUsize>,
    bytes: usize,
}

impl Counted {
    /// Counts `bytes` more; says whether there was room for them.
    fn add(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.all.fetch_add(bytes, Ordering::Relaxed) + bytes <= config::MAX_BODIES
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
