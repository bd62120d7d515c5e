//! Sessions as columns: keys are bytes, times and revisions are 64-bit integers with a sign, records are the bytes of JSON, which
//! no encoding of a database can harm.

use crate::session::{History, OwnerTag, SessionId, SessionKey, SessionRecord, Timestamp};
use crate::store::{ListedSession, Revision, SessionPage, StoreError, StoreErrorKind, Stored};

/// `record`, `revision`, `last_activity`, `idle_deadline`.
pub(super) type SessionRow = (Vec<u8>, i64, i64, i64);

/// `session_key`, and what a [`SessionRow`] has.
pub(super) type ListedRow = (Vec<u8>, Vec<u8>, i64, i64, i64);

/// Databases have no unsigned integers: the end of time is their largest number, and nothing else is.
pub(super) fn from_time(time: Timestamp) -> i64 {
    match time {
        Timestamp::NEVER => i64::MAX,
        time => i64::try_from(time.as_millis())
            .unwrap_or(i64::MAX)
            .min(i64::MAX - 1),
    }
}

pub(super) fn to_time(column: i64) -> Result<Timestamp, StoreError> {
    match column {
        i64::MAX => Ok(Timestamp::NEVER),
        column => u64::try_from(column)
            .map(Timestamp::from_millis)
            .map_err(|_| corrupt("a time before the epoch")),
    }
}

/// Keeps the bits: a revision beyond half of the range is a negative number.
pub(super) fn from_revision(revision: Revision) -> i64 {
    revision.number().cast_signed()
}

pub(super) fn to_revision(column: i64) -> Result<Revision, StoreError> {
    Revision::from_number(column.cast_unsigned()).ok_or_else(|| corrupt("a revision that is none"))
}

pub(super) fn from_record(record: &SessionRecord) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record).map_err(|_| corrupt("a record that is no JSON"))
}

pub(super) fn to_key(column: Vec<u8>) -> Result<SessionKey, StoreError> {
    <[u8; 32]>::try_from(column)
        .map(SessionKey::from)
        .map_err(|_| corrupt("a key that is no digest"))
}

pub(super) fn from_owner(owner: Option<&OwnerTag>) -> Option<Vec<u8>> {
    owner.map(|owner| owner.as_bytes().to_vec())
}

/// What the columns `owner` and `created` say of a record. One that cannot be read is nobody's, and never ends with
/// others.
pub(super) fn owner_and_creation(record: &[u8]) -> (Option<Vec<u8>>, i64) {
    match to_record(record) {
        Ok(record) => (from_owner(record.owner()), from_time(record.created())),
        Err(_) => (None, from_time(Timestamp::NEVER)),
    }
}

pub(super) fn from_history(history: &History) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(history).map_err(|_| corrupt("a history that is no JSON"))
}

/// A session to which nothing was said has none.
pub(super) fn to_history(column: Option<&[u8]>) -> Result<History, StoreError> {
    let Some(column) = column else {
        return Ok(History::default());
    };
    serde_json::from_slice(column)
        .map_err(|error| corrupt(format!("no history, from byte {} on", error.column())))
}

pub(super) fn to_stored(
    id: &SessionId,
    key: SessionKey,
    row: SessionRow,
) -> Result<Stored, StoreError> {
    let found = to_listed(key, row)?;
    Ok(Stored::loaded(
        id.clone(),
        found.key,
        found.record,
        found.revision,
        found.last_activity,
        found.idle_deadline,
    ))
}

pub(super) fn to_listed(
    key: SessionKey,
    (record, revision, last_activity, idle_deadline): SessionRow,
) -> Result<ListedSession, StoreError> {
    Ok(ListedSession::new(
        key,
        to_record(&record)?,
        to_revision(revision)?,
        to_time(last_activity)?,
        to_time(idle_deadline)?,
    ))
}

/// A page of rows that were asked for `limit` at once.
pub(super) fn to_page(rows: Vec<ListedRow>, limit: usize) -> Result<SessionPage, StoreError> {
    let (mut sessions, mut unreadable) = (Vec::new(), Vec::new());
    for (key, record, revision, last_activity, idle_deadline) in rows {
        let key = to_key(key)?;
        match to_listed(key, (record, revision, last_activity, idle_deadline)) {
            Ok(session) => sessions.push(session),
            Err(_) => unreadable.push(key),
        }
    }
    Ok(SessionPage::new(sessions, unreadable, limit))
}

fn to_record(column: &[u8]) -> Result<SessionRecord, StoreError> {
    // Not the error itself: its text may quote a value.
    serde_json::from_slice(column)
        .map_err(|error| corrupt(format!("no record, from byte {} on", error.column())))
}

fn corrupt(what: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_and_keep_their_order() {
        let mut last = i64::MIN;
        for millis in [0, 1, 1_800_000_000_000, i64::MAX as u64 - 1, u64::MAX] {
            let time = Timestamp::from_millis(millis);
            let column = from_time(time);
            assert!(column > last);
            assert_eq!(to_time(column).unwrap(), time);
            last = column;
        }
    }

    #[test]
    fn only_the_end_of_time_never_comes() {
        let far = Timestamp::from_millis(u64::MAX - 1);
        assert!(from_time(far) < from_time(Timestamp::NEVER));
    }

    #[test]
    fn each_revision_survives_and_no_other_number_is_one() {
        for number in [1, i64::MAX as u64, 1 << 63, u64::MAX - 1] {
            let revision = Revision::from_number(number).unwrap();
            assert_eq!(to_revision(from_revision(revision)).unwrap(), revision);
        }
        for column in [0, -1] {
            let kind = to_revision(column).unwrap_err().kind();
            assert_eq!(kind, StoreErrorKind::Corrupt);
        }
    }

    #[test]
    fn what_is_no_record_is_corrupt_and_not_quoted() {
        let id = SessionId::random().unwrap();
        for record in [
            "",
            "null",
            "{\"swordfish\":1}",
            "{\"schema\":\"swordfish\"}",
        ] {
            let row = (record.as_bytes().to_vec(), 1, 1, 1);
            let error = to_stored(&id, SessionKey::new("/", &id), row).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt);
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(!source.contains("swordfish"), "{source}");
        }
    }
}
