//! Points in time, and when a session ends.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A point in time as milliseconds since the Unix epoch, in UTC.
///
/// Every deadline of this crate is one, on every backend: the `now` that a caller passes in decides, never a server's
/// own clock. Arithmetic saturates, so that a clock set wrong ends a session early or late and never panics.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tower_mcp_session::Timestamp;
///
/// let noon = Timestamp::from_millis(43_200_000);
/// assert_eq!(noon.saturating_add(Duration::from_secs(1)).as_millis(), 43_201_000);
/// assert_eq!(noon.since(Timestamp::EPOCH), Duration::from_secs(43_200));
/// ```
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);

    /// The end of time: a deadline that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// The point `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The point `duration` later, at most [`Timestamp::NEVER`]; parts of a millisecond are dropped.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// The point `duration` earlier, at least [`Timestamp::EPOCH`].
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// The time that has passed since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(
            time.duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, millis),
        )
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// How long sessions last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expiry {
    /// Without a request, once one came after initialize. `None`: never.
    pub(crate) idle: Option<Duration>,
    /// Without a request after initialize. `None`: as `idle`.
    pub(crate) half_open: Option<Duration>,
    /// From initialize, whatever happens. `None`: never.
    pub(crate) absolute: Option<Duration>,
}

impl Expiry {
    /// When a session that was used at `now` ends unless it is used again.
    pub(crate) fn idle_deadline(&self, now: Timestamp, half_open: bool) -> Timestamp {
        let quiet = match (half_open, self.half_open, self.idle) {
            (true, Some(short), Some(idle)) => Some(short.min(idle)),
            (true, Some(short), None) => Some(short),
            (_, _, idle) => idle,
        };
        quiet.map_or(Timestamp::NEVER, |quiet| now.saturating_add(quiet))
    }

    /// When a session that begins at `now` ends in any case.
    pub(crate) fn absolute_end(&self, now: Timestamp) -> Timestamp {
        self.absolute
            .map_or(Timestamp::NEVER, |life| now.saturating_add(life))
    }
}

/// As [`Duration::as_millis`], at most `u64::MAX`: without the division of 128 bits, for each request reads the time.
fn millis(duration: Duration) -> u64 {
    let whole = duration.as_secs().saturating_mul(1000);
    whole.saturating_add(u64::from(duration.subsec_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn deadlines_follow_the_table() {
        let now = Timestamp::from_millis(1_000);
        let after = |d: Duration| now.saturating_add(d);
        for (idle, half_open, is_half_open, expected) in [
            (Some(HOUR), Some(MINUTE), true, after(MINUTE)),
            (Some(HOUR), Some(MINUTE), false, after(HOUR)),
            (Some(MINUTE), Some(HOUR), true, after(MINUTE)),
            (Some(HOUR), None, true, after(HOUR)),
            (None, Some(MINUTE), true, after(MINUTE)),
            (None, Some(MINUTE), false, Timestamp::NEVER),
            (None, None, true, Timestamp::NEVER),
        ] {
            let expiry = Expiry {
                idle,
                half_open,
                absolute: None,
            };
            assert_eq!(expiry.idle_deadline(now, is_half_open), expected);
            assert_eq!(expiry.absolute_end(now), Timestamp::NEVER);
        }
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(
            Timestamp::NEVER.saturating_add(Duration::MAX),
            Timestamp::NEVER
        );
        assert_eq!(
            Timestamp::EPOCH.saturating_sub(Duration::MAX),
            Timestamp::EPOCH
        );
        assert_eq!(Timestamp::EPOCH.since(Timestamp::NEVER), Duration::ZERO);
    }
}
