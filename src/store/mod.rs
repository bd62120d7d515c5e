//! Where sessions live: the contract of [`SessionStore`], and the stores that keep it.
//!
//! | store | feature | kept where | shared by instances |
//! |---|---|---|---|
//! | [`MemoryStore`] | none | in this process | no |
//! | `FileStore` | `file` | in a folder of this machine | yes, on this machine |
//! | `PostgresStore` | `postgres` | in a PostgreSQL database | by any number |
//! | `SqliteStore` | `sqlite` | in an SQLite file | by those of one machine |
//! | `RedisStore` | `redis` | in Redis or Valkey | by any number |
//! | `SignedStore` | `signed` | in the id that the client holds | by any that have its key |
//! | [`CachedStore`] | none | in another store, and here for a moment | as that store |
//!
//! All but `SignedStore` keep histories ([`HistoryStore`]) and know which sessions there are ([`SessionIndex`]).
//! `CachedStore` hands on what the store inside can; behind signed ids a backing store keeps the histories.
//!
//! Which one? The module `signed` (feature `signed`) compares them: memory, signed ids, a shared store.
//!
//! A store of your own is six methods; the example `custom_store` has one in 150 lines. The functions of the same names
//! in `testing::store` (feature `testing`) check each promise against it: `store_contract!` makes a test of each, and
//! `shared_store_contract!` of what two handles owe each other.

mod bars;
mod cached;
mod capabilities;
mod error;
#[cfg(feature = "file")]
mod file;
mod history;
mod index;
mod memory;
// Not `redis`: that is the crate, which is re-exported here.
#[cfg(feature = "redis")]
#[path = "redis/mod.rs"]
mod redis_store;
#[cfg(feature = "signed")]
pub mod signed;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod skew;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
mod stored;
mod tombstones;
mod watch;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

pub use cached::CachedStore;
pub(crate) use capabilities::NO_RECORDS;
pub use capabilities::{Capabilities, Recognition};
pub use error::{StoreError, StoreErrorKind};
#[cfg(feature = "file")]
pub use file::FileStore;
pub use history::HistoryStore;
pub use index::{ListedSession, SessionIndex, SessionPage};
pub use memory::MemoryStore;
#[cfg(feature = "redis")]
pub use redis_store::RedisStore;
#[cfg(feature = "signed")]
pub use signed::{InvalidKeys, KeyRing, SignedStore, SigningKey};
#[cfg(feature = "postgres")]
pub use sql::PostgresStore;
#[cfg(feature = "sqlite")]
pub use sql::SqliteStore;
pub use stored::Stored;
pub use watch::{Revision, Watch, WatchCell, WatchStatus};

/// The library that `RedisStore` is built on, for clients of your own.
#[cfg(feature = "redis")]
pub use ::redis;

/// The library that `PostgresStore` and `SqliteStore` are built on, for pools of your own.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use sqlx;

use crate::session::{
    NewSession, OwnerTag, Principal, SessionId, SessionKey, SessionRecord, Timestamp,
};

/// Keeps sessions.
///
/// # The contract
///
/// 1. `create` never overwrites. The caller proposes an id; the store keeps it or settles on one of its own.
/// 2. `load` never gives what is expired, deleted or removed, and what it gives is complete.
/// 3. `save` replaces the record only at the revision that was read (`Conflict`), only where there is one (`Gone`),
///    and gives it a new revision.
/// 4. `touch` moves the idle deadline forward only, never past the absolute end. Without a deadline it asks and writes
///    nothing. It creates nothing and does not change the revision.
/// 5. From the return of `delete` on, `load`, `touch` and `save` say that the session is gone, and `create` with its
///    id says `AlreadyExists`, for the rest of the session's absolute life.
/// 6. `delete_expired` removes what has been expired for [`EXPIRED_GRACE`] and nothing else,
///    whatever other instances touch at the same time.
/// 7. The `now` that is passed in decides what is expired, never a clock of the store. A session is expired from its
///    deadline on: at the very millisecond it is gone.
/// 8. A [`Watch`] never says *current* of a session that is gone or has another revision.
/// 9. What returned `Ok` has happened and is seen by every handle to the same data.
/// 10. Two sessions never see each other's data, whatever their keys are.
///
/// All methods may be called at the same time from any number of tasks. A future that is dropped may or may not have
/// done its work, and has never done half of it.
#[async_trait]
pub trait SessionStore: fmt::Debug + Send + Sync + 'static {
    /// What this store can do. Default: [`Capabilities::default`], the plain case.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// The digest of `principal` that records of the session `id` hold. Default: [`OwnerTag::of`].
    fn owner_tag(&self, id: &SessionId, principal: &Principal) -> OwnerTag {
        let _ = id; // A store whose ids carry the tag chooses its key by the id.
        OwnerTag::of(principal)
    }

    /// What can be said without asking anybody of an id that comes in for `audience` at `now`. An id that is unknown
    /// to it is refused without a question. Default: the random ids that the manager proposes are possible.
    fn recognize(&self, audience: &str, id: &SessionId, now: Timestamp) -> Recognition {
        let _ = (audience, now); // A store that makes its own ids can read them there.
        match id.is_random() {
            true => Recognition::Possible,
            false => Recognition::Unknown,
        }
    }

    /// The same store as one that keeps histories, if it does. Default: it does not.
    fn history(&self) -> Option<&dyn HistoryStore> {
        None
    }

    /// The same store as one that knows which sessions there are, if it does. Default: it does not.
    fn index(&self) -> Option<&dyn SessionIndex> {
        None
    }

    /// Keeps a new session under `candidate`, or under an id of the store's own: the answer holds the id that counts.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::AlreadyExists`] if the id is taken, or its session was deleted;
    /// [`StoreErrorKind::Gone`] if the sessions of its owner were ended since it was asked for ([`SessionIndex::bar`]).
    /// Nothing has changed then.
    async fn create(&self, candidate: &SessionId, new: NewSession) -> Result<Stored, StoreError>;

    /// The session `id` of `audience`; `None` if there is none, or none any more, at `now`.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if there is one that cannot be read: that is not absence.
    async fn load(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError>;

    /// Replaces the record if its revision is still `expected`; gives the new revision.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Conflict`] at another revision, [`StoreErrorKind::Gone`] if there is no session; nothing has
    /// changed then.
    async fn save(
        &self,
        key: &SessionKey,
        record: Arc<SessionRecord>,
        expected: Revision,
    ) -> Result<Revision, StoreError>;

    /// Notes that the session was used at `now` and moves its idle deadline, if one is given; only asks, if none is.
    ///
    /// One round trip, and without a deadline no write: the manager asks for each request where there is no watch, and
    /// gives a deadline at most once in a touch interval. Gives the present revision; `None` if the session is gone or
    /// expired at `now`.
    ///
    /// # Errors
    ///
    /// If the store could not be asked.
    async fn touch(
        &self,
        key: &SessionKey,
        now: Timestamp,
        idle_deadline: Option<Timestamp>,
    ) -> Result<Option<Revision>, StoreError>;

    /// Ends the session for good; says whether there was one at `now`.
    ///
    /// # Errors
    ///
    /// If the session may still be there.
    async fn delete(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError>;

    /// Removes at most `limit` sessions that expired [`EXPIRED_GRACE`] before `now`, and gives
    /// their keys.
    ///
    /// # Errors
    ///
    /// If not all could be looked at; what was removed stays removed.
    async fn delete_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError>;
}

/// How long an expired session stays in its store before clean-up may remove it: 60 s.
///
/// A touch of another instance whose clock is a little behind still finds it.
pub const EXPIRED_GRACE: std::time::Duration = std::time::Duration::from_secs(60);

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: SessionStore + ?Sized> SessionStore for $pointer<T> {
            fn capabilities(&self) -> Capabilities {
                (**self).capabilities()
            }

            fn owner_tag(&self, id: &SessionId, principal: &Principal) -> OwnerTag {
                (**self).owner_tag(id, principal)
            }

            fn recognize(&self, audience: &str, id: &SessionId, now: Timestamp) -> Recognition {
                (**self).recognize(audience, id, now)
            }

            fn history(&self) -> Option<&dyn HistoryStore> {
                (**self).history()
            }

            fn index(&self) -> Option<&dyn SessionIndex> {
                (**self).index()
            }

            async fn create(
                &self,
                candidate: &SessionId,
                new: NewSession,
            ) -> Result<Stored, StoreError> {
                (**self).create(candidate, new).await
            }

            async fn load(
                &self,
                audience: &str,
                id: &SessionId,
                now: Timestamp,
            ) -> Result<Option<Stored>, StoreError> {
                (**self).load(audience, id, now).await
            }

            async fn save(
                &self,
                key: &SessionKey,
                record: Arc<SessionRecord>,
                expected: Revision,
            ) -> Result<Revision, StoreError> {
                (**self).save(key, record, expected).await
            }

            async fn touch(
                &self,
                key: &SessionKey,
                now: Timestamp,
                idle_deadline: Option<Timestamp>,
            ) -> Result<Option<Revision>, StoreError> {
                (**self).touch(key, now, idle_deadline).await
            }

            async fn delete(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError> {
                (**self).delete(key, now).await
            }

            async fn delete_expired(
                &self,
                now: Timestamp,
                limit: usize,
            ) -> Result<Vec<SessionKey>, StoreError> {
                (**self).delete_expired(now, limit).await
            }
        }
    };
}

forward!(Arc);
forward!(Box);
