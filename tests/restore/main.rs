//! Restore: a session that one instance began lives on at another, and where the inner service has lost its own.
//!
//! Two layers share a store. Each has a server of its own inside, which knows nothing of the other's sessions.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "../support/sessions.rs"]
mod support;

mod again;
mod asking;
mod elsewhere;
mod failing;
mod faults;
mod grpc;
mod leaving;
mod many;
mod meanwhile;
mod once;
mod pair;
mod replaying;
mod rmcp;
