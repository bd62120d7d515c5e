use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;

use sqlx::error::ErrorKind;

use super::*;

/// A refusal of Postgres with this code.
#[derive(Debug)]
struct Refused(&'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("swordfish")
    }
}

impl StdError for Refused {}

impl DatabaseError for Refused {
    fn message(&self) -> &str {
        "swordfish"
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.0.into())
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

#[test]
fn a_connection_that_breaks_leaves_the_outcome_of_a_write_unknown() {
    for error in [
        || Error::Io(io::Error::other("broken pipe")),
        || Error::WorkerCrashed,
        || Error::Protocol("nonsense".to_owned()),
        || Error::from(Refused("57P01")),
        || Error::from(Refused("57P02")),
        || Error::from(Refused("08006")),
    ] {
        let kinds = [Access::Read, Access::Write].map(|access| failed(error(), access).kind());
        assert_eq!(
            kinds,
            [StoreErrorKind::Unavailable, StoreErrorKind::OutcomeUnknown]
        );
    }
}

#[test]
fn a_refused_statement_has_a_known_outcome() {
    for (code, kind) in [
        ("57P03", StoreErrorKind::Unavailable),
        ("57014", StoreErrorKind::Unavailable),
        ("40001", StoreErrorKind::Unavailable),
        ("40P01", StoreErrorKind::Unavailable),
        ("53100", StoreErrorKind::Unavailable),
        ("53300", StoreErrorKind::Unavailable),
        ("25006", StoreErrorKind::Unavailable),
        ("42P01", StoreErrorKind::Unavailable),
        ("54000", StoreErrorKind::TooLarge),
        ("XX001", StoreErrorKind::Corrupt),
    ] {
        for access in [Access::Read, Access::Write] {
            assert_eq!(failed(Refused(code).into(), access).kind(), kind, "{code}");
        }
    }
}

#[cfg(feature = "sqlite")]
#[test]
fn results_of_sqlite_are_told_apart() {
    let unknown = StoreErrorKind::OutcomeUnknown;
    for (code, kind) in [
        ("5", StoreErrorKind::Unavailable),
        ("261", StoreErrorKind::Unavailable),
        ("517", StoreErrorKind::Unavailable),
        ("13", StoreErrorKind::Unavailable),
        ("8", StoreErrorKind::Unavailable),
        ("10", unknown),
        ("1034", unknown),
        ("11", StoreErrorKind::Corrupt),
        ("26", StoreErrorKind::Corrupt),
        ("18", StoreErrorKind::TooLarge),
    ] {
        assert_eq!(sqlite_refusal(code, unknown), kind, "{code}");
    }
}

#[test]
fn without_a_connection_nothing_has_happened() {
    for (error, kind) in [
        (Error::PoolTimedOut, StoreErrorKind::Unavailable),
        (Error::PoolClosed, StoreErrorKind::Unavailable),
        (
            Error::Io(io::Error::other("refused")),
            StoreErrorKind::Unavailable,
        ),
        (
            Error::Configuration("no such option".into()),
            StoreErrorKind::Unsupported,
        ),
    ] {
        assert_eq!(unsent(error).kind(), kind);
    }
}

#[test]
fn what_the_database_says_is_in_no_text() {
    let error = failed(Refused("42601").into(), Access::Write);
    assert!(!format!("{error} {error:?}").contains("swordfish"));
}
