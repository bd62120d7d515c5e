//! The store.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use super::ready::ReadyRing;
use super::revocations::Revocations;
use super::ring::KeyRing;
use crate::config;
use crate::session::{RandomSourceError, Timestamp};
use crate::store::{Revision, SessionStore, WatchCell};

/// Sessions whose id says it all: signed, valid on every instance that has the key, kept nowhere.
///
/// The id is a JSON Web Token (compact JWS, HS256) under a key of yours. Each id that comes in is verified before
/// anything else happens with it. See the [module docs](super) for what it costs and when another store is better.
///
/// A clone is another handle: it has the same keys, and [`SignedStore::replace_keys`] replaces them for all.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::SessionLayer;
/// use tower_mcp_session::store::{KeyRing, SignedStore, SigningKey};
///
/// # let secret = [7; 32];
/// let keys = KeyRing::new(SigningKey::from_bytes("2026-11", &secret)?);
/// let store = SignedStore::new(keys, "https://mcp.example.com");
/// let layer = SessionLayer::new(store);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SignedStore {
    audience: Arc<str>,
    pub(super) keys: Arc<Keys>,
    pub(super) revocations: Option<Revocations>,
    /// Where the sessions live that the ids stand for.
    pub(super) backing: Option<Arc<dyn SessionStore>>,
    /// Until then ids are taken whose session does not live there.
    pub(super) migration: Timestamp,
    pub(super) max_lifetime: Duration,
    pub(super) clock_leeway: Duration,
}

/// The keys, and a cell that tells who has verified by earlier ones.
pub(super) struct Keys {
    ring: RwLock<Arc<ReadyRing>>,
    pub(super) cell: WatchCell,
}

impl SignedStore {
    /// Ids of the service `audience`, signed and verified with `keys`.
    ///
    /// The audience, such as the URL of the service, is what keeps the ids of two services apart that share a key:
    /// there is no default. The endpoint of the layer counts beside it.
    pub fn new(keys: KeyRing, audience: impl Into<Arc<str>>) -> Self {
        let audience = audience.into();
        let ring = ReadyRing::new(&keys, &audience, Revision::FIRST);
        let keys = Keys {
            cell: WatchCell::new(ring.revision),
            ring: RwLock::new(Arc::new(ring)),
        };
        Self {
            audience,
            keys: Arc::new(keys),
            revocations: None,
            backing: None,
            migration: Timestamp::EPOCH,
            max_lifetime: config::MAX_LIFETIME,
            clock_leeway: config::SIGNED_CLOCK_LEEWAY,
        }
    }

    /// Keeps a list of ended ids in `list`, so that sessions can be ended before their time. Default: none, and DELETE
    /// is answered 405.
    ///
    /// Each request asks the list; if it cannot be asked, the answer is 503. An entry lasts as long as its id would
    /// have. A list that is not shared, such as a [`MemoryStore`](crate::MemoryStore), ends with the process: then the
    /// ids do so too, or a restart would revive what was ended.
    ///
    /// Whoever takes a list away again accepts the ids that were on it: [`KeyRing::with_not_before`] refuses them.
    ///
    /// # Errors
    ///
    /// [`RandomSourceError`] if the operating system has no random bits to give.
    pub fn with_revocations(mut self, list: impl SessionStore) -> Result<Self, RandomSourceError> {
        self.revocations = Some(Revocations::new(Arc::new(list))?);
        Ok(self)
    }

    /// Keeps the sessions in `store`, and signs ids only so that forged ones never get there. Default: none, and
    /// sessions have neither values nor states nor an end for want of use.
    ///
    /// Ids that were signed without a store behind them are refused, and the other way round.
    #[must_use]
    pub fn with_backing(mut self, store: impl SessionStore) -> Self {
        self.backing = Some(Arc::new(store));
        self
    }

    /// Takes ids that were signed without the backing store until `end`. Default: none are.
    ///
    /// For a service whose sessions get a backing store while they are in use. Each id gets a session there at its first
    /// request, which lasts as long as the id. Keep the list of ended ids, if there was one, until then: each request
    /// asks it too, and each end is noted there, for the instances that have no backing store as yet. Instances without
    /// the list go on taking the ids of sessions that were ended elsewhere.
    #[must_use]
    pub fn with_migration_until(mut self, end: Timestamp) -> Self {
        self.migration = end;
        self
    }

    /// Signs ids for at most so long, and refuses those with a longer life. Default: 7 days.
    ///
    /// Sessions end after this time, or after that of
    /// [`SessionLayer::with_max_lifetime`](crate::SessionLayer::with_max_lifetime) if it is shorter.
    #[must_use]
    pub fn with_max_lifetime(mut self, life: Duration) -> Self {
        self.max_lifetime = life;
        self
    }

    /// Takes ids that will be issued within `leeway`: the clocks of instances differ. Default: 60 s. The end of an id
    /// has no leeway.
    #[must_use]
    pub fn with_clock_leeway(mut self, leeway: Duration) -> Self {
        self.clock_leeway = leeway;
        self
    }

    /// Signs and verifies with other keys from now on, in all clones.
    ///
    /// Ids that the new ring does not verify are answered 404 from the next request on, or, with a list of ended ids or a
    /// backing store, once the time of [`SessionLayer::with_freshness`](crate::SessionLayer::with_freshness) has passed.
    /// Running work and streams of their sessions end within one touch interval.
    pub fn replace_keys(&self, keys: &KeyRing) {
        let mut ring = self
            .keys
            .ring
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let next = ReadyRing::new(keys, &self.audience, ring.revision.next());
        let revision = next.revision;
        *ring = Arc::new(next);
        // Last, and under the lock: who has verified by the old ring finds that it counts no longer.
        self.keys.cell.set_current(revision);
    }

    pub(super) fn ring(&self) -> Arc<ReadyRing> {
        Arc::clone(&self.keys.read())
    }
}

impl Keys {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Arc<ReadyRing>> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SignedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedStore")
            .field("audience", &self.audience)
            .field("revocations", &self.revocations)
            .field("backing", &self.backing)
            .finish_non_exhaustive()
    }
}
