//! Histories: each in a file of its own beside that of its session, and changed under the same lock.

use super::entry::{self, Found, torn};
use super::folder::{Folder, part_of, unavailable};
use super::platform;
use super::sealed::{self, Form, Sealed};
use crate::config;
use crate::session::{History, HistoryLimits, Message, SessionKey, Timestamp};
use crate::store::{StoreError, StoreErrorKind};

pub(super) fn append(
    folder: &Folder,
    key: &SessionKey,
    now: Timestamp,
    messages: Vec<Message>,
    limits: HistoryLimits,
) -> Result<(), StoreError> {
    let lock = folder.lock(part_of(key))?;
    must_be_alive(folder, key, now)?;
    let mut history = open(folder, key)?;
    history.append(messages, limits);
    let json = serde_json::to_vec(&history)
        .map_err(|error| StoreError::new(StoreErrorKind::Unsupported, error))?;
    if json.len() > FORM.most {
        return Err(StoreErrorKind::TooLarge.into());
    }
    let path = folder.history(key);
    folder.make_room_for(&path).map_err(unavailable)?;
    lock.replace(&path, &FORM.seal(key.as_bytes(), &json))
}

/// Takes no lock: the file is looked at first, and was that of a session which is alive after it.
pub(super) fn read(
    folder: &Folder,
    key: &SessionKey,
    now: Timestamp,
) -> Result<History, StoreError> {
    let history = open(folder, key);
    let found = entry::ask(folder, key)?;
    let is_alive = found.is_some_and(|(_, last_use)| !last_use.is_over(now));
    match is_alive {
        true => history,
        false => Err(StoreErrorKind::Gone.into()),
    }
}

pub(super) fn clear(folder: &Folder, key: &SessionKey, now: Timestamp) -> Result<(), StoreError> {
    let _lock = folder.lock(part_of(key))?;
    must_be_alive(folder, key, now)?;
    let path = folder.history(key);
    let removed = sealed::remove(&path).and_then(|()| match path.parent() {
        Some(place) if place.exists() => platform::sync_folder(place),
        _ => Ok(()),
    });
    removed.map_err(unavailable)
}

/// Under the lock, where no `append` is under way.
fn must_be_alive(folder: &Folder, key: &SessionKey, now: Timestamp) -> Result<(), StoreError> {
    match Found::under(folder, key, false).map_err(unavailable)? {
        Found::Alive(entry) if !entry.last_use.is_over(now) => Ok(()),
        Found::Nothing | Found::Ended(_) | Found::Alive(_) => Err(StoreErrorKind::Gone.into()),
        Found::Torn(_) => Err(torn()),
    }
}

/// A session to which nothing was said has none.
fn open(folder: &Folder, key: &SessionKey) -> Result<History, StoreError> {
    let path = folder.history(key);
    match FORM.read(&path, key.as_bytes()).map_err(unavailable)? {
        Sealed::Nothing => Ok(History::default()),
        // Without the error: its text may quote what was said.
        Sealed::Whole(json) => serde_json::from_slice(&json).map_err(|_| torn()),
        Sealed::Torn => Err(torn()),
    }
}

const FORM: Form = Form {
    mark: b"mcp-his\x01",
    most: config::MAX_FILE_HISTORY,
};
