//! `PostgresStore`: the contract, first connects, what is written, a server that stops, connections that are cut.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may unwrap as tests do"
)]

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/sql.rs"]
mod sql;
#[path = "support/stores.rs"]
mod stores;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postgres::{PostgresServer, Stop};
use sql::Tables;
use stores::{
    AUDIENCE, DAY, HOUR, a_later_handle_sees, add_value, after, begin, load, new_session, now,
    record, tombstones_go_after_the_absolute_end, two_handles_have_one_winner,
    two_handles_lose_nothing,
};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, broadcast};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tower_mcp_session::store::sqlx::postgres::{PgConnection, PgPool};
use tower_mcp_session::store::sqlx::{AssertSqlSafe, Connection, query, query_scalar, raw_sql};
use tower_mcp_session::store::{PostgresStore, StoreError, StoreErrorKind};
use tower_mcp_session::testing::{
    history_contract, index_contract, shared_store_contract, store_contract,
};
use tower_mcp_session::{HistoryLimits, SessionId, SessionKey, SessionStore, Timestamp};

store_contract!(schema, fresh().await);
shared_store_contract!(two_pools, two_pools().await);
history_contract!(histories_of_two_pools, two_pools().await);
index_contract!(index_of_two_pools, two_pools().await);

/// Two stores over one schema.
async fn two_pools() -> (PostgresStore, PostgresStore) {
    let url = fresh_url().await;
    let open = async || {
        // So many at once wait for each other longer than a request may.
        let options = PostgresStore::pool_options().max_connections(4);
        let pool = options.acquire_timeout(PATIENCE).connect(&url).await;
        PostgresStore::from_pool(pool.unwrap()).await.unwrap()
    };
    (open().await, open().await)
}

/// A store over a schema of its own.
async fn fresh() -> PostgresStore {
    open(&PostgresServer::shared().await.fresh_schema().await).await
}

async fn fresh_url() -> String {
    PostgresServer::shared().await.fresh_schema().await
}

async fn open(url: &str) -> PostgresStore {
    PostgresStore::from_pool(pool(url, 4).await).await.unwrap()
}

/// A pool of fewer connections than by default: many tests share one server.
async fn pool(url: &str, connections: u32) -> PgPool {
    let options = PostgresStore::pool_options().max_connections(connections);
    options.connect(url).await.unwrap()
}

#[tokio::test]
async fn sessions_and_tombstones_are_seen_by_later_handles() {
    let url = fresh_url().await;
    let later = async || Arc::new(open(&url).await) as Arc<dyn SessionStore>;
    let earlier = PostgresStore::connect(&url).await.unwrap();
    a_later_handle_sees(earlier, later).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pools_over_one_database_lose_nothing() {
    let url = fresh_url().await;
    let handles = [open(&url).await, open(&url).await].map(|store| Arc::new(store) as _);
    two_handles_lose_nothing(handles).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pools_over_one_database_have_one_winner_in_a_create_race() {
    let url = fresh_url().await;
    let handles = [open(&url).await, open(&url).await].map(|store| Arc::new(store) as _);
    two_handles_have_one_winner(handles).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_connect_for_the_first_time_all_succeed() {
    for _ in 0..5 {
        let url = Arc::new(fresh_url().await);
        let barrier = Arc::new(Barrier::new(8));
        let mut tasks = JoinSet::new();
        for _ in 0..8 {
            let (url, barrier) = (Arc::clone(&url), Arc::clone(&barrier));
            tasks.spawn(async move {
                let pool = pool(&url, 1).await;
                barrier.wait().await;
                let store = PostgresStore::from_pool(pool).await?;
                Ok::<_, StoreError>(begin(&store).await)
            });
        }
        let begun = tasks.join_all().await;
        let store = open(&url).await;
        for session in begun {
            let session = session.expect("a first connect succeeds");
            assert!(load(&store, &session.id).await.is_some());
        }
    }
}

#[tokio::test]
async fn a_role_that_may_not_create_uses_the_tables_that_are_there() {
    let url = fresh_url().await;
    let owner = open(&url).await;
    let session = begin(&owner).await;
    let store = open(&may_not_create(&url).await).await;
    add_value(&store, &session.id, "added").await;
    assert!(store.delete(&session.key, now()).await.unwrap());
    assert_eq!(store.delete_expired(after(HOUR), 10).await.unwrap(), []);
}

#[tokio::test]
async fn tables_of_a_later_version_are_refused() {
    let pool = pool(&fresh_url().await, 2).await;
    PostgresStore::from_pool(pool.clone()).await.unwrap();
    let later = query("INSERT INTO mcp_session_schema (version) VALUES (1000)");
    later.execute(&pool).await.unwrap();
    let error = PostgresStore::from_pool(pool).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unsupported);
}

/// The tables as version 1 made them.
const VERSION_1: &str = "
    CREATE TABLE mcp_session_schema (version BIGINT NOT NULL PRIMARY KEY);
    CREATE TABLE mcp_session (
        session_key BYTEA NOT NULL PRIMARY KEY,
        revision BIGINT NOT NULL,
        last_activity BIGINT NOT NULL,
        idle_deadline BIGINT NOT NULL,
        absolute_end BIGINT NOT NULL,
        record BYTEA
    );
    CREATE INDEX mcp_session_end ON mcp_session (
        (CASE WHEN record IS NULL THEN absolute_end ELSE idle_deadline END)
    );
    INSERT INTO mcp_session_schema (version) VALUES (1)";

impl Tables for PgPool {
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
/// The same schema for a role that may use the tables that are there now, and make none.
async fn may_not_create(url: &str) -> String {
    let schema = schema_of(url);
    run(format!(
        "CREATE ROLE {schema} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {schema}"
    ))
    .await;
    grant(url).await;
    url.replace("postgres@", &format!("{schema}@"))
}

async fn grant(url: &str) {
    let schema = schema_of(url);
    let rights = "SELECT, INSERT, UPDATE, DELETE";
    run(format!(
        "GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO {schema}"
    ))
    .await;
}

fn schema_of(url: &str) -> &str {
    url.rsplit_once('=').unwrap().1
}

async fn run(statement: String) {
    let mut connection = PostgresServer::shared().await.connection().await;
    let statement = raw_sql(AssertSqlSafe(statement));
    statement.execute(&mut connection).await.unwrap();
}

async fn fresh_with_tables() -> (PostgresStore, PgPool) {
    let pool = pool(&fresh_url().await, 2).await;
    let store = PostgresStore::from_pool(pool.clone()).await.unwrap();
    (store, pool)
}

#[tokio::test]
async fn sessions_of_version_1_of_the_tables_go_on() {
    let pool = pool(&fresh_url().await, 2).await;
    raw_sql(VERSION_1).execute(&pool).await.unwrap();
    let open = async { PostgresStore::from_pool(pool.clone()).await.unwrap() };
    sql::sessions_of_version_1_go_on(&pool, open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_bring_version_1_of_the_tables_to_the_present() {
    for _ in 0..3 {
        let url = fresh_url().await;
        let pool = pool(&url, 2).await;
        raw_sql(VERSION_1).execute(&pool).await.unwrap();
        let open = || {
            let url = url.clone();
            async move { open(&url).await }
        };
        sql::several_bring_version_1_to_the_present(&pool, open).await;
    }
}

#[tokio::test]
async fn a_role_that_may_not_change_the_tables_of_version_1_leaves_them_as_they_are() {
    let url = fresh_url().await;
    let pool = pool(&url, 2).await;
    raw_sql(VERSION_1).execute(&pool).await.unwrap();
    let role = may_not_create(&url).await;
    let refused = PostgresStore::connect(&role).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    let version = "SELECT MAX(version) FROM mcp_session_schema";
    assert_eq!(pool.number(version).await, 1);

    // Those of the present version need their rights on what has come.
    open(&url).await;
    let id = SessionId::random().unwrap();
    let refused = open(&role).await.load(AUDIENCE, &id, now()).await;
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Unavailable);
    grant(&url).await;
    begin(&open(&role).await).await;
}

/// Whoever waits for a whole table holds up all who come after: instances that run would stand still until then.
#[tokio::test]
async fn tables_that_others_read_for_long_are_left_as_they_are() {
    let url = fresh_url().await;
    let pool = pool(&url, 2).await;
    raw_sql(VERSION_1).execute(&pool).await.unwrap();
    let mut backup = PgConnection::connect(&url).await.unwrap();
    let read = raw_sql("BEGIN; SELECT 1 FROM mcp_session");
    read.execute(&mut backup).await.unwrap();
    let opened = timeout(PATIENCE, PostgresStore::connect(&url)).await;
    let error = opened.expect("it gives up").unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert_eq!(pool.number("SELECT COUNT(*) FROM mcp_session").await, 0);

    raw_sql("ROLLBACK").execute(&mut backup).await.unwrap();
    begin(&open(&url).await).await;
}

/// What waits for a session that is ended meanwhile had begun before there was a mark, and finds the session gone all the
/// same; what had its turn before is ended with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bar_ends_a_session_whoever_waits_for_it() {
    for bar_waits_first in [true, false] {
        let url = fresh_url().await;
        let store = PostgresStore::from_pool(pool(&url, 3).await).await.unwrap();
        let (tables, beside) = (pool(&url, 1).await, open(&url).await);
        let session = sql::begin_owned(&store).await;
        sql::append(&store, &session.key, "said").await;
        let mut other = PgConnection::connect(&url).await.unwrap();
        let lock = raw_sql("BEGIN; SELECT 1 FROM mcp_session FOR UPDATE");
        lock.execute(&mut other).await.unwrap();

        let others = async || {
            let limits = HistoryLimits::default();
            let append = store.history().unwrap();
            let append = append.append(&session.key, now(), vec![sql::said("late")], limits);
            let record = Arc::new(sql::owned());
            let deadline = Some(after(HOUR * 2));
            let (touched, saved, appended) = tokio::join!(
                store.touch(&session.key, now(), deadline),
                store.save(&session.key, record, session.revision),
                append,
            );
            touched.unwrap();
            for result in [saved.map(drop), appended] {
                let kind = result.err().map(|error| error.kind());
                assert!(
                    matches!(kind, None | Some(StoreErrorKind::Gone)),
                    "{kind:?}"
                );
            }
        };
        let (for_bar, for_others) = if bar_waits_first { (0, 1) } else { (3, 0) };
        let bar = async {
            waiting_in_all(&tables, for_bar).await;
            sql::bar(&beside, now()).await;
        };
        let others = async {
            waiting_in_all(&tables, for_others).await;
            others().await;
        };
        let release = async {
            waiting_in_all(&tables, 4).await;
            raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        };
        tokio::join!(bar, others, release);
        assert!(load(&store, &session.id).await.is_none());
        assert_eq!(tables.number(sql::HISTORIES).await, 0);
    }
}

/// Comes back once so many connections wait for the sessions of one schema, for each other too.
async fn waiting_in_all(schema: &PgPool, count: i64) {
    let waiting = "SELECT COUNT(DISTINCT waiting.pid)
        FROM pg_locks AS waiting JOIN pg_locks AS held ON held.pid = waiting.pid
        WHERE NOT waiting.granted AND held.relation = 'mcp_session'::regclass";
    while query_scalar::<_, i64>(waiting)
        .fetch_one(schema)
        .await
        .unwrap()
        < count
    {
        tokio::task::yield_now().await;
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
    let url = fresh_url().await;
    let pool = pool(&url, 2).await;
    let store = PostgresStore::from_pool(pool.clone()).await.unwrap();
    let other = open(&url).await;
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
async fn wrong_urls_and_absent_servers_are_told_apart() {
    for (url, kind) in [
        (
            "postgres://127.0.0.1:1/nowhere",
            StoreErrorKind::Unavailable,
        ),
        (
            "mysql://127.0.0.1/x?sslmode=sideways",
            StoreErrorKind::Unsupported,
        ),
    ] {
        let error = PostgresStore::connect(url).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{url}");
    }
}

#[tokio::test]
async fn tombstones_go_without_being_counted() {
    tombstones_go_after_the_absolute_end(&fresh().await).await;
}

#[tokio::test]
async fn an_ask_writes_nothing_and_a_touch_with_a_deadline_one_row() {
    let pool = pool(&fresh_url().await, 2).await;
    let store = PostgresStore::from_pool(pool.clone()).await.unwrap();
    let session = begin(&store).await;
    // Each write of a row gives it the number of another transaction.
    let row = async || -> String {
        query_scalar("SELECT xmin::TEXT FROM mcp_session")
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    let before = row().await;
    for _ in 0..5 {
        let asked = store.touch(&session.key, now(), None).await.unwrap();
        assert_eq!(asked, Some(session.revision));
        assert!(load(&store, &session.id).await.is_some());
    }
    assert_eq!(row().await, before, "asking wrote something");

    let deadline = Some(after(HOUR * 2));
    store.touch(&session.key, now(), deadline).await.unwrap();
    assert_ne!(row().await, before, "a touch wrote nothing");
}

#[tokio::test]
async fn what_is_looked_for_is_found_by_an_index() {
    let pool = pool(&fresh_url().await, 1).await;
    let store = PostgresStore::from_pool(pool.clone()).await.unwrap();
    begin(&store).await;
    let mut connection = pool.acquire().await.unwrap();
    let off = raw_sql("SET enable_seqscan = off; SET enable_bitmapscan = off");
    off.execute(&mut *connection).await.unwrap();
    for (plan, index) in [
        (
            "EXPLAIN SELECT session_key FROM mcp_session
             WHERE CASE WHEN record IS NULL THEN absolute_end ELSE idle_deadline END <= 1
             LIMIT 10 FOR UPDATE SKIP LOCKED",
            "mcp_session_end",
        ),
        (
            "EXPLAIN SELECT session_key FROM mcp_session
             WHERE session_key > '' AND owner = '1' ORDER BY session_key LIMIT 10",
            "mcp_session_owner",
        ),
        (
            "EXPLAIN SELECT session_key, record FROM mcp_session
             WHERE created IS NULL AND record IS NOT NULL ORDER BY session_key LIMIT 10",
            "mcp_session_untold",
        ),
        (
            "EXPLAIN UPDATE mcp_session SET history = NULL
             WHERE record IS NULL AND history IS NOT NULL",
            "mcp_session_left",
        ),
    ] {
        let plan = query_scalar(plan).fetch_all(&mut *connection).await;
        let plan: Vec<String> = plan.unwrap();
        assert!(plan.concat().contains(index), "{plan:?}");
    }
}

#[tokio::test]
async fn clean_up_does_not_wait_for_a_session_that_another_is_at() {
    let url = fresh_url().await;
    let store = open(&url).await;
    let [held, free] = [begin(&store).await, begin(&store).await];
    let mut other = PgConnection::connect(&url).await.unwrap();
    let mut transaction = other.begin().await.unwrap();
    query("SELECT 1 FROM mcp_session WHERE session_key = $1 FOR UPDATE")
        .bind(&held.key.as_bytes()[..])
        .execute(&mut *transaction)
        .await
        .unwrap();
    let late = after(HOUR * 2);
    let removed = timeout(PATIENCE, store.delete_expired(late, 10)).await;
    assert_eq!(removed.expect("it does not wait").unwrap(), [free.key]);
    transaction.rollback().await.unwrap();
    assert_eq!(store.delete_expired(late, 10).await.unwrap(), [held.key]);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_corrupt_and_hurts_no_other() {
    let pool = pool(&fresh_url().await, 2).await;
    let store = PostgresStore::from_pool(pool.clone()).await.unwrap();
    let sound = begin(&store).await;
    for damage in [
        r"UPDATE mcp_session SET record = '\x00' WHERE session_key = $1",
        r"UPDATE mcp_session SET record = '{}'::BYTEA WHERE session_key = $1",
        "UPDATE mcp_session SET revision = 0 WHERE session_key = $1",
        "UPDATE mcp_session SET last_activity = -1 WHERE session_key = $1",
    ] {
        let session = begin(&store).await;
        let done = query(damage).bind(&session.key.as_bytes()[..]);
        assert_eq!(done.execute(&pool).await.unwrap().rows_affected(), 1);
        let error = store.load(AUDIENCE, &session.id, now()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{damage}");
        assert!(store.delete(&session.key, now()).await.unwrap());
    }
    assert!(load(&store, &sound.id).await.is_some());
}

#[tokio::test]
async fn a_database_of_another_encoding_harms_no_value() {
    let server = PostgresServer::shared().await;
    let mut connection = server.connection().await;
    let create = "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'";
    raw_sql(create).execute(&mut connection).await.unwrap();
    let url = server.url();
    let (server, _) = url.rsplit_once('/').unwrap();
    let store = open(&format!("{server}/latin")).await;
    let session = begin(&store).await;
    add_value(&store, &session.id, "\u{1f980} \u{0} \u{10ffff}").await;
    let found = load(&store, &session.id).await.unwrap();
    assert!(found.record.values().contains("\u{1f980} \u{0} \u{10ffff}"));
}

#[tokio::test]
async fn a_server_whose_clock_is_far_away_is_warned_of_once() {
    let url = fresh_url().await;
    let schema = url.rsplit_once('=').unwrap().1.to_owned();
    let mut connection = PostgresServer::shared().await.connection().await;
    for (ahead, warnings) in [("4 seconds", 0), ("1 minute", 1), ("-1 minute", 1)] {
        // Found before the server's own function of this name.
        let clock = format!(
            "CREATE OR REPLACE FUNCTION {schema}.clock_timestamp() RETURNS timestamptz LANGUAGE sql
             AS $$ SELECT pg_catalog.clock_timestamp() + '{ahead}'::interval $$"
        );
        let clock = AssertSqlSafe(clock);
        raw_sql(clock).execute(&mut connection).await.unwrap();
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_writer(move || writer.clone())
            .finish();
        let listening = tracing::subscriber::set_default(subscriber);
        open(&format!("{url},pg_catalog")).await;
        drop(listening);
        let text = log.text();
        assert_eq!(text.matches("clocks").count(), warnings, "{ahead}: {text}");
    }
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn only_digests_are_in_the_tables() {
    let pool = pool(&fresh_url().await, 2).await;
    let store = PostgresStore::from_pool(pool.clone()).await.unwrap();
    let session = begin(&store).await;
    let row: String = query_scalar("SELECT ROW(mcp_session.*)::TEXT FROM mcp_session")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(row.contains(&session.key.to_string()));
    assert!(!row.contains(&session.id.expose()));
}

/// A store over a table that another connection has locked, and that connection.
async fn locked_table(connections: u32) -> (PostgresStore, PgConnection) {
    let url = fresh_url().await;
    let store = PostgresStore::from_pool(pool(&url, connections).await);
    let store = store.await.unwrap();
    let mut other = PgConnection::connect(&url).await.unwrap();
    let lock = raw_sql("BEGIN; LOCK TABLE mcp_session IN ACCESS EXCLUSIVE MODE");
    begin(&store).await;
    lock.execute(&mut other).await.unwrap();
    (store, other)
}

/// The server's process of a connection that waits for `other`, once so many do.
async fn waiting_for(other: &mut PgConnection, count: usize) -> i32 {
    loop {
        let found = query_scalar(
            "SELECT pid FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))",
        );
        let found: Vec<i32> = found.fetch_all(&mut *other).await.unwrap();
        if found.len() == count {
            return found[0];
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_cut_in_mid_command_leaves_writes_unknown_and_reads_unavailable() {
    type Call = fn(PostgresStore) -> JoinHandle<Result<(), StoreError>>;
    let create: Call = |store| {
        tokio::spawn(async move {
            let id = SessionId::random().unwrap();
            store.create(&id, new_session("new")).await.map(drop)
        })
    };
    let ask: Call = |store| {
        tokio::spawn(async move {
            let id = SessionId::random().unwrap();
            store.load(AUDIENCE, &id, now()).await.map(drop)
        })
    };
    for (call, kind) in [
        (create, StoreErrorKind::OutcomeUnknown),
        (ask, StoreErrorKind::Unavailable),
    ] {
        let (store, mut other) = locked_table(2).await;
        let call = call(store.clone());
        let pid = waiting_for(&mut other, 1).await;
        let terminate = query("SELECT pg_terminate_backend($1)").bind(pid);
        terminate.execute(&mut other).await.unwrap();
        assert_eq!(call.await.unwrap().unwrap_err().kind(), kind);
        raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        let session = begin(&store).await;
        assert!(load(&store, &session.id).await.is_some());
    }
}

#[tokio::test]
async fn calls_that_are_dropped_leave_the_pool_sound_and_open_no_connections() {
    let (store, mut other) = locked_table(2).await;
    for count in 1..=2 {
        let id = SessionId::random().unwrap();
        let call = store.create(&id, new_session("dropped"));
        tokio::select! {
            _ = call => panic!("the table is locked"),
            _ = waiting_for(&mut other, count) => {}
        }
    }
    let unknown = SessionId::random().unwrap();
    let answer = timeout(PATIENCE, store.load(AUDIENCE, &unknown, now())).await;
    let error = answer.expect("it gets no connection").unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    for _ in 0..10 {
        let session = begin(&store).await;
        add_value(&store, &session.id, "added").await;
        assert!(load(&store, &session.id).await.is_some());
    }
}

#[tokio::test]
async fn an_append_that_is_dropped_anywhere_leaves_nothing_of_it() {
    let url = fresh_url().await;
    let store = PostgresStore::from_pool(pool(&url, 1).await).await.unwrap();
    let session = begin(&store).await;
    let mut appended = 0;
    for polls in 0..60 {
        let call = sql::append(&store, &session.key, "said");
        tokio::select! {
            biased;
            () = call => appended += 1,
            () = async { for _ in 0..polls * 20 { tokio::task::yield_now().await } } => {}
        }
        // Over the one connection there is: it would be in the transaction still.
        add_value(&store, &session.id, &format!("value {polls}")).await;
    }
    let other = open(&url).await;
    let record = load(&other, &session.id).await.unwrap().record;
    for polls in 0..60 {
        assert!(record.values().contains(&format!("value {polls}")));
    }
    let history = other.history().unwrap();
    let summary = history.summary(&session.key, now()).await.unwrap();
    // Of those that were dropped at the commit nobody knows.
    assert!(summary.total >= appended && summary.total <= 60);
    sql::append(&other, &session.key, "said").await;
}

#[tokio::test]
async fn a_pool_whose_connections_have_gone_silent_gets_others() {
    let url = fresh_url().await;
    let (proxy, silence) = proxy_of(&url).await;
    let pool = pool(&proxy, 1).await;
    let store = PostgresStore::from_pool(pool.clone()).await.unwrap();
    let session = begin(&store).await;
    while pool.num_idle() == 0 {
        tokio::task::yield_now().await;
    }
    silence.send(()).unwrap();
    let call = timeout(
        Duration::from_millis(100),
        store.delete(&session.key, now()),
    );
    assert!(call.await.is_err(), "no answer comes");
    let answers = async { while store.load(AUDIENCE, &session.id, now()).await.is_err() {} };
    timeout(PATIENCE, answers).await.expect("it recovers");
}

/// The same URL through a proxy, of which all connections fall silent, without being closed, when that is sent.
async fn proxy_of(url: &str) -> (String, broadcast::Sender<()>) {
    let (before, rest) = url.split_once("127.0.0.1:").unwrap();
    let (port, after) = rest.split_once('/').unwrap();
    let port: u16 = port.parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let (silence, _) = broadcast::channel(1);
    let silenced = silence.clone();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let mut silence = silenced.subscribe();
            tokio::spawn(async move {
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                    _ = silence.recv() => std::future::pending().await,
                }
            });
        }
    });
    (format!("{before}{proxy}/{after}"), silence)
}

#[tokio::test]
async fn a_pool_without_a_free_connection_is_unavailable_before_the_layer_gives_up() {
    let pool = pool(&fresh_url().await, 1).await;
    let store = PostgresStore::from_pool(pool.clone()).await.unwrap();
    let session = begin(&store).await;
    let taken = pool.acquire().await.unwrap();
    let answer = timeout(Duration::from_secs(2), store.delete(&session.key, now()));
    let error = answer.await.expect("it answers first").unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    drop(taken);
    assert!(store.delete(&session.key, now()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_postgres_loses_nothing_that_was_acknowledged() {
    for how in [Stop::Fast, Stop::Immediate] {
        restart_in_the_middle(how).await;
    }
}

/// Tasks begin sessions without pause while the server is stopped and started again.
async fn restart_in_the_middle(how: Stop) {
    let mut server = PostgresServer::start();
    let store = PostgresStore::connect(&server.url()).await.unwrap();
    let deleted = begin(&store).await;
    assert!(store.delete(&deleted.key, now()).await.unwrap());
    let (acknowledged, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let mut writers = JoinSet::new();
    for _ in 0..8 {
        let (store, acknowledged) = (store.clone(), acknowledged.clone());
        writers.spawn(async move { begin_until_it_fails(&store, &acknowledged).await });
    }
    drop(acknowledged);
    let mut sessions = Vec::new();
    while sessions.len() < 50 {
        sessions.push(seen.recv().await.unwrap());
    }
    server.stop(how);
    for kind in writers.join_all().await {
        let expected = [StoreErrorKind::Unavailable, StoreErrorKind::OutcomeUnknown];
        assert!(expected.contains(&kind), "{kind:?}");
    }
    while let Some(session) = seen.recv().await {
        sessions.push(session);
    }
    let error = store.load(AUDIENCE, &deleted.id, now()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);

    server.start_again();
    // The same store, at once.
    for session in &sessions {
        let found = load(&store, &session.0).await.expect("it was acknowledged");
        assert_eq!(found.key, session.1);
    }
    assert!(load(&store, &deleted.id).await.is_none());
    begin(&store).await;
}

type Acknowledged = tokio::sync::mpsc::UnboundedSender<(SessionId, SessionKey)>;

async fn begin_until_it_fails(store: &PostgresStore, done: &Acknowledged) -> StoreErrorKind {
    loop {
        let id = SessionId::random().unwrap();
        match store.create(&id, new_session("begun")).await {
            Ok(session) => done.send((session.id, session.key)).unwrap(),
            Err(error) => return error.kind(),
        }
    }
}

#[tokio::test]
async fn connections_that_a_restart_has_cut_are_not_used_once_they_were_idle() {
    let mut server = PostgresServer::start();
    let store = PostgresStore::connect(&server.url()).await.unwrap();
    let session = begin(&store).await;
    let last_use = Instant::now();
    // Only what was idle for a second is tried.
    while last_use.elapsed() <= Duration::from_millis(1100) {
        server.restart(Stop::Fast);
    }
    let deadline = Some(after(HOUR * 2));
    let touched = store.touch(&session.key, now(), deadline).await.unwrap();
    assert_eq!(touched, Some(session.revision));
}

#[test]
fn a_store_outlives_the_runtime_that_it_was_made_in() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let server = PostgresServer::start();
    let (store, session) = runtime().block_on(async {
        let store = PostgresStore::connect(&server.url()).await.unwrap();
        let session = begin(&store).await;
        (store, session)
    });
    runtime().block_on(async {
        // Connections of the other runtime are found to be dead as those of a server that was restarted.
        while let Err(error) = store.load(AUDIENCE, &session.id, now()).await {
            assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        }
        let deadline = Some(after(HOUR * 2));
        let touched = loop {
            // There may have been two of them.
            match store.touch(&session.key, now(), deadline).await {
                Ok(touched) => break touched,
                Err(error) => assert_eq!(error.kind(), StoreErrorKind::OutcomeUnknown),
            }
        };
        assert_eq!(touched, Some(session.revision));
    });
}

#[tokio::test]
async fn an_update_that_fails_for_want_of_the_table_is_unavailable() {
    let pool = pool(&fresh_url().await, 2).await;
    let store = PostgresStore::from_pool(pool.clone()).await.unwrap();
    let session = begin(&store).await;
    let gone = raw_sql("DROP TABLE mcp_session");
    gone.execute(&pool).await.unwrap();
    let record = Arc::new(record("value", "later"));
    let error = store.save(&session.key, record, session.revision).await;
    assert_eq!(error.unwrap_err().kind(), StoreErrorKind::Unavailable);
}

const PATIENCE: Duration = Duration::from_secs(10);
