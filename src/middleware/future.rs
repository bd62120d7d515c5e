//! The future of a request.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;

use super::body::ResponseBody;
use super::endpoint::Endpoint;
use super::inner::{self, Address, Closer};
use super::reply::{self, Answer};
use crate::manager::{Busy, EndReason};
use crate::protocol::error::Refusal;

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
        Known { #[pin] future: F, known: Option<Known> },
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

/// What goes along with a request of a session that lives here.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) busy: Busy,
    pub(super) endpoint: Arc<Endpoint>,
    /// The inner id that the request went in with. Boxed, as in [`Passing`].
    pub(super) inner_id: Option<Box<HeaderValue>>,
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

    #[inline]
    pub(super) fn known(future: F, known: Known) -> Self {
        Self {
            kind: Kind::Known {
                future,
                known: Some(known),
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

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProject::Untouched { future } => Poll::Ready(
                ready!(future.poll(cx)).map(|response| response.map(ResponseBody::passed)),
            ),
            KindProject::Passthrough { future, passing } => {
                let response = ready!(future.poll(cx))?;
                let passing = passing
                    .take()
                    .expect("a future is not polled after it was ready");
                Poll::Ready(Ok(passing.answer(response)))
            }
            KindProject::Known { future, known } => {
                let Poll::Ready(result) = future.poll(cx) else {
                    if let Some(known) = known {
                        known.busy.wait();
                    }
                    return Poll::Pending;
                };
                let known = known
                    .take()
                    .expect("a future is not polled after it was ready");
                Poll::Ready(result.map(|response| known.answer(response)))
            }
            KindProject::Session { future } => future.as_mut().poll(cx),
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

/// The answer with its body, which holds the session busy.
#[inline]
fn held<R>(response: Response<R>, busy: Busy) -> Answer<R>
where
    R: Body<Data = Bytes>,
{
    let mut answer = response.map(ResponseBody::passed);
    let is_stream = answer.body().is_stream(answer.headers());
    answer.body_mut().hold(busy, is_stream);
    answer
}

impl Known {
    /// The answer to a request of a session.
    #[inline]
    pub(super) fn answer<R>(self, mut response: Response<R>) -> Answer<R>
    where
        R: Body<Data = Bytes>,
    {
        let stray = inner::take_id(response.headers_mut());
        if let Some(id) = stray.filter(|id| self.inner_id.as_deref() != Some(id))
            && let Some(closer) = self.endpoint.closer.get()
        {
            // A session of the inner service inside one of ours: nobody could ever reach it.
            closer.close(id, self.address());
        }
        if self.inner_id.is_some() && response.status() == StatusCode::NOT_FOUND {
            self.lost()
        } else {
            held(response, self.busy)
        }
    }

    /// The inner service does not know its session any more: it is over, and the request was not executed.
    fn lost<R>(self) -> Answer<R> {
        let (manager, session) = (
            self.endpoint.manager.clone(),
            Arc::clone(self.busy.session()),
        );
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(async move { manager.terminate(&session, EndReason::Lost).await }));
        }
        reply::refuse(Refusal::SessionNotFound, None)
    }

    fn address(&self) -> Address {
        let session = self.busy.session();
        self.endpoint.address_of(session)
    }
}
