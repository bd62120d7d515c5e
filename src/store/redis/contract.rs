//! The contract, in commands.

use std::sync::Arc;

use async_trait::async_trait;

use super::RedisStore;
use super::errors::Effect;
use super::form::{self, revision, time};
use super::link::Request;
use super::scripts::{CREATE, DELETE, LOAD, SAVE, ScriptCall, TOUCH};
use super::watches::{Question, Watches};
use crate::session::{NewSession, SessionId, SessionKey, SessionRecord, Timestamp};
use crate::store::{
    Capabilities, EXPIRED_GRACE, HistoryStore, ListedSession, Revision, SessionIndex, SessionStore,
    StoreError, StoreErrorKind, Stored,
};

#[async_trait]
impl SessionStore for RedisStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            shared: true,
            watch: self.watches().is_some(),
            ..Capabilities::default()
        }
    }

    fn history(&self) -> Option<&dyn HistoryStore> {
        Some(self)
    }

    fn index(&self) -> Option<&dyn SessionIndex> {
        Some(self)
    }

    async fn create(&self, candidate: &SessionId, new: NewSession) -> Result<Stored, StoreError> {
        let stored = Stored::created(candidate.clone(), new);
        let (key, now) = (stored.key, stored.last_activity);
        let call = CREATE.call(
            self.names.keys(&key),
            [
                time(now),
                form::write_record(&stored.record, stored.revision)?,
                time(stored.record.absolute_end()),
                form::write_last_use(now, stored.idle_deadline),
                time(stored.idle_deadline),
            ],
        );
        let question = self.watches().map(|watches| watches.ask(key));
        let created: String = self.script(&call, Effect::Once).await?;
        let refusal = match created.as_str() {
            "created" => return Ok(self.watched(stored, question)),
            "gone" => StoreErrorKind::Gone,
            _ => StoreErrorKind::AlreadyExists,
        };
        self.no_answer(question);
        Err(refusal.into())
    }

    async fn load(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        let key = SessionKey::new(audience, id);
        let question = self.watches().map(|watches| watches.ask(key));
        let Some(session) = self.read(key, now).await? else {
            self.no_answer(question);
            return Ok(None);
        };
        let ListedSession {
            record,
            revision,
            last_activity,
            idle_deadline,
            ..
        } = session;
        let stored = Stored::loaded(
            id.clone(),
            key,
            record,
            revision,
            last_activity,
            idle_deadline,
        );
        Ok(Some(self.watched(stored, question)))
    }

    async fn save(
        &self,
        key: &SessionKey,
        record: Arc<SessionRecord>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        let next = expected.next();
        let text = form::write_record(&record, next)?;
        let arguments = [revision(expected), text, time(record.absolute_end())];
        let call = SAVE.call(self.names.keys(key), arguments);
        let saved: Result<String, StoreError> = self.script(&call, Effect::Once).await;
        if let Some(watches) = self.watches() {
            // Also after an error. The server's message may come a little later than its answer.
            watches.changed(key);
        }
        match saved?.as_str() {
            "saved" => Ok(next),
            "conflict" => Err(StoreErrorKind::Conflict.into()),
            _ => Err(StoreErrorKind::Gone.into()),
        }
    }

    async fn touch(
        &self,
        key: &SessionKey,
        now: Timestamp,
        idle_deadline: Option<Timestamp>,
    ) -> Result<Option<Revision>, StoreError> {
        let (deadline, effect) = match idle_deadline {
            Some(deadline) => (time(deadline), Effect::Repeatable),
            None => (Vec::new(), Effect::None),
        };
        let call = TOUCH.call(self.names.keys(key), [time(now), deadline]);
        let question = self.watches().and_then(|watches| watches.ask_again(*key));
        let found: Option<Vec<u8>> = self.script(&call, effect).await?;
        let Some(found) = found else { return Ok(None) };
        let revision = form::parse_revision(&found).ok_or(StoreErrorKind::Corrupt)?;
        if let (Some(watches), Some(question)) = (self.watches(), question) {
            watches.answer(question, revision);
        }
        Ok(Some(revision))
    }

    async fn delete(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError> {
        let arguments = [time(now), time(Timestamp::NEVER)];
        let call = DELETE.call(self.names.keys(key), arguments);
        let deleted = self.script(&call, Effect::Once).await?;
        self.forget(key);
        Ok(deleted)
    }

    async fn delete_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        let due = now.saturating_sub(EXPIRED_GRACE);
        let removed = self.cleaner.clean(self, due, limit).await?;
        self.cleaner.prune(self).await?;
        Ok(removed)
    }
}

impl RedisStore {
    fn watches(&self) -> Option<&Watches> {
        self.link
            .tracking
            .as_ref()
            .map(|tracking| &tracking.watches)
    }

    pub(super) async fn script<T: ::redis::FromRedisValue>(
        &self,
        call: &ScriptCall,
        effect: Effect,
    ) -> Result<T, StoreError> {
        self.link.call(Request::Script(call), effect).await
    }

    fn watched(&self, stored: Stored, question: Option<Question>) -> Stored {
        match (self.watches(), question) {
            (Some(watches), Some(question)) => {
                let watch = watches.answer(question, stored.revision);
                stored.with_watch(watch)
            }
            _ => stored,
        }
    }

    fn no_answer(&self, question: Option<Question>) {
        if let (Some(watches), Some(question)) = (self.watches(), question) {
            watches.nothing(question);
        }
    }

    /// The session as it is, if it is alive at `now`.
    pub(super) async fn read(
        &self,
        key: SessionKey,
        now: Timestamp,
    ) -> Result<Option<ListedSession>, StoreError> {
        let call = LOAD.call(self.names.keys(&key), []);
        let found: Option<(Vec<u8>, Vec<u8>)> = self.script(&call, Effect::None).await?;
        match found {
            Some(found) => form::read_session(key, &found, now),
            None => Ok(None),
        }
    }

    /// Tells those who watch a session that it is over.
    pub(super) fn forget(&self, key: &SessionKey) {
        if let Some(watches) = self.watches() {
            watches.gone(key);
        }
    }
}
