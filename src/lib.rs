//! Session management for Model Context Protocol servers, as a tower layer.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod protocol;

mod session;

mod clock;

mod config;

mod sharded;

pub mod store;

mod manager;

mod middleware;

#[cfg(feature = "axum")]
pub mod axum;

pub use clock::{Clock, SystemClock};
pub use config::WhenFull;
pub use manager::{Scope, SessionContext, SessionError};
pub use middleware::{
    MissingId, Modern, PrincipalExtractor, RequestBody, ResponseBody, ResponseFuture, Session,
    SessionLayer, StaleNotification, UnknownId,
};
pub use protocol::{InvalidProtocolVersion, ProtocolVersion};
pub use session::{
    ClientInfo, Fingerprint, Handshake, InvalidSessionId, InvalidTransition, NewSession, OwnerTag,
    Principal, RandomSourceError, SessionId, SessionKey, SessionRecord, SessionState, Timestamp,
    Values, ValuesError,
};
pub use store::{MemoryStore, SessionStore};
