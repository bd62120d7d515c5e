//! Stores, and ids of them.

use std::sync::Arc;
use std::time::Duration;

use hkdf::Hkdf;
use serde_json::json;
use sha2::Sha256;
use tower_mcp_session::store::{KeyRing, SignedStore, SigningKey};
use tower_mcp_session::{
    Handshake, MemoryStore, NewSession, Principal, ProtocolVersion, SessionId, SessionRecord,
    SessionStore, Timestamp,
};

pub(crate) const AUDIENCE: &str = "/mcp";
pub(crate) const SERVICE: &str = "https://mcp.example.com";
const SECRET: [u8; 32] = [7; 32];

/// What an id says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// An ordinary client, nobody knows who.
    Anonymous,
    /// The same, with an owner.
    Owned,
    /// A session in a store behind the id.
    Backed,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Anonymous, Self::Owned, Self::Backed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "an ordinary client",
            Self::Owned => "an ordinary client with an owner",
            Self::Backed => "a backed id",
        }
    }
}

pub(crate) fn signed(kind: Kind) -> SignedStore {
    let key = SigningKey::from_bytes("2026-11", &SECRET).expect("32 bytes");
    let store = SignedStore::new(KeyRing::new(key), SERVICE);
    match kind {
        Kind::Backed => store.with_backing(MemoryStore::new()),
        Kind::Anonymous | Kind::Owned => store,
    }
}

/// The key that the docs of the store derive.
pub(crate) fn derived_key() -> [u8; 32] {
    let mut key = [0; 32];
    let info = format!("mcp-session\0session-id\0{SERVICE}");
    Hkdf::<Sha256>::new(None, &SECRET)
        .expand(info.as_bytes(), &mut key)
        .expect("32 bytes can be derived");
    key
}

/// An id that was minted at `now`.
pub(crate) fn id_of(store: &SignedStore, kind: Kind, now: Timestamp) -> SessionId {
    let params = json!({
        "capabilities": { "elicitation": {}, "roots": { "listChanged": true }, "sampling": {} },
        "clientInfo": { "name": "claude-code", "version": "2.1.205" },
        "protocolVersion": "2025-11-25",
    });
    let params = serde_json::value::to_raw_value(&params).expect("a value is JSON");
    let handshake = Arc::new(Handshake::new(params, ProtocolVersion::V2025_11_25));
    let candidate = SessionId::random().expect("random bits");
    let owner = match kind {
        Kind::Owned => Some(store.owner_tag(&candidate, &Principal::new("alice"))),
        Kind::Anonymous | Kind::Backed => None,
    };
    let end = now.saturating_add(Duration::from_secs(7 * 24 * 3600));
    let record = SessionRecord::new(now, end, owner, handshake);
    let new = NewSession::new(AUDIENCE, record, now, end);
    let create = store.create(&candidate, new);
    let stored = tokio_test::block_on(create).expect("an id can be signed");
    stored.id
}
