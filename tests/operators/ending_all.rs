//! The end of all sessions of one principal.

use std::sync::Arc;

use tower_mcp_session::store::{KeyRing, SignedStore, SigningKey, StoreErrorKind};
use tower_mcp_session::testing::{FaultyStore, ManualClock, Operation, ScriptedService};
use tower_mcp_session::{EndReason, MemoryStore, Principal};

use crate::record::Scene;
use crate::support::{
    Answer, Instance, LIST, SECOND, by, get, initialize, ping, post, settle, shared,
};
use crate::{Pair, is_over, plain, soon};

fn alice() -> Principal {
    Principal::new("alice")
}

async fn terminate_all(instance: &Instance) {
    let ended = instance.layer.sessions().terminate_all(&alice()).await;
    ended.unwrap();
}

/// What a call in the session of `who` is answered.
async fn status(instance: &Instance, id: &str, who: &str) -> u16 {
    instance.status(by(post(id, LIST), who)).await.as_u16()
}

/// The event stream of a new session of `who`.
async fn stream_of(instance: &Instance, who: &str) -> Answer {
    let id = instance.open_as(who).await;
    instance.send(by(get(&id), who)).await
}

async fn ended(instance: &Instance, reason: EndReason) -> u64 {
    let statistics = instance.layer.sessions().statistics().await;
    statistics.ended(reason)
}

#[tokio::test]
async fn all_of_the_principals_sessions_end_on_every_instance_and_no_others() {
    for watched in [true, false] {
        let pair = Pair::serving(|| ScriptedService::new().minting_ids(), watched);
        let [a, b] = &pair.instances;
        let (mut hers, mut others) = (Vec::new(), Vec::new());
        for instance in [a, b] {
            hers.push(instance.open_as("alice").await);
            // Half-open, and suspended.
            hers.push(instance.begin_as("alice").await);
            hers.push(instance.open_as("alice").await);
            let key = crate::key(hers.last().unwrap());
            b.layer.sessions().suspend(&key).await.unwrap();
            others.push((instance.open_as("bob").await, instance.open().await));
        }
        terminate_all(a).await;
        assert_eq!(ended(a, EndReason::Terminated).await, 3, "at once");
        for instance in [a, b] {
            for id in &hers {
                assert_eq!(status(instance, id, "alice").await, 404);
            }
            for (bobs, nobodys) in &others {
                assert_eq!(status(instance, bobs, "bob").await, 200);
                assert!(instance.serves(nobodys).await);
            }
        }
        assert_eq!(ended(a, EndReason::Terminated).await, 3);
        assert_eq!(ended(b, EndReason::Elsewhere).await, 3);
        assert_eq!(ended(a, EndReason::Elsewhere).await, 0);
        for instance in [a, b] {
            assert_eq!(instance.layer.live_sessions(), 4);
            // Those of Bob's and nobody's, begun here or taken up.
            soon(instance.server.wait_for_open_sessions(4)).await;
        }
    }
}

#[tokio::test]
async fn streams_and_work_end_at_once_here_and_within_a_touch_interval_elsewhere() {
    for watched in [true, false] {
        let pair = Pair::serving(Default::default, watched);
        let [a, b] = &pair.instances;
        let mut streams = [
            stream_of(a, "alice").await,
            stream_of(b, "alice").await,
            stream_of(a, "bob").await,
            stream_of(b, "bob").await,
        ];
        let mut over = || streams.each_mut().map(is_over);
        assert_eq!(over(), [false; 4]);
        terminate_all(a).await;
        assert_eq!(over(), [true, false, false, false]);
        b.pass(SECOND * 30).await;
        assert_eq!(over(), [true, true, false, false]);
    }
}

#[tokio::test]
async fn observers_are_told_who_ended_them() {
    let (memory, clock) = (MemoryStore::new(), ManualClock::new());
    let [a, b] = [(); 2].map(|()| Scene::over(shared(&memory), &clock, plain));
    let ids = [
        a.instance.open_as("alice").await,
        b.instance.open_as("alice").await,
    ];
    drop((a.told().await, b.told().await));
    terminate_all(&a.instance).await;
    assert_eq!(status(&b.instance, &ids[1], "alice").await, 404);
    let words = a.words().await;
    assert_eq!(words, ["active to closed", "ended: terminated"]);
    let words = b.words().await;
    assert_eq!(
        words[..2],
        ["active to closed", "ended: elsewhere"],
        "{words:?}"
    );
}

#[tokio::test]
async fn a_session_that_begins_or_is_taken_up_in_the_middle_ends_at_once_too() {
    let Pair {
        instances: [a, b],
        stores,
        ..
    } = Pair::minting();
    let elsewhere = b.open_as("alice").await;
    stores[0].hang(Operation::Bar);
    let sessions = a.layer.sessions();
    let ending = tokio::spawn(async move { sessions.terminate_all(&alice()).await });
    soon(stores[0].arrived(Operation::Bar)).await;
    let begun = a.open_as("alice").await;
    assert_eq!(status(&a, &elsewhere, "alice").await, 200);
    let mut streams = Vec::new();
    for id in [&begun, &elsewhere] {
        streams.push(a.send(by(get(id), "alice")).await);
    }
    stores[0].release();
    soon(ending).await.unwrap().unwrap();
    for stream in &mut streams {
        assert!(is_over(stream));
    }
    assert_eq!(ended(&a, EndReason::Terminated).await, 2);
    assert_eq!(a.layer.live_sessions(), 0);
    soon(a.server.wait_for_open_sessions(0)).await;
}

#[tokio::test]
async fn a_request_that_notices_in_the_middle_says_who_ended_its_session() {
    let Pair {
        instances: [a, _],
        stores,
        ..
    } = Pair::new();
    let id = a.open_as("alice").await;
    stores[0].hang_after(Operation::Bar);
    let sessions = a.layer.sessions();
    let ending = tokio::spawn(async move { sessions.terminate_all(&alice()).await });
    soon(stores[0].arrived(Operation::Bar)).await;
    assert_eq!(status(&a, &id, "alice").await, 404);
    assert_eq!(ended(&a, EndReason::Terminated).await, 1);
    stores[0].release();
    soon(ending).await.unwrap().unwrap();
    assert_eq!(ended(&a, EndReason::Terminated).await, 1, "told once");
}

#[tokio::test]
async fn one_that_begins_later_in_the_middle_goes_on() {
    let Pair {
        instances: [a, _],
        stores,
        clock,
    } = Pair::new();
    stores[0].hang(Operation::Bar);
    let sessions = a.layer.sessions();
    let ending = tokio::spawn(async move { sessions.terminate_all(&alice()).await });
    soon(stores[0].arrived(Operation::Bar)).await;
    clock.advance(SECOND);
    let later = a.open_as("alice").await;
    let mut stream = a.send(by(get(&later), "alice")).await;
    stores[0].release();
    soon(ending).await.unwrap().unwrap();
    assert!(!is_over(&mut stream));
    assert_eq!(status(&a, &later, "alice").await, 200);
    assert_eq!(ended(&a, EndReason::Terminated).await, 0);
}

#[tokio::test]
async fn a_restore_under_way_comes_to_nothing() {
    let Pair {
        instances: [a, b], ..
    } = Pair::minting();
    let id = b.open_as("alice").await;
    a.server.hold();
    let (instance, request) = (a.clone(), by(post(&id, LIST), "alice"));
    let restoring = tokio::spawn(async move { instance.status(request).await });
    soon(a.server.wait_for_held(1)).await;
    terminate_all(&b).await;
    a.server.release();
    assert_eq!(soon(restoring).await.unwrap(), 404);
    assert_eq!(a.layer.live_sessions(), 0);
    soon(a.server.wait_for_open_sessions(0)).await;
    soon(b.server.wait_for_open_sessions(0)).await;
}

#[tokio::test(start_paused = true)]
async fn if_the_store_does_not_do_it_nothing_has_changed() {
    let Pair {
        instances: [a, b],
        stores,
        ..
    } = Pair::minting();
    let ids = [a.open_as("alice").await, b.open_as("alice").await];
    let mut stream = a.send(by(get(&ids[0]), "alice")).await;
    let sessions = a.layer.sessions();
    stores[0].fail_next(Operation::Bar, StoreErrorKind::Unavailable);
    let failed = sessions.terminate_all(&alice()).await.unwrap_err();
    assert_eq!(failed.kind(), StoreErrorKind::Unavailable);
    stores[0].hang(Operation::Bar);
    let failed = sessions.terminate_all(&alice()).await.unwrap_err();
    assert_eq!(failed.kind(), StoreErrorKind::OutcomeUnknown);
    stores[0].release();
    for instance in [&a, &b] {
        for id in &ids {
            assert_eq!(status(instance, id, "alice").await, 200);
        }
        assert_eq!(instance.server.open_sessions().len(), 2);
    }
    assert!(!is_over(&mut stream));
    a.open_as("alice").await;
    let statistics = sessions.statistics().await;
    assert_eq!(statistics.ended_in_all(), 0);
}

#[tokio::test]
async fn said_again_after_a_lost_answer_it_is_done_wholly() {
    let Pair {
        instances: [a, b],
        stores,
        ..
    } = Pair::minting();
    let ids = [a.open_as("alice").await, b.open_as("alice").await];
    stores[0].lose_next_answer(Operation::Bar, StoreErrorKind::OutcomeUnknown);
    let sessions = a.layer.sessions();
    let failed = sessions.terminate_all(&alice()).await.unwrap_err();
    assert_eq!(failed.kind(), StoreErrorKind::OutcomeUnknown);
    terminate_all(&a).await;
    assert_eq!(ended(&a, EndReason::Terminated).await, 1);
    for instance in [&a, &b] {
        for id in &ids {
            assert_eq!(status(instance, id, "alice").await, 404);
        }
        soon(instance.server.wait_for_open_sessions(0)).await;
    }
}

#[tokio::test]
async fn without_an_index_it_cannot_be_done_and_nothing_is() {
    let signed = || {
        let secret = SigningKey::from_bytes("k1", &[1; 32]).unwrap();
        SignedStore::new(KeyRing::new(secret), "https://mcp.example.com")
    };
    let plain_store = FaultyStore::new(MemoryStore::new()).without_index();
    let backed = signed().with_backing(MemoryStore::new());
    let stores: [Arc<dyn tower_mcp_session::SessionStore>; 3] =
        [Arc::new(plain_store), Arc::new(signed()), Arc::new(backed)];
    for store in stores {
        let instance = Instance::over(store, &ManualClock::new(), plain);
        let id = instance.open_as("alice").await;
        let sessions = instance.layer.sessions();
        let failed = sessions.terminate_all(&alice()).await.unwrap_err();
        assert_eq!(failed.kind(), StoreErrorKind::Unsupported);
        let failed = sessions.stored_statistics().await.unwrap_err();
        assert_eq!(failed.kind(), StoreErrorKind::Unsupported);
        assert_eq!(status(&instance, &id, "alice").await, 200);
    }
}

#[tokio::test]
async fn whoever_leaves_in_the_middle_leaves_nothing_half_ended() {
    let Pair {
        instances: [a, b],
        stores,
        ..
    } = Pair::minting();
    let ids = [a.open_as("alice").await, b.open_as("alice").await];
    let mut stream = a.send(by(get(&ids[0]), "alice")).await;
    let (sessions, principal) = (a.layer.sessions(), alice());
    stores[0].hang_after(Operation::Bar);
    let mut ending = tokio_test::task::spawn(sessions.terminate_all(&principal));
    assert!(ending.poll().is_pending());
    soon(stores[0].arrived(Operation::Bar)).await;
    drop(ending);
    stores[0].release();
    settle().await;
    assert!(is_over(&mut stream));
    assert_eq!(ended(&a, EndReason::Terminated).await, 1);
    for instance in [&a, &b] {
        for id in &ids {
            assert_eq!(status(instance, id, "alice").await, 404);
        }
    }
    drop(stream);
    for instance in [&a, &b] {
        soon(instance.server.wait_for_open_sessions(0)).await;
        assert_eq!(instance.layer.live_sessions(), 0);
    }
}

#[tokio::test]
async fn a_call_that_nobody_polled_does_nothing() {
    let instance = Instance::new(plain);
    let id = instance.open_as("alice").await;
    let (sessions, principal, key) = (instance.layer.sessions(), alice(), crate::key(&id));
    drop(sessions.terminate_all(&principal));
    drop(sessions.terminate(&key));
    settle().await;
    assert_eq!(status(&instance, &id, "alice").await, 200);
}

#[tokio::test]
async fn a_principal_without_sessions_is_no_error_and_a_later_session_begins() {
    let instance = Instance::new(plain);
    terminate_all(&instance).await;
    terminate_all(&instance).await;
    instance.clock.advance(SECOND);
    let id = instance.open_as("alice").await;
    assert_eq!(status(&instance, &id, "alice").await, 200);
    assert_eq!(instance.status(by(ping(&id), "bob")).await, 404);
    assert_eq!(instance.status(by(initialize(), "alice")).await, 200);
}
