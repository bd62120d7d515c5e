//! What operators do with sessions, through the layer: mission 26, promises 2, 11 and 13.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "../support/log.rs"]
mod log;
#[allow(dead_code, reason = "its own tests use all of it")]
#[path = "../observer/record.rs"]
mod record;
#[path = "../support/sessions.rs"]
mod support;

mod draining;
mod ending_all;
mod initializing;
mod inspecting;
mod listing;
mod looking;
mod suspending;
mod terminating;

use http_body_util::BodyExt;
use tower_mcp_session::testing::{FaultyStore, ManualClock, ScriptedService};
use tower_mcp_session::{MemoryStore, SessionId, SessionKey, SessionLayer};

use support::{Answer, Instance, SECOND, get, shared, with_watch};

/// The name that the store has for the session `id`.
fn key(id: &str) -> SessionKey {
    SessionKey::new("/mcp", &SessionId::parse(id.as_bytes()).unwrap())
}

/// Two instances over one store, under one clock, with the handle that each has.
struct Pair {
    instances: [Instance; 2],
    stores: [FaultyStore<MemoryStore>; 2],
    clock: ManualClock,
}

impl Pair {
    fn new() -> Self {
        Self::serving(ScriptedService::new, true)
    }

    /// `watched` says whether an instance learns at once what another one has done.
    fn serving(server: impl Fn() -> ScriptedService, watched: bool) -> Self {
        let (memory, clock) = (MemoryStore::new(), ManualClock::new());
        let stores = [(); 2].map(|()| with_watch(shared(&memory), watched));
        let instances =
            [0, 1].map(|n| Instance::serving(server(), stores[n].clone(), &clock, plain));
        Self {
            instances,
            stores,
            clock,
        }
    }

    /// Two whose inner services have sessions of their own.
    fn minting() -> Self {
        Self::serving(|| ScriptedService::new().minting_ids(), true)
    }
}

/// A layer over a store with an index, and one over a store without.
fn with_and_without_index() -> [Instance; 2] {
    let store = || FaultyStore::new(MemoryStore::new());
    let stores = [store(), store().without_index()];
    stores.map(|store| Instance::over(store, &ManualClock::new(), plain))
}

/// What ends unless something is wrong: a test that waits in vain fails.
async fn soon<F: Future>(future: F) -> F::Output {
    let waited = tokio::time::timeout(SECOND * 20, future).await;
    waited.expect("stuck")
}

fn plain(layer: SessionLayer) -> SessionLayer {
    layer
}

/// Opens the event stream of a session.
async fn stream(instance: &Instance, id: &str) -> Answer {
    let answer = instance.send(get(id)).await;
    assert_eq!(answer.status(), 200);
    answer
}

/// Whether `stream` has come to its end.
fn is_over(stream: &mut Answer) -> bool {
    match tokio_test::task::spawn(stream.body_mut().frame()).poll() {
        std::task::Poll::Pending => false,
        std::task::Poll::Ready(frame) => {
            assert!(frame.is_none(), "nothing was sent");
            true
        }
    }
}
