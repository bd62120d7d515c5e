//! What an error of the server or of the connection means to a caller of the store.

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::{StoreError, StoreErrorKind};

/// What a command may have done when its answer did not come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Effect {
    /// Nothing: it reads. It is sent again when its connection broke.
    None,
    /// The same as when it is sent again, which happens when its connection broke.
    Repeatable,
    /// Something that must not happen twice: it is sent once.
    Once,
}

impl Effect {
    /// The kind of an error that leaves open what happened.
    pub(super) fn unanswered(self) -> StoreErrorKind {
        match self {
            Self::None => StoreErrorKind::Unavailable,
            Self::Repeatable | Self::Once => StoreErrorKind::OutcomeUnknown,
        }
    }
}

/// The error of a command with this `effect` that was sent.
pub(super) fn of_command(error: RedisError, effect: Effect) -> StoreError {
    let kind = match error.kind() {
        _ if matches!(error.code(), Some("CORRUPT" | "WRONGTYPE")) => StoreErrorKind::Corrupt,
        // The server has answered and done nothing: it loads, is a replica, has no memory, may not.
        ErrorKind::Server(_) | ErrorKind::Extension => StoreErrorKind::Unavailable,
        _ => effect.unanswered(),
    };
    StoreError::new(kind, error)
}

/// Where nothing was sent.
pub(super) fn of_connection(error: RedisError) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, error)
}

/// Whether the connection is of no use any more: broken, or to a server that has become a replica.
pub(super) fn ends_connection(error: &RedisError) -> bool {
    error.is_unrecoverable_error() || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// Whether the server does not know the digest of a script.
pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Whether the connection broke before an answer came.
pub(super) fn is_broken(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
}

#[cfg(test)]
mod tests {
    use ::redis::{Value, parse_redis_value};

    use super::*;

    #[test]
    fn errors_of_the_server_are_definite() {
        for (text, kind) in [
            ("READONLY You can't write", StoreErrorKind::Unavailable),
            ("LOADING the dataset", StoreErrorKind::Unavailable),
            ("OOM command not allowed", StoreErrorKind::Unavailable),
            ("MASTERDOWN Link is down", StoreErrorKind::Unavailable),
            ("CLUSTERDOWN the cluster", StoreErrorKind::Unavailable),
            ("MISCONF no snapshots", StoreErrorKind::Unavailable),
            ("NOREPLICAS too few", StoreErrorKind::Unavailable),
            ("NOAUTH required", StoreErrorKind::Unavailable),
            ("NOPERM not allowed", StoreErrorKind::Unavailable),
            ("BUSY a script runs", StoreErrorKind::Unavailable),
            ("MOVED 1 127.0.0.1:1", StoreErrorKind::Unavailable),
            ("ERR whatever", StoreErrorKind::Unavailable),
            ("CORRUPT it is", StoreErrorKind::Corrupt),
            ("WRONGTYPE a list", StoreErrorKind::Corrupt),
        ] {
            for effect in [Effect::None, Effect::Repeatable, Effect::Once] {
                let error = of_command(server_error(text), effect);
                assert_eq!(error.kind(), kind, "{text}");
            }
        }
    }

    #[test]
    fn a_broken_connection_leaves_the_outcome_of_a_write_open() {
        for (effect, kind) in [
            (Effect::None, StoreErrorKind::Unavailable),
            (Effect::Repeatable, StoreErrorKind::OutcomeUnknown),
            (Effect::Once, StoreErrorKind::OutcomeUnknown),
        ] {
            for io in [std::io::ErrorKind::BrokenPipe, std::io::ErrorKind::TimedOut] {
                let error = RedisError::from(std::io::Error::from(io));
                assert_eq!(of_command(error, effect).kind(), kind);
            }
        }
    }

    #[test]
    fn a_server_that_became_a_replica_is_left() {
        for (text, ends) in [("READONLY x", true), ("LOADING x", false), ("OOM x", false)] {
            assert_eq!(ends_connection(&server_error(text)), ends, "{text}");
        }
    }

    fn server_error(text: &str) -> RedisError {
        match parse_redis_value(format!("-{text}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => error.into(),
            other => panic!("{other:?}"),
        }
    }
}
