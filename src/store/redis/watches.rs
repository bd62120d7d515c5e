//! The cells that the server's messages keep true.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::session::SessionKey;
use crate::sharded::{Keyed, Sharded};
use crate::store::{Revision, Watch, WatchCell};

/// A cell for each session that somebody watches.
///
/// A cell says *current* only if the answer that it has its revision from was asked for on the connection that is
/// established now, and nothing was heard of the session since it was asked for. Whatever comes later on that
/// connection makes it say *ask*, and so does the loss of the connection.
pub(super) struct Watches {
    cells: Sharded<Box<Cell>>,
    /// The number of the connection that brings the messages; 0 while there is none.
    established: AtomicU64,
    /// How many cells there may be at most: those left by the last sweep, and those wanted after it.
    left: AtomicUsize,
    made: AtomicUsize,
}

struct Cell {
    key: SessionKey,
    cell: WatchCell,
    /// Counts what was heard of the session.
    heard: u64,
}

/// What was known before a question was sent to the server.
pub(super) struct Question {
    key: SessionKey,
    /// Keeps the cell in the table.
    watch: Watch,
    established: u64,
    heard: u64,
}

impl Watches {
    pub(super) fn new() -> Self {
        Self {
            cells: Sharded::new(),
            established: AtomicU64::new(0),
            left: AtomicUsize::new(0),
            made: AtomicUsize::new(0),
        }
    }

    /// Before a session is read that somebody wants to watch.
    pub(super) fn ask(&self, key: SessionKey) -> Question {
        if let Some(question) = self.ask_again(key) {
            return question;
        }
        let cell = WatchCell::new(Revision::FIRST);
        cell.set_ask();
        let watch = cell.watch();
        if !self.has_room() {
            // Nobody keeps this one true, so it says *ask* for ever.
            return Question::unheard(key, watch);
        }
        let cell = Box::new(Cell {
            key,
            cell,
            heard: 0,
        });
        match self.cells.insert_if(cell, || true) {
            Ok(()) => {
                self.made.fetch_add(1, Ordering::Relaxed);
                self.ask_again(key)
            }
            Err(_) => self.ask_again(key),
        }
        .unwrap_or(Question::unheard(key, watch))
    }

    /// Before a session is asked for again; `None` if nobody watches it.
    pub(super) fn ask_again(&self, key: SessionKey) -> Option<Question> {
        // Before the cell: what is lost in between makes the question void.
        let established = self.established.load(Ordering::Acquire);
        self.cells.with_mut(&key, |cell| {
            cell.map(|cell| Question {
                key,
                watch: cell.cell.watch(),
                established,
                heard: cell.heard,
            })
        })
    }

    /// The session was there at `revision`: its cell may say so, if nothing was heard since the question.
    pub(super) fn answer(&self, question: Question, revision: Revision) -> Watch {
        self.cells.with_mut(&question.key, |cell| {
            let Some(cell) = cell else { return };
            // Under the lock: a loss sets its number first and comes to this cell after.
            let established = self.established.load(Ordering::Acquire);
            if question.established != 0
                && question.established == established
                && question.heard == cell.heard
            {
                cell.cell.set_current(revision);
            }
        });
        question.watch
    }

    /// There was no session that could be watched.
    pub(super) fn nothing(&self, question: Question) {
        let Question { key, watch, .. } = question;
        drop(watch);
        self.cells.remove_if(&key, |cell| !cell.cell.is_watched());
    }

    /// The session has changed: by this store, or somewhere else.
    pub(super) fn changed(&self, key: &SessionKey) {
        self.cells.with_mut(key, |cell| {
            if let Some(cell) = cell {
                cell.hear();
            }
        });
    }

    /// The session is gone for good.
    pub(super) fn gone(&self, key: &SessionKey) {
        self.cells.remove_if(key, |cell| {
            cell.cell.set_gone();
            true
        });
    }

    /// Any session may have changed.
    pub(super) fn all_changed(&self) {
        self.each(|cell| {
            cell.hear();
            true
        });
    }

    /// Messages come on the connection of this number.
    pub(super) fn established(&self, connection: u64) {
        if self.established.swap(connection, Ordering::AcqRel) != 0 {
            self.all_changed();
        }
    }

    /// Messages come no more on the connection of this number.
    pub(super) fn lost(&self, connection: u64) {
        let old = &self.established;
        if old
            .compare_exchange(connection, 0, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            self.all_changed();
        }
    }

    /// How many cells are kept, those that nobody watches any more included.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.cells.len()
    }

    fn has_room(&self) -> bool {
        let (left, made) = (
            self.left.load(Ordering::Relaxed),
            self.made.load(Ordering::Relaxed),
        );
        if made >= left.max(SWEEP_AFTER) {
            self.sweep();
        }
        let count = self.left.load(Ordering::Relaxed) + self.made.load(Ordering::Relaxed);
        if count >= MAX_WATCHED {
            // It counts as made, so that the next sweep comes.
            self.made.fetch_add(1, Ordering::Relaxed);
        }
        count < MAX_WATCHED
    }

    /// Forgets the cells that nobody watches.
    fn sweep(&self) {
        self.made.store(0, Ordering::Relaxed);
        let mut left = 0;
        self.each(|cell| {
            let keep = cell.cell.is_watched();
            left += usize::from(keep);
            keep
        });
        self.left.store(left, Ordering::Relaxed);
    }

    fn each(&self, mut keep: impl FnMut(&mut Cell) -> bool) {
        for index in 0..Sharded::<Box<Cell>>::SHARDS {
            self.cells.retain(index, |cell| keep(cell));
        }
    }
}

impl Question {
    /// One whose answer no cell will show.
    fn unheard(key: SessionKey, watch: Watch) -> Self {
        Self {
            key,
            watch,
            established: 0,
            heard: 0,
        }
    }
}

impl Cell {
    fn hear(&mut self) {
        self.heard += 1;
        self.cell.set_ask();
    }
}

impl Keyed for Box<Cell> {
    type Key = SessionKey;

    fn key(&self) -> &SessionKey {
        &self.key
    }
}

/// So many cells are made before the first sweep; later as many as the last one left.
const SWEEP_AFTER: usize = 1024;

/// About 100 MB. Sessions beyond it have a watch that always says *ask*.
const MAX_WATCHED: usize = if cfg!(test) { 10_000 } else { 1_000_000 };

#[cfg(test)]
mod tests;
