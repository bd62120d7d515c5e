//! 6: what is refused, and how. One answer for all that is not alive; 503 only before the inner service was asked.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{Request, StatusCode};
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::{FaultyStore, ManualClock, Operation};
use tower_mcp_session::{MemoryStore, SessionLayer};

use crate::support::{
    Answer, Body, HOUR, ID, Instance, PING, SECOND, UNKNOWN, by, delete, get, initialize, ping,
    post, read,
};

const NOT_FOUND: &str =
    r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32001,"message":"Session not found"}}"#;
const NOT_FOUND_UNREAD: &str =
    r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"}}"#;

/// A request to a session that is not alive for its caller, by the reason.
async fn not_alive(instance: &Instance) -> Vec<(&'static str, String)> {
    let expired = instance.open().await;
    instance.clock.advance(HOUR * 25);
    let half_open = instance.begin().await;
    instance.clock.advance(SECOND * 300);
    let ended = instance.open().await;
    assert_eq!(instance.status(delete(&ended)).await, 204);
    vec![
        ("unknown", UNKNOWN.to_owned()),
        ("opaque", "not-of-our-form".to_owned()),
        ("upper case", UNKNOWN.to_ascii_uppercase()),
        ("two words", "two words".to_owned()),
        ("too long", "x".repeat(1025)),
        ("far too long", "0".repeat(60_000)),
        ("foreign", instance.open_as("alice").await),
        ("expired", expired),
        ("never used", half_open),
        ("ended", ended),
    ]
}

#[tokio::test]
async fn all_that_is_not_alive_is_refused_with_the_same_bytes() {
    let instance = Instance::new(|layer| layer);
    let ids = not_alive(&instance).await;
    let seen = instance.server.calls();
    for (verb, body) in [
        ("POST", NOT_FOUND),
        ("GET", NOT_FOUND_UNREAD),
        ("DELETE", NOT_FOUND_UNREAD),
    ] {
        let mut answers = BTreeSet::new();
        for (reason, id) in &ids {
            let request = match verb {
                "POST" => ping(id),
                "GET" => get(id),
                _ => delete(id),
            };
            let (status, headers, bytes) = read(instance.send(request).await).await;
            assert_eq!(status, 404, "{verb} {reason}");
            assert_eq!(bytes, body, "{verb} {reason}");
            assert_eq!(headers.len(), 2, "{verb} {reason}: {headers:?}");
            answers.insert((headers, bytes));
        }
        assert_eq!(answers.len(), 1, "{verb}");
    }
    let alive = instance.open().await;
    let elsewhere = |request: Request<Body>| {
        let (mut parts, body) = request.into_parts();
        parts.uri = "/other".parse().unwrap();
        Request::from_parts(parts, body)
    };
    let (status, _, bytes) = read(instance.send(elsewhere(ping(&alive))).await).await;
    assert_eq!(
        (status, &bytes[..]),
        (StatusCode::NOT_FOUND, NOT_FOUND.as_bytes())
    );
    for request in [get(&alive), delete(&alive)] {
        let (status, _, bytes) = read(instance.send(elsewhere(request)).await).await;
        assert_eq!(
            (status, &bytes[..]),
            (StatusCode::NOT_FOUND, NOT_FOUND_UNREAD.as_bytes())
        );
    }
    // An initialize and a ping began and opened the last session; nothing else went in.
    assert_eq!(instance.server.calls(), seen + 2);
}

#[tokio::test]
async fn a_byte_outside_ascii_in_an_id_is_not_found_either() {
    let instance = Instance::new(|layer| layer);
    for value in [&b"\xc3\xa9"[..], b"\xff", b"tab\there"] {
        let mut request = ping(UNKNOWN);
        let value = http::HeaderValue::from_bytes(value).unwrap();
        request.headers_mut().insert(ID, value);
        let (status, _, bytes) = read(instance.send(request).await).await;
        assert_eq!(
            (status, &bytes[..]),
            (StatusCode::NOT_FOUND, NOT_FOUND.as_bytes())
        );
    }
}

#[tokio::test]
async fn a_missing_id_and_two_ids_are_400() {
    let instance = Instance::new(|layer| layer);
    let id = instance.open().await;
    for request in [ping(&id), get(&id), delete(&id)] {
        let (mut parts, body) = request.into_parts();
        parts.headers.append(ID, id.parse().unwrap());
        let two = Request::from_parts(parts.clone(), body.clone());
        assert_eq!(instance.status(two).await, 400);
        parts.headers.remove(ID);
        if parts.method != http::Method::DELETE {
            let none = Request::from_parts(parts, body);
            assert_eq!(instance.status(none).await, 400);
        }
    }
}

/// That `answer` is a 503 of ours; gives the seconds after which to come back.
async fn is_unavailable(answer: Answer) -> u64 {
    let (status, headers, body) = read(answer).await;
    assert_eq!(status, 503);
    assert!(String::from_utf8_lossy(&body).contains(r#""jsonrpc":"2.0""#));
    let header = |wanted: &str| {
        let found = headers.iter().find(|(name, _)| name == wanted);
        String::from_utf8(found.expect(wanted).1.clone()).unwrap()
    };
    assert_eq!(header("cache-control"), "no-store");
    let seconds = header("retry-after").parse().unwrap();
    assert!((1..=3).contains(&seconds));
    seconds
}

fn faulty(
    options: impl FnOnce(SessionLayer) -> SessionLayer,
) -> (Instance, FaultyStore<MemoryStore>) {
    let store = FaultyStore::new(MemoryStore::new()).without_watch();
    let instance = Instance::over(store.clone(), &ManualClock::new(), options);
    (instance, store)
}

#[tokio::test]
async fn a_store_that_fails_is_503_on_each_verb_and_the_inner_service_is_not_asked() {
    let (instance, store) = faulty(|layer| layer);
    let id = instance.open().await;
    let seen = instance.server.calls();
    store.fail_all(Operation::Touch, StoreErrorKind::Unavailable);
    store.fail_all(Operation::Load, StoreErrorKind::Corrupt);
    for request in [
        ping(&id),
        get(&id),
        delete(&id),
        ping(UNKNOWN),
        get(UNKNOWN),
    ] {
        is_unavailable(instance.send(request).await).await;
    }
    store.heal();
    store.fail_all(Operation::Delete, StoreErrorKind::Unavailable);
    is_unavailable(instance.send(delete(&id)).await).await;
    assert_eq!(instance.server.calls(), seen);
    store.heal();
    assert!(instance.serves(&id).await, "nothing has changed");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_503_after_its_time_limit() {
    let (instance, store) = faulty(|layer| layer);
    let id = instance.open().await;
    let seen = instance.server.calls();
    for operation in [Operation::Touch, Operation::Load, Operation::Delete] {
        store.hang(operation);
    }
    for request in [ping(&id), get(&id), delete(&id), ping(UNKNOWN)] {
        let begun = tokio::time::Instant::now();
        is_unavailable(instance.send(request).await).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
    }
    assert_eq!(instance.server.calls(), seen);
}

#[tokio::test]
async fn full_and_draining_refuse_an_initialize_alone() {
    let instance = Instance::new(|layer| layer.with_max_sessions(1));
    let id = instance.open().await;
    let seen = instance.server.calls();
    let mut seconds = BTreeSet::new();
    for _ in 0..100 {
        seconds.insert(is_unavailable(instance.send(initialize()).await).await);
    }
    assert!(seconds.len() > 1, "clients come back at different times");
    assert_eq!(instance.server.calls(), seen);
    assert!(instance.serves(&id).await);

    let instance = Instance::new(|layer| layer);
    let id = instance.open().await;
    let mut drain = tokio_test::task::spawn(instance.layer.drain(SECOND));
    assert!(drain.poll().is_pending());
    let seen = instance.server.calls();
    is_unavailable(instance.send(initialize()).await).await;
    assert_eq!(instance.server.calls(), seen);
    assert!(instance.serves(&id).await);
    assert_eq!(instance.status(ping(UNKNOWN)).await, 404);
}

#[tokio::test]
async fn a_suspended_session_is_503_for_its_owner_and_404_for_others() {
    let instance = Instance::new(|layer| layer);
    let id = instance.open_as("alice").await;
    instance.context().suspend().await.unwrap();
    let seen = instance.server.calls();
    for request in [ping(&id), get(&id)] {
        is_unavailable(instance.send(by(request, "alice")).await).await;
    }
    for request in [ping(&id), get(&id), delete(&id)] {
        assert_eq!(instance.status(by(request, "bob")).await, 404);
    }
    assert_eq!(instance.server.calls(), seen);
    // The owner may end it.
    assert_eq!(instance.status(by(delete(&id), "alice")).await, 204);
    assert_eq!(instance.status(by(ping(&id), "alice")).await, 404);
}

#[tokio::test]
async fn a_store_that_cannot_create_mints_nothing() {
    let (instance, store) = faulty(|layer| layer);
    store.fail_all(Operation::Create, StoreErrorKind::Unavailable);
    is_unavailable(instance.send(initialize()).await).await;
    assert_eq!(instance.layer.live_sessions(), 0);
    store.heal();
    for _ in 0..3 {
        // An id that is taken is drawn again.
        store.fail_next(Operation::Create, StoreErrorKind::AlreadyExists);
    }
    instance.begin().await;
}

#[tokio::test]
async fn a_session_that_ends_while_its_first_request_is_looked_at_is_404() {
    let (instance, store) = faulty(|layer| layer);
    let other = Instance::over(store.clone(), &instance.clock, |layer| layer);
    let id = instance.begin().await;
    let seen = instance.server.calls();
    // The second touch of the request notes that it is half-open no longer.
    store.hang(Operation::Touch);
    let mut request = tokio_test::task::spawn(instance.send(post(&id, PING)));
    assert!(request.poll().is_pending());
    store.release();
    assert!(request.poll().is_ready() || request.is_woken());
    drop(request);
    assert_eq!(other.status(delete(&id)).await, 204);
    assert_eq!(instance.status(ping(&id)).await, 404);
    assert!(instance.server.calls() <= seen + 1);
}
