//! A `CachedStore` over `RedisStore`: its histories, its index, and what it keeps of an owner that is barred.

use std::time::Duration;

use tower_mcp_session::SessionStore;
use tower_mcp_session::store::CachedStore;
use tower_mcp_session::testing::{history_contract, index_contract};

use crate::common::{HOUR, after, begin_of, fresh, handle, now, owner, prefix};
use crate::proxy::Proxy;
use crate::redis::RedisServer;

history_contract!(history, twice(CachedStore::new(fresh().await)));
index_contract!(index, twice(CachedStore::new(fresh().await)));

fn twice<S: Clone>(store: S) -> (S, S) {
    (store.clone(), store)
}

#[tokio::test]
async fn what_is_kept_of_an_owner_is_gone_when_the_owner_is_barred_and_that_of_others_is_not() {
    let server = RedisServer::shared();
    let proxy = Proxy::to(server.port()).await;
    let inner = handle(&proxy.url(), &prefix()).await;
    let store = CachedStore::new(inner.clone()).with_staleness(Duration::from_secs(3600));
    let (alice, bob) = (owner("alice"), owner("bob"));
    let [ended, kept] = [begin_of(&inner, &alice).await, begin_of(&inner, &bob).await];
    for session in [&ended, &kept] {
        let loaded = store.load("/mcp", &session.id, now()).await.unwrap();
        assert!(loaded.is_some());
    }
    let index = store.index().unwrap();
    index.bar(&alice, now(), after(HOUR)).await.unwrap();
    proxy.seen();
    let loaded = store.load("/mcp", &kept.id, now()).await.unwrap();
    assert!(loaded.is_some());
    let asked = store.touch(&kept.key, now(), None).await.unwrap();
    assert_eq!(asked, Some(kept.revision));
    assert_eq!(proxy.seen(), [""; 0], "it is still kept");
    let asked = store.touch(&ended.key, now(), None).await.unwrap();
    assert_eq!(asked, None);
    let loaded = store.load("/mcp", &ended.id, now()).await.unwrap();
    assert!(loaded.is_none());
    assert_eq!(proxy.seen(), ["EVALSHA", "EVALSHA"]);
}
