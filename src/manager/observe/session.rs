//! What an observer sees of a session.

use std::fmt;
use std::sync::Arc;

use crate::manager::live::LiveSession;
use crate::protocol::ProtocolVersion;
use crate::session::{ClientInfo, Fingerprint, Principal, SessionKey, Timestamp};

/// A session as an [`Observer`](super::Observer) sees it: everything but its id.
///
/// Cheap to clone. It shows the session as this instance knows it when it is asked, which may be later than the event.
/// As long as it is kept, so is what this instance holds of the session in memory, with its values.
#[derive(Clone)]
pub struct ObservedSession(Arc<LiveSession>);

impl ObservedSession {
    pub(in crate::manager) fn new(session: &Arc<LiveSession>) -> Self {
        Self(Arc::clone(session))
    }

    /// The digest that stores know the session by: one for each pair of audience and id.
    pub fn key(&self) -> SessionKey {
        self.0.key()
    }

    /// A short digest of the id, for logs.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.id().fingerprint()
    }

    /// Who began the session, if the layer knows principals
    /// ([`SessionLayer::with_principal`](crate::SessionLayer::with_principal)).
    pub fn principal(&self) -> Option<Principal> {
        self.0.principal()
    }

    /// What the client says it is, which it may change at will.
    pub fn client_info(&self) -> Option<ClientInfo> {
        self.0.record().handshake().client_info()
    }

    /// The negotiated version.
    pub fn protocol_version(&self) -> ProtocolVersion {
        self.0.record().handshake().version()
    }

    /// When the session began.
    pub fn created(&self) -> Timestamp {
        self.0.record().created()
    }

    /// When the session was last used, as far as this instance knows; exact to a second.
    pub fn last_activity(&self) -> Timestamp {
        self.0.last_seen()
    }

    /// The endpoint that the session belongs to
    /// ([`SessionLayer::with_audience`](crate::SessionLayer::with_audience)).
    pub fn audience(&self) -> &str {
        self.0.audience()
    }
}

/// Shows the fingerprint alone.
impl fmt::Debug for ObservedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObservedSession")
            .field(&self.fingerprint())
            .finish()
    }
}
