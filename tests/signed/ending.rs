//! The end of a session before its time. Wire rules 22, 24 to 27.

use std::error::Error;
use std::sync::Arc;

use http::Method;
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::{FaultyStore, ManualClock, Operation};
use tower_mcp_session::{MemoryStore, SessionError, WhenFull};

use crate::support::{
    HOUR, Instance, MINUTE, SECOND, UNKNOWN, delete, get, initialize, ping, read, settle, shared,
};
use crate::{DAY, over, signed, soon, two};

/// Two instances with one list, which they share, and the list.
fn two_with_a_list() -> ([Instance; 2], ManualClock, Arc<FaultyStore<MemoryStore>>) {
    let (memory, clock) = (MemoryStore::new(), ManualClock::new());
    let list = Arc::new(shared(&memory));
    let instances = [(); 2].map(|()| {
        let store = signed().with_revocations(Arc::clone(&list)).unwrap();
        over(store, &clock)
    });
    (instances, clock, list)
}

#[tokio::test]
async fn rule_26_without_a_list_delete_is_405_whatever_the_id_and_the_session_goes_on() {
    let [a, b] = two(signed);
    let id = a.open().await;
    for instance in [&a, &b] {
        for id in [&id, UNKNOWN] {
            let answer = instance.send(delete(id)).await;
            assert_eq!(answer.status(), 405);
            let allowed = answer.headers()["allow"].to_str().unwrap();
            assert!(!allowed.contains(Method::DELETE.as_str()), "{allowed}");
        }
        assert!(instance.serves(&id).await);
    }
}

#[tokio::test]
async fn without_a_list_a_handler_learns_why_it_cannot_end_its_session() {
    let [a, _] = two(signed);
    let (id, session) = a.open_context().await;
    let Err(SessionError::Store(error)) = session.end().await else {
        panic!("it cannot end");
    };
    assert_eq!(error.kind(), StoreErrorKind::Unsupported);
    let reason = error.source().unwrap().to_string();
    assert!(reason.contains("with_revocations"), "{reason}");
    assert!(a.serves(&id).await);
}

#[tokio::test]
async fn rule_22_with_a_list_delete_is_204_and_the_id_is_404_everywhere_as_long_as_it_would_have_lived()
 {
    let ([a, b], clock, list) = two_with_a_list();
    let id = a.open().await;
    assert!(b.serves(&id).await);
    assert_eq!(a.status(delete(&id)).await, 204);
    for _ in 0..7 {
        for instance in [&a, &b] {
            for verb in [ping, get, delete] {
                assert_eq!(instance.status(verb(&id)).await, 404);
            }
            instance.layer.clean_up().await.unwrap();
        }
        assert_eq!(list.inner().len(), 1);
        clock.advance(DAY - SECOND);
    }
    // The entry goes when the id does, and its grace is over.
    clock.advance(SECOND * 7);
    a.layer.clean_up().await.unwrap();
    assert_eq!(list.inner().len(), 1);
    clock.advance(MINUTE);
    a.layer.clean_up().await.unwrap();
    assert!(list.inner().is_empty());
    assert!(!a.serves(&id).await && !b.serves(&id).await);
}

#[tokio::test]
async fn an_instance_that_did_not_begin_a_session_knows_how_long_its_end_must_be_noted() {
    let ([a, b], clock, list) = two_with_a_list();
    let id = a.open().await;
    clock.advance(DAY * 3);
    assert_eq!(b.status(delete(&id)).await, 204);
    clock.advance(DAY * 4 + MINUTE - SECOND);
    b.layer.clean_up().await.unwrap();
    assert_eq!(list.inner().len(), 1);
    clock.advance(SECOND);
    b.layer.clean_up().await.unwrap();
    assert!(list.inner().is_empty());
}

#[tokio::test]
async fn with_a_list_the_end_on_one_instance_reaches_work_and_streams_of_the_other() {
    let ([a, b], _, _) = two_with_a_list();
    let id = a.open().await;
    assert!(b.serves(&id).await);
    let work = b.context();
    let stream = b.send(get(&id)).await;
    assert_eq!(stream.status(), 200);
    assert_eq!(a.status(delete(&id)).await, 204);
    b.layer.clean_up().await.unwrap();
    soon(work.cancelled()).await;
    soon(read(stream)).await;
}

#[tokio::test]
async fn of_two_who_end_a_session_one_is_told_that_it_did() {
    let ([a, b], ..) = two_with_a_list();
    for _ in 0..20 {
        let id = a.open().await;
        let (one, other) = tokio::join!(a.status(delete(&id)), b.status(delete(&id)));
        let mut both = [one.as_u16(), other.as_u16()];
        both.sort_unstable();
        assert_eq!(both, [204, 404]);
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_asked_is_503_and_never_a_yes() {
    let ([a, b], _, list) = two_with_a_list();
    let (ended, alive) = (a.open().await, a.open().await);
    assert_eq!(a.status(delete(&ended)).await, 204);
    list.fail_all(Operation::Load, StoreErrorKind::Unavailable);
    for instance in [&a, &b] {
        for id in [&ended, &alive] {
            for verb in [ping, get, delete] {
                let calls = instance.server.calls();
                assert_eq!(instance.status(verb(id)).await, 503);
                assert_eq!(instance.server.calls(), calls);
            }
        }
        assert_eq!(instance.status(ping("forged")).await, 404);
    }
    list.heal();
    assert!(!a.serves(&ended).await && a.serves(&alive).await);
}

#[tokio::test]
async fn an_end_that_the_list_does_not_take_is_503_and_the_session_goes_on() {
    let ([a, b], _, list) = two_with_a_list();
    let id = a.open().await;
    list.fail_next(Operation::Create, StoreErrorKind::Unavailable);
    assert_eq!(a.status(delete(&id)).await, 503);
    assert!(a.serves(&id).await && b.serves(&id).await);
    assert_eq!(a.status(delete(&id)).await, 204);
    assert!(!a.serves(&id).await && !b.serves(&id).await);
}

#[tokio::test]
async fn ids_end_with_the_process_whose_list_does() {
    let with_a_list = || signed().with_revocations(MemoryStore::new()).unwrap();
    let [before, after] = two(with_a_list);
    let (ended, alive) = (before.open().await, before.open().await);
    assert_eq!(before.status(delete(&ended)).await, 204);
    assert!(before.serves(&alive).await);
    for id in [&ended, &alive] {
        assert!(!after.serves(id).await);
    }
    // And nobody gets round the list by the id of an instance without one, or takes one there.
    let alone = over(signed(), &before.clock);
    assert!(!alone.serves(&alive).await);
    assert!(!before.serves(&alone.open().await).await);
}

#[tokio::test]
async fn clones_share_the_list_in_memory() {
    let clock = ManualClock::new();
    let store = signed().with_revocations(MemoryStore::new()).unwrap();
    let [a, b] = [(); 2].map(|()| over(store.clone(), &clock));
    let id = a.open().await;
    assert!(b.serves(&id).await);
    assert_eq!(a.status(delete(&id)).await, 204);
    assert!(!b.serves(&id).await);
}

#[tokio::test]
async fn eviction_takes_a_session_nothing_but_its_place_and_notes_nothing() {
    let memory = MemoryStore::new();
    for store in [
        signed(),
        signed().with_revocations(memory.clone()).unwrap(),
        signed().with_revocations(shared(&memory)).unwrap(),
    ] {
        let clock = ManualClock::new();
        let instance = Instance::over(store, &clock, |layer| layer.with_max_sessions(1));
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(instance.open().await);
            clock.advance(HOUR);
        }
        for id in &ids {
            assert!(instance.serves(id).await);
            clock.advance(HOUR);
        }
        assert!(memory.is_empty(), "a flood of sessions fills no list");
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_initialize_leaves_nothing_behind() {
    let memory = MemoryStore::new();
    for store in [signed(), signed().with_revocations(memory.clone()).unwrap()] {
        let instance = Instance::over(store, &ManualClock::new(), |layer| {
            layer.with_max_sessions(1).with_when_full(WhenFull::Reject)
        });
        instance.server.hold();
        let mut sending = tokio_test::task::spawn(instance.send(initialize()));
        assert!(sending.poll().is_pending());
        settle().await;
        drop(sending);
        instance.server.release();
        settle().await;
        assert!(memory.is_empty(), "nobody has its id");
        // There is room for the next one.
        instance.open().await;
    }
}

#[tokio::test]
async fn a_store_that_settles_on_ids_of_its_own_is_no_list() {
    let store = signed().with_revocations(signed()).unwrap();
    let instance = over(store, &ManualClock::new());
    let id = instance.open().await;
    assert_eq!(instance.status(delete(&id)).await, 503);
    assert!(instance.serves(&id).await, "and what was not ended goes on");
}
