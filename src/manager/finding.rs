//! Finding the session of an id: here, or in the store.

use std::sync::Arc;

use super::live::LiveSession;
use super::{SessionManager, flag};
use crate::session::{OwnerTag, Principal, SessionId, Timestamp};
use crate::store::{Recognition, Revision, StoreError, StoreErrorKind};

impl SessionManager {
    /// The session `id` if this instance holds it: one look-up, nothing asked.
    pub(crate) fn live(&self, id: &SessionId) -> Option<Arc<LiveSession>> {
        self.shared.table.get(id)
    }

    /// The session `id` of `audience` if this instance holds it and a request may be served at once at `now`.
    pub(crate) fn fresh(
        &self,
        id: &SessionId,
        audience: &str,
        now: Timestamp,
    ) -> Option<Arc<LiveSession>> {
        self.shared.table.get_if(id, |session| {
            session.audience() == audience && session.is_fresh(now)
        })
    }

    /// The session `id` of `audience` if it is alive and belongs to `principal`, asking the store where needed.
    ///
    /// Unknown, expired, ended and foreign are all `None`: nobody can tell them apart (promise 6). One that must be
    /// restored before it is served is dormant.
    pub(crate) async fn find(
        &self,
        audience: &Arc<str>,
        id: &SessionId,
        principal: Option<&Principal>,
    ) -> Result<Option<Arc<LiveSession>>, StoreError> {
        match self.live(id) {
            Some(session)
                if session.audience() != &**audience || !session.belongs_to(principal) =>
            {
                Ok(None)
            }
            Some(session) if session.is_detached() => {
                // On its way out of the table, and alive in the store.
                self.remove(&session);
                self.look_up(audience, id, principal).await
            }
            Some(session) => self.ask(session).await,
            None => self.look_up(audience, id, principal).await,
        }
    }

    /// A session that only the store knows, and that a request asks for.
    ///
    /// A suspended one is taken up by nobody. The store hears here that its client asks: one that was told to try
    /// again must not lose its session by it.
    async fn look_up(
        &self,
        audience: &Arc<str>,
        id: &SessionId,
        principal: Option<&Principal>,
    ) -> Result<Option<Arc<LiveSession>>, StoreError> {
        let Some(session) = self.load(audience, id, principal).await? else {
            return Ok(None);
        };
        let now = self.core.now();
        let tells = session.has(flag::SUSPENDED) && session.must_tell(now, false);
        if tells && !self.touch(&session, now, false, true).await? {
            return Ok(None);
        }
        Ok(Some(session))
    }

    /// Asks the store about a session that is held here; `None` if it is over.
    pub(super) async fn ask(
        &self,
        session: Arc<LiveSession>,
    ) -> Result<Option<Arc<LiveSession>>, StoreError> {
        if session.has_ended() {
            return Ok(None);
        }
        let now = self.core.now();
        if !self
            .touch(&session, now, session.has(flag::HALF_OPEN), false)
            .await?
        {
            self.end_gone(&session);
            return Ok(None);
        }
        session.see_exactly(now);
        Ok(Some(session))
    }

    /// Asks the store for the session at `now`, and takes over what it has; says whether it is alive. It lasts from
    /// now on as a half-open one or as a used one does.
    ///
    /// The store hears of the use at most once in a touch interval, unless it `must`: asking writes nothing.
    pub(super) async fn touch(
        &self,
        session: &Arc<LiveSession>,
        now: Timestamp,
        half_open: bool,
        must: bool,
    ) -> Result<bool, StoreError> {
        if !self.core.capabilities.idle_expiry {
            let alive = self.reload(session, now).await?;
            session.set_told(now, now);
            session.set_asked(now);
            return Ok(alive);
        }
        if !self.recognizes(session, now) {
            return Ok(false);
        }
        let key = session.key();
        let busy = session.is_busy(now);
        let known_end = self.core.idle_deadline(session.told_use(), half_open);
        if now >= known_end && (busy || session.is_untold()) {
            // What the store was not told in time still counts: a session in use does not end because nobody wrote
            // it down. It was in use at `seen`, when the store still had it.
            let (seen, used) = if busy {
                (session.told_use(), now)
            } else {
                (session.last_seen(), session.last_seen())
            };
            self.core
                .touch(&key, seen, Some(self.core.idle_deadline(used, half_open)))
                .await?;
        }
        let tells = must || session.must_tell(now, half_open);
        let deadline = tells.then(|| self.core.idle_deadline(now, half_open));
        let Some(revision) = self.core.touch(&key, now, deadline).await? else {
            return Ok(false);
        };
        if tells {
            session.set_told(now, now);
        }
        session.set_asked(now);
        self.see_revision(session, revision, now).await
    }

    /// Whether the store still recognizes the id. It is touched by the key, which says less.
    pub(super) fn recognizes(&self, session: &LiveSession, now: Timestamp) -> bool {
        let (store, audience) = (&self.core.store, session.audience());
        store.recognize(audience, session.id(), now) != Recognition::Unknown
    }

    /// Reads the record again if it is not at `revision`; says whether the session is alive.
    pub(super) async fn see_revision(
        &self,
        session: &Arc<LiveSession>,
        revision: Revision,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if session.revision_is(revision) {
            return Ok(true);
        }
        self.reload(session, now).await
    }

    /// Notes that a request of the session came, and whether it finished the handshake.
    pub(crate) async fn note_use(
        &self,
        session: &Arc<LiveSession>,
        initialized: bool,
    ) -> Result<(), StoreError> {
        if session.has(flag::HALF_OPEN) {
            if !self.touch(session, self.core.now(), false, true).await? {
                self.end_gone(session);
                return Err(StoreErrorKind::Gone.into());
            }
            self.shared.admission.opened(session);
        }
        if !initialized || !session.has(flag::UNINITIALIZED) {
            return Ok(());
        }
        if self.core.capabilities.save {
            return session.write_initialized().await;
        }
        session.clear(flag::UNINITIALIZED);
        Ok(())
    }

    /// Reads the record again; says whether the session is alive.
    pub(super) async fn reload(
        &self,
        session: &Arc<LiveSession>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(stored) = self
            .core
            .load(session.audience(), session.id(), now)
            .await?
        else {
            return Ok(false);
        };
        session.replace(stored.record, stored.revision, None);
        Ok(true)
    }

    /// A session that only the store knows: dormant, and not in the table.
    pub(super) async fn load(
        &self,
        audience: &Arc<str>,
        id: &SessionId,
        principal: Option<&Principal>,
    ) -> Result<Option<Arc<LiveSession>>, StoreError> {
        let now = self.core.now();
        match self.core.store.recognize(audience, id, now) {
            Recognition::Unknown => return Ok(None),
            Recognition::Owned(owner) if !self.is_owner(id, owner.as_ref(), principal) => {
                return Ok(None);
            }
            Recognition::Owned(_) | Recognition::Possible => {}
        }
        let Some(stored) = self.core.load(audience, id, now).await? else {
            return Ok(None);
        };
        if !self.is_owner(&stored.id, stored.record.owner(), principal) {
            return Ok(None);
        }
        let handshake = self.shared_handshake(Arc::clone(stored.record.handshake()));
        let mut stored = stored;
        stored.record = Arc::new((*stored.record).clone().with_handshake(handshake));
        let flags = flag::RESTORED | flag::DORMANT;
        let session = Arc::new(LiveSession::new(self.home(audience), stored, flags, now));
        session.set_principal(principal.cloned());
        Ok(Some(session))
    }

    fn is_owner(
        &self,
        id: &SessionId,
        owner: Option<&OwnerTag>,
        principal: Option<&Principal>,
    ) -> bool {
        match (owner, principal) {
            (None, None) => true,
            (Some(owner), Some(principal)) => *owner == self.core.store.owner_tag(id, principal),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}
