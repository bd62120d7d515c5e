//! A session as operators see it, and which ones they ask for.

use std::sync::Arc;

use crate::config;
use crate::manager::live::LiveSession;
use crate::protocol::ProtocolVersion;
use crate::session::{
    ClientInfo, Fingerprint, OwnerTag, Principal, SessionKey, SessionRecord, SessionState,
    Timestamp,
};
use crate::store::ListedSession;

/// A session as operators see it: by its key, never by its id.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The name the store keeps it under.
    pub key: SessionKey,
    /// What logs call it, which only its id tells; `None` if it does not live on this instance, and in lists of a store
    /// that has an index.
    pub fingerprint: Option<Fingerprint>,
    /// Where it stands.
    pub state: SessionState,
    /// Whose it is; `None` if it began without a principal. To find out which one of your users that is, compare it
    /// with [`OwnerTag::of`] each.
    pub owner: Option<OwnerTag>,
    /// Who that is, where the fingerprint is known.
    pub principal: Option<Principal>,
    /// What the client says it is.
    pub client: Option<ClientInfo>,
    /// The negotiated version.
    pub protocol_version: ProtocolVersion,
    /// When its initialize came.
    pub created: Timestamp,
    /// When it was last used: exact to a second where the fingerprint is known, for uses on this instance; of others
    /// the store hears within a touch interval.
    pub last_activity: Timestamp,
    /// When it ends unless it is used.
    pub expires_at: Timestamp,
}

impl SessionInfo {
    /// As the store has it at `now`.
    pub(super) fn of_store(session: ListedSession, now: Timestamp) -> Self {
        let is_quiet = now.since(session.last_activity) >= config::IDLE_AFTER;
        let state = match (session.record.suspended(), is_quiet) {
            (true, _) => SessionState::Suspended,
            (false, true) => SessionState::Idle,
            (false, false) => SessionState::Active,
        };
        let expires_at = session.idle_deadline.min(session.record.absolute_end());
        let (activity, record) = (session.last_activity, &session.record);
        Self::new(session.key, record, state, activity, expires_at)
    }

    /// As it lives here at `now`.
    pub(super) fn of_live(session: &Arc<LiveSession>, now: Timestamp) -> Self {
        let (state, activity) = (session.state(now), session.last_seen());
        let ends = session.ends_at();
        let mut info = Self::new(session.key(), &session.record(), state, activity, ends);
        info.fingerprint = Some(session.id().fingerprint());
        info.principal = session.principal();
        // The record's tag may depend on the id.
        info.owner = session.group().or(info.owner);
        info
    }

    /// The same, with a use that only the store knows of: on another instance.
    pub(super) fn or_later(mut self, stored: Self) -> Self {
        if self.state == SessionState::Idle {
            self.state = stored.state;
        }
        self.last_activity = self.last_activity.max(stored.last_activity);
        self.expires_at = self.expires_at.max(stored.expires_at);
        self
    }

    fn new(
        key: SessionKey,
        record: &SessionRecord,
        state: SessionState,
        last_activity: Timestamp,
        expires_at: Timestamp,
    ) -> Self {
        Self {
            key,
            fingerprint: None,
            state,
            owner: record.owner().copied(),
            principal: None,
            client: record.handshake().client_info(),
            protocol_version: record.handshake().version(),
            created: record.created(),
            last_activity,
            expires_at,
        }
    }
}

/// Which sessions are asked for. Default: all.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::{Principal, SessionFilter, SessionState};
///
/// let filter = SessionFilter::default()
///     .with_state(SessionState::Idle)
///     .with_principal(&Principal::new("alice"));
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct SessionFilter {
    state: Option<SessionState>,
    pub(super) owner: Option<OwnerTag>,
    client: Option<Box<str>>,
    idle_since: Option<Timestamp>,
}

impl SessionFilter {
    /// Those that stand there.
    pub fn with_state(mut self, state: SessionState) -> Self {
        self.state = Some(state);
        self
    }

    /// Those of `principal`.
    pub fn with_principal(mut self, principal: &Principal) -> Self {
        self.owner = Some(OwnerTag::of(principal));
        self
    }

    /// Those whose client says it is called `name`.
    pub fn with_client(mut self, name: impl Into<Box<str>>) -> Self {
        self.client = Some(name.into());
        self
    }

    /// Those that were not used after `moment`.
    pub fn with_idle_since(mut self, moment: Timestamp) -> Self {
        self.idle_since = Some(moment);
        self
    }

    /// Whether `session` is one of them.
    pub(super) fn takes(&self, session: &SessionInfo) -> bool {
        let client = session.client.as_ref().map(|client| client.name.as_str());
        self.state.is_none_or(|state| session.state == state)
            && self.owner.is_none_or(|owner| session.owner == Some(owner))
            && self
                .client
                .as_deref()
                .is_none_or(|name| client == Some(name))
            && self
                .idle_since
                .is_none_or(|moment| session.last_activity <= moment)
    }
}

/// A page of a list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionListPage {
    /// The sessions, in the order of their keys. There may be fewer than were asked for, and none at all, on any page.
    pub sessions: Vec<SessionInfo>,
    /// Which ones cannot be read.
    pub unreadable: Vec<SessionKey>,
    /// What to ask the next page with; `None` if this is the last.
    pub next: Option<SessionKey>,
}
