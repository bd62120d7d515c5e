//! The handle that handlers use.

mod history;
mod values;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

pub use history::SessionHistory;

use super::live::LiveSession;
use super::pending::Pending;
use super::writing::SessionError;
use super::{EndReason, flag};
use crate::protocol::ProtocolVersion;
use crate::session::{
    ClientInfo, Fingerprint, Handshake, Principal, SessionId, SessionKey, SessionState, Timestamp,
};
use crate::store::StoreErrorKind;

/// The session of a request: the layer puts one into the extensions of each request that has a session.
///
/// Cheap to clone, and usable after the answer has begun and in tasks of its own. What is written goes to the store at
/// once, and later requests of the same session see it, on any instance that shares the store.
///
/// A session says who *began* it. Whether the present caller may do a thing is decided from the present request, by
/// your authentication: sessions must not be used for it (2025-11-25, security best practices).
///
/// # Limits
///
/// All values of a session together take at most 64 KiB
/// ([`SessionLayer::with_max_values_bytes`](crate::SessionLayer::with_max_values_bytes)).
///
/// # Examples
///
/// ```
/// use tower_mcp_session::{SessionContext, SessionError};
///
/// async fn next_number(session: SessionContext) -> Result<u64, SessionError> {
///     session.update("count", |count: Option<u64>| count.unwrap_or(0) + 1).await
/// }
/// ```
#[derive(Clone)]
pub struct SessionContext(Kind);

#[derive(Clone)]
enum Kind {
    Live(Arc<LiveSession>),
    Pending(Arc<Pending>),
}

/// What a [`SessionContext`] stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Scope {
    /// A session: all requests with one `Mcp-Session-Id`.
    Session,
    /// An initialize whose session has not begun yet, and will not if it fails. It has no id, and what is written
    /// becomes part of the session when it begins.
    Initialize,
}

impl SessionContext {
    pub(crate) fn live(session: Arc<LiveSession>) -> Self {
        Self(Kind::Live(session))
    }

    pub(crate) fn pending(pending: Arc<Pending>) -> Self {
        Self(Kind::Pending(pending))
    }

    /// What this context stands for now.
    pub fn scope(&self) -> Scope {
        match self.session() {
            Some(_) => Scope::Session,
            None => Scope::Initialize,
        }
    }

    /// The id that the client holds; `None` as long as there is no session: an initialize has a context too.
    ///
    /// # Security
    ///
    /// The id is a secret of the client. For logs there is [`SessionContext::fingerprint`].
    pub fn id(&self) -> Option<SessionId> {
        self.session().map(|session| session.id().clone())
    }

    /// A short digest of the id, for logs.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.session().map(|session| session.id().fingerprint())
    }

    /// The name the store keeps the session under: by it operators find it
    /// ([`Sessions`](crate::Sessions)).
    pub fn key(&self) -> Option<SessionKey> {
        self.session().map(|session| session.key())
    }

    /// What the client says it is, which it may change at will.
    pub fn client_info(&self) -> Option<ClientInfo> {
        self.with_handshake(Handshake::client_info)
    }

    /// The capabilities that the client named at initialize, as JSON.
    pub fn capabilities(&self) -> Option<Value> {
        self.with_handshake(Handshake::capabilities)
    }

    /// The params of the client's initialize as JSON text, without `_meta`.
    pub fn initialize_params(&self) -> Box<RawValue> {
        self.with_handshake(|handshake| handshake.params().to_owned())
    }

    /// The negotiated version: that of the server's answer. `None` before there is one.
    pub fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.session()
            .map(|session| session.record().handshake().version())
    }

    /// Who began the session, if the layer knows principals
    /// ([`SessionLayer::with_principal`](crate::SessionLayer::with_principal)).
    pub fn principal(&self) -> Option<Principal> {
        match &self.0 {
            Kind::Live(session) => session.principal(),
            Kind::Pending(pending) => pending.principal.clone(),
        }
    }

    /// When the session's initialize came.
    pub fn created(&self) -> Option<Timestamp> {
        self.session().map(|session| session.record().created())
    }

    /// When the session was last used, as far as this instance knows; exact to a second.
    pub fn last_activity(&self) -> Option<Timestamp> {
        self.session().map(|session| session.last_seen())
    }

    /// When the session ends if it is not used again; [`Timestamp::NEVER`] if it does not.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.session().map(|session| session.ends_at())
    }

    /// Where the session stands. Before it begins it is active.
    pub fn state(&self) -> SessionState {
        self.session().map_or(SessionState::Active, |session| {
            session.state(session.core().now())
        })
    }

    /// Whether this instance took the session over from the store, in place of having begun it.
    pub fn is_restored(&self) -> bool {
        self.session()
            .is_some_and(|session| session.has(flag::RESTORED))
    }

    /// Whether the session has ended, as far as this instance knows.
    pub fn has_ended(&self) -> bool {
        match (self.session(), &self.0) {
            (Some(session), _) => session.has_ended() || session.is_gone(),
            (None, Kind::Pending(pending)) => pending.failed.is_cancelled(),
            (None, Kind::Live(_)) => false,
        }
    }

    /// Waits for the end of the session, by whatever cause, or for its suspension. Work that belongs to a session
    /// selects on it.
    ///
    /// Where instances share a store, it ends also if this one needs the room of a session that nobody uses: the
    /// session lives on in the store, and this instance does not hear of its end any more.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at any time.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_mcp_session::SessionContext;
    ///
    /// async fn watch_a_file(session: SessionContext) {
    ///     tokio::select! {
    ///         () = session.cancelled() => {}
    ///         () = std::future::pending() => {}
    ///     }
    /// }
    /// ```
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + use<> {
        let kind = self.0.clone();
        async move {
            let session = match kind {
                Kind::Live(session) => session,
                Kind::Pending(pending) => match pending.outcome().await {
                    Some(session) => session,
                    None => return,
                },
            };
            // The token alone: waiting must not keep a session's memory.
            let ended = session.ended();
            drop(session);
            ended.cancelled_owned().await;
        }
    }

    /// Ends the session, on every instance that shares the store. Its next request is answered 404.
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`] if the store did not do it; nothing has changed then. Before the session has begun
    /// [`StoreErrorKind::Unsupported`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the session may or may not have ended.
    pub async fn end(&self) -> Result<(), SessionError> {
        let session = self.session().ok_or(StoreErrorKind::Unsupported)?;
        let manager = session.manager().ok_or(StoreErrorKind::Unavailable)?;
        // In a task of its own: whoever leaves does not leave half a session behind.
        let ending =
            tokio::spawn(async move { manager.terminate(&session, EndReason::Terminated).await });
        ending.await.map_err(|_| StoreErrorKind::OutcomeUnknown)??;
        Ok(())
    }

    /// Suspends the session: its requests are answered 503 until it is resumed, its record is kept.
    ///
    /// Its event streams end, here at once and on other instances within a touch interval: a handler that suspends its
    /// own session answers with a JSON body, or its answer does not arrive. Calls that are under way go on, and still
    /// read and write its values; [`SessionContext::cancelled`] tells those that ask.
    ///
    /// # Errors
    ///
    /// [`SessionError::State`] if it is suspended already; [`SessionError::Store`] if it has ended, or the store did
    /// not do it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the session may or may not have been suspended.
    pub async fn suspend(&self) -> Result<(), SessionError> {
        self.set_suspended(true).await
    }

    /// Resumes a suspended session.
    ///
    /// # Errors
    ///
    /// As for [`SessionContext::suspend`], if it is *not* suspended.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the session may or may not have been resumed.
    pub async fn resume(&self) -> Result<(), SessionError> {
        self.set_suspended(false).await
    }

    async fn set_suspended(&self, suspend: bool) -> Result<(), SessionError> {
        let session = self.session().ok_or(StoreErrorKind::Unsupported)?;
        session.set_suspended(suspend).await
    }

    /// The session, if there is one by now.
    fn session(&self) -> Option<Arc<LiveSession>> {
        match &self.0 {
            Kind::Live(session) => Some(Arc::clone(session)),
            Kind::Pending(pending) => pending.session(),
        }
    }

    fn with_handshake<R>(&self, f: impl FnOnce(&Handshake) -> R) -> R {
        match &self.0 {
            Kind::Live(session) => f(session.record().handshake()),
            Kind::Pending(pending) => f(&pending.asked),
        }
    }
}

impl fmt::Debug for SessionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionContext")
            .field("session", &self.fingerprint())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
