//! Sessions in an SQL database: SQLite and PostgreSQL, by one set of statements.
//!
//! A session is one row, named by its key, which is a digest. Each call is one statement that says itself under which
//! condition it writes, so that no two instances can come between each other; what takes several is said where it is
//! done. A deleted session leaves its row, without the record and the history, until the session's absolute end.

mod contract;
mod failure;
mod fetch;
mod histories;
mod index;
mod row;
mod schema;
mod statements;

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_tables;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
mod sqlite_tables;

#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
