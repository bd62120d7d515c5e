//! Removing what is over, and what processes that died have left.

use std::collections::HashSet;
use std::ffi::OsString;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::warn;

use super::entry::Found;
use super::folder::{Folder, unavailable};
use super::jobs::Jobs;
use super::{bars, sealed};
use crate::clock;
use crate::config;
use crate::session::{SessionKey, Timestamp};
use crate::store::{EXPIRED_GRACE, StoreError};

/// Where clean-up stands, and which files it has complained of.
pub(super) struct Cleaner {
    folder: Folder,
    next_part: AtomicU8,
    reported: Mutex<HashSet<OsString>>,
}

/// What to look at once more in a part of the folder, under its lock.
struct Suspects {
    keys: Vec<SessionKey>,
    /// Whose histories lie there, and no session of that name.
    histories: Vec<SessionKey>,
    /// Whether a file that is about to get a session's name lies there.
    next: bool,
    looked_at: usize,
}

impl Suspects {
    fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.histories.is_empty() && !self.next
    }
}

impl Cleaner {
    pub(super) fn new(folder: Folder) -> Self {
        // Each process begins elsewhere.
        let first = u8::try_from(clock::spread(256)).unwrap_or_default();
        Self {
            folder,
            next_part: AtomicU8::new(first),
            reported: Mutex::default(),
        }
    }

    /// Removes at most `limit` sessions; begins where the last call has stopped.
    pub(super) async fn clean(
        self: &Arc<Self>,
        jobs: &Jobs,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        let due = now.saturating_sub(EXPIRED_GRACE);
        let folder = self.folder.clone();
        let marks = jobs.run(move || bars::clean(&folder, due)).await;
        let mut removed = Vec::new();
        let mut looked_at = 0;
        for _ in 0..=u8::MAX {
            if removed.len() >= limit || looked_at >= config::FILES_LOOKED_AT {
                break;
            }
            // Before the work: a part that fails, or takes so long that we are dropped, holds up no other.
            let part = self.next_part.fetch_add(1, Ordering::Relaxed);
            let cleaner = Arc::clone(self);
            let suspects = jobs.run(move || cleaner.look(part, due)).await?;
            looked_at += suspects.looked_at;
            if suspects.is_empty() {
                continue;
            }
            let (cleaner, room) = (Arc::clone(self), limit - removed.len());
            let remove = move || cleaner.remove(part, &suspects, due, room);
            removed.extend(jobs.run_in_turn(part, remove).await?);
            if removed.len() >= limit {
                self.next_part.store(part, Ordering::Relaxed);
            }
        }
        marks.map(|()| removed)
    }

    /// Without a lock: nobody waits while a whole part is read.
    fn look(&self, part: u8, due: Timestamp) -> Result<Suspects, StoreError> {
        let names = self.folder.names(part).map_err(unavailable)?;
        let histories = self.folder.history_names(part).map_err(unavailable)?;
        let looked_at = names.keys.len() + histories.keys.len();
        for name in names.foreign.into_iter().chain(histories.foreign) {
            if self.is_news(&name) {
                warn!("a file that is no session's lies in the session folder; it is left alone");
            }
        }
        let mut keys = names.keys;
        let mut without_session: HashSet<_> = histories.keys.into_iter().collect();
        keys.retain(|key| match Found::under(&self.folder, key, false) {
            Ok(Found::Ended(until)) => until.is_some_and(|until| due >= until),
            Ok(found) => {
                without_session.remove(key);
                is_due(&found, due) || matches!(found, Found::Torn(_))
            }
            Err(_) => {
                without_session.remove(key);
                true
            }
        });
        Ok(Suspects {
            keys,
            histories: without_session.into_iter().collect(),
            next: names.next,
            looked_at,
        })
    }

    fn remove(
        &self,
        part: u8,
        suspects: &Suspects,
        due: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        let lock = self.folder.lock(part)?;
        lock.remove_next().map_err(unavailable)?;
        for key in &suspects.histories {
            if let Ok(Found::Nothing | Found::Ended(_)) = Found::under(&self.folder, key, false) {
                sealed::remove(&self.folder.history(key)).map_err(unavailable)?;
            }
        }
        let mut removed = Vec::new();
        for key in &suspects.keys {
            if removed.len() >= limit {
                break;
            }
            match Found::under(&self.folder, key, false) {
                Ok(found) if is_due(&found, due) => {
                    // First: nobody would look for it any more.
                    sealed::remove(&self.folder.history(key)).map_err(unavailable)?;
                    sealed::remove(&self.folder.file(key)).map_err(unavailable)?;
                    if matches!(found, Found::Alive(_)) {
                        removed.push(*key);
                    }
                }
                Ok(Found::Torn(_)) | Err(_) => self.report(key),
                Ok(_) => {}
            }
        }
        Ok(removed)
    }

    fn report(&self, key: &SessionKey) {
        let name = key.to_string();
        if self.is_news(&OsString::from(&name)) {
            // Enough of the name to find the file by, and not the key (promise 11).
            let begins_with = &name[..REPORTED_DIGITS];
            warn!(
                begins_with,
                "the file of a session cannot be read; it is left alone"
            );
        }
    }

    /// Once for each file, and for a limited number of them: a clean-up comes by each minute.
    fn is_news(&self, name: &OsString) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        reported.len() < config::MAX_REPORTED_FILES && reported.insert(name.clone())
    }
}

/// Whether a file may go. A tombstone has its grace too: the clocks of others may be behind.
fn is_due(found: &Found, due: Timestamp) -> bool {
    match found {
        Found::Alive(entry) => entry.last_use.is_over(due),
        Found::Ended(until) => until.is_some_and(|until| due >= until),
        Found::Nothing | Found::Torn(_) => false,
    }
}

/// How much of a file's name a warning shows: in 100 000 files hardly two begin alike.
const REPORTED_DIGITS: usize = 10;
