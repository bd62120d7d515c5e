//! What a session is made of: ids, records, values, principals, expiry.
//!
//! Pure data. Nothing here waits, reads a clock or talks to a store; what depends on the time takes `now` as an
//! argument.

mod expiry;
mod history;
mod id;
mod principal;
mod record;
mod state;
mod values;

pub use expiry::Timestamp;
pub use history::{History, HistoryLimits, HistorySummary, Message, Role};
pub use id::{
    Fingerprint, InvalidSessionId, InvalidSessionKey, RandomSourceError, SessionId, SessionKey,
};
pub use principal::{OwnerTag, Principal};
pub use record::{ClientInfo, Handshake, NewSession, SessionRecord};
pub use state::{InvalidTransition, SessionState};
pub use values::{Values, ValuesError};

pub(crate) use expiry::Expiry;
