//! Suspending and resuming, wherever the session lives.

use std::time::Duration;

use http::header::RETRY_AFTER;
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::{FaultyStore, ManualClock, Operation};
use tower_mcp_session::{InvalidTransition, MemoryStore, SessionError, SessionLayer, SessionState};

use crate::support::{Instance, LIST, MINUTE, SECOND, UNKNOWN, by, delete, ping, post, shared};
use crate::{Pair, is_over, key, plain, soon, stream, with_and_without_index};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Which kind of error of the store it is.
fn kind(result: Result<(), SessionError>) -> StoreErrorKind {
    match result.unwrap_err() {
        SessionError::Store(error) => error.kind(),
        error => panic!("{error}"),
    }
}

fn assert_forbidden(result: Result<(), SessionError>, state: SessionState) {
    match result.unwrap_err() {
        SessionError::State(InvalidTransition { from, to, .. }) => {
            assert_eq!((from, to), (state, state));
        }
        error => panic!("{error}"),
    }
}

async fn assert_suspended(instance: &Instance, id: &str) {
    let answer = instance.send(ping(id)).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key(RETRY_AFTER));
}

#[tokio::test]
async fn a_session_that_lives_here_is_suspended_at_once() {
    for instance in with_and_without_index() {
        let (id, context) = instance.open_context().await;
        let mut stream = stream(&instance, &id).await;
        let mut work = tokio_test::task::spawn(context.cancelled());
        assert!(work.poll().is_pending() && !is_over(&mut stream));

        let sessions = instance.layer.sessions();
        sessions.suspend(&key(&id)).await.unwrap();
        assert!(work.poll().is_ready() && is_over(&mut stream));
        assert_eq!(context.state(), SessionState::Suspended);
        let calls = instance.server.calls();
        assert_suspended(&instance, &id).await;
        assert_eq!(instance.server.calls(), calls, "the server has not seen it");

        sessions.resume(&key(&id)).await.unwrap();
        assert!(instance.serves(&id).await);
        let mut work = tokio_test::task::spawn(context.cancelled());
        assert!(work.poll().is_pending(), "work begins anew");
    }
}

#[tokio::test]
async fn a_session_that_another_instance_holds_is_suspended_there_at_its_next_request() {
    for watched in [true, false] {
        let pair = Pair::serving(Default::default, watched);
        let [a, b] = &pair.instances;
        let id = a.open().await;
        let sessions = b.layer.sessions();
        sessions.suspend(&key(&id)).await.unwrap();
        assert_suspended(a, &id).await;
        assert_suspended(b, &id).await;
        sessions.resume(&key(&id)).await.unwrap();
        assert!(a.serves(&id).await && b.serves(&id).await);
    }
}

#[tokio::test]
async fn streams_and_work_on_another_instance_end_within_a_touch_interval() {
    for watched in [true, false] {
        let pair = Pair::serving(Default::default, watched);
        let [a, b] = &pair.instances;
        let (id, context) = a.open_context().await;
        let mut stream = stream(a, &id).await;
        let mut work = tokio_test::task::spawn(context.cancelled());
        assert!(work.poll().is_pending());
        b.layer.sessions().suspend(&key(&id)).await.unwrap();
        assert!(!is_over(&mut stream));
        a.pass(SECOND * 30).await;
        assert!(work.poll().is_ready() && is_over(&mut stream));
        assert_suspended(a, &id).await;
    }
}

#[tokio::test]
async fn a_session_that_nobody_holds_is_suspended_in_the_store() {
    let (memory, clock) = (MemoryStore::new(), ManualClock::new());
    let gone = Instance::over(shared(&memory), &clock, plain);
    let id = gone.open().await;
    drop(gone);
    let instance = Instance::over(shared(&memory), &clock, plain);
    let sessions = instance.layer.sessions();
    sessions.suspend(&key(&id)).await.unwrap();
    assert_eq!(instance.layer.live_sessions(), 0);
    assert_suspended(&instance, &id).await;
    assert_eq!(instance.layer.live_sessions(), 0, "it is not taken up");
    sessions.resume(&key(&id)).await.unwrap();
    assert!(instance.serves(&id).await);
}

#[tokio::test]
async fn to_suspend_twice_or_to_resume_what_is_not_suspended_is_forbidden_and_changes_nothing() {
    let Pair {
        instances: [a, b],
        stores,
        ..
    } = Pair::new();
    let id = a.open().await;
    let saves = || stores.each_ref().map(|store| store.calls(Operation::Save));
    // Where it lives, and where it does not.
    for instance in [&a, &b] {
        let (sessions, key) = (instance.layer.sessions(), key(&id));
        let before = saves();
        assert_forbidden(sessions.resume(&key).await, SessionState::Active);
        assert_eq!(saves(), before);
        sessions.suspend(&key).await.unwrap();
        let before = saves();
        assert_forbidden(sessions.suspend(&key).await, SessionState::Suspended);
        assert_eq!(saves(), before);
        assert_suspended(&a, &id).await;
        sessions.resume(&key).await.unwrap();
        assert!(a.serves(&id).await);
    }
}

#[tokio::test]
async fn what_is_not_there_is_gone() {
    for instance in with_and_without_index() {
        let sessions = instance.layer.sessions();
        let ended = instance.open().await;
        assert_eq!(instance.status(delete(&ended)).await, 204);
        for id in [UNKNOWN, &ended] {
            assert_eq!(kind(sessions.suspend(&key(id)).await), StoreErrorKind::Gone);
            assert_eq!(kind(sessions.resume(&key(id)).await), StoreErrorKind::Gone);
        }
    }
}

#[tokio::test]
async fn a_session_that_has_ended_elsewhere_is_gone_where_it_lived() {
    for watched in [true, false] {
        let pair = Pair::serving(Default::default, watched);
        let [a, b] = &pair.instances;
        let id = a.open().await;
        assert_eq!(b.status(delete(&id)).await, 204);
        let suspended = a.layer.sessions().suspend(&key(&id)).await;
        assert_eq!(kind(suspended), StoreErrorKind::Gone);
    }
}

/// An instance whose keeper waits for its store and finds nothing that has expired, and a session there: the store has
/// not heard that it was used once more after 10 s, just now.
async fn untidied(store: FaultyStore<MemoryStore>) -> (Instance, String) {
    let patient = |layer: SessionLayer| layer.with_store_timeout(MINUTE);
    let instance = Instance::over(store.clone(), &ManualClock::new(), patient);
    instance.open().await;
    store.hang(Operation::DeleteExpired);
    while store.calls(Operation::DeleteExpired) == 0 {
        instance.clock.advance(SECOND);
        tokio::task::yield_now().await;
    }
    let id = instance.open().await;
    instance.clock.advance(SECOND * 10);
    assert!(instance.serves(&id).await);
    (instance, id)
}

#[tokio::test]
async fn a_session_is_suspended_until_it_expires_and_then_gone_though_nobody_has_cleaned_up() {
    let store = || FaultyStore::new(MemoryStore::new());
    for (age, is_gone) in [(DAY - SECOND, false), (DAY, true)] {
        for store in [store(), store().without_index()] {
            let (instance, id) = untidied(store).await;
            instance.clock.advance(age);
            let suspended = instance.layer.sessions().suspend(&key(&id)).await;
            match is_gone {
                true => assert_eq!(kind(suspended), StoreErrorKind::Gone),
                false => suspended.unwrap(),
            }
        }
    }
}

#[tokio::test]
async fn what_an_operator_does_prolongs_no_session() {
    for instance in with_and_without_index() {
        let id = instance.open().await;
        let sessions = instance.layer.sessions();
        instance.clock.advance(DAY - SECOND);
        sessions.suspend(&key(&id)).await.unwrap();
        sessions.resume(&key(&id)).await.unwrap();
        instance.clock.advance(SECOND);
        assert_eq!(instance.status(ping(&id)).await, 404);
    }
}

#[tokio::test]
async fn a_suspended_session_lasts_as_long_as_its_client_asks_for_it_wherever_it_asks() {
    for watched in [true, false] {
        let pair = Pair::serving(Default::default, watched);
        let [a, b] = &pair.instances;
        let id = a.open().await;
        a.layer.sessions().suspend(&key(&id)).await.unwrap();
        for instance in [b, a, b] {
            pair.clock.advance(DAY - MINUTE);
            assert_suspended(instance, &id).await;
        }
        let calls = pair.stores[1].calls(Operation::Touch);
        assert_suspended(b, &id).await;
        assert_eq!(pair.stores[1].calls(Operation::Touch), calls, "it was told");
        pair.clock.advance(DAY * 2);
        assert_eq!(b.status(ping(&id)).await, 404);
    }
}

#[tokio::test]
async fn the_owner_of_a_suspended_session_may_delete_it_and_nobody_else() {
    let Pair { instances, .. } = Pair::new();
    for n in 0..2 {
        let id = instances[0].open_as("alice").await;
        let sessions = instances[1].layer.sessions();
        sessions.suspend(&key(&id)).await.unwrap();
        let instance = &instances[n];
        assert_eq!(instance.status(by(delete(&id), "bob")).await, 404);
        assert_eq!(instance.status(by(ping(&id), "alice")).await, 503);
        assert_eq!(instance.status(by(delete(&id), "alice")).await, 204);
        assert_eq!(instance.status(by(ping(&id), "alice")).await, 404);
        assert_eq!(kind(sessions.resume(&key(&id)).await), StoreErrorKind::Gone);
    }
}

#[tokio::test]
async fn an_idle_session_is_suspended_wherever_it_lives() {
    let Pair { instances, .. } = Pair::new();
    for by in &instances {
        let id = instances[0].open().await;
        instances[0].pass(MINUTE * 6).await;
        let sessions = by.layer.sessions();
        let shown = sessions.inspect(&key(&id)).await.unwrap().unwrap();
        assert_eq!(shown.state, SessionState::Idle);
        sessions.suspend(&key(&id)).await.unwrap();
        assert_suspended(&instances[0], &id).await;
        sessions.resume(&key(&id)).await.unwrap();
        assert!(instances[0].serves(&id).await);
    }
}

#[tokio::test]
async fn another_writer_that_is_faster_is_followed() {
    let Pair {
        instances: [a, b],
        stores,
        ..
    } = Pair::new();
    let (id, context) = a.open_context().await;
    // What B has read is overtaken before it writes.
    stores[1].hang(Operation::Save);
    let sessions = b.layer.sessions();
    let suspending = tokio::spawn(async move { sessions.suspend(&key(&id)).await.map(|()| id) });
    soon(stores[1].arrived(Operation::Save)).await;
    context.insert("kept", &1).await.unwrap();
    stores[1].release();
    let id = soon(suspending).await.unwrap().unwrap();
    assert_suspended(&a, &id).await;
    let kept = context.get::<u32>("kept").await.unwrap();
    assert_eq!(kept, Some(1), "neither write is lost");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_do_it_is_an_error_and_the_session_is_served() {
    let Pair {
        instances: [a, b],
        stores,
        ..
    } = Pair::new();
    let id = a.open().await;
    for (instance, store) in [&a, &b].into_iter().zip(&stores) {
        let sessions = instance.layer.sessions();
        store.fail_next(Operation::Save, StoreErrorKind::Unavailable);
        let failed = kind(sessions.suspend(&key(&id)).await);
        assert_eq!(failed, StoreErrorKind::Unavailable);
        store.hang(Operation::Save);
        let failed = kind(sessions.suspend(&key(&id)).await);
        assert_eq!(failed, StoreErrorKind::OutcomeUnknown);
        store.release();
        assert_eq!(a.status(post(&id, LIST)).await, 200);
    }
    stores[1].fail_next(Operation::Inspect, StoreErrorKind::Unavailable);
    let failed = kind(b.layer.sessions().suspend(&key(&id)).await);
    assert_eq!(failed, StoreErrorKind::Unavailable);
    assert!(a.serves(&id).await);
}
