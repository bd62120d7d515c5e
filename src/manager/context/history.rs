//! The history of a session, as handlers read and write it.

use std::sync::Arc;

use serde::Serialize;

use super::SessionContext;
use crate::manager::live::LiveSession;
use crate::manager::writing::SessionError;
use crate::session::{HistorySummary, Message, Role};
use crate::store::{StoreError, StoreErrorKind};

impl SessionContext {
    /// What was said in the session, if the layer keeps that
    /// ([`SessionLayer::with_history`](crate::SessionLayer::with_history)).
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_mcp_session::{Role, SessionContext, SessionError};
    ///
    /// async fn remember(session: SessionContext, question: &str) -> Result<usize, SessionError> {
    ///     let history = session.history();
    ///     history.append(Role::User, question).await?;
    ///     Ok(history.recent(10).await?.len())
    /// }
    /// ```
    pub fn history(&self) -> SessionHistory {
        SessionHistory(self.clone())
    }
}

/// What was said in a session: what the layer records of its messages, and what handlers append.
///
/// Instances that share a store share it. What this instance has heard is in it before a method looks at it: the call
/// that a handler answers is the last message then. Each method fails as [`StoreErrorKind::Unsupported`] if the layer
/// or its store keeps no histories, and before the session has begun; and as [`StoreErrorKind::Gone`] once it has ended.
///
/// # Examples
///
/// What the layer records is JSON-RPC:
///
/// ```
/// use serde_json::Value;
/// use tower_mcp_session::{SessionContext, SessionError};
///
/// /// The tools that were called last.
/// async fn called(session: SessionContext) -> Result<Vec<String>, SessionError> {
///     let messages = session.history().recent(10).await?;
///     let names = messages.iter().filter_map(|message| {
///         let call: Value = message.content_as().ok()?;
///         Some(call["params"]["name"].as_str()?.to_owned())
///     });
///     Ok(names.collect())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct SessionHistory(SessionContext);

impl SessionHistory {
    /// Appends what `role` says now.
    ///
    /// A redaction sees it first, and may keep it away.
    ///
    /// # Errors
    ///
    /// [`SessionError::Values`] if `content` cannot be written as JSON; [`SessionError::Store`] if the store did not
    /// do it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the message may or may not have been appended.
    pub async fn append<T>(&self, role: Role, content: &T) -> Result<(), SessionError>
    where
        T: Serialize + Sync + ?Sized,
    {
        let session = self.session()?;
        let message = Message::new(role, content, session.core().now())?;
        self.append_message(message).await
    }

    /// Appends `message` as it is, but for what a redaction makes of it.
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`] if the store did not do it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the message may or may not have been appended.
    pub async fn append_message(&self, message: Message) -> Result<(), SessionError> {
        let session = self.session()?;
        match session.core().redacted(message) {
            Some(message) => {
                session.all_written().await;
                let appended = session.append(vec![message]).await;
                appended.map_err(|error| session.note_if_gone(error))
            }
            None => Ok(()),
        }
    }

    /// The last `count` messages, the oldest of them first.
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`] if the store could not be asked.
    pub async fn recent(&self, count: usize) -> Result<Vec<Message>, SessionError> {
        let session = self.session()?;
        session.all_written().await;
        let found = session.core().recent(&session.key(), count).await;
        found.map_err(|error| session.note_if_gone(error))
    }

    /// All messages that are kept, from the oldest.
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`] if the store could not be asked.
    pub async fn iter(&self) -> Result<impl Iterator<Item = Message> + use<>, SessionError> {
        Ok(self.recent(usize::MAX).await?.into_iter())
    }

    /// What there is, in numbers.
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`] if the store could not be asked.
    pub async fn summary(&self) -> Result<HistorySummary, SessionError> {
        let session = self.session()?;
        session.all_written().await;
        let summary = session.core().summary(&session.key()).await;
        summary.map_err(|error| session.note_if_gone(error))
    }

    /// Forgets all messages, and their numbers.
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`] if the store did not do it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the messages may or may not have been forgotten.
    pub async fn clear(&self) -> Result<(), SessionError> {
        let session = self.session()?;
        session.all_written().await;
        let cleared = session.core().clear(&session.key()).await;
        cleared.map_err(|error| session.note_if_gone(error))
    }

    fn session(&self) -> Result<Arc<LiveSession>, StoreError> {
        let session = self.0.session();
        session.ok_or(StoreErrorKind::Unsupported.into())
    }
}
