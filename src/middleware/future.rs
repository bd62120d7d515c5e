//! The future of a request.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;

use super::body::{Exchange, RequestBody, ResponseBody};
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
        Known { #[pin] future: F, known: Option<Known>, again: Option<Again<R, E>> },
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
    /// Boxed: most requests have none of it, and all are moved several times on their way.
    beside: Option<Box<Beside>>,
}

/// What not every request of a session has.
#[derive(Debug, Default)]
struct Beside {
    /// The inner id that the request went in with.
    inner_id: Option<HeaderValue>,
    /// What is taken down of it.
    exchange: Option<Arc<Exchange>>,
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

    /// A request of a session; `again` sends it once more if its inner session is lost.
    #[inline]
    pub(super) fn known(future: F, known: Known, again: Option<Again<R, E>>) -> Self {
        Self {
            kind: Kind::Known {
                future,
                known: Some(known),
                again,
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
            } => {
                let Poll::Ready(result) = future.poll(cx) else {
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

/// What became of a request of a session.
pub(super) enum Answered<R> {
    Given(Answer<R>),
    /// The inner service does not know its session any more, and has not executed the request.
    Lost(Known),
}

impl Known {
    #[inline]
    pub(super) fn new(busy: Busy, endpoint: Arc<Endpoint>, inner_id: Option<HeaderValue>) -> Self {
        let mut known = Self {
            busy,
            endpoint,
            beside: None,
        };
        if inner_id.is_some() {
            known.set_inner_id(inner_id);
        }
        known
    }

    /// The inner id that the request went in with.
    pub(super) fn inner_id(&self) -> Option<&HeaderValue> {
        self.beside.as_ref()?.inner_id.as_ref()
    }

    /// Notes the inner id that the request goes in with again.
    pub(super) fn set_inner_id(&mut self, inner_id: Option<HeaderValue>) {
        self.beside.get_or_insert_default().inner_id = inner_id;
    }

    /// The request, of which is taken down what is said if histories are on; so will its answer be.
    #[inline]
    pub(super) fn tapped<B>(
        &mut self,
        request: Request<RequestBody<B>>,
    ) -> Request<RequestBody<B>> {
        let Some(exchange) = Exchange::of(self.busy.session()) else {
            return request;
        };
        let tap = exchange.request(request.headers());
        self.beside.get_or_insert_default().exchange = Some(exchange);
        request.map(|body| body.tapped(tap))
    }

    /// The answer to a request of a session.
    #[inline]
    pub(super) fn answer<R>(self, mut response: Response<R>) -> Answered<R>
    where
        R: Body<Data = Bytes>,
    {
        self.close_stray(&mut response);
        if self.inner_id().is_some() && response.status() == StatusCode::NOT_FOUND {
            return Answered::Lost(self);
        }
        Answered::Given(self.held(response))
    }

    /// The same where 404 says nothing of sessions.
    pub(super) fn answer_as_it_is<R>(self, mut response: Response<R>) -> Answer<R>
    where
        R: Body<Data = Bytes>,
    {
        self.close_stray(&mut response);
        self.held(response)
    }

    /// The answer with its body, which holds the session busy.
    #[inline]
    fn held<R>(self, response: Response<R>) -> Answer<R>
    where
        R: Body<Data = Bytes>,
    {
        let mut answer = response.map(ResponseBody::passed);
        if let Some(exchange) = self.beside.and_then(|beside| beside.exchange) {
            let tap = exchange.answer(answer.headers());
            answer.body_mut().set_tap(tap);
        }
        let is_stream = answer.body().is_stream(answer.headers());
        answer.body_mut().hold(self.busy, is_stream);
        answer
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
        reply::refuse(Refusal::SessionNotFound, None)
    }

    /// Ends a session of the inner service inside one of ours: nobody could ever reach it.
    fn close_stray<R>(&self, response: &mut Response<R>) {
        let stray = inner::take_id(response.headers_mut());
        if let Some(id) = stray.filter(|id| self.inner_id() != Some(id))
            && let Some(closer) = self.endpoint.closer.get()
        {
            closer.close(id, self.endpoint.address_of(self.busy.session()));
        }
    }
}
