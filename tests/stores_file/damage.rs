//! Files that are torn, foreign, or of another version.

use super::*;
use crate::log::Log;

#[tokio::test]
async fn a_torn_file_is_reported_and_the_others_go_on() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let (torn, whole) = (
        begin(&store, "torn").await.unwrap(),
        begin(&store, "whole").await.unwrap(),
    );
    let path = file(folder.path(), &torn.key);
    let bytes = fs::read(&path).unwrap();
    let (now, kind) = (SystemClock.now(), StoreErrorKind::Corrupt);
    for length in [0, 1, 63, 64, 100, 127, 128, 129, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        fails_as(kind, load(&store, &torn.id).await);
        fails_as(kind, store.touch(&torn.key, now, None).await);
        fails_as(kind, store.touch(&torn.key, now, Some(later())).await);
        fails_as(kind, save(&store, &torn, "late").await);
        fails_as(
            StoreErrorKind::AlreadyExists,
            begin_as(&store, &torn.id, "again").await,
        );
        let page = list(&store, now, None, 10).await.unwrap();
        assert_eq!(page.unreadable, [torn.key]);
        assert_eq!(page.sessions.len(), 1);
        assert_eq!(count(&store, now).await.unwrap(), 1);
        present(&store, &whole.id).await;
    }
    fs::write(&path, &bytes).unwrap();
    assert_eq!(present(&store, &torn.id).await.record, torn.record);
}

#[tokio::test]
async fn each_byte_that_is_lost_is_noticed_or_harmless() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let session = begin(&store, "value").await.unwrap();
    let path = file(folder.path(), &session.key);
    let bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x20;
        fs::write(&path, &damaged).unwrap();
        match load(&store, &session.id).await {
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Corrupt, "byte {at}"),
            // The second place for a last use and the gap after it, which nobody has written yet.
            Ok(Some(found)) => assert!(found.record == session.record && (88..120).contains(&at)),
            // Part of a mark is a mark.
            Ok(None) => assert!((120..128).contains(&at), "byte {at}"),
        }
    }
}

#[tokio::test]
async fn a_file_under_another_sessions_name_is_not_that_session() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let mine = begin(&store, "mine").await.unwrap();
    let theirs = begin(&store, "theirs").await.unwrap();
    fs::copy(
        file(folder.path(), &mine.key),
        file(folder.path(), &theirs.key),
    )
    .unwrap();
    fails_as(StoreErrorKind::Corrupt, load(&store, &theirs.id).await);
}

#[tokio::test]
async fn what_is_no_file_at_all_does_not_stop_the_others() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let lost = begin(&store, "lost").await.unwrap();
    let whole = begin(&store, "whole").await.unwrap();
    let path = file(folder.path(), &lost.key);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();

    assert!(load(&store, &lost.id).await.is_err());
    let now = SystemClock.now();
    let page = list(&store, now, None, 10).await.unwrap();
    assert_eq!(
        (&page.unreadable[..], page.sessions.len()),
        (&[lost.key][..], 1)
    );
    assert_eq!(count(&store, now).await.unwrap(), 1);
    assert_eq!(
        store.delete_expired(later(), 10).await.unwrap(),
        [whole.key]
    );
}

#[tokio::test]
async fn a_torn_session_can_be_deleted() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    for length in [0, 90, 140] {
        let session = begin(&store, "value").await.unwrap();
        let path = file(folder.path(), &session.key);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..length]).unwrap();
        let now = SystemClock.now();
        assert!(store.delete(&session.key, now).await.unwrap());
        assert!(!store.delete(&session.key, now).await.unwrap());
        assert!(load(&store, &session.id).await.unwrap().is_none());
        fails_as(
            StoreErrorKind::AlreadyExists,
            begin_as(&store, &session.id, "again").await,
        );
    }
}

#[tokio::test]
async fn clean_up_passes_by_torn_and_foreign_files_and_warns_of_each_once() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let torn = begin(&store, "secret value").await.unwrap();
    let due = begin(&store, "secret value").await.unwrap();
    let path = file(folder.path(), &torn.key);
    fs::write(&path, b"secret value").unwrap();
    let beside = part(folder.path(), &due.key);
    fs::write(beside.join("secret name"), b"secret value").unwrap();
    fs::create_dir(beside.join("secret folder")).unwrap();
    let upper = due.key.to_string().to_uppercase();
    fs::write(beside.join(&upper), b"secret value").unwrap();
    // Threads of the store do the work, and other tests log there too.
    let log = Log::of_this_process();

    // The limit is 1: what is no session must not take the place of one.
    let removed = store.delete_expired(later(), 1).await.unwrap();
    assert_eq!(removed, [due.key]);
    for _ in 0..3 {
        assert_eq!(store.delete_expired(later(), 1).await.unwrap(), []);
    }
    assert!(path.exists() && beside.join("secret name").exists() && beside.join(upper).exists());

    let text = log.text();
    let name = torn.key.to_string();
    assert_eq!(text.matches(&name[..10]).count(), 1, "{text}");
    assert!(!text.contains(&name), "promise 11: no key reaches a log");
    assert_eq!(text.matches("no session's").count(), 3, "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn a_record_of_a_later_schema_is_read() {
    let mut json = serde_json::to_value(record("value")).unwrap();
    json["schema"] = 99.into();
    json["later"] = "unknown".into();
    let later: SessionRecord = serde_json::from_value(json).unwrap();
    let store = in_a_new_folder();
    let now = SystemClock.now();
    let new = NewSession::new("/mcp", later.clone(), now, now.saturating_add(HOUR));
    let id = SessionId::random().unwrap();
    let stored = store.create(&id, new).await.unwrap();
    let changed = later.with_suspended(true);
    store
        .save(&stored.key, Arc::new(changed.clone()), stored.revision)
        .await
        .unwrap();
    assert_eq!(*present(&store, &id).await.record, changed);
}
