//! Several processes over one folder, and what the operating system may refuse them.
//!
//! Each test starts this program again, to run the same test: where [`FOLDER`] is set, it is the other process.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::sharing::increment;
use super::*;

#[tokio::test]
async fn killed_processes_lose_nothing_they_acknowledged_and_leave_no_lock() {
    if let Some(folder) = env::var_os(FOLDER) {
        return work_until_killed(Path::new(&folder)).await;
    }
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let shared = begin(&store, "value").await.unwrap();
    let start = |name: &str| Worker::start(folder.path(), &shared.id, name);
    let mut bystanders = ["one", "two"].map(start);
    let mut told = Vec::new();
    for n in 0..KILLS {
        // Each at another of its steps, while others work.
        told.push(start(&format!("killed {n}")).kill_after(3 + n));
    }
    told.extend(bystanders.iter_mut().map(|worker| worker.kill_after(30)));

    let page = list(&store, SystemClock.now(), None, 1000).await.unwrap();
    assert_eq!(page.unreadable, []);
    let record = present(&store, &shared.id).await.record;
    for process in &told {
        let count = record
            .values()
            .get::<u32>(&process.name)
            .unwrap()
            .unwrap_or(0);
        let what = format!("{count}, told {}, of {}", process.count, process.name);
        assert!(
            count == process.count || count == process.count + 1,
            "{what}"
        );
        for id in &process.kept {
            let session = present(&store, id).await;
            let texts = said(&store, &session.key).await.unwrap();
            assert_eq!(texts, ["first", "second"], "they were appended");
        }
        for id in &process.deleted {
            assert!(load(&store, id).await.unwrap().is_none());
            fails_as(
                StoreErrorKind::AlreadyExists,
                begin_as(&store, id, "again").await,
            );
        }
    }
    assert!(told.iter().map(|process| process.count).sum::<u32>() >= 10);
    assert!(told.iter().any(|process| !process.deleted.is_empty()));
    for path in everything(folder.path()) {
        if path.ends_with("lock") {
            FileExt::try_lock(&fs::File::open(path).unwrap()).unwrap();
        }
    }
    // Each process appended to this one too, after it had counted; of the last one nobody was told.
    let texts = said(&store, &shared.key).await.unwrap();
    for process in &told {
        let appended = texts.iter().filter(|text| **text == process.name).count();
        let last = process.count.saturating_sub(1) as usize;
        assert!(appended >= last, "{appended} of {}", process.count);
    }
    increment(&store, &shared.id, "afterwards").await;
    store.delete_expired(SystemClock.now(), 10).await.unwrap();
    let left = everything(folder.path());
    assert!(!left.iter().any(|path| path.ends_with("next")));
}

/// Uses the store without end, and tells of each thing once it has returned.
async fn work_until_killed(folder: &Path) {
    let store = FileStore::open(folder).unwrap();
    let (shared, name) = (env::var(SHARED).unwrap(), env::var(NAME).unwrap());
    let shared = SessionId::parse(shared.as_bytes()).unwrap();
    let shared_key = SessionKey::new("/mcp", &shared);
    loop {
        tell(
            "counted",
            &increment(&store, &shared, &name).await.to_string(),
        );
        append(&store, &shared_key, &name).await.unwrap();
        let kept = begin(&store, &"x".repeat(10_000)).await.unwrap();
        for text in ["first", "second"] {
            append(&store, &kept.key, text).await.unwrap();
        }
        store
            .touch(&kept.key, SystemClock.now(), Some(later()))
            .await
            .unwrap();
        tell("kept", &kept.id.expose());
        let deleted = begin(&store, "value").await.unwrap();
        assert!(store.delete(&deleted.key, SystemClock.now()).await.unwrap());
        tell("deleted", &deleted.id.expose());
    }
}

/// In one write: a line is told as a whole or not at all.
fn tell(what: &str, of: &str) {
    let line = format!("{what} {of}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

struct Worker {
    process: std::process::Child,
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
    name: String,
}

/// What a process has told before it was killed.
struct Told {
    name: String,
    count: u32,
    kept: Vec<SessionId>,
    deleted: Vec<SessionId>,
}

impl Worker {
    fn start(folder: &Path, shared: &SessionId, name: &str) -> Self {
        let test = "killed_processes_lose_nothing_they_acknowledged_and_leave_no_lock";
        let mut process = this_test(&env::current_exe().unwrap(), test)
            .env(FOLDER, folder)
            .env(SHARED, shared.expose())
            .env(NAME, name)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let name = name.to_owned();
        Self {
            process,
            lines,
            name,
        }
    }

    /// Kills the process once it has told this many things; what it told before it died counts too.
    fn kill_after(&mut self, lines: usize) -> Told {
        let mut all: Vec<_> = self
            .lines
            .by_ref()
            .take(lines)
            .map(Result::unwrap)
            .collect();
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        all.extend(self.lines.by_ref().map(Result::unwrap));
        let mut told = Told {
            name: self.name.clone(),
            count: 0,
            kept: Vec::new(),
            deleted: Vec::new(),
        };
        for line in &all {
            match line.split_once(' ').expect("a worker tells two words") {
                ("counted", count) => told.count = count.parse().unwrap(),
                ("kept", id) => told.kept.push(SessionId::parse(id.as_bytes()).unwrap()),
                ("deleted", id) => told.deleted.push(SessionId::parse(id.as_bytes()).unwrap()),
                _ => panic!("a worker has failed: {all:?}"),
            }
        }
        told
    }
}

/// Nobody else ends it.
impl Drop for Worker {
    fn drop(&mut self) {
        if self.process.kill().is_ok() {
            drop(self.process.wait());
        }
    }
}

/// The disk is played by a limit on the size of files: a write stops in the middle, as on a full one. That a new file
/// has no room at all, and that the disk says so only when it is synced, is not tried.
#[tokio::test]
async fn a_full_disk_loses_nothing_and_shows_nothing_half_made() {
    if let Some(folder) = env::var_os(FOLDER) {
        return fill_the_disk(Path::new(&folder)).await;
    }
    let folder = TempDir::new().unwrap();
    // 32 blocks, of 512 bytes or 1 KiB, and an error in place of a signal.
    let program = this_test(
        &env::current_exe().unwrap(),
        "a_full_disk_loses_nothing_and_shows_nothing_half_made",
    );
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 32; exec \"$0\" \"$@\""])
        .arg(program.get_program())
        .args(program.get_args())
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        folder.path().join("done").exists(),
        "the other process has run the test"
    );
}

async fn fill_the_disk(folder: &Path) {
    let store = FileStore::open(folder.join("sessions")).unwrap();
    let (small, large) = ("small", "x".repeat(60_000));
    let session = begin(&store, small).await.unwrap();
    let other = begin(&store, small).await.unwrap();
    let id = SessionId::random().unwrap();
    let now = SystemClock.now();

    fails_as(
        StoreErrorKind::Unavailable,
        begin_as(&store, &id, &large).await,
    );
    fails_as(
        StoreErrorKind::Unavailable,
        save(&store, &session, &large).await,
    );
    append(&store, &session.key, small).await.unwrap();
    let appended = append(&store, &session.key, &large).await;
    fails_as(StoreErrorKind::Unavailable, appended);
    assert_eq!(said(&store, &session.key).await.unwrap(), [small]);

    assert!(load(&store, &id).await.unwrap().is_none());
    assert_eq!(present(&store, &session.id).await.record, session.record);
    let page = list(&store, now, None, 10).await.unwrap();
    assert_eq!((page.sessions.len(), page.unreadable.len()), (2, 0));
    let left = everything(&folder.join("sessions"));
    assert!(!left.iter().any(|path| path.ends_with("next")));
    store.touch(&session.key, now, Some(later())).await.unwrap();
    assert!(store.delete(&other.key, now).await.unwrap());
    // Nothing of the failed ones is in the way once there is room.
    begin_as(&store, &id, small).await.unwrap();
    save(&store, &session, small).await.unwrap();
    fs::write(folder.join("done"), "").unwrap();
}

/// The folder is made read-only by its permissions, which bind everybody but root: root becomes nobody for it. What a
/// read-only mount says, which is another error of the same kind, is not tried.
#[tokio::test]
async fn a_folder_that_became_read_only_is_read_and_refuses_the_rest() {
    if let Some(folder) = env::var_os(FOLDER) {
        return use_a_read_only_folder(Path::new(&folder)).await;
    }
    let folder = TempDir::new().unwrap();
    let test = "a_folder_that_became_read_only_is_read_and_refuses_the_rest";
    let mut program = env::current_exe().unwrap();
    let is_root = fs::metadata(folder.path()).unwrap().uid() == 0;
    if is_root {
        // Where nobody may run it.
        let copy = folder.path().join("program");
        fs::copy(&program, &copy).unwrap();
        for path in [folder.path(), &copy] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        program = copy;
    }
    let mut process = this_test(&program, test);
    if is_root {
        process.uid(NOBODY).gid(NOBODY).current_dir(folder.path());
    }
    let output = process.env(FOLDER, folder.path()).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        folder.path().join("done").exists(),
        "the other process has run the test"
    );
}

async fn use_a_read_only_folder(folder: &Path) {
    let sessions = folder.join("sessions");
    let store = FileStore::open(&sessions).unwrap();
    let session = begin(&store, "value").await.unwrap();
    let now = SystemClock.now();
    set_writable(&sessions, false);

    let unavailable = StoreErrorKind::Unavailable;
    fails_as(unavailable, begin(&store, "new").await);
    fails_as(unavailable, save(&store, &session, "late").await);
    fails_as(
        unavailable,
        store.touch(&session.key, now, Some(later())).await,
    );
    fails_as(unavailable, store.delete(&session.key, now).await);
    fails_as(unavailable, store.delete_expired(later(), 10).await);
    fails_as(unavailable, FileStore::open(&sessions));
    assert_eq!(present(&store, &session.id).await.record, session.record);
    assert!(
        store
            .touch(&session.key, now, None)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(list(&store, now, None, 10).await.unwrap().sessions.len(), 1);

    set_writable(&sessions, true);
    save(&store, &session, "in time").await.unwrap();
    fs::write(folder.join("done"), "").unwrap();
}

fn set_writable(folder: &Path, writable: bool) {
    let paths = everything(folder).into_iter().chain([folder.to_owned()]);
    for path in paths {
        let mode = match (path.is_dir(), writable) {
            (true, true) => 0o700,
            (true, false) => 0o500,
            (false, true) => 0o600,
            (false, false) => 0o400,
        };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// This program, to run one test of this file.
fn this_test(program: &Path, name: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", &format!("processes::{name}"), "--nocapture"]);
    command
}

const FOLDER: &str = "STORES_FILE_FOLDER";
const SHARED: &str = "STORES_FILE_SHARED";
const NAME: &str = "STORES_FILE_NAME";
const KILLS: usize = 8;
const NOBODY: u32 = 65534;
