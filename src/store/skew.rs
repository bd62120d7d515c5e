//! How far the clock of a server is from the one here.

use std::time::Duration;

use crate::session::Timestamp;

/// How far `server`, which was read between `before` and `after`, is off at least, if that is too much.
pub(super) fn skew(before: Timestamp, server: Timestamp, after: Timestamp) -> Option<Duration> {
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
            (10_000, 0, 10_400, Some(10_000)),
        ] {
            let [before, server, after] = [before, server, after].map(Timestamp::from_millis);
            assert_eq!(
                skew(before, server, after),
                expected.map(Duration::from_millis)
            );
        }
    }
}
