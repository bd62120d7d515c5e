//! What goes along with a request of a session, from its arrival to its answer.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;

use super::body::{Exchange, RequestBody, ResponseBody};
use super::endpoint::Endpoint;
use super::inner;
use super::reply::{self, Answer};
use crate::manager::{Busy, EndReason};
use crate::protocol::error::Refusal;

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
    exchange: Option<Exchange>,
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

    /// The request as it is sent again.
    pub(super) fn tapped_again<B>(
        &self,
        request: Request<RequestBody<B>>,
    ) -> Request<RequestBody<B>> {
        let exchange = self.beside.as_ref().and_then(|it| it.exchange.as_ref());
        let tap = exchange.and_then(|exchange| exchange.request_again(request.headers()));
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
        if let Some(id) = stray.filter(|id| self.inner_id() != Some(id))
            && let Some(closer) = self.endpoint.closer.get()
        {
            closer.close(id, self.endpoint.address_of(self.busy.session()));
        }
    }
}
