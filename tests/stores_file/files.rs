//! What lies in the folder: across restarts, for whom, for how long.

use std::io::Read;

use super::*;

#[tokio::test]
async fn sessions_are_there_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let session = begin(&store, "first").await.unwrap();
    let now = SystemClock.now();
    let deadline = now.saturating_add(HOUR * 3);
    save(&store, &session, "second").await.unwrap();
    store
        .touch(&session.key, now, Some(deadline))
        .await
        .unwrap();
    let before = present(&store, &session.id).await;
    drop(store);

    let store = FileStore::open(folder.path()).unwrap();
    let after = present(&store, &session.id).await;
    assert_eq!(after.record, before.record);
    assert_eq!(after.revision, session.revision.next());
    assert_eq!((after.last_activity, after.idle_deadline), (now, deadline));
    save(&store, &after, "third").await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let temporary = TempDir::new().unwrap();
    let folder = temporary.path().join("new/folder");
    let store = FileStore::open(&folder).unwrap();
    let session = begin(&store, "secret").await.unwrap();
    save(&store, &session, "another").await.unwrap();
    begin(&store, "second").await.unwrap();
    let all = everything(temporary.path());
    assert!(all.contains(&file(&folder, &session.key)));
    for path in all {
        let metadata = fs::metadata(&path).unwrap();
        let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o7777, expected, "{path:?}");
    }
}

#[tokio::test]
async fn no_name_and_no_file_holds_an_id() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let session = begin(&store, "value").await.unwrap();
    let id = session.id.expose();
    for path in everything(folder.path()) {
        assert!(!path.to_string_lossy().contains(&id));
        if path.is_file() {
            assert!(!String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(&id));
        }
    }
    assert!(!format!("{store:?}").contains(&*folder.path().to_string_lossy()));
}

#[tokio::test]
async fn a_question_writes_nothing_and_a_touch_leaves_the_record() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let session = begin(&store, "value").await.unwrap();
    let path = file(folder.path(), &session.key);
    let state = || {
        (
            fs::read(&path).unwrap(),
            fs::metadata(&path).unwrap().modified().unwrap(),
        )
    };
    let before = state();

    let now = SystemClock.now();
    let asked = store.touch(&session.key, now, None).await.unwrap();
    assert_eq!(asked, Some(session.revision));
    assert_eq!(state(), before);

    let mut open = fs::File::open(&path).unwrap();
    for hours in 2..5 {
        let deadline = now.saturating_add(HOUR * hours);
        store
            .touch(&session.key, now, Some(deadline))
            .await
            .unwrap();
        assert_eq!(present(&store, &session.id).await.idle_deadline, deadline);
    }
    let after = fs::read(&path).unwrap();
    assert_ne!(after, before.0);
    assert_eq!(after[128..], before.0[128..]);
    // Written in place: the file that was opened before is still the session's.
    let mut seen = Vec::new();
    open.read_to_end(&mut seen).unwrap();
    assert_eq!(seen, after);
}

#[tokio::test]
async fn a_deleted_session_leaves_nothing_but_its_end_until_its_absolute_end() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let session = begin(&store, "secret").await.unwrap();
    assert!(
        store
            .delete(&session.key, session.last_activity)
            .await
            .unwrap()
    );
    let path = file(folder.path(), &session.key);
    assert_eq!(fs::metadata(&path).unwrap().len(), 128);

    let store = FileStore::open(folder.path()).unwrap();
    let end = session.record.absolute_end();
    for now in [later(), end] {
        assert_eq!(store.delete_expired(now, 10).await.unwrap(), []);
        fails_as(
            StoreErrorKind::AlreadyExists,
            begin_as(&store, &session.id, "again").await,
        );
    }
    let after_grace = end.saturating_add(Duration::from_secs(60));
    assert_eq!(store.delete_expired(after_grace, 10).await.unwrap(), []);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_a_dead_process_was_about_to_put_in_place_is_never_seen_and_removed() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let session = begin(&store, "value").await.unwrap();
    let left = part(folder.path(), &session.key).join("next");
    let half = &fs::read(file(folder.path(), &session.key)).unwrap()[..150];

    fs::write(&left, half).unwrap();
    let page = list(&store, SystemClock.now(), None, 10).await.unwrap();
    assert_eq!((page.sessions.len(), page.unreadable.len()), (1, 0));
    save(&store, &session, "written beside it").await.unwrap();
    assert!(!left.exists());

    fs::write(&left, half).unwrap();
    assert_eq!(
        store.delete_expired(SystemClock.now(), 10).await.unwrap(),
        []
    );
    assert!(!left.exists());
    present(&store, &session.id).await;
}

#[tokio::test]
async fn what_cannot_be_a_folder_of_sessions_is_refused() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("file");
    fs::write(&path, "").unwrap();
    for path in [path.clone(), path.join("below")] {
        let error = FileStore::open(&path).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert_eq!(error.to_string(), "the session store is unavailable");
    }
    // A lock that cannot be taken.
    let folder = temporary.path().join("folder");
    fs::create_dir_all(folder.join("00/lock")).unwrap();
    fails_as(StoreErrorKind::Unavailable, FileStore::open(&folder));
}

#[tokio::test]
async fn sessions_of_a_folder_that_has_disappeared_are_not_gone() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let session = begin(&store, "value").await.unwrap();
    // As when a disk is unmounted: the place where it was is there, and empty.
    let aside = TempDir::new().unwrap();
    let kept = aside.path().join("kept");
    fs::rename(folder.path(), &kept).unwrap();
    fs::create_dir(folder.path()).unwrap();

    let now = SystemClock.now();
    let deadline = Some(now.saturating_add(HOUR));
    let unavailable = StoreErrorKind::Unavailable;
    fails_as(unavailable, load(&store, &session.id).await);
    fails_as(unavailable, store.touch(&session.key, now, None).await);
    fails_as(unavailable, store.touch(&session.key, now, deadline).await);
    fails_as(unavailable, save(&store, &session, "late").await);
    fails_as(unavailable, store.delete(&session.key, now).await);
    fails_as(unavailable, store.delete_expired(later(), 10).await);
    fails_as(unavailable, list(&store, now, None, 10).await);
    fails_as(unavailable, count(&store, now).await);
    fails_as(unavailable, begin(&store, "new").await);
    assert_eq!(everything(folder.path()), [] as [PathBuf; 0]);

    fs::remove_dir(folder.path()).unwrap();
    fs::rename(&kept, folder.path()).unwrap();
    present(&store, &session.id).await;
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused() {
    let store = in_a_new_folder();
    let session = begin(&store, "small").await.unwrap();
    let large = "x".repeat(16 << 20);
    fails_as(StoreErrorKind::TooLarge, begin(&store, &large).await);
    fails_as(
        StoreErrorKind::TooLarge,
        save(&store, &session, &large).await,
    );
    let large = &large[..15 << 20];
    save(&store, &session, large).await.unwrap();
    let loaded = present(&store, &session.id).await;
    assert_eq!(
        loaded
            .record
            .values()
            .get::<String>("value")
            .unwrap()
            .unwrap(),
        large
    );
}
