//! The end of the handshake is said once to each inner session: by the client, or by a replay.

use tower_mcp_session::testing::{FaultyStore, ManualClock, ScriptedService};
use tower_mcp_session::{MemoryStore, SessionStore};

use crate::pair::{INITIALIZED, both, names, soon};
use crate::support::{Instance, LIST, SECOND, ping, post};

/// What each inner session of `instance` was told, in order, by its id.
fn told(instance: &Instance, inner: &str) -> Vec<String> {
    let mut requests = instance.server.requests();
    requests.retain(|seen| seen.session_id() == Some(inner) && seen.method != "DELETE");
    names(&requests)
}

#[tokio::test]
async fn an_initialized_that_finds_the_inner_session_lost_is_not_said_twice() {
    for kind in both() {
        let pair = kind.pair();
        let id = pair.b.begin().await;
        pair.b.server.forget_sessions();
        assert_eq!(pair.b.status(post(&id, INITIALIZED)).await, 202);
        assert_eq!(told(&pair.b, "inner-2"), ["notifications/initialized"]);
        assert_eq!(pair.b.status(post(&id, LIST)).await, 200);
        assert_eq!(
            told(&pair.b, "inner-2"),
            ["notifications/initialized", "tools/list"]
        );
    }
}

/// Two instances over a store that cannot save: it never learns that a handshake is finished.
fn unsaved(idle_expiry: bool) -> [Instance; 2] {
    let memory = MemoryStore::new();
    let mut able = memory.capabilities();
    (able.shared, able.save, able.idle_expiry) = (true, false, idle_expiry);
    let clock = ManualClock::new();
    [(); 2].map(|()| {
        let store = FaultyStore::new(memory.clone()).with_capabilities(able);
        let server = ScriptedService::new().minting_ids();
        Instance::serving(server, store, &clock, |layer| layer)
    })
}

#[tokio::test]
async fn where_the_store_cannot_keep_it_a_replay_finishes_the_handshake() {
    for (first, idle_expiry) in [LIST, INITIALIZED].into_iter().zip([true, false]) {
        let [a, b] = unsaved(idle_expiry);
        let id = a.begin().await;
        if first == LIST {
            assert_eq!(a.status(post(&id, INITIALIZED)).await, 202);
        }
        assert!(b.status(post(&id, first)).await.is_success());
        assert!(b.serves(&id).await);
        let told = told(&b, "inner-1");
        assert_eq!(told[0], "notifications/initialized");
        assert!(!told[1..].contains(&told[0]), "{told:?}");
    }
}

#[tokio::test]
async fn where_the_store_cannot_keep_it_a_lost_inner_session_is_told_what_the_client_has_said() {
    for idle_expiry in [true, false] {
        let [a, _] = unsaved(idle_expiry);
        let id = a.begin().await;
        a.server.forget_sessions();
        assert_eq!(a.status(ping(&id)).await, 200);
        assert_eq!(told(&a, "inner-2"), ["ping"]);
        assert_eq!(a.status(post(&id, INITIALIZED)).await, 202);
        a.clock.advance(SECOND * 10);
        a.server.forget_sessions();
        assert_eq!(a.status(post(&id, LIST)).await, 200);
        assert_eq!(
            told(&a, "inner-3"),
            ["notifications/initialized", "tools/list"]
        );
        soon(a.server.wait_for_open_sessions(1)).await;
    }
}
