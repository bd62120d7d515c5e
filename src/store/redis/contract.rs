//! The contract, in commands.

use std::sync::Arc;

use ::redis::cmd;
use async_trait::async_trait;

use super::RedisStore;
use super::errors::Effect;
use super::form::{self, revision, time};
use super::link::Request;
use super::scripts::{CREATE, DELETE, SAVE, ScriptCall, TOUCH};
use super::watches::{Question, Watches};
use crate::session::{NewSession, SessionId, SessionKey, SessionRecord, Timestamp};
use crate::store::{
    Capabilities, EXPIRED_GRACE, Revision, SessionStore, StoreError, StoreErrorKind, Stored,
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
        let created: bool = self.script(&call, Effect::Once).await?;
        if !created {
            self.no_answer(question);
            return Err(StoreErrorKind::AlreadyExists.into());
        }
        Ok(self.watched(stored, question))
    }

    async fn load(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        let key = SessionKey::new(audience, id);
        let keys = self.names.keys(&key);
        let mut command = cmd("MGET");
        command.arg(keys.record).arg(keys.last_use);
        let question = self.watches().map(|watches| watches.ask(key));
        let found: (Option<Vec<u8>>, Option<Vec<u8>>) = self
            .link
            .call(Request::Command(&command), Effect::None)
            .await?;
        match read(id, key, &found, now)? {
            Some(stored) => Ok(Some(self.watched(stored, question))),
            None => {
                self.no_answer(question);
                Ok(None)
            }
        }
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
        let removed = self
            .cleaner
            .clean(&self.link, &self.names, due, limit)
            .await?;
        removed.iter().for_each(|key| self.forget(key));
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

    async fn script<T: ::redis::FromRedisValue>(
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

    fn forget(&self, key: &SessionKey) {
        if let Some(watches) = self.watches() {
            watches.gone(key);
        }
    }
}

/// The session in what was found, if it is alive at `now`.
fn read(
    id: &SessionId,
    key: SessionKey,
    found: &(Option<Vec<u8>>, Option<Vec<u8>>),
    now: Timestamp,
) -> Result<Option<Stored>, StoreError> {
    let (Some(record), Some(last_use)) = found else {
        return Ok(None);
    };
    let Some((record, revision)) = form::read_record(record)? else {
        return Ok(None);
    };
    let (activity, deadline) = form::read_last_use(last_use)?;
    // A save may have moved the absolute end before the idle deadline.
    let deadline = deadline.min(record.absolute_end());
    let stored = Stored::loaded(id.clone(), key, record, revision, activity, deadline);
    Ok(Some(stored).filter(|stored| !stored.is_expired(now)))
}
