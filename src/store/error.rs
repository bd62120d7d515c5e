//! Why a store could not do what was asked.

use std::error::Error;
use std::fmt;

/// Why a store could not do what was asked.
///
/// Its text names the kind and nothing of the source, which may hold keys or addresses; [`Error::source`] gives that
/// to those who ask for it.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::store::{StoreError, StoreErrorKind};
///
/// let error = StoreError::new(StoreErrorKind::Unavailable, std::io::Error::other("connection refused"));
/// assert_eq!(error.kind(), StoreErrorKind::Unavailable);
/// assert_eq!(error.to_string(), "the session store is unavailable");
/// ```
pub struct StoreError {
    kind: StoreErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What a caller of a store can act on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// `create`: the id is taken, or its session was deleted.
    AlreadyExists,
    /// `save`: the session has changed since it was read; read again and retry.
    Conflict,
    /// `save`: the session has ended.
    Gone,
    /// The store cannot be reached, or has no room; later it may.
    Unavailable,
    /// The record is larger than the store, or an option, allows.
    TooLarge,
    /// What is stored cannot be read. The session is not gone: it may be readable to another version.
    Corrupt,
    /// This store cannot do that at all.
    Unsupported,
    /// No answer in time: what was asked may have happened, or may yet.
    OutcomeUnknown,
}

impl StoreError {
    /// An error of this `kind`, caused by `source`.
    pub fn new(kind: StoreErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }

    /// What a caller can act on.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl From<StoreErrorKind> for StoreError {
    fn from(kind: StoreErrorKind) -> Self {
        Self { kind, source: None }
    }
}

/// Without the text of the source.
impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreError")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            StoreErrorKind::AlreadyExists => "the session exists already",
            StoreErrorKind::Conflict => "the session has changed since it was read",
            StoreErrorKind::Gone => "the session has ended",
            StoreErrorKind::Unavailable => "the session store is unavailable",
            StoreErrorKind::TooLarge => "the session record is too large",
            StoreErrorKind::Corrupt => "the session record cannot be read",
            StoreErrorKind::Unsupported => "the session store does not support this",
            StoreErrorKind::OutcomeUnknown => "the session store did not answer in time",
        })
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}
