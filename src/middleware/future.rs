//! The future of a request.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use tracing::Span;

use super::body::ResponseBody;
use super::endpoint::Endpoint;
use super::inner::{self, Address, Closer};
use super::known::{Answered, Known};
use super::paths::Again;
use super::reply::Answer;

pin_project! {
    /// The future of a [`Session`](super::Session).
    ///
    /// Requests that pass, and requests of a session that lives here, are not boxed.
    pub struct ResponseFuture<F, R, E> {
        #[pin]
        kind: Kind<F, R, E>,
    }
}

pin_project! {
    #[project = KindProject]
    enum Kind<F, R, E> {
        Untouched { #[pin] future: F },
        Passthrough { #[pin] future: F, passing: Option<Passing> },
        Known {
            #[pin]
            future: F,
            known: Option<Known>,
            again: Option<Again<R, E>>,
            // Boxed: there is one only where it is read.
            span: Option<Box<Span>>,
        },
        Session { future: Boxed<R, E> },
    }
}

pub(super) type Boxed<R, E> = Pin<Box<dyn Future<Output = Result<Answer<R>, E>> + Send>>;

/// What goes along with a request that passes without a session.
#[derive(Debug)]
pub(super) struct Passing {
    /// Set for a modern request, whose stream ends when this instance was drained.
    pub(super) modern: Option<Arc<Endpoint>>,
    /// What ends a session that the inner service begins all the same, if it may.
    ///
    /// Boxed: few requests that pass can begin one, and all are moved several times on their way.
    pub(super) minter: Option<Box<(Closer, Address)>>,
}

impl<F, R, E> ResponseFuture<F, R, E> {
    pub(super) fn untouched(future: F) -> Self {
        Self {
            kind: Kind::Untouched { future },
        }
    }

    #[inline]
    pub(super) fn passthrough(future: F, passing: Passing) -> Self {
        Self {
            kind: Kind::Passthrough {
                future,
                passing: Some(passing),
            },
        }
    }

    /// A request of a session, which runs in `span`; `again` sends it once more if its inner session is lost.
    #[inline]
    pub(super) fn known(
        future: F,
        known: Known,
        again: Option<Again<R, E>>,
        span: Option<Box<Span>>,
    ) -> Self {
        Self {
            kind: Kind::Known {
                future,
                known: Some(known),
                again,
                span,
            },
        }
    }

    pub(super) fn session(future: Boxed<R, E>) -> Self {
        Self {
            kind: Kind::Session { future },
        }
    }
}

impl<F, R, E> Future for ResponseFuture<F, R, E>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Answer<R>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let once_more = match self.as_mut().project().kind.project() {
            KindProject::Untouched { future } => {
                return future
                    .poll(cx)
                    .map_ok(|response| response.map(ResponseBody::passed));
            }
            KindProject::Passthrough { future, passing } => {
                let response = ready!(future.poll(cx))?;
                let passing = passing
                    .take()
                    .expect("a future is not polled after it was ready");
                return Poll::Ready(Ok(passing.answer(response)));
            }
            KindProject::Known {
                future,
                known,
                again,
                span,
            } => {
                let polled = match span {
                    None => future.poll(cx),
                    Some(span) => span.in_scope(|| future.poll(cx)),
                };
                let Poll::Ready(result) = polled else {
                    if let Some(known) = known {
                        known.busy.wait();
                    }
                    return Poll::Pending;
                };
                let known = known
                    .take()
                    .expect("a future is not polled after it was ready");
                match known.answer(result?) {
                    Answered::Given(answer) => return Poll::Ready(Ok(answer)),
                    Answered::Lost(known) => match again.take() {
                        Some(again) => again(known),
                        None => return Poll::Ready(Ok(known.end())),
                    },
                }
            }
            KindProject::Session { future } => return future.as_mut().poll(cx),
        };
        // The first future goes: it may hold a permit that the second one needs.
        let mut kind = self.project().kind;
        kind.set(Kind::Session { future: once_more });
        match kind.project() {
            KindProject::Session { future } => future.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }
}

impl<F, R, E> fmt::Debug for ResponseFuture<F, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl Passing {
    /// The answer to a request without a session.
    #[inline]
    pub(super) fn answer<R>(self, mut response: Response<R>) -> Answer<R>
    where
        R: Body<Data = Bytes>,
    {
        let stray = inner::take_id(response.headers_mut());
        if let (Some(id), Some(minter)) = (stray, self.minter) {
            let (closer, address) = *minter;
            closer.close(id, address);
        }
        let mut answer = response.map(ResponseBody::passed);
        if let Some(endpoint) = self.modern
            && answer.body().is_stream(answer.headers())
        {
            answer.body_mut().end_with(endpoint.manager.drained());
        }
        answer
    }
}
