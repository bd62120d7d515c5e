//! Two instances over one store.

use std::time::Duration;

use http::{Request, StatusCode};
use tokio::task::JoinHandle;
use tower_mcp_session::testing::{FaultyStore, ManualClock, ScriptedService, SeenRequest};
use tower_mcp_session::{MemoryStore, SessionLayer};

use crate::support::{self, Body, Instance, read};

pub(crate) type Store = FaultyStore<MemoryStore>;

pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// A is where sessions begin, B is where they are restored.
pub(crate) struct Pair {
    pub(crate) memory: MemoryStore,
    pub(crate) clock: ManualClock,
    pub(crate) a: Instance,
    pub(crate) b: Instance,
    /// The store as B sees it.
    pub(crate) store: Store,
}

/// What kind of pair it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) mapped: bool,
    pub(crate) sse: bool,
    pub(crate) watched: bool,
}

pub(crate) const MAPPED: Kind = Kind {
    mapped: true,
    sse: true,
    watched: true,
};
pub(crate) const UNMAPPED: Kind = Kind {
    mapped: false,
    ..MAPPED
};

/// With a watch and without.
pub(crate) fn both() -> [Kind; 2] {
    [true, false].map(|watched| Kind { watched, ..MAPPED })
}

impl Kind {
    fn server(self) -> ScriptedService {
        let mut server = ScriptedService::new();
        if self.mapped {
            server = server.minting_ids();
        }
        if self.sse {
            server = server.answering_sse();
        }
        server
    }

    fn store(self, memory: &MemoryStore) -> Store {
        support::with_watch(support::shared(memory), self.watched)
    }

    pub(crate) fn pair(self) -> Pair {
        self.pair_with(|layer| layer)
    }

    /// A pair, of which B has other options.
    pub(crate) fn pair_with(self, options: impl Fn(SessionLayer) -> SessionLayer) -> Pair {
        let (memory, clock) = (MemoryStore::new(), ManualClock::new());
        let store = self.store(&memory);
        let a = Instance::serving(self.server(), self.store(&memory), &clock, |layer| layer);
        let b = Instance::serving(self.server(), store.clone(), &clock, options);
        Pair {
            memory,
            clock,
            a,
            b,
            store,
        }
    }
}

impl Pair {
    /// What B's server has seen, but for the ends of its own sessions.
    pub(crate) fn seen(&self) -> Vec<String> {
        let mut seen = names(&self.b.server.requests());
        seen.retain(|name| name != "DELETE");
        seen
    }

    /// How often B's server has seen an initialize.
    pub(crate) fn replays(&self) -> usize {
        let seen = self.seen();
        seen.iter().filter(|name| *name == "initialize").count()
    }

    /// Sends a request to B, and waits until its server holds `count` requests.
    pub(crate) async fn send_and_hold(
        &self,
        request: Request<Body>,
        count: usize,
    ) -> JoinHandle<StatusCode> {
        self.b.server.hold();
        let sent = send(&self.b, request);
        soon(self.b.server.wait_for_held(count)).await;
        sent
    }
}

/// Sends a request in a task of its own; gives the status of its answer, which is read to its end.
pub(crate) fn send(instance: &Instance, request: Request<Body>) -> JoinHandle<StatusCode> {
    let instance = instance.clone();
    tokio::spawn(async move { read(instance.send(request).await).await.0 })
}

/// The methods of requests: of JSON-RPC, or else of HTTP.
pub(crate) fn names(requests: &[SeenRequest]) -> Vec<String> {
    let name = |seen: &SeenRequest| seen.rpc_method().unwrap_or(seen.method.to_string());
    requests.iter().map(name).collect()
}

pub(crate) fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

/// Fails the test if `future` hangs. What it waits for never takes as long.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    let waited = tokio::time::timeout(Duration::from_secs(20), future).await;
    waited.expect("stuck")
}
