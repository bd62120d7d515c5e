//! A request whose inner session was lost: the session is restored, and the request sent again, once.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request};
use http_body::Body;

use super::known::{enter, may_resume, open};
use super::restore::{Unrestored, restore};
use crate::manager::{LiveSession, Lost, flag};
use crate::middleware::body::{KeptBody, RequestBody};
use crate::middleware::future::Boxed;
use crate::middleware::inner::{Closer, InnerService, Spare, call_in};
use crate::middleware::known::{Answered, Known};
use crate::middleware::replay::Replay;
use crate::middleware::reply::{self, Answer};
use crate::protocol::cause::Unavailable;
use crate::protocol::error::Refusal;
use crate::protocol::header;

/// Sends a request again. Called if the inner service does not know the session that it went in with.
pub(in crate::middleware) type Again<R, E> = Box<dyn FnOnce(Known) -> Boxed<R, E> + Send>;

/// A request as it went in.
pub(in crate::middleware) struct Kept<B> {
    parts: Parts,
    body: KeptBody<B>,
}

impl<B> Kept<B> {
    /// The request, and a copy of its head with a hold on its body.
    pub(in crate::middleware) fn of(
        request: Request<RequestBody<B>>,
    ) -> (Request<RequestBody<B>>, Self) {
        let (parts, body) = request.into_parts();
        let (body, kept) = body.keep();
        let again = Self {
            parts: parts.clone(),
            body: kept,
        };
        (Request::from_parts(parts, body), again)
    }

    /// Sends it again through a copy of the service that `spare` keeps, when the time comes.
    pub(in crate::middleware) fn later<S, R>(
        self,
        spare: Spare<S>,
        closer: Closer,
    ) -> Again<R, S::Error>
    where
        S: InnerService<B, R>,
        B: Body<Data = Bytes> + Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
    {
        Box::new(move |known| {
            let inner = spare
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clone();
            Box::pin(self.again(inner, closer, known))
        })
    }

    /// Restores the session of `known`, whose inner session is lost, and sends the request again.
    pub(in crate::middleware) async fn again<S, R>(
        mut self,
        mut inner: S,
        closer: Closer,
        mut known: Known,
    ) -> Result<Answer<R>, S::Error>
    where
        S: InnerService<B, R>,
        B: Body<Data = Bytes> + Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
    {
        known.busy.wait();
        let session = Arc::clone(known.busy.session());
        if let Err(answer) = self.restored(inner.clone(), closer, &known).await {
            return Ok(answer);
        }
        if let Some(refusal) = self.refusal(&session) {
            let endpoint = &known.endpoint;
            return Ok(reply::refuse(endpoint, Some(&session), refusal, None));
        }
        let Some(body) = RequestBody::again(&self.body) else {
            return Ok(lost(&known));
        };
        let is_post = self.parts.method == Method::POST;
        // The replay may have said for the client what this request says.
        let body = match open(&known.endpoint, is_post, body, &session, None).await {
            Ok(body) => body,
            Err(unopened) => return Ok(unopened.answer(&known.endpoint, &session, None)),
        };
        let inner_id = enter(&mut self.parts, &known.busy);
        known.set_inner_id(inner_id);
        let request = known.tapped_again(Request::from_parts(self.parts, body));
        let response = call_in(&session, &mut inner, request).await?;
        Ok(match known.answer(response) {
            Answered::Given(answer) => answer,
            Answered::Lost(known) => lost(&known),
        })
    }

    /// Sees to it that the session of `known` has another inner session; the answer, if it does not get one.
    async fn restored<S, R>(&self, inner: S, closer: Closer, known: &Known) -> Result<(), Answer<R>>
    where
        S: InnerService<B, R>,
        B: Body<Data = Bytes> + Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
    {
        let now = known.endpoint.manager.core().now();
        let session = known.busy.session();
        let refuse = |refusal| reply::refuse(&known.endpoint, Some(session), refusal, None);
        match session.note_lost(known.inner_id(), now) {
            // The next request restores it: this one cannot be sent again.
            Lost::Dormant if !self.body.is_whole() => return Err(lost(known)),
            Lost::Dormant => {}
            Lost::Moved if !session.has(flag::SUSPENDED) => return Ok(()),
            Lost::Moved => return Err(refuse(Refusal::Unavailable(Unavailable::Suspended))),
            Lost::TooSoon => return Err(lost(known)),
        }
        let replay = Replay::new(inner, closer, &known.endpoint, &self.parts);
        match restore::<S, B, R>(&known.endpoint, Arc::clone(session), replay).await {
            Ok(restored) if Arc::ptr_eq(&restored, session) => Ok(()),
            Ok(_) => Err(lost(known)),
            Err(Unrestored::Refused(refusal)) => Err(refuse(refusal)),
            Err(Unrestored::Answered(answer)) => Err(answer),
        }
    }

    /// Why it may not go in again, if so.
    fn refusal(&self, session: &LiveSession) -> Option<Refusal> {
        if session.has_ended() {
            return Some(Refusal::SessionNotFound);
        }
        let resumes = self.parts.headers.contains_key(header::LAST_EVENT_ID);
        (resumes && !may_resume(&self.parts.method, session)).then_some(Refusal::UnknownLastEventId)
    }
}

/// The answer to a request whose inner session is lost, and which cannot be sent again.
fn lost<R>(known: &Known) -> Answer<R> {
    let (endpoint, session) = (&known.endpoint, known.busy.session());
    reply::unavailable(endpoint, Some(session), Unavailable::InnerSessionLost, None)
}
