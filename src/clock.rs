//! Where the time comes from.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use crate::session::Timestamp;

/// What tells the time, and waits for it.
///
/// Sessions age by it and background work sleeps on it. The time limits of single requests (reading a body, one call
/// of a store) are tokio's own and do not follow it.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Ends once `duration` has passed.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The clock of the operating system.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::{Clock, SystemClock, Timestamp};
///
/// assert!(SystemClock.now() > Timestamp::EPOCH);
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a unit struct is its own constructor"
)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A number below `limit`, or 0: to spread things out in time or place, never for secrets.
pub(crate) fn spread(limit: u64) -> u64 {
    let random = getrandom::u64().unwrap_or_default();
    random.checked_rem(limit).unwrap_or_default()
}
