//! Two instances of the layer over one Redis.

use http::StatusCode;
use tower_mcp_session::testing::ManualClock;

use crate::common::{handle, prefix, tracking, until};
use crate::proxy::Proxy;
use crate::redis::RedisServer;
use crate::sessions::{HOUR, Instance, LIST, UNKNOWN, delete, ping, post};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_one_instance_is_served_by_another_and_its_end_is_seen_by_the_next_request() {
    let (url, prefix) = (RedisServer::shared().url(), prefix());
    let clock = ManualClock::new();
    let one = Instance::over(handle(&url, &prefix).await, &clock, |layer| layer);
    let other = Instance::over(handle(&url, &prefix).await, &clock, |layer| layer);
    let id = one.open().await;
    assert!(other.serves(&id).await);
    other.context().insert("number", &7).await.unwrap();
    assert!(one.serves(&id).await);
    let number: Option<u32> = one.context().get("number").await.unwrap();
    assert_eq!(number, Some(7));
    assert_eq!(other.status(delete(&id)).await, StatusCode::NO_CONTENT);
    for instance in [&one, &other] {
        assert!(!instance.serves(&id).await);
    }
}

#[tokio::test]
async fn sessions_expire_by_the_clock_of_the_layer() {
    let store = handle(&RedisServer::shared().url(), &prefix()).await;
    let clock = ManualClock::new();
    let one = Instance::over(store.clone(), &clock, |layer| layer);
    let id = one.open().await;
    clock.wait_for_sleepers(1).await;
    clock.advance(HOUR * 23);
    // The keeper's round is over: it has dropped the live part, and the store has the session.
    clock.wait_for_sleepers(1).await;
    assert!(one.serves(&id).await);
    clock.advance(HOUR * 24);
    clock.wait_for_sleepers(1).await;
    let other = Instance::over(store, &clock, |layer| layer);
    for instance in [&one, &other] {
        assert!(!instance.serves(&id).await);
    }
}

#[tokio::test]
async fn redis_is_asked_for_no_id_that_it_cannot_know() {
    let server = RedisServer::start(&[]);
    let instance = Instance::over(
        handle(&server.url(), &prefix()).await,
        &ManualClock::new(),
        |layer| layer,
    );
    server.kill();
    assert_eq!(instance.status(ping(UNKNOWN)).await, 503);
    for odd in ["x", "00-00", &UNKNOWN[1..], &UNKNOWN.to_uppercase()] {
        assert_eq!(instance.status(ping(odd)).await, 404, "{odd}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_tracking_a_request_of_a_known_session_asks_nobody_and_an_end_elsewhere_is_heard() {
    let server = RedisServer::shared();
    let (proxy, prefix) = (Proxy::to(server.port()).await, prefix());
    let clock = ManualClock::new();
    let here = tracking(&proxy.url(), &prefix).await;
    let here = Instance::over(here, &clock, |layer| layer);
    let elsewhere = handle(&server.url(), &prefix).await;
    let elsewhere = Instance::over(elsewhere, &clock, |layer| layer);
    let id = here.open().await;
    let quiet = || async {
        assert!(here.serves(&id).await);
        proxy.seen();
        assert_eq!(here.status(post(&id, LIST)).await, StatusCode::OK);
        proxy.seen().is_empty().then_some(())
    };
    until("a request costs no round trip", quiet).await;
    assert!(elsewhere.serves(&id).await);
    assert_eq!(elsewhere.status(delete(&id)).await, StatusCode::NO_CONTENT);
    let ended = || async { (!here.serves(&id).await).then_some(()) };
    until("the end is heard", ended).await;
}
