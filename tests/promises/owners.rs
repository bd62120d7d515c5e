//! 9: audience and owner are checked before anything else happens with a session.

use http::Request;
use tower_mcp_session::testing::{FaultyStore, ManualClock, Operation};
use tower_mcp_session::{MemoryStore, Principal, SessionLayer};

use crate::support::{
    Body, Caller, HOUR, Instance, MINUTE, SECOND, by, delete, get, initialize, ping, with_watch,
};

fn each_verb(id: &str) -> [Request<Body>; 3] {
    [ping(id), get(id), delete(id)]
}

#[tokio::test]
async fn a_foreign_request_changes_nothing_and_asks_nothing() {
    for watched in [true, false] {
        let store = with_watch(FaultyStore::new(MemoryStore::new()), watched);
        let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| layer);
        let owned = instance.open_as("alice").await;
        let owner = instance.context();
        let anonymous = instance.open().await;
        instance.clock.advance(HOUR);
        let (seen, asked) = (instance.server.calls(), store.total_calls());
        let last = owner.last_activity();
        for who in [None, Some("bob"), Some(""), Some("Alice")] {
            for request in each_verb(&owned) {
                let request = match who {
                    Some(who) => by(request, who),
                    None => request,
                };
                assert_eq!(instance.status(request).await, 404, "{who:?}");
            }
        }
        for request in each_verb(&anonymous) {
            assert_eq!(instance.status(by(request, "alice")).await, 404);
        }
        assert_eq!(instance.server.calls(), seen);
        assert_eq!(store.total_calls(), asked);
        assert_eq!(owner.last_activity(), last);
        assert_eq!(instance.status(by(ping(&owned), "alice")).await, 200);
        assert!(instance.serves(&anonymous).await);
    }
}

#[tokio::test]
async fn an_instance_that_takes_a_session_over_checks_its_owner_first() {
    let (store, clock) = (FaultyStore::new(MemoryStore::new()), ManualClock::new());
    let one = Instance::over(store.clone(), &clock, |layer| layer);
    let other = Instance::over(store.clone(), &clock, |layer| layer);
    let owned = one.open_as("alice").await;
    let anonymous = one.open().await;
    let changes = || {
        let changing = [Operation::Touch, Operation::Save, Operation::Delete];
        changing.map(|operation| store.calls(operation))
    };
    let before = changes();
    for request in each_verb(&owned) {
        assert_eq!(other.status(by(request, "bob")).await, 404);
    }
    for request in each_verb(&owned) {
        assert_eq!(other.status(request).await, 404);
    }
    for request in each_verb(&anonymous) {
        assert_eq!(other.status(by(request, "alice")).await, 404);
    }
    assert_eq!(changes(), before);
    assert_eq!(other.layer.live_sessions(), 0);
    assert_eq!(other.status(by(ping(&owned), "alice")).await, 200);
    assert_eq!(
        other.context().principal().as_ref().map(Principal::subject),
        Some("alice")
    );
    // Held here now, it is still nobody else's.
    for request in each_verb(&owned) {
        assert_eq!(other.status(by(request, "bob")).await, 404);
    }
}

#[tokio::test]
async fn each_part_of_a_principal_counts() {
    let extractor = |parts: &http::request::Parts| {
        let caller = parts.extensions.get::<Caller>();
        Ok(caller.map(|caller| {
            let mut parts = caller.0.split('/');
            let mut principal = Principal::new(parts.next().unwrap_or_default());
            if let Some(issuer) = parts.next() {
                principal = principal.with_issuer(issuer);
            }
            match parts.next() {
                Some(client) => principal.with_client(client),
                None => principal,
            }
        }))
    };
    let instance = Instance::new(|layer| layer.with_principal(extractor));
    let all = ["a", "b", "a/", "a/i", "a/i/", "a/i/c", "a//c"];
    for owner in all {
        let id = instance.open_as(owner).await;
        for caller in all {
            let status = instance.status(by(ping(&id), caller)).await;
            assert_eq!(status == 200, owner == caller, "{owner} {caller}: {status}");
        }
    }
}

#[tokio::test]
async fn a_principal_that_cannot_be_known_is_503() {
    let instance = Instance::new(|layer| {
        layer.with_principal(|parts| match parts.extensions.get::<Caller>() {
            Some(_) => Err("the directory of users is down".into()),
            None => Ok(None),
        })
    });
    let id = instance.open().await;
    let seen = instance.server.calls();
    for request in each_verb(&id).into_iter().chain([initialize()]) {
        let answer = instance.send(by(request, "alice")).await;
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
    }
    assert_eq!(instance.server.calls(), seen);
    assert!(instance.serves(&id).await);
}

#[tokio::test]
async fn a_session_is_unknown_at_another_audience() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let named = |name: &'static str| {
        let options = move |layer: SessionLayer| layer.with_audience(name);
        Instance::over(store.clone(), &clock, options)
    };
    let (one, same, other) = (named("a"), named("a"), named("b"));
    let id = one.open().await;
    for request in each_verb(&id) {
        assert_eq!(other.status(request).await, 404);
    }
    assert!(one.serves(&id).await && same.serves(&id).await);
}

#[tokio::test]
async fn a_foreign_client_cannot_keep_a_session_alive() {
    let instance = Instance::new(|layer| layer.with_idle_timeout(MINUTE));
    let id = instance.open_as("alice").await;
    for _ in 0..6 {
        instance.pass(SECOND * 10).await;
        assert_eq!(instance.status(by(ping(&id), "bob")).await, 404);
    }
    assert_eq!(instance.status(by(ping(&id), "alice")).await, 404);
}
