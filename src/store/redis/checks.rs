//! What an operator should know about the server, looked at once for each store.

use std::collections::HashMap;

use ::redis::aio::MultiplexedConnection;
use ::redis::{RedisResult, cmd};
use tracing::{debug, warn};

use crate::clock::{Clock, SystemClock};
use crate::session::Timestamp;
use crate::store::skew::skew;

/// Warns of what makes sessions end before their time. A server that does not let itself be asked is believed.
pub(super) async fn look_at_server(connection: &mut MultiplexedConnection) {
    let before = SystemClock.now();
    let time: RedisResult<(u64, u64)> = cmd("TIME").query_async(connection).await;
    if let Ok((seconds, micros)) = time {
        let server =
            Timestamp::from_millis(seconds.saturating_mul(1000).saturating_add(micros / 1000));
        if let Some(skew) = skew(before, server, SystemClock.now()) {
            let seconds = skew.as_secs();
            warn!(seconds, "the clock of Redis differs from the one here");
        }
    }
    let policy: RedisResult<HashMap<String, String>> = cmd("CONFIG")
        .arg("GET")
        .arg("maxmemory-policy")
        .query_async(connection)
        .await;
    match policy.map(|policy| policy.get("maxmemory-policy").cloned()) {
        Ok(Some(policy)) if policy != "noeviction" => {
            warn!(
                policy,
                "Redis may drop sessions that are alive: set maxmemory-policy to noeviction"
            );
        }
        Ok(_) => {}
        Err(_) => debug!("the eviction policy of Redis is not shown"),
    }
}
