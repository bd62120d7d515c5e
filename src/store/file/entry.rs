//! A session's file: what it says, and what is written into it in place.
//!
//! Readers take no lock. What is written in place while they read may look torn to them: then they look again under the
//! lock, and only what is torn there is.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};

use super::folder::{Folder, part_of, unavailable};
use super::format::{self, BEGINNING, Beginning, Head, LastUse, MARK, MARK_AT};
use super::platform;
use crate::session::{SessionKey, SessionRecord, Timestamp};
use crate::store::{StoreError, StoreErrorKind};

/// What lies under a key.
pub(super) enum Found {
    Nothing,
    /// A deleted session; with the time until which the key must not be used again, if that can be read.
    Ended(Option<Timestamp>),
    Alive(Entry),
    /// A file that is no session's, or part of one's.
    Torn(File),
}

/// The file of a session that was not deleted.
pub(super) struct Entry {
    file: File,
    pub(super) head: Head,
    pub(super) last_use: LastUse,
    /// Where the next last use goes.
    place: u64,
}

/// A session, read to its end.
pub(super) struct Session {
    pub(super) head: Head,
    pub(super) last_use: LastUse,
    pub(super) record: SessionRecord,
}

impl Found {
    /// Looks under `key`, to read only or, under the lock, to write too.
    pub(super) fn under(folder: &Folder, key: &SessionKey, write: bool) -> io::Result<Self> {
        let mut options = platform::options();
        let file = match options.read(true).write(write).open(folder.file(key)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return folder.check_sign().map(|()| Self::Nothing);
            }
            opened => opened?,
        };
        let mut bytes = Vec::with_capacity(BEGINNING);
        (&file).take(BEGINNING as u64).read_to_end(&mut bytes)?;
        Ok(match Beginning::parse(key, &bytes) {
            Beginning::Alive(head, last_use) if file.metadata()?.len() == head.file_length() => {
                Self::Alive(Entry {
                    file,
                    head,
                    last_use,
                    place: format::place_to_write(key, &bytes, &last_use),
                })
            }
            Beginning::Ended(until) => Self::Ended(until),
            Beginning::Alive(..) | Beginning::Torn => Self::Torn(file),
        })
    }
}

impl Entry {
    /// Notes a use that is no earlier than the last one. It is not synced: a power cut may undo it, and harms nothing
    /// else.
    pub(super) fn write_last_use(&mut self, key: &SessionKey, last_use: LastUse) -> io::Result<()> {
        write_at(&mut self.file, self.place, &last_use.bytes(key))
    }

    /// Marks the session as deleted, on the disk.
    pub(super) fn end(self) -> io::Result<()> {
        end(self.file)
    }

    /// The record's bytes, whatever they are.
    pub(super) fn into_record(mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(BEGINNING as u64))?;
        let most = self.head.file_length();
        self.file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The whole session; `None` if its record is torn.
    pub(super) fn into_session(self) -> io::Result<Option<Session>> {
        let (head, last_use) = (self.head, self.last_use);
        let bytes = self.into_record()?;
        // Without the error: its text may quote what the session holds.
        let record = serde_json::from_slice(&bytes).ok();
        let record = record.filter(|_| head.fits(&bytes));
        Ok(record.map(|record| Session {
            head,
            last_use,
            record,
        }))
    }
}

/// Marks a file as that of a deleted session, on the disk. That takes no room, so it works on a full one.
pub(super) fn end(mut file: File) -> io::Result<()> {
    write_at(&mut file, MARK_AT as u64, MARK)?;
    file.sync_data()?;
    // What the session held goes now rather than with the mark. If that fails, it goes with the mark.
    file.set_len(BEGINNING as u64).unwrap_or_default();
    Ok(())
}

/// The session under `key`, unless it was deleted.
pub(super) fn read(folder: &Folder, key: &SessionKey) -> Result<Option<Session>, StoreError> {
    settled(folder, key, |found| match found {
        Found::Alive(entry) => Ok(entry.into_session()?.map(Some)),
        Found::Nothing | Found::Ended(_) => Ok(Some(None)),
        Found::Torn(_) => Ok(None),
    })
}

/// What the file of the session under `key` says before its record, unless it was deleted.
pub(super) fn ask(
    folder: &Folder,
    key: &SessionKey,
) -> Result<Option<(Head, LastUse)>, StoreError> {
    settled(folder, key, |found| {
        Ok(match found {
            Found::Alive(entry) => Some(Some((entry.head, entry.last_use))),
            Found::Nothing | Found::Ended(_) => Some(None),
            Found::Torn(_) => None,
        })
    })
}

/// That a file cannot be read, which is not that there is none.
pub(super) fn torn() -> StoreError {
    StoreError::new(
        StoreErrorKind::Corrupt,
        "a file of the session store is torn",
    )
}

/// What `read` makes of the file under `key`; if that is nothing, what it makes of it under the lock.
fn settled<T>(
    folder: &Folder,
    key: &SessionKey,
    read: impl Fn(Found) -> io::Result<Option<T>>,
) -> Result<T, StoreError> {
    let look = || {
        Found::under(folder, key, false)
            .and_then(&read)
            .map_err(unavailable)
    };
    if let Some(result) = look()? {
        return Ok(result);
    }
    let _lock = folder.lock(part_of(key))?;
    look()?.ok_or_else(torn)
}

fn write_at(file: &mut File, at: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}
