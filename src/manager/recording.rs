//! Messages on their way into the histories of sessions.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;
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
        let heard = Heard::Said(Arc::clone(calls), said, weight);
        let most_bytes = self.most_heard_bytes();
        let begins = self.with_outbox(|outbox| {
            let begins = outbox.is_none();
            outbox.get_or_insert_default().push(heard, most_bytes);
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

    /// How much may wait: the longest message in any case.
    fn most_heard_bytes(&self) -> usize {
        config::MAX_HEARD_BYTES.saturating_add(self.longest_message())
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
        let (asks, written) = oneshot::channel();
        let most_bytes = self.most_heard_bytes();
        self.with_outbox(|outbox| {
            if let Some(outbox) = outbox {
                outbox.push(Heard::Ask { _dropped: asks }, most_bytes);
            }
        });
        // An error, and nothing else, comes as soon as the other end is dropped.
        written.await.unwrap_or_default();
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
    bytes: usize,
}

enum Heard {
    Said(Arc<Calls>, Said, Weight),
    /// Somebody waits until this is dropped, after all before it is written.
    Ask {
        _dropped: oneshot::Sender<()>,
    },
}

impl Outbox {
    /// Lets go of the oldest where there is too much: nobody writes it fast enough.
    fn push(&mut self, heard: Heard, most_bytes: usize) {
        self.bytes += heard.bytes();
        self.waiting.push_back(heard);
        while self.waiting.len() > config::MAX_HEARD || self.bytes > most_bytes {
            let Some(late) = self.waiting.pop_front() else {
                return;
            };
            self.bytes -= late.bytes();
        }
    }
}

impl Heard {
    fn bytes(&self) -> usize {
        match self {
            Self::Said(_, _, weight) => weight.bytes,
            Self::Ask { .. } => 0,
        }
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
