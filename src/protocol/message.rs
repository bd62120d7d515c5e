//! What must be known of a JSON-RPC body, read without decoding the rest.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use memchr::memchr;
use memchr::memmem::Finder;
use serde::de::{Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{self, JsonError, Members};

/// A first look at a body, borrowed from its bytes.
#[derive(Debug)]
pub(crate) enum Peek<'a> {
    /// One JSON object. Whether it is JSON-RPC its members tell.
    Object(Message<'a>),
    /// An array.
    Batch(Batch),
    /// JSON that is neither.
    Other,
}

impl<'a> Peek<'a> {
    /// Looks at `body`, which may be nested to any depth.
    ///
    /// Escaped spellings of names and of the method are recognised.
    ///
    /// # Errors
    ///
    /// See [`PeekError`].
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, PeekError> {
        let text = std::str::from_utf8(body).map_err(|_| PeekError::NotJson)?;
        match text.trim_ascii_start().as_bytes().first() {
            Some(b'{') => Message::parse(text).map(Peek::Object),
            Some(b'[') => Batch::parse(text).map(Peek::Batch),
            _ => serde_json::from_str::<IgnoredAny>(text)
                .map(|_| Self::Other)
                .map_err(|_| PeekError::NotJson),
        }
    }

    /// The id to echo in an error about this body: the one of a single request.
    pub(crate) fn request_id(&self) -> Option<&RequestId<'a>> {
        match self {
            Self::Object(message) if message.is_request() => message.id.as_ref(),
            _ => None,
        }
    }
}

/// Why a body could not be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeekError {
    /// Not JSON in UTF-8.
    NotJson,
    /// A member that we look at is there twice: the inner service could read the other one.
    Duplicate {
        /// Whether a `jsonrpc` member marks the body as JSON-RPC all the same.
        has_jsonrpc: bool,
    },
}

/// Whether `body` can hold anything that strict bodies look for, by a search over its bytes.
///
/// If not, it need not be parsed: it begins as an object and holds neither `initialize` nor
/// `protocolVersion`, also not in an escaped spelling, because it has no backslash.
pub(crate) fn may_concern_us(body: &[u8]) -> bool {
    !body.trim_ascii_start().starts_with(b"{")
        || memchr(b'\\', body).is_some()
        || WORDS.iter().any(|word| word.find(body).is_some())
}

/// One JSON object, read as a JSON-RPC message as far as it is one.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) has_jsonrpc: bool,
    /// The method, if it is a string.
    pub(crate) method: Option<Cow<'a, str>>,
    pub(crate) id: Option<RequestId<'a>>,
    pub(crate) params: Option<&'a RawValue>,
    pub(crate) result: Option<&'a RawValue>,
    /// The error, unless it is `null`.
    pub(crate) error: Option<&'a RawValue>,
    /// Whether `params._meta` names a protocol version, as from 2026-07-28 on each request does.
    pub(crate) modern: bool,
}

impl<'a> Message<'a> {
    pub(super) fn parse(object: &'a str) -> Result<Self, PeekError> {
        let members = Members::read(object, MEMBERS).map_err(|_| PeekError::NotJson)?;
        let [jsonrpc, method, id, params, result, error] = members.values;
        let has_jsonrpc = jsonrpc.is_some();
        if members.has_duplicate {
            return Err(PeekError::Duplicate { has_jsonrpc });
        }
        let modern = names_version(params).map_err(|error| match error {
            JsonError::Invalid => PeekError::NotJson,
            JsonError::Duplicate => PeekError::Duplicate { has_jsonrpc },
        })?;
        Ok(Self {
            has_jsonrpc,
            method: method.and_then(json::text),
            id: id.and_then(RequestId::from_raw),
            params,
            result,
            error: error.filter(|error| error.get() != "null"),
            modern,
        })
    }

    /// Whether this begins a session. Without an id it would be a notification, with a version in
    /// `_meta` it is a modern request that happens to be called so.
    pub(crate) fn is_initialize(&self) -> bool {
        self.has_method(INITIALIZE) && self.id.is_some() && !self.modern
    }

    /// Whether this is a ping, which must be answered at any time.
    pub(crate) fn is_ping(&self) -> bool {
        self.has_method("ping") && self.is_request()
    }

    /// Whether this is the client's word that the handshake is finished.
    pub(crate) fn is_initialized(&self) -> bool {
        self.has_method("notifications/initialized") && self.id.is_none()
    }

    /// Whether this wants an answer.
    pub(crate) fn is_request(&self) -> bool {
        self.method.is_some() && self.id.is_some()
    }

    /// Whether this wants none.
    pub(crate) fn is_notification(&self) -> bool {
        self.method.is_some() && self.id.is_none()
    }

    /// Whether this answers a request of the other side, with a result or an error.
    pub(crate) fn is_response(&self) -> bool {
        self.method.is_none() && (self.result.is_some() || self.error.is_some())
    }

    fn has_method(&self, name: &str) -> bool {
        self.method.as_deref() == Some(name)
    }
}

/// What must be known of an array of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Whether an element is called `initialize`, with or without an id.
    pub(crate) holds_initialize: bool,
    /// Whether an element names a version in its `_meta`.
    pub(crate) holds_modern_key: bool,
    /// Whether an element is marked as JSON-RPC.
    pub(crate) has_jsonrpc: bool,
}

impl Batch {
    fn parse(array: &str) -> Result<Self, PeekError> {
        let mut json = serde_json::Deserializer::from_str(array);
        let elements = json.deserialize_seq(Elements);
        match elements.and_then(|batch| json.end().map(|()| batch)) {
            Ok((batch, None)) => Ok(batch),
            Ok((batch, Some(PeekError::Duplicate { .. }))) => Err(PeekError::Duplicate {
                has_jsonrpc: batch.has_jsonrpc,
            }),
            Ok((_, Some(PeekError::NotJson))) | Err(_) => Err(PeekError::NotJson),
        }
    }

    fn add(&mut self, message: &Message<'_>) {
        self.holds_initialize |= message.has_method(INITIALIZE);
        self.holds_modern_key |= message.modern;
        self.has_jsonrpc |= message.has_jsonrpc;
    }
}

/// The id of a request: a string or an integer, kept as JSON so that it is echoed byte for byte.
///
/// `0` is an id; `null`, `1.0` and anything else is none. Two ids are equal if they mean the same,
/// however they are written.
#[derive(Clone, Debug)]
pub(crate) struct RequestId<'a>(Cow<'a, str>);

impl<'a> RequestId<'a> {
    fn from_raw(value: &'a RawValue) -> Option<Self> {
        let json = value.get();
        let digits = json.strip_prefix('-').unwrap_or(json);
        // `-0` is a fraction to some readers and an integer to others.
        let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit()) && json != "-0";
        let is_id = is_integer || json::text(value).is_some();
        is_id.then_some(Self(Cow::Borrowed(json)))
    }

    /// An id of our own: a word of plain letters and a number.
    pub(crate) fn numbered(word: &str, number: u64) -> RequestId<'static> {
        RequestId(Cow::Owned(format!(r#""{word}-{number:016x}""#)))
    }

    /// The id as it was written.
    pub(crate) fn as_json(&self) -> &str {
        &self.0
    }

    /// The same id, independent of the body it came in.
    pub(crate) fn into_owned(self) -> RequestId<'static> {
        RequestId(Cow::Owned(self.0.into_owned()))
    }

    /// What equal ids have in common, however they are written.
    pub(crate) fn to_normal(&self) -> String {
        match self.text() {
            // No integer begins so.
            Some(text) => format!("\"{text}"),
            None => self.0.clone().into_owned(),
        }
    }

    /// The decoded text, unless the id is an integer.
    fn text(&self) -> Option<Cow<'_, str>> {
        serde_json::from_str(&self.0)
            .ok()
            .map(|json::Text(text)| text)
    }
}

impl PartialEq<RequestId<'_>> for RequestId<'_> {
    fn eq(&self, other: &RequestId<'_>) -> bool {
        match (self.text(), other.text()) {
            (Some(text), Some(other)) => text == other,
            // JSON writes an integer in one way only.
            (None, None) => self.0 == other.0,
            _ => false,
        }
    }
}

/// Reads the elements of a batch one by one, and goes on after one that is at fault: whether a
/// later one is JSON-RPC still matters.
struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = (Batch, Option<PeekError>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (mut batch, mut fault) = (Batch::default(), None);
        while let Some(element) = seq.next_element::<&RawValue>()? {
            if !element.get().starts_with('{') {
                continue;
            }
            match Message::parse(element.get()) {
                Ok(message) => batch.add(&message),
                Err(PeekError::NotJson) => fault = Some(PeekError::NotJson),
                Err(duplicate @ PeekError::Duplicate { has_jsonrpc }) => {
                    batch.has_jsonrpc |= has_jsonrpc;
                    fault.get_or_insert(duplicate);
                }
            }
        }
        Ok((batch, fault))
    }
}

/// Whether `params._meta` has the version key, whatever its value.
fn names_version(params: Option<&RawValue>) -> Result<bool, JsonError> {
    let Some(params) = params else {
        return Ok(false);
    };
    let Some(meta) = json::member(params, "_meta")? else {
        return Ok(false);
    };
    Ok(json::member(meta, VERSION_KEY)?.is_some())
}

/// Made once: making a finder costs more than a search of a kilobyte.
static WORDS: LazyLock<[Finder<'static>; 2]> =
    LazyLock::new(|| ["initialize", "protocolVersion"].map(Finder::new));

const INITIALIZE: &str = "initialize";
const MEMBERS: [&str; 6] = ["jsonrpc", "method", "id", "params", "result", "error"];
const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";

#[cfg(test)]
mod tests;
