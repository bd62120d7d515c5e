use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn message(body: &str) -> Message<'_> {
    match Peek::parse(body.as_bytes()) {
        Ok(Peek::Object(message)) => message,
        other => panic!("not an object: {body}: {other:?}"),
    }
}

fn batch(body: &str) -> (bool, bool, bool) {
    match Peek::parse(body.as_bytes()) {
        Ok(Peek::Batch(batch)) => (
            batch.holds_initialize,
            batch.holds_modern_key,
            batch.has_jsonrpc,
        ),
        other => panic!("not a batch: {body}: {other:?}"),
    }
}

fn error(body: &str) -> PeekError {
    Peek::parse(body.as_bytes()).unwrap_err()
}

#[test]
fn initialize_is_recognised() {
    for (body, is_initialize) in [
        (
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#,
            true,
        ),
        (
            " \r\n\t{\"method\" : \"initialize\" , \"id\" : \"a\"}\n",
            true,
        ),
        // Rule 88.
        (
            r#"{"jsonrpc":"2.0","id":1,"m\u0065thod":"init\u0069alize"}"#,
            true,
        ),
        // Rule 14.
        (r#"{"jsonrpc":"2.0","method":"initialize"}"#, false),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"initialize"}"#,
            false,
        ),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"initialize"}"#, false),
        (r#"{"jsonrpc":"2.0","id":1,"method":["initialize"]}"#, false),
        (r#"{"jsonrpc":"2.0","id":1,"method":"Initialize"}"#, false),
        (
            r#"{"jsonrpc":"2.0","id":1,"params":{"method":"initialize"}}"#,
            false,
        ),
    ] {
        assert_eq!(message(body).is_initialize(), is_initialize, "{body}");
    }
}

#[test]
fn modern_is_what_names_a_version_in_meta() {
    for (params, modern) in [
        (
            r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#,
            true,
        ),
        (
            r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":null}}"#,
            true,
        ),
        // Rule 88.
        (
            r#"{"_meta":{"io.modelcontextprotocol\/protocolVersion":""}}"#,
            true,
        ),
        (
            r#"{"\u005fmeta":{"io.modelcontextprotocol/protocolVersio\u006e":""}}"#,
            true,
        ),
        // Rule 77.
        (
            r#"{"_meta":{"progressToken":1,"io.modelcontextprotocol/related-task":{}}}"#,
            false,
        ),
        (
            r#"{"_meta":{"x":{"io.modelcontextprotocol/protocolVersion":""}}}"#,
            false,
        ),
        (
            r#"{"_meta":["io.modelcontextprotocol/protocolVersion"]}"#,
            false,
        ),
        (
            r#"{"_meta":null,"io.modelcontextprotocol/protocolVersion":""}"#,
            false,
        ),
        (
            r#"[{"_meta":{"io.modelcontextprotocol/protocolVersion":""}}]"#,
            false,
        ),
        ("null", false),
    ] {
        let body = format!(r#"{{"id":1,"method":"initialize","params":{params}}}"#);
        assert_eq!(message(&body).modern, modern, "{body}");
        // Rule 69.
        assert_eq!(message(&body).is_initialize(), !modern, "{body}");
    }
    assert!(!message(r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":""}}"#).modern);
}

#[test]
fn rule_87_duplicates_where_we_look_are_errors() {
    let duplicate = |has_jsonrpc| PeekError::Duplicate { has_jsonrpc };
    for body in [
        r#"{"method":"x","method":"x","jsonrpc":"2.0"}"#,
        r#"{"jsonrpc":"2.0","method":"x","m\u0065thod":"initialize"}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":null}"#,
        r#"{"jsonrpc":"2.0","params":{},"params":{}}"#,
        r#"{"jsonrpc":"2.0","jsonrpc":"2.0"}"#,
        r#"{"jsonrpc":"2.0","params":{"_meta":{},"_meta":{}}}"#,
        r#"{"jsonrpc":"2.0","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":1,"io.modelcontextprotocol\/protocolVersion":1}}}"#,
        r#"[{"id":1,"id":1},{"jsonrpc":"2.0"}]"#,
    ] {
        assert_eq!(error(body), duplicate(true), "{body}");
    }
    assert_eq!(error(r#"{"id":1,"id":2}"#), duplicate(false));
    assert_eq!(error(r#"{"id":1,"id":2,}"#), PeekError::NotJson);
    assert!(
        message(r#"{"x":1,"x":2,"params":{"a":1,"a":2}}"#)
            .params
            .is_some()
    );
}

#[test]
fn what_is_not_json_is_said_to_be() {
    for body in [
        "",
        " ",
        "{",
        "{}x",
        "{}{}",
        "[1,]",
        "{'a':1}",
        "\u{feff}{}",
        "nul",
        "{\"a\":\"\n\"}",
        "{\"\\ud800\":1}",
    ] {
        assert_eq!(error(body), PeekError::NotJson, "{body:?}");
    }
    assert_eq!(
        Peek::parse(b"{\"a\":\"\xff\"}").unwrap_err(),
        PeekError::NotJson
    );
    for body in ["7", "null", "\"initialize\"", " true "] {
        assert!(
            matches!(Peek::parse(body.as_bytes()), Ok(Peek::Other)),
            "{body}"
        );
    }
}

#[test]
fn batches_tell_what_they_hold() {
    assert_eq!(batch("[]"), (false, false, false));
    assert_eq!(
        batch(r#"[[{"jsonrpc":"2.0","method":"initialize"}], 1, "x", null]"#),
        (false, false, false)
    );
    assert_eq!(
        batch(r#" [{"jsonrpc":"2.0","method":"ping","id":1}]"#),
        (false, false, true)
    );
    assert_eq!(batch(r#"[{"method":"initialize"}]"#), (true, false, false));
    let with_key = r#"[{},{"id":1,"method":"initialize","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":1}}}]"#;
    assert_eq!(batch(with_key), (true, true, false));
}

#[test]
fn messages_are_requests_notifications_or_responses() {
    let kinds = |body| {
        let message = message(body);
        (
            message.is_request(),
            message.is_notification(),
            message.is_response(),
        )
    };
    assert_eq!(kinds(r#"{"id":0,"method":"ping"}"#), (true, false, false));
    assert_eq!(kinds(r#"{"method":"ping"}"#), (false, true, false));
    assert_eq!(kinds(r#"{"id":0,"result":null}"#), (false, false, true));
    assert_eq!(kinds(r#"{"id":0,"error":{}}"#), (false, false, true));
    assert_eq!(kinds(r#"{"id":0,"error":null}"#), (false, false, false));
    assert_eq!(kinds("{}"), (false, false, false));

    assert!(message(r#"{"id":0,"method":"ping"}"#).is_ping());
}

#[test]
fn ids_are_kept_as_written_and_compared_by_meaning() {
    let id = |json: &str| {
        message(&format!(r#"{{"method":"x","id":{json}}}"#))
            .id
            .map(RequestId::into_owned)
    };
    for json in [
        "0",
        "-1",
        "123456789012345678901234567890",
        r#""""#,
        r#""\u0061""#,
    ] {
        assert_eq!(id(json).unwrap().as_json(), json);
    }
    for json in [
        "null",
        "-0",
        "1.0",
        "1e2",
        "true",
        "{}",
        "[1]",
        r#""\ud800""#,
    ] {
        assert_eq!(id(json), None, "{json}");
    }
    assert_eq!(id(r#""\u0061""#), id(r#""a""#));
    assert_ne!(id("1"), id(r#""1""#));
    assert_ne!(id("1"), id("-1"));
    assert_ne!(id("12345678901234567890123"), id("12345678901234567890124"));
}

#[test]
fn only_a_single_request_has_an_id_to_echo() {
    let echoed = |body: &str| Peek::parse(body.as_bytes()).unwrap().request_id().is_some();
    assert!(echoed(r#"{"id":0,"method":"x"}"#));
    assert!(!echoed(r#"{"id":0,"result":{}}"#));
    assert!(!echoed(r#"{"method":"x"}"#));
    assert!(!echoed(r#"[{"id":0,"method":"x"}]"#));
}

#[test]
fn depth_does_not_overflow_the_stack() {
    let depth = 1 << 20;
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    let objects = format!("{}1{}", "{\"_meta\":".repeat(depth), "}".repeat(depth));
    for body in [
        format!(r#"{{"id":1,"method":"initialize","params":{open}{close}}}"#),
        format!(r#"{{"id":1,"method":"initialize","params":{{"_meta":{open}{close}}}}}"#),
        format!(r#"{{"id":1,"method":"initialize","params":{objects},"x":{objects}}}"#),
    ] {
        assert!(message(&body).is_initialize());
    }
    assert_eq!(batch(&format!("{open}{close}")), (false, false, false));
    for body in [
        format!("{{\"method\":{open}"),
        open,
        objects[..depth].to_owned(),
    ] {
        assert_eq!(error(&body), PeekError::NotJson);
    }
}

#[test]
fn search_finds_all_that_may_concern_us() {
    for body in [
        r#"{"method":"initialize"}"#,
        r#"{"x/protocolVersion":1}"#,
        r#"{"a":"\n"}"#,
        "[]",
        " [1]",
        "",
        "x",
    ] {
        assert!(may_concern_us(body.as_bytes()), "{body}");
    }
    for body in [r#"{"id":1,"method":"tools/list"}"#, " {}"] {
        assert!(!may_concern_us(body.as_bytes()), "{body}");
    }
}

/// The same question asked of a decoded document.
struct Decoded<'a>(&'a Value);

impl Decoded<'_> {
    fn modern(&self) -> bool {
        self.0["params"]["_meta"]
            .get("io.modelcontextprotocol/protocolVersion")
            .is_some()
    }

    fn id(&self) -> Option<&Value> {
        self.0
            .get("id")
            .filter(|id| id.is_string() || id.is_i64() || id.is_u64())
    }

    fn is_initialize(&self) -> bool {
        self.0["method"] == "initialize" && self.id().is_some() && !self.modern()
    }
}

/// A JSON string, some characters escaped in one way or the other.
fn written(text: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::bool::weighted(0.1), text.len()).prop_map(move |escapes| {
        let chars = text
            .chars()
            .zip(escapes)
            .map(|(char, escaped)| match (char, escaped) {
                ('/', true) => r"\/".to_owned(),
                (char, true) => format!("\\u{:04X}", u32::from(char)),
                (char, false) => char.to_string(),
            });
        format!("\"{}\"", chars.collect::<String>())
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        written("jsonrpc"),
        written("method"),
        written("id"),
        written("params"),
        written("_meta"),
        written("io.modelcontextprotocol/protocolVersion"),
        written("result"),
        written("error"),
        written("x"),
    ]
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        written("initialize"),
        written("ping"),
        written("2.0"),
        name(),
        Just("\"\\ud83d\\ude00\"".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,17})",
        "[0-9]\\.[0-9]e[0-9]",
    ];
    leaf.prop_recursive(5, 40, 5, |value| {
        let member = (name(), value.clone()).prop_map(|(name, value)| format!("{name} :{value}"));
        prop_oneof![
            prop::collection::vec(value, 0..4)
                .prop_map(|values| format!("[{}]", values.join(" ,"))),
            prop::collection::vec(member, 0..5)
                .prop_map(|members| format!("{{{}}} ", members.join(", "))),
        ]
    })
}

/// Mostly whole initializes and the like, with any member missing, odd or twice.
fn document() -> impl Strategy<Value = String> {
    let meta = prop::collection::vec(
        (written("io.modelcontextprotocol/protocolVersion"), json()),
        0..2,
    );
    let object = |members: Vec<(String, String)>| {
        let members = members
            .into_iter()
            .map(|(name, value)| format!("{name}:{value}"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    };
    let params = (written("_meta"), meta.prop_map(object)).prop_map(move |meta| object(vec![meta]));
    let member = prop_oneof![
        3 => (written("method"), written("initialize")),
        3 => (written("id"), prop_oneof![Just("0".to_owned()), written("a"), json()]),
        3 => (written("params"), prop_oneof![params, json()]),
        1 => (name(), json()),
    ];
    let message = prop::collection::vec(member, 0..5).prop_map(object);
    let list = |messages: Vec<String>| format!("[{}]", messages.join(","));
    prop_oneof![
        6 => message.clone(),
        1 => prop::collection::vec(message, 0..3).prop_map(list),
        1 => json(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn peek_agrees_with_a_full_decoding(text in document()) {
        let value: Value = serde_json::from_str(&text).unwrap();
        match Peek::parse(text.as_bytes()) {
            Ok(Peek::Object(message)) => {
                let decoded = Decoded(&value);
                prop_assert_eq!(message.is_initialize(), decoded.is_initialize());
                prop_assert_eq!(message.modern, decoded.modern());
                prop_assert_eq!(message.method.as_deref(), value["method"].as_str());
                let id = message.id.map(|id| serde_json::from_str::<Value>(id.as_json()).unwrap());
                prop_assert_eq!(id.as_ref(), decoded.id());
                prop_assert_eq!(message.has_jsonrpc, value.get("jsonrpc").is_some());
            }
            Ok(Peek::Batch(batch)) => {
                let any = |test: fn(&Value) -> bool| value.as_array().unwrap().iter().any(test);
                prop_assert_eq!(batch.holds_initialize, any(|element| element["method"] == "initialize"));
                prop_assert_eq!(batch.holds_modern_key, any(|element| Decoded(element).modern()));
                prop_assert_eq!(batch.has_jsonrpc, any(|element| element.get("jsonrpc").is_some()));
            }
            Ok(Peek::Other) => prop_assert!(!value.is_object() && !value.is_array()),
            // The decoding keeps the last of two, so it has fewer members than were written.
            Err(PeekError::Duplicate { .. }) => {
                let written = text.chars().filter(|char| *char == ':').count();
                prop_assert!(members(&value) < written);
            }
            Err(PeekError::NotJson) => prop_assert!(false, "is JSON"),
        }
    }

    #[test]
    fn search_misses_no_initialize_and_no_key(text in document()) {
        if !may_concern_us(text.as_bytes()) {
            let value: Value = serde_json::from_str(&text).unwrap();
            prop_assert!(!Decoded(&value).is_initialize() && !Decoded(&value).modern() && !value.is_array());
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), text in "[{}\\[\\]\":,\\\\a0 ]{0,30}") {
        let _ = (Peek::parse(&bytes).is_ok(), may_concern_us(&bytes));
        let accepted = Peek::parse(text.as_bytes()).is_ok();
        prop_assert!(!accepted || serde_json::from_str::<IgnoredAny>(&text).is_ok());
    }
}

/// How many members all objects in `value` have.
fn members(value: &Value) -> usize {
    match value {
        Value::Object(object) => object.len() + object.values().map(members).sum::<usize>(),
        Value::Array(array) => array.iter().map(members).sum(),
        _ => 0,
    }
}
