//! Marks of owners whose sessions were all ended.

use super::*;

#[tokio::test]
async fn a_bar_holds_after_a_restart_and_goes_after_its_time() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let (id, now) = (SessionId::random().unwrap(), SystemClock.now());
    let not_before = now.saturating_add(HOUR);
    bar(&store, not_before).await.unwrap();
    // Takes nothing back.
    bar(&store, now).await.unwrap();
    drop(store);

    let store = FileStore::open(folder.path()).unwrap();
    let end = not_before.saturating_add(HOUR * 24 + Duration::from_secs(60));
    let last = end.saturating_sub(Duration::from_millis(1));
    store.delete_expired(last, 10).await.unwrap();
    fails_as(StoreErrorKind::Gone, begin_as(&store, &id, "late").await);
    store.delete_expired(end, 10).await.unwrap();
    assert!(!mark_file(folder.path()).exists());
    begin_as(&store, &id, "later").await.unwrap();
}

#[tokio::test]
async fn a_mark_that_cannot_be_read_says_nothing_and_goes() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let not_before = SystemClock.now().saturating_add(HOUR);
    let path = mark_file(folder.path());
    bar(&store, not_before).await.unwrap();
    let bytes = fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        begin(&store, "value").await.unwrap();
    }
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    begin(&store, "value").await.unwrap();
    bar(&store, not_before).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    fs::write(&path, "torn").unwrap();
    store.delete_expired(not_before, 10).await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_session_that_cannot_be_read_does_not_save_the_others() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let [torn, lost, whole] = [
        begin(&store, "torn").await.unwrap(),
        begin(&store, "lost").await.unwrap(),
        begin(&store, "whole").await.unwrap(),
    ];
    let ended = SystemClock.now();
    fs::write(file(folder.path(), &torn.key), "torn").unwrap();
    bar(&store, Timestamp::EPOCH).await.unwrap();
    fs::remove_file(file(folder.path(), &lost.key)).unwrap();
    fs::create_dir(file(folder.path(), &lost.key)).unwrap();
    // It may be one of the owner's.
    fails_as(StoreErrorKind::Unavailable, bar(&store, ended).await);
    assert!(load(&store, &whole.id).await.unwrap().is_none());
    fs::remove_dir(file(folder.path(), &lost.key)).unwrap();
    bar(&store, ended).await.unwrap();
    fails_as(StoreErrorKind::Corrupt, load(&store, &torn.id).await);
}

#[tokio::test]
async fn a_bar_leaves_tombstones() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let session = begin(&store, "secret").await.unwrap();
    bar(&store, SystemClock.now()).await.unwrap();
    let path = file(folder.path(), &session.key);
    assert_eq!(fs::metadata(&path).unwrap().len(), 128);
    let end = session.record.absolute_end();
    assert_eq!(store.delete_expired(end, 10).await.unwrap(), []);
    assert!(path.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_is_neither_moved_nor_removed_while_another_process_has_its_lock() {
    let folder = TempDir::new().unwrap();
    let [one, two] = [(); 2].map(|()| FileStore::open(folder.path()).unwrap());
    let now = SystemClock.now();
    bar(&one, now).await.unwrap();
    let before = fs::read(mark_file(folder.path())).unwrap();
    let lock = hold_lock(folder.path(), &SessionKey::from(*owner().as_bytes()));
    let end = now.saturating_add(HOUR * 25);
    let (moved, cleaned) = tokio::join!(
        bar(&one, now.saturating_add(HOUR)),
        two.delete_expired(end, 10)
    );
    fails_as(StoreErrorKind::Unavailable, moved);
    fails_as(StoreErrorKind::Unavailable, cleaned);
    assert_eq!(fs::read(mark_file(folder.path())).unwrap(), before);

    drop(lock);
    two.delete_expired(end, 10).await.unwrap();
    assert!(!mark_file(folder.path()).exists());
}

/// Another process is played by this test: it moves the mark.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clean_up_spares_a_mark_that_was_moved_after_it_looked() {
    use std::io::Write;

    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let (now, path) = (SystemClock.now(), mark_file(folder.path()));
    bar(&store, now).await.unwrap();
    let before = fs::read(&path).unwrap();
    let moved = now.saturating_add(HOUR);
    bar(&store, moved).await.unwrap();
    let after = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    make_pipe(&path);
    let lock = hold_lock(folder.path(), &SessionKey::from(*owner().as_bytes()));

    let cleaning = tokio::spawn({
        let (store, end) = (store.clone(), now.saturating_add(HOUR * 24 + HOUR / 2));
        async move { store.delete_expired(end, 10).await }
    });
    let mut pipe = open_pipe(&path).await;
    fs::remove_file(&path).unwrap();
    fs::write(&path, &after).unwrap();
    pipe.write_all(&before).unwrap();
    drop(pipe);
    drop(lock);

    cleaning.await.unwrap().unwrap();
    assert_eq!(fs::read(&path).unwrap(), after);
}
