//! What is kept, and whether it may be.
//!
//! An answer comes back some time after it was true. Whatever a call that ended meanwhile has changed, the answer must
//! not undo: each call takes a ticket before it asks, whatever changes a session makes the tickets for it void, and
//! an answer is kept only while its ticket counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::entry::{Asked, Entry};
use crate::session::{OwnerTag, SessionKey, SessionRecord, Timestamp};
use crate::sharded::Sharded;
use crate::store::{Revision, Stored};

/// How much may be kept.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) sessions: usize,
    pub(super) bytes: usize,
}

pub(super) struct Entries {
    table: Sharded<Box<Entry>>,
    /// The next ticket, each for all keys that begin alike.
    tickets: Box<[AtomicU64]>,
    sessions: AtomicUsize,
    bytes: AtomicUsize,
    /// The part at which the next eviction goes on.
    cursor: AtomicUsize,
}

/// A question under way.
pub(super) struct Reading {
    key: SessionKey,
    asked: Asked,
    ticket: u64,
}

/// A change under way. Whatever is kept of the session when it begins, and what is read of it meanwhile, is dropped when
/// it ends: also if it fails, or nobody waits for its outcome.
pub(super) struct Writing<'e> {
    entries: &'e Entries,
    key: SessionKey,
    before: Option<Box<Entry>>,
    ticket: u64,
    known: bool,
}

impl Entries {
    pub(super) fn new() -> Self {
        Self {
            table: Sharded::new(),
            tickets: (0..TICKETS).map(|_| AtomicU64::new(0)).collect(),
            sessions: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            cursor: AtomicUsize::new(0),
        }
    }

    /// What is kept of a session, if it holds at `now`.
    pub(super) fn get(
        &self,
        key: &SessionKey,
        now: Timestamp,
        staleness: Duration,
    ) -> Option<Box<Entry>> {
        self.table.get_if(key, |entry| {
            entry.holds(now, staleness) && !entry.seems_expired(now)
        })
    }

    /// Begins a question.
    pub(super) fn read(&self, key: SessionKey, asked: Asked) -> Reading {
        let ticket = self.ticket(&key).load(Ordering::Acquire);
        Reading { key, asked, ticket }
    }

    /// Keeps the answer to a question, unless something has happened to the session meanwhile.
    pub(super) fn fill(&self, reading: Reading, stored: &Stored, limits: Limits) {
        // Under another key than foreseen it may be over already: nobody would have told.
        if stored.key == reading.key {
            let entry = Entry::new(stored, reading.asked);
            self.keep(Box::new(entry), reading.ticket, limits);
        }
    }

    /// Begins a change.
    pub(super) fn write(&self, key: SessionKey) -> Writing<'_> {
        let ticket = self.void(&key);
        let before = self.take(&key);
        Writing {
            entries: self,
            key,
            before,
            ticket,
            known: false,
        }
    }

    /// Notes what the store inside said to a touch at `asked`.
    pub(super) fn touched(
        &self,
        key: &SessionKey,
        asked: Asked,
        idle_deadline: Option<Timestamp>,
        revision: Option<Revision>,
    ) {
        // What is being read may have an older deadline, or an older revision than this caller has seen.
        self.void(key);
        let confirmed = self.table.with_mut(key, |entry| {
            let entry = entry?;
            let same = revision == Some(entry.revision);
            if same {
                entry.confirm(asked, idle_deadline);
            }
            Some(same)
        });
        if confirmed == Some(false) || revision.is_none() {
            self.drop_of(key);
        }
    }

    /// Drops what is kept of a session, and what is being read of it.
    pub(super) fn drop_of(&self, key: &SessionKey) {
        self.void(key);
        self.take(key);
    }

    /// Drops what is kept of the sessions of `owner`, and all that is being read.
    pub(super) fn drop_owned(&self, owner: &OwnerTag) {
        // Whose session an answer on its way is, is not known yet.
        for ticket in &self.tickets {
            ticket.fetch_add(1, Ordering::AcqRel);
        }
        for part in 0..Sharded::<Box<Entry>>::SHARDS {
            self.retain(part, |entry| entry.record.owner() != Some(owner));
        }
    }

    /// Drops what holds no longer.
    pub(super) async fn clean_up(&self, now: Timestamp, staleness: Duration) {
        for part in 0..Sharded::<Box<Entry>>::SHARDS {
            self.retain(part, |entry| entry.holds(now, staleness));
            if part.is_multiple_of(PARTS_AT_ONCE) {
                tokio::task::yield_now().await;
            }
        }
    }

    fn ticket(&self, key: &SessionKey) -> &AtomicU64 {
        let [first, second, ..] = key.as_bytes();
        &self.tickets[usize::from(u16::from_be_bytes([*first, *second])) % TICKETS]
    }

    /// Makes all tickets void that were taken so far; gives one that counts.
    ///
    /// Before the entry is taken out: whoever puts one in looks at the ticket under the same lock, and is either
    /// refused or so early that it is taken out again.
    fn void(&self, key: &SessionKey) -> u64 {
        self.ticket(key).fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Keeps `entry` if `ticket` counts and there is room; says whether it did.
    fn keep(&self, entry: Box<Entry>, ticket: u64, limits: Limits) -> bool {
        let next = self.ticket(&entry.key);
        if next.load(Ordering::Acquire) != ticket {
            return false;
        }
        self.take(&entry.key);
        let size = entry.size();
        if !self.reserve(size, limits) {
            return false;
        }
        // Of two answers on their way the first one counts, for the second may be older.
        let counts = || {
            next.compare_exchange(ticket, ticket + 1, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        };
        let kept = self.table.insert_if(entry, counts).is_ok();
        if !kept {
            self.give_back(size);
        }
        kept
    }

    fn take(&self, key: &SessionKey) -> Option<Box<Entry>> {
        let taken = self.table.remove_if(key, |_| true)?;
        self.give_back(taken.size());
        Some(taken)
    }

    /// Counts an entry of this size; makes room first if need be.
    fn reserve(&self, size: usize, limits: Limits) -> bool {
        if size > limits.bytes || limits.sessions == 0 {
            return false;
        }
        for _ in 0..EVICTIONS {
            let sessions = self.sessions.fetch_add(1, Ordering::Relaxed);
            let bytes = self.bytes.fetch_add(size, Ordering::Relaxed);
            if sessions < limits.sessions && bytes + size <= limits.bytes {
                return true;
            }
            self.give_back(size);
            self.evict();
        }
        false
    }

    fn give_back(&self, size: usize) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(size, Ordering::Relaxed);
    }

    /// Drops the sessions of the next part that has some. Each goes soon in any case, so that none is worth a list in
    /// order of use.
    fn evict(&self) {
        for _ in 0..Sharded::<Box<Entry>>::SHARDS {
            let part = self.cursor.fetch_add(1, Ordering::Relaxed);
            let mut some = false;
            self.retain(part % Sharded::<Box<Entry>>::SHARDS, |_| {
                some = true;
                false
            });
            if some {
                return;
            }
        }
    }

    fn retain(&self, part: usize, mut keep: impl FnMut(&Entry) -> bool) {
        self.table.retain(part, |entry| {
            let kept = keep(entry);
            if !kept {
                self.give_back(entry.size());
            }
            kept
        });
    }
}

impl Writing<'_> {
    /// Keeps what was saved, if something was kept before.
    pub(super) fn saved(mut self, record: Arc<SessionRecord>, revision: Revision, limits: Limits) {
        let Some(mut entry) = self.before.take() else {
            return;
        };
        entry.replace(record, revision);
        self.known = self.entries.keep(entry, self.ticket, limits);
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if !self.known {
            self.entries.drop_of(&self.key);
        }
    }
}

const TICKETS: usize = 1024;

/// How many times room is made for one session; then it is not kept.
const EVICTIONS: usize = 16;

/// How many parts are looked at before other tasks run.
const PARTS_AT_ONCE: usize = 16;
