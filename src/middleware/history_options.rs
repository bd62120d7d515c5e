//! The options of [`SessionLayer`] for what was said in a session.

use tracing::warn;

use super::layer::SessionLayer;
use crate::manager::Redaction;
use crate::session::{HistoryLimits, Message};

/// What is remembered of what was said.
impl SessionLayer {
    /// Keeps the last messages of each session, within `limits`. Default: nothing is kept.
    ///
    /// The layer takes down the JSON-RPC messages of a session's requests and answers as they stream past, those of
    /// event streams too; handlers read them, and append their own, by
    /// [`SessionContext::history`](crate::SessionContext::history). What is longer than a whole history may be is
    /// noted without its content. The initialize is not a part of it, nor is gRPC, what is compressed, or a modern
    /// request. Instances that share a store share the histories too; a store without them
    /// ([`SessionStore::history`](crate::SessionStore::history)) records nothing, and says so when it is asked.
    ///
    /// Recording waits for nothing. If the store is down, or messages come faster than it takes them, some are lost, the
    /// oldest first: a history is no journal. [`Statistics::messages_lost`](crate::Statistics::messages_lost) counts
    /// them.
    ///
    /// # Security
    ///
    /// The arguments of tools, and their results, hold whatever a client says: passwords, keys, personal data. With
    /// this they lie in the store, for as long as the session lasts. That is why it is off, why it ends with the
    /// session, and why there is [`SessionLayer::with_redaction`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_mcp_session::{HistoryLimits, MemoryStore, SessionLayer};
    ///
    /// let layer = SessionLayer::new(MemoryStore::new()).with_history(HistoryLimits::default());
    /// ```
    pub fn with_history(mut self, limits: HistoryLimits) -> Self {
        if self.manager.core().store.history().is_none() {
            warn!("the store keeps no histories: nothing is recorded");
        }
        self.manager.config_mut().history = Some(limits);
        self
    }

    /// Shows each message to `redact` before it is stored, and stores what that gives back, if anything.
    /// Default: messages are stored as they are.
    ///
    /// It is called beside requests, and must not block, least of all to ask for the session's history. If it panics, its
    /// message is not stored. Messages of a batch come one by one.
    ///
    /// # Security
    ///
    /// Content is JSON as the client wrote it: a name may be spelled with escapes, or stand there twice, and a search
    /// in the text does not find it. Decode it, and store what you decoded.
    ///
    /// # Examples
    ///
    /// ```
    /// use serde_json::Value;
    /// use tower_mcp_session::{HistoryLimits, MemoryStore, Message, SessionLayer};
    ///
    /// fn without_password(message: Message) -> Option<Message> {
    ///     let mut content: Value = message.content_as().ok()?;
    ///     if let Some(password) = content.pointer_mut("/params/arguments/password") {
    ///         *password = "***".into();
    ///     }
    ///     message.with_content(&content).ok()
    /// }
    ///
    /// let layer = SessionLayer::new(MemoryStore::new())
    ///     .with_history(HistoryLimits::default())
    ///     .with_redaction(without_password);
    /// ```
    pub fn with_redaction(
        mut self,
        redact: impl Fn(Message) -> Option<Message> + Send + Sync + 'static,
    ) -> Self {
        self.manager.set_redaction(Redaction::new(redact));
        self
    }
}
