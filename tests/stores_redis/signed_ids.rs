//! Signed ids of several instances, whose list of ended ones, or whose sessions, are in Redis.

use tower_mcp_session::store::{KeyRing, SignedStore, SigningKey};
use tower_mcp_session::testing::{ManualClock, shared_store_contract, store_contract};
use tower_mcp_session::{Clock, SessionStore as _};

use crate::common::{fresh, handle, now, prefix};
use crate::redis::RedisServer;
use crate::sessions::{Instance, delete, ping};

store_contract!(
    with_a_list,
    signed().with_revocations(fresh().await).unwrap()
);
store_contract!(backed, signed().with_backing(fresh().await));

shared_store_contract!(two_with_a_list, two_with_a_list().await);
shared_store_contract!(two_backed, {
    let (url, prefix) = (RedisServer::shared().url(), prefix());
    (
        signed().with_backing(handle(&url, &prefix).await),
        signed().with_backing(handle(&url, &prefix).await),
    )
});

fn signed() -> SignedStore {
    let key = SigningKey::from_bytes("k1", &[1; 32]).unwrap();
    SignedStore::new(KeyRing::new(key), "https://mcp.example.com")
}

/// Two instances with a connection each.
async fn two_with_a_list() -> (SignedStore, SignedStore) {
    let (url, prefix) = (RedisServer::shared().url(), prefix());
    let one = signed().with_revocations(handle(&url, &prefix).await);
    let other = signed().with_revocations(handle(&url, &prefix).await);
    (one.unwrap(), other.unwrap())
}

#[tokio::test]
async fn what_is_ended_on_one_instance_is_unknown_on_each_also_after_all_have_begun_anew() {
    let clock = ManualClock::at(now());
    let over = |store: SignedStore| Instance::over(store, &clock, |layer| layer);
    let (url, prefix) = (RedisServer::shared().url(), prefix());
    let mut ids: Vec<(String, String)> = Vec::new();
    for round in 0..3 {
        let list = handle(&url, &prefix).await;
        let one = over(signed().with_revocations(list).unwrap());
        let list = handle(&url, &prefix).await;
        let other = over(signed().with_revocations(list).unwrap());
        for (ended, alive) in &ids {
            for instance in [&one, &other] {
                assert_eq!(instance.status(ping(ended)).await, 404, "round {round}");
                assert_eq!(instance.status(ping(alive)).await, 200, "round {round}");
            }
        }
        let (ended, alive) = (one.open().await, other.open().await);
        assert_eq!(other.status(ping(&ended)).await, 200);
        assert_eq!(other.status(delete(&ended)).await, 204);
        assert_eq!(one.status(ping(&ended)).await, 404);
        assert_eq!(one.status(delete(&ended)).await, 404);
        ids.push((ended, alive));
    }
}

#[tokio::test]
async fn an_entry_leaves_redis_when_its_id_would_have_ended() {
    let (list, clock) = (fresh().await, ManualClock::at(now()));
    let store = signed().with_revocations(list.clone()).unwrap();
    let instance = Instance::over(store.clone(), &clock, |layer| layer);
    let id = instance.open().await;
    assert_eq!(instance.status(delete(&id)).await, 204);
    let removed = list.delete_expired(clock.now(), 10).await.unwrap();
    assert!(removed.is_empty());
    clock.advance(std::time::Duration::from_secs(7 * 24 * 3600 + 60));
    instance.layer.clean_up().await.unwrap();
    let left = list.delete_expired(clock.now(), 10).await.unwrap();
    assert!(left.is_empty(), "the layer has removed it");
}
