//! The messages of a body, as a history takes them down.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::message::{Message, PeekError, RequestId};

/// One JSON-RPC message.
#[derive(Debug)]
pub(crate) struct Spoken<'a> {
    /// The message, as it was written.
    pub(crate) json: &'a str,
    /// None if it says so twice: the inner service may have read the other one.
    pub(crate) kind: Option<Kind>,
    /// What a request or a notification is called.
    pub(crate) method: Option<Cow<'a, str>>,
    pub(crate) id: Option<RequestId<'a>>,
}

/// What a message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Request,
    Notification,
    Response,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Notification => "notification",
            Self::Response => "response",
        }
    }
}

/// The messages in `body`: one, or those of an array. What is not JSON-RPC is left out.
pub(crate) fn messages(body: &[u8]) -> Vec<Spoken<'_>> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Vec::new();
    };
    let text = text.trim_ascii();
    if text.starts_with('[') {
        let elements: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
        let elements = elements.into_iter().map(RawValue::get);
        return elements.filter_map(Spoken::of).collect();
    }
    Spoken::of(text).into_iter().collect()
}

impl<'a> Spoken<'a> {
    fn of(json: &'a str) -> Option<Self> {
        let message = match Message::parse(json) {
            Err(PeekError::Duplicate { has_jsonrpc: true }) => {
                return Some(Self {
                    json,
                    kind: None,
                    method: None,
                    id: None,
                });
            }
            parsed => parsed.ok().filter(|message| message.has_jsonrpc)?,
        };
        let kind = match () {
            () if message.is_request() => Kind::Request,
            () if message.is_notification() => Kind::Notification,
            () if message.is_response() => Kind::Response,
            () => return None,
        };
        Some(Self {
            json,
            kind: Some(kind),
            method: message.method,
            id: message.id,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_are_told_apart_and_all_else_is_left_out() {
        for (body, expected) in [
            (
                r#" {"jsonrpc":"2.0","id":1,"method":"a"} "#,
                &[(Kind::Request, Some("a"))][..],
            ),
            (
                r#"{"jsonrpc":"2.0","method":"a\u0062"}"#,
                &[(Kind::Notification, Some("ab"))],
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
                &[(Kind::Response, None)],
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{}}"#,
                &[(Kind::Response, None)],
            ),
            (
                r#"[{"jsonrpc":"2.0","method":"a"},7,{"jsonrpc":"2.0","id":1,"result":1},{"a":1}]"#,
                &[(Kind::Notification, Some("a")), (Kind::Response, None)],
            ),
            (r#"{"id":1,"method":"a"}"#, &[]),
            (r#"{"jsonrpc":"2.0"}"#, &[]),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a""#, &[]),
            (r#"[{"jsonrpc":"2.0","method":"a"}"#, &[]),
            ("7", &[]),
            ("", &[]),
            ("\u{0}", &[]),
        ] {
            let found = messages(body.as_bytes());
            let found: Vec<_> = found
                .iter()
                .map(|it| (it.kind.unwrap(), it.method.as_deref()))
                .collect();
            assert_eq!(found, expected, "{body}");
        }
    }

    #[test]
    fn a_message_that_says_something_twice_is_kept_and_not_interpreted() {
        for json in [
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"result":{}}"#,
        ] {
            for body in [json.to_owned(), format!("[{json}]")] {
                let found = messages(body.as_bytes());
                assert_eq!(found.len(), 1, "{body}");
                assert_eq!((found[0].json, found[0].kind), (json, None));
                assert!(found[0].method.is_none() && found[0].id.is_none());
            }
        }
        assert!(messages(br#"{"id":1,"id":2,"method":"a"}"#).is_empty());
    }

    #[test]
    fn a_message_is_kept_as_it_was_written() {
        let json = r#"{"jsonrpc" : "2.0", "id":1e0, "method":"a","z":"\ud83d\ude00"}"#;
        assert_eq!(messages(format!(" [ {json} ] ").as_bytes())[0].json, json);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            messages(&bytes);
        }
    }
}
