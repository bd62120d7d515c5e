//! The store itself: each call becomes work on files.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::cleaning::Cleaner;
use super::folder::{Folder, part_of};
use super::jobs::Jobs;
use super::{entry, writing};
use crate::session::{NewSession, SessionId, SessionKey, SessionRecord, Timestamp};
use crate::store::{
    Capabilities, HistoryStore, Revision, SessionIndex, SessionStore, StoreError, Stored,
};

/// Keeps each session in a file of its own, in a folder of this machine: sessions outlive the process, and several
/// processes may use them at once.
///
/// A clone is another handle to the same sessions, and so is another store that was opened on the same folder.
///
/// It keeps histories and has an index. A history is a file beside that of its session, which an append reads and writes
/// as a whole. A list reads the files of its sessions, one of an owner those of all others too; `count` looks at the
/// beginning of each, and [`bar`](SessionIndex::bar) reads all of them: some ten thousand in a second.
///
/// # What the operator provides
///
/// - A folder on a local file system with working locks (ext4, XFS, Btrfs, APFS, NTFS). Not NFS or SMB, and not the
///   same volume in two machines: their locks and caches do not hold what is promised here. Several machines need
///   another store.
/// - All processes run as one user. On Unix files are made 0600 in folders of 0700, whatever the umask allows more; the
///   folder named to [`FileStore::open`] is made 0700 if it is missing, and left as it is if not: see to it that nobody
///   else can write there. Elsewhere files inherit their access from that folder. Nothing is encrypted.
/// - Room: a block of the file system, mostly 4 KiB, for each session, and more for large values. There is no limit of
///   its own on all files together: the layer limits the sessions of each process, a quota what they take.
/// - All processes have clocks that agree within a few seconds, and are of a version of this crate that knows histories
///   and bars: one that does not begins sessions of an owner who is barred, and leaves the histories of sessions that it
///   deletes to the clean-up of others.
/// - Do not rename, edit or remove single files while a process runs. The folder may be moved or copied while none
///   does.
///
/// # What holds at a crash
///
/// - *The process is killed*: everything that was acknowledged is there. What was under way has happened as a whole or
///   not at all. Locks are free at once, and half-written files are never looked at; clean-up removes them.
/// - *The machine stops or loses power*: what `create`, `save`, `delete`, `append`, `clear` and `bar` acknowledged is
///   there, as far as the disk keeps its word about what it has written; each waits for the disk. `touch` does not: sessions may have their last
///   use of some time ago again, on Linux 30 s or so. None is lost by that.
/// - *The disk is full*, or the folder cannot be written: `create` and `save` fail as
///   [`Unavailable`](crate::store::StoreErrorKind::Unavailable) and leave no trace; sessions can be read, touched and
///   deleted on a full disk all the same, where the file system can write over a file without more room.
/// - *A file is torn or foreign*: `load` says [`Corrupt`](crate::store::StoreErrorKind::Corrupt) of it, and all others
///   are served. Clean-up warns of it once in each process and leaves it alone; `delete` ends it. A history that is torn
///   is `Corrupt` too, until it is cleared; its session goes on. What remains of a history after its session, because
///   the process was killed in between, is removed by the next clean-up.
/// - *The folder disappears*, because its disk is no longer mounted: all calls fail as `Unavailable`, and no session
///   counts as gone.
///
/// # Limits
///
/// A record takes at most 16 MiB as JSON, and so does a history. 64 calls of a store use the disk at once, others wait. A call waits at most
/// 1.5 s for another process, then it fails as `Unavailable`. One clean-up looks at 10 000 files, the next goes on from
/// there. A deleted session keeps a file of 128 bytes until its absolute end, so that its id is not used again; if it has
/// none, for ever. An owner who was barred keeps one of 48 bytes until the time that was named then.
///
/// Writing to two sessions whose keys begin with the same byte is done one after the other. A read or a question takes
/// no lock.
///
/// Calls must be made in a tokio runtime: they use its threads for blocking work.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::SessionLayer;
/// use tower_mcp_session::store::FileStore;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let temporary = tempfile::tempdir()?;
/// # let folder = temporary.path().join("sessions");
/// let layer = SessionLayer::new(FileStore::open(&folder)?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FileStore {
    folder: Folder,
    jobs: Arc<Jobs>,
    cleaner: Arc<Cleaner>,
}

impl FileStore {
    /// Opens the store in `folder`, and creates it if it is missing.
    ///
    /// It tries a lock and a write, and blocks its thread for the milliseconds that takes.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`](crate::store::StoreErrorKind::Unavailable) if the folder cannot be created,
    /// locked or written.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, StoreError> {
        let folder = Folder::open(folder.as_ref())?;
        Ok(Self {
            cleaner: Arc::new(Cleaner::new(folder.clone())),
            jobs: Arc::new(Jobs::new()),
            folder,
        })
    }

    /// Does `work` in the folder, without a lock.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let folder = self.folder.clone();
        self.jobs.run(move || work(&folder)).await
    }

    /// Does `work` in the folder when it is this key's turn; it takes the lock.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        key: &SessionKey,
        work: impl FnOnce(&Folder) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_in(part_of(key), work).await
    }

    /// The same for a part of the folder.
    pub(super) async fn write_in<T: Send + 'static>(
        &self,
        part: u8,
        work: impl FnOnce(&Folder) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let folder = self.folder.clone();
        self.jobs.run_in_turn(part, move || work(&folder)).await
    }
}

/// Without the folder's name, which may be anything.
impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionStore for FileStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            shared: true,
            ..Capabilities::default()
        }
    }

    fn history(&self) -> Option<&dyn HistoryStore> {
        Some(self)
    }

    fn index(&self) -> Option<&dyn SessionIndex> {
        Some(self)
    }

    async fn create(&self, candidate: &SessionId, new: NewSession) -> Result<Stored, StoreError> {
        let stored = Stored::created(candidate.clone(), new);
        let key = stored.key;
        let create = move |folder: &Folder| writing::create(folder, &stored).map(|()| stored);
        self.write(&key, create).await
    }

    async fn load(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        let key = SessionKey::new(audience, id);
        let session = self.read(move |folder| entry::read(folder, &key)).await?;
        let session = session.filter(|session| !session.last_use.is_over(now));
        Ok(session.map(|session| {
            Stored::loaded(
                id.clone(),
                key,
                session.record,
                session.head.revision,
                session.last_use.activity,
                session.last_use.idle_deadline,
            )
        }))
    }

    async fn save(
        &self,
        key: &SessionKey,
        record: Arc<SessionRecord>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        let of = *key;
        let save = move |folder: &Folder| writing::save(folder, &of, &record, expected);
        self.write(key, save).await
    }

    async fn touch(
        &self,
        key: &SessionKey,
        now: Timestamp,
        idle_deadline: Option<Timestamp>,
    ) -> Result<Option<Revision>, StoreError> {
        let of = *key;
        let Some(deadline) = idle_deadline else {
            let found = self.read(move |folder| entry::ask(folder, &of)).await?;
            let alive = found.filter(|(_, last_use)| !last_use.is_over(now));
            return Ok(alive.map(|(head, _)| head.revision));
        };
        let touch = move |folder: &Folder| writing::touch(folder, &of, now, deadline);
        self.write(key, touch).await
    }

    async fn delete(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError> {
        let of = *key;
        let delete = move |folder: &Folder| writing::delete(folder, &of, now);
        self.write(key, delete).await
    }

    async fn delete_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        self.cleaner.clean(&self.jobs, now, limit).await
    }
}
