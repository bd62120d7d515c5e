//! The folder: where files lie, and the locks that processes take turns by.
//!
//! `ab/` holds the sessions whose keys begin with the byte `ab`, each in a file named by its key. Beside them lie
//! `lock`, which whoever writes in `ab/` holds, and for as long as a write takes `next`, the file that is about to get
//! a session's name. Since all writes in `ab/` are done under its lock, a `next` that is found under it was left by a
//! process that died.
//!
//! `histories/ab/` holds the histories of the sessions in `ab/`, under the same names and the same lock, and `barred/` a
//! file for each owner whose sessions were all ended, under the lock of the part that its name begins with. Versions of
//! this crate that know of neither do not look there.
//!
//! `sessions-of-tower-mcp-session`, at the top, says that the folder is the one that was opened. Without it the disk is
//! not there, and its sessions are not gone.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use fs4::{FileExt, TryLockError};

use super::platform;
use crate::clock;
use crate::config;
use crate::session::{OwnerTag, SessionKey};
use crate::store::{StoreError, StoreErrorKind};

/// The folder that a store was opened on.
#[derive(Clone)]
pub(super) struct Folder(PathBuf);

/// The right to write in a part of the folder, of all processes. It ends with the value, and with the process: the
/// operating system takes it from one that dies.
pub(super) struct Lock {
    part: PathBuf,
    _file: File,
}

/// What a part of the folder holds, in the order of keys.
#[derive(Default)]
pub(super) struct Names {
    pub(super) keys: Vec<SessionKey>,
    pub(super) foreign: Vec<OsString>,
    /// Whether there is a file that has no session's name yet, or will never have one.
    pub(super) next: bool,
}

impl Folder {
    /// Opens the folder, and tries whether locks and writes work there.
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        let created = platform::folders().recursive(true).create(root);
        created.map_err(unavailable)?;
        // The process may change its working directory later.
        let folder = Self(root.canonicalize().map_err(unavailable)?);
        folder.put_sign().map_err(unavailable)?;
        let lock = folder.lock(0)?;
        lock.write_next(b"").map_err(unavailable)?;
        lock.remove_next().map_err(unavailable)?;
        Ok(folder)
    }

    /// The file of a session.
    pub(super) fn file(&self, key: &SessionKey) -> PathBuf {
        self.part(part_of(key)).join(key.to_string())
    }

    /// The file of a session's history.
    pub(super) fn history(&self, key: &SessionKey) -> PathBuf {
        self.histories(part_of(key)).join(key.to_string())
    }

    /// The file that says until when the sessions of `owner` were ended. It is spelled as a key is.
    pub(super) fn mark(&self, owner: &OwnerTag) -> PathBuf {
        let name = SessionKey::from(*owner.as_bytes());
        self.0.join(BARRED).join(name.to_string())
    }

    /// What lies in a part of the folder; nothing if nobody wrote there yet.
    pub(super) fn names(&self, part: u8) -> io::Result<Names> {
        self.names_in(&self.part(part), |key| part_of(key) == part)
    }

    /// The histories of the sessions in a part of the folder.
    pub(super) fn history_names(&self, part: u8) -> io::Result<Names> {
        self.names_in(&self.histories(part), |key| part_of(key) == part)
    }

    /// The marks of owners.
    pub(super) fn marks(&self) -> io::Result<Names> {
        self.names_in(&self.0.join(BARRED), |_| true)
    }

    /// Whether anybody wrote in a part of the folder.
    pub(super) fn has_part(&self, part: u8) -> io::Result<bool> {
        match self.part(part).try_exists()? {
            true => Ok(true),
            false => self.check_sign().map(|()| false),
        }
    }

    /// Makes the place where `path` will lie, if it is not there, on the disk too.
    ///
    /// One without a file may be that of a process which died before it was on the disk.
    pub(super) fn make_room_for(&self, path: &Path) -> io::Result<()> {
        let holds_files =
            |place: &&Path| fs::read_dir(place).is_ok_and(|mut files| files.next().is_some());
        let Some(place) = path.parent().filter(|place| !holds_files(place)) else {
            return Ok(());
        };
        self.check_sign()?;
        platform::folders().recursive(true).create(place)?;
        let mut above = place.ancestors().skip(1);
        let mut ours = above
            .by_ref()
            .take_while(|above| above.starts_with(&self.0));
        ours.try_for_each(platform::sync_folder)
    }

    fn names_in(&self, place: &Path, belongs: impl Fn(&SessionKey) -> bool) -> io::Result<Names> {
        let mut names = Names::default();
        let entries = match fs::read_dir(place) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return self.check_sign().map(|()| names);
            }
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            match name.to_str() {
                Some(LOCK) => {}
                Some(NEXT) => names.next = true,
                text => match text.and_then(|text| text.parse().ok()).filter(&belongs) {
                    Some(key) => names.keys.push(key),
                    None => names.foreign.push(name),
                },
            }
        }
        names.keys.sort_unstable();
        Ok(names)
    }

    /// Waits for the lock of a part, blocking the thread.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`] if another process holds it for too long: nothing has happened then, and the
    /// caller learns it while a store call may still take its time.
    pub(super) fn lock(&self, part: u8) -> Result<Lock, StoreError> {
        let part = self.part(part);
        let file = self.open_lock(&part).map_err(unavailable)?;
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            // By its full name: newer standard libraries have a method of the same name.
            match FileExt::try_lock(&file) {
                Ok(()) => return Ok(Lock { part, _file: file }),
                Err(TryLockError::WouldBlock) if since.elapsed() < config::FILE_LOCK_TIMEOUT => {}
                Err(error) => return Err(unavailable(error.into())),
            }
            // Not in step with others who wait.
            thread::sleep(pause + Duration::from_micros(clock::spread(FIRST_PAUSE_MICROS)));
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    fn part(&self, part: u8) -> PathBuf {
        self.0.join(format!("{part:02x}"))
    }

    fn histories(&self, part: u8) -> PathBuf {
        self.0.join(HISTORIES).join(format!("{part:02x}"))
    }

    /// # Errors
    ///
    /// If the folder is not the one that was opened: what is missing there is not gone.
    pub(super) fn check_sign(&self) -> io::Result<()> {
        fs::metadata(self.0.join(SIGN)).map(drop)
    }

    fn put_sign(&self) -> io::Result<()> {
        let mut options = platform::options();
        let options = options.write(true).create(true).truncate(false);
        options.open(self.0.join(SIGN))?.sync_all()?;
        platform::sync_folder(&self.0)
    }

    /// Where there is a lock, the part is on the disk: one without may be that of a process which died before it was.
    fn open_lock(&self, part: &Path) -> io::Result<File> {
        let open = |create| {
            let mut options = platform::options();
            let options = options.write(true).create(create).truncate(false);
            options.open(part.join(LOCK))
        };
        match open(false) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.check_sign()?;
                match platform::folders().create(part) {
                    Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                    _ => platform::sync_folder(&self.0)?,
                }
                open(true)
            }
            opened => opened,
        }
    }
}

impl Lock {
    /// Puts a whole file in the place of `path`, which is written under this lock only: whoever opens it sees the old one
    /// or the new one, also after a crash.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::OutcomeUnknown`] if the new file is in place and may not survive a crash.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let written = self
            .write_next(bytes)
            .and_then(|()| fs::rename(self.part.join(NEXT), path));
        if let Err(error) = written {
            // It takes up room, and harms nothing: the next write begins with its removal.
            drop(self.remove_next());
            return Err(unavailable(error));
        }
        platform::sync_folder(path.parent().unwrap_or(&self.part))
            .map_err(|error| StoreError::new(StoreErrorKind::OutcomeUnknown, error))
    }

    /// Removes what a process that died was about to write; nothing if there is nothing.
    pub(super) fn remove_next(&self) -> io::Result<()> {
        match fs::remove_file(self.part.join(NEXT)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn write_next(&self, bytes: &[u8]) -> io::Result<()> {
        self.remove_next()?;
        let mut options = platform::options();
        let mut file = options
            .write(true)
            .create_new(true)
            .open(self.part.join(NEXT))?;
        file.write_all(bytes)?;
        file.sync_all()
    }
}

/// The part of the folder in which a session lies.
pub(super) fn part_of(key: &SessionKey) -> u8 {
    key.as_bytes()[0]
}

/// Each error of the operating system that is not told apart: later it may work.
pub(super) fn unavailable(error: io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, error)
}

const SIGN: &str = "sessions-of-tower-mcp-session";
const LOCK: &str = "lock";
const NEXT: &str = "next";
const HISTORIES: &str = "histories";
const BARRED: &str = "barred";
const FIRST_PAUSE_MICROS: u64 = 50;
const FIRST_PAUSE: Duration = Duration::from_micros(FIRST_PAUSE_MICROS);
const LONGEST_PAUSE: Duration = Duration::from_millis(2);
