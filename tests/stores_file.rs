//! `FileStore`: the contract of all stores, and what its own documentation promises of files, crashes and processes.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may unwrap as tests do"
)]

#[path = "stores_file/damage.rs"]
mod damage;
#[path = "stores_file/files.rs"]
mod files;
#[path = "stores_file/lists.rs"]
mod lists;
#[path = "support/log.rs"]
mod log;
#[cfg(unix)]
#[path = "stores_file/processes.rs"]
mod processes;
#[path = "stores_file/sharing.rs"]
mod sharing;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tower_mcp_session::store::{FileStore, StoreError, StoreErrorKind, Stored};
use tower_mcp_session::testing::{shared_store_contract, store_contract};
use tower_mcp_session::{
    Clock, Handshake, NewSession, OwnerTag, Principal, ProtocolVersion, SessionId, SessionKey,
    SessionRecord, SessionStore, SystemClock, Timestamp, Values,
};

store_contract!(file, in_a_new_folder());
shared_store_contract!(two_handles, {
    let first = in_a_new_folder();
    let second = FOLDERS.with_borrow(|folders| {
        let folder = folders.last().expect("one was just made");
        FileStore::open(folder.path()).unwrap()
    });
    (first, second)
});

thread_local!(static FOLDERS: RefCell<Vec<TempDir>> = RefCell::default());

const HOUR: Duration = Duration::from_secs(3600);

/// A store in a folder that goes with the thread of its test.
fn in_a_new_folder() -> FileStore {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    FOLDERS.with_borrow_mut(|folders| folders.push(folder));
    store
}

/// A record with one value, called `value`, that ends in a day.
fn record(value: &str) -> SessionRecord {
    let params = serde_json::value::to_raw_value("params").unwrap();
    let handshake = Arc::new(Handshake::new(params, ProtocolVersion::V2025_11_25));
    let mut values = Values::default();
    values.insert("value", value).unwrap();
    let (now, owner) = (SystemClock.now(), OwnerTag::of(&Principal::new("alice")));
    SessionRecord::new(now, now.saturating_add(HOUR * 24), Some(owner), handshake)
        .with_values(values)
}

/// A session that ends in an hour for want of use.
async fn begin(store: &FileStore, value: &str) -> Result<Stored, StoreError> {
    begin_as(store, &SessionId::random().unwrap(), value).await
}

async fn begin_as(store: &FileStore, id: &SessionId, value: &str) -> Result<Stored, StoreError> {
    let now = SystemClock.now();
    let new = NewSession::new("/mcp", record(value), now, now.saturating_add(HOUR));
    store.create(id, new).await
}

async fn save(store: &FileStore, read: &Stored, value: &str) -> Result<(), StoreError> {
    let saved = store.save(&read.key, Arc::new(record(value)), read.revision);
    saved.await.map(drop)
}

async fn load(store: &FileStore, id: &SessionId) -> Result<Option<Stored>, StoreError> {
    store.load("/mcp", id, SystemClock.now()).await
}

async fn present(store: &FileStore, id: &SessionId) -> Stored {
    load(store, id)
        .await
        .unwrap()
        .expect("the session is there")
}

/// The time of a clean-up that removes what would end in an hour.
fn later() -> Timestamp {
    SystemClock.now().saturating_add(HOUR * 2)
}

#[track_caller]
fn fails_as<T: std::fmt::Debug>(kind: StoreErrorKind, result: Result<T, StoreError>) {
    assert_eq!(result.unwrap_err().kind(), kind);
}

/// Where the store keeps what lies beside the session of `key`.
fn part(folder: &Path, key: &SessionKey) -> PathBuf {
    folder.join(&key.to_string()[..2])
}

/// Where the store keeps the session of `key`.
fn file(folder: &Path, key: &SessionKey) -> PathBuf {
    part(folder, key).join(key.to_string())
}

/// All files and folders in `folder`.
fn everything(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(everything(&path));
        }
        all.push(path);
    }
    all
}
