//! As `unix`, and tells tests which folders were written to the disk, and what was in them: no test cuts the power.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

#[path = "unix.rs"]
mod unix;

/// A folder that was written to the disk, and the names in it.
pub(super) type Synced = (PathBuf, Vec<OsString>);

thread_local!(static SYNCED: RefCell<Vec<Synced>> = RefCell::default());

pub(super) fn options() -> OpenOptions {
    unix::options()
}

pub(super) fn folders() -> DirBuilder {
    unix::folders()
}

pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    unix::sync_folder(path)?;
    let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name()));
    let synced = (path.to_owned(), names.collect::<io::Result<_>>()?);
    SYNCED.with_borrow_mut(|all| all.push(synced));
    Ok(())
}

/// What this thread has synced since it asked the last time.
pub(super) fn synced() -> Vec<Synced> {
    SYNCED.take()
}
