//! Why a session ended.

use std::fmt;

/// Why a session ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum EndReason {
    /// Its client ended it, with DELETE.
    Deleted,
    /// A handler ended it ([`SessionContext::end`](crate::SessionContext::end)), or an operator
    /// ([`Sessions::terminate`](crate::Sessions::terminate)).
    Terminated,
    /// Its room was needed for another one.
    Evicted,
    /// It was not used for too long, or has lasted for as long as a session may.
    Expired,
    /// Its client left before it got the id.
    Abandoned,
    /// The inner service does not know its own session any more, and none is begun again.
    Lost,
    /// The store says that it is gone though its time is not over: another instance ended it, or its id is not
    /// recognized any more.
    Elsewhere,
}

impl EndReason {
    /// All reasons, in the order of their numbers.
    pub(crate) const ALL: [Self; 7] = [
        Self::Deleted,
        Self::Terminated,
        Self::Evicted,
        Self::Expired,
        Self::Abandoned,
        Self::Lost,
        Self::Elsewhere,
    ];

    /// The reason's name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Terminated => "terminated",
            Self::Evicted => "evicted",
            Self::Expired => "expired",
            Self::Abandoned => "abandoned",
            Self::Lost => "lost",
            Self::Elsewhere => "elsewhere",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_reasons_is_in_the_order_of_their_numbers() {
        for (number, reason) in EndReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
            assert_eq!(reason.as_str(), format!("{reason:?}").to_lowercase());
        }
    }
}
