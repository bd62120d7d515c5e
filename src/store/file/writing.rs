//! What changes a session, each under the lock of its part of the folder.

use super::entry::{self, Found, torn};
use super::folder::{Folder, Lock, part_of, unavailable};
use super::format::{self, Head, LastUse};
use super::{bars, sealed};
use crate::config;
use crate::session::{SessionKey, SessionRecord, Timestamp};
use crate::store::{Revision, StoreError, StoreErrorKind, Stored};

pub(super) fn create(folder: &Folder, stored: &Stored) -> Result<(), StoreError> {
    let record = to_json(&stored.record)?;
    let lock = folder.lock(part_of(&stored.key))?;
    if bars::concern(folder, &stored.record)? {
        return Err(StoreErrorKind::Gone.into());
    }
    match Found::under(folder, &stored.key, false).map_err(unavailable)? {
        Found::Nothing => {}
        Found::Ended(_) | Found::Alive(_) | Found::Torn(_) => {
            return Err(StoreErrorKind::AlreadyExists.into());
        }
    }
    let end = stored.record.absolute_end();
    let head = Head::new(stored.revision, end, &record);
    let last_use = LastUse {
        activity: stored.last_activity,
        idle_deadline: stored.idle_deadline,
    };
    put(folder, &lock, &stored.key, head, last_use, &record)
}

pub(super) fn save(
    folder: &Folder,
    key: &SessionKey,
    record: &SessionRecord,
    expected: Revision,
) -> Result<Revision, StoreError> {
    let lock = folder.lock(part_of(key))?;
    let entry = match Found::under(folder, key, false).map_err(unavailable)? {
        Found::Alive(entry) => entry,
        Found::Nothing | Found::Ended(_) => return Err(StoreErrorKind::Gone.into()),
        Found::Torn(_) => return Err(torn()),
    };
    if entry.head.revision != expected {
        return Err(StoreErrorKind::Conflict.into());
    }
    let mut last_use = entry.last_use;
    let json = to_json(record)?;
    last_use.idle_deadline = last_use.idle_deadline.min(record.absolute_end());
    let head = Head::new(expected.next(), record.absolute_end(), &json);
    put(folder, &lock, key, head, last_use, &json)?;
    Ok(expected.next())
}

/// The record as JSON.
///
/// # Errors
///
/// [`StoreErrorKind::TooLarge`] if that is longer than the limit.
fn to_json(record: &SessionRecord) -> Result<Vec<u8>, StoreError> {
    let json = serde_json::to_vec(record)
        .map_err(|error| StoreError::new(StoreErrorKind::Unsupported, error))?;
    if json.len() > config::MAX_FILE_RECORD {
        return Err(StoreErrorKind::TooLarge.into());
    }
    Ok(json)
}

pub(super) fn touch(
    folder: &Folder,
    key: &SessionKey,
    now: Timestamp,
    idle_deadline: Timestamp,
) -> Result<Option<Revision>, StoreError> {
    let _lock = folder.lock(part_of(key))?;
    let mut entry = match Found::under(folder, key, true).map_err(unavailable)? {
        Found::Alive(entry) if !entry.last_use.is_over(now) => entry,
        Found::Nothing | Found::Ended(_) | Found::Alive(_) => return Ok(None),
        Found::Torn(_) => return Err(torn()),
    };
    let later = entry.last_use.later(LastUse {
        activity: now,
        idle_deadline: idle_deadline.min(entry.head.absolute_end),
    });
    if later != entry.last_use {
        entry.write_last_use(key, later).map_err(unavailable)?;
    }
    Ok(Some(entry.head.revision))
}

pub(super) fn delete(
    folder: &Folder,
    key: &SessionKey,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let _lock = folder.lock(part_of(key))?;
    let (existed, ended) = match Found::under(folder, key, true).map_err(unavailable)? {
        // If somebody died after the mark, this call is there to finish it.
        Found::Nothing | Found::Ended(_) => (false, Ok(())),
        Found::Alive(entry) => (!entry.last_use.is_over(now), entry.end()),
        // What it was nobody can tell any more; it was there.
        Found::Torn(file) => (true, entry::end(file)),
    };
    let removed = ended.and_then(|()| sealed::remove(&folder.history(key)));
    // It may be marked already.
    let unknown = |error| StoreError::new(StoreErrorKind::OutcomeUnknown, error);
    removed.map(|()| existed).map_err(unknown)
}

fn put(
    folder: &Folder,
    lock: &Lock,
    key: &SessionKey,
    head: Head,
    last_use: LastUse,
    record: &[u8],
) -> Result<(), StoreError> {
    let bytes = format::file(key, &head, &last_use, record);
    lock.replace(&folder.file(key), &bytes)
}
