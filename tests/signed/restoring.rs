//! An instance that never saw a session lets the inner service hear of its client.

use tower_mcp_session::SessionRestored;
use tower_mcp_session::testing::{ManualClock, ScriptedService};

use crate::signed;
use crate::support::{HOUR, Instance, LIST, MINUTE, by, ping, post};

const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

fn two_mapped() -> [Instance; 2] {
    let clock = ManualClock::new();
    [(); 2].map(|()| {
        let server = ScriptedService::new().minting_ids();
        Instance::serving(server, signed(), &clock, |layer| layer)
    })
}

/// The JSON-RPC methods that a server was asked for, in order.
fn methods(instance: &Instance) -> Vec<String> {
    let requests = instance.server.requests();
    let methods = requests.iter().filter_map(|seen| seen.rpc_method());
    methods.map(|method| method.to_string()).collect()
}

#[tokio::test]
async fn the_claims_alone_are_enough_to_begin_the_inner_session_again() {
    let [a, b] = two_mapped();
    let id = a.open_as("alice").await;
    assert_eq!(b.status(by(post(&id, LIST), "alice")).await, 200);
    assert_eq!(
        methods(&b),
        ["initialize", "notifications/initialized", "tools/list"]
    );
    let replayed = &b.server.requests()[0];
    assert!(replayed.extensions.get::<SessionRestored>().is_some());
    assert!(b.context().is_restored());
    // Once: from there on it lives here.
    assert_eq!(b.status(by(post(&id, LIST), "alice")).await, 200);
    assert_eq!(methods(&b).len(), 4);
    assert_eq!(b.status(by(ping(&id), "bob")).await, 404);
}

#[tokio::test]
async fn the_clients_own_initialized_after_a_replay_is_said_once() {
    let [a, b] = two_mapped();
    let id = a.begin().await;
    assert_eq!(b.status(post(&id, INITIALIZED)).await, 202);
    assert_eq!(b.status(post(&id, LIST)).await, 200);
    assert_eq!(
        methods(&b),
        ["initialize", "notifications/initialized", "tools/list"]
    );
}

#[tokio::test]
async fn the_live_part_of_a_quiet_session_goes_and_comes_back() {
    let [a, _] = two_mapped();
    let id = a.open().await;
    assert_eq!(a.server.open_sessions().len(), 1);
    a.pass(HOUR).await;
    crate::support::settle().await;
    assert_eq!(
        a.server.open_sessions().len(),
        0,
        "its inner session was ended"
    );
    assert!(a.serves(&id).await);
    assert_eq!(a.server.open_sessions().len(), 1);
    a.pass(MINUTE).await;
    assert!(a.serves(&id).await);
}
