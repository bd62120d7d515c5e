//! `FileStore`: the contract of all stores, and what its own documentation promises of files, crashes and processes.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may unwrap as tests do"
)]

#[path = "stores_file/bars.rs"]
mod bars;
#[path = "stores_file/damage.rs"]
mod damage;
#[path = "stores_file/files.rs"]
mod files;
#[path = "stores_file/histories.rs"]
mod histories;
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

use fs4::FileExt;
use tempfile::TempDir;
use tower_mcp_session::store::{
    FileStore, HistoryStore, SessionIndex, SessionPage, StoreError, StoreErrorKind, Stored,
};
use tower_mcp_session::testing::{
    history_contract, index_contract, shared_store_contract, store_contract,
};
use tower_mcp_session::{
    Clock, Handshake, HistoryLimits, Message, NewSession, OwnerTag, Principal, ProtocolVersion,
    Role, SessionId, SessionKey, SessionRecord, SessionStore, SystemClock, Timestamp, Values,
};

store_contract!(file, in_a_new_folder());
shared_store_contract!(two_handles, two_handles());
history_contract!(histories_of_two_handles, two_handles());
index_contract!(index_of_two_handles, two_handles());

thread_local!(static FOLDERS: RefCell<Vec<TempDir>> = RefCell::default());

const HOUR: Duration = Duration::from_secs(3600);

/// A store in a folder that goes with the thread of its test.
fn in_a_new_folder() -> FileStore {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    FOLDERS.with_borrow_mut(|folders| folders.push(folder));
    store
}

/// Two stores opened on one folder.
fn two_handles() -> (FileStore, FileStore) {
    let first = in_a_new_folder();
    let second = FOLDERS.with_borrow(|folders| {
        let folder = folders.last().expect("one was just made");
        FileStore::open(folder.path()).unwrap()
    });
    (first, second)
}

/// A record with one value, called `value`, that ends in a day.
fn record(value: &str) -> SessionRecord {
    let params = serde_json::value::to_raw_value("params").unwrap();
    let handshake = Arc::new(Handshake::new(params, ProtocolVersion::V2025_11_25));
    let mut values = Values::default();
    values.insert("value", value).unwrap();
    let now = SystemClock.now();
    SessionRecord::new(now, now.saturating_add(HOUR * 24), Some(owner()), handshake)
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

async fn list(
    store: &FileStore,
    now: Timestamp,
    after: Option<SessionKey>,
    limit: usize,
) -> Result<SessionPage, StoreError> {
    let index = index(store);
    index.list(now, None, after.as_ref(), limit).await
}

async fn count(store: &FileStore, now: Timestamp) -> Result<u64, StoreError> {
    index(store).count(now).await
}

/// Ends all sessions of the owner that [`record`] names, created up to `not_before`.
async fn bar(store: &FileStore, not_before: Timestamp) -> Result<(), StoreError> {
    let until = not_before.saturating_add(HOUR * 24);
    index(store).bar(&owner(), not_before, until).await
}

fn owner() -> OwnerTag {
    OwnerTag::of(&Principal::new("alice"))
}

fn index(store: &FileStore) -> &dyn SessionIndex {
    store.index().expect("the store has an index")
}

fn history(store: &FileStore) -> &dyn HistoryStore {
    store.history().expect("the store keeps histories")
}

async fn append(store: &FileStore, key: &SessionKey, text: &str) -> Result<(), StoreError> {
    let now = SystemClock.now();
    let message = Message::new(Role::User, text, now).unwrap();
    let (history, limits) = (history(store), HistoryLimits::default());
    history.append(key, now, vec![message], limits).await
}

/// The texts that [`append`] was given.
async fn said(store: &FileStore, key: &SessionKey) -> Result<Vec<String>, StoreError> {
    let recent = history(store).recent(key, SystemClock.now(), usize::MAX);
    let texts = recent
        .await?
        .into_iter()
        .map(|message| message.content_as());
    Ok(texts.map(Result::unwrap).collect())
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

/// Where the store keeps the history of the session of `key`.
fn history_file(folder: &Path, key: &SessionKey) -> PathBuf {
    let name = key.to_string();
    folder.join("histories").join(&name[..2]).join(name)
}

/// Where the store keeps until when the sessions of [`owner`] were ended.
fn mark_file(folder: &Path) -> PathBuf {
    let name = SessionKey::from(*owner().as_bytes());
    folder.join("barred").join(name.to_string())
}

/// The lock of the part in which the session of `key` lies, as another process has it.
fn hold_lock(folder: &Path, key: &SessionKey) -> fs::File {
    let lock = part(folder, key).join("lock");
    let lock = fs::File::options().write(true).open(lock).unwrap();
    FileExt::lock(&lock).unwrap();
    lock
}

/// A file that whoever reads it waits at.
#[cfg(unix)]
fn make_pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

/// Comes back when somebody has opened the pipe to read it.
#[cfg(unix)]
async fn open_pipe(path: &Path) -> fs::File {
    let path = path.to_owned();
    let open = move || fs::File::options().write(true).open(path).unwrap();
    tokio::task::spawn_blocking(open).await.unwrap()
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
