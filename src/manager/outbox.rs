//! What was heard in a session, and waits for the one who writes it into the history.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use super::said::{Calls, Said};
use crate::session::HistoryLimits;

/// What waits for the one who writes it.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Heard>,
    /// What was said, of all that waits, and its bytes.
    said: usize,
    bytes: usize,
    /// Who asked after what was let go of. What came before that may still be on its way into the store.
    asked: Vec<watch::Sender<()>>,
}

enum Heard {
    Said(Arc<Calls>, Said, Weight),
    /// Whoever asks waits until this is dropped: after all before it was written, or lost.
    Ask(watch::Sender<()>),
}

impl Outbox {
    /// What one of what was said counts for, in bytes.
    pub(super) fn weight_of(said: &Said) -> usize {
        said.size() + size_of::<Heard>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How much was said, of all that waits.
    pub(super) fn said(&self) -> usize {
        self.said
    }

    /// What was said, the oldest first, each with the calls of its request.
    pub(super) fn heard(&self) -> impl Iterator<Item = (&Calls, &Said)> {
        self.waiting.iter().filter_map(|heard| match heard {
            Heard::Said(calls, said, _) => Some((&**calls, said)),
            Heard::Ask(_) => None,
        })
    }

    /// Lets go of the oldest where there is too much, because nobody writes it fast enough; says of how much.
    pub(super) fn push(
        &mut self,
        calls: &Arc<Calls>,
        said: Said,
        weight: Weight,
        most: HistoryLimits,
    ) -> usize {
        let mut late = 0;
        self.said += 1;
        self.bytes += weight.bytes;
        let heard = Heard::Said(Arc::clone(calls), said, weight);
        self.waiting.push_back(heard);
        while self.said > most.messages || self.bytes > most.bytes {
            match self.waiting.pop_front() {
                Some(Heard::Said(_, _, weight)) => {
                    self.said -= 1;
                    self.bytes -= weight.bytes;
                    late += 1;
                }
                // Not dropped here, under the lock, unless nobody waits any more.
                Some(Heard::Ask(ask)) if !ask.is_closed() => self.asked.push(ask),
                Some(Heard::Ask(_)) => {}
                None => break,
            }
        }
        late
    }

    /// What ends when all that waits now has been written. One for all who ask at one place: they need no limit.
    pub(super) fn ask(&mut self) -> watch::Receiver<()> {
        if let Some(Heard::Ask(asked)) = self.waiting.back() {
            return asked.subscribe();
        }
        let (ask, asked) = watch::channel(());
        self.waiting.push_back(Heard::Ask(ask));
        asked
    }
}

/// The bytes of what was heard, among those of all sessions.
pub(super) struct Weight {
    all: Arc<AtomicUsize>,
    bytes: usize,
}

impl Weight {
    /// A weight of `bytes` among `all`; `None` if they come to more than `most`.
    pub(super) fn among(all: Arc<AtomicUsize>, bytes: usize, most: usize) -> Option<Self> {
        let sum = all.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // Made in any case: it gives back what was added.
        let weight = Self { all, bytes };
        (sum <= most).then_some(weight)
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
