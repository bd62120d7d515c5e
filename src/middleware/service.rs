//! The service that the layer makes: decides at once what it can, and lets the rest wait.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::body::RequestBody;
use super::endpoint::{Endpoint, First};
use super::future::{Known, Passing, ResponseFuture};
use super::inner::{Address, Closer, InnerService, Spare};
use super::paths::{Arrival, arrive, enter, may_resume};
use super::reply;
use crate::manager::{Busy, Use};
use crate::protocol::error::Refusal;
use crate::protocol::header;
use crate::protocol::request::Decision;

/// A service with sessions: what [`SessionLayer`](crate::SessionLayer) makes of the service inside it.
pub struct Session<S> {
    inner: S,
    spare: Spare<S>,
    endpoint: Arc<Endpoint>,
}

impl<S: Clone> Session<S> {
    pub(super) fn new(inner: S, endpoint: Arc<Endpoint>) -> Self {
        let spare = Arc::new(Mutex::new(inner.clone()));
        Self {
            inner,
            spare,
            endpoint,
        }
    }
}

impl<S: Clone> Clone for Session<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            spare: Arc::clone(&self.spare),
            endpoint: Arc::clone(&self.endpoint),
        }
    }
}

impl<S, B, R> Service<Request<B>> for Session<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<super::ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !self.endpoint.concerns(request.uri().path()) {
            return ResponseFuture::untouched(self.inner.call(request.map(RequestBody::unread)));
        }
        self.endpoint.manager.keep();
        let (parts, body) = request.into_parts();
        if let Some(refusal) = self.endpoint.options.allowed.refusal(&parts) {
            return self.refuse(refusal);
        }
        match self.endpoint.first_look(&parts) {
            First::Passes(decision) => self.pass(parts, body, decision),
            First::Known(busy) => self.call_in_session(parts, body, busy),
            First::Refused(refusal) => self.refuse(refusal),
            First::Waits => self.wait(parts, body),
        }
    }
}

impl<S> Session<S> {
    /// Calls the inner service without a session.
    fn pass<B, R>(
        &mut self,
        mut parts: Parts,
        body: B,
        decision: Decision,
    ) -> ResponseFuture<S::Future, R, S::Error>
    where
        S: InnerService<B, R>,
        B: Send + 'static,
        R: Send + 'static,
    {
        // Wire rules 64, 73 and 84: neither of them reaches the inner service.
        parts.headers.remove(header::SESSION_ID);
        let is_modern = decision == Decision::Modern;
        if is_modern {
            parts.headers.remove(header::LAST_EVENT_ID);
        }
        // Wire rule 71. A modern request that names its method is no initialize, or the inner service refuses it.
        let may_mint = parts.method == Method::POST
            && !(is_modern && parts.headers.contains_key(header::METHOD));
        let passing = Passing {
            modern: is_modern.then(|| Arc::clone(&self.endpoint)),
            minter: may_mint.then(|| (self.closer(), Address::of(&parts.uri, &parts.headers))),
        };
        let future = self
            .inner
            .call(Request::from_parts(parts, RequestBody::unread(body)));
        ResponseFuture::passthrough(future, passing)
    }

    /// Calls the inner service in a session that lives here.
    fn call_in_session<B, R>(
        &mut self,
        mut parts: Parts,
        body: B,
        busy: Busy,
    ) -> ResponseFuture<S::Future, R, S::Error>
    where
        S: InnerService<B, R>,
        B: Send + 'static,
        R: Send + 'static,
    {
        if busy.kind() == Use::Stream && !may_resume(&parts, busy.session()) {
            return self.refuse(Refusal::UnknownLastEventId);
        }
        let inner_id = enter(&mut parts, &busy);
        let known = Known {
            busy,
            endpoint: Arc::clone(&self.endpoint),
            inner_id,
            closer: self.closer(),
        };
        let future = self
            .inner
            .call(Request::from_parts(parts, RequestBody::unread(body)));
        ResponseFuture::known(future, known)
    }

    /// Goes the way of a request that must wait, with a fresh copy of the inner service.
    fn wait<B, R>(&mut self, parts: Parts, body: B) -> ResponseFuture<S::Future, R, S::Error>
    where
        S: InnerService<B, R>,
        B: Body<Data = Bytes> + Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
    {
        let fresh = self.release_ready();
        let arrival = Arrival {
            inner: fresh,
            endpoint: Arc::clone(&self.endpoint),
            closer: self.closer(),
            parts,
        };
        ResponseFuture::session(Box::pin(arrive(arrival, body)))
    }

    /// Answers without the inner service.
    fn refuse<F, R, E>(&mut self, refusal: Refusal) -> ResponseFuture<F, R, E>
    where
        S: Clone,
        R: Send + 'static,
        E: Send + 'static,
    {
        drop(self.release_ready());
        ResponseFuture::session(Box::pin(std::future::ready(Ok(reply::refuse(
            refusal, None,
        )))))
    }

    /// Drops the ready service, which may hold a permit that another request needs; gives a copy that is not ready.
    fn release_ready(&mut self) -> S
    where
        S: Clone,
    {
        let fresh = self.inner.clone();
        drop(mem::replace(&mut self.inner, fresh.clone()));
        fresh
    }

    fn closer<B, R>(&self) -> Closer
    where
        S: InnerService<B, R>,
        B: Send + 'static,
        R: Send + 'static,
    {
        Closer::new(Arc::clone(&self.spare), self.endpoint.manager.closers())
    }
}

impl<S> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
