//! What a request is decided from: its head, its id, its body, and the options.

use http::{HeaderMap, Method};

use super::error::Refusal;
use super::header::{self, Lines, RawId, VersionHeader};
use super::message::{Peek, PeekError};
use super::version::ProtocolVersion;

/// The verb of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Delete,
    /// Never ours: OPTIONS, HEAD and all the others.
    Other,
}

impl From<&Method> for Verb {
    fn from(method: &Method) -> Self {
        match *method {
            Method::POST => Self::Post,
            Method::GET => Self::Get,
            Method::DELETE => Self::Delete,
            _ => Self::Other,
        }
    }
}

/// How many ids a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdHeader {
    Missing,
    One,
    Several,
}

impl From<RawId<'_>> for IdHeader {
    fn from(id: RawId<'_>) -> Self {
        match id {
            RawId::Missing => Self::Missing,
            RawId::One(_) => Self::One,
            RawId::Several => Self::Several,
        }
    }
}

/// What the head of a request says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) verb: Verb,
    pub(crate) version: VersionHeader,
    pub(crate) id: IdHeader,
    /// Whether `Mcp-Method` calls the body an initialize.
    pub(crate) names_initialize: bool,
    /// Whether a request *without an id* can be MCP's: a GET that asks for an event stream, a POST
    /// that may be JSON. With an id it is never asked, and false.
    pub(crate) may_be_mcp: bool,
}

impl Head {
    /// Reads the head of a request; `lines` are those of `headers`.
    pub(crate) fn read(method: &Method, headers: &HeaderMap, lines: &Lines<'_>) -> Self {
        let (verb, id) = (Verb::from(method), IdHeader::from(lines.id()));
        let may_be_mcp = match verb {
            _ if id != IdHeader::Missing => false,
            Verb::Get => header::accepts_event_stream(headers),
            Verb::Post => lines.looks_like_json(),
            Verb::Delete | Verb::Other => false,
        };
        Self {
            verb,
            version: lines.version(),
            id,
            names_initialize: verb == Verb::Post && lines.names_initialize(),
            may_be_mcp,
        }
    }
}

/// How the one id of a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Unasked,
    /// A session of the caller, which agreed on this version.
    Alive(ProtocolVersion),
    /// Unknown, malformed, expired, ended, or another's.
    NotAlive,
}

/// What is known of the body of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BodyLook<'a> {
    Unread,
    /// [`may_concern_us`](super::message::may_concern_us) said no: for strict bodies that is all
    /// that must be known.
    Harmless,
    Read(&'a Peek<'a>),
    NotJson,
    /// A member that we look at is there twice.
    Duplicate {
        has_jsonrpc: bool,
    },
    TooLong,
    /// It has a content coding, so nothing was read.
    Coded,
    /// It failed or took too long to arrive.
    Unreadable,
}

impl BodyLook<'_> {
    pub(super) fn has_jsonrpc(self) -> bool {
        match self {
            Self::Read(Peek::Object(message)) => message.has_jsonrpc,
            Self::Read(Peek::Batch(batch)) => batch.has_jsonrpc,
            Self::Duplicate { has_jsonrpc } => has_jsonrpc,
            _ => false,
        }
    }

    /// Why a body that was not read to its end cannot be accepted where it must be.
    pub(super) fn fault(self) -> Option<Refusal> {
        match self {
            Self::Unread | Self::Harmless | Self::Read(_) => None,
            Self::NotJson | Self::Unreadable => Some(Refusal::NotJson),
            Self::Duplicate { .. } => Some(Refusal::DuplicateMember),
            Self::TooLong => Some(Refusal::TooLarge),
            Self::Coded => Some(Refusal::UnsupportedContentCoding),
        }
    }
}

impl<'a> From<&'a Result<Peek<'a>, PeekError>> for BodyLook<'a> {
    fn from(peek: &'a Result<Peek<'a>, PeekError>) -> Self {
        match *peek {
            Ok(ref peek) => Self::Read(peek),
            Err(PeekError::NotJson) => Self::NotJson,
            Err(PeekError::Duplicate { has_jsonrpc }) => Self::Duplicate { has_jsonrpc },
        }
    }
}

/// The options that the decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Whether every request of the path is MCP's, because the path was named.
    pub(crate) whole_path: bool,
    /// Whether a GET may open a stream.
    pub(crate) streams: bool,
    /// Whether a client may end its session.
    pub(crate) delete: bool,
    /// Whether bodies inside a session are read and judged.
    pub(crate) strict: bool,
}

impl Rules {
    /// The verbs that are left, if `verb` is switched off.
    pub(super) fn allowed_without(&self, verb: Verb) -> Option<&'static str> {
        match (verb, self.streams, self.delete) {
            (Verb::Get, false, true) => Some("POST, DELETE"),
            (Verb::Delete, true, false) => Some("GET, POST"),
            (Verb::Get | Verb::Delete, false, false) => Some("POST"),
            _ => None,
        }
    }
}
