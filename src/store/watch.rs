//! A shared cell that tells whether what was read of a session still holds.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of a session's present form in its store: it changes with every `save`, and with nothing else.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::store::Revision;
///
/// assert!(Revision::FIRST < Revision::FIRST.next());
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Revision(u64);

impl Revision {
    /// The revision of a session that was just created.
    pub const FIRST: Self = Self(1);

    /// The revision with this number; `None` for 0 and for the largest `u64`, which [`Watch`] needs for itself.
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            ASK | GONE => None,
            number => Some(Self(number)),
        }
    }

    /// The revision's number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The revision after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(if self.0 == GONE - 1 { 1 } else { self.0 + 1 })
    }
}

/// What a [`Watch`] says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "every reader must handle each answer"
)]
pub enum WatchStatus {
    /// The session is there, at this revision; it ends no earlier than its deadlines.
    Current(Revision),
    /// The session was deleted or removed.
    Gone,
    /// The store does not know at the moment: ask it.
    Ask,
}

/// The reading end: one atomic load in place of a second lookup, or of a round trip.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::store::{Revision, WatchCell, WatchStatus};
///
/// let cell = WatchCell::new(Revision::FIRST);
/// let watch = cell.watch();
/// cell.set_gone();
/// cell.set_current(Revision::FIRST); // too late
/// assert_eq!(watch.status(), WatchStatus::Gone);
/// ```
#[derive(Clone)]
pub struct Watch(Arc<AtomicU64>);

impl Watch {
    /// What the store says of the session now.
    pub fn status(&self) -> WatchStatus {
        match self.0.load(Ordering::Acquire) {
            ASK => WatchStatus::Ask,
            GONE => WatchStatus::Gone,
            number => WatchStatus::Current(Revision(number)),
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.status()).finish()
    }
}

/// The writing end, which a store keeps.
///
/// *Gone* is final: what comes after it changes nothing.
#[derive(Debug)]
pub struct WatchCell(Watch);

impl WatchCell {
    /// A cell that says `revision` is current.
    pub fn new(revision: Revision) -> Self {
        Self(Watch(Arc::new(AtomicU64::new(revision.0))))
    }

    /// Another reading end.
    pub fn watch(&self) -> Watch {
        self.0.clone()
    }

    /// What readers see.
    pub fn status(&self) -> WatchStatus {
        self.0.status()
    }

    /// Whether somebody holds a reading end. Without one a store may forget the cell: nobody can tell.
    pub fn is_watched(&self) -> bool {
        Arc::strong_count(&self.0.0) > 1
    }

    /// Says that `revision` is current.
    pub fn set_current(&self, revision: Revision) {
        self.set(revision.0);
    }

    /// Says that the store must be asked.
    pub fn set_ask(&self) {
        self.set(ASK);
    }

    /// Says that the session is gone.
    pub fn set_gone(&self) {
        self.0.0.store(GONE, Ordering::Release);
    }

    fn set(&self, number: u64) {
        let keep_gone = |old| (old != GONE).then_some(number);
        // An error says that the cell is at `GONE`, where it stays.
        let _: Result<u64, u64> =
            self.0
                .0
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, keep_gone);
    }
}

const ASK: u64 = 0;
const GONE: u64 = u64::MAX;
