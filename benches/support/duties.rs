//! The yardstick with the duties that each request of a session has in any layer that keeps the promises, in the
//! shortest form: what no amount of polish in the layer can go below.
//!
//! The lines of the head are read that decide whether the request belongs to a session at all; the client's id is taken
//! out before the inner service sees it; the exact time is compared with the deadline; the session counts as busy until
//! the last byte of the answer, whose head must not carry an id. No owner, no store, no streams, no inner ids.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::Service;

use super::requests::SESSION_ID;
use super::yardstick::{Session, Shared};

#[derive(Clone)]
pub(crate) struct Duties<S> {
    pub(crate) inner: S,
    pub(crate) shared: Arc<Shared>,
}

impl<S, B, R> Service<Request<B>> for Duties<S>
where
    S: Service<Request<Held<B>>, Response = Response<R>>,
{
    type Response = Response<Held<R>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let (mut id, mut is_legacy) = (None, true);
        for (name, value) in request.headers() {
            if *name == NAMES[0] {
                id = Some(value);
            } else if *name == NAMES[1] {
                is_legacy &= value == "2025-11-25";
            }
        }
        let id = id.filter(|_| is_legacy).map(HeaderValue::as_bytes);
        let session = id.and_then(|id| self.shared.find(id));
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let session = session.filter(|session| session.ends > now.unwrap_or_default().as_secs());
        let busy = session.map(|session| {
            request.headers_mut().remove(&NAMES[0]);
            request.extensions_mut().insert(Arc::clone(&session));
            session.uses.fetch_add(1, Ordering::AcqRel);
            Busy(session)
        });
        let request = request.map(|body| Held { body, busy: None });
        Answering {
            future: self.inner.call(request),
            busy,
        }
    }
}

static NAMES: [HeaderName; 2] = [SESSION_ID, HeaderName::from_static("mcp-protocol-version")];

/// Keeps its session busy.
pub(crate) struct Busy(Arc<Session>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.uses.fetch_sub(1, Ordering::AcqRel);
    }
}

pin_project! {
    pub(crate) struct Answering<F> {
        #[pin]
        future: F,
        busy: Option<Busy>,
    }
}

impl<F: Future<Output = Result<Response<R>, E>>, R, E> Future for Answering<F> {
    type Output = Result<Response<Held<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.future.poll(cx))?;
        if response.headers().keys().any(|name| *name == NAMES[0]) {
            response.headers_mut().remove(&NAMES[0]);
        }
        let busy = this.busy.take();
        Poll::Ready(Ok(response.map(|body| Held { body, busy })))
    }
}

pin_project! {
    pub(crate) struct Held<B> {
        #[pin]
        body: B,
        busy: Option<Busy>,
    }
}

impl<B: Body<Data = Bytes>> Body for Held<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        if frame.is_none() || this.body.is_end_stream() {
            drop(this.busy.take());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
