use http::{HeaderMap, HeaderValue, Method};

use super::*;
use crate::protocol::header::{self, Lines};

const AGREED_03: Standing = Standing::Alive(ProtocolVersion::V2025_03_26);
const AGREED_11: Standing = Standing::Alive(ProtocolVersion::V2025_11_25);
const MODERN: VersionHeader = VersionHeader::Modern(ProtocolVersion::V2026_07_28);
const LEGACY: VersionHeader = VersionHeader::Legacy(ProtocolVersion::V2025_06_18);

const REQUEST: Body = Body::Bytes(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
const NOTIFICATION: Body = Body::Bytes(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
const RESPONSE: Body = Body::Bytes(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
const INITIALIZE: Body = Body::Bytes(
    r#"{"jsonrpc":"2.0","id":0,"method":"init\u0069alize","params":{"_meta":{"progressToken":1}}}"#,
);
const INITIALIZE_WITHOUT_ID: Body = Body::Bytes(r#"{"jsonrpc":"2.0","method":"initialize"}"#);
const INITIALIZE_WITH_KEY: Body = Body::Bytes(
    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":7}}}"#,
);
const REQUEST_WITH_KEY: Body = Body::Bytes(
    r#"{"jsonrpc":"2.0","id":0,"method":"ping","params":{"_meta":{"io.modelcontextprotocol\/protocolVersion":"2026-07-28"}}}"#,
);
const BATCH: Body = Body::Bytes(
    r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"result":{}}]"#,
);
const BATCH_WITH_INITIALIZE: Body =
    Body::Bytes(r#"[1,{"jsonrpc":"2.0","id":0,"method":"initialize"}]"#);
const BATCH_WITH_KEY: Body = Body::Bytes(
    r#"[{"jsonrpc":"2.0","id":0,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":""}}}]"#,
);
const PLAIN_OBJECT: Body = Body::Bytes(r#"{"name":"initialize"}"#);
const PLAIN_INITIALIZE: Body = Body::Bytes(r#"{"id":0,"method":"initialize"}"#);
const PLAIN_BATCH: Body = Body::Bytes(r#"[{"id":0,"method":"initialize"}]"#);
const SCALAR: Body = Body::Bytes("7");
const NOT_JSON: Body = Body::Bytes("{initialize");
const DUPLICATE: Body =
    Body::Bytes(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","method":"x"}"#);
const PLAIN_DUPLICATE: Body = Body::Bytes(r#"{"id":0,"id":1}"#);

const BODIES: [Body; 20] = [
    REQUEST,
    NOTIFICATION,
    RESPONSE,
    INITIALIZE,
    INITIALIZE_WITHOUT_ID,
    INITIALIZE_WITH_KEY,
    REQUEST_WITH_KEY,
    BATCH,
    BATCH_WITH_INITIALIZE,
    BATCH_WITH_KEY,
    PLAIN_OBJECT,
    PLAIN_INITIALIZE,
    PLAIN_BATCH,
    SCALAR,
    NOT_JSON,
    DUPLICATE,
    PLAIN_DUPLICATE,
    Body::TooLong,
    Body::Coded,
    Body::Unreadable,
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Body {
    Bytes(&'static str),
    TooLong,
    Coded,
    Unreadable,
}

/// One whole request, with all that could be found out about it.
#[derive(Clone, Copy, Debug)]
struct Cell {
    head: Head,
    standing: Standing,
    body: Body,
    rules: Rules,
}

impl Cell {
    /// Asks until the decision stands, and says what had to be found out for it.
    fn decide(&self) -> (Decision, Asked) {
        let peek = match self.body {
            Body::Bytes(text) => Peek::parse(text.as_bytes()),
            _ => Ok(Peek::Other),
        };
        let look = match self.body {
            Body::Bytes(_) => BodyLook::from(&peek),
            Body::TooLong => BodyLook::TooLong,
            Body::Coded => BodyLook::Coded,
            Body::Unreadable => BodyLook::Unreadable,
        };
        let (mut standing, mut body) = (Standing::Unasked, BodyLook::Unread);
        let mut asked = Asked {
            lookup: false,
            body: false,
        };
        loop {
            match classify(&self.head, standing, body, &self.rules) {
                Decision::Lookup => {
                    assert!(!asked.lookup, "asked twice: {self:?}");
                    (standing, asked.lookup) = (self.standing, true);
                }
                Decision::ReadBody => {
                    assert!(!asked.body, "asked twice: {self:?}");
                    (body, asked.body) = (look, true);
                }
                decision => return (decision, asked),
            }
        }
    }

    fn post(&self) -> bool {
        self.head.verb == Verb::Post
    }

    fn without_id(&self) -> bool {
        self.head.id == IdHeader::Missing
    }

    fn alive(&self) -> bool {
        self.head.id == IdHeader::One && matches!(self.standing, Standing::Alive(_))
    }

    fn unsupported(&self) -> bool {
        self.head.version == VersionHeader::Unsupported
    }

    fn has_jsonrpc(&self) -> bool {
        matches!(self.body, Body::Bytes(text) if text.contains("jsonrpc"))
    }

    fn with_key(&self) -> bool {
        matches!(self.body, INITIALIZE_WITH_KEY | REQUEST_WITH_KEY)
    }

    fn initialize(&self) -> bool {
        matches!(self.body, INITIALIZE | PLAIN_INITIALIZE)
    }

    fn batch_with_either(&self) -> bool {
        matches!(
            self.body,
            BATCH_WITH_INITIALIZE | BATCH_WITH_KEY | PLAIN_BATCH
        )
    }

    fn any_batch(&self) -> bool {
        self.batch_with_either() || self.body == BATCH
    }

    /// Whether a strict session looks at the body at all.
    fn strict_session(&self) -> bool {
        self.post() && self.alive() && self.rules.strict
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Asked {
    lookup: bool,
    body: bool,
}

fn cells() -> impl Iterator<Item = Cell> {
    let ids = [
        (IdHeader::Missing, Standing::NotAlive),
        (IdHeader::One, AGREED_03),
        (IdHeader::One, AGREED_11),
        (IdHeader::One, Standing::NotAlive),
        (IdHeader::Several, AGREED_11),
    ];
    let versions = [
        VersionHeader::Missing,
        LEGACY,
        MODERN,
        VersionHeader::Unsupported,
        VersionHeader::Several,
    ];
    let verbs = [Verb::Get, Verb::Post, Verb::Delete, Verb::Other];
    let mut cells = Vec::new();
    for verb in verbs {
        for version in versions {
            for (id, standing) in ids {
                for body in BODIES {
                    for bits in 0..64 {
                        let bit = |number: u32| bits & (1 << number) != 0;
                        let (names_initialize, may_be_mcp) = (bit(0), bit(1));
                        let rules = Rules {
                            whole_path: bit(2),
                            streams: bit(3),
                            delete: bit(4),
                            strict: bit(5),
                        };
                        // What `Head::read` never says.
                        if names_initialize && verb != Verb::Post
                            || may_be_mcp
                                && (id != IdHeader::Missing
                                    || !matches!(verb, Verb::Get | Verb::Post))
                        {
                            continue;
                        }
                        let head = Head {
                            verb,
                            version,
                            id,
                            names_initialize,
                            may_be_mcp,
                        };
                        cells.push(Cell {
                            head,
                            standing,
                            body,
                            rules,
                        });
                    }
                }
            }
        }
    }
    cells.into_iter()
}

type Row = (&'static str, fn(&Cell) -> bool, Decision);

/// The table of the module docs as rows; the first one that fits a cell decides it.
#[rustfmt::skip] // One line a row, or it is no table.
fn table() -> Vec<Row> {
    use Decision::{Delete, Initialize, Known, Modern, NotOurs, Refuse};
    use Refusal as R;

    let not_allowed = |allow| Refuse(R::MethodNotAllowed { allow });
    vec![
        ("other verbs", |c| c.head.verb == Verb::Other, NotOurs),
        // POST with a modern header.
        ("71", |c| c.post() && c.head.version == MODERN && c.head.names_initialize && c.initialize(), Refuse(R::InitializeRemoved)),
        ("63-70, 73", |c| c.post() && c.head.version == MODERN, Modern),
        ("garbage, no id", |c| c.post() && c.unsupported() && c.without_id(), Modern),
        // Ours or not.
        ("89: GET of a page, DELETE", |c| !c.post() && c.without_id() && !c.rules.whole_path && !c.head.may_be_mcp, NotOurs),
        ("89: upload", |c| c.post() && c.without_id() && !c.rules.whole_path && !c.head.may_be_mcp, NotOurs),
        ("89: plain JSON", |c| c.post() && c.without_id() && !c.rules.whole_path && !c.has_jsonrpc(), NotOurs),
        // Faults of the head.
        ("72", |c| c.head.version == MODERN, not_allowed("POST")),
        ("two versions", |c| c.head.version == VersionHeader::Several, Refuse(R::SeveralVersions)),
        ("two ids", |c| c.head.id == IdHeader::Several, Refuse(R::SeveralSessionIds)),
        // GET and DELETE.
        ("garbage, no id", |c| !c.post() && c.unsupported() && c.without_id(), Refuse(R::UnsupportedVersion)),
        ("25, 26", |c| c.head.verb == Verb::Delete && !c.rules.delete && c.rules.streams, not_allowed("GET, POST")),
        ("25, 26", |c| c.head.verb == Verb::Delete && !c.rules.delete, not_allowed("POST")),
        ("19, 42", |c| c.head.verb == Verb::Get && !c.rules.streams && c.rules.delete, not_allowed("POST, DELETE")),
        ("19, 42", |c| c.head.verb == Verb::Get && !c.rules.streams, not_allowed("POST")),
        ("19, 20", |c| !c.post() && c.without_id(), Refuse(R::MissingSessionId)),
        ("21-23, 27", |c| !c.post() && !c.alive(), Refuse(R::SessionNotFound)),
        ("33", |c| c.alive() && c.unsupported(), Refuse(R::UnsupportedVersion)),
        ("24", |c| c.head.verb == Verb::Delete, Delete),
        ("42", |c| c.head.verb == Verb::Get, Known),
        // POST with an id that is alive.
        ("strict: 66, 69, 70", |c| c.strict_session() && c.with_key(), Modern),
        ("strict: 12", |c| c.strict_session() && c.initialize(), Refuse(R::AlreadyInitialized)),
        ("strict: 13, 76", |c| c.strict_session() && c.batch_with_either(), Refuse(R::BatchNotAllowed)),
        ("strict: 39", |c| c.strict_session() && c.any_batch() && c.standing == AGREED_11, Refuse(R::BatchNotAllowed)),
        ("strict: 87", |c| c.strict_session() && matches!(c.body, DUPLICATE | PLAIN_DUPLICATE), Refuse(R::DuplicateMember)),
        ("strict: not JSON", |c| c.strict_session() && matches!(c.body, NOT_JSON | Body::Unreadable), Refuse(R::NotJson)),
        ("strict: too long", |c| c.strict_session() && c.body == Body::TooLong, Refuse(R::TooLarge)),
        ("strict: coded", |c| c.strict_session() && c.body == Body::Coded, Refuse(R::UnsupportedContentCoding)),
        ("12", |c| c.alive() && c.head.names_initialize, Refuse(R::AlreadyInitialized)),
        ("14-16, 28-30, 34, 36, 38-41", |c| c.alive(), Known),
        // POST without a living id, read.
        ("66, 69, 70", |c| c.with_key(), Modern),
        ("1, 10, 11", |c| c.initialize(), Initialize),
        ("21-23", |c| c.head.id == IdHeader::One, Refuse(R::SessionNotFound)),
        ("13, 76", |c| c.batch_with_either(), Refuse(R::BatchNotAllowed)),
        ("87", |c| matches!(c.body, DUPLICATE | PLAIN_DUPLICATE), Refuse(R::DuplicateMember)),
        ("not JSON", |c| matches!(c.body, NOT_JSON | Body::Unreadable), Refuse(R::NotJson)),
        ("too long", |c| c.body == Body::TooLong, Refuse(R::TooLarge)),
        ("coded", |c| c.body == Body::Coded, Refuse(R::UnsupportedContentCoding)),
        ("14, 17, 18", |_| true, Refuse(R::MissingSessionId)),
    ]
}

#[test]
fn every_cell_of_the_table_is_decided_as_written() {
    let table = table();
    let mut hits = vec![0; table.len()];
    for cell in cells() {
        let row = table.iter().position(|(_, fits, _)| fits(&cell)).unwrap();
        let (name, _, decision) = table[row];
        assert_eq!(cell.decide().0, decision, "row {name}: {cell:?}");
        hits[row] += 1;
    }
    for ((name, ..), hits) in table.iter().zip(hits) {
        assert_ne!(hits, 0, "no cell meets row {name}");
    }
}

#[test]
fn nothing_is_asked_that_the_head_decides() {
    for cell in cells() {
        let (decision, asked) = cell.decide();
        let Head {
            verb, version, id, ..
        } = cell.head;
        let one_of_a_session =
            id == IdHeader::One && !matches!(version, MODERN | VersionHeader::Several);
        assert!(!asked.lookup || one_of_a_session, "{cell:?}");
        assert!(!asked.body || verb == Verb::Post, "{cell:?}");
        if decision == Decision::Known && !cell.rules.strict {
            assert_eq!(
                asked,
                Asked {
                    lookup: true,
                    body: false
                },
                "{cell:?}"
            );
        }
        if version == MODERN && !cell.head.names_initialize {
            assert_eq!(
                asked,
                Asked {
                    lookup: false,
                    body: false
                },
                "{cell:?}"
            );
        }
        if matches!(decision, Decision::Refuse(Refusal::MethodNotAllowed { .. })) {
            assert_eq!(
                asked,
                Asked {
                    lookup: false,
                    body: false
                },
                "{cell:?}"
            );
        }
        if decision == Decision::Initialize {
            assert!(asked.body && !cell.alive(), "{cell:?}");
        }
    }
}

#[test]
fn without_a_path_only_mcp_is_touched_when_there_is_no_id() {
    for cell in cells().filter(|cell| cell.without_id() && !cell.rules.whole_path) {
        let (decision, _) = cell.decide();
        let is_mcp = match cell.head.verb {
            Verb::Get => cell.head.may_be_mcp,
            Verb::Post => cell.head.may_be_mcp && cell.has_jsonrpc() || cell.head.version == MODERN,
            Verb::Delete | Verb::Other => false,
        };
        let is_untouched = matches!(decision, Decision::NotOurs | Decision::Modern);
        assert!(is_mcp || is_untouched, "{cell:?}");
    }
}

#[test]
fn harmless_body_stays_in_its_session() {
    for cell in cells().filter(|cell| cell.strict_session() && !cell.unsupported()) {
        if matches!(cell.head.version, MODERN | VersionHeader::Several) {
            continue;
        }
        let decision = classify(&cell.head, cell.standing, BodyLook::Harmless, &cell.rules);
        let expected = match cell.head.names_initialize {
            true => Decision::Refuse(Refusal::AlreadyInitialized),
            false => Decision::Known,
        };
        assert_eq!(decision, expected, "{cell:?}");
    }
}

#[test]
fn head_is_read_from_the_request() {
    let read = |method, lines: &[(http::HeaderName, &'static str)]| {
        let lines = lines
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let headers: HeaderMap = lines.collect();
        Head::read(&method, &headers, &Lines::of(&headers))
    };
    let accept = (http::header::ACCEPT, "text/event-stream");
    let text = (http::header::CONTENT_TYPE, "text/plain");
    let id = (header::SESSION_ID, "a");
    let initialize = (header::METHOD, "initialize");

    let head = read(
        Method::POST,
        &[
            id.clone(),
            initialize.clone(),
            (header::PROTOCOL_VERSION, "2025-06-18"),
        ],
    );
    assert_eq!(
        (head.verb, head.version, head.id),
        (Verb::Post, LEGACY, IdHeader::One)
    );
    assert!(head.names_initialize && !head.may_be_mcp);

    assert!(read(Method::POST, &[]).may_be_mcp);
    assert!(!read(Method::POST, &[text]).may_be_mcp);
    assert!(read(Method::GET, std::slice::from_ref(&accept)).may_be_mcp);
    assert!(!read(Method::GET, &[]).may_be_mcp);
    assert!(!read(Method::GET, &[id, accept.clone()]).may_be_mcp);
    assert!(!read(Method::DELETE, &[accept, initialize]).names_initialize);
    assert_eq!(read(Method::OPTIONS, &[]).verb, Verb::Other);
}
