//! Messages on their way into the histories of sessions.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tracing::{debug, error};

use super::core::Core;
use super::live::LiveSession;
use super::outbox::{Outbox, Weight};
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
        let Some(weight) = self.weigh(Outbox::weight_of(&said)) else {
            debug!(session = %self.id().fingerprint(), "too much is heard at once");
            return self.lose(1);
        };
        let most = self.most_heard();
        let (begins, late) = self.with_outbox(|outbox| {
            let begins = outbox.is_none();
            let outbox = outbox.get_or_insert_default();
            (begins, outbox.push(calls, said, weight, most))
        });
        self.lose(late);
        if !begins {
            return;
        }
        let writing = Writing {
            session: Arc::clone(self),
            in_hand: 0,
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
        Weight::among(all, bytes, config::MAX_ALL_HEARD_BYTES)
    }

    /// Counts what was heard and is not recorded, though it should be.
    fn lose(&self, heard: usize) {
        if heard == 0 {
            return;
        }
        if let Some(manager) = self.manager() {
            manager.events().lost(heard);
        }
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
    fn next_to_write(&self) -> Option<Outbox> {
        self.with_outbox(|outbox| {
            let next = outbox.take().filter(|next| !next.is_empty())?;
            *outbox = Some(Outbox::default());
            Some(next)
        })
    }

    fn with_outbox<R>(&self, f: impl FnOnce(&mut Option<Outbox>) -> R) -> R {
        self.with_extras(|extras| f(&mut extras.outbox))
    }
}

async fn write(mut writing: Writing) {
    let session = Arc::clone(&writing.session);
    let longest = session.longest_message();
    while let Some(next) = session.next_to_write() {
        writing.in_hand = next.said();
        let mut messages = Vec::new();
        for (calls, said) in next.heard() {
            let heard = said.messages(calls, longest).into_iter();
            messages.extend(heard.filter_map(|message| session.core().redacted(message)));
        }
        // All in one call: a store that hangs holds up whoever asks for the time of one, however many they are.
        if !is_put(&session, messages).await {
            session.lose(next.said());
        }
        // Not before: it counts among what was heard until it is written, and those who ask are told by it.
        drop(next);
    }
    writing.is_over = true;
}

/// Puts `messages` into the history; says whether none is lost. With its session a history ends: that is no loss.
async fn is_put(session: &LiveSession, messages: Vec<Message>) -> bool {
    if messages.is_empty() {
        return true;
    }
    let Err(error) = session.append(messages).await else {
        return true;
    };
    debug!(session = %session.id().fingerprint(), %error, "messages not recorded");
    error.kind() == StoreErrorKind::Gone
}

/// Somebody writes, until it is dropped: also with a runtime that ends in the middle.
struct Writing {
    session: Arc<LiveSession>,
    /// How much of what was heard is being written.
    in_hand: usize,
    /// Nothing waited any more. What has come since is another one's to write.
    is_over: bool,
}

impl Drop for Writing {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let lost = self.session.with_outbox(Option::take);
        let waiting = lost.as_ref().map_or(0, Outbox::said);
        // Not under the lock: it wakes who waits.
        drop(lost);
        self.session.lose(self.in_hand + waiting);
    }
}

const OFF: &str = "histories are off: `SessionLayer::with_history` turns them on";
const NO_HISTORY: &str = "the store keeps no histories";
