//! The names of MCP's headers, and what their values say. No other file writes such a name.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::version::ProtocolVersion;

/// `Mcp-Session-Id`: the session a request belongs to, up to 2025-11-25.
pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static(SESSION_ID_NAME);
/// `Last-Event-ID`: the last event a resuming client has seen, up to 2025-11-25.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static(LAST_EVENT_ID_NAME);
/// `MCP-Protocol-Version`: the revision a request is written in, from 2025-06-18 on.
pub(crate) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static(PROTOCOL_VERSION_NAME);
/// `Mcp-Method`: the method of the JSON-RPC request in the body, from 2026-07-28 on.
pub(crate) const METHOD: HeaderName = HeaderName::from_static(METHOD_NAME);
/// What says something of one request or its body, and would be wrong on another.
pub(crate) const OF_ONE_REQUEST: [HeaderName; 9] = [
    SESSION_ID,
    LAST_EVENT_ID,
    PROTOCOL_VERSION,
    METHOD,
    HeaderName::from_static("mcp-name"),
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    ACCEPT_ENCODING,
];

/// The names as values with one place in memory: a constant would be made anew for each comparison.
static NAMES: Names = Names {
    session_id: SESSION_ID,
    last_event_id: LAST_EVENT_ID,
    protocol_version: HeaderName::from_static(PROTOCOL_VERSION_NAME),
    method: HeaderName::from_static(METHOD_NAME),
};

struct Names {
    session_id: HeaderName,
    last_event_id: HeaderName,
    protocol_version: HeaderName,
    method: HeaderName,
}

const SESSION_ID_NAME: &str = "mcp-session-id";
const LAST_EVENT_ID_NAME: &str = "last-event-id";
const PROTOCOL_VERSION_NAME: &str = "mcp-protocol-version";
const METHOD_NAME: &str = "mcp-method";

/// The session id header as it came, not yet parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RawId<'a> {
    /// No line, or one without a value.
    Missing,
    /// One line with a value. Whether it has the form of an id is another question.
    One(&'a HeaderValue),
    /// Two lines or more, whatever they say.
    Several,
}

impl<'a> From<&'a HeaderMap> for RawId<'a> {
    fn from(headers: &'a HeaderMap) -> Self {
        Lines::of(headers).id()
    }
}

/// What the version header says about the era of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionHeader {
    /// No line: a client of 2025-03-26, an initialize, or a client that leaves it out.
    Missing,
    /// One line with one of the four known revisions that have sessions.
    Legacy(ProtocolVersion),
    /// One line with a date from 2026-07-28 on, known or not.
    Modern(ProtocolVersion),
    /// One line with anything else: an unknown older date, no date, nothing.
    Unsupported,
    /// Two lines or more, also when they agree.
    Several,
}

impl From<&HeaderMap> for VersionHeader {
    fn from(headers: &HeaderMap) -> Self {
        Lines::of(headers).version()
    }
}

/// The lines of a head that decide about a request.
///
/// Found in one pass: a head has few lines, and a look-up by name hashes the name each time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lines<'a> {
    id: Line<'a>,
    version: Line<'a>,
    content_type: Line<'a>,
    names_initialize: bool,
    pub(crate) present: Present,
}

/// Which of the headers are there that not every request has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Present {
    pub(crate) session_id: bool,
    pub(crate) last_event_id: bool,
    pub(crate) method: bool,
}

/// The lines with one name.
#[derive(Clone, Copy, Debug, Default)]
enum Line<'a> {
    #[default]
    Missing,
    One(&'a HeaderValue),
    /// The first of them.
    Several(&'a HeaderValue),
}

impl<'a> Lines<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let mut lines = Self::default();
        for (name, value) in headers {
            // Names are compared, not their texts: one of HTTP's own is a number, and told from ours at once.
            if *name == CONTENT_TYPE {
                lines.content_type.add(value);
            } else if *name == NAMES.session_id {
                lines.id.add(value);
                lines.present.session_id = true;
            } else if *name == NAMES.protocol_version {
                lines.version.add(value);
            } else if *name == NAMES.method {
                lines.names_initialize |= value == "initialize";
                lines.present.method = true;
            } else if *name == NAMES.last_event_id {
                lines.present.last_event_id = true;
            }
        }
        lines
    }

    pub(crate) fn id(&self) -> RawId<'a> {
        match self.id {
            Line::Several(_) => RawId::Several,
            Line::One(value) if !value.is_empty() => RawId::One(value),
            Line::One(_) | Line::Missing => RawId::Missing,
        }
    }

    pub(crate) fn version(&self) -> VersionHeader {
        let value = match self.version {
            Line::Missing => return VersionHeader::Missing,
            Line::Several(_) => return VersionHeader::Several,
            Line::One(value) => value,
        };
        match ProtocolVersion::from_bytes(value.as_bytes()) {
            Some(version) if !version.has_sessions() => VersionHeader::Modern(version),
            Some(version) if version.is_known_legacy() => VersionHeader::Legacy(version),
            _ => VersionHeader::Unsupported,
        }
    }

    /// Whether `Mcp-Method` says that the body is an `initialize`.
    pub(crate) fn names_initialize(&self) -> bool {
        self.names_initialize
    }

    /// Whether the content type is one of gRPC or gRPC-Web.
    pub(crate) fn is_grpc(&self) -> bool {
        match self.content_type {
            Line::Missing => false,
            Line::One(value) | Line::Several(value) => names_grpc(value.as_bytes()),
        }
    }

    /// Whether the content type is missing or one of JSON.
    pub(crate) fn looks_like_json(&self) -> bool {
        match self.content_type {
            Line::Missing => true,
            Line::One(value) | Line::Several(value) => {
                value.as_bytes() == JSON || names_json(essence(value.as_bytes()))
            }
        }
    }
}

impl<'a> Line<'a> {
    fn add(&mut self, value: &'a HeaderValue) {
        *self = match *self {
            Self::Missing => Self::One(value),
            Self::One(first) | Self::Several(first) => Self::Several(first),
        };
    }
}

/// Whether there is an `Mcp-Session-Id`. Answers have few headers and hardly ever this one: looking at their names
/// costs less than hashing it.
pub(crate) fn has_session_id(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| *name == NAMES.session_id)
}

/// Whether `Accept` names `text/event-stream` itself. `*/*` is not enough: every browser sends it.
pub(crate) fn accepts_event_stream(headers: &HeaderMap) -> bool {
    let mut lines = headers.iter().filter(|(name, _)| *name == ACCEPT);
    lines.any(|(_, line)| {
        // `*/*` is too short: most requests that are not ours are told apart here.
        line.len() >= EVENT_STREAM.len()
            && line
                .as_bytes()
                .split(|byte| *byte == b',')
                .any(|range| essence(range).eq_ignore_ascii_case(EVENT_STREAM))
    })
}

/// Whether the content type is `text/event-stream`.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    content_type(headers).is_some_and(|kind| kind.eq_ignore_ascii_case(EVENT_STREAM))
}

/// Whether the content type is missing or one of JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    content_type(headers).is_none_or(names_json)
}

/// Whether the content type is one of gRPC or gRPC-Web.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| names_grpc(value.as_bytes()))
}

/// Whether the body is compressed or otherwise not there in plain bytes.
pub(crate) fn has_content_coding(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONTENT_ENCODING).iter();
    lines.any(|line| {
        let coding = line.as_bytes().trim_ascii();
        !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")
    })
}

fn content_type(headers: &HeaderMap) -> Option<&[u8]> {
    headers
        .get(CONTENT_TYPE)
        .map(|value| essence(value.as_bytes()))
}

fn names_grpc(media_type: &[u8]) -> bool {
    // The type of nearly all requests, which is no gRPC, is told by one comparison.
    media_type != JSON
        && essence(media_type)
            .split_at_checked(GRPC.len())
            .is_some_and(|(start, rest)| {
                start.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b'-'))
            })
}

fn names_json(kind: &[u8]) -> bool {
    let suffix = kind.split_at_checked(kind.len().saturating_sub(JSON_SUFFIX.len()));
    kind.eq_ignore_ascii_case(JSON)
        || kind.eq_ignore_ascii_case(b"text/json")
        || suffix.is_some_and(|(_, suffix)| suffix.eq_ignore_ascii_case(JSON_SUFFIX))
}

/// `type/subtype` without parameters.
fn essence(media_type: &[u8]) -> &[u8] {
    let end = memchr::memchr(b';', media_type).unwrap_or(media_type.len());
    media_type[..end].trim_ascii()
}

const EVENT_STREAM: &[u8] = b"text/event-stream";
const GRPC: &[u8] = b"application/grpc";
const JSON: &[u8] = b"application/json";
const JSON_SUFFIX: &[u8] = b"+json";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn id_header_is_missing_one_or_several() {
        let id = |lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|value| (SESSION_ID, *value)).collect();
            match RawId::from(&headers(&lines)) {
                RawId::Missing => "missing".to_owned(),
                RawId::One(value) => value.to_str().unwrap().to_owned(),
                RawId::Several => "several".to_owned(),
            }
        };
        assert_eq!(id(&[]), "missing");
        assert_eq!(id(&[""]), "missing");
        assert_eq!(id(&["a b"]), "a b");
        assert_eq!(id(&["a", "a"]), "several");
        assert_eq!(id(&["a", ""]), "several");
    }

    #[test]
    fn version_header_tells_the_era() {
        use VersionHeader::{Legacy, Missing, Modern, Several, Unsupported};

        let version = |lines: &[&str]| {
            let lines: Vec<_> = lines
                .iter()
                .map(|value| (PROTOCOL_VERSION, *value))
                .collect();
            VersionHeader::from(&headers(&lines))
        };
        assert_eq!(version(&[]), Missing);
        for (text, legacy) in [
            ("2024-11-05", ProtocolVersion::V2024_11_05),
            ("2025-03-26", ProtocolVersion::V2025_03_26),
            ("2025-06-18", ProtocolVersion::V2025_06_18),
            ("2025-11-25", ProtocolVersion::V2025_11_25),
        ] {
            assert_eq!(version(&[text]), Legacy(legacy));
        }
        assert_eq!(
            version(&["2026-07-28"]),
            Modern(ProtocolVersion::V2026_07_28)
        );
        assert!(matches!(version(&["2031-01-01"]), Modern(_)));
        for garbage in [
            "",
            "1999-01-01",
            "2026-07-27",
            "2025-11-25, 2025-11-25",
            "draft",
        ] {
            assert_eq!(version(&[garbage]), Unsupported, "{garbage}");
        }
        assert_eq!(version(&["2026-07-28", "2026-07-28"]), Several);
    }

    #[test]
    fn only_a_named_event_stream_is_accepted() {
        let accepts = |values: &[&str]| {
            let lines: Vec<_> = values.iter().map(|value| (ACCEPT, *value)).collect();
            accepts_event_stream(&headers(&lines))
        };
        assert!(accepts(&["text/event-stream"]));
        assert!(accepts(&["application/json, Text/Event-Stream;q=0.9"]));
        assert!(accepts(&["text/html", "text/event-stream"]));
        assert!(!accepts(&[]));
        assert!(!accepts(&["*/*"]));
        assert!(!accepts(&["text/*, text/event-streams"]));
    }

    #[test]
    fn content_types_are_told_apart() {
        let json = |map: &HeaderMap| Lines::of(map).looks_like_json();
        let (stream, grpc) = (is_event_stream, is_grpc);
        for (value, is_json, is_stream, is_of_grpc) in [
            ("application/json", true, false, false),
            ("Application/JSON; charset=utf-8", true, false, false),
            ("application/problem+json", true, false, false),
            ("text/json", true, false, false),
            ("text/event-stream; charset=utf-8", false, true, false),
            ("application/grpc", false, false, true),
            ("application/GRPC-web-text; x=y", false, false, true),
            ("application/grpc+json", true, false, true),
            ("application/grpcx", false, false, false),
            ("text/plain", false, false, false),
            ("json", false, false, false),
            ("", false, false, false),
        ] {
            let map = headers(&[(CONTENT_TYPE, value)]);
            assert_eq!(
                (json(&map), stream(&map), grpc(&map)),
                (is_json, is_stream, is_of_grpc),
                "{value}"
            );
            assert_eq!(Lines::of(&map).is_grpc(), is_of_grpc, "{value}");
        }
        assert!(json(&HeaderMap::new()));
        assert!(!stream(&HeaderMap::new()) && !grpc(&HeaderMap::new()));
    }

    #[test]
    fn identity_is_no_content_coding() {
        let coded = |value| has_content_coding(&headers(&[(CONTENT_ENCODING, value)]));
        assert!(coded("gzip") && coded("identity, gzip"));
        assert!(!coded("identity") && !coded("Identity") && !coded(""));
        assert!(!has_content_coding(&HeaderMap::new()));
    }

    #[test]
    fn method_header_can_name_initialize() {
        let names_initialize = |map: &HeaderMap| Lines::of(map).names_initialize();
        assert!(names_initialize(&headers(&[(METHOD, "initialize")])));
        assert!(names_initialize(&headers(&[
            (METHOD, "ping"),
            (METHOD, "initialize")
        ])));
        assert!(!names_initialize(&headers(&[(METHOD, "initialized")])));
        assert!(!names_initialize(&HeaderMap::new()));
    }

    proptest! {
        #[test]
        fn no_value_panics(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            let names = [SESSION_ID, PROTOCOL_VERSION, METHOD, ACCEPT, CONTENT_TYPE, CONTENT_ENCODING];
            let map: HeaderMap = names.into_iter().map(|name| (name, value.clone())).collect();
            let _ = (RawId::from(&map), VersionHeader::from(&map), Lines::of(&map).is_grpc());
            let _ = (accepts_event_stream(&map), is_event_stream(&map), is_grpc(&map));
            let _ = (Lines::of(&map).looks_like_json(), has_content_coding(&map));
        }
    }
}
