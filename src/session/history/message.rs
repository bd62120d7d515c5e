//! One message of a session's history.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::ser::{Error as _, SerializeStruct};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::session::{Timestamp, Values, ValuesError};

/// Who said a message.
///
/// What the layer records itself it gives to [`User`](Role::User) if the client sent it, to [`Tool`](Role::Tool) if it
/// answers a `tools/call`, and else to [`Assistant`](Role::Assistant). [`System`](Role::System) is for handlers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "a history counts by these four")]
pub enum Role {
    /// The client, for its user.
    User,
    /// The server, for its model.
    Assistant,
    /// Whoever sets the rules of the conversation.
    System,
    /// A tool, by its result.
    Tool,
}

impl Role {
    /// All four.
    pub const ALL: [Self; 4] = [Self::User, Self::Assistant, Self::System, Self::Tool];

    /// The role's name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
            Self::Tool => "tool",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A message in the history of a session.
///
/// Its size, of which limits speak, is that of its content and its metadata as JSON texts, in bytes.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::{Message, Role, Timestamp};
///
/// let message = Message::new(Role::User, "What is in the cart?", Timestamp::EPOCH)?;
/// assert_eq!(message.content_as::<String>()?, "What is in the cart?");
/// # Ok::<(), tower_mcp_session::ValuesError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Message {
    role: Role,
    timestamp: Timestamp,
    /// JSON text, as is the metadata: most of it is written once and never read.
    content: Box<str>,
    /// A JSON object; `None` if there is none.
    metadata: Option<Box<str>>,
}

impl Message {
    /// What `role` said at `timestamp`.
    ///
    /// # Errors
    ///
    /// [`ValuesError`] if `content` cannot be written as JSON.
    pub fn new<T: Serialize + ?Sized>(
        role: Role,
        content: &T,
        timestamp: Timestamp,
    ) -> Result<Self, ValuesError> {
        let content = serde_json::to_string(content).map_err(ValuesError::from)?;
        Ok(Self::of_json(role, content.into(), timestamp, None))
    }

    /// A message of JSON texts.
    pub(crate) fn of_json(
        role: Role,
        content: Box<str>,
        timestamp: Timestamp,
        metadata: Option<Box<str>>,
    ) -> Self {
        Self {
            role,
            timestamp,
            content,
            metadata,
        }
    }

    /// The same message with other content: how a redaction takes secrets out.
    ///
    /// # Errors
    ///
    /// [`ValuesError`] if `content` cannot be written as JSON.
    pub fn with_content<T: Serialize + ?Sized>(mut self, content: &T) -> Result<Self, ValuesError> {
        self.content = serde_json::to_string(content)
            .map_err(ValuesError::from)?
            .into();
        Ok(self)
    }

    /// The same message with other metadata.
    ///
    /// # Errors
    ///
    /// [`ValuesError`] if `metadata` cannot be written as JSON.
    pub fn with_metadata(mut self, metadata: &Values) -> Result<Self, ValuesError> {
        self.metadata = match metadata.is_empty() {
            true => None,
            false => {
                let text = serde_json::to_string(metadata).map_err(ValuesError::from)?;
                Some(text.into())
            }
        };
        Ok(self)
    }

    /// Who said it.
    pub fn role(&self) -> Role {
        self.role
    }

    /// When it was said.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// What was said, as JSON text. Of what the layer records this is the JSON-RPC message.
    pub fn content(&self) -> &str {
        &self.content
    }

    /// What was said, decoded as a `T`.
    ///
    /// # Errors
    ///
    /// [`ValuesError`] if it is not a `T`.
    pub fn content_as<T: DeserializeOwned>(&self) -> Result<T, ValuesError> {
        serde_json::from_str(&self.content).map_err(ValuesError::from)
    }

    /// What is known of it beside.
    ///
    /// Of what the layer records: `from` (`client` or `server`), `kind` (`request`, `notification` or `response`) and,
    /// but for responses, `method`. Of what was too long to be kept, `from` and `too_long`, which is true; of what says
    /// something twice, and may mean one or the other, `from` alone.
    pub fn metadata(&self) -> Values {
        let text = self.metadata.as_deref().unwrap_or("{}");
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The bytes of its content and its metadata together.
    pub fn size(&self) -> usize {
        self.content.len() + self.metadata.as_ref().map_or(0, |text| text.len())
    }
}

/// Shows how much there is, not what: messages hold the secrets of users.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("role", &self.role)
            .field("timestamp", &self.timestamp)
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = |text| serde_json::from_str::<&RawValue>(text).map_err(S::Error::custom);
        let mut message = serializer.serialize_struct("Message", 4)?;
        message.serialize_field("role", &self.role)?;
        message.serialize_field("timestamp", &self.timestamp)?;
        message.serialize_field("content", raw(&self.content)?)?;
        match &self.metadata {
            Some(metadata) => message.serialize_field("metadata", raw(metadata)?)?,
            None => message.skip_field("metadata")?,
        }
        message.end()
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written {
            role: Role,
            timestamp: Timestamp,
            content: Box<RawValue>,
            metadata: Option<Box<RawValue>>,
        }

        let written = Written::deserialize(deserializer)?;
        Ok(Self {
            role: written.role,
            timestamp: written.timestamp,
            content: Box::from(written.content),
            metadata: written.metadata.map(Box::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_being_written() {
        let mut metadata = Values::default();
        metadata.insert("method", "tools/call").unwrap();
        let plain =
            Message::new(Role::Tool, &["a", "\u{e9}\""], Timestamp::from_millis(7)).unwrap();
        for message in [plain.clone(), plain.with_metadata(&metadata).unwrap()] {
            let text = serde_json::to_string(&message).unwrap();
            assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message);
        }
    }

    #[test]
    fn debug_shows_nothing_of_what_was_said() {
        let message = Message::new(Role::User, "secret", Timestamp::EPOCH).unwrap();
        assert!(!format!("{message:?}").contains("secret"));
    }
}
