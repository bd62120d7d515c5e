//! The beginning of a session, whichever request it begins with.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http_body::Body;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::warn;

use crate::manager::{
    Beginning, Busy, Full, InnerSession, LiveSession, Pending, Reservation, SessionContext, Use,
};
use crate::middleware::endpoint::{Endpoint, PrincipalUnknown};
use crate::middleware::inner::Address;
use crate::middleware::reply::{self, Answer};
use crate::protocol::ProtocolVersion;
use crate::protocol::cause::Unavailable;
use crate::protocol::error::Refusal;
use crate::protocol::header;
use crate::session::{Handshake, OwnerTag, Principal, Timestamp};
use crate::store::StoreErrorKind;

/// A request that may begin a session, with the room for it.
pub(super) struct Admitted {
    requested: Timestamp,
    endpoint: Arc<Endpoint>,
    audience: Arc<str>,
    principal: Option<Principal>,
    params: Box<RawValue>,
    room: Reservation,
    pending: Staged,
    pub(super) address: Address,
    _permit: OwnedSemaphorePermit,
}

/// Why no session has begun.
#[derive(Clone, Copy, Debug)]
pub(super) enum NotBegun {
    /// None can begin now; later one may.
    NotNow(Unavailable),
    /// The store will never keep what this client says of itself.
    TooLarge,
}

impl From<NotBegun> for Refusal {
    fn from(not_begun: NotBegun) -> Self {
        match not_begun {
            NotBegun::NotNow(cause) => Self::Unavailable(cause),
            NotBegun::TooLarge => Self::TooLarge,
        }
    }
}

/// Makes room for the session that a request may begin.
pub(super) async fn admit(
    endpoint: &Arc<Endpoint>,
    parts: &Parts,
    params: Box<RawValue>,
) -> Result<Admitted, NotBegun> {
    let manager = &endpoint.manager;
    if manager.is_draining() {
        return Err(NotBegun::NotNow(Unavailable::Draining));
    }
    // Before it is asked who is calling: what is said of a principal later counts for this one too.
    let requested = manager.core().now();
    let principal = endpoint
        .principal(parts)
        .map_err(|PrincipalUnknown| NotBegun::NotNow(Unavailable::PrincipalUnknown))?;
    let permit = Arc::clone(manager.initializes())
        .try_acquire_owned()
        .map_err(|_| NotBegun::NotNow(Unavailable::Busy))?;
    let room = manager
        .admit(principal.as_ref().map(OwnerTag::of), true)
        .await
        .map_err(|Full(cause)| {
            warn!(sessions = manager.len(), "no room for another session");
            NotBegun::NotNow(cause)
        })?;
    let asked = Handshake::new(params.clone(), ProtocolVersion::ASSUMED);
    let pending = Pending::new(Arc::clone(manager.core()), principal.clone(), asked);
    Ok(Admitted {
        requested,
        endpoint: Arc::clone(endpoint),
        audience: Arc::from(endpoint.audience(parts)),
        principal,
        params,
        room,
        pending: Staged(pending),
        address: Address::of(&parts.uri, &parts.headers),
        _permit: permit,
    })
}

impl Admitted {
    /// The context for the request: its writes are staged.
    pub(super) fn context(&self) -> SessionContext {
        SessionContext::pending(Arc::clone(&self.pending.0))
    }

    /// Makes the session. Its id goes out with `answer`; if the store fails, the error tells so and nothing has begun.
    pub(super) async fn commit<R: Body<Data = Bytes>>(
        self,
        mut answer: Answer<R>,
        version: ProtocolVersion,
        inner: Option<InnerSession>,
    ) -> Result<Begun<R>, NotBegun> {
        let Self {
            requested,
            endpoint,
            audience,
            principal,
            params,
            room,
            address,
            pending,
            ..
        } = self;
        if inner.is_some() {
            endpoint.note_address(&address);
        }
        let values = pending.0.seal();
        let handshake = Handshake::new(params, version);
        let beginning = Beginning {
            requested,
            audience,
            principal,
            handshake,
            values,
            inner,
        };
        let session = endpoint
            .manager
            .commit(room, beginning)
            .await
            .map_err(|error| {
                warn!(%error, "session not created");
                match error.kind() {
                    StoreErrorKind::TooLarge => NotBegun::TooLarge,
                    _ => NotBegun::NotNow(Unavailable::Store),
                }
            })?;
        pending.0.begin(Arc::clone(&session));
        answer
            .headers_mut()
            .insert(header::SESSION_ID, session.id().to_header_value());
        reply::not_cached(&mut answer);
        if let Some(busy) = Busy::begin(Arc::clone(&session), Use::Request) {
            let is_stream = answer.body().is_stream(answer.headers());
            answer.body_mut().hold(busy, is_stream);
        }
        Ok(Begun {
            answer,
            unclaimed: Unclaimed(Some((endpoint, session))),
        })
    }
}

/// Runs the beginning of a session in a task of its own, and gives its answer to the client if it is still there.
/// `None` if the inner service panicked: its panic ended the task, and nothing is left of the session.
pub(super) async fn in_a_task<R, E>(
    begin: impl Future<Output = Result<Begun<R>, E>> + Send + 'static,
) -> Option<Result<Answer<R>, E>>
where
    R: Send + 'static,
    E: Send + 'static,
{
    let (told, answered) = oneshot::channel();
    drop(tokio::spawn(async move {
        // If the client has left, what was begun is dropped here, and ends.
        drop(told.send(begin.await));
    }));
    answered.await.ok().map(|begun| begun.map(Begun::claim))
}

/// A context whose session fails unless it has begun by the end.
struct Staged(Arc<Pending>);

impl Drop for Staged {
    fn drop(&mut self) {
        self.0.fail();
    }
}

/// An answer on its way to the client, with the session that begins if the client gets it.
pub(super) struct Begun<R> {
    answer: Answer<R>,
    unclaimed: Unclaimed,
}

impl<R> Begun<R> {
    pub(super) fn without_session(answer: Answer<R>) -> Self {
        Self {
            answer,
            unclaimed: Unclaimed(None),
        }
    }

    /// The client is there: the session is its own.
    pub(super) fn claim(mut self) -> Answer<R> {
        self.unclaimed.0 = None;
        self.answer
    }
}

/// A session whose client has not got its id. Dropped, it ends: nobody could ever use it.
struct Unclaimed(Option<(Arc<Endpoint>, Arc<LiveSession>)>);

impl Drop for Unclaimed {
    fn drop(&mut self) {
        let Some((endpoint, session)) = self.0.take() else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let manager = endpoint.manager.clone();
        drop(runtime.spawn(async move { manager.abandon(&session).await }));
    }
}
