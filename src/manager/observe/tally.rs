//! What happened so far, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::EndReason;
use crate::protocol::RefusalCause;

/// Counts of one layer, since it was made. Only what happened is counted; what *is* comes from what is there.
#[derive(Debug)]
pub(crate) struct Tally {
    created: AtomicU64,
    restored: AtomicU64,
    messages: AtomicU64,
    messages_lost: AtomicU64,
    ended: [AtomicU64; EndReason::ALL.len()],
    refused: [AtomicU64; RefusalCause::ALL.len()],
    /// The sum of how long ended sessions lasted, in milliseconds.
    lasted: AtomicU64,
    durations: Box<[AtomicU64; BUCKETS]>,
}

impl Default for Tally {
    fn default() -> Self {
        let zeros = [(); BUCKETS].map(|()| AtomicU64::new(0));
        Self {
            created: AtomicU64::new(0),
            restored: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            messages_lost: AtomicU64::new(0),
            ended: Default::default(),
            refused: [(); RefusalCause::ALL.len()].map(|()| AtomicU64::new(0)),
            lasted: AtomicU64::new(0),
            durations: Box::new(zeros),
        }
    }
}

impl Tally {
    pub(super) fn created(&self) {
        self.created.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn restored(&self) {
        self.restored.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn said(&self, messages: u64) {
        self.messages.fetch_add(messages, Ordering::Relaxed);
    }

    pub(super) fn lost(&self, heard: u64) {
        self.messages_lost.fetch_add(heard, Ordering::Relaxed);
    }

    pub(super) fn ended(&self, reason: EndReason, lasted: Duration) {
        let millis = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
        self.ended[reason as usize].fetch_add(1, Ordering::Relaxed);
        self.lasted.fetch_add(millis, Ordering::Relaxed);
        self.durations[bucket(millis)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, cause: RefusalCause) {
        self.refused[cause as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// What an operator reads.
impl Tally {
    /// The counts as they are now; one by one, while others go on counting.
    pub(crate) fn snapshot(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            created: read(&self.created),
            restored: read(&self.restored),
            messages: read(&self.messages),
            messages_lost: read(&self.messages_lost),
            ended: EndReason::ALL.map(|reason| (reason, read(&self.ended[reason as usize]))),
            refused: RefusalCause::ALL.map(|cause| (cause, read(&self.refused[cause as usize]))),
            durations: Durations {
                millis: read(&self.lasted),
                buckets: self.durations.iter().map(read).collect(),
            },
        }
    }
}

/// Counts as they were at one time.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    pub(crate) created: u64,
    pub(crate) restored: u64,
    pub(crate) messages: u64,
    pub(crate) messages_lost: u64,
    pub(crate) ended: [(EndReason, u64); EndReason::ALL.len()],
    pub(crate) refused: [(RefusalCause, u64); RefusalCause::ALL.len()],
    pub(crate) durations: Durations,
}

/// How long sessions lasted: their number, their mean, and what part of them lasted how long.
///
/// The number and the mean are exact, to a millisecond; a quantile is at most an eighth too long.
#[derive(Clone, Debug)]
pub struct Durations {
    /// The sum of all, in milliseconds.
    millis: u64,
    buckets: Box<[u64]>,
}

impl Durations {
    pub(crate) fn add(&mut self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.millis = self.millis.saturating_add(millis);
        self.buckets[bucket(millis)] += 1;
    }

    /// How many sessions there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How long a session lasted on average; `None` if there was none.
    pub fn mean(&self) -> Option<Duration> {
        let millis = self.millis.checked_div(self.count());
        millis.map(Duration::from_millis)
    }

    /// The duration that the part `quantile` of the sessions, from 0 to 1, did not exceed: `0.95` for that of nineteen
    /// in twenty. `None` if there was none.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let wanted = (quantile.clamp(0.0, 1.0) * self.count() as f64).ceil();
        let wanted = (wanted as u64).max(1);
        let mut seen = 0;
        let index = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(Duration::from_millis(last_of(index)))
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            millis: 0,
            buckets: vec![0; BUCKETS].into(),
        }
    }
}

/// Eight buckets for each power of two of milliseconds; below eight, one for each millisecond.
fn bucket(millis: u64) -> usize {
    let Some(doublings) = millis
        .checked_ilog2()
        .and_then(|power| power.checked_sub(3))
    else {
        return millis as usize;
    };
    (doublings as usize + 1) * 8 + (millis >> doublings) as usize % 8
}

/// The longest duration of a bucket, in milliseconds.
fn last_of(bucket: usize) -> u64 {
    if bucket < 8 {
        return bucket as u64;
    }
    let (doublings, part) = (bucket / 8 - 1, bucket % 8);
    let first = (8 + part as u64) << doublings;
    first + ((1 << doublings) - 1)
}

/// As many as milliseconds of 64 bits need.
const BUCKETS: usize = 62 * 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_a_bucket_that_is_an_eighth_of_it_wide_at_most() {
        let powers = (0..64).flat_map(|power| [0, 1, 2].map(|more| (1_u64 << power) + more));
        for millis in (0..5000).chain(powers).chain([u64::MAX - 1, u64::MAX]) {
            let index = bucket(millis);
            assert!(index < BUCKETS, "{millis}");
            let last = last_of(index);
            assert!(
                last >= millis && last - millis <= millis / 8,
                "{millis}: {last}"
            );
            assert!(index == 0 || last_of(index - 1) < millis, "{millis}");
        }
    }

    #[test]
    fn a_quantile_is_an_eighth_too_long_at_most() {
        let tally = Tally::default();
        for seconds in 1..=1000 {
            tally.ended(EndReason::Deleted, Duration::from_secs(seconds));
        }
        let counts = tally.snapshot();
        assert_eq!(counts.ended[0], (EndReason::Deleted, 1000));
        assert_eq!(counts.durations.count(), 1000);
        assert_eq!(
            counts.durations.mean(),
            Some(Duration::from_millis(500_500))
        );
        for (quantile, exact) in [(0.0, 1.0), (0.5, 500.0), (0.95, 950.0), (1.0, 1000.0)] {
            let found = counts.durations.quantile(quantile).unwrap().as_secs_f64();
            assert!(
                (exact..=exact * 1.125).contains(&found),
                "{quantile}: {found}"
            );
        }
        assert_eq!(Tally::default().snapshot().durations.quantile(0.5), None);
        assert_eq!(Tally::default().snapshot().durations.mean(), None);
    }

    #[test]
    fn what_is_counted_is_what_is_read() {
        let tally = Tally::default();
        tally.created();
        tally.restored();
        tally.refused(RefusalCause::Panicked);
        let counts = tally.snapshot();
        assert_eq!((counts.created, counts.restored), (1, 1));
        let refused: Vec<_> = counts.refused.into_iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(refused, [(RefusalCause::Panicked, 1)]);
    }
}
