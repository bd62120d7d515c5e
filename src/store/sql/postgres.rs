//! Sessions in PostgreSQL.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgArguments, PgPool, PgPoolOptions, PgRow, Postgres};
use sqlx::query::QueryAs;
use sqlx::{Connection, FromRow};
use tracing::warn;

use super::contract::{RemovedRow, sql_store};
use super::failure::{self, Access};
use super::fetch::{Transaction, fetch};
use super::postgres_tables::{DELETE_EXPIRED, SCHEMA, SERVER_TIME};
use super::row::{self, SessionRow};
use super::{schema, statements};
use crate::clock::{Clock, SystemClock};
use crate::session::{NewSession, SessionId, SessionKey, SessionRecord, Timestamp};
use crate::store::skew::skew;
use crate::store::{
    Capabilities, EXPIRED_GRACE, HistoryStore, Revision, SessionIndex, SessionStore, StoreError,
    StoreErrorKind, Stored,
};

/// Keeps sessions in PostgreSQL, for any number of instances.
///
/// A clone is another handle to the same sessions. A request of a session costs one statement, which writes at most
/// once in a touch interval; an update of values costs one more.
///
/// It keeps histories and has an index. An append reads and writes the whole history of its session, in a transaction of
/// four round trips. A page of a list is one statement, `count` looks at each row.
///
/// # What survives
///
/// What was acknowledged survives a crash of an instance, and with the server's defaults (`fsync` and
/// `synchronous_commit` on) a crash of the server and a power cut. With `synchronous_commit = off` a crash of the server
/// loses the last moments, deletions among them: sessions that were ended are there again until they expire. After a
/// failover to an asynchronous replica that is so too.
///
/// Meanwhile calls fail as [`StoreErrorKind::Unavailable`], and those whose connection broke in the middle of a write as
/// [`StoreErrorKind::OutcomeUnknown`]. Once the server is back the store works again by itself. So it does in another
/// tokio runtime after the one that it was used in has ended: the connections of that are broken.
///
/// # What to set up
///
/// - A database and a role. The store makes its tables, `mcp_session`, `mcp_session_bar` and `mcp_session_schema`, when
///   it connects, in the first schema of the `search_path`; any number of instances may do so at once. The role needs
///   `CREATE` there for the first time, and must own the tables after an update of this crate that says so; otherwise it
///   needs `SELECT`, `INSERT`, `UPDATE` and `DELETE` on them.
/// - A moment, when the first instance of a new version of this crate brings the tables to its own: they are locked while
///   it makes indexes. If they are in use for longer than 1 s, by a back-up say, it fails as
///   [`StoreErrorKind::Unavailable`], and is to be said again. Instances that run go on with them. What they begin before
///   they are replaced is found by lists of an owner all the same; [`bar`](crate::store::SessionIndex::bar) ends it too,
///   but for what begins there after it: that ends at the next clean-up.
/// - A schema of its own, if you like: `postgres://user@host/database?options[search_path]=sessions`.
/// - PostgreSQL 9.5 or later, tested with 15; the isolation level *read committed*, which is the default.
/// - TLS is off unless you turn on a TLS feature of `sqlx` in your own `Cargo.toml`, such as `tls-rustls`, and say
///   `?sslmode=verify-full`.
/// - Behind PgBouncer in its transaction mode, add `?statement-cache-capacity=0`.
/// - Back-ups and who may read: records hold the clients' handshakes and the sessions' values as they are, histories what
///   was said. Session ids and principals are not in the database, only digests.
///
/// # Limits
///
/// At most 10 connections, and 1 s of waiting for one ([`PostgresStore::pool_options`]). A deleted session leaves about
/// 100 bytes until its absolute end; if sessions have none, for ever. So does an owner who was barred, until the time that
/// was named then. The `now` of the layer decides what has expired: when the server's clock is more than 5 s from that of
/// this machine, connecting logs a warning.
///
/// # Examples
///
/// ```no_run
/// use tower_mcp_session::SessionLayer;
/// use tower_mcp_session::store::PostgresStore;
///
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PostgresStore::connect("postgres://mcp@127.0.0.1/mcp").await?;
/// let layer = SessionLayer::new(store);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    pool: PgPool,
}

impl PostgresStore {
    /// Connects to the database that `url` names, and makes the tables if they are not there.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unsupported`] if `url` names no database, or the tables are of a later version of this crate;
    /// [`StoreErrorKind::Unavailable`] if the database cannot be reached or refuses.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the tables may or may not have been made.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let pool = Self::pool_options().connect(url).await;
        Self::from_pool(pool.map_err(failure::unsent)?).await
    }

    /// Keeps sessions in the database of `pool`, and makes the tables if they are not there.
    ///
    /// # Errors
    ///
    /// As those of [`PostgresStore::connect`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the tables may or may not have been made.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use tower_mcp_session::store::PostgresStore;
    ///
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let options = PostgresStore::pool_options().max_connections(30);
    /// let pool = options.connect("postgres://mcp@127.0.0.1/mcp").await?;
    /// let store = PostgresStore::from_pool(pool).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn from_pool(pool: PgPool) -> Result<Self, StoreError> {
        schema::prepare(&pool, &SCHEMA).await?;
        let store = Self { pool };
        store.compare_clocks().await?;
        Ok(store)
    }

    /// The options that [`PostgresStore::connect`] uses: at most 10 connections, and 1 s of waiting for one, which is
    /// less than the layer waits for an answer. A connection that was not used for a second is tried before it is.
    pub fn pool_options() -> PgPoolOptions {
        PgPoolOptions::new()
            .max_connections(10)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // A statement is one round trip, not two, while connections are in use.
            .test_before_acquire(false)
            .before_acquire(|connection, last_use| {
                Box::pin(async move {
                    let is_fresh = last_use.idle_for < TRUSTED;
                    Ok(is_fresh || connection.ping().await.is_ok())
                })
            })
    }

    /// Warns of a server whose clock is far from ours. Its clock decides nothing, but the next instance may go by it.
    async fn compare_clocks(&self) -> Result<(), StoreError> {
        let before = SystemClock.now();
        let server = self
            .number(Access::Read, sqlx::query_as(SERVER_TIME))
            .await?;
        let after = SystemClock.now();
        let server = row::to_time(server.unwrap_or(0))?;
        if let Some(skew) = skew(before, server, after) {
            warn!(
                ?skew,
                "the clocks of this machine and of the session store differ"
            );
        }
        Ok(())
    }

    pub(super) async fn number(
        &self,
        access: Access,
        query: QueryAs<'_, Postgres, (i64,), PgArguments>,
    ) -> Result<Option<i64>, StoreError> {
        Ok(self.rows(access, query).await?.pop().map(|row| row.0))
    }

    pub(super) async fn rows<T>(
        &self,
        access: Access,
        query: QueryAs<'_, Postgres, T, PgArguments>,
    ) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        fetch(&self.pool, access, query).await
    }

    pub(super) async fn begin(&self) -> Result<Transaction<Postgres>, StoreError> {
        Transaction::begin(&self.pool, SCHEMA.begin, None).await
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

sql_store!(PostgresStore, DELETE_EXPIRED);

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);
const TRUSTED: Duration = Duration::from_secs(1);
