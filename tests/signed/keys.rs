//! Keys: read, replaced, taken back, never shown.

use std::time::Duration;

use http::Request;
use tower_mcp_session::store::{InvalidKeys, KeyRing, SignedStore};
use tower_mcp_session::testing::ManualClock;
use tower_mcp_session::{Clock, MemoryStore, Principal, SessionId, SessionLayer, SessionStore};

use crate::support::{Body, ID, Instance, MINUTE, SECOND, by, delete, get, ping, read, shared};
use crate::{SERVICE, key, over, ring, signed, soon, two};

/// Two keys, of which the first one signs.
fn ring_of(signs: (&'static str, u8), verifies: (&'static str, u8)) -> KeyRing {
    KeyRing::new(key(signs.0, signs.1))
        .with_verifying(key(verifies.0, verifies.1))
        .unwrap()
}

const OLD: (&str, u8) = ("k1", 1);
const NEW: (&str, u8) = ("k2", 2);

#[tokio::test]
async fn instances_with_different_active_keys_serve_each_others_sessions() {
    let clock = ManualClock::new();
    let [a, b] = [ring_of(OLD, NEW), ring_of(NEW, OLD)]
        .map(|ring| over(SignedStore::new(ring, SERVICE), &clock));
    for (one, other) in [(&a, &b), (&b, &a)] {
        let id = one.open_as("alice").await;
        for instance in [other, one, other] {
            assert_eq!(instance.status(by(ping(&id), "alice")).await, 200);
            assert_eq!(instance.status(by(ping(&id), "bob")).await, 404);
        }
    }
    assert_ne!(
        a.open().await.split('.').next(),
        b.open().await.split('.').next()
    );
}

#[tokio::test]
async fn a_rotation_in_three_steps_loses_no_session_and_the_old_key_ends_with_the_last() {
    let clock = ManualClock::new();
    let stores = [signed(), signed()];
    let [a, b] = stores.clone().map(|store| over(store, &clock));
    let first = a.open_as("alice").await;
    let mut ids = vec![first.clone()];
    let steps = [ring_of(OLD, NEW), ring_of(NEW, OLD)];
    for step in &steps {
        // One instance after the other: between them each must take what the other signs.
        for store in &stores {
            store.replace_keys(step);
            for instance in [&a, &b] {
                ids.push(instance.open_as("alice").await);
            }
            for id in &ids {
                for instance in [&a, &b] {
                    assert_eq!(instance.status(by(ping(id), "alice")).await, 200);
                }
            }
        }
    }
    for store in &stores {
        store.replace_keys(&KeyRing::new(key(NEW.0, NEW.1)));
    }
    for instance in [&a, &b] {
        assert_eq!(instance.status(by(ping(&first), "alice")).await, 404);
        assert_eq!(
            instance
                .status(by(ping(&ids[ids.len() - 1]), "alice"))
                .await,
            200
        );
    }
}

/// Each way to refuse what a leaked key has signed.
fn answers_to_a_leak(now: tower_mcp_session::Timestamp) -> [KeyRing; 2] {
    let later = now.saturating_add(SECOND);
    [
        KeyRing::new(key(NEW.0, NEW.1)),
        ring().with_not_before(later),
    ]
}

/// What may stand behind a signed id.
fn stores() -> [SignedStore; 3] {
    [
        signed(),
        signed().with_revocations(MemoryStore::new()).unwrap(),
        signed().with_backing(MemoryStore::new()),
    ]
}

#[tokio::test]
async fn what_a_leaked_key_has_signed_is_unknown_at_once_also_where_it_is_live() {
    for (n, store) in stores().into_iter().enumerate() {
        for answer in 0..2 {
            let store = match n {
                0 => signed(),
                _ => store.clone(),
            };
            let clock = ManualClock::new();
            let live = over(store.clone(), &clock);
            let elsewhere = over(store.clone(), &clock);
            let id = live.open().await;
            assert!(live.serves(&id).await);
            store.replace_keys(&answers_to_a_leak(clock.now())[answer]);
            for instance in [&live, &elsewhere] {
                for verb in [ping, get, delete] {
                    let status = instance.status(verb(&id)).await;
                    assert!(status == 404 || status == 405, "store {n} answers {status}");
                }
            }
            store.replace_keys(&ring());
        }
    }
}

#[tokio::test]
async fn work_and_streams_under_a_leaked_key_end_within_a_touch_interval() {
    for store in stores() {
        let clock = ManualClock::new();
        let instance = over(store.clone(), &clock);
        let (id, work) = instance.open_context().await;
        let stream = instance.send(get(&id)).await;
        assert_eq!(stream.status(), 200);
        store.replace_keys(&KeyRing::new(key(NEW.0, NEW.1)));
        instance.pass(Duration::from_secs(30)).await;
        soon(work.cancelled()).await;
        soon(read(stream)).await;
    }
}

/// A gRPC call of the session `id`, and its status: none if the inner service has answered.
async fn grpc_status(instance: &Instance, id: &str) -> Option<String> {
    let call = Request::post("/pkg.Service/Do")
        .header(ID, id)
        .header("content-type", "application/grpc");
    let answer = instance.send(call.body(Body::default()).unwrap()).await;
    let status = answer.headers().get("grpc-status");
    status.map(|status| status.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn grpc_calls_under_a_leaked_key_are_not_found_as_those_of_a_forged_id_are() {
    for store in stores() {
        let clock = ManualClock::new();
        let [live, elsewhere] = [(); 2].map(|()| {
            let both = |layer: SessionLayer| layer.with_audience("both");
            Instance::over(store.clone(), &clock, both)
        });
        let id = live.open().await;
        for instance in [&live, &elsewhere] {
            assert_eq!(grpc_status(instance, &id).await, None);
            let not_found = Some("5".to_owned());
            assert_eq!(grpc_status(instance, &id[1..]).await, not_found);
        }
        store.replace_keys(&KeyRing::new(key(NEW.0, NEW.1)));
        for instance in [&live, &elsewhere] {
            assert_eq!(grpc_status(instance, &id).await.as_deref(), Some("5"));
        }
    }
}

#[tokio::test]
async fn a_session_goes_on_undisturbed_when_keys_are_replaced_that_still_take_it() {
    for store in stores() {
        let clock = ManualClock::new();
        let instance = over(store.clone(), &clock);
        let (id, work) = instance.open_context().await;
        for _ in 0..3 {
            store.replace_keys(&ring_of(NEW, OLD));
            instance.pass(MINUTE).await;
            assert!(instance.serves(&id).await);
        }
        assert!(!work.has_ended());
    }
}

#[tokio::test]
async fn an_owner_keeps_a_session_that_begins_while_keys_are_replaced() {
    let store = signed();
    let candidate = SessionId::random().unwrap();
    let alice = Principal::new("alice");
    let before = store.owner_tag(&candidate, &alice);
    store.replace_keys(&ring_of(NEW, OLD));
    // What the layer does with the tag that it got a moment ago.
    let clock = ManualClock::new();
    let new = crate::backing::new_session(&clock, Some(before));
    let stored = store.create(&candidate, new).await.unwrap();
    assert_eq!(store.owner_tag(&stored.id, &alice), before);
    let instance = over(store, &clock);
    let id = stored.id.expose();
    assert_eq!(instance.status(by(ping(&id), "alice")).await, 200);
    assert_eq!(instance.status(by(ping(&id), "bob")).await, 404);
}

#[tokio::test]
async fn tags_of_one_principal_differ_from_key_to_key_and_service_to_service() {
    let alice = Principal::new("alice");
    let id = SessionId::random().unwrap();
    let tags = [
        signed(),
        SignedStore::new(KeyRing::new(key("k1", 2)), SERVICE),
        SignedStore::new(ring(), "https://other.example.com"),
    ]
    .map(|store| store.owner_tag(&id, &alice));
    assert!(tags[0] != tags[1] && tags[0] != tags[2] && tags[1] != tags[2]);
    assert!(!tags.contains(&tower_mcp_session::OwnerTag::of(&alice)));
}

#[tokio::test]
async fn a_development_key_serves_this_process_alone() {
    let [a, b] = two(|| SignedStore::new(KeyRing::development().unwrap(), SERVICE));
    let id = a.open().await;
    assert!(a.serves(&id).await);
    assert!(!b.serves(&id).await);
}

#[tokio::test]
async fn keys_come_from_a_file_the_environment_or_bytes() {
    let line = "k1 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    std::fs::write(&path, format!("# ours\n{line}\n")).unwrap();
    let clock = ManualClock::new();
    let id = over(signed(), &clock).open().await;
    for ring in [KeyRing::from_file(&path), KeyRing::parse(line)] {
        let store = SignedStore::new(ring.unwrap(), SERVICE);
        assert!(over(store, &clock).serves(&id).await);
    }
    let errors = [
        KeyRing::from_file(folder.path().join("none")),
        KeyRing::from_env("MCP_SESSION_TEST_WITHOUT_KEYS"),
        // Set for each test by cargo, and no keys.
        KeyRing::from_env("CARGO_PKG_NAME"),
    ];
    for error in errors {
        let InvalidKeys { .. } = error.unwrap_err();
    }
}

#[tokio::test]
async fn nothing_shows_a_secret_or_an_id() {
    let secret = [b'~'; 40];
    let key = tower_mcp_session::store::SigningKey::from_bytes("k1", &secret).unwrap();
    let ring = KeyRing::new(key.clone());
    let memory = MemoryStore::new();
    let store = SignedStore::new(ring.clone(), SERVICE)
        .with_revocations(shared(&memory))
        .unwrap();
    let instance: Instance = over(store.clone(), &ManualClock::new());
    let (id, session) = instance.open_context().await;
    let shown = format!(
        "{key:?} {ring:?} {store:?} {:?} {session:?} {:?}",
        instance.layer,
        session.id()
    );
    assert!(!shown.contains("~~~~") && !shown.contains("126"), "{shown}");
    for part in id.split('.').skip(1) {
        assert!(!shown.contains(part), "{shown}");
    }
}
