//! Signed ids, through the layer: mission 17, promises 6 and 11, wire rules 22 and 26.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "../support/log.rs"]
mod log;
#[path = "../support/sessions.rs"]
mod support;

mod attacks;
mod backing;
mod costs;
mod ending;
mod keys;
mod nothing_kept;
mod refusing;
mod restoring;
mod second_opinion;

use std::time::Duration;

use tower_mcp_session::store::{KeyRing, SignedStore, SigningKey};
use tower_mcp_session::testing::ManualClock;
use tower_mcp_session::{SessionId, SessionStore};

use support::Instance;

/// What keeps the ids of these tests apart from those of another service.
const SERVICE: &str = "https://mcp.example.com";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The key `id`, whose secret is `byte` again and again.
fn key(id: &str, byte: u8) -> SigningKey {
    SigningKey::from_bytes(id, &[byte; 32]).unwrap()
}

/// A ring of the first key alone.
fn ring() -> KeyRing {
    KeyRing::new(key("k1", 1))
}

/// A store of the first key alone.
fn signed() -> SignedStore {
    SignedStore::new(ring(), SERVICE)
}

/// A layer over `store`.
fn over(store: impl SessionStore, clock: &ManualClock) -> Instance {
    Instance::over(store, clock, |layer| layer)
}

/// Two layers that share a clock and nothing else, as `store` makes their stores.
fn two<S: SessionStore>(store: impl Fn() -> S) -> [Instance; 2] {
    let clock = ManualClock::new();
    [(); 2].map(|()| over(store(), &clock))
}

/// What ends only if the session does: a test that waits in vain fails.
async fn soon<F: Future>(future: F) -> F::Output {
    let waited = tokio::time::timeout(Duration::from_secs(20), future).await;
    waited.expect("stuck")
}

fn parsed(id: &str) -> SessionId {
    SessionId::parse(id.as_bytes()).unwrap()
}
