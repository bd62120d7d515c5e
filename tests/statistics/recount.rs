//! What was counted by hand, and how it is held against statistics.

use std::collections::HashMap;
use std::time::Duration;

use tower_mcp_session::{Durations, EndReason, RefusalCause, Standings, Statistics};

use crate::model::{IDLE_AFTER, Kept};

/// What has happened on one instance.
#[derive(Debug, Default)]
pub(crate) struct Recount {
    pub(crate) created: u64,
    pub(crate) restored: u64,
    pub(crate) messages: u64,
    pub(crate) messages_lost: u64,
    pub(crate) ended: HashMap<EndReason, u64>,
    pub(crate) refused: HashMap<RefusalCause, u64>,
    /// How long each session lasted that ended, in seconds.
    pub(crate) lasted: Vec<u64>,
}

impl Recount {
    pub(crate) fn end(&mut self, session: &Kept, reason: EndReason, now: u64) {
        *self.ended.entry(reason).or_default() += 1;
        self.lasted.push(now - session.created);
    }

    pub(crate) fn refuse(&mut self, cause: RefusalCause) {
        *self.refused.entry(cause).or_default() += 1;
    }

    /// Holds `found` against what happened.
    pub(crate) fn compare(&self, found: &Statistics, context: &str) {
        assert_eq!(found.created(), self.created, "{context}: created");
        assert_eq!(found.restored(), self.restored, "{context}: restored");
        assert_eq!(found.messages(), self.messages, "{context}: messages");
        let lost = self.messages_lost;
        assert_eq!(found.messages_lost(), lost, "{context}: lost");
        for reason in REASONS {
            let expected = self.ended.get(&reason).copied().unwrap_or_default();
            assert_eq!(found.ended(reason), expected, "{context}: {reason}");
        }
        let all: u64 = self.ended.values().sum();
        assert_eq!(found.ended_in_all(), all, "{context}: ended");
        for cause in CAUSES {
            let expected = self.refused.get(&cause).copied().unwrap_or_default();
            assert_eq!(found.refused(cause), expected, "{context}: {cause}");
        }
        compare_durations(found.durations(), &self.lasted, context);
    }
}

/// Holds `found` against the durations themselves, in seconds.
pub(crate) fn compare_durations(found: &Durations, expected: &[u64], context: &str) {
    let mut millis: Vec<_> = expected.iter().map(|seconds| seconds * 1000).collect();
    millis.sort_unstable();
    assert_eq!(found.count(), millis.len() as u64, "{context}: durations");
    let mean = millis
        .iter()
        .sum::<u64>()
        .checked_div(millis.len() as u64)
        .map(Duration::from_millis);
    assert_eq!(found.mean(), mean, "{context}: mean");
    for quantile in [0.0, 0.1, 0.5, 0.75, 0.9, 0.95, 1.0] {
        let place = (quantile * millis.len() as f64).ceil() as usize;
        let exact = millis.get(place.max(1) - 1).copied();
        let found = found.quantile(quantile);
        let found = found.map(|found| u64::try_from(found.as_millis()).unwrap());
        assert_eq!(found.is_some(), exact.is_some());
        let (found, exact) = (found.unwrap_or_default(), exact.unwrap_or_default());
        assert!(
            exact <= found && found - exact <= exact / 8,
            "{context}: quantile {quantile} is {found} in place of {exact}"
        );
    }
}

/// How many there are, each given by whether it is suspended and for how long it has not been used.
pub(crate) fn count(sessions: impl Iterator<Item = (bool, u64)>) -> [u64; 4] {
    let [mut active, mut idle, mut suspended] = [0; 3];
    for (is_suspended, unused) in sessions {
        match (is_suspended, unused >= IDLE_AFTER) {
            (true, _) => suspended += 1,
            (false, true) => idle += 1,
            (false, false) => active += 1,
        }
    }
    [active + idle + suspended, active, idle, suspended]
}

/// The same of what was found.
pub(crate) fn numbers(found: Standings) -> [u64; 4] {
    [found.total, found.active, found.idle, found.suspended]
}

pub(crate) const REASONS: [EndReason; 7] = [
    EndReason::Deleted,
    EndReason::Terminated,
    EndReason::Evicted,
    EndReason::Expired,
    EndReason::Abandoned,
    EndReason::Lost,
    EndReason::Elsewhere,
];

/// Those that the steps come to, and some that they must not.
pub(crate) const CAUSES: [RefusalCause; 10] = [
    RefusalCause::SessionNotFound,
    RefusalCause::MissingSessionId,
    RefusalCause::Full,
    RefusalCause::PrincipalFull,
    RefusalCause::Suspended,
    RefusalCause::StoreUnavailable,
    RefusalCause::Draining,
    RefusalCause::Busy,
    RefusalCause::RestoreFailed,
    RefusalCause::Panicked,
];
