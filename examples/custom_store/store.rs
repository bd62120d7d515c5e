//! A store of your own, which keeps the whole contract: `store_contract!` tries it in `tests/examples.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;
use tower_mcp_session::store::{EXPIRED_GRACE, Revision, StoreError, StoreErrorKind, Stored};
use tower_mcp_session::{
    NewSession, SessionId, SessionKey, SessionRecord, SessionStore, Timestamp,
};

/// Rows of JSON in a map behind one lock, where yours has a table of a database.
#[derive(Debug, Default)]
pub(crate) struct JsonStore(Mutex<BTreeMap<SessionKey, Row>>);

#[derive(Debug)]
struct Row {
    /// None once the session was deleted: the row stays, so that nobody creates its id again.
    record: Option<String>,
    revision: Revision,
    last_activity: Timestamp,
    idle_deadline: Timestamp,
    absolute_end: Timestamp,
}

impl Row {
    fn is_alive(&self, now: Timestamp) -> bool {
        self.record.is_some() && now < self.idle_deadline
    }
}

#[async_trait::async_trait]
impl SessionStore for JsonStore {
    async fn create(&self, candidate: &SessionId, new: NewSession) -> Result<Stored, StoreError> {
        let stored = Stored::created(candidate.clone(), new);
        let mut rows = self.0.lock().await;
        if rows.contains_key(&stored.key) {
            return Err(StoreErrorKind::AlreadyExists.into());
        }
        let row = Row {
            record: Some(write(&stored.record)?),
            revision: stored.revision,
            last_activity: stored.last_activity,
            idle_deadline: stored.idle_deadline,
            absolute_end: stored.record.absolute_end(),
        };
        rows.insert(stored.key, row);
        Ok(stored)
    }

    async fn load(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        let key = SessionKey::new(audience, id);
        let rows = self.0.lock().await;
        let Some(row) = rows.get(&key).filter(|row| row.is_alive(now)) else {
            return Ok(None);
        };
        // What cannot be read is an error: another version may read it. That of serde may quote the session's values.
        let record: SessionRecord = serde_json::from_str(row.record.as_deref().unwrap_or_default())
            .map_err(|_| StoreErrorKind::Corrupt)?;
        let (revision, used, deadline) = (row.revision, row.last_activity, row.idle_deadline);
        Ok(Some(Stored::loaded(
            id.clone(),
            key,
            record,
            revision,
            used,
            deadline,
        )))
    }

    async fn save(
        &self,
        key: &SessionKey,
        record: Arc<SessionRecord>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        let mut rows = self.0.lock().await;
        let row = rows.get_mut(key).filter(|row| row.record.is_some());
        let row = row.ok_or(StoreErrorKind::Gone)?;
        if row.revision != expected {
            return Err(StoreErrorKind::Conflict.into());
        }
        row.record = Some(write(&record)?);
        row.revision = expected.next();
        row.absolute_end = record.absolute_end();
        row.idle_deadline = row.idle_deadline.min(row.absolute_end);
        Ok(row.revision)
    }

    async fn touch(
        &self,
        key: &SessionKey,
        now: Timestamp,
        idle_deadline: Option<Timestamp>,
    ) -> Result<Option<Revision>, StoreError> {
        let mut rows = self.0.lock().await;
        let row = rows.get_mut(key).filter(|row| row.is_alive(now));
        Ok(row.map(|row| {
            if let Some(deadline) = idle_deadline {
                row.last_activity = row.last_activity.max(now);
                row.idle_deadline = row.idle_deadline.max(deadline.min(row.absolute_end));
            }
            row.revision
        }))
    }

    async fn delete(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError> {
        let mut rows = self.0.lock().await;
        let Some(row) = rows.get_mut(key) else {
            return Ok(false);
        };
        let was_alive = row.is_alive(now);
        row.record = None;
        Ok(was_alive)
    }

    async fn delete_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        let mut rows = self.0.lock().await;
        rows.retain(|_, row| row.record.is_some() || now < row.absolute_end);
        let due = now.saturating_sub(EXPIRED_GRACE);
        let due = rows
            .iter()
            .filter(|(_, row)| row.record.is_some() && due >= row.idle_deadline);
        let due: Vec<SessionKey> = due.map(|(key, _)| *key).take(limit).collect();
        due.iter().for_each(|key| drop(rows.remove(key)));
        Ok(due)
    }
}

fn write(record: &SessionRecord) -> Result<String, StoreError> {
    serde_json::to_string(record)
        .map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))
}
