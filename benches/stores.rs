//! What does each store cost: operations per second, and round trips per request of a session?
//!
//! Run with `. scripts/redis-server && . scripts/postgres-server && cargo bench --bench stores --all-features`; it takes
//! about two minutes. Redis and PostgreSQL are started for it, on this machine; SQLite and files lie in the folder for
//! temporary files. One operation at a time, and 64 at once.

#![expect(clippy::print_stdout, reason = "a bench prints what it found")]

#[path = "stores/counting.rs"]
mod counting;
#[path = "stores/operations.rs"]
mod operations;
#[path = "../tests/support/postgres.rs"]
mod postgres;
#[path = "../tests/support/redis.rs"]
mod redis;
#[path = "stores/requests.rs"]
mod requests;

use std::sync::Arc;

use tower_mcp_session::store::{FileStore, PostgresStore, RedisStore, SqliteStore};
use tower_mcp_session::{MemoryStore, SessionStore};

use self::postgres::PostgresServer;
use self::redis::RedisServer;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let redis = RedisServer::start(&["--save", ""]);
    let postgres = PostgresServer::start();
    let path = |name| folder.path().join(name);
    let connected = "a store on this machine";

    measure("memory", MemoryStore::new()).await;
    measure("file", FileStore::open(path("sessions")).expect(connected)).await;
    let sqlite = SqliteStore::connect(path("sessions.db")).await;
    measure("sqlite", sqlite.expect(connected)).await;
    let on_postgres = PostgresStore::connect(&postgres.url()).await;
    measure("postgres", on_postgres.expect(connected)).await;
    let asked = RedisStore::connect(&redis.url()).await.expect(connected);
    let asked = asked.with_prefix("asked").with_tracking(false);
    measure("redis, asked for each request", asked).await;
    let told = RedisStore::connect(&redis.url()).await.expect(connected);
    let told = told.with_prefix("told").with_tracking(true);
    measure("redis, with tracking", told).await;
}

/// Prints what `store` does.
async fn measure(name: &str, store: impl SessionStore) {
    let store: Arc<dyn SessionStore> = Arc::new(store);
    println!("{name}");
    for at_once in [1, 64] {
        operations::run(&store, at_once).await;
    }
    requests::run(&store).await;
    println!();
}
