//! `SqliteStore`: the contract, files, restarts, several processes, what is written.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may unwrap as tests do"
)]

#[path = "support/sql.rs"]
mod sql;
#[path = "support/stores.rs"]
mod stores;

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sql::Tables;
use stores::{
    AUDIENCE, DAY, HOUR, a_later_handle_sees, add_value, after, begin, load, new_session, now,
    tombstones_go_after_the_absolute_end, two_handles_have_one_winner, two_handles_lose_nothing,
};
use tempfile::TempDir;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tower_mcp_session::store::sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use tower_mcp_session::store::sqlx::{Connection, query, query_as, query_scalar, raw_sql};
use tower_mcp_session::store::{SqliteStore, StoreErrorKind};
use tower_mcp_session::testing::{
    history_contract, index_contract, shared_store_contract, store_contract,
};
use tower_mcp_session::{SessionId, SessionKey, SessionStore, Timestamp};

store_contract!(file, fresh().await);
shared_store_contract!(two_pools, two_pools().await);
history_contract!(histories_of_two_clones, twice(fresh().await));
history_contract!(histories_of_two_pools, two_pools().await);
index_contract!(index_of_two_clones, twice(fresh().await));
index_contract!(index_of_two_pools, two_pools().await);

/// Two stores over one file.
async fn two_pools() -> (SqliteStore, SqliteStore) {
    let pool = fresh_pool(SqliteStore::pool_options()).await;
    let file = pool.connect_options().get_filename().to_owned();
    (
        SqliteStore::from_pool(pool).await.unwrap(),
        SqliteStore::connect(file).await.unwrap(),
    )
}

fn twice<S: Clone>(store: S) -> (S, S) {
    (store.clone(), store)
}

/// A store over a file of its own.
async fn fresh() -> SqliteStore {
    SqliteStore::from_pool(fresh_pool(SqliteStore::pool_options()).await)
        .await
        .unwrap()
}

/// A pool over a file of its own, which is there as long as the pool is: the pool keeps what it calls.
async fn fresh_pool(options: SqlitePoolOptions) -> SqlitePool {
    let folder = TempDir::new().unwrap();
    let file = SqliteStore::connect_options(folder.path().join("sessions.db")).unwrap();
    let options = options.after_connect(move |_, _| {
        let _kept = folder.path();
        Box::pin(async { Ok(()) })
    });
    options.connect_with(file).await.unwrap()
}

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::connect(path).await.unwrap()
}

#[tokio::test]
async fn sessions_and_tombstones_survive_a_restart() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sessions.db");
    let reopened = async || Arc::new(open(&path).await) as Arc<dyn SessionStore>;
    a_later_handle_sees(open(&path).await, reopened).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pools_over_one_file_lose_nothing() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sessions.db");
    let handles = [open(&path).await, open(&path).await].map(|store| Arc::new(store) as _);
    two_handles_lose_nothing(handles).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pools_over_one_file_have_one_winner_in_a_create_race() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sessions.db");
    let handles = [open(&path).await, open(&path).await].map(|store| Arc::new(store) as _);
    two_handles_have_one_winner(handles).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_connect_for_the_first_time_all_succeed() {
    for _ in 0..10 {
        let folder = TempDir::new().unwrap();
        let path = Arc::new(folder.path().join("sessions.db"));
        let barrier = Arc::new(Barrier::new(8));
        let mut tasks = JoinSet::new();
        for _ in 0..8 {
            let (path, barrier) = (Arc::clone(&path), Arc::clone(&barrier));
            tasks.spawn(async move {
                barrier.wait().await;
                let store = SqliteStore::connect(&*path).await?;
                Ok::<_, tower_mcp_session::store::StoreError>(begin(&store).await)
            });
        }
        let begun = tasks.join_all().await;
        let store = open(&path).await;
        for session in begun {
            let session = session.expect("a first connect succeeds");
            assert!(load(&store, &session.id).await.is_some());
        }
    }
}

#[tokio::test]
async fn tombstones_go_without_being_counted() {
    tombstones_go_after_the_absolute_end(&fresh().await).await;
}

#[tokio::test]
async fn an_ask_writes_nothing_and_a_touch_with_a_deadline_one_row() {
    let pool = fresh_pool(SqliteStore::pool_options()).await;
    let store = SqliteStore::from_pool(pool.clone()).await.unwrap();
    let session = begin(&store).await;
    // Another connection sees by its data_version whether anybody has committed.
    let mut observer = pool.acquire().await.unwrap();
    let mut version = async || -> i64 {
        query_scalar("PRAGMA data_version")
            .fetch_one(&mut *observer)
            .await
            .unwrap()
    };
    let before = version().await;
    for _ in 0..5 {
        let asked = store.touch(&session.key, now(), None).await.unwrap();
        assert_eq!(asked, Some(session.revision));
        assert!(load(&store, &session.id).await.is_some());
    }
    assert_eq!(version().await, before, "asking wrote something");

    let deadline = Some(after(HOUR * 2));
    store.touch(&session.key, now(), deadline).await.unwrap();
    assert_ne!(version().await, before, "a touch wrote nothing");
}

#[tokio::test]
async fn only_digests_are_in_the_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sessions.db");
    let store = open(&path).await;
    let session = begin(&store).await;
    drop(store);
    let id = session.id.expose();
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    assert!(contains(&bytes, session.key.as_bytes()));
    assert!(!contains(&bytes, id.as_bytes()));
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_corrupt_and_hurts_no_other() {
    let pool = fresh_pool(SqliteStore::pool_options()).await;
    let store = SqliteStore::from_pool(pool.clone()).await.unwrap();
    let sound = begin(&store).await;
    for damage in [
        "UPDATE mcp_session SET record = x'00' WHERE session_key = $1",
        "UPDATE mcp_session SET record = x'ff7b' WHERE session_key = $1",
        "UPDATE mcp_session SET record = CAST('{}' AS BLOB) WHERE session_key = $1",
        "UPDATE mcp_session SET revision = 0 WHERE session_key = $1",
        "UPDATE mcp_session SET last_activity = -1 WHERE session_key = $1",
    ] {
        let session = begin(&store).await;
        let done = query(damage).bind(&session.key.as_bytes()[..]);
        assert_eq!(done.execute(&pool).await.unwrap().rows_affected(), 1);
        let error = store.load(AUDIENCE, &session.id, now()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{damage}");
        assert!(store.delete(&session.key, now()).await.unwrap());
        assert!(load(&store, &session.id).await.is_none());
    }
    assert!(load(&store, &sound.id).await.is_some());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_kept() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sessions.db");
    let text = "not a database, and longer than the head of one: ".repeat(10);
    std::fs::write(&path, &text).unwrap();
    let error = SqliteStore::connect(&path).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn databases_in_memory_are_refused_and_leave_no_file() {
    let before = names(Path::new("."));
    for url in [":memory:", "sqlite::memory:", "sqlite://file?mode=memory"] {
        let error = SqliteStore::connect(url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{url}");
    }
    for url in ["sqlite::memory:", "sqlite://file?mode=memory"] {
        let pool = SqlitePool::connect(url).await.unwrap();
        let error = SqliteStore::from_pool(pool).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{url}");
    }
    assert_eq!(names(Path::new(".")), before);
}

fn names(folder: &Path) -> BTreeSet<OsString> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

#[tokio::test]
async fn a_path_that_cannot_be_is_unavailable_and_a_wrong_url_unsupported() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("missing").join("sessions.db");
    let error = SqliteStore::connect(path).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    for url in ["sqlite:x?mode=sideways", "sqlite:", "sqlite://", ""] {
        let error = SqliteStore::connect(url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{url}");
    }
}

#[tokio::test]
async fn a_url_names_a_file_as_a_path_does() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("odd name %20 \u{e9}.db");
    let session = begin(&open(&path).await).await;
    let url = format!("sqlite:{}", path.display()).replace('%', "%25");
    let store = SqliteStore::connect(url).await.unwrap();
    assert!(load(&store, &session.id).await.is_some());
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let store = open(&folder.path().join("sessions.db")).await;
    begin(&store).await;
    let mut count = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        count += 1;
    }
    assert_eq!(count, 3, "the file, its log and its index");
}

#[tokio::test]
async fn commits_wait_for_the_disk_and_go_to_a_log() {
    let folder = TempDir::new().unwrap();
    let options = SqliteStore::connect_options(folder.path().join("sessions.db")).unwrap();
    let pool = SqliteStore::pool_options()
        .connect_with(options)
        .await
        .unwrap();
    let mode: String = query_scalar("PRAGMA journal_mode")
        .fetch_one(&pool)
        .await
        .unwrap();
    let synchronous: i64 = query_scalar("PRAGMA synchronous")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!((mode.as_str(), synchronous), ("wal", 2));
}

#[tokio::test]
async fn tables_of_a_later_version_are_refused() {
    let pool = fresh_pool(SqliteStore::pool_options()).await;
    SqliteStore::from_pool(pool.clone()).await.unwrap();
    let later = query("INSERT INTO mcp_session_schema (version) VALUES (1000)");
    later.execute(&pool).await.unwrap();
    let error = SqliteStore::from_pool(pool).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unsupported);
}

/// The tables as version 1 made them.
const VERSION_1: &str = "
    CREATE TABLE mcp_session_schema (version INTEGER NOT NULL PRIMARY KEY);
    CREATE TABLE mcp_session (
        session_key BLOB NOT NULL PRIMARY KEY,
        revision INTEGER NOT NULL,
        last_activity INTEGER NOT NULL,
        idle_deadline INTEGER NOT NULL,
        absolute_end INTEGER NOT NULL,
        record BLOB
    ) STRICT;
    CREATE INDEX mcp_session_end ON mcp_session (
        (CASE WHEN record IS NULL THEN absolute_end ELSE idle_deadline END)
    );
    INSERT INTO mcp_session_schema (version) VALUES (1)";

impl Tables for SqlitePool {
    async fn number(&self, query: &'static str) -> i64 {
        query_scalar(query).fetch_one(self).await.unwrap()
    }

    async fn run(&self, statement: &'static str, key: &SessionKey, record: &[u8]) {
        let millis = |time: Timestamp| time.as_millis() as i64;
        let done = query(statement)
            .bind(&key.as_bytes()[..])
            .bind(record)
            .bind(millis(now()))
            .bind(millis(after(DAY)));
        let done = done.execute(self).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{statement}");
    }
}

/// A store, and the tables that it is over.
async fn fresh_with_tables() -> (SqliteStore, SqlitePool) {
    let pool = fresh_pool(SqliteStore::pool_options()).await;
    let store = SqliteStore::from_pool(pool.clone()).await.unwrap();
    (store, pool)
}

#[tokio::test]
async fn sessions_of_version_1_of_the_tables_go_on() {
    let pool = fresh_pool(SqliteStore::pool_options()).await;
    raw_sql(VERSION_1).execute(&pool).await.unwrap();
    let open = async { SqliteStore::from_pool(pool.clone()).await.unwrap() };
    sql::sessions_of_version_1_go_on(&pool, open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_bring_version_1_of_the_tables_to_the_present() {
    for _ in 0..5 {
        let pool = fresh_pool(SqliteStore::pool_options()).await;
        raw_sql(VERSION_1).execute(&pool).await.unwrap();
        let file = pool.connect_options().get_filename().to_owned();
        let open = || {
            let file = file.clone();
            async move { open(&file).await }
        };
        sql::several_bring_version_1_to_the_present(&pool, open).await;
    }
}

#[tokio::test]
async fn a_session_that_gets_another_owner_is_that_ones() {
    sql::a_session_that_gets_another_owner_is_that_ones(&fresh().await).await;
}

#[tokio::test]
async fn an_instance_of_version_1_of_the_tables_goes_on_beside() {
    let (store, pool) = fresh_with_tables().await;
    sql::an_instance_of_version_1_goes_on_beside(&store, &pool).await;
}

#[tokio::test]
async fn clean_up_finds_what_version_1_began_after_a_bar() {
    let (store, pool) = fresh_with_tables().await;
    sql::clean_up_finds_what_version_1_began_after_a_bar(&store, &pool).await;
}

#[tokio::test]
async fn nothing_of_a_history_is_left_in_the_table() {
    let (store, pool) = fresh_with_tables().await;
    sql::nothing_of_a_history_is_left(&store, &pool).await;
}

#[tokio::test]
async fn an_append_beside_an_end_leaves_nothing() {
    let pool = fresh_pool(SqliteStore::pool_options()).await;
    let file = pool.connect_options().get_filename().to_owned();
    let store = SqliteStore::from_pool(pool.clone()).await.unwrap();
    let other = open(&file).await;
    sql::an_append_beside_an_end_leaves_nothing([&store, &other], &pool).await;
}

#[tokio::test]
async fn what_was_created_while_its_owner_was_barred_is_gone() {
    let (store, pool) = fresh_with_tables().await;
    sql::what_was_created_while_its_owner_was_barred_is_gone(&store, &pool).await;
}

#[tokio::test]
async fn bars_go_after_their_time() {
    let (store, pool) = fresh_with_tables().await;
    sql::bars_go_after_their_time(&store, &pool).await;
}

#[tokio::test]
async fn a_history_that_cannot_be_read_is_corrupt_and_can_be_cleared() {
    let (store, pool) = fresh_with_tables().await;
    sql::a_history_that_cannot_be_read_is_corrupt(&store, &pool).await;
}

#[tokio::test]
async fn what_is_looked_for_is_found_by_an_index() {
    let (_store, pool) = fresh_with_tables().await;
    for (plan, index) in [
        (
            "EXPLAIN QUERY PLAN SELECT session_key FROM mcp_session
             WHERE session_key > x'' AND owner = x'01' ORDER BY session_key LIMIT 10",
            "mcp_session_owner",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT session_key, record FROM mcp_session
             WHERE created IS NULL AND record IS NOT NULL ORDER BY session_key LIMIT 10",
            "mcp_session_untold",
        ),
        (
            "EXPLAIN QUERY PLAN UPDATE mcp_session SET history = NULL
             WHERE record IS NULL AND history IS NOT NULL",
            "mcp_session_left",
        ),
    ] {
        let rows: Vec<(i64, i64, i64, String)> = query_as(plan).fetch_all(&pool).await.unwrap();
        assert!(rows[0].3.contains(index), "{rows:?}");
    }
}

#[tokio::test]
async fn connecting_again_writes_nothing() {
    let pool = fresh_pool(SqliteStore::pool_options()).await;
    SqliteStore::from_pool(pool.clone()).await.unwrap();
    let mut writer = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    // It would wait for the writer, and fail, if it wrote.
    SqliteStore::from_pool(pool.clone()).await.unwrap();
    writer.ping().await.unwrap();
}

#[tokio::test]
async fn a_file_that_another_writes_to_for_long_is_unavailable_and_can_be_read() {
    let pool = fresh_pool(SqliteStore::pool_options()).await;
    let store = SqliteStore::from_pool(pool.clone()).await.unwrap();
    let session = begin(&store).await;
    let writer = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error = store.delete(&session.key, now()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(load(&store, &session.id).await.is_some());
    writer.rollback().await.unwrap();
    assert!(store.delete(&session.key, now()).await.unwrap());
}

#[tokio::test]
async fn writers_that_wait_leave_connections_to_readers() {
    let options = SqliteStore::pool_options().max_connections(3);
    let pool = fresh_pool(options).await;
    let store = SqliteStore::from_pool(pool.clone()).await.unwrap();
    let session = begin(&store).await;
    let writer = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..10 {
        let store = store.clone();
        let mut call =
            tokio_test::task::spawn(async move { store.delete(&session.key, now()).await });
        assert!(call.poll().is_pending());
        waiting.push(call);
    }
    for _ in 0..10 {
        assert!(load(&store, &session.id).await.is_some());
    }
    drop(waiting);
    writer.rollback().await.unwrap();
    // One of the calls may have come to it all the same.
    store.delete(&session.key, now()).await.unwrap();
    assert!(load(&store, &session.id).await.is_none());
}

#[tokio::test]
async fn calls_that_are_dropped_leave_the_pool_sound() {
    let options = SqliteStore::pool_options().max_connections(2);
    let pool = fresh_pool(options).await;
    let store = SqliteStore::from_pool(pool.clone()).await.unwrap();
    let session = begin(&store).await;
    let writer = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    for _ in 0..20 {
        let call = store.delete(&session.key, now());
        // It waits for the writer, which waits for us.
        let dropped = tokio::time::timeout(Duration::from_millis(5), call).await;
        assert!(dropped.is_err());
        let call = sql::append(&store, &session.key, "late");
        let dropped = tokio::time::timeout(Duration::from_millis(5), call).await;
        assert!(dropped.is_err());
    }
    writer.rollback().await.unwrap();
    let [one, other] = [begin(&store).await, begin(&store).await];
    add_value(&store, &one.id, "added").await;
    assert!(store.delete(&other.key, now()).await.unwrap());
    let removed = store.delete_expired(after(DAY * 2), 10).await.unwrap();
    assert!(removed.contains(&one.key));
}

#[test]
fn a_call_that_is_dropped_outside_of_its_runtime_leaves_the_pool_sound() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (pool, store, writer) = runtime.block_on(async {
        let options = SqliteStore::pool_options().max_connections(2);
        let pool = fresh_pool(options).await;
        let store = SqliteStore::from_pool(pool.clone()).await.unwrap();
        let writer = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        (pool, store, writer)
    });
    let id = SessionId::random().unwrap();
    let mut call = tokio_test::task::spawn(store.create(&id, new_session("dropped")));
    runtime.block_on(async {
        // Until it has the other connection, and waits for the writer.
        while pool.num_idle() > 0 || pool.size() < 2 {
            assert!(call.poll().is_pending());
            tokio::task::yield_now().await;
        }
    });
    drop(call);
    runtime.block_on(async {
        writer.rollback().await.unwrap();
        for _ in 0..4 {
            begin(&store).await;
        }
    });
}

#[test]
fn a_store_outlives_the_runtime_that_it_was_made_in() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let (store, session) = runtime().block_on(async {
        let store = fresh().await;
        let session = begin(&store).await;
        (store, session)
    });
    runtime().block_on(async {
        add_value(&store, &session.id, "added").await;
        assert!(store.delete(&session.key, now()).await.unwrap());
    });
}

/// Two processes write to one file; one of them is killed in the middle, then the other. What each was told is done is
/// there, and the file is sound.
///
/// The processes are this test again, told by the environment which file it is.
#[tokio::test]
async fn what_a_killed_process_was_told_is_done_is_there() {
    if let Some(path) = env::var_os(FILE) {
        return write_without_end(&open(Path::new(&path)).await).await;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sessions.db");
    let mut acknowledged = Vec::new();
    let [mut first, mut second] = [Writer::start(&path), Writer::start(&path)];
    for _ in 0..30 {
        acknowledged.extend([first.next(), second.next()]);
    }
    acknowledged.extend(first.kill());
    for _ in 0..30 {
        acknowledged.push(second.next());
    }
    acknowledged.extend(second.kill());

    let store = open(&path).await;
    for id in &acknowledged {
        let id = SessionId::parse(id.as_bytes()).unwrap();
        let session = load(&store, &id).await.expect("it was acknowledged");
        assert!(session.record.values().contains("added"));
        let history = store.history().expect("it keeps histories");
        let said = history.recent(&session.key, now(), 9).await.unwrap();
        assert_eq!(said.len(), 1, "it was appended before it was acknowledged");
    }
    let pool = SqlitePool::connect_with(SqliteStore::connect_options(&path).unwrap()).await;
    let sound: String = query_scalar("PRAGMA integrity_check")
        .fetch_one(&pool.unwrap())
        .await
        .unwrap();
    assert_eq!(sound, "ok");
}

/// Begins sessions, adds a value and a message to each, and says so, line by line.
async fn write_without_end(store: &SqliteStore) {
    loop {
        let session = begin(store).await;
        add_value(store, &session.id, "added").await;
        sql::append(store, &session.key, "said").await;
        let line = format!("{MARK}{}\n", session.id.expose());
        let mut out = std::io::stdout();
        out.write_all(line.as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

/// A process that writes to a file until it is killed.
struct Writer {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Writer {
    fn start(path: &Path) -> Self {
        let name = "what_a_killed_process_was_told_is_done_is_there";
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(FILE, path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The id of the next session that was acknowledged.
    fn next(&mut self) -> String {
        self.ids().next().expect("it writes until it is killed")
    }

    /// Kills the process; gives what it had said meanwhile.
    fn kill(mut self) -> Vec<String> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        // A line without an end was not said.
        self.ids().filter(|id| id.len() == 32).collect()
    }

    fn ids(&mut self) -> impl Iterator<Item = String> {
        let lines = self.lines.by_ref().map_while(Result::ok);
        // The harness writes lines of its own, and the name of the test before our first one.
        lines.filter_map(|line| line.split_once(MARK).map(|(_, id)| id.to_owned()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It has ended if `kill` was called, or by itself.
        let _: std::io::Result<()> = self.process.kill();
        let _: std::io::Result<std::process::ExitStatus> = self.process.wait();
    }
}

const FILE: &str = "MCP_TEST_SQLITE_FILE";
const MARK: &str = "acknowledged ";
