//! `CachedStore`: the contract over it, what it spares, what it never does, and how far behind it may be.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may unwrap as tests do"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tower_mcp_session::store::{
    CachedStore, Revision, StoreError, StoreErrorKind, Stored, WatchStatus,
};
use tower_mcp_session::testing::{FaultyStore, Operation, shared_store_contract, store_contract};
use tower_mcp_session::{
    Handshake, MemoryStore, NewSession, ProtocolVersion, SessionId, SessionKey, SessionRecord,
    SessionStore, Timestamp, Values,
};

// Paused: the staleness is counted by the steady clock too, and no test is to depend on how busy the machine is.

type Inner = FaultyStore<MemoryStore>;
type Cached = CachedStore<Inner>;

store_contract!(without_staleness, cached(inner(), Duration::ZERO));
store_contract!(with_staleness, cached(inner(), HOUR));
store_contract!(
    with_room_for_three,
    cached(inner(), HOUR).with_max_sessions(3)
);
store_contract!(with_a_watch, CachedStore::new(MemoryStore::new()));
store_contract!(
    over_a_store_that_can_do_nothing,
    CachedStore::new(helpless()).with_staleness(HOUR)
);

shared_store_contract!(clones_share_what_is_kept, {
    let store = cached(inner(), HOUR);
    (store.clone(), store)
});
shared_store_contract!(instances_without_staleness, two_handles(Duration::ZERO));

// What it spares.

#[tokio::test(start_paused = true)]
async fn within_the_staleness_loads_and_questions_are_answered_from_memory() {
    let store = cached(inner(), STALENESS);
    let session = begin(&store).await;
    for millis in [0, 1, 999] {
        let loaded = load(&store, &session.id, at(millis)).await.unwrap();
        assert_eq!(loaded.record, session.record);
        assert_eq!((loaded.id, loaded.key), (session.id.clone(), session.key));
        assert_eq!(
            ask(&store, &session, at(millis)).await,
            Some(Revision::FIRST)
        );
    }
    assert_eq!(store.inner().total_calls(), 1, "create alone went through");

    load(&store, &session.id, at(1000)).await.unwrap();
    load(&store, &session.id, at(1999)).await.unwrap();
    assert_eq!(store.inner().calls(Operation::Load), 1);
    ask(&store, &session, at(2000)).await.unwrap();
    assert_eq!(store.inner().calls(Operation::Touch), 1);
}

#[tokio::test(start_paused = true)]
async fn a_touch_that_goes_through_confirms_what_is_kept() {
    let store = cached(inner(), STALENESS);
    let session = begin(&store).await;
    for second in 1..10 {
        let now = at(second * 1000);
        let deadline = now.saturating_add(HOUR);
        assert!(
            store
                .touch(&session.key, now, Some(deadline))
                .await
                .unwrap()
                .is_some()
        );
        let loaded = load(&store, &session.id, at(second * 1000 + 999))
            .await
            .unwrap();
        assert_eq!(
            (loaded.last_activity, loaded.idle_deadline),
            (now, deadline)
        );
    }
    assert_eq!(store.inner().calls(Operation::Touch), 9);
    assert_eq!(store.inner().calls(Operation::Load), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_saved_here_is_kept_in_place_of_what_was_read() {
    let store = cached(inner(), STALENESS);
    let session = begin(&store).await;
    let saved = save(&store, &session, "new", session.revision)
        .await
        .unwrap();
    let loaded = load(&store, &session.id, at(500)).await.unwrap();
    assert_eq!((value(&loaded), loaded.revision), ("new".to_owned(), saved));
    assert_eq!(ask(&store, &session, at(500)).await, Some(saved));
    assert_eq!(store.inner().total_calls(), 2, "create and save");
}

#[tokio::test(start_paused = true)]
async fn with_a_staleness_of_zero_everything_goes_through() {
    let store = cached(inner(), Duration::ZERO);
    let session = begin(&store).await;
    for count in 1..4 {
        load(&store, &session.id, at(0)).await.unwrap();
        ask(&store, &session, at(0)).await.unwrap();
        assert_eq!(store.inner().total_calls(), 1 + 2 * count);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_decides_in_place_of_the_staleness() {
    for staleness in [Duration::ZERO, HOUR] {
        let shared = MemoryStore::new();
        let store = CachedStore::new(FaultyStore::new(shared.clone())).with_staleness(staleness);
        let session = begin(&store).await;
        for now in [at(0), at(500_000)] {
            assert!(load(&store, &session.id, now).await.is_some());
            assert!(ask(&store, &session, now).await.is_some());
        }
        assert_eq!(store.inner().total_calls(), 1, "as long as it says current");

        let changed = save(&shared, &session, "new", session.revision)
            .await
            .unwrap();
        let loaded = load(&store, &session.id, at(0)).await.unwrap();
        assert_eq!(
            (value(&loaded), loaded.revision),
            ("new".to_owned(), changed)
        );
        let status = loaded.watch.map(|watch| watch.status());
        assert_eq!(status, Some(WatchStatus::Current(changed)));

        assert!(shared.delete(&session.key, at(0)).await.unwrap());
        assert_eq!(ask(&store, &session, at(0)).await, None);
        assert!(load(&store, &session.id, at(0)).await.is_none());
    }
}

// What it never does.

#[tokio::test(start_paused = true)]
async fn a_session_is_never_given_out_after_its_deadline() {
    let store = cached(inner(), HOUR * 48);
    let session = begin(&store).await;
    let idle = session.idle_deadline;
    assert!(
        load(&store, &session.id, idle.saturating_sub(MILLISECOND))
            .await
            .is_some()
    );
    assert!(load(&store, &session.id, idle).await.is_none());
    assert_eq!(ask(&store, &session, idle).await, None);

    let busy = begin(&store).await;
    let (now, end) = (at(1), busy.record.absolute_end());
    store
        .touch(&busy.key, now, Some(Timestamp::NEVER))
        .await
        .unwrap();
    assert!(
        load(&store, &busy.id, end.saturating_sub(MILLISECOND))
            .await
            .is_some()
    );
    assert!(load(&store, &busy.id, end).await.is_none());
    assert_eq!(ask(&store, &busy, end).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_another_handle_kept_alive_is_not_missed() {
    let (store, other) = two_handles(HOUR * 48);
    let session = begin(&store).await;
    let later = session.idle_deadline.saturating_add(HOUR);
    other.touch(&session.key, at(1), Some(later)).await.unwrap();
    assert!(
        load(&store, &session.id, session.idle_deadline)
            .await
            .is_some()
    );
    assert!(ask(&store, &session, session.idle_deadline).await.is_some());
    assert!(load(&store, &session.id, later).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_through_this_handle_is_gone_at_once() {
    let store = cached(inner(), HOUR);
    let session = begin(&store).await;
    let clone = store.clone();
    assert!(load(&clone, &session.id, at(0)).await.is_some());
    assert!(store.delete(&session.key, at(0)).await.unwrap());
    for handle in [&store, &clone] {
        assert!(load(handle, &session.id, at(0)).await.is_none());
        assert_eq!(ask(handle, &session, at(0)).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_on_its_way_does_not_revive_what_is_deleted_meanwhile() {
    let (store, _) = two_handles(HOUR);
    let session = begin(&store).await;
    let fresh = cached(store.inner().clone(), HOUR);
    let old = load_on_its_way(&fresh, &session).await;
    assert!(fresh.delete(&session.key, at(0)).await.unwrap());
    fresh.inner().release();
    assert!(
        old.await.unwrap().is_some(),
        "its own answer is from before"
    );
    assert!(load(&fresh, &session.id, at(0)).await.is_none());
    assert_eq!(ask(&fresh, &session, at(0)).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_load_on_its_way_does_not_hide_what_is_saved_meanwhile() {
    let session_store = inner();
    let session = begin(&session_store).await;
    let store = cached(session_store, HOUR);
    let old = load_on_its_way(&store, &session).await;
    let saved = save(&store, &session, "new", session.revision)
        .await
        .unwrap();
    store.inner().release();
    assert_eq!(old.await.unwrap().unwrap().revision, session.revision);
    let loaded = load(&store, &session.id, at(0)).await.unwrap();
    assert_eq!((value(&loaded), loaded.revision), ("new".to_owned(), saved));
}

#[tokio::test(start_paused = true)]
async fn a_load_on_its_way_does_not_hide_a_touch() {
    let session_store = inner();
    let session = begin(&session_store).await;
    let store = cached(session_store, HOUR);
    let old = load_on_its_way(&store, &session).await;
    let deadline = session.idle_deadline.saturating_add(HOUR);
    store
        .touch(&session.key, at(1), Some(deadline))
        .await
        .unwrap();
    store.inner().release();
    old.await.unwrap().unwrap();
    let loaded = load(&store, &session.id, at(1)).await.unwrap();
    assert_eq!(
        (loaded.last_activity, loaded.idle_deadline),
        (at(1), deadline)
    );
}

#[tokio::test(start_paused = true)]
async fn a_create_on_its_way_does_not_revive_what_is_deleted_meanwhile() {
    let renames = Renames::default();
    let id = Arc::clone(&renames.id);
    let store = CachedStore::new(FaultyStore::new(renames)).with_staleness(HOUR);
    let candidate = SessionId::random().unwrap();
    let key = SessionKey::new("/mcp", &candidate);
    // So that both keys have seen as many changes.
    store.delete(&key, at(0)).await.unwrap();

    store.inner().hang_after(Operation::Create);
    let creating = {
        let store = store.clone();
        tokio::spawn(async move { store.create(&candidate, new_session()).await })
    };
    arrived(store.inner(), Operation::Create).await;
    let id = id.lock().unwrap().clone().unwrap();
    // An operator has found it in a list.
    let key = SessionKey::new("/mcp", &id);
    assert!(store.delete(&key, at(0)).await.unwrap());
    store.inner().release();
    assert_eq!(creating.await.unwrap().unwrap().id, id);
    assert!(load(&store, &id, at(0)).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_load_during_a_save_does_not_outlive_it() {
    let store = cached(inner(), HOUR);
    let session = begin(&store).await;
    store.inner().hang(Operation::Save);
    let saving = {
        let (store, session) = (store.clone(), session.clone());
        tokio::spawn(async move { save(&store, &session, "new", session.revision).await })
    };
    arrived(store.inner(), Operation::Save).await;
    let before = load(&store, &session.id, at(0)).await.unwrap();
    assert_eq!(before.revision, session.revision);
    store.inner().release();
    let saved = saving.await.unwrap().unwrap();
    assert_eq!(
        load(&store, &session.id, at(0)).await.unwrap().revision,
        saved
    );
}

#[tokio::test(start_paused = true)]
async fn a_save_on_its_way_does_not_revive_what_is_deleted_meanwhile() {
    let store = cached(inner(), HOUR);
    let session = begin(&store).await;
    store.inner().hang_after(Operation::Save);
    let saving = {
        let (store, session) = (store.clone(), session.clone());
        tokio::spawn(async move { save(&store, &session, "new", session.revision).await })
    };
    arrived(store.inner(), Operation::Save).await;
    assert!(store.delete(&session.key, at(0)).await.unwrap());
    store.inner().release();
    assert!(saving.await.unwrap().is_ok(), "it came before the deletion");
    assert!(load(&store, &session.id, at(0)).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_save_has_done_is_not_hidden() {
    let store = cached(inner(), HOUR);
    let session = begin(&store).await;
    store.inner().hang_after(Operation::Save);
    let saving = {
        let (store, session) = (store.clone(), session.clone());
        tokio::spawn(async move { save(&store, &session, "new", session.revision).await })
    };
    arrived(store.inner(), Operation::Save).await;
    saving.abort();
    assert!(saving.await.unwrap_err().is_cancelled());
    let loaded = load(&store, &session.id, at(0)).await.unwrap();
    assert_eq!(value(&loaded), "new");
}

#[tokio::test(start_paused = true)]
async fn a_save_goes_through_with_its_revision_and_a_conflict_drops_what_is_kept() {
    let (store, other) = two_handles(HOUR);
    let session = begin(&store).await;
    let theirs = save(&other, &session, "theirs", session.revision)
        .await
        .unwrap();
    let behind = load(&store, &session.id, at(0)).await.unwrap();
    assert_eq!(behind.revision, session.revision, "it is behind");

    let conflict = save(&store, &session, "ours", behind.revision)
        .await
        .unwrap_err();
    assert_eq!(conflict, StoreErrorKind::Conflict);
    let loaded = load(&store, &session.id, at(0)).await.unwrap();
    assert_eq!(
        (value(&loaded), loaded.revision),
        ("theirs".to_owned(), theirs)
    );
    save(&store, &session, "ours", loaded.revision)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_save_that_ends_the_session_earlier_is_kept_as_the_store_has_it() {
    let store = cached(inner(), HOUR);
    let session = begin(&store).await;
    let end = at(1000);
    let handshake = Arc::clone(session.record.handshake());
    let record = Arc::new(SessionRecord::new(at(0), end, None, handshake));
    store
        .save(&session.key, record, session.revision)
        .await
        .unwrap();
    let kept = load(&store, &session.id, at(0)).await.unwrap();
    let stored = load(store.inner(), &session.id, at(0)).await.unwrap();
    assert_eq!(store.inner().calls(Operation::Load), 1, "the second one");
    assert_eq!((kept.idle_deadline, stored.idle_deadline), (end, end));
}

#[tokio::test(start_paused = true)]
async fn a_touch_that_finds_another_revision_drops_what_is_kept() {
    let (store, other) = two_handles(HOUR);
    let session = begin(&store).await;
    let theirs = save(&other, &session, "theirs", session.revision)
        .await
        .unwrap();
    let deadline = Some(session.idle_deadline);
    assert_eq!(
        store.touch(&session.key, at(0), deadline).await.unwrap(),
        Some(theirs)
    );
    assert_eq!(
        value(&load(&store, &session.id, at(0)).await.unwrap()),
        "theirs"
    );
}

#[tokio::test(start_paused = true)]
async fn a_touch_that_finds_nothing_drops_what_is_kept() {
    let (store, other) = two_handles(HOUR);
    let session = begin(&store).await;
    assert!(other.delete(&session.key, at(0)).await.unwrap());
    let deadline = Some(session.idle_deadline);
    assert_eq!(
        store.touch(&session.key, at(0), deadline).await.unwrap(),
        None
    );
    assert!(load(&store, &session.id, at(0)).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn absence_is_never_kept() {
    let (store, other) = two_handles(HOUR);
    let id = SessionId::random().unwrap();
    for _ in 0..3 {
        assert!(load(&store, &id, at(0)).await.is_none());
    }
    assert_eq!(store.inner().calls(Operation::Load), 3);
    other.create(&id, new_session()).await.unwrap();
    assert!(load(&store, &id, at(0)).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn clean_up_is_that_of_the_store_inside_and_drops_what_it_removes() {
    let (store, other) = two_handles(HOUR * 48);
    let ours = begin(&store).await;
    let theirs = begin(&other).await;
    let due = ours.idle_deadline.saturating_add(Duration::from_secs(60));
    let mut removed = store.delete_expired(due, 10).await.unwrap();
    removed.sort();
    let mut both = [ours.key, theirs.key];
    both.sort();
    assert_eq!(removed, both, "also what is not kept here");
    assert!(load(&store, &ours.id, at(0)).await.is_none());
}

// How far behind it may be.

#[tokio::test(start_paused = true)]
async fn an_end_elsewhere_is_seen_here_when_the_staleness_is_over() {
    let (store, other) = two_handles(STALENESS);
    let session = begin(&store).await;
    assert!(other.delete(&session.key, at(0)).await.unwrap());
    assert!(
        load(&store, &session.id, at(999)).await.is_some(),
        "what it gives up"
    );
    assert!(
        ask(&store, &session, at(999)).await.is_some(),
        "what it gives up"
    );
    assert!(load(&store, &session.id, at(1000)).await.is_none());
    assert_eq!(ask(&store, &session, at(1000)).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_was_found_to_be_gone_is_gone_for_a_caller_whose_clock_is_behind() {
    let (store, other) = two_handles(STALENESS);
    let session = begin(&store).await;
    assert!(other.delete(&session.key, at(0)).await.unwrap());
    assert!(load(&store, &session.id, at(1000)).await.is_none());
    assert!(load(&store, &session.id, at(999)).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_change_elsewhere_is_seen_here_when_the_staleness_is_over() {
    let (store, other) = two_handles(STALENESS);
    let session = begin(&store).await;
    let theirs = save(&other, &session, "theirs", session.revision)
        .await
        .unwrap();
    assert_eq!(ask(&store, &session, at(999)).await, Some(session.revision));
    assert_eq!(ask(&store, &session, at(1000)).await, Some(theirs));
    let loaded = load(&store, &session.id, at(1000)).await.unwrap();
    assert_eq!(
        (value(&loaded), loaded.revision),
        ("theirs".to_owned(), theirs)
    );
}

#[tokio::test(start_paused = true)]
async fn reading_does_not_lengthen_the_staleness() {
    let (store, other) = two_handles(STALENESS);
    let session = begin(&store).await;
    assert!(other.delete(&session.key, at(0)).await.unwrap());
    for millis in (0..1000).step_by(100) {
        assert!(load(&store, &session.id, at(millis)).await.is_some());
        assert!(ask(&store, &session, at(millis)).await.is_some());
    }
    assert!(load(&store, &session.id, at(1000)).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_staleness_counts_from_before_the_question() {
    let (store, other) = two_handles(STALENESS);
    let session = begin(&other).await;
    let old = load_on_its_way(&store, &session).await;
    assert!(other.delete(&session.key, at(0)).await.unwrap());
    store.inner().release();
    assert!(old.await.unwrap().is_some());
    assert!(load(&store, &session.id, at(1000)).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_stands_still_or_goes_back_lengthens_nothing() {
    let (store, other) = two_handles(STALENESS);
    let session = begin(&store).await;
    assert!(other.delete(&session.key, at(0)).await.unwrap());
    tokio::time::advance(STALENESS - MILLISECOND).await;
    assert!(load(&store, &session.id, at(0)).await.is_some());
    let before = Timestamp::from_millis(NOW - 1);
    assert!(
        load(&store, &session.id, before).await.is_none(),
        "a clock set back"
    );

    let session = begin(&store).await;
    assert!(other.delete(&session.key, at(0)).await.unwrap());
    tokio::time::advance(STALENESS).await;
    assert!(
        load(&store, &session.id, at(0)).await.is_none(),
        "a clock that stands"
    );
}

#[tokio::test(start_paused = true)]
async fn updates_of_two_handles_are_all_kept() {
    let (store, other) = two_handles(HOUR);
    let session = begin(&store).await;
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let store = if n % 2 == 0 {
                store.clone()
            } else {
                other.clone()
            };
            let session = session.clone();
            tokio::spawn(async move { add(&store, &session, n).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let loaded = load(store.inner(), &session.id, at(0)).await.unwrap();
    assert!((0..64).all(|n| loaded.record.values().contains(&n.to_string())));
}

// Limits.

#[tokio::test(start_paused = true)]
async fn no_more_sessions_are_kept_than_there_is_room_for() {
    let store = cached(inner(), HOUR).with_max_sessions(10);
    assert!(kept_of(&store, 1_000).await <= 10);
    let none = cached(inner(), HOUR).with_max_sessions(0);
    assert_eq!(kept_of(&none, 10).await, 0);
    let all = cached(inner(), HOUR);
    assert_eq!(kept_of(&all, 1_000).await, 1_000);
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_the_newest_is_kept() {
    let mut bytes = 0;
    let one = loop {
        bytes += 16;
        let store = cached(inner(), HOUR).with_max_bytes(bytes);
        if kept_of(&store, 1).await == 1 {
            break store;
        }
    };
    for store in [cached(inner(), HOUR).with_max_sessions(1), one] {
        begin(&store).await;
        let newest = begin(&store).await;
        let calls = store.inner().total_calls();
        assert!(ask(&store, &newest, at(0)).await.is_some());
        assert_eq!(store.inner().total_calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_bytes_are_kept_than_there_is_room_for() {
    let size = record("a").size();
    let store = cached(inner(), HOUR).with_max_bytes(10 * size);
    let kept = kept_of(&store, 1_000).await;
    assert!((1..10).contains(&kept), "{kept} are kept");
    let too_small = cached(inner(), HOUR).with_max_bytes(size);
    assert_eq!(kept_of(&too_small, 10).await, 0);
}

#[tokio::test(start_paused = true)]
async fn room_is_given_back_by_deletion_replacement_and_clean_up() {
    let store = cached(inner(), HOUR).with_max_sessions(2);
    for _ in 0..100 {
        let session = begin(&store).await;
        let saved = save(&store, &session, "a longer value", session.revision)
            .await
            .unwrap();
        save(&store, &session, "b", saved).await.unwrap();
        store.delete(&session.key, at(0)).await.unwrap();
    }
    assert_eq!(kept_of(&store, 2).await, 2, "nothing else takes room");
    store
        .delete_expired(at(0).saturating_add(HOUR), 10)
        .await
        .unwrap();
    assert_eq!(kept_of(&store, 2).await, 2);
}

/// Begins `count` sessions; says how many are answered from memory then.
async fn kept_of(store: &Cached, count: usize) -> usize {
    let mut sessions = Vec::new();
    for _ in 0..count {
        sessions.push(begin(store).await);
    }
    let mut kept = 0;
    // By asking: the answer to a load would take the place of another.
    for session in &sessions {
        let before = store.inner().total_calls();
        assert!(ask(store, session, at(0)).await.is_some());
        kept += usize::from(store.inner().total_calls() == before);
    }
    kept
}

async fn add(store: &Cached, session: &Stored, n: usize) {
    loop {
        let read = load(store, &session.id, at(0)).await.unwrap();
        tokio::task::yield_now().await;
        let mut values = read.record.values().clone();
        values.insert(n.to_string(), &n).unwrap();
        let next = Arc::new((*read.record).clone().with_values(values));
        match store.save(&read.key, next, read.revision).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Conflict),
        }
    }
}

/// Waits until a call hangs, which must happen.
async fn arrived<S: SessionStore>(store: &FaultyStore<S>, operation: Operation) {
    let arrival = tokio::time::timeout(HOUR, store.arrived(operation));
    arrival.await.expect("a call hangs");
}

/// A load that has read the session and not come back yet.
async fn load_on_its_way(store: &Cached, session: &Stored) -> JoinHandle<Option<Stored>> {
    store.inner().hang_after(Operation::Load);
    let (loading, id) = (store.clone(), session.id.clone());
    let task = tokio::spawn(async move { load(&loading, &id, at(0)).await });
    arrived(store.inner(), Operation::Load).await;
    task
}

/// A store that settles on an id of its own, and tells it.
#[derive(Clone, Debug, Default)]
struct Renames {
    inner: MemoryStore,
    id: Arc<Mutex<Option<SessionId>>>,
}

#[async_trait::async_trait]
impl SessionStore for Renames {
    async fn create(&self, _: &SessionId, new: NewSession) -> Result<Stored, StoreError> {
        let mut stored = begin(&self.inner).await;
        stored.record = new.record;
        stored.watch = None;
        *self.id.lock().unwrap() = Some(stored.id.clone());
        Ok(stored)
    }

    async fn load(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        self.inner.load(audience, id, now).await
    }

    async fn save(
        &self,
        key: &SessionKey,
        record: Arc<SessionRecord>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        self.inner.save(key, record, expected).await
    }

    async fn touch(
        &self,
        key: &SessionKey,
        now: Timestamp,
        deadline: Option<Timestamp>,
    ) -> Result<Option<Revision>, StoreError> {
        self.inner.touch(key, now, deadline).await
    }

    async fn delete(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError> {
        self.inner.delete(key, now).await
    }

    async fn delete_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        self.inner.delete_expired(now, limit).await
    }
}

/// Two instances over one store, each with a cache of its own.
fn two_handles(staleness: Duration) -> (Cached, Cached) {
    let shared = MemoryStore::new();
    let handle = || FaultyStore::new(shared.clone()).without_watch();
    (cached(handle(), staleness), cached(handle(), staleness))
}

fn inner() -> Inner {
    FaultyStore::new(MemoryStore::new()).without_watch()
}

fn helpless() -> Inner {
    let store = MemoryStore::new();
    let mut able = store.capabilities();
    able.save = false;
    able.delete = false;
    able.idle_expiry = false;
    able.watch = false;
    FaultyStore::new(store).with_capabilities(able)
}

fn cached(inner: Inner, staleness: Duration) -> Cached {
    CachedStore::new(inner).with_staleness(staleness)
}

async fn begin(store: &impl SessionStore) -> Stored {
    let id = SessionId::random().unwrap();
    store.create(&id, new_session()).await.unwrap()
}

async fn load(store: &impl SessionStore, id: &SessionId, now: Timestamp) -> Option<Stored> {
    store.load("/mcp", id, now).await.unwrap()
}

async fn ask(store: &impl SessionStore, session: &Stored, now: Timestamp) -> Option<Revision> {
    store.touch(&session.key, now, None).await.unwrap()
}

async fn save(
    store: &impl SessionStore,
    session: &Stored,
    value: &str,
    expected: Revision,
) -> Result<Revision, StoreErrorKind> {
    let record = Arc::new(record(value));
    let saved = store.save(&session.key, record, expected).await;
    saved.map_err(|error| error.kind())
}

fn value(stored: &Stored) -> String {
    stored.record.values().get("value").unwrap().unwrap()
}

fn new_session() -> NewSession {
    NewSession::new("/mcp", record("begun"), at(0), at(0).saturating_add(HOUR))
}

/// Ends a day after [`NOW`].
fn record(value: &str) -> SessionRecord {
    let params = serde_json::value::to_raw_value("params").unwrap();
    let handshake = Arc::new(Handshake::new(params, ProtocolVersion::V2025_11_25));
    let mut values = Values::default();
    values.insert("value", value).unwrap();
    let end = at(0).saturating_add(HOUR * 24);
    SessionRecord::new(at(0), end, None, handshake).with_values(values)
}

/// So many milliseconds after the sessions begin.
fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(NOW + millis)
}

const NOW: u64 = 1_800_000_000_000;
const HOUR: Duration = Duration::from_secs(60 * 60);
const STALENESS: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
