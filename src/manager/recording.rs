//! Messages on their way into the histories of sessions.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;
use tracing::{debug, error};

use super::core::Core;
use super::live::LiveSession;
use super::said::{Calls, Said};
use crate::config;
use crate::session::{HistoryLimits, Message};
use crate::store::{HistoryStore, StoreError, StoreErrorKind};

/// What is done to each message before it is stored; `None` if it is not stored at all.
#[derive(Clone)]
pub(crate) struct Redaction(Arc<dyn Fn(Message) -> Option<Message> + Send + Sync>);

impl Redaction {
    pub(crate) fn new(redact: impl Fn(Message) -> Option<Message> + Send + Sync + 'static) -> Self {
        Self(Arc::new(redact))
    }

    /// What is left of `message`. If the closure panics, nothing: what it was to take out must not be stored.
    fn apply(&self, message: Message) -> Option<Message> {
        let redacted = catch_unwind(AssertUnwindSafe(|| (self.0)(message)));
        redacted.unwrap_or_else(|_| {
            error!("a redaction panicked: its message is not stored");
            None
        })
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redaction").finish_non_exhaustive()
    }
}

impl Core {
    /// The store's histories, and how much they keep.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unsupported`] if the layer or the store keeps none.
    pub(super) fn history(&self) -> Result<(&dyn HistoryStore, HistoryLimits), StoreError> {
        let missing = |why| move || StoreError::new(StoreErrorKind::Unsupported, why);
        let limits = self.config.history.ok_or_else(missing(OFF))?;
        let history = self.store.history().ok_or_else(missing(NO_HISTORY))?;
        Ok((history, limits))
    }

    pub(super) fn redacted(&self, message: Message) -> Option<Message> {
        match &self.redaction {
            Some(redaction) => redaction.apply(message),
            None => Some(message),
        }
    }
}

/// What goes into the session's history.
impl LiveSession {
    /// Whether what is said in the session is recorded.
    pub(crate) fn is_recorded(&self) -> bool {
        self.core().config.history.is_some() && self.core().store.history().is_some()
    }

    /// How long a message may be that is recorded.
    pub(crate) fn longest_message(&self) -> usize {
        self.core().config.history.map_or(0, |limits| limits.bytes)
    }

    /// Takes in what was said, to put it into the history soon: whoever streams past waits neither for the store nor
    /// until it was read.
    ///
    /// One task at a time writes for a session, so that what comes in an order stays in it. If the store does not take
    /// it, it is lost: a history is no journal.
    pub(crate) fn hear(self: &Arc<Self>, calls: &Arc<Calls>, said: Said) {
        let Some(weight) = self.weigh(said.size() + size_of::<Heard>()) else {
            return debug!(session = %self.id().fingerprint(), "too much is heard at once");
        };
        let most = self.most_heard();
        let begins = self.with_outbox(|outbox| {
            let begins = outbox.is_none();
            outbox
                .get_or_insert_default()
                .push(calls, said, weight, most);
            begins
        });
        if !begins {
            return;
        }
        let writing = Writing {
            session: Arc::clone(self),
            is_over: false,
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(write(writing)));
        }
    }

    /// How much may wait: as much as a history holds in any case.
    fn most_heard(&self) -> HistoryLimits {
        let limits = self.core().config.history.unwrap_or_default();
        HistoryLimits::new(
            config::MAX_HEARD.max(limits.messages),
            config::MAX_HEARD_BYTES.saturating_add(limits.bytes),
        )
    }

    /// Room for `bytes` among what all sessions have heard; `None` if there is none.
    fn weigh(&self, bytes: usize) -> Option<Weight> {
        let all = Arc::clone(&self.home.shared.upgrade()?.heard_bytes);
        let sum = all.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // Made in any case: it gives back what was added.
        let weight = Weight { all, bytes };
        (sum <= config::MAX_ALL_HEARD_BYTES).then_some(weight)
    }

    /// Waits until all that was heard so far has been written, or was lost.
    pub(super) async fn all_written(self: &Arc<Self>) {
        let asked = self.with_outbox(|outbox| outbox.as_mut().map(Outbox::ask));
        if let Some(mut asked) = asked {
            // Nothing is ever sent: it ends, with an error, as soon as the other end is dropped.
            asked.changed().await.unwrap_or_default();
        }
    }

    /// Puts `messages` into the history now.
    pub(super) async fn append(&self, messages: Vec<Message>) -> Result<(), StoreError> {
        let count = messages.len();
        self.core().append(&self.key(), messages).await?;
        if let Some(manager) = self.manager() {
            manager.events().said(count);
        }
        Ok(())
    }

    /// What has come meanwhile; `None` if nothing has, and nobody writes from now on.
    fn next_to_write(&self) -> Option<VecDeque<Heard>> {
        self.with_outbox(|outbox| {
            let waiting = outbox.take()?.waiting;
            if waiting.is_empty() {
                return None;
            }
            *outbox = Some(Outbox::default());
            Some(waiting)
        })
    }

    fn with_outbox<R>(&self, f: impl FnOnce(&mut Option<Outbox>) -> R) -> R {
        self.with_extras(|extras| f(&mut extras.outbox))
    }
}

/// What waits for the one who writes it.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Heard>,
    /// What was said, of all that waits, and its bytes.
    said: usize,
    bytes: usize,
}

enum Heard {
    Said(Arc<Calls>, Said, Weight),
    /// Whoever asks waits until this is dropped: after all before it was written, or lost.
    Ask(watch::Sender<()>),
}

impl Outbox {
    /// Lets go of the oldest where there is too much: nobody writes it fast enough.
    fn push(&mut self, calls: &Arc<Calls>, said: Said, weight: Weight, most: HistoryLimits) {
        self.said += 1;
        self.bytes += weight.bytes;
        let heard = Heard::Said(Arc::clone(calls), said, weight);
        self.waiting.push_back(heard);
        while self.said > most.messages || self.bytes > most.bytes {
            match self.waiting.pop_front() {
                Some(Heard::Said(_, _, late)) => {
                    self.said -= 1;
                    self.bytes -= late.bytes;
                }
                Some(Heard::Ask(_)) => {}
                None => return,
            }
        }
    }

    /// What ends when all that waits now has been written. One for all who ask at one place: they need no limit.
    fn ask(&mut self) -> watch::Receiver<()> {
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

impl Drop for Weight {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

async fn write(mut writing: Writing) {
    let session = &writing.session;
    let longest = session.longest_message();
    while let Some(waiting) = session.next_to_write() {
        let mut messages = Vec::new();
        for heard in &waiting {
            if let Heard::Said(calls, said, _) = heard {
                let heard = said.messages(calls, longest).into_iter();
                messages.extend(heard.filter_map(|message| session.core().redacted(message)));
            }
        }
        // All in one call: a store that hangs holds up whoever asks for the time of one, however many they are.
        put(session, messages).await;
        // Not before: it counts among what was heard until it is written, and those who ask are told by it.
        drop(waiting);
    }
    writing.is_over = true;
}

async fn put(session: &LiveSession, messages: Vec<Message>) {
    if messages.is_empty() {
        return;
    }
    if let Err(error) = session.append(messages).await {
        debug!(session = %session.id().fingerprint(), %error, "messages not recorded");
    }
}

/// Somebody writes, until it is dropped: also with a runtime that ends in the middle.
struct Writing {
    session: Arc<LiveSession>,
    /// Nothing waited any more. What has come since is another one's to write.
    is_over: bool,
}

impl Drop for Writing {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let lost = self.session.with_outbox(Option::take);
        // Not under the lock: it wakes who waits.
        drop(lost);
    }
}

const OFF: &str = "histories are off: `SessionLayer::with_history` turns them on";
const NO_HISTORY: &str = "the store keeps no histories";
