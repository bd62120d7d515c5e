//! One instance: what happens to a session from its beginning to its end.

use http_body_util::BodyExt;
use tower_mcp_session::testing::{FaultyStore, ManualClock, Operation, ScriptedService};
use tower_mcp_session::{Clock, MemoryStore, ProtocolVersion, Restore, SessionId, SessionKey};

use crate::record::{Scene, fingerprint};
use crate::support::{HOUR, LIST, MINUTE, SECOND, delete, get, initialize, ping, post, settle};

#[tokio::test]
async fn a_session_is_told_of_from_its_beginning_to_its_end() {
    let scene = Scene::new(|layer| layer);
    let id = scene.instance.open().await;
    assert!(scene.instance.serves(&id).await);
    assert_eq!(scene.instance.status(delete(&id)).await, 204);
    let told = scene.told().await;
    let words: Vec<_> = told.iter().map(|told| told.what.as_str()).collect();
    assert_eq!(
        words,
        [
            "created",
            "used",
            "used",
            "active to closed",
            "ended: deleted"
        ]
    );
    let expected = SessionId::parse(id.as_bytes()).unwrap().fingerprint();
    assert!(told.iter().all(|told| fingerprint(told) == expected));
}

#[tokio::test]
async fn an_observed_session_says_everything_but_its_id() {
    let scene = Scene::new(|layer| layer);
    let begun = scene.instance.clock.now();
    let id = scene.instance.open_as("alice").await;
    scene.instance.clock.advance(SECOND * 2);
    let told = scene.told().await;
    let session = told[0].session.clone().unwrap();
    assert_eq!(session.principal().unwrap().subject(), "alice");
    assert_eq!(session.client_info().unwrap().name, "test");
    assert_eq!(session.protocol_version(), ProtocolVersion::V2025_11_25);
    assert_eq!((session.created(), told[0].at), (begun, begun));
    assert_eq!(session.last_activity(), begun);
    assert_eq!(session.audience(), "/mcp");
    let parsed = SessionId::parse(id.as_bytes()).unwrap();
    assert_eq!(session.key(), SessionKey::new("/mcp", &parsed));
    let shown = format!("{session:?}");
    assert_eq!(
        shown,
        format!("ObservedSession({:?})", session.fingerprint())
    );
    assert!(!shown.contains(&id) && !shown.contains(&id[..8]));
}

#[tokio::test]
async fn idle_and_active_again_are_told_once_each() {
    let scene = Scene::new(|layer| layer);
    let id = scene.instance.open().await;
    scene.instance.pass(MINUTE * 4).await;
    assert_eq!(scene.words().await, ["created", "used"]);
    scene.instance.pass(MINUTE * 3).await;
    let told = scene.told().await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].what, "active to idle");
    for _ in 0..2 {
        assert!(scene.instance.serves(&id).await);
    }
    assert_eq!(scene.words().await, ["idle to active", "used", "used"]);
    scene.instance.pass(MINUTE * 6).await;
    assert_eq!(scene.instance.status(delete(&id)).await, 204);
    assert_eq!(
        scene.words().await,
        ["active to idle", "idle to closed", "ended: deleted"]
    );
}

#[tokio::test]
async fn a_stream_or_a_running_request_is_not_idle() {
    let scene = Scene::new(|layer| layer);
    let id = scene.instance.open().await;
    let mut stream = scene.instance.send(get(&id)).await;
    let waiting = tokio_test::task::spawn(stream.body_mut().frame())
        .poll()
        .is_pending();
    assert!(waiting, "the stream is open");
    scene.instance.pass(MINUTE * 20).await;
    assert_eq!(scene.words().await, ["created", "used", "used"]);
    drop(stream);
    scene.instance.pass(MINUTE).await;
    assert_eq!(
        scene.words().await,
        [] as [&str; 0],
        "it was used until now"
    );
}

#[tokio::test]
async fn suspend_and_resume_are_told_and_what_is_forbidden_is_not() {
    let scene = Scene::new(|layer| layer);
    let (id, context) = scene.instance.open_context().await;
    context.suspend().await.unwrap();
    context.suspend().await.unwrap_err();
    assert_eq!(scene.instance.status(ping(&id)).await, 503);
    context.resume().await.unwrap();
    context.resume().await.unwrap_err();
    assert!(scene.instance.serves(&id).await);
    assert_eq!(
        scene.words().await,
        [
            "created",
            "used",
            "active to suspended",
            "refused: suspended",
            "suspended to active",
            "used"
        ]
    );
}

#[tokio::test]
async fn an_idle_session_is_suspended_by_way_of_active() {
    let scene = Scene::new(|layer| layer);
    let (id, context) = scene.instance.open_context().await;
    scene.instance.pass(MINUTE * 6).await;
    context.suspend().await.unwrap();
    scene.instance.pass(MINUTE * 6).await;
    assert_eq!(scene.instance.status(delete(&id)).await, 204);
    assert_eq!(
        scene.words().await,
        [
            "created",
            "used",
            "active to idle",
            "idle to active",
            "active to suspended",
            "suspended to closed",
            "ended: deleted"
        ]
    );
}

#[tokio::test]
async fn the_end_by_a_handler_is_told_as_such() {
    let scene = Scene::new(|layer| layer);
    let (id, context) = scene.instance.open_context().await;
    context.end().await.unwrap();
    context.end().await.unwrap();
    assert!(!scene.instance.serves(&id).await);
    let words = scene.words().await;
    assert_eq!(words[2..4], ["active to closed", "ended: terminated"]);
    assert_eq!(words[4..], ["refused: session_not_found"]);
}

#[tokio::test]
async fn an_expiry_is_told_by_whoever_notices_first() {
    for by_request in [true, false] {
        for absolute in [true, false] {
            let scene = Scene::new(|layer| match absolute {
                true => layer.with_max_lifetime(HOUR),
                false => layer.with_idle_timeout(HOUR),
            });
            let id = scene.instance.open().await;
            scene.instance.clock.advance(HOUR);
            if by_request {
                assert!(!scene.instance.serves(&id).await);
            }
            scene.instance.pass(MINUTE * 3).await;
            assert!(!scene.instance.serves(&id).await);
            let words = scene.words().await;
            let ends: Vec<_> = words.iter().filter(|word| word.contains("ended")).collect();
            assert_eq!(ends, ["ended: expired"], "{words:?}");
        }
    }
}

#[tokio::test]
async fn a_half_open_session_that_expires_is_told() {
    let scene = Scene::new(|layer| layer);
    scene.instance.begin().await;
    scene.instance.pass(MINUTE * 6).await;
    let words = scene.words().await;
    assert_eq!(words.last().unwrap(), "ended: expired", "{words:?}");
    assert_eq!(
        words
            .iter()
            .filter(|word| word.starts_with("ended"))
            .count(),
        1
    );
}

#[tokio::test]
async fn an_eviction_is_told_of_the_session_that_goes() {
    let scene = Scene::new(|layer| layer.with_max_sessions(1));
    scene.instance.begin().await;
    scene.instance.clock.advance(SECOND * 11);
    scene.instance.begin().await;
    assert_eq!(
        scene.words().await,
        ["created", "active to closed", "ended: evicted", "created"]
    );
}

#[tokio::test]
async fn an_eviction_whose_store_fails_is_told_too() {
    let clock = ManualClock::new();
    let store = FaultyStore::new(MemoryStore::new());
    let scene = Scene::over(store.clone(), &clock, |layer| layer.with_max_sessions(1));
    scene.instance.begin().await;
    clock.advance(SECOND * 11);
    store.fail_next(
        Operation::Delete,
        tower_mcp_session::store::StoreErrorKind::Unavailable,
    );
    assert_eq!(scene.instance.status(initialize()).await, 503);
    assert_eq!(
        scene.words().await,
        [
            "created",
            "active to closed",
            "ended: evicted",
            "refused: store_unavailable"
        ]
    );
}

#[tokio::test]
async fn a_client_that_leaves_before_it_gets_its_id_abandons_its_session() {
    let scene = Scene::new(|layer| layer);
    scene.instance.server.hold();
    let mut beginning = tokio_test::task::spawn(scene.instance.send(initialize()));
    assert!(beginning.poll().is_pending());
    scene.instance.server.wait_for_held(1).await;
    drop(beginning);
    scene.instance.server.release();
    settle().await;
    assert_eq!(
        scene.words().await,
        ["created", "active to closed", "ended: abandoned"]
    );
}

#[tokio::test]
async fn a_session_that_the_inner_service_lost_for_good_is_told() {
    let (memory, clock) = (MemoryStore::new(), ManualClock::new());
    let server = ScriptedService::new().minting_ids();
    let never = |layer: tower_mcp_session::SessionLayer| layer.with_restore(Restore::Never);
    let scene = Scene::serving(server, memory, &clock, never);
    let id = scene.instance.open().await;
    scene.instance.server.forget_sessions();
    assert_eq!(scene.instance.status(post(&id, LIST)).await, 404);
    settle().await;
    let words = scene.words().await;
    assert_eq!(
        words[2..],
        [
            "used",
            "refused: session_not_found",
            "active to closed",
            "ended: lost"
        ]
    );
}

#[tokio::test]
async fn an_inner_session_that_is_begun_again_is_a_restore() {
    let server = ScriptedService::new().minting_ids();
    let scene = Scene::serving(server, MemoryStore::new(), &ManualClock::new(), |layer| {
        layer
    });
    let id = scene.instance.open().await;
    scene.instance.server.forget_sessions();
    assert_eq!(scene.instance.status(post(&id, LIST)).await, 200);
    assert_eq!(scene.words().await, ["created", "used", "used", "restored"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_end_is_told_once_however_many_are_at_it() {
    for _ in 0..30 {
        let scene = Scene::new(|layer| layer.with_idle_timeout(HOUR));
        let (id, context) = scene.instance.open_context().await;
        let deletes = (0..4).map(|_| {
            let (instance, id) = (scene.instance.clone(), id.clone());
            tokio::spawn(async move {
                let status = instance.status(delete(&id)).await.as_u16();
                assert!([204, 404].contains(&status));
            })
        });
        let mut tasks: Vec<_> = deletes.collect();
        let ending = context.clone();
        tasks.push(tokio::spawn(async move { drop(ending.end().await) }));
        for _ in 0..4 {
            let (instance, id) = (scene.instance.clone(), id.clone());
            tasks.push(tokio::spawn(async move {
                instance.layer.clean_up().await.unwrap();
                let status = instance.status(ping(&id)).await.as_u16();
                assert!([200, 404].contains(&status));
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        scene.instance.clock.advance(HOUR * 2);
        scene.instance.layer.clean_up().await.unwrap();
        let words = scene.words().await;
        let ends: Vec<_> = words.iter().filter(|word| word.contains("ended")).collect();
        assert_eq!(ends.len(), 1, "{words:?}");
        let (deleted, terminated) = ("ended: deleted", "ended: terminated");
        assert!(
            [deleted, terminated].contains(&ends[0].as_str()),
            "{ends:?}"
        );
        let end = words.iter().position(|word| word == ends[0]).unwrap();
        let after = &words[end + 1..];
        assert!(
            after.iter().all(|word| word.contains("refused")),
            "{words:?}"
        );
    }
}

#[tokio::test]
async fn an_expiry_that_a_delete_meets_is_told_once() {
    for deletes_first in [true, false] {
        let scene = Scene::new(|layer| layer.with_idle_timeout(HOUR));
        let id = scene.instance.open().await;
        scene.instance.clock.advance(HOUR);
        for step in 0..2 {
            if (step == 0) == deletes_first {
                assert_eq!(scene.instance.status(delete(&id)).await, 404);
            } else {
                scene.instance.layer.clean_up().await.unwrap();
            }
        }
        let words = scene.words().await;
        let ends: Vec<_> = words.iter().filter(|word| word.contains("ended")).collect();
        assert_eq!(ends, ["ended: expired"]);
    }
}
