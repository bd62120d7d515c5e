//! Sessions in files, one for each: [`FileStore`].
//!
//! - `folder`: where files lie, locks, files put in place as a whole
//! - `format`: the bytes of a file
//! - `entry`: reading a file, and writing into it
//! - `sealed`: files without places to write into
//! - `history`, `bars`: what is kept beside sessions
//! - `writing`, `cleaning`, `listing`: what a store does with them
//! - `store`, `beside`: the store
//! - `jobs`: threads that may block

mod bars;
mod beside;
mod cleaning;
mod entry;
mod folder;
mod format;
mod history;
mod jobs;
mod listing;
#[cfg(not(unix))]
#[path = "other.rs"]
mod platform;
#[cfg(all(unix, not(test)))]
#[path = "unix.rs"]
mod platform;
#[cfg(all(unix, test))]
#[path = "watched.rs"]
mod platform;
mod sealed;
mod store;
#[cfg(test)]
#[cfg(unix)]
mod tests;
mod writing;

pub use store::FileStore;
