//! What tests of a store, of a server behind the layer, or of this crate itself need.
//!
//! - [`store`]: the contract of [`SessionStore`](crate::store::SessionStore), one function per promise, and
//!   [`store_contract!`], which runs all of them against a store of yours; [`shared_store_contract!`] does so for
//!   what two handles to the same data owe each other.
//! - [`ManualClock`]: time that passes when a test says so.
//! - [`FaultyStore`]: a store that fails, hangs or lacks abilities on command, and counts its calls.
//! - [`ScriptedService`]: stands for the MCP server inside the layer.
//!
//! Nothing here sleeps: what a test must wait for has a method that ends when it has happened. Everything grows
//! with what is done to it and has no limit: it is for tests only.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use tower_mcp_session::store::StoreErrorKind;
//! use tower_mcp_session::testing::{FaultyStore, ManualClock, Operation};
//! use tower_mcp_session::{Clock, MemoryStore, SessionId, SessionStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = ManualClock::new();
//! let store = FaultyStore::new(MemoryStore::new());
//! store.fail_next(Operation::Load, StoreErrorKind::Unavailable);
//!
//! let id = SessionId::random()?;
//! let error = store.load("/mcp", &id, clock.now()).await.unwrap_err();
//! assert_eq!(error.kind(), StoreErrorKind::Unavailable);
//!
//! clock.advance(Duration::from_secs(60));
//! assert!(store.load("/mcp", &id, clock.now()).await?.is_none());
//! assert_eq!(store.calls(Operation::Load), 2);
//! # Ok(())
//! # }
//! ```

mod clock;
mod faults;
mod service;
mod shared;
pub mod store;

pub use clock::ManualClock;
pub use faults::{FaultyStore, Operation};
pub use service::{Answer, ScriptedBody, ScriptedService, ScriptedStream, SeenRequest};
pub use store::{history_contract, index_contract, shared_store_contract, store_contract};
