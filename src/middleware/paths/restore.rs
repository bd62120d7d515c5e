//! A session that does not live here yet: the inner service hears of it, then its request goes the way of all others.

use std::sync::Arc;

use bytes::Bytes;
use http_body::Body;
use tracing::Instrument;

use super::Arrival;
use super::known::may_resume;
use crate::manager::{LiveSession, NotRestored, RestoreOutcome, flag};
use crate::middleware::endpoint::Endpoint;
use crate::middleware::inner::InnerService;
use crate::middleware::replay::Replay;
use crate::middleware::reply::Answer;
use crate::protocol::cause::Unavailable;
use crate::protocol::error::Refusal;
use crate::protocol::header;

/// Why a request is not served.
pub(super) enum Unrestored<R> {
    /// Not found, for one that is over or that nobody here takes up; unavailable, if later it may work.
    Refused(Refusal),
    /// What the inner service says to this caller.
    Answered(Answer<R>),
}

/// The session of a request, live here, if the request may go in.
pub(super) async fn run<S, B, R>(
    arrival: &mut Arrival<S>,
    session: Arc<LiveSession>,
) -> Result<Arc<LiveSession>, Unrestored<R>>
where
    S: InnerService<B, R>,
    B: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    if session.has(flag::SUSPENDED) {
        return Err(Unrestored::Refused(Refusal::Unavailable(
            Unavailable::Suspended,
        )));
    }
    let resumes = arrival.parts.headers.contains_key(header::LAST_EVENT_ID);
    if resumes && !may_resume(&arrival.parts.method, &session) {
        return Err(Unrestored::Refused(Refusal::UnknownLastEventId));
    }
    if !session.has(flag::DORMANT) {
        return Ok(session);
    }
    let replay = Replay::new(
        arrival.inner.clone(),
        arrival.closer.clone(),
        &arrival.endpoint,
        &arrival.parts,
    );
    restore::<S, B, R>(&arrival.endpoint, session, replay).await
}

/// Makes `session` live, by `replay` if the inner service must hear of it.
pub(super) async fn restore<S, B, R>(
    endpoint: &Endpoint,
    session: Arc<LiveSession>,
    replay: Replay<S>,
) -> Result<Arc<LiveSession>, Unrestored<R>>
where
    S: InnerService<B, R>,
    B: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    let mapped = session.record().mapped() || session.has(flag::MAPPED);
    let policy = endpoint.manager.core().config.restore;
    if mapped && !policy.replays(mapped) {
        return Err(Unrestored::Refused(Refusal::SessionNotFound));
    }
    let replay = policy
        .replays(mapped)
        .then_some(move |session: Arc<LiveSession>| {
            let span = session.span();
            replay.clone().run::<B, R>(session).instrument(span)
        });
    match endpoint.manager.restore(session, replay).await {
        Ok(RestoreOutcome::Restored(session) | RestoreOutcome::AlreadyPresent(session)) => {
            Ok(session)
        }
        Ok(RestoreOutcome::NotSupported) | Err(NotRestored::Gone) => {
            Err(Unrestored::Refused(Refusal::SessionNotFound))
        }
        Err(NotRestored::Unavailable(cause)) => {
            Err(Unrestored::Refused(Refusal::Unavailable(cause)))
        }
        Err(NotRestored::Denied(answer)) => Err(Unrestored::Answered(answer)),
    }
}

/// The session of a call that never replays; `None` if it is over meanwhile.
pub(super) async fn load_only(
    endpoint: &Endpoint,
    session: Arc<LiveSession>,
) -> Result<Option<Arc<LiveSession>>, Unavailable> {
    if !session.has(flag::DORMANT) {
        return Ok(Some(session));
    }
    let mapped = session.record().mapped();
    let replays = mapped || endpoint.manager.core().config.restore.replays(mapped);
    endpoint.manager.hold(session, replays).await
}
