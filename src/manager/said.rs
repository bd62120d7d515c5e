//! What was said in a body, as it was heard.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde::Serialize;

use crate::protocol::message::RequestId;
use crate::protocol::spoken::{self, Kind, Spoken};
use crate::session::{Message, Role, Timestamp};

/// Who sent a body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// What is remembered of a request beside its messages.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// The ids of its calls of tools, normal: what answers them a tool has said.
    ids: Mutex<HashSet<String>>,
    /// Whether its body was heard to the end.
    are_heard: AtomicBool,
}

/// A whole body, or an event of one; none if it was longer than a history may be.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) from: Side,
    pub(crate) at: Timestamp,
    pub(crate) body: Option<Bytes>,
}

impl Calls {
    fn note(&self, message: &Spoken<'_>) {
        if message.method.as_deref() == Some("tools/call")
            && let Some(id) = &message.id
        {
            let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
            ids.insert(id.to_normal());
        }
    }

    fn are_answered_by(&self, message: &Spoken<'_>) -> bool {
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = |id: &RequestId<'_>| !ids.is_empty() && ids.contains(&id.to_normal());
        message.kind == Some(Kind::Response) && message.id.as_ref().is_some_and(answers)
    }

    pub(crate) fn set_heard(&self) {
        self.are_heard.store(true, Ordering::Release);
    }

    pub(crate) fn are_heard(&self) -> bool {
        self.are_heard.load(Ordering::Acquire)
    }
}

impl Said {
    /// The messages in it, of at most `longest` bytes. A request's come before those of its answer, of which `calls`
    /// knows.
    pub(super) fn messages(&self, calls: &Calls, longest: usize) -> Vec<Message> {
        let Some(body) = &self.body else {
            return vec![self.too_long()];
        };
        let spoken = spoken::messages(body).into_iter();
        let messages = spoken.map(|message| self.message(&message, calls));
        messages
            .map(|message| match message.size() > longest {
                true => self.too_long(),
                false => message,
            })
            .collect()
    }

    fn message(&self, message: &Spoken<'_>, calls: &Calls) -> Message {
        let role = match self.from {
            Side::Client => {
                calls.note(message);
                Role::User
            }
            Side::Server if calls.are_answered_by(message) => Role::Tool,
            Side::Server => Role::Assistant,
        };
        let metadata = Metadata {
            from: self.from.as_str(),
            kind: message.kind.map(Kind::as_str),
            method: message.method.as_deref(),
            too_long: None,
        };
        Message::of_json(role, message.json.into(), self.at, metadata.to_json())
    }

    /// What is longer than a whole history is known by its place only.
    fn too_long(&self) -> Message {
        let role = match self.from {
            Side::Client => Role::User,
            Side::Server => Role::Assistant,
        };
        let metadata = Metadata {
            from: self.from.as_str(),
            kind: None,
            method: None,
            too_long: Some(true),
        };
        Message::of_json(role, "null".into(), self.at, metadata.to_json())
    }

    pub(super) fn size(&self) -> usize {
        self.body.as_ref().map_or(0, Bytes::len)
    }
}

impl Side {
    fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// What is known of a message beside what it says.
#[derive(Serialize)]
struct Metadata<'a> {
    from: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    too_long: Option<bool>,
}

impl Metadata<'_> {
    fn to_json(&self) -> Option<Box<str>> {
        let text = serde_json::to_string(self).ok()?;
        Some(text.into())
    }
}
