//! Two handles to one folder, in one process.

use tokio::task::JoinSet;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_tasks_over_two_handles_lose_no_update() {
    let folder = TempDir::new().unwrap();
    let handles = [(), ()].map(|()| FileStore::open(folder.path()).unwrap());
    let session = begin(&handles[0], "value").await.unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..64 {
        let (store, id) = (handles[n % 2].clone(), session.id.clone());
        tasks.spawn(async move { increment(&store, &id, &format!("task {n}")).await });
    }
    tasks.join_all().await;
    for store in &handles {
        let record = present(store, &session.id).await.record;
        for n in 0..64 {
            let count = record.values().get::<u32>(&format!("task {n}")).unwrap();
            assert_eq!(count, Some(1), "task {n}");
        }
    }
}

#[tokio::test]
async fn what_one_handle_did_the_other_sees_at_once() {
    let folder = TempDir::new().unwrap();
    let [one, other] = [(), ()].map(|()| FileStore::open(folder.path()).unwrap());
    let session = begin(&one, "first").await.unwrap();
    let now = SystemClock.now();
    save(&other, &present(&other, &session.id).await, "second")
        .await
        .unwrap();
    fails_as(StoreErrorKind::Conflict, save(&one, &session, "late").await);
    other.touch(&session.key, now, Some(later())).await.unwrap();
    let touched = present(&one, &session.id).await;
    assert_eq!(touched.revision, session.revision.next());
    assert!(touched.idle_deadline > session.idle_deadline);
    assert!(one.delete(&session.key, now).await.unwrap());
    assert!(load(&other, &session.id).await.unwrap().is_none());
    fails_as(StoreErrorKind::Gone, save(&other, &touched, "late").await);
    assert!(!other.delete(&session.key, now).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_keeps_a_lock_hurts_only_writers_beside_it_and_they_learn_of_it() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let session = begin(&store, "value").await.unwrap();
    let lock = hold_lock(folder.path(), &session.key);

    let late = tokio::spawn({
        let (store, session) = (store.clone(), session.clone());
        async move { save(&store, &session, "late").await }
    });
    let now = SystemClock.now();
    present(&store, &session.id).await;
    assert!(
        store
            .touch(&session.key, now, None)
            .await
            .unwrap()
            .is_some()
    );
    let elsewhere = loop {
        let id = SessionId::random().unwrap();
        let key = SessionKey::new("/mcp", &id);
        if key.as_bytes()[0] != session.key.as_bytes()[0] {
            break id;
        }
    };
    begin_as(&store, &elsewhere, "elsewhere").await.unwrap();
    fails_as(StoreErrorKind::Unavailable, late.await.unwrap());
    assert_eq!(
        present(&store, &session.id).await.revision,
        session.revision
    );

    drop(lock);
    save(&store, &session, "in time").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_ends_in_a_part_of_which_another_process_has_the_lock() {
    let folder = TempDir::new().unwrap();
    let [one, two, three, four] = [(); 4].map(|()| FileStore::open(folder.path()).unwrap());
    let session = loop {
        let session = begin(&one, "value").await.unwrap();
        // Else `bar` does not come as far as the sessions.
        if session.key.as_bytes()[0] != owner().as_bytes()[0] {
            break session;
        }
    };
    append(&one, &session.key, "said").await.unwrap();
    let lock = hold_lock(folder.path(), &session.key);
    let now = SystemClock.now();
    let (appended, cleared, barred, cleaned) = tokio::join!(
        append(&one, &session.key, "late"),
        history(&two).clear(&session.key, now),
        bar(&three, now),
        four.delete_expired(later(), 10),
    );
    let unavailable = StoreErrorKind::Unavailable;
    fails_as(unavailable, appended);
    fails_as(unavailable, cleared);
    fails_as(unavailable, barred);
    fails_as(unavailable, cleaned);
    let there = present(&one, &session.id).await;
    assert_eq!(there.record, session.record);
    assert_eq!(said(&one, &session.key).await.unwrap(), ["said"]);

    drop(lock);
    bar(&three, now).await.unwrap();
    assert!(load(&one, &session.id).await.unwrap().is_none());
}

/// Another process is played by this test: it has the lock, and writes.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clean_up_spares_what_was_touched_after_it_looked_and_before_it_had_the_lock() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let session = begin(&store, "value").await.unwrap();
    let path = file(folder.path(), &session.key);
    let before = fs::read(&path).unwrap();
    let deadline = later().saturating_add(HOUR);
    store
        .touch(&session.key, SystemClock.now(), Some(deadline))
        .await
        .unwrap();
    let touched = fs::read(&path).unwrap();
    fs::write(&path, before).unwrap();
    // Comes last in its part: who opens it for reading has looked at the session, and waits for us to open it too.
    let mut bytes = [0xff; 32];
    bytes[0] = session.key.as_bytes()[0];
    let pipe = file(folder.path(), &SessionKey::from(bytes));
    make_pipe(&pipe);
    let lock = hold_lock(folder.path(), &session.key);

    let cleaning = tokio::spawn({
        let store = store.clone();
        async move { store.delete_expired(later(), 10).await }
    });
    let pipe_end = open_pipe(&pipe).await;
    fs::write(&path, touched).unwrap();
    fs::remove_file(&pipe).unwrap();
    drop(pipe_end);
    drop(lock);

    assert_eq!(cleaning.await.unwrap().unwrap(), []);
    assert_eq!(present(&store, &session.id).await.idle_deadline, deadline);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_dropped_anywhere_do_half_of_nothing() {
    let store = in_a_new_folder();
    let session = begin(&store, "value").await.unwrap();
    let mut count = 0;
    for polls in 0..40 {
        let read = present(&store, &session.id).await;
        let call = save(&store, &read, "value");
        tokio::select! {
            biased;
            result = call => count += u64::from(result.is_ok()),
            () = async { for _ in 0..polls { tokio::task::yield_now().await } } => {}
        }
        // Waits for its turn behind what was begun.
        let now = SystemClock.now();
        store.touch(&session.key, now, Some(later())).await.unwrap();
    }
    let last = present(&store, &session.id).await;
    assert!(last.revision.number() > count && last.revision.number() <= 41);
    save(&store, &last, "value").await.unwrap();
    let page = list(&store, SystemClock.now(), None, 10).await.unwrap();
    assert_eq!((page.sessions.len(), page.unreadable.len()), (1, 0));
}

/// Adds 1 to the session's value called `name`, by compare-and-swap.
pub(super) async fn increment(store: &FileStore, id: &SessionId, name: &str) -> u32 {
    loop {
        let read = present(store, id).await;
        let mut values = read.record.values().clone();
        let count = values.get::<u32>(name).unwrap().unwrap_or(0) + 1;
        values.insert(name, &count).unwrap();
        let record = (*read.record).clone().with_values(values);
        match store.save(&read.key, Arc::new(record), read.revision).await {
            Ok(_) => return count,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Conflict),
        }
    }
}
