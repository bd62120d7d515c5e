//! The contract of `SessionStore` on signed ids: kept where it applies, refused as declared where it does not.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may unwrap as tests do"
)]

use std::sync::Arc;

use tower_mcp_session::MemoryStore;
use tower_mcp_session::SessionStore;
use tower_mcp_session::Timestamp;
use tower_mcp_session::store::{KeyRing, SignedStore, SigningKey};
use tower_mcp_session::testing::{FaultyStore, shared_store_contract, store_contract};

store_contract!(alone, signed());
store_contract!(
    with_a_list,
    signed().with_revocations(MemoryStore::new()).unwrap()
);
store_contract!(
    with_a_shared_list,
    signed().with_revocations(shared()).unwrap()
);
store_contract!(backed, signed().with_backing(MemoryStore::new()));
store_contract!(
    migrating,
    signed()
        .with_revocations(MemoryStore::new())
        .unwrap()
        .with_backing(MemoryStore::new())
        .with_migration_until(Timestamp::NEVER)
);
store_contract!(backed_and_shared, signed().with_backing(shared()));

shared_store_contract!(two_with_one_key, (signed(), signed()));
shared_store_contract!(two_with_one_list, {
    let list = shared();
    let with_list = || signed().with_revocations(Arc::clone(&list)).unwrap();
    (with_list(), with_list())
});
shared_store_contract!(two_over_one_store, {
    let store = shared();
    let over = || signed().with_backing(Arc::clone(&store));
    (over(), over())
});
shared_store_contract!(two_clones_with_a_list, {
    let store = signed().with_revocations(MemoryStore::new()).unwrap();
    (store.clone(), store)
});

fn signed() -> SignedStore {
    let key = SigningKey::from_bytes("k1", &[7; 32]).unwrap();
    SignedStore::new(KeyRing::new(key), "https://mcp.example.com")
}

/// A store that instances share: here in memory, and it outlives none of them.
fn shared() -> Arc<FaultyStore<MemoryStore>> {
    let store = MemoryStore::new();
    let mut able = store.capabilities();
    able.shared = true;
    FaultyStore::new(store).with_capabilities(able).into()
}
