//! Who sees what happens to sessions: observers, counts, metrics.
//!
//! Each event goes through one method of [`Events`], which tells all three: they cannot disagree.
//!
//! - `events`: what happens, told once and in order
//! - `feed`: the queue to the observers, and their thread
//! - `tally`: counts that are always on
//! - `meter`: the same as metrics (feature `metrics`)

mod events;
mod feed;
#[cfg(feature = "metrics")]
#[path = "metered.rs"]
mod meter;
#[cfg(not(feature = "metrics"))]
#[path = "unmetered.rs"]
mod meter;
mod reason;
mod session;
mod tally;

use std::sync::Arc;

use crate::protocol::RefusalCause;
use crate::session::{SessionState, Timestamp};

pub use reason::EndReason;
pub use session::ObservedSession;
pub use tally::Durations;

pub(crate) use events::Events;
pub(super) use events::Watchers;
pub(super) use tally::Counts;

/// Is told what happens to the sessions of a layer: for an audit trail, statistics of your own, alerts.
///
/// Each method has an empty default: write those that you need. An observer is set with
/// [`SessionLayer::with_observer`](crate::SessionLayer::with_observer).
///
/// # What is told
///
/// - What happens on *this* instance, to the sessions it holds. Each of them that ends is told of once, by whatever
///   was first: a DELETE, its expiry, the clean-up. An instance that finds a session ended by another one tells of
///   [`EndReason::Elsewhere`].
/// - That this instance drops what it holds of a session which lives on in a shared store is no end, and is not told;
///   when the session comes back, `restored` is. If it expires in the store meanwhile, no instance tells.
/// - Events of one session come in the order in which they happened. `at` is the layer's [`Clock`](crate::Clock).
///
/// # How it is told
///
/// No request waits for an observer. Events go through a queue ([`SessionLayer::with_observer_queue`]) to one thread of
/// the layer, which calls the observers one after the other. They may block and write files; what takes long makes
/// the queue longer. If the queue is full, events are dropped, and [`missed`](Self::missed) says how many. `used` events
/// fill half of it at most: they push no other event out. The thread begins with the first event and ends when the
/// layer, its clones and its services are gone and all was told. An observer that keeps a layer, or its
/// [`Sessions`](crate::Sessions), keeps it, and itself, for ever.
///
/// [`SessionLayer::drain`] waits until all was told, for up to 5 s.
///
/// A panic of an observer is caught, and reported once as an error in the log; the event counts as told.
///
/// # Security
///
/// An observer learns who began a session and what the client calls itself, never the id. Treat what it writes
/// accordingly.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use tower_mcp_session::{EndReason, MemoryStore, ObservedSession, Observer, SessionLayer, Timestamp};
///
/// #[derive(Default)]
/// struct Evictions(AtomicU64);
///
/// impl Observer for Evictions {
///     fn ended(&self, _: &ObservedSession, reason: EndReason, _: Timestamp) {
///         let evicted = reason == EndReason::Evicted;
///         self.0.fetch_add(u64::from(evicted), Ordering::Relaxed);
///     }
/// }
///
/// let evictions = Arc::new(Evictions::default());
/// let layer = SessionLayer::new(MemoryStore::new()).with_observer(Arc::clone(&evictions));
/// ```
///
/// [`SessionLayer::with_observer_queue`]: crate::SessionLayer::with_observer_queue
/// [`SessionLayer::drain`]: crate::SessionLayer::drain
#[expect(
    unused_variables,
    reason = "the names are for the docs; the defaults do nothing"
)]
pub trait Observer: Send + Sync + 'static {
    /// A session began, and is active.
    fn created(&self, session: &ObservedSession, at: Timestamp) {}

    /// This instance took a session up that another one began, or began its inner session again. It is active.
    fn restored(&self, session: &ObservedSession, at: Timestamp) {}

    /// A request of the session went to the inner service.
    fn used(&self, session: &ObservedSession, at: Timestamp) {}

    /// The session went from one state to another, by the table of [`SessionState`].
    ///
    /// That a session has become idle is noticed by the clean-up: up to a touch interval late.
    fn moved(
        &self,
        session: &ObservedSession,
        from: SessionState,
        to: SessionState,
        at: Timestamp,
    ) {
    }

    /// The session ended. A move to [`SessionState::Closed`] was told before.
    fn ended(&self, session: &ObservedSession, reason: EndReason, at: Timestamp) {}

    /// The layer answered a request itself. `session` is the one that the request was for, if it is known and the
    /// caller's.
    fn refused(&self, session: Option<&ObservedSession>, cause: RefusalCause, at: Timestamp) {}

    /// So many events were dropped here, because the queue was full.
    fn missed(&self, events: u64) {}
}

#[deny(clippy::missing_trait_methods)]
impl<T: Observer + ?Sized> Observer for Arc<T> {
    fn created(&self, session: &ObservedSession, at: Timestamp) {
        (**self).created(session, at);
    }

    fn restored(&self, session: &ObservedSession, at: Timestamp) {
        (**self).restored(session, at);
    }

    fn used(&self, session: &ObservedSession, at: Timestamp) {
        (**self).used(session, at);
    }

    fn moved(
        &self,
        session: &ObservedSession,
        from: SessionState,
        to: SessionState,
        at: Timestamp,
    ) {
        (**self).moved(session, from, to, at);
    }

    fn ended(&self, session: &ObservedSession, reason: EndReason, at: Timestamp) {
        (**self).ended(session, reason, at);
    }

    fn refused(&self, session: Option<&ObservedSession>, cause: RefusalCause, at: Timestamp) {
        (**self).refused(session, cause, at);
    }

    fn missed(&self, events: u64) {
        (**self).missed(events);
    }
}
