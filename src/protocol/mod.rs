//! MCP's words: headers, messages, refusals, and the one decision about each request.
//!
//! Everything here is pure. Nothing waits, reads a clock or asks a store; what such a question
//! would answer is a parameter. That is why `request::classify` can be tested in every cell.

mod version;

pub(crate) mod header;

mod json;

pub(crate) mod message;

pub(crate) mod cause;
pub(crate) mod error;
pub(crate) mod initialize;

mod facts;

pub(crate) mod request;
pub(crate) mod spoken;
pub(crate) mod sse;

pub use cause::RefusalCause;
pub use version::{InvalidProtocolVersion, ProtocolVersion};
