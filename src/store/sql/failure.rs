//! What an error of the database means for the caller.

use sqlx::Error;
use sqlx::error::DatabaseError;

use crate::store::{StoreError, StoreErrorKind};

/// What a statement does, and so what it means if nobody knows how it ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    Read,
    Write,
}

/// Nothing was sent: there is no connection, or no way to get one.
pub(super) fn unsent(error: Error) -> StoreError {
    let kind = match &error {
        // The first statements on a new connection are those that the pool sends.
        Error::Database(refused) => refusal(refused.as_ref(), StoreErrorKind::Unavailable),
        Error::Configuration(_) | Error::InvalidArgument(_) => StoreErrorKind::Unsupported,
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind, error)
}

/// A statement was sent, and this came back.
pub(super) fn failed(error: Error, access: Access) -> StoreError {
    let unknown = match access {
        Access::Read => StoreErrorKind::Unavailable,
        Access::Write => StoreErrorKind::OutcomeUnknown,
    };
    let kind = match &error {
        Error::Io(_) | Error::Protocol(_) | Error::WorkerCrashed | Error::Tls(_) => unknown,
        Error::Database(refused) => refusal(refused.as_ref(), unknown),
        Error::ColumnDecode { .. }
        | Error::Decode(_)
        | Error::ColumnNotFound(_)
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::TypeNotFound { .. } => StoreErrorKind::Corrupt,
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind, error)
}

/// Whether another connection to the same file has kept this one out.
#[cfg(feature = "sqlite")]
pub(super) fn is_busy(error: &StoreError) -> bool {
    let error = std::error::Error::source(error).and_then(|error| error.downcast_ref::<Error>());
    let code = match error {
        Some(Error::Database(refused)) => refused.code().unwrap_or_default(),
        _ => return false,
    };
    primary(&code) == Some(SQLITE_BUSY)
}

/// The database has refused the statement, which then has changed nothing, or is going down.
fn refusal(error: &dyn DatabaseError, unknown: StoreErrorKind) -> StoreErrorKind {
    let code = error.code().unwrap_or_default();
    #[cfg(feature = "sqlite")]
    if error
        .try_downcast_ref::<sqlx::sqlite::SqliteError>()
        .is_some()
    {
        return sqlite_refusal(&code, unknown);
    }
    match &*code {
        // Ended by an administrator, or by the crash of another backend: perhaps after the commit.
        "57P01" | "57P02" => unknown,
        code if code.starts_with("08") => unknown,
        code if code.starts_with("54") => StoreErrorKind::TooLarge,
        "22001" => StoreErrorKind::TooLarge,
        "XX001" | "XX002" => StoreErrorKind::Corrupt,
        _ => StoreErrorKind::Unavailable,
    }
}

#[cfg(feature = "sqlite")]
fn sqlite_refusal(code: &str, unknown: StoreErrorKind) -> StoreErrorKind {
    match primary(code) {
        // What was written when the disk failed may come back when the file is opened the next time.
        Some(SQLITE_IOERR) => unknown,
        Some(SQLITE_CORRUPT | SQLITE_MISMATCH | SQLITE_NOTADB) => StoreErrorKind::Corrupt,
        Some(SQLITE_TOOBIG) => StoreErrorKind::TooLarge,
        _ => StoreErrorKind::Unavailable,
    }
}

/// The kind of a result of SQLite: extended codes have the primary one in their low byte.
#[cfg(feature = "sqlite")]
fn primary(code: &str) -> Option<i32> {
    code.parse::<i32>().ok().map(|code| code & 0xFF)
}

#[cfg(feature = "sqlite")]
const SQLITE_BUSY: i32 = 5;
#[cfg(feature = "sqlite")]
const SQLITE_IOERR: i32 = 10;
#[cfg(feature = "sqlite")]
const SQLITE_CORRUPT: i32 = 11;
#[cfg(feature = "sqlite")]
const SQLITE_TOOBIG: i32 = 18;
#[cfg(feature = "sqlite")]
const SQLITE_MISMATCH: i32 = 20;
#[cfg(feature = "sqlite")]
const SQLITE_NOTADB: i32 = 26;

#[cfg(test)]
mod tests;
