//! What we refuse, with the status and the JSON-RPC error of each refusal.

use bytes::Bytes;
use http::StatusCode;

use super::cause::{RefusalCause, Unavailable};
use super::message::RequestId;

/// An error object as constant text.
macro_rules! error_object {
    ($code:literal, $message:literal) => {
        concat!(
            r#"{"jsonrpc":"2.0","error":{"code":"#,
            $code,
            r#","message":""#,
            $message,
            r#""}}"#
        )
    };
}

/// A refusal of ours. Each has one status and one constant text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The id is unknown, malformed, expired, ended or another's: the same answer for all.
    SessionNotFound,
    MissingSessionId,
    SeveralSessionIds,
    SeveralVersions,
    UnsupportedVersion,
    /// An array where a single message must be, or one that holds an initialize.
    BatchNotAllowed,
    /// A member that we look at is in the body twice.
    DuplicateMember,
    /// An initialize inside a session.
    AlreadyInitialized,
    /// An initialize in a revision that has none.
    InitializeRemoved,
    /// A `Last-Event-ID` that is not of this session.
    UnknownLastEventId,
    NotJson,
    TooLarge,
    /// A content coding on a body that we must read.
    UnsupportedContentCoding,
    MethodNotAllowed {
        /// The value of the `Allow` header.
        allow: &'static str,
    },
    ForbiddenOrigin,
    ForbiddenHost,
    /// The answer to an initialize is too long, too late or cannot be read.
    BadInitializeAnswer,
    /// A store is down, something is full, or this instance is shutting down: to the client all the same.
    Unavailable(Unavailable),
}

impl Refusal {
    /// The HTTP status of this refusal.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::SessionNotFound => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedContentCoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::ForbiddenOrigin | Self::ForbiddenHost => StatusCode::FORBIDDEN,
            Self::BadInitializeAnswer => StatusCode::BAD_GATEWAY,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::MissingSessionId
            | Self::SeveralSessionIds
            | Self::SeveralVersions
            | Self::UnsupportedVersion
            | Self::BatchNotAllowed
            | Self::DuplicateMember
            | Self::AlreadyInitialized
            | Self::InitializeRemoved
            | Self::UnknownLastEventId
            | Self::NotJson => StatusCode::BAD_REQUEST,
        }
    }

    /// What an operator is told of it. 1:1, but for a 503, which has one answer and many causes.
    pub(crate) fn cause(self) -> RefusalCause {
        match self {
            Self::SessionNotFound => RefusalCause::SessionNotFound,
            Self::MissingSessionId => RefusalCause::MissingSessionId,
            Self::SeveralSessionIds => RefusalCause::SeveralSessionIds,
            Self::SeveralVersions => RefusalCause::SeveralVersions,
            Self::UnsupportedVersion => RefusalCause::UnsupportedVersion,
            Self::BatchNotAllowed => RefusalCause::BatchNotAllowed,
            Self::DuplicateMember => RefusalCause::DuplicateMember,
            Self::AlreadyInitialized => RefusalCause::AlreadyInitialized,
            Self::InitializeRemoved => RefusalCause::InitializeRemoved,
            Self::UnknownLastEventId => RefusalCause::UnknownLastEventId,
            Self::NotJson => RefusalCause::NotJson,
            Self::TooLarge => RefusalCause::TooLarge,
            Self::UnsupportedContentCoding => RefusalCause::UnsupportedContentCoding,
            Self::MethodNotAllowed { .. } => RefusalCause::MethodNotAllowed,
            Self::ForbiddenOrigin => RefusalCause::ForbiddenOrigin,
            Self::ForbiddenHost => RefusalCause::ForbiddenHost,
            Self::BadInitializeAnswer => RefusalCause::BadInitializeAnswer,
            Self::Unavailable(cause) => cause.into(),
        }
    }

    /// The JSON-RPC error object to send, with the id of the request if it was read.
    ///
    /// Without an id the member is left out: no revision allows `null` there.
    pub(crate) fn body(self, id: Option<&RequestId<'_>>) -> Bytes {
        let text = self.text();
        let Some(id) = id.map(RequestId::as_json) else {
            return Bytes::from_static(text.as_bytes());
        };
        let (start, rest) = text.split_at(START.len());
        Bytes::from([start, r#","id":"#, id, rest].concat())
    }

    /// The error object without an id.
    fn text(self) -> &'static str {
        match self {
            // The code and the words that clients of legacy revisions look for.
            Self::SessionNotFound => error_object!(-32001, "Session not found"),
            Self::NotJson => error_object!(-32700, "Parse error"),
            // `-32000` to `-32019` get no new meanings (2026-07-28, Error Codes), and JSON-RPC's
            // own code for a fault of the server is legal in every revision.
            Self::BadInitializeAnswer => error_object!(-32603, "No readable answer to initialize"),
            Self::Unavailable(_) => error_object!(-32603, "Service unavailable, try again later"),
            Self::MissingSessionId => error_object!(-32600, "Mcp-Session-Id header is required"),
            Self::SeveralSessionIds => error_object!(-32600, "Several Mcp-Session-Id headers"),
            Self::SeveralVersions => error_object!(-32600, "Several MCP-Protocol-Version headers"),
            Self::UnsupportedVersion => error_object!(-32600, "Unsupported MCP-Protocol-Version"),
            Self::BatchNotAllowed => error_object!(-32600, "Batch not allowed here"),
            Self::DuplicateMember => error_object!(-32600, "Duplicate member in message"),
            Self::AlreadyInitialized => error_object!(-32600, "Session already initialized"),
            Self::InitializeRemoved => {
                error_object!(-32600, "No initialize in this protocol version")
            }
            Self::UnknownLastEventId => error_object!(-32600, "Unknown Last-Event-ID"),
            Self::TooLarge => error_object!(-32600, "Request too large"),
            Self::UnsupportedContentCoding => error_object!(-32600, "Content coding not supported"),
            Self::MethodNotAllowed { .. } => error_object!(-32600, "HTTP method not allowed"),
            Self::ForbiddenOrigin => error_object!(-32600, "Origin not allowed"),
            Self::ForbiddenHost => error_object!(-32600, "Host not allowed"),
        }
    }
}

/// How every error object begins; an id comes right after it.
const START: &str = r#"{"jsonrpc":"2.0""#;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;
    use crate::protocol::message::Peek;

    const ALL: [Refusal; 18] = [
        Refusal::SessionNotFound,
        Refusal::MissingSessionId,
        Refusal::SeveralSessionIds,
        Refusal::SeveralVersions,
        Refusal::UnsupportedVersion,
        Refusal::BatchNotAllowed,
        Refusal::DuplicateMember,
        Refusal::AlreadyInitialized,
        Refusal::InitializeRemoved,
        Refusal::UnknownLastEventId,
        Refusal::NotJson,
        Refusal::TooLarge,
        Refusal::UnsupportedContentCoding,
        Refusal::MethodNotAllowed { allow: "POST" },
        Refusal::ForbiddenOrigin,
        Refusal::ForbiddenHost,
        Refusal::BadInitializeAnswer,
        Refusal::Unavailable(Unavailable::Store),
    ];

    fn json(body: &Bytes) -> Value {
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn rule_31_without_an_id_the_member_is_absent() {
        let mut messages = HashSet::new();
        for refusal in ALL {
            let body = json(&refusal.body(None));
            assert_eq!(body["jsonrpc"], "2.0");
            assert!(body.get("id").is_none(), "{refusal:?}");
            assert!(matches!(
                body["error"]["code"].as_i64(),
                Some(-32001 | -32700 | -32600 | -32603)
            ));
            let message = body["error"]["message"].as_str().unwrap().to_owned();
            assert!(
                messages.insert(message),
                "{refusal:?} says what another one says"
            );
        }
    }

    #[test]
    fn rule_31_id_is_echoed_byte_for_byte() {
        for id in [
            "0",
            "-7",
            "123456789012345678901234567890",
            r#""\u0061\/""#,
            r#""""#,
        ] {
            let request = format!(r#"{{"id":{id},"method":"x"}}"#);
            let peek = Peek::parse(request.as_bytes()).unwrap();
            for refusal in ALL {
                let body = refusal.body(peek.request_id());
                let start = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"#);
                assert!(body.starts_with(start.as_bytes()), "{body:?}");
                assert_eq!(json(&body)["error"], json(&refusal.body(None))["error"]);
            }
        }
    }

    #[test]
    fn rule_32_session_not_found_is_what_clients_look_for() {
        let body = Refusal::SessionNotFound.body(None);
        assert_eq!(
            body,
            r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"}}"#
        );
        assert_eq!(Refusal::SessionNotFound.status(), 404);
    }

    #[test]
    fn refusals_have_the_status_of_the_design() {
        let statuses: HashSet<u16> = ALL
            .iter()
            .map(|refusal| refusal.status().as_u16())
            .collect();
        // Promise 6: never 401, 409 or 500, which clients take for something else.
        assert_eq!(
            statuses,
            HashSet::from([400, 403, 404, 405, 413, 415, 502, 503])
        );
        assert_eq!(Refusal::Unavailable(Unavailable::Full).status(), 503);
        assert_eq!(Refusal::MethodNotAllowed { allow: "POST" }.status(), 405);
    }
}
