//! Files and folders where access is inherited from the folder above, and folders need no syncing.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::path::Path;

/// How files are opened.
pub(super) fn options() -> OpenOptions {
    OpenOptions::new()
}

/// How folders are created.
pub(super) fn folders() -> DirBuilder {
    DirBuilder::new()
}

/// Does nothing: a folder cannot be opened as a file here, and the file system keeps its names by itself.
pub(super) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
