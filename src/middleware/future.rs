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
use tracing::Span;

use super::body::ResponseBody;
use super::endpoint::Endpoint;
use super::inner::{self, Address, Closer};
use super::paths::Again;
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

/// What became of a request of a session.
pub(super) enum Answered<R> {
    Given(Answer<R>),
    /// The inner service does not know its session any more, and has not executed the request.
    Lost(Known),
}

impl Known {
    /// The answer to a request of a session.
    #[inline]
    pub(super) fn answer<R>(self, mut response: Response<R>) -> Answered<R>
    where
        R: Body<Data = Bytes>,
    {
        self.close_stray(&mut response);
        if self.inner_id.is_some() && response.status() == StatusCode::NOT_FOUND {
            return Answered::Lost(self);
        }
        Answered::Given(held(response, self.busy))
    }

    /// The same where 404 says nothing of sessions.
    pub(super) fn answer_as_it_is<R>(self, mut response: Response<R>) -> Answer<R>
    where
        R: Body<Data = Bytes>,
    {
        self.close_stray(&mut response);
        held(response, self.busy)
    }

    /// The inner session is lost, and none is ever begun again: the session is over.
    pub(super) fn end<R>(self) -> Answer<R> {
        let (manager, session) = (
            self.endpoint.manager.clone(),
            Arc::clone(self.busy.session()),
        );
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(async move { manager.terminate(&session, EndReason::Lost).await }));
        }
        let session = self.busy.session();
        reply::refuse(
            &self.endpoint,
            Some(session),
            Refusal::SessionNotFound,
            None,
        )
    }

    /// Ends a session of the inner service inside one of ours: nobody could ever reach it.
    fn close_stray<R>(&self, response: &mut Response<R>) {
        let stray = inner::take_id(response.headers_mut());
        if let Some(id) = stray.filter(|id| self.inner_id.as_deref() != Some(id))
            && let Some(closer) = self.endpoint.closer.get()
        {
            closer.close(id, self.endpoint.address_of(self.busy.session()));
        }
    }
}
