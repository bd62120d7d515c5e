//! What an operator should know about the server, looked at once for each store.

use std::collections::HashMap;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{RedisResult, cmd};
use tracing::{debug, warn};

use crate::clock::{Clock, SystemClock};
use crate::session::Timestamp;

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

/// How far `server`, which was read between `before` and `after`, is off at least, if that is too much.
fn skew(before: Timestamp, server: Timestamp, after: Timestamp) -> Option<Duration> {
    let skew = before.since(server).max(server.since(after));
    (skew > MAX_SKEW).then_some(skew)
}

const MAX_SKEW: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_from_five_seconds_on_whatever_the_answer_took() {
        for (before, server, after, expected) in [
            (10_000, 10_000, 10_001, None),
            (10_000, 5_000, 10_001, None),
            (10_000, 4_999, 10_001, Some(5_001)),
            (10_000, 15_001, 10_001, None),
            (10_000, 15_002, 10_001, Some(5_001)),
            (10_000, 12_000, 19_000, None),
        ] {
            let [before, server, after] = [before, server, after].map(Timestamp::from_millis);
            assert_eq!(
                skew(before, server, after),
                expected.map(Duration::from_millis)
            );
        }
    }
}
