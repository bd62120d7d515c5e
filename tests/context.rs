//! What handlers do with a session: values, its facts, its end.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "support/sessions.rs"]
mod support;

use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use serde::Serialize;
use serde_json::json;
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::{Answer, FaultyStore, ManualClock, Operation, ScriptedService};
use tower_mcp_session::{
    Clock, MemoryStore, Principal, ProtocolVersion, Scope, SessionContext, SessionError,
    SessionState, Values,
};

use support::{
    HOUR, Instance, LIST, MINUTE, SECOND, by, delete, get, initialize, ping, post, read, with_watch,
};

fn kind_of(error: &SessionError) -> Option<StoreErrorKind> {
    match error {
        SessionError::Store(error) => Some(error.kind()),
        _ => None,
    }
}

#[tokio::test]
async fn values_are_kept_typed_and_named() {
    let instance = Instance::new(|layer| layer);
    let (_, session) = instance.open_context().await;
    assert_eq!(session.get::<u32>("n").await.unwrap(), None);
    assert_eq!(session.get_or("n", 7).await.unwrap(), 7);
    session.insert("n", &1).await.unwrap();
    session.insert("text", "t").await.unwrap();
    session.insert("null", &()).await.unwrap();
    session.insert("", &[1, 2]).await.unwrap();
    assert_eq!(session.get("n").await.unwrap(), Some(1));
    assert_eq!(session.get_or("n", 7).await.unwrap(), 1);
    assert_eq!(session.get::<String>("text").await.unwrap().unwrap(), "t");
    assert_eq!(session.get::<()>("null").await.unwrap(), Some(()));
    assert_eq!(session.get::<[u8; 2]>("").await.unwrap(), Some([1, 2]));
    let wrong = session.get::<u32>("text").await.unwrap_err();
    assert!(matches!(wrong, SessionError::Values(_)));
    assert!(session.remove("text").await.unwrap());
    assert!(!session.remove("text").await.unwrap());
    assert_eq!(
        session
            .update("n", |n: Option<u32>| n.unwrap() + 1)
            .await
            .unwrap(),
        2
    );
    assert_eq!(
        session
            .update("new", |n: Option<u32>| n.unwrap_or(9))
            .await
            .unwrap(),
        9
    );
    let mut more = Values::default();
    more.insert("n", &100).unwrap();
    more.insert("more", &true).unwrap();
    session.extend(&more).await.unwrap();
    let all = session.values().await.unwrap();
    let names: Vec<_> = all.names().collect();
    assert_eq!(names, ["", "more", "n", "new", "null"]);
    assert_eq!(all.get::<u32>("n").unwrap(), Some(100));
    session.clear().await.unwrap();
    assert!(session.values().await.unwrap().is_empty());
}

#[tokio::test]
async fn values_over_the_limit_are_refused_and_nothing_has_changed() {
    let instance = Instance::new(|layer| layer.with_max_values_bytes(20));
    let (_, session) = instance.open_context().await;
    session.insert("a", "12345678").await.unwrap();
    let size = session.values().await.unwrap().size();
    assert_eq!(size, 11);
    session.insert("b", "123456").await.unwrap();
    for error in [
        session.insert("b", "1234567").await.unwrap_err(),
        session.insert("c", &0).await.unwrap_err(),
        session
            .update("b", |_: Option<String>| "1234567".to_owned())
            .await
            .unwrap_err(),
        session
            .extend(
                &[("c", 1)]
                    .into_iter()
                    .fold(Values::default(), |mut values, (name, value)| {
                        values.insert(name, &value).unwrap();
                        values
                    }),
            )
            .await
            .unwrap_err(),
    ] {
        let SessionError::TooLarge { size, limit } = error else {
            panic!("{error:?}");
        };
        assert!(size > 20 && limit == 20);
    }
    assert_eq!(session.get::<String>("b").await.unwrap().unwrap(), "123456");
    assert!(session.remove("a").await.unwrap());
    session.insert("b", "1234567").await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_written_as_json_changes_nothing() {
    struct Stubborn;
    impl Serialize for Stubborn {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    let instance = Instance::new(|layer| layer);
    let (_, session) = instance.open_context().await;
    session.insert("a", &1).await.unwrap();
    let error = session.insert("a", &Stubborn).await.unwrap_err();
    assert!(matches!(error, SessionError::Values(_)));
    assert_eq!(session.get("a").await.unwrap(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_update_of_many_at_once_is_lost() {
    for (layers, watched) in [(1, true), (1, false), (2, true), (2, false)] {
        let (store, clock) = (MemoryStore::new(), ManualClock::new());
        let instances: Vec<_> = (0..layers)
            .map(|_| {
                let store = with_watch(FaultyStore::new(store.clone()), watched);
                Instance::over(store, &clock, |layer| {
                    layer.with_freshness(if watched {
                        std::time::Duration::ZERO
                    } else {
                        MINUTE
                    })
                })
            })
            .collect();
        let id = instances[0].open().await;
        let mut contexts = Vec::new();
        for instance in &instances {
            assert!(instance.serves(&id).await);
            contexts.push(instance.context());
        }
        let tasks: Vec<_> = (0..64)
            .map(|n| {
                let session = contexts[n % layers].clone();
                tokio::spawn(async move {
                    let add = |n: Option<u64>| n.unwrap_or(0) + 1;
                    session.update("n", add).await.unwrap();
                    session.insert(&format!("own-{n}"), &n).await.unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        for instance in &instances {
            assert!(instance.serves(&id).await);
        }
        let add = |n: Option<u64>| n.unwrap_or(0) + 1;
        for (n, session) in contexts.iter().enumerate() {
            assert_eq!(session.update("n", add).await.unwrap(), 65 + n as u64);
            assert_eq!(session.values().await.unwrap().len(), 65);
        }
    }
}

#[tokio::test]
async fn an_update_is_asked_again_when_another_was_faster() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| layer);
    let (_, session) = instance.open_context().await;
    store.fail_next(Operation::Save, StoreErrorKind::Conflict);
    store.fail_next(Operation::Save, StoreErrorKind::Conflict);
    let mut asked = 0;
    let result = session.update("n", |_: Option<u32>| {
        asked += 1;
        asked
    });
    assert_eq!(result.await.unwrap(), 3);
    assert_eq!(asked, 3);
}

#[tokio::test]
async fn a_change_that_is_not_wanted_any_more_writes_nothing() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| layer);
    let (_, session) = instance.open_context().await;
    let next = |below: u32| {
        move |n: Option<u32>| {
            let n = n.unwrap_or(0);
            (n < below).then_some(n + 1)
        }
    };
    assert_eq!(session.try_update("n", next(1)).await.unwrap(), Some(1));
    let saves = store.calls(Operation::Save);
    assert_eq!(session.try_update("n", next(1)).await.unwrap(), None);
    assert_eq!(
        session
            .try_update("m", |_: Option<u32>| None)
            .await
            .unwrap(),
        None
    );
    assert_eq!(store.calls(Operation::Save), saves);
    assert_eq!(
        session.values().await.unwrap().names().collect::<Vec<_>>(),
        ["n"]
    );

    // Wanted at first, and refused by what was found after another was faster.
    store.fail_next(Operation::Save, StoreErrorKind::Conflict);
    let mut asked = 0;
    let result = session.try_update("n", |n: Option<u32>| {
        asked += 1;
        n.filter(|_| asked == 1)
    });
    assert_eq!(result.await.unwrap(), None);
    assert_eq!(asked, 2);
    let error = session.try_update("n", |_: Option<String>| None).await;
    assert!(matches!(error, Err(SessionError::Values(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_compete_for_a_value_as_many_win_as_there_is_room() {
    let store = MemoryStore::new();
    let clock = ManualClock::new();
    let [one, two] =
        [(); 2].map(|()| Instance::over(support::shared(&store), &clock, |layer| layer));
    let (id, here) = one.open_context().await;
    assert!(two.serves(&id).await);
    let there = two.context();
    let mut tasks = tokio::task::JoinSet::new();
    for session in (0..32).flat_map(|_| [here.clone(), there.clone()]) {
        tasks.spawn(async move {
            let taken = session.try_update("taken", |taken: Option<u32>| {
                let taken = taken.unwrap_or(0);
                (taken < 10).then_some(taken + 1)
            });
            taken.await.unwrap()
        });
    }
    let mut won: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    won.sort_unstable();
    assert_eq!(won, (1..=10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_is_always_too_late_gives_up() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| layer);
    let (_, session) = instance.open_context().await;
    let before = store.calls(Operation::Save);
    store.fail_all(Operation::Save, StoreErrorKind::Conflict);
    let error = session.insert("n", &1).await.unwrap_err();
    assert_eq!(kind_of(&error), Some(StoreErrorKind::Conflict));
    assert_eq!(store.calls(Operation::Save) - before, 64);
    store.heal();
    store.fail_next(Operation::Save, StoreErrorKind::Unavailable);
    let before = store.calls(Operation::Save);
    let error = session.insert("n", &1).await.unwrap_err();
    assert_eq!(kind_of(&error), Some(StoreErrorKind::Unavailable));
    assert_eq!(
        store.calls(Operation::Save) - before,
        1,
        "only a conflict is tried again"
    );
}

/// An instance whose server is in the middle of an initialize, the request, and its context.
async fn in_initialize<'i>(
    instance: &'i Instance,
) -> (
    tokio_test::task::Spawn<impl Future<Output = support::Answer> + use<'i>>,
    SessionContext,
) {
    instance.server.hold();
    let seen = instance.server.requests().len();
    let mut request = tokio_test::task::spawn(instance.send(initialize()));
    while instance.server.requests().len() == seen {
        assert!(request.poll().is_pending());
        tokio::task::yield_now().await;
    }
    (request, instance.context())
}

#[tokio::test]
async fn what_an_initialize_writes_is_kept_if_it_succeeds() {
    let instance = Instance::new(|layer| layer.with_max_values_bytes(20));
    let (request, session) = in_initialize(&instance).await;
    assert_eq!(session.scope(), Scope::Initialize);
    assert!(session.id().is_none() && session.fingerprint().is_none());
    assert!(session.created().is_none() && session.expires_at().is_none());
    assert_eq!(session.state(), SessionState::Active);
    assert_eq!(session.client_info().unwrap().name, "test");
    assert_eq!(session.capabilities(), Some(json!({ "roots": {} })));
    session.insert("a", &1).await.unwrap();
    session
        .update("a", |n: Option<u32>| n.unwrap() + 1)
        .await
        .unwrap();
    let refused = session.try_update("a", |_: Option<u32>| None);
    assert_eq!(refused.await.unwrap(), None);
    session.insert("gone", &1).await.unwrap();
    assert!(session.remove("gone").await.unwrap());
    assert_eq!(session.get("a").await.unwrap(), Some(2));
    let error = session.insert("b", &"x".repeat(20)).await.unwrap_err();
    assert!(matches!(error, SessionError::TooLarge { .. }));
    for error in [
        session.end().await.unwrap_err(),
        session.suspend().await.unwrap_err(),
    ] {
        assert_eq!(kind_of(&error), Some(StoreErrorKind::Unsupported));
    }
    instance.server.release();
    let answer = request.await;
    let id = support::id_of(answer.headers()).unwrap();
    drop(answer);
    // The same context is the session's now.
    assert_eq!(session.scope(), Scope::Session);
    assert_eq!(session.id().unwrap().to_header_value(), id.as_str());
    session.insert("b", &3).await.unwrap();
    assert!(instance.serves(&id).await);
    let later = instance.context();
    assert_eq!(later.get("a").await.unwrap(), Some(2));
    assert_eq!(later.get("b").await.unwrap(), Some(3));
    assert_eq!(later.get::<u32>("gone").await.unwrap(), None);
}

#[tokio::test]
async fn what_an_initialize_writes_is_gone_if_it_fails() {
    let instance = Instance::new(|layer| layer);
    let (request, session) = in_initialize(&instance).await;
    session.insert("a", &1).await.unwrap();
    let mut work = tokio_test::task::spawn(session.cancelled());
    assert!(work.poll().is_pending());
    instance.server.answer_next(Answer::error(-32603, "no"));
    instance.server.release();
    read(request.await).await;
    assert!(work.is_woken() && work.poll().is_ready());
    assert!(session.has_ended());
    for error in [
        session.get::<u32>("a").await.unwrap_err(),
        session.insert("a", &1).await.unwrap_err(),
    ] {
        assert_eq!(kind_of(&error), Some(StoreErrorKind::Gone));
    }
    assert!(session.id().is_none());
}

#[tokio::test]
async fn a_writer_during_the_commit_waits_for_its_outcome() {
    for succeeds in [true, false] {
        let store = FaultyStore::new(MemoryStore::new());
        let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| layer);
        let (request, session) = in_initialize(&instance).await;
        session.insert("a", &1).await.unwrap();
        store.hang(Operation::Create);
        if !succeeds {
            store.fail_next(Operation::Create, StoreErrorKind::Unavailable);
        }
        instance.server.release();
        store.arrived(Operation::Create).await;
        let mut write = tokio_test::task::spawn(session.insert("b", &2));
        let mut reader = tokio_test::task::spawn(session.get::<u32>("a"));
        assert!(write.poll().is_pending() && reader.poll().is_pending());
        store.release();
        let status = request.await.status();
        if succeeds {
            assert_eq!(status, 200);
            write.await.unwrap();
            assert_eq!(reader.await.unwrap(), Some(1));
            assert_eq!(session.get("b").await.unwrap(), Some(2));
        } else {
            assert_eq!(status, 503);
            assert_eq!(
                kind_of(&write.await.unwrap_err()),
                Some(StoreErrorKind::Gone)
            );
            assert_eq!(
                kind_of(&reader.await.unwrap_err()),
                Some(StoreErrorKind::Gone)
            );
        }
    }
}

#[tokio::test]
async fn an_update_may_look_at_its_own_session() {
    let instance = Instance::new(|layer| layer);
    let (request, session) = in_initialize(&instance).await;
    let own = session.clone();
    let look =
        |_: Option<bool>| own.id().is_some() || own.has_ended() || own.expires_at().is_some();
    // Elsewhere, so that a lock which is held too long does not hang the test.
    let (told, answer) = std::sync::mpsc::channel();
    let handle = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        let session = &session;
        let thread = std::thread::Builder::new();
        let thread = thread.spawn_scoped(scope, move || {
            told.send(handle.block_on(session.update("looked", look)))
                .unwrap();
        });
        let seen = answer.recv_timeout(SECOND * 20);
        if seen.is_err() {
            eprintln!("the update is stuck");
            std::process::exit(1);
        }
        assert!(!seen.unwrap().unwrap());
        thread.unwrap().join().unwrap();
    });
    instance.server.release();
    drop(request.await);
    assert!(session.update("looked", look).await.unwrap());
}

#[tokio::test]
async fn a_context_is_usable_after_the_answer_and_in_tasks_of_its_own() {
    let instance = Instance::new(|layer| layer);
    let (id, session) = instance.open_context().await;
    let task = session.clone();
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let work = tokio::spawn(async move {
        gone.await.unwrap();
        task.insert("late", &1).await
    });
    instance.clock.advance(HOUR);
    go.send(()).unwrap();
    work.await.unwrap().unwrap();
    assert!(instance.serves(&id).await);
    assert_eq!(instance.context().get("late").await.unwrap(), Some(1));
}

#[tokio::test]
async fn cancelled_fires_at_each_end() {
    let begin = async || {
        let instance = Instance::new(|layer| layer.with_max_sessions(1));
        let (id, session) = instance.open_context().await;
        let work = tokio_test::task::spawn(session.cancelled());
        (instance, id, session, work)
    };
    let (instance, id, session, mut work) = begin().await;
    assert!(work.poll().is_pending());
    assert_eq!(instance.status(delete(&id)).await, 204);
    assert!(work.is_woken() && work.poll().is_ready() && session.has_ended());

    let (_instance, _, session, mut work) = begin().await;
    assert!(work.poll().is_pending());
    session.end().await.unwrap();
    assert!(work.is_woken() && work.poll().is_ready() && session.has_ended());
    assert_eq!(session.state(), SessionState::Closed);

    let (instance, _, session, mut work) = begin().await;
    assert!(work.poll().is_pending());
    instance.pass(HOUR * 24).await;
    assert!(work.is_woken() && work.poll().is_ready() && session.has_ended());

    let (instance, _, session, mut work) = begin().await;
    assert!(work.poll().is_pending());
    instance.clock.advance(SECOND * 301);
    instance.open().await;
    assert!(work.is_woken() && work.poll().is_ready() && session.has_ended());

    let (_instance, _, session, mut work) = begin().await;
    assert!(work.poll().is_pending());
    session.suspend().await.unwrap();
    assert!(work.is_woken() && work.poll().is_ready() && !session.has_ended());
    // Whoever asks now learns at once; whoever asks after it was resumed waits again.
    assert!(
        tokio_test::task::spawn(session.cancelled())
            .poll()
            .is_ready()
    );
    session.resume().await.unwrap();
    let mut work = tokio_test::task::spawn(session.cancelled());
    assert!(work.poll().is_pending());
    session.end().await.unwrap();
    assert!(work.poll().is_ready());
    // And whoever asks after the end.
    assert!(
        tokio_test::task::spawn(session.cancelled())
            .poll()
            .is_ready()
    );
}

#[tokio::test]
async fn a_suspended_session_whose_work_nobody_had_asked_for_is_cancelled_too() {
    let instance = Instance::new(|layer| layer);
    let (_, session) = instance.open_context().await;
    session.suspend().await.unwrap();
    assert!(
        tokio_test::task::spawn(session.cancelled())
            .poll()
            .is_ready()
    );
    session.resume().await.unwrap();
    assert!(
        tokio_test::task::spawn(session.cancelled())
            .poll()
            .is_pending()
    );
}

#[tokio::test]
async fn work_that_asks_during_a_suspension_by_another_layer_is_cancelled_at_once() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let one = Instance::over(store.clone(), &clock, |layer| layer);
    let other = Instance::over(store, &clock, |layer| layer);
    let (id, session) = one.open_context().await;
    assert!(other.serves(&id).await);
    let elsewhere = other.context();
    session.suspend().await.unwrap();
    assert_eq!(other.status(ping(&id)).await, 503);
    let mut work = tokio_test::task::spawn(elsewhere.cancelled());
    assert!(work.poll().is_ready());
    session.resume().await.unwrap();
    assert!(other.serves(&id).await);
    let mut work = tokio_test::task::spawn(elsewhere.cancelled());
    assert!(work.poll().is_pending());
}

#[tokio::test]
async fn suspend_and_resume_follow_the_table() {
    let instance = Instance::new(|layer| layer);
    let (id, session) = instance.open_context().await;
    let refused = |error: SessionError| match error {
        SessionError::State(error) => (error.from, error.to),
        other => panic!("{other:?}"),
    };
    let (active, suspended) = (SessionState::Active, SessionState::Suspended);
    assert_eq!(
        refused(session.resume().await.unwrap_err()),
        (active, active)
    );
    session.suspend().await.unwrap();
    assert_eq!(session.state(), suspended);
    assert_eq!(
        refused(session.suspend().await.unwrap_err()),
        (suspended, suspended)
    );
    for request in [ping(&id), get(&id)] {
        assert_eq!(instance.status(request).await, 503);
    }
    // Its values stay at hand for whoever holds the context.
    session.insert("a", &1).await.unwrap();
    session.resume().await.unwrap();
    assert_eq!(session.state(), active);
    assert!(instance.serves(&id).await);
    assert_eq!(session.get("a").await.unwrap(), Some(1));
    session.suspend().await.unwrap();
    assert_eq!(instance.status(delete(&id)).await, 204);
    assert_eq!(session.state(), SessionState::Closed);
    for error in [
        session.suspend().await.unwrap_err(),
        session.resume().await.unwrap_err(),
        session.insert("a", &1).await.unwrap_err(),
        session.get::<u8>("a").await.unwrap_err(),
    ] {
        assert_eq!(kind_of(&error), Some(StoreErrorKind::Gone));
    }
}

#[tokio::test]
async fn a_session_that_has_expired_is_gone_for_whoever_kept_its_context() {
    let day = HOUR * 24;
    for watched in [true, false] {
        let store = with_watch(FaultyStore::new(MemoryStore::new()), watched);
        // Nobody has cleaned up when it is suspended; the write finds what the first call has ended.
        for suspended in [true, false] {
            let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| layer);
            let (_, session) = instance.open_context().await;
            if suspended {
                session.suspend().await.unwrap();
            }
            instance.clock.advance(day);
            let moved = match suspended {
                true => session.resume().await,
                false => session.suspend().await,
            };
            assert_eq!(kind_of(&moved.unwrap_err()), Some(StoreErrorKind::Gone));
            let written = session.insert("late", &1).await;
            assert_eq!(kind_of(&written.unwrap_err()), Some(StoreErrorKind::Gone));
            assert!(session.has_ended());
        }
        let instance = Instance::over(store, &ManualClock::new(), |layer| layer);
        let (_, session) = instance.open_context().await;
        instance.clock.advance(day);
        let error = session.try_update("late", |_: Option<u32>| None).await;
        assert_eq!(kind_of(&error.unwrap_err()), Some(StoreErrorKind::Gone));
    }
}

#[tokio::test]
async fn a_call_that_runs_longer_than_a_session_lasts_unused_may_still_write() {
    let instance = Instance::new(|layer| layer);
    let id = instance.open().await;
    instance.server.hold();
    let mut call = tokio_test::task::spawn(instance.send(post(&id, LIST)));
    assert!(call.poll().is_pending());
    instance.clock.advance(HOUR * 25);
    instance.context().insert("late", &1).await.unwrap();
    instance.clock.advance(HOUR * 24 * 6);
    let error = instance.context().insert("too late", &1).await.unwrap_err();
    assert_eq!(kind_of(&error), Some(StoreErrorKind::Gone));
}

#[tokio::test]
async fn sessions_do_not_see_each_other() {
    let instance = Instance::new(|layer| layer);
    let mut sessions = Vec::new();
    for n in 0..10 {
        let (id, session) = instance.open_context().await;
        session.insert("own", &n).await.unwrap();
        sessions.push((n, id, session));
    }
    sessions[3].2.clear().await.unwrap();
    sessions[4].2.end().await.unwrap();
    for (n, id, session) in &sessions {
        match n {
            3 => assert_eq!(session.get::<i32>("own").await.unwrap(), None),
            4 => assert!(!instance.serves(id).await),
            n => assert_eq!(session.get::<i32>("own").await.unwrap(), Some(*n)),
        }
    }
}

#[tokio::test]
async fn all_facts_of_a_session_are_told() {
    let clock = ManualClock::new();
    let instance = Instance::serving(
        ScriptedService::new().negotiating("2025-06-18"),
        MemoryStore::new(),
        &clock,
        |layer| layer,
    );
    let begun = clock.now();
    let id = instance.open_as("alice").await;
    let session = instance.context();
    assert_eq!(session.scope(), Scope::Session);
    assert_eq!(session.id().unwrap().to_header_value(), id.as_str());
    assert_eq!(
        session.fingerprint(),
        session.id().map(|id| id.fingerprint())
    );
    let client = session.client_info().unwrap();
    assert_eq!(
        (client.name.as_str(), client.version.as_str()),
        ("test", "1")
    );
    assert_eq!(session.capabilities(), Some(json!({ "roots": {} })));
    let params: serde_json::Value =
        serde_json::from_str(session.initialize_params().get()).unwrap();
    assert_eq!(params["clientInfo"]["name"], "test");
    // The version of the answer, not the one that was asked for.
    let version: ProtocolVersion = "2025-06-18".parse().unwrap();
    assert_eq!(session.protocol_version(), Some(version));
    assert_eq!(session.principal(), Some(Principal::new("alice")));
    assert_eq!(session.created(), Some(begun));
    assert_eq!(session.last_activity(), Some(begun));
    assert_eq!(session.expires_at(), Some(begun.saturating_add(HOUR * 24)));
    assert_eq!(session.state(), SessionState::Active);
    assert!(!session.is_restored() && !session.has_ended());
    clock.advance(MINUTE * 6);
    assert_eq!(session.state(), SessionState::Idle);
    assert_eq!(instance.status(by(ping(&id), "alice")).await, 200);
    assert_eq!(session.created(), Some(begun));
    assert_eq!(session.last_activity(), Some(clock.now()));
    assert_eq!(
        session.expires_at(),
        Some(clock.now().saturating_add(HOUR * 24))
    );
    assert_eq!(session.state(), SessionState::Active);
    clock.advance(HOUR * 24 * 7);
    instance.layer.clean_up().await.unwrap();
    assert_eq!(session.state(), SessionState::Closed);
}

#[tokio::test]
async fn a_write_of_another_layer_is_seen_at_the_next_request() {
    for watched in [true, false] {
        let (store, clock) = (MemoryStore::new(), ManualClock::new());
        let instance = || {
            let store = with_watch(FaultyStore::new(store.clone()), watched);
            Instance::over(store, &clock, |layer| layer)
        };
        let (one, other) = (instance(), instance());
        let (id, session) = one.open_context().await;
        assert!(other.serves(&id).await);
        let elsewhere = other.context();
        for n in 0..5 {
            session.insert("n", &n).await.unwrap();
            assert!(other.serves(&id).await);
            assert_eq!(elsewhere.get("n").await.unwrap(), Some(n));
            elsewhere.insert("m", &n).await.unwrap();
            assert_eq!(session.get("m").await.unwrap(), Some(n));
        }
    }
}

#[tokio::test]
async fn a_handler_that_panics_in_an_update_leaves_the_session_usable() {
    let instance = Instance::new(|layer| layer);
    let (_, session) = instance.open_context().await;
    for session in [session.clone(), in_initialize(&instance).await.1] {
        let own = session.clone();
        let panics = tokio::spawn(async move {
            own.update("n", |_: Option<u32>| -> u32 { panic!("of the handler") })
                .await
        });
        assert!(panics.await.unwrap_err().is_panic());
        session.insert("n", &1).await.unwrap();
        assert_eq!(session.get("n").await.unwrap(), Some(1));
    }
}

#[tokio::test]
async fn the_end_of_a_session_inside_its_own_call_lets_the_answer_out() {
    let instance = Instance::new(|layer| layer);
    let (id, session) = instance.open_context().await;
    let ending = Arc::new(Mutex::new(None));
    let (own, slot) = (session.clone(), Arc::clone(&ending));
    instance.server.on("tools/list", move |_| {
        let own = own.clone();
        *slot.lock().unwrap() = Some(tokio::spawn(async move { own.end().await }));
        Answer::events([json!({ "jsonrpc": "2.0", "id": 8, "result": {} })])
    });
    let answer = instance.send(post(&id, LIST)).await;
    let ended = ending.lock().unwrap().take().unwrap();
    ended.await.unwrap().unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("result"));
    assert!(!instance.serves(&id).await);
}
