//! `FileStore`: the contract of all stores, and what its own documentation promises of files, crashes and processes.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may unwrap as tests do"
)]

use std::cell::RefCell;

use tempfile::TempDir;
use tower_mcp_session::store::FileStore;
use tower_mcp_session::testing::store_contract;

store_contract!(file, in_a_new_folder());

/// A store in a folder that goes with the thread of its test.
fn in_a_new_folder() -> FileStore {
    thread_local!(static FOLDERS: RefCell<Vec<TempDir>> = RefCell::default());
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    FOLDERS.with_borrow_mut(|folders| folders.push(folder));
    store
}
