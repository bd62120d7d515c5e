//! The text of an id: a JSON Web Signature in compact form (RFC 7515), `HEADER.CLAIMS.SIGNATURE`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::claims::Claims;
use super::ready::ReadyKey;
use crate::session::{SessionId, SessionRecord};

/// The parts of what may be an id; of what is none, empty ones.
#[derive(Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) header: &'a [u8],
    pub(super) claims: &'a [u8],
    signature: &'a [u8],
    /// What the signature is made over: the first two, with the dot between them.
    pub(super) signed: &'a [u8],
}

impl<'a> Token<'a> {
    /// What is not three parts has an empty signature, which none is.
    pub(super) fn split(text: &'a [u8]) -> Self {
        // A dot more would be a part of the claims, where base64 has none.
        match (memchr::memchr(b'.', text), memchr::memrchr(b'.', text)) {
            (Some(first), Some(last)) if first < last => Self {
                header: &text[..first],
                claims: &text[first + 1..last],
                signature: &text[last + 1..],
                signed: &text[..last],
            },
            _ => Self {
                header: &[],
                claims: &[],
                signature: &[],
                signed: text,
            },
        }
    }

    /// The bytes of the signature, which have one spelling; `None` if they are not 32.
    pub(super) fn signature(&self) -> Option<[u8; 32]> {
        let mut bytes = [0; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(self.signature, &mut bytes);
        (length == Ok(bytes.len())).then_some(bytes)
    }

    /// The claims as JSON. Only of a token that is verified.
    pub(super) fn json(&self) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(self.claims).ok()
    }

    /// The record that its claims stand for. Only of a token that is verified.
    pub(super) fn record(&self) -> Option<SessionRecord> {
        let json = self.json()?;
        let claims: Claims<'_> = serde_json::from_slice(&json).ok()?;
        claims.record()
    }
}

/// The id that `key` makes of `claims`; `None` if it would be too long.
pub(super) fn sign(key: &ReadyKey, claims: &Claims<'_>) -> Option<SessionId> {
    let claims = serde_json::to_vec(claims).ok()?;
    let mut text = String::with_capacity(SessionId::MAX_LEN);
    text.push_str(&key.header);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut text);
    let signature = key.sign(text.as_bytes());
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    SessionId::parse(text.as_bytes()).ok()
}

/// The header of ids that are signed with the key `kid`, which is written as it is.
pub(super) fn header(kid: &str) -> Box<str> {
    let json = format!(r#"{{"alg":"{ALGORITHM}","typ":"{TYPE}","kid":"{kid}"}}"#);
    URL_SAFE_NO_PAD.encode(json).into()
}

/// The key that a header names; `None` if it is not one of ours: another algorithm, another type, anything more.
pub(super) fn kid_of(header: &[u8]) -> Option<Box<str>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Header {
        alg: Box<str>,
        typ: Box<str>,
        kid: Box<str>,
    }
    let json = URL_SAFE_NO_PAD.decode(header).ok()?;
    let header: Header = serde_json::from_slice(&json).ok()?;
    (&*header.alg == ALGORITHM && &*header.typ == TYPE).then_some(header.kid)
}

const ALGORITHM: &str = "HS256";
const TYPE: &str = "mcp-session+jwt";
