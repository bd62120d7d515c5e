//! The beginning of a session in the store.

use std::sync::Arc;

use tracing::debug;

use super::admission::Reservation;
use super::inner_session::InnerSession;
use super::live::LiveSession;
use super::{EndReason, SessionManager, flag};
use crate::session::{
    Handshake, NewSession, Principal, SessionId, SessionKey, SessionRecord, Timestamp, Values,
};
use crate::store::{StoreError, StoreErrorKind, Stored};

/// What a session begins with.
pub(crate) struct Beginning {
    /// When its initialize came. An operator who ends all sessions of a principal ends those, too, that are under way.
    pub(crate) requested: Timestamp,
    pub(crate) audience: Arc<str>,
    pub(crate) principal: Option<Principal>,
    pub(crate) handshake: Handshake,
    pub(crate) values: Values,
    pub(crate) inner: Option<InnerSession>,
}

impl SessionManager {
    /// Makes a session of what was settled at initialize; the store decides whether there is one.
    pub(crate) async fn commit(
        &self,
        room: Reservation,
        beginning: Beginning,
    ) -> Result<Arc<LiveSession>, StoreError> {
        let now = self.core.now();
        let stored = self.create(&beginning, now).await?;
        let home = self.home(&beginning.audience);
        let session = Arc::new(LiveSession::new(home, stored, flag::HALF_OPEN, now));
        session.set_principal(beginning.principal);
        if beginning.inner.is_some() {
            session.set_inner(beginning.inner);
        }
        // Before anybody can find it, and end it.
        self.events().created(&session);
        let inserted = self.shared.table.insert_if(Arc::clone(&session), || true);
        if inserted.is_err() {
            self.events().ended(&session, EndReason::Abandoned);
            return Err(StoreErrorKind::AlreadyExists.into());
        }
        room.seat(&session);
        debug!(session = %session.id().fingerprint(), "session created");
        Ok(session)
    }

    async fn create(&self, beginning: &Beginning, now: Timestamp) -> Result<Stored, StoreError> {
        let mut tries = 0;
        loop {
            let id = SessionId::random()
                .map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?;
            let new = self.new_session(&id, beginning, now);
            match self.core.create(&id, new).await {
                Err(error) if error.kind() == StoreErrorKind::AlreadyExists && tries < TRIES => {
                    tries += 1;
                }
                Err(error) => {
                    if error.kind() == StoreErrorKind::OutcomeUnknown {
                        self.take_back(SessionKey::new(&beginning.audience, &id), now);
                    }
                    return Err(error);
                }
                Ok(stored) => return Ok(stored),
            }
        }
    }

    /// Deletes, in a task of its own, a session that may have been created all the same: nobody has its id. If that
    /// fails too, it expires half-open.
    fn take_back(&self, key: SessionKey, now: Timestamp) {
        let core = Arc::clone(&self.core);
        drop(tokio::spawn(async move { core.delete(&key, now).await }));
    }

    fn new_session(&self, id: &SessionId, beginning: &Beginning, now: Timestamp) -> NewSession {
        let owner = beginning
            .principal
            .as_ref()
            .map(|principal| self.core.store.owner_tag(id, principal));
        let handshake = self.shared_handshake(Arc::new(beginning.handshake.clone()));
        // Not from now on: a store may refuse a life that is longer than was agreed, be it by a millisecond.
        let end = self.core.absolute_end(beginning.requested);
        let record = SessionRecord::new(beginning.requested, end, owner, handshake)
            .with_values(beginning.values.clone())
            .with_mapped(beginning.inner.is_some());
        NewSession::new(
            Arc::clone(&beginning.audience),
            record,
            now,
            self.core.idle_deadline(now, true),
        )
    }
}

/// How often an id that is taken is followed by another. One never is, among 2 to the 128.
const TRIES: u32 = 3;
