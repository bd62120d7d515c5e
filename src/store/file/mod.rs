//! Sessions in files, one for each: [`FileStore`].
//!
//! - `folder`: where files lie, locks, files put in place as a whole
//! - `format`: the bytes of a file
//! - `record`: records as JSON
//! - `entry`: reading a file, and writing into it
//! - `writing`, `cleaning`, `listing`: what a store does with them
//! - `jobs`: threads that may block

mod cleaning;
mod entry;
mod folder;
mod format;
mod jobs;
mod listing;
#[cfg(not(unix))]
#[path = "other.rs"]
mod platform;
#[cfg(unix)]
#[path = "unix.rs"]
mod platform;
mod store;
mod writing;

pub use store::FileStore;
