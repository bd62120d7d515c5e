//! Messages on their way into the histories of sessions.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Waker};

use tracing::{debug, error};

use super::core::Core;
use super::live::LiveSession;
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

    /// Puts `messages` into the history, soon: whoever streams past does not wait for the store.
    ///
    /// One at a time writes for a session, so that what comes in an order stays in it; a store in memory has taken
    /// them on return. If the store does not, they are lost: a history is no journal.
    pub(crate) fn take_down(self: &Arc<Self>, messages: Vec<Message>) {
        let messages = messages.into_iter();
        let redacted: Vec<_> = messages
            .filter_map(|message| self.core().redacted(message))
            .collect();
        if redacted.is_empty() {
            return;
        }
        let Some(first) = self.begin_to_write(redacted) else {
            return;
        };
        let mut writing = Box::pin(write(Writing(Arc::clone(self)), first));
        // A store that answers at once needs no task.
        let mut nobody = Context::from_waker(Waker::noop());
        if writing.as_mut().poll(&mut nobody).is_pending()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            drop(runtime.spawn(writing));
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

    /// Gives `messages` back for whoever begins to write; `None` if somebody does already, and takes them along.
    fn begin_to_write(&self, messages: Vec<Message>) -> Option<Vec<Message>> {
        let limits = self.core().config.history?;
        self.with_extras(|extras| {
            let Some(waiting) = &mut extras.outbox else {
                extras.outbox = Some(Vec::new());
                return Some(messages);
            };
            waiting.extend(messages);
            // What the history would drop at once need not wait.
            let mut bytes = 0;
            let fitting = waiting
                .iter()
                .rev()
                .take(limits.messages)
                .take_while(|message| {
                    bytes += message.size();
                    bytes <= limits.bytes
                });
            let late = waiting.len() - fitting.count();
            drop(waiting.drain(..late));
            None
        })
    }

    /// What has come meanwhile; `None` if nothing has, and nobody writes from now on.
    fn next_to_write(&self) -> Option<Vec<Message>> {
        self.with_extras(|extras| {
            let waiting = extras.outbox.take().filter(|waiting| !waiting.is_empty())?;
            extras.outbox = Some(Vec::new());
            Some(waiting)
        })
    }
}

async fn write(writing: Writing, first: Vec<Message>) {
    let session = &writing.0;
    let mut next = Some(first);
    while let Some(messages) = next {
        if let Err(error) = session.append(messages).await {
            debug!(session = %session.id().fingerprint(), %error, "messages not recorded");
        }
        next = session.next_to_write();
    }
}

/// Somebody writes, until it is dropped: also with a runtime that ends in the middle.
struct Writing(Arc<LiveSession>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.with_extras(|extras| extras.outbox = None);
    }
}

const OFF: &str = "histories are off: `SessionLayer::with_history` turns them on";
const NO_HISTORY: &str = "the store keeps no histories";
