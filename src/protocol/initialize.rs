//! The two halves of an initialize: what the client asks for, what the inner service answers.

use serde_json::value::RawValue;

use super::json;
use super::message::{Message, Peek, RequestId};
use super::version::ProtocolVersion;

/// The params of an initialize request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InitializeParams<'a>(&'a RawValue);

impl<'a> InitializeParams<'a> {
    /// The params of `initialize`, or `None` if it has none; the inner service refuses it then.
    pub(crate) fn of(initialize: &Message<'a>) -> Option<Self> {
        initialize.params.map(Self)
    }

    /// The params as a session keeps them: an owned copy without `_meta`, in one form for equal
    /// content, so that sessions of equal clients can share it. The caller bounds its length.
    ///
    /// `None` if a name in it is not valid text.
    pub(crate) fn to_stored(self) -> Option<Box<RawValue>> {
        json::normalized_without(self.0, "_meta")
    }
}

/// What a JSON-RPC message means for the initialize request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InitializeAnswer {
    /// The request succeeded.
    Result {
        /// The version agreed on, if the result names a date.
        version: Option<ProtocolVersion>,
    },
    /// The request was refused.
    Error,
    /// Anything else: a notification, a request of the server, an answer to another id, not JSON.
    NotForUs,
}

impl InitializeAnswer {
    /// Reads `message`, a whole JSON body or the data of one event, as the answer to `id`.
    pub(crate) fn read(message: &[u8], id: &RequestId<'_>) -> Self {
        let Ok(Peek::Object(message)) = Peek::parse(message) else {
            return Self::NotForUs;
        };
        if !message.is_response() || message.id.as_ref() != Some(id) {
            return Self::NotForUs;
        }
        match message.result {
            Some(result) if message.error.is_none() => Self::Result {
                version: version_in(result),
            },
            _ => Self::Error,
        }
    }
}

/// The `protocolVersion` of an object, if it has exactly one and that is a date.
fn version_in(object: &RawValue) -> Option<ProtocolVersion> {
    let version = json::member(object, "protocolVersion").ok()??;
    ProtocolVersion::parse(&json::text(version)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored(body: &str) -> String {
        let Ok(Peek::Object(message)) = Peek::parse(body.as_bytes()) else {
            panic!("not an object: {body}");
        };
        let params = InitializeParams::of(&message).unwrap();
        params.to_stored().unwrap().get().to_owned()
    }

    #[test]
    fn params_are_stored_without_meta() {
        let body = r#"{"method":"initialize","id":0,"params":{
            "protocolVersion": "2025-06-18", "_meta": {"progressToken": 1},
            "clientInfo": {"name": "a b", "version": "1.0"}, "capabilities": {}}}"#;
        assert_eq!(
            stored(body),
            r#"{"capabilities":{},"clientInfo":{"name":"a b","version":"1.0"},"protocolVersion":"2025-06-18"}"#
        );
        assert_eq!(stored(r#"{"params":[ 1 ]}"#), "[1]");
    }

    #[test]
    fn answer_is_the_response_with_our_id() {
        use InitializeAnswer::{Error, NotForUs, Result};

        let success = |version| Result { version };
        for (message, id, answer) in [
            (
                r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#,
                "0",
                success(Some(ProtocolVersion::V2025_11_25)),
            ),
            (
                r#"{"id":"\u0061","result":{"protocolVersion":"2026-07-28"}}"#,
                r#""a""#,
                success(Some(ProtocolVersion::V2026_07_28)),
            ),
            (
                r#"{"id":0,"result":{"protocolVersion":7},"error":null}"#,
                "0",
                success(None),
            ),
            (r#"{"id":0,"result":null}"#, "0", success(None)),
            (
                r#"{"id":0,"error":{"code":-32602,"message":"no"}}"#,
                "0",
                Error,
            ),
            (
                r#"{"id":0,"error":{},"result":{"protocolVersion":"2025-11-25"}}"#,
                "0",
                Error,
            ),
            (r#"{"id":1,"result":{}}"#, "0", NotForUs),
            (r#"{"id":"0","result":{}}"#, "0", NotForUs),
            (r#"{"id":null,"error":{}}"#, "0", NotForUs),
            (r#"{"id":0,"method":"ping"}"#, "0", NotForUs),
            (r#"{"id":0,"method":"ping","result":{}}"#, "0", NotForUs),
            (
                r#"{"method":"notifications/message","params":{}}"#,
                "0",
                NotForUs,
            ),
            (r#"{"id":0,"id":0,"result":{}}"#, "0", NotForUs),
            (r#"[{"id":0,"result":{}}]"#, "0", NotForUs),
            ("", "0", NotForUs),
        ] {
            let request = format!(r#"{{"method":"initialize","id":{id}}}"#);
            let peek = Peek::parse(request.as_bytes()).unwrap();
            let id = peek.request_id().unwrap();
            assert_eq!(
                InitializeAnswer::read(message.as_bytes(), id),
                answer,
                "{message}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(body in prop::collection::vec(any::<u8>(), 0..60)) {
            let answer = InitializeAnswer::read(&body, Peek::parse(br#"{"method":"initialize","id":"replay"}"#).unwrap().request_id().unwrap());
            prop_assert_eq!(answer, InitializeAnswer::NotForUs);
        }
    }
}
