//! The contract, asking and tracking.

use tower_mcp_session::RedisStore;
use tower_mcp_session::testing::{
    history_contract, index_contract, shared_store_contract, store_contract,
};

use crate::common::{fresh, handle, prefix, tracking};
use crate::redis::RedisServer;

store_contract!(asks, fresh().await);
store_contract!(
    tracks,
    tracking(&RedisServer::shared().url(), &prefix()).await
);

shared_store_contract!(sharing_of_two_that_ask, two_that_ask().await);
shared_store_contract!(sharing_of_two_that_track, two_that_track().await);
history_contract!(histories_of_two_that_ask, two_that_ask().await);
history_contract!(histories_of_two_that_track, two_that_track().await);
index_contract!(index_of_two_that_ask, two_that_ask().await);
index_contract!(index_of_two_that_track, two_that_track().await);
index_contract!(index_of_two_of_a_kind_each, {
    let (url, prefix) = (RedisServer::shared().url(), prefix());
    (tracking(&url, &prefix).await, handle(&url, &prefix).await)
});

/// Two connections.
async fn two_that_ask() -> (RedisStore, RedisStore) {
    let (url, prefix) = (RedisServer::shared().url(), prefix());
    (handle(&url, &prefix).await, handle(&url, &prefix).await)
}

async fn two_that_track() -> (RedisStore, RedisStore) {
    let (url, prefix) = (RedisServer::shared().url(), prefix());
    (tracking(&url, &prefix).await, tracking(&url, &prefix).await)
}
