//! The contract, asking and tracking.

use tower_mcp_session::testing::store_contract;

use crate::common::{fresh, prefix, tracking};
use crate::redis::RedisServer;

store_contract!(asks, fresh().await);
store_contract!(
    tracks,
    tracking(&RedisServer::shared().url(), &prefix()).await
);
