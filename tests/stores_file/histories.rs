//! Histories: what lies in the folder of them, and what is left of them.

use super::*;

#[tokio::test]
async fn a_history_is_there_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let session = begin(&store, "value").await.unwrap();
    for text in ["said", "said \u{0} \u{1f980}"] {
        append(&store, &session.key, text).await.unwrap();
    }
    drop(store);
    let store = FileStore::open(folder.path()).unwrap();
    append(&store, &session.key, "later").await.unwrap();
    let expected = ["said", "said \u{0} \u{1f980}", "later"];
    assert_eq!(said(&store, &session.key).await.unwrap(), expected);
}

#[tokio::test]
async fn nothing_of_a_history_is_left_in_the_folder() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let mut sessions = Vec::new();
    for _ in 0..4 {
        let session = begin(&store, "value").await.unwrap();
        append(&store, &session.key, "secret").await.unwrap();
        assert!(history_file(folder.path(), &session.key).exists());
        sessions.push(session.key);
    }
    let [deleted, cleared, expired, barred] = sessions[..] else {
        panic!("there are four sessions");
    };
    let now = SystemClock.now();
    store.delete(&deleted, now).await.unwrap();
    assert!(!history_file(folder.path(), &deleted).exists());
    history(&store).clear(&cleared, now).await.unwrap();
    assert!(!history_file(folder.path(), &cleared).exists());
    store.touch(&barred, now, Some(later())).await.unwrap();
    store.touch(&cleared, now, Some(later())).await.unwrap();
    let soon = later().saturating_sub(HOUR / 2);
    assert_eq!(store.delete_expired(soon, 10).await.unwrap(), [expired]);
    assert!(!history_file(folder.path(), &expired).exists());
    bar(&store, now).await.unwrap();
    for path in everything(folder.path()) {
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            assert!(
                !String::from_utf8_lossy(&bytes).contains("secret"),
                "{path:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_history_whose_session_is_gone_is_removed_by_clean_up_or_the_next_deletion() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let mut left = Vec::new();
    for n in 0..3 {
        let session = begin(&store, "value").await.unwrap();
        append(&store, &session.key, "said").await.unwrap();
        let path = history_file(folder.path(), &session.key);
        let bytes = fs::read(&path).unwrap();
        match n {
            // As if the process had died between.
            0 | 1 => drop(store.delete(&session.key, SystemClock.now()).await.unwrap()),
            _ => fs::remove_file(file(folder.path(), &session.key)).unwrap(),
        }
        fs::write(&path, bytes).unwrap();
        left.push((session.key, path));
    }
    let kept = begin(&store, "value").await.unwrap();
    append(&store, &kept.key, "said").await.unwrap();
    let torn = begin(&store, "value").await.unwrap();
    append(&store, &torn.key, "said").await.unwrap();
    fs::write(file(folder.path(), &torn.key), "torn").unwrap();

    let now = SystemClock.now();
    assert!(!store.delete(&left[0].0, now).await.unwrap());
    assert!(!left[0].1.exists());
    assert_eq!(store.delete_expired(now, 10).await.unwrap(), []);
    for (_, path) in &left {
        assert!(!path.exists());
    }
    assert_eq!(said(&store, &kept.key).await.unwrap(), ["said"]);
    assert!(history_file(folder.path(), &torn.key).exists());
}

#[tokio::test]
async fn a_history_that_cannot_be_read_is_corrupt_and_its_session_goes_on() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let [session, other] = [
        begin(&store, "value").await.unwrap(),
        begin(&store, "value").await.unwrap(),
    ];
    for key in [&session.key, &other.key] {
        append(&store, key, "said").await.unwrap();
    }
    let path = history_file(folder.path(), &session.key);
    let bytes = fs::read(&path).unwrap();
    let mut damages: Vec<_> = (0..bytes.len())
        .map(|length| bytes[..length].to_vec())
        .collect();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x20;
        damages.push(damaged);
    }
    damages.push(fs::read(history_file(folder.path(), &other.key)).unwrap());
    for damaged in damages {
        fs::write(&path, damaged).unwrap();
        fails_as(StoreErrorKind::Corrupt, said(&store, &session.key).await);
        let appended = append(&store, &session.key, "late").await;
        fails_as(StoreErrorKind::Corrupt, appended);
    }
    // Larger than any that was written, without taking up room.
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    fails_as(StoreErrorKind::Corrupt, said(&store, &session.key).await);

    present(&store, &session.id).await;
    assert_eq!(said(&store, &other.key).await.unwrap(), ["said"]);
    let now = SystemClock.now();
    history(&store).clear(&session.key, now).await.unwrap();
    append(&store, &session.key, "again").await.unwrap();
    assert_eq!(said(&store, &session.key).await.unwrap(), ["again"]);
}

#[tokio::test]
async fn a_history_that_is_too_large_is_refused_and_the_one_before_stays() {
    let store = in_a_new_folder();
    let session = begin(&store, "value").await.unwrap();
    append(&store, &session.key, "said").await.unwrap();
    let now = SystemClock.now();
    let large = Message::new(Role::Tool, &"x".repeat(16 << 20), now).unwrap();
    let limits = HistoryLimits::new(usize::MAX, usize::MAX);
    let appended = history(&store).append(&session.key, now, vec![large], limits);
    fails_as(StoreErrorKind::TooLarge, appended.await);
    assert_eq!(said(&store, &session.key).await.unwrap(), ["said"]);
}

#[tokio::test]
async fn histories_of_a_folder_that_has_disappeared_are_not_gone() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let session = begin(&store, "value").await.unwrap();
    append(&store, &session.key, "said").await.unwrap();
    let aside = TempDir::new().unwrap();
    let kept = aside.path().join("kept");
    fs::rename(folder.path(), &kept).unwrap();
    fs::create_dir(folder.path()).unwrap();

    let (now, unavailable) = (SystemClock.now(), StoreErrorKind::Unavailable);
    fails_as(unavailable, said(&store, &session.key).await);
    fails_as(unavailable, append(&store, &session.key, "late").await);
    fails_as(unavailable, history(&store).clear(&session.key, now).await);
    fails_as(unavailable, bar(&store, now).await);
    assert_eq!(everything(folder.path()), [] as [PathBuf; 0]);

    fs::remove_dir(folder.path()).unwrap();
    fs::rename(&kept, folder.path()).unwrap();
    assert_eq!(said(&store, &session.key).await.unwrap(), ["said"]);
}

#[cfg(unix)]
#[tokio::test]
async fn histories_and_marks_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let temporary = TempDir::new().unwrap();
    let folder = temporary.path().join("new");
    let store = FileStore::open(&folder).unwrap();
    let session = begin(&store, "value").await.unwrap();
    append(&store, &session.key, "said").await.unwrap();
    bar(&store, Timestamp::EPOCH).await.unwrap();
    let all = everything(temporary.path());
    assert!(all.contains(&history_file(&folder, &session.key)));
    assert!(all.contains(&mark_file(&folder)));
    for path in all {
        let metadata = fs::metadata(&path).unwrap();
        let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o7777, expected, "{path:?}");
    }
}

/// It lay there when it was looked for, and the session ended before the look was over.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_is_read_while_its_session_ends_is_not_shown() {
    use std::io::Write;

    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let session = begin(&store, "value").await.unwrap();
    append(&store, &session.key, "said").await.unwrap();
    let path = history_file(folder.path(), &session.key);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    make_pipe(&path);
    let reading = tokio::spawn({
        let (store, key) = (store.clone(), session.key);
        async move { said(&store, &key).await }
    });
    let mut pipe = open_pipe(&path).await;
    store.delete(&session.key, SystemClock.now()).await.unwrap();
    pipe.write_all(&bytes).unwrap();
    drop(pipe);
    fails_as(StoreErrorKind::Gone, reading.await.unwrap());
}
