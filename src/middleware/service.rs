//! The service that the layer makes: decides at once what it can, and lets the rest wait.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::body::RequestBody;
use super::endpoint::{Endpoint, First};
use super::future::{Passing, ResponseFuture};
use super::inner::{Address, Closer, InnerService, Spare};
use super::known::Known;
use super::paths::{Arrival, Kept, arrive, may_resume, swap_id};
use super::reply;
use crate::manager::{Busy, LiveSession, SessionContext};
use crate::protocol::error::Refusal;
use crate::protocol::header::{self, Lines, Present};
use crate::protocol::request::Decision;
use crate::session::Timestamp;

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

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if !self.endpoint.concerns(request.uri().path()) {
            return ResponseFuture::untouched(self.inner.call(request.map(RequestBody::unread)));
        }
        self.endpoint.manager.keep();
        self.closer();
        // From here to the inner service the request stays in one piece: its parts are large, and each move costs.
        let allowed = &self.endpoint.options.allowed;
        if let Some(refusal) = allowed.refusal(request.uri(), request.headers()) {
            return self.refuse(None, refusal);
        }
        let lines = Lines::of(request.headers());
        let present = lines.present;
        match self.endpoint.first_look(&request, &lines) {
            First::Passes(decision) => self.pass(request, decision, present),
            First::Live(session, now) => match self.endpoint.enter(session, now, &mut request) {
                Some(busy) => self.call_in_session(request, busy, present, now),
                None => self.wait(request),
            },
            First::Refused(refusal) => self.refuse(None, refusal),
            First::Waits => self.wait(request),
        }
    }
}

impl<S> Session<S> {
    /// Calls the inner service without a session.
    #[inline]
    fn pass<B, R>(
        &mut self,
        mut request: Request<B>,
        decision: Decision,
        present: Present,
    ) -> ResponseFuture<S::Future, R, S::Error>
    where
        S: InnerService<B, R>,
        B: Send + 'static,
        R: Send + 'static,
    {
        // Wire rules 64, 73 and 84: neither of them reaches the inner service.
        if present.session_id {
            request.headers_mut().remove(header::SESSION_ID);
        }
        let is_modern = decision == Decision::Modern;
        if is_modern && present.last_event_id {
            request.headers_mut().remove(header::LAST_EVENT_ID);
        }
        // Wire rule 71. A modern request that names its method is no initialize, or the inner service refuses it.
        let may_mint = request.method() == Method::POST && !(is_modern && present.method);
        let minter = may_mint.then(|| {
            let address = Address::of(request.uri(), request.headers());
            Box::new((self.closer().clone(), address))
        });
        let passing = Passing {
            modern: is_modern.then(|| Arc::clone(&self.endpoint)),
            minter,
        };
        let request = request.map(RequestBody::unread);
        ResponseFuture::passthrough(self.inner.call(request), passing)
    }

    /// Calls the inner service, `now`, in a session that lives here.
    #[inline]
    fn call_in_session<B, R>(
        &mut self,
        mut request: Request<B>,
        busy: Busy,
        present: Present,
        now: Timestamp,
    ) -> ResponseFuture<S::Future, R, S::Error>
    where
        S: InnerService<B, R>,
        B: Body<Data = Bytes> + Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
    {
        if present.last_event_id && !may_resume(request.method(), busy.session()) {
            return self.refuse(Some(busy.session()), Refusal::UnknownLastEventId);
        }
        self.endpoint.manager.events().used(busy.session(), now);
        let inner_id = swap_id(request.headers_mut(), busy.session());
        let context = SessionContext::live(Arc::clone(busy.session()));
        request.extensions_mut().insert(context);
        let mut known = Known::new(busy, Arc::clone(&self.endpoint), inner_id);
        let request = known.tapped(request.map(RequestBody::unread));
        let span = known.busy.session().span_if_read();
        let entered = span.as_ref().map(|span| span.enter());
        if known.inner_id().is_none() || !self.endpoint.replays() {
            let future = self.inner.call(request);
            drop(entered);
            return ResponseFuture::known(future, known, None, span);
        }
        let (request, kept) = Kept::of(request);
        let again = kept.later(Arc::clone(&self.spare), self.closer().clone());
        let future = self.inner.call(request);
        drop(entered);
        ResponseFuture::known(future, known, Some(again), span)
    }

    /// Goes the way of a request that must wait, with a fresh copy of the inner service.
    fn wait<B, R>(&mut self, request: Request<B>) -> ResponseFuture<S::Future, R, S::Error>
    where
        S: InnerService<B, R>,
        B: Body<Data = Bytes> + Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
    {
        let fresh = self.release_ready();
        let (parts, body) = request.into_parts();
        let arrival = Arrival {
            inner: fresh,
            endpoint: Arc::clone(&self.endpoint),
            closer: self.closer().clone(),
            parts,
        };
        ResponseFuture::session(Box::pin(arrive(arrival, body)))
    }

    /// Answers without the inner service.
    fn refuse<F, R, E>(
        &mut self,
        session: Option<&Arc<LiveSession>>,
        refusal: Refusal,
    ) -> ResponseFuture<F, R, E>
    where
        S: Clone,
        R: Send + 'static,
        E: Send + 'static,
    {
        drop(self.release_ready());
        let answer = reply::refuse(&self.endpoint, session, refusal, None);
        ResponseFuture::session(Box::pin(std::future::ready(Ok(answer))))
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

    fn closer<B, R>(&self) -> &Closer
    where
        S: InnerService<B, R>,
        B: Send + 'static,
        R: Send + 'static,
    {
        self.endpoint.closer.get_or_init(|| {
            let closers = self.endpoint.manager.closers();
            Closer::new(Arc::clone(&self.spare), closers)
        })
    }
}

impl<S> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
