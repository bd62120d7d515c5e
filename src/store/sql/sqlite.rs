//! Sessions in an SQLite file.

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::FromRow;
use sqlx::query::QueryAs;
use sqlx::sqlite::{
    Sqlite, SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use super::contract::{RemovedRow, sql_store};
use super::failure::{self, Access};
use super::fetch::{Transaction, fetch};
use super::row::{self, SessionRow};
use super::sqlite_tables::{DELETE_EXPIRED, SCHEMA};
use super::{schema, statements};
use crate::clock;
use crate::session::{NewSession, SessionId, SessionKey, SessionRecord, Timestamp};
use crate::store::{
    Capabilities, EXPIRED_GRACE, HistoryStore, Revision, SessionIndex, SessionStore, StoreError,
    StoreErrorKind, Stored,
};

/// Keeps sessions in an SQLite file, for the instances of one machine.
///
/// A clone is another handle to the same sessions. A request of a session costs one statement, which writes at most
/// once in a touch interval; an update of values costs one more. SQLite itself is compiled in.
///
/// It keeps histories and has an index. An append reads and writes the whole history of its session, in two statements,
/// and waits for the disk as each write does. A page of a list is one statement, `count` looks at each row.
///
/// # What survives
///
/// What was acknowledged survives a process that is killed, and a power cut too if the disk keeps what it says it has
/// written: SQLite writes ahead to a log (`journal_mode` WAL) and waits for the disk at each commit (`synchronous`
/// FULL). With a pool of your own that says `synchronous` NORMAL, commits are faster, a killed process still loses
/// nothing, and a power cut may lose what was written since the last checkpoint: new sessions, values, and deletions, so
/// that sessions that were ended are there again until they expire.
///
/// # What to set up
///
/// - A directory on a local disk, not on a network file system, that only the server may read: beside the file there
///   are two more, `-wal` and `-shm`. A file that the store makes is its owner's alone (mode 0600); one that is there
///   keeps its mode. Records hold the clients' handshakes and the sessions' values as they are, histories what was said. Session ids and
///   principals are not in the file, only digests.
/// - Nothing else: the tables, `mcp_session`, `mcp_session_bar` and `mcp_session_schema`, are made when the store
///   connects. Several processes may do so at once, and use the file at the same time; one writes while the others wait. A call that
///   writes waits its turn among those of this store, however long that takes, and then at most 1 s for another process:
///   after that it fails as [`StoreErrorKind::Unavailable`].
/// - A moment, when the first process of a new version of this crate brings the tables to its own: those of version 1
///   are written anew. Processes that run go on, but for calls that write meanwhile. What they begin before they are
///   replaced is found by lists of an owner all the same; [`bar`](crate::store::SessionIndex::bar) ends it too, but for
///   what begins there after it: that ends at the next clean-up.
/// - Back-ups by SQLite's own means (`VACUUM INTO`, `.backup`), or of all three files of a stopped server.
///
/// # Limits
///
/// At most 4 connections, each of which is a thread, and 900 ms of waiting for one
/// ([`SqliteStore::pool_options`]). A deleted session leaves about 100 bytes until its absolute end; if sessions have
/// none, for ever. So does an owner who was barred, until the time that was named then. A database in memory is refused as
/// [`StoreErrorKind::Unsupported`]: each connection would have another, and [`MemoryStore`](crate::MemoryStore) does the
/// same with less.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::SessionLayer;
/// use tower_mcp_session::store::SqliteStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sessions.db");
/// let store = SqliteStore::connect(path).await?;
/// let layer = SessionLayer::new(store);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    pool: SqlitePool,
    /// SQLite has one writer at a time; here they wait in line, and hold no connection meanwhile.
    writer: Arc<Mutex<()>>,
}

impl SqliteStore {
    /// Opens the file at `path`, or named by a URL such as `sqlite:sessions.db`; makes it and its tables if they are not
    /// there.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unsupported`] for a URL that names no file, and for tables of a later version of this crate;
    /// [`StoreErrorKind::Corrupt`] if the file is no database; [`StoreErrorKind::Unavailable`] if it cannot be opened.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the file and its tables may or may not have been made.
    pub async fn connect(path: impl AsRef<Path> + Send) -> Result<Self, StoreError> {
        let options = Self::connect_options(path)?;
        make_private(options.get_filename())
            .map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?;
        let pool = Self::pool_options().connect_lazy_with(options);
        // Of several that open a new file at once, one turns it to writing ahead; SQLite does not let the others wait.
        let deadline = Instant::now() + OPEN_TIMEOUT;
        loop {
            match Self::from_pool(pool.clone()).await {
                Err(error) if failure::is_busy(&error) && Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(clock::spread(50))).await;
                }
                answer => return answer,
            }
        }
    }

    /// Keeps sessions in the file of `pool`, and makes the tables if they are not there.
    ///
    /// The options of the connections are yours; [`SqliteStore::connect_options`] has those that the promises above
    /// need.
    ///
    /// # Errors
    ///
    /// As those of [`SqliteStore::connect`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the tables may or may not have been made.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_mcp_session::store::SqliteStore;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("sessions.db");
    /// let options = SqliteStore::connect_options(path)?;
    /// let pool = SqliteStore::pool_options().max_connections(2).connect_with(options).await?;
    /// let store = SqliteStore::from_pool(pool).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn from_pool(pool: SqlitePool) -> Result<Self, StoreError> {
        let writer = Arc::new(Mutex::new(()));
        let store = Self { pool, writer };
        let in_file = store.number(Access::Read, sqlx::query_as(IN_FILE)).await?;
        if in_file != Some(1) {
            return Err(in_memory());
        }
        schema::prepare(&store.pool, &SCHEMA).await?;
        Ok(store)
    }

    /// The options that [`SqliteStore::connect`] uses for the file at `path`, or named by a URL.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unsupported`] for a URL that cannot be read, or names no file or a database in memory.
    pub fn connect_options(path: impl AsRef<Path>) -> Result<SqliteConnectOptions, StoreError> {
        let path = path.as_ref();
        let options = match path.to_str() {
            Some(url) if is_in_memory(url) => return Err(in_memory()),
            Some(url) if url.starts_with(SCHEME) => url.parse().map_err(failure::unsent)?,
            _ => SqliteConnectOptions::new().filename(path),
        };
        if options.get_filename().as_os_str().is_empty() {
            let error = "no file is named";
            return Err(StoreError::new(StoreErrorKind::Unsupported, error));
        }
        Ok(options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT))
    }

    /// The options of the pool that [`SqliteStore::connect`] uses: at most 4 connections, and 900 ms of waiting for one.
    pub fn pool_options() -> SqlitePoolOptions {
        SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
    }

    pub(super) async fn number(
        &self,
        access: Access,
        query: QueryAs<'_, Sqlite, (i64,), SqliteArguments>,
    ) -> Result<Option<i64>, StoreError> {
        Ok(self.rows(access, query).await?.pop().map(|row| row.0))
    }

    pub(super) async fn rows<T>(
        &self,
        access: Access,
        query: QueryAs<'_, Sqlite, T, SqliteArguments>,
    ) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        match access {
            Access::Write => self.rows_in_turn(&self.turn().await, query).await,
            Access::Read => fetch(&self.pool, access, query).await,
        }
    }

    /// The right to write, of those who do so through this store.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.writer).lock_owned().await
    }

    pub(super) async fn rows_in_turn<T>(
        &self,
        _turn: &OwnedMutexGuard<()>,
        query: QueryAs<'_, Sqlite, T, SqliteArguments>,
    ) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        fetch(&self.pool, Access::Write, query).await
    }

    pub(super) async fn begin(&self) -> Result<Transaction<Sqlite>, StoreError> {
        let turn = self.turn().await;
        Transaction::begin(&self.pool, SCHEMA.begin, Some(turn)).await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

sql_store!(SqliteStore, DELETE_EXPIRED);

fn is_in_memory(url: &str) -> bool {
    match url.strip_prefix(SCHEME) {
        Some(rest) => rest.ends_with(MEMORY) || rest.contains("mode=memory"),
        None => url == MEMORY,
    }
}

fn in_memory() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unsupported,
        "a database in memory is of one connection only",
    )
}

/// Makes an empty file for its owner alone, if there is none: SQLite would let others read it, and gives the files
/// beside it the same mode.
fn make_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

const IN_FILE: &str =
    "SELECT COUNT(*) FROM pragma_database_list WHERE name = 'main' AND file <> ''";

const SCHEME: &str = "sqlite:";
const MEMORY: &str = ":memory:";

const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(900);
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
