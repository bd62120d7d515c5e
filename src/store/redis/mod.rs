//! Sessions in Redis or Valkey.

mod checks;
mod cleaning;
mod contract;
mod errors;
mod form;
mod history;
mod index;
mod keeper;
mod link;
mod scripts;
mod tracking;
mod watches;

use std::fmt;
use std::sync::Arc;

use ::redis::{Client, RedisError};

use self::cleaning::Cleaner;
use self::form::Names;
use self::link::Link;
use self::tracking::Tracking;
use super::{StoreError, StoreErrorKind};

/// Keeps sessions in Redis (6.2 or later) or Valkey: shared by all instances that use the same server and prefix.
///
/// A clone is another handle on the same connection. All calls share one connection, which is made again when it is
/// lost; while there is no server, calls fail at once as [`StoreErrorKind::Unavailable`]. Each call is one round trip:
/// a script, known to the server by its digest. [`SessionStore::delete_expired`](super::SessionStore::delete_expired)
/// and [the index](super::SessionIndex) take more.
///
/// # Keys
///
/// A session has two keys, `{prefix}:record:{digest}` and `{prefix}:seen:{digest}`, and a third one,
/// `{prefix}:history:{digest}`, if it has a history. The prefix stands without braces and the digest (its
/// [`SessionKey`](crate::SessionKey)) within them. The second holds the last use and is all that a touch writes. Its time
/// to live, and that of the history, is the idle end and five minutes, that of the first the absolute end and five
/// minutes; a deleted session leaves a tombstone of 21 bytes for as long, or for 30 days if it had no end. These times
/// only remove what nobody needs: whether a session is alive is decided by the caller's clock.
///
/// Beside them there are `{prefix}:sessions`, a sorted set of all sessions, `{prefix}:owner:{tag}`, one for each owner,
/// and `{prefix}:bar:{tag}` for an owner whose sessions were all ended. A session takes about 250 bytes in the first and,
/// if it has an owner, 170 in the second. A set goes with its last session, a bar when the store may forget it.
///
/// Clean-up walks through the keys with SCAN, at most 20 000 of them in each call, and goes on there in the next: it
/// finds the records of sessions whose last use has expired. The whole database is walked through, so give sessions
/// one of their own if it has many other keys. Redis Cluster itself is not supported: the scripts write keys of several
/// slots, and a server that redirects to others is [`StoreErrorKind::Unavailable`].
///
/// # Histories and the index
///
/// The store is a [`HistoryStore`](super::HistoryStore) and a [`SessionIndex`](super::SessionIndex). Each call for a
/// history is one round trip; an append writes what is new and the numbers, and what is too long to stay is not sent.
///
/// The index is written in the same step as the session. A session that the server removed by itself stays in it until
/// a list or a clean-up comes by; neither a list nor a count shows it. `list` is one round trip and one for each session,
/// 64 at a time; `count` looks at each session there is, 200 in a round trip. `bar` sets its mark in one round trip,
/// which `create`, `load`, `save`, `touch` and histories respect from then on, and ends what the owner has one by one,
/// 64 at a time.
///
/// Sessions that an earlier version of this store wrote, before there was an index, are served as all others and come
/// into it when they are saved, or when clean-up comes by. Until then they are not listed; `bar` ends them all the same,
/// but whoever watches one hears of it only from that clean-up. An instance of that earlier version cannot read the
/// sessions of this one: they are [`StoreErrorKind::Corrupt`] to it.
///
/// # Watches
///
/// By default the store is asked for each request. [`RedisStore::with_tracking`] lets the server say which sessions have
/// changed instead.
///
/// # What a crash costs
///
/// What Redis has acknowledged survives a crash of this process, and a crash of Redis as far as Redis has written it
/// down: with `appendonly yes` and `appendfsync always` all of it, with `everysec` all but the last second or two, with
/// neither all since the last snapshot. A failover to a replica loses what the replica had not received; set
/// `min-replicas-to-write` to refuse writes that no replica takes. After such a loss a session may be missing (404), a
/// value may be older, and a deleted session may be alive again until its end.
///
/// A call that was sent and not answered, within 1.5 s or because the connection broke, may have done its work. It fails
/// as [`StoreErrorKind::OutcomeUnknown`] if it writes, as [`StoreErrorKind::Unavailable`] if it only reads. Only reads
/// and touches are sent again, once, after the connection broke.
///
/// # What an operator configures
///
/// - `maxmemory-policy noeviction`: any other may drop sessions that are alive. A warning says so at the first
///   connection, if the server shows its settings. When memory is full, new sessions and changed values are refused;
///   sessions can be read, touched and deleted all the same.
/// - `appendonly yes`, with the `appendfsync` that fits the loss you can bear.
/// - Clocks: those of the instances decide. A warning says if one is more than 5 s apart from the server's.
/// - Rights, where there are ACLs: read and write on `{prefix}:*`; the commands EVAL, EVALSHA, GET, GETRANGE, SET, DEL,
///   PTTL, PEXPIRE, PERSIST, ZADD, ZREM, ZRANGEBYLEX, SCAN, PING, and for tracking CLIENT TRACKING; for histories RPUSH,
///   LPUSH, LPOP, LLEN, LINDEX, LRANGE; for `bar` TIME, which the warnings use too, with CONFIG GET.
/// - TLS: a URL of `rediss://` works if your own Cargo.toml turns on a TLS feature of the `redis` crate, such as
///   `tokio-rustls-comp`. Unix sockets work with `redis+unix://`.
///
/// # Examples
///
/// ```no_run
/// use tower_mcp_session::{RedisStore, SessionLayer};
///
/// # async fn layer() -> Result<SessionLayer, Box<dyn std::error::Error>> {
/// let store = RedisStore::connect("redis://127.0.0.1/").await?.with_prefix("shop");
/// let layer = SessionLayer::new(store);
/// # Ok(layer)
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStore {
    link: Arc<Link>,
    names: Names,
    cleaner: Arc<Cleaner>,
}

impl RedisStore {
    /// A store on the server at `url`, which must answer.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unsupported`] if the URL is none, or needs a feature that the `redis` crate was compiled
    /// without; [`StoreErrorKind::Unavailable`] if the server cannot be reached within 1 s.
    ///
    /// # Cancel safety
    ///
    /// Nothing remains if the future is dropped.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let store = Self::from_client(&Client::open(url).map_err(unsupported)?)?;
        store.link.reach().await?;
        Ok(store)
    }

    /// A store on the server of `client`, connected when it is first used.
    ///
    /// The connection speaks RESP3, whatever the client is set to.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unsupported`] if the client's address is of no use.
    pub fn from_client(client: &Client) -> Result<Self, StoreError> {
        Ok(Self {
            link: Link::new(client, None).map_err(unsupported)?,
            names: Names::new(PREFIX),
            cleaner: Arc::default(),
        })
    }

    /// Begins all keys with `prefix`. Default: `mcp`.
    ///
    /// Stores of different prefixes know nothing of each other. Braces and `%` in it are written as `%7B`, `%7D` and
    /// `%25`. The store connects anew when it tracks.
    #[must_use]
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        self.names = Names::new(prefix);
        self.cleaner = Arc::default();
        let tracking = self.link.tracking.is_some();
        if tracking {
            self.with_tracking(true)
        } else {
            self
        }
    }

    /// Lets the server say when a session changes, in place of asking for each request. Default: false.
    ///
    /// A request of a session that this instance knows then needs no round trip, and what another instance does to the
    /// session, its end as well, is seen here within milliseconds. Without tracking it is seen by the very next request.
    /// While there is no connection the store is asked, as without tracking. A connection that dies without a word is
    /// found within 2.5 s; until then a session that was ended elsewhere may be served here.
    ///
    /// Each instance is told of each record that is written under the prefix, by whomever: a session that begins, a value
    /// that is written, an end. Touches are not told. After a change each instance asks once, the one that made it too. At
    /// most 1 000 000 sessions are watched (about 100 MB); further ones are asked for.
    ///
    /// The store connects anew.
    #[must_use]
    pub fn with_tracking(mut self, tracking: bool) -> Self {
        let tracking = tracking.then(|| Tracking::new(self.names.clone()));
        self.link = self.link.with_tracking(tracking);
        self
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.names.prefix())
            .field("tracking", &self.link.tracking.is_some())
            .finish_non_exhaustive()
    }
}

fn unsupported(error: RedisError) -> StoreError {
    StoreError::new(StoreErrorKind::Unsupported, error)
}

const PREFIX: &str = "mcp";
