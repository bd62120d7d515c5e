//! Several instances over one store, and events told where they happen.

use tower_mcp_session::testing::{ManualClock, ScriptedService};
use tower_mcp_session::{MemoryStore, Restore, SessionLayer};

use crate::record::Scene;
use crate::support::{HOUR, MINUTE, SECOND, delete, ping, shared, with_watch};

/// Two instances, the first of which begins sessions.
fn pair(watched: bool, mapped: bool) -> [Scene; 2] {
    let (memory, clock) = (MemoryStore::new(), ManualClock::new());
    [(); 2].map(|()| {
        let store = with_watch(shared(&memory), watched);
        let server = ScriptedService::new();
        let server = if mapped { server.minting_ids() } else { server };
        Scene::serving(server, store, &clock, |layer| layer)
    })
}

#[tokio::test]
async fn a_restore_is_told_where_it_happens_and_once() {
    for mapped in [true, false] {
        let [a, b] = pair(true, mapped);
        let id = a.instance.open().await;
        for _ in 0..3 {
            assert!(b.instance.serves(&id).await);
        }
        assert_eq!(a.words().await, ["created", "used"]);
        assert_eq!(b.words().await, ["restored", "used", "used", "used"]);
    }
}

#[tokio::test]
async fn an_end_elsewhere_is_told_as_such_by_a_request_or_a_round() {
    for watched in [true, false] {
        for by_request in [true, false] {
            let [a, b] = pair(watched, false);
            let (id, context) = a.instance.open_context().await;
            // Work that waits for the end: each round looks for it.
            let mut work = tokio_test::task::spawn(context.cancelled());
            assert!(work.poll().is_pending());
            assert!(b.instance.serves(&id).await);
            assert_eq!(b.instance.status(delete(&id)).await, 204);
            if by_request {
                assert!(!a.instance.serves(&id).await);
            }
            a.instance.pass(SECOND * 60).await;
            let words = a.words().await;
            let ends: Vec<_> = words.iter().filter(|word| word.contains("ended")).collect();
            assert_eq!(ends, ["ended: elsewhere"], "{words:?}");
            let words = b.words().await;
            assert_eq!(words[2..], ["active to closed", "ended: deleted"]);
        }
    }
}

#[tokio::test]
async fn a_delete_by_an_instance_that_only_loads_the_session_is_told_there() {
    let [a, b] = pair(true, true);
    let id = a.instance.open().await;
    assert_eq!(b.instance.status(delete(&id)).await, 204);
    assert_eq!(b.words().await, ["active to closed", "ended: deleted"]);
}

#[tokio::test]
async fn a_suspension_elsewhere_is_told_where_it_is_noticed() {
    let [a, b] = pair(true, false);
    let (id, context) = a.instance.open_context().await;
    assert!(b.instance.serves(&id).await);
    context.suspend().await.unwrap();
    assert_eq!(b.instance.status(ping(&id)).await, 503);
    context.resume().await.unwrap();
    assert!(b.instance.serves(&id).await);
    let words = b.words().await;
    assert_eq!(
        words[2..],
        [
            "active to suspended",
            "refused: suspended",
            "suspended to active",
            "used"
        ]
    );
}

#[tokio::test]
async fn a_live_part_that_is_dropped_is_no_end_and_its_return_a_restore() {
    let [a, _] = pair(true, false);
    let id = a.instance.open().await;
    a.instance.pass(MINUTE * 31).await;
    assert_eq!(a.instance.layer.live_sessions(), 0);
    assert!(a.instance.serves(&id).await);
    assert_eq!(
        a.words().await,
        ["created", "used", "active to idle", "restored", "used"]
    );
}

#[tokio::test]
async fn an_eviction_from_a_shared_store_is_no_end() {
    let (memory, clock) = (MemoryStore::new(), ManualClock::new());
    let scene = Scene::over(shared(&memory), &clock, |layer| layer.with_max_sessions(1));
    scene.instance.begin().await;
    clock.advance(SECOND * 11);
    scene.instance.begin().await;
    assert_eq!(scene.words().await, ["created", "created"]);
}

#[tokio::test]
async fn a_session_that_is_never_begun_again_is_evicted_from_a_shared_store_too() {
    let (memory, clock) = (MemoryStore::new(), ManualClock::new());
    let options = |layer: SessionLayer| layer.with_max_sessions(1).with_restore(Restore::Never);
    let server = ScriptedService::new().minting_ids();
    let scene = Scene::serving(server, shared(&memory), &clock, options);
    scene.instance.begin().await;
    clock.advance(SECOND * 11);
    scene.instance.begin().await;
    assert_eq!(scene.words().await[2], "ended: evicted");
}

#[tokio::test]
async fn an_expiry_is_told_by_each_instance_that_holds_the_session() {
    let [a, b] = pair(false, false);
    let id = a.instance.open().await;
    assert!(b.instance.serves(&id).await);
    a.instance.clock.advance(HOUR * 24 + SECOND * 1);
    for scene in [&a, &b] {
        assert!(!scene.instance.serves(&id).await);
        let words = scene.words().await;
        assert!(words.contains(&"ended: expired".to_owned()), "{words:?}");
    }
}

#[tokio::test]
async fn a_session_that_ends_while_it_is_restored_never_lived_here() {
    let [a, b] = pair(true, true);
    let id = a.instance.open().await;
    b.instance.server.hold();
    let mut request = tokio_test::task::spawn(b.instance.status(ping(&id)));
    assert!(request.poll().is_pending());
    b.instance.server.wait_for_held(1).await;
    assert_eq!(a.instance.status(delete(&id)).await, 204);
    b.instance.server.release();
    assert_eq!(request.await, 404);
    assert_eq!(b.words().await, ["refused: session_not_found"]);
}

#[tokio::test]
async fn whoever_still_holds_a_session_that_lives_here_no_more_tells_of_no_end() {
    let [a, b] = pair(true, false);
    let (id, context) = a.instance.open_context().await;
    a.instance.pass(MINUTE * 31).await;
    assert_eq!(b.instance.status(delete(&id)).await, 204);
    context.get::<u32>("n").await.unwrap_err();
    assert_eq!(a.words().await, ["created", "used", "active to idle"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_session_that_many_ask_for_is_told_to_be_restored_before_it_is_used() {
    let [a, b] = pair(true, false);
    for _ in 0..100 {
        let id: std::sync::Arc<str> = a.instance.open().await.into();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (b, id) = (b.instance.clone(), std::sync::Arc::clone(&id));
            tasks.spawn(async move {
                for _ in 0..20 {
                    assert!(b.serves(&id).await);
                }
            });
        }
        tasks.join_all().await;
        let words = b.words().await;
        assert_eq!(words[0], "restored", "{words:?}");
        assert_eq!(words.len(), 1 + 8 * 20);
    }
}
