//! A session's life, without HTTP: it begins, is found, is used, ends.

mod activity;
mod admission;
mod beginning;
mod busy;
mod context;
mod core;
mod ending;
mod eviction;
mod extras;
mod finding;
pub(crate) mod flag;
mod half_open;
mod inner_session;
mod keeper;
mod live;
mod observe;
mod outbox;
mod pending;
mod recording;
mod restoring;
mod said;
mod sessions;
mod standing;
mod waking;
mod writing;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use context::{Scope, SessionContext, SessionHistory};
pub use observe::{Durations, EndReason, ObservedSession, Observer};
pub use sessions::{
    SessionFilter, SessionInfo, SessionListPage, Sessions, Standings, Statistics, StoredStatistics,
};
pub use writing::SessionError;

pub(crate) use admission::Reservation;
pub(crate) use beginning::Beginning;
pub(crate) use busy::{Busy, Use};
pub(crate) use eviction::Full;
pub(crate) use inner_session::{InnerSession, Lost};
pub(crate) use live::LiveSession;
pub(crate) use observe::Events;
pub(crate) use pending::Pending;
pub(crate) use recording::Redaction;
pub(crate) use restoring::{NotRestored, Replayed, RestoreOutcome};
pub(crate) use said::{Calls, Said, Side};

use self::admission::Admission;
use self::core::Core;
use self::live::Home;
use self::observe::Watchers;
use self::restoring::Restores;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config};
use crate::session::Handshake;
use crate::sharded::Sharded;
use crate::store::SessionStore;

/// The sessions of one layer: what its clones, and the services they make, share.
#[derive(Clone, Debug)]
pub(crate) struct SessionManager {
    core: Arc<Core>,
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    table: Sharded<Arc<LiveSession>>,
    admission: Admission,
    homes: Mutex<HashMap<Arc<str>, Weak<Home>>>,
    handshakes: Mutex<HashSet<Arc<Handshake>>>,
    draining: AtomicBool,
    drained: CancellationToken,
    keeper: AtomicBool,
    initializes: Arc<Semaphore>,
    closers: Arc<Semaphore>,
    closings: Arc<Semaphore>,
    restores: Restores,
    body_bytes: Arc<AtomicUsize>,
    /// Of what was heard of sessions and waits to be written.
    heard_bytes: Arc<AtomicUsize>,
    watchers: Watchers,
}

impl SessionManager {
    pub(crate) fn new(store: Arc<dyn SessionStore>) -> Self {
        let capabilities = store.capabilities();
        let core = Core {
            store,
            capabilities,
            clock: Arc::new(SystemClock),
            redaction: None,
            config: Config::default(),
        };
        let shared = Shared {
            table: Sharded::new(),
            admission: Admission::default(),
            homes: Mutex::default(),
            handshakes: Mutex::default(),
            draining: AtomicBool::new(false),
            drained: CancellationToken::new(),
            keeper: AtomicBool::new(false),
            initializes: Arc::new(Semaphore::new(config::MAX_INITIALIZES)),
            closers: Arc::new(Semaphore::new(config::MAX_CLOSERS)),
            closings: Arc::new(Semaphore::new(config::MAX_CLOSINGS)),
            restores: Restores::default(),
            body_bytes: Arc::default(),
            heard_bytes: Arc::default(),
            watchers: Watchers::default(),
        };
        Self {
            core: Arc::new(core),
            shared: Arc::new(shared),
        }
    }

    pub(crate) fn config_mut(&mut self) -> &mut Config {
        &mut Arc::make_mut(&mut self.core).config
    }

    pub(crate) fn set_clock(&mut self, clock: Arc<dyn Clock>) {
        Arc::make_mut(&mut self.core).clock = clock;
    }

    pub(crate) fn set_redaction(&mut self, redaction: Redaction) {
        Arc::make_mut(&mut self.core).redaction = Some(redaction);
    }

    /// Tells `observer`, too, of what happens, whichever clone of the layer it happens to.
    pub(crate) fn add_observer(&self, observer: Arc<dyn Observer>) {
        self.shared.watchers.add(observer);
    }

    /// Where all that happens is told.
    #[inline]
    pub(crate) fn events(&self) -> Events<'_> {
        Events::new(&self.shared.watchers, &self.core)
    }

    /// Sets the metrics of what is there.
    pub(crate) fn record_metrics(&self) {
        self.events().live(self.len());
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// How many sessions this instance holds, those about to begin included.
    pub(crate) fn len(&self) -> usize {
        self.shared.admission.sessions()
    }

    /// Initializes under way: each holds a permit.
    pub(crate) fn initializes(&self) -> &Arc<Semaphore> {
        &self.shared.initializes
    }

    /// Calls to inner services that end their sessions: each holds a permit of both, the first while it runs, the
    /// second also while it waits for that.
    pub(crate) fn closers(&self) -> [&Arc<Semaphore>; 2] {
        [&self.shared.closers, &self.shared.closings]
    }

    /// The bytes of all bodies being read.
    pub(crate) fn body_bytes(&self) -> &Arc<AtomicUsize> {
        &self.shared.body_bytes
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Relaxed)
    }

    /// Cancelled when a drain's grace is over.
    pub(crate) fn drained(&self) -> &CancellationToken {
        &self.shared.drained
    }

    /// Refuses new sessions from now on, and after `grace` ends the streams of this instance; writes the touches that
    /// the store has not heard of, and waits until the observers were told all.
    pub(crate) async fn drain(&self, grace: Duration) {
        self.shared.draining.store(true, Ordering::Relaxed);
        self.core.clock.sleep(grace).await;
        self.shared.drained.cancel();
        self.tell_the_store().await;
        self.events().told_all().await;
    }

    /// Takes a session whose uses are closed out of the table; says whether it was there.
    fn remove(&self, session: &Arc<LiveSession>) -> bool {
        let same = |other: &Arc<LiveSession>| Arc::ptr_eq(other, session);
        let removed = self.shared.table.remove_if(session.id(), same).is_some();
        if removed {
            self.shared.admission.left(session);
        }
        session.shut();
        removed
    }

    /// The one copy of an equal handshake.
    fn shared_handshake(&self, handshake: Arc<Handshake>) -> Arc<Handshake> {
        let mut known = self
            .shared
            .handshakes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&handshake) {
            return Arc::clone(known);
        }
        if known.len() >= config::SHARED_HANDSHAKES {
            known.retain(|handshake| Arc::strong_count(handshake) > 1);
        }
        if known.len() < config::SHARED_HANDSHAKES {
            known.insert(Arc::clone(&handshake));
        }
        handshake
    }

    fn home(&self, audience: &Arc<str>) -> Arc<Home> {
        let mut homes = self
            .shared
            .homes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = homes.get(audience).and_then(Weak::upgrade);
        if let Some(home) = known.filter(|home| Arc::ptr_eq(&home.core, &self.core)) {
            return home;
        }
        homes.retain(|_, home| home.strong_count() > 0);
        let home = Arc::new(Home {
            core: Arc::clone(&self.core),
            audience: Arc::clone(audience),
            shared: Arc::downgrade(&self.shared),
            drained: self.shared.drained.clone(),
        });
        homes.insert(Arc::clone(audience), Arc::downgrade(&home));
        home
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("admission", &self.admission)
            .finish_non_exhaustive()
    }
}
