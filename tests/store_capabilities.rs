//! What stores can do beside: histories and an index, kept by our stores in memory and by all that wrap one.

use std::sync::Arc;

use tower_mcp_session::testing::{FaultyStore, history_contract, index_contract};
use tower_mcp_session::{CachedStore, MemoryStore, SessionStore};

macro_rules! both_contracts {
    ($name:ident, $handles:expr $(,)?) => {
        mod $name {
            use super::*;

            history_contract!(history, $handles);
            index_contract!(index, $handles);
        }
    };
}

both_contracts!(memory, twice(MemoryStore::new()));
both_contracts!(
    boxed,
    twice(Arc::new(
        Box::new(MemoryStore::new()) as Box<dyn SessionStore>
    ))
);
both_contracts!(cached, twice(CachedStore::new(MemoryStore::new())));
both_contracts!(faulty, twice(FaultyStore::new(MemoryStore::new())));

fn twice<S: Clone>(store: S) -> (S, S) {
    (store.clone(), store)
}
