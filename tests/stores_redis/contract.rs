//! The contract, asking and tracking.

use tower_mcp_session::testing::{shared_store_contract, store_contract};

use crate::common::{fresh, handle, prefix, tracking};
use crate::redis::RedisServer;

store_contract!(asks, fresh().await);
store_contract!(
    tracks,
    tracking(&RedisServer::shared().url(), &prefix()).await
);

shared_store_contract!(two_that_ask, {
    let (url, prefix) = (RedisServer::shared().url(), prefix());
    (handle(&url, &prefix).await, handle(&url, &prefix).await)
});
shared_store_contract!(two_that_track, {
    let (url, prefix) = (RedisServer::shared().url(), prefix());
    (tracking(&url, &prefix).await, tracking(&url, &prefix).await)
});
