//! What is acknowledged is there after a power cut: the names of files and folders are on the disk too.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::value::RawValue;
use tempfile::TempDir;

use super::bars::Bar;
use super::folder::Folder;
use super::platform::{Synced, synced};
use super::{history, writing};
use crate::protocol::ProtocolVersion;
use crate::session::{
    Handshake, HistoryLimits, Message, NewSession, OwnerTag, Principal, Role, SessionId,
    SessionRecord, Timestamp,
};
use crate::store::Stored;

#[test]
fn a_folder_that_was_opened_is_on_the_disk() {
    let (temporary, _) = opened();
    let all = synced();
    for name in ["00", "sessions-of-tower-mcp-session"] {
        let path = root(&temporary).join(name);
        assert!(is_on_disk(&all, &temporary, &path), "{name}");
    }
}

#[test]
fn a_session_is_on_the_disk_with_the_names_above_it() {
    let (temporary, folder) = opened();
    let stored = new_session();
    synced();
    writing::create(&folder, &stored).unwrap();
    let path = folder.file(&stored.key);
    assert!(is_on_disk(&synced(), &temporary, &path));

    writing::save(&folder, &stored.key, &stored.record, stored.revision).unwrap();
    assert!(
        is_named(&synced(), &path),
        "a `save` puts another file there"
    );
}

#[test]
fn a_history_is_on_the_disk_with_the_names_above_it_and_so_is_its_end() {
    let (temporary, folder) = opened();
    let stored = new_session();
    writing::create(&folder, &stored).unwrap();
    let path = folder.history(&stored.key);
    synced();
    append(&folder, &stored);
    assert!(is_on_disk(&synced(), &temporary, &path));
    append(&folder, &stored);
    assert!(
        is_named(&synced(), &path),
        "each append puts another file there"
    );

    history::clear(&folder, &stored.key, Timestamp::EPOCH).unwrap();
    let place = path.parent().unwrap();
    assert!(synced().iter().any(|(folder, _)| folder == place));
}

#[test]
fn a_mark_is_on_the_disk_with_the_names_above_it() {
    let (temporary, folder) = opened();
    let owner = OwnerTag::of(&Principal::new("alice"));
    synced();
    let bar = Bar::new(Timestamp::EPOCH, Timestamp::NEVER);
    bar.put(&folder, &owner).unwrap();
    assert!(is_on_disk(&synced(), &temporary, &folder.mark(&owner)));
}

/// It was killed after it had made a folder, and before that was on the disk.
#[test]
fn what_a_process_that_died_has_made_is_on_the_disk_before_it_is_used() {
    let (temporary, folder) = opened();
    let stored = new_session();
    let (path, said) = (folder.file(&stored.key), folder.history(&stored.key));
    for path in [&path, &said] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
    }
    synced();
    writing::create(&folder, &stored).unwrap();
    assert!(is_on_disk(&synced(), &temporary, &path));
    append(&folder, &stored);
    assert!(is_on_disk(&synced(), &temporary, &said));
}

fn opened() -> (TempDir, Folder) {
    let temporary = TempDir::new().unwrap();
    let folder = Folder::open(temporary.path()).unwrap();
    (temporary, folder)
}

fn root(temporary: &TempDir) -> PathBuf {
    temporary.path().canonicalize().unwrap()
}

/// A session that is not in the part of the folder which is tried when that is opened.
fn new_session() -> Stored {
    let params = RawValue::from_string("{}".to_owned()).unwrap();
    let handshake = Arc::new(Handshake::new(params, ProtocolVersion::V2025_11_25));
    let record = SessionRecord::new(Timestamp::EPOCH, Timestamp::NEVER, None, handshake);
    loop {
        let (id, record) = (SessionId::random().unwrap(), record.clone());
        let new = NewSession::new("/mcp", record, Timestamp::EPOCH, Timestamp::NEVER);
        let stored = Stored::created(id, new);
        if stored.key.as_bytes()[0] != 0 {
            return stored;
        }
    }
}

fn append(folder: &Folder, stored: &Stored) {
    let message = Message::new(Role::User, "said", Timestamp::EPOCH).unwrap();
    let (now, limits) = (Timestamp::EPOCH, HistoryLimits::default());
    history::append(folder, &stored.key, now, vec![message], limits).unwrap();
}

/// Whether each name that leads to `path` was in its folder when that was written to the disk.
fn is_on_disk(all: &[Synced], temporary: &TempDir, path: &Path) -> bool {
    let root = root(temporary);
    let mut names = path.ancestors().take_while(|path| *path != root);
    names.all(|path| is_named(all, path))
}

fn is_named(all: &[Synced], path: &Path) -> bool {
    let name = path.file_name().map(OsStr::to_owned).unwrap();
    let place = path.parent().unwrap();
    all.iter()
        .any(|(folder, names)| folder == place && names.contains(&name))
}
