//! The four states of a session and the moves between them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a session stands.
///
/// | from | to |
/// |---|---|
/// | active | idle, suspended, closed |
/// | idle | active, closed |
/// | suspended | active, closed |
/// | closed | none |
///
/// Active and idle follow from the last activity and are never stored. A suspended session keeps its record and
/// answers 503, which its client takes for "try again": a request is a use of it too, and it expires as any other that
/// nobody asks for. A closed one is gone.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::SessionState;
///
/// assert!(SessionState::Suspended.may_become(SessionState::Active));
/// assert!(!SessionState::Closed.may_become(SessionState::Active));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SessionState {
    /// In use.
    Active,
    /// Alive, and quiet for a while.
    Idle,
    /// Kept, and not served until it is resumed.
    Suspended,
    /// Ended for good.
    Closed,
}

impl SessionState {
    /// Whether the table allows the move from `self` to `next`.
    pub const fn may_become(self, next: Self) -> bool {
        use SessionState::{Active, Closed, Idle, Suspended};
        matches!(
            (self, next),
            (Active, Idle | Suspended | Closed) | (Idle | Suspended, Active | Closed)
        )
    }

    /// The state's name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Idle => "idle",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A move that the table of [`SessionState`] forbids; nothing has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a session that is {from} cannot become {to}")]
#[non_exhaustive]
pub struct InvalidTransition {
    /// The state the session is in.
    pub from: SessionState,
    /// The state that was asked for.
    pub to: SessionState,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_follows_the_table() {
        use SessionState::{Active, Closed, Idle, Suspended};
        let allowed = [
            (Active, Idle),
            (Active, Suspended),
            (Active, Closed),
            (Idle, Active),
            (Idle, Closed),
            (Suspended, Active),
            (Suspended, Closed),
        ];
        for from in [Active, Idle, Suspended, Closed] {
            for to in [Active, Idle, Suspended, Closed] {
                assert_eq!(
                    from.may_become(to),
                    allowed.contains(&(from, to)),
                    "{from} to {to}"
                );
            }
        }
    }
}
