//! The end of one session by an operator.

use http::StatusCode;
use tower_mcp_session::store::{KeyRing, SignedStore, SigningKey, StoreErrorKind};
use tower_mcp_session::testing::{ManualClock, Operation, ScriptedService};
use tower_mcp_session::{EndReason, MemoryStore};

use crate::record::Scene;
use crate::support::{Instance, LIST, SECOND, UNKNOWN, ping, post, settle, shared};
use crate::{Pair, is_over, key, plain, soon, stream, with_and_without_index};

async fn terminate(instance: &Instance, id: &str) -> bool {
    let ended = instance.layer.sessions().terminate(&key(id)).await;
    ended.unwrap()
}

/// How many sessions of `instance` have ended for `reason`; none has for another one.
async fn ended(instance: &Instance, reason: EndReason) -> u64 {
    let statistics = instance.layer.sessions().statistics().await;
    let count = statistics.ended(reason);
    assert_eq!(statistics.ended_in_all(), count);
    count
}

#[tokio::test]
async fn a_session_that_lives_here_ends_at_once_with_all_that_hangs_on_it() {
    let Pair {
        instances: [a, b], ..
    } = Pair::minting();
    let (id, context) = a.open_context().await;
    let mut stream = stream(&a, &id).await;
    let mut work = tokio_test::task::spawn(context.cancelled());
    assert!(work.poll().is_pending());
    assert!(terminate(&a, &id).await);
    assert!(work.poll().is_ready() && is_over(&mut stream));
    for instance in [&a, &b] {
        assert_eq!(instance.status(post(&id, LIST)).await, 404);
    }
    soon(a.server.wait_for_open_sessions(0)).await;
    assert_eq!(a.layer.live_sessions(), 0);
    assert_eq!(ended(&a, EndReason::Terminated).await, 1);
}

#[tokio::test]
async fn a_session_that_lives_elsewhere_is_answered_404_there_at_once() {
    for watched in [true, false] {
        let pair = Pair::serving(|| ScriptedService::new().minting_ids(), watched);
        let [a, b] = &pair.instances;
        let id = a.open().await;
        assert!(terminate(b, &id).await);
        assert_eq!(a.status(post(&id, LIST)).await, 404);
        assert_eq!(b.status(post(&id, LIST)).await, 404);
        soon(a.server.wait_for_open_sessions(0)).await;
        assert_eq!(ended(a, EndReason::Elsewhere).await, 1);
        assert_eq!(ended(b, EndReason::Terminated).await, 0, "it had none");
    }
}

#[tokio::test]
async fn a_session_that_ended_elsewhere_does_not_count_as_live_any_more() {
    let Pair {
        instances: [a, b], ..
    } = Pair::new();
    let id = a.begin().await;
    let sessions = a.layer.sessions();
    let before = sessions.statistics().await;
    assert_eq!((before.live().total, before.half_open()), (1, 1));
    assert!(terminate(&b, &id).await);
    let after = sessions.statistics().await;
    assert_eq!((after.live().total, after.half_open()), (0, 0));
    assert_eq!(after.ended_in_all(), 0, "nobody has noticed it yet");
}

#[tokio::test]
async fn streams_and_work_elsewhere_end_within_a_touch_interval() {
    for watched in [true, false] {
        let pair = Pair::serving(|| ScriptedService::new().minting_ids(), watched);
        let [a, b] = &pair.instances;
        let (id, context) = a.open_context().await;
        let mut stream = stream(a, &id).await;
        let mut work = tokio_test::task::spawn(context.cancelled());
        assert!(work.poll().is_pending());
        assert!(terminate(b, &id).await);
        assert!(!is_over(&mut stream));
        a.pass(SECOND * 30).await;
        assert!(work.poll().is_ready() && is_over(&mut stream));
        soon(a.server.wait_for_open_sessions(0)).await;
        assert_eq!(ended(a, EndReason::Elsewhere).await, 1);
    }
}

#[tokio::test]
async fn observers_are_told_who_ended_it() {
    let (memory, clock) = (MemoryStore::new(), ManualClock::new());
    let [a, b] = [(); 2].map(|()| Scene::over(shared(&memory), &clock, plain));
    let id = a.instance.open().await;
    assert!(b.instance.serves(&id).await);
    drop((a.told().await, b.told().await));
    assert!(terminate(&a.instance, &id).await);
    assert!(!b.instance.serves(&id).await);
    let words = ["active to closed", "ended: terminated"];
    assert_eq!(a.words().await, words);
    let words = b.words().await;
    assert_eq!(
        words[..2],
        ["active to closed", "ended: elsewhere"],
        "{words:?}"
    );
}

#[tokio::test]
async fn only_the_first_says_that_there_was_one() {
    let Pair {
        instances: [a, b], ..
    } = Pair::new();
    let id = a.open().await;
    assert!(terminate(&a, &id).await);
    for instance in [&a, &b] {
        assert!(!terminate(instance, &id).await);
        assert!(!terminate(instance, UNKNOWN).await);
    }
    assert_eq!(ended(&a, EndReason::Terminated).await, 1);
}

#[tokio::test]
async fn a_suspended_session_may_be_ended_and_without_an_index_too() {
    for instance in with_and_without_index() {
        let id = instance.open().await;
        let sessions = instance.layer.sessions();
        sessions.suspend(&key(&id)).await.unwrap();
        assert!(terminate(&instance, &id).await);
        assert_eq!(instance.status(ping(&id)).await, 404);
    }
}

#[tokio::test(start_paused = true)]
async fn if_the_store_does_not_do_it_nothing_has_changed() {
    let Pair {
        instances: [a, b],
        stores,
        ..
    } = Pair::minting();
    let id = a.open().await;
    let mut stream = stream(&a, &id).await;
    for (instance, store) in [&a, &b].into_iter().zip(&stores) {
        let sessions = instance.layer.sessions();
        store.fail_next(Operation::Delete, StoreErrorKind::Unavailable);
        let failed = sessions.terminate(&key(&id)).await.unwrap_err();
        assert_eq!(failed.kind(), StoreErrorKind::Unavailable);
        store.hang(Operation::Delete);
        let failed = sessions.terminate(&key(&id)).await.unwrap_err();
        assert_eq!(failed.kind(), StoreErrorKind::OutcomeUnknown);
        store.release();
        assert_eq!(a.status(post(&id, LIST)).await, 200);
        assert!(!is_over(&mut stream));
    }
    assert_eq!(a.server.open_sessions().len(), 1);
    assert_eq!(ended(&a, EndReason::Terminated).await, 0);
}

#[tokio::test]
async fn a_session_that_is_taken_up_in_the_middle_ends_all_the_same() {
    let Pair {
        instances: [a, b],
        stores,
        ..
    } = Pair::minting();
    let id = a.open().await;
    stores[1].hang(Operation::Delete);
    let (sessions, ended_key) = (b.layer.sessions(), key(&id));
    let ending = tokio::spawn(async move { sessions.terminate(&ended_key).await });
    soon(stores[1].arrived(Operation::Delete)).await;
    assert_eq!(b.status(post(&id, LIST)).await, 200);
    let mut stream = stream(&b, &id).await;
    stores[1].release();
    assert!(soon(ending).await.unwrap().unwrap());
    assert!(is_over(&mut stream), "at once, as if it had lived here");
    assert_eq!(b.status(post(&id, LIST)).await, 404);
    soon(b.server.wait_for_open_sessions(0)).await;
    assert_eq!(ended(&b, EndReason::Terminated).await, 1);
}

#[tokio::test]
async fn whoever_leaves_in_the_middle_leaves_no_half_ended_session() {
    for n in 0..2 {
        let Pair {
            instances, stores, ..
        } = Pair::minting();
        let id = instances[0].open().await;
        let mut stream = stream(&instances[0], &id).await;
        let sessions = instances[n].layer.sessions();
        let ended_key = key(&id);
        stores[n].hang_after(Operation::Delete);
        let mut ending = tokio_test::task::spawn(sessions.terminate(&ended_key));
        assert!(ending.poll().is_pending());
        soon(stores[n].arrived(Operation::Delete)).await;
        drop(ending);
        stores[n].release();
        settle().await;
        if n == 0 {
            assert!(is_over(&mut stream));
        }
        for instance in &instances {
            let status = instance.status(post(&id, LIST)).await;
            assert_eq!(status, StatusCode::NOT_FOUND);
        }
        drop(stream);
        soon(instances[0].server.wait_for_open_sessions(0)).await;
        assert_eq!(instances[0].layer.live_sessions(), 0);
    }
}

#[tokio::test]
async fn a_session_that_is_nothing_but_its_id_cannot_be_ended() {
    let secret = SigningKey::from_bytes("k1", &[1; 32]).unwrap();
    let store = SignedStore::new(KeyRing::new(secret), "https://mcp.example.com");
    let instance = Instance::over(store, &ManualClock::new(), plain);
    let id = instance.open().await;
    let sessions = instance.layer.sessions();
    for key in [key(&id), key(UNKNOWN)] {
        let failed = sessions.terminate(&key).await.unwrap_err();
        assert_eq!(failed.kind(), StoreErrorKind::Unsupported);
    }
    assert!(instance.serves(&id).await);
}
