//! Owners whose sessions were all ended: a mark for each, which `create` looks at, in a file named by the owner's tag.
//!
//! `bar` first puts the mark, then goes through the parts of the folder under their locks. A `create` that has not seen
//! the mark had its lock before, and is done by then.

use std::io;

use super::entry::Found;
use super::folder::{Folder, part_of, unavailable};
use super::sealed::{self, Form, Sealed};
use crate::session::{OwnerTag, SessionKey, SessionRecord, Timestamp};
use crate::store::StoreError;

/// What a mark says.
#[derive(Clone, Copy)]
pub(super) struct Bar {
    not_before: Timestamp,
    /// When it may be forgotten.
    until: Timestamp,
}

impl Bar {
    pub(super) fn new(not_before: Timestamp, until: Timestamp) -> Self {
        Self { not_before, until }
    }

    /// Puts the mark of `owner`, or moves it forward. Gives what it says now.
    pub(super) fn put(self, folder: &Folder, owner: &OwnerTag) -> Result<Self, StoreError> {
        let lock = folder.lock(owner.as_bytes()[0])?;
        let before = Self::of(folder, owner).map_err(unavailable)?;
        let bar = before.map_or(self, |before| Self {
            not_before: self.not_before.max(before.not_before),
            until: self.until.max(before.until),
        });
        let numbers = [bar.not_before, bar.until];
        let content = numbers.map(|time| time.as_millis().to_be_bytes()).concat();
        let path = folder.mark(owner);
        folder.make_room_for(&path).map_err(unavailable)?;
        lock.replace(&path, &FORM.seal(owner.as_bytes(), &content))?;
        Ok(bar)
    }

    /// The mark of `owner`. One that cannot be read says nothing: the sessions that were there are ended without it.
    fn of(folder: &Folder, owner: &OwnerTag) -> io::Result<Option<Self>> {
        let sealed = FORM.read(&folder.mark(owner), owner.as_bytes())?;
        let Sealed::Whole(content) = sealed else {
            return Ok(None);
        };
        let number = |at: usize| {
            let bytes = content.get(at..at + 8)?.try_into().ok()?;
            Some(Timestamp::from_millis(u64::from_be_bytes(bytes)))
        };
        Ok(number(0)
            .zip(number(8))
            .map(|(not_before, until)| Self { not_before, until }))
    }

    /// Ends the sessions of `owner` in a part of the folder. One that cannot be reached does not save the others.
    pub(super) fn end_sessions(
        self,
        folder: &Folder,
        part: u8,
        owner: &OwnerTag,
    ) -> Result<(), StoreError> {
        if !folder.has_part(part).map_err(unavailable)? {
            return Ok(());
        }
        let _lock = folder.lock(part)?;
        let keys = folder.names(part).map_err(unavailable)?.keys;
        let mut first_failure = Ok(());
        for key in keys {
            let ended = self.end_session(folder, &key, owner);
            first_failure = first_failure.and(ended);
        }
        first_failure.map_err(unavailable)
    }

    fn end_session(self, folder: &Folder, key: &SessionKey, owner: &OwnerTag) -> io::Result<()> {
        let Found::Alive(entry) = Found::under(folder, key, false)? else {
            return Ok(());
        };
        let session = entry.into_session()?;
        let concerned = session.is_some_and(|session| {
            session.record.owner() == Some(owner) && session.record.created() <= self.not_before
        });
        if !concerned {
            return Ok(());
        }
        if let Found::Alive(entry) = Found::under(folder, key, true)? {
            entry.end()?;
        }
        sealed::remove(&folder.history(key))
    }
}

/// Whether the session of `record` was ended with all others of its owner.
pub(super) fn concern(folder: &Folder, record: &SessionRecord) -> Result<bool, StoreError> {
    let Some(owner) = record.owner() else {
        return Ok(false);
    };
    let bar = Bar::of(folder, owner).map_err(unavailable)?;
    Ok(bar.is_some_and(|bar| record.created() <= bar.not_before))
}

/// Removes marks whose time had passed at `due`, and those that say nothing.
pub(super) fn clean(folder: &Folder, due: Timestamp) -> Result<(), StoreError> {
    for name in folder.marks().map_err(unavailable)?.keys {
        let owner = OwnerTag::from(*name.as_bytes());
        let is_over = || -> io::Result<bool> {
            let bar = Bar::of(folder, &owner)?;
            Ok(bar.is_none_or(|bar| bar.until <= due))
        };
        if !is_over().map_err(unavailable)? {
            continue;
        }
        let _lock = folder.lock(part_of(&name))?;
        // It may have been moved meanwhile.
        if is_over().map_err(unavailable)? {
            sealed::remove(&folder.mark(&owner)).map_err(unavailable)?;
        }
    }
    Ok(())
}

const FORM: Form = Form {
    mark: b"mcp-bar\x01",
    most: 16,
};
