//! Each cause for which the layer answers by itself, with what the client sees of it.

use http::{Request, StatusCode};
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::{Answer, FaultyStore, ManualClock, Operation, ScriptedService};
use tower_mcp_session::{
    MemoryStore, Modern, Restore, SessionLayer, StaleNotification, UnknownId, WhenFull,
};

use crate::record::Scene;
use crate::support::{
    Body, Caller, HOUR, ID, LIST, SECOND, UNKNOWN, by, delete, get, initialize, ping, post, settle,
    shared,
};

const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

fn plain(scene: SessionLayer) -> SessionLayer {
    scene
}

fn raw(body: impl Into<Body>) -> Request<Body> {
    Request::post("/mcp").body(body.into()).unwrap()
}

fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

/// What was refused of `request`: its status, and the one cause.
async fn refused(scene: &Scene, request: Request<Body>) -> (u16, String) {
    drop(scene.told().await);
    let status = scene.instance.status(request).await.as_u16();
    let words = scene.words().await;
    let causes: Vec<_> = words
        .iter()
        .filter_map(|word| word.strip_prefix("refused: "))
        .collect();
    assert_eq!(causes.len(), 1, "{words:?}");
    (status, causes[0].to_owned())
}

/// Requests with something wrong in them, the status they get and the cause.
fn wrong(id: &str) -> Vec<(Request<Body>, u16, &'static str)> {
    let version = "mcp-protocol-version";
    let legacy = |request| with(request, version, "2025-11-25");
    let begin = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
    let batch = format!("[{begin}]");
    let twice = r#"{"jsonrpc":"2.0","id":0,"method":"x","method":"y"}"#;
    let coded = with(raw(LIST), "content-encoding", "gzip");
    let modern = with(
        with(raw(begin), version, "2026-07-28"),
        "mcp-method",
        "initialize",
    );
    let foreign = with(ping(id), "origin", "https://b.example");
    vec![
        (raw(LIST), 400, "missing_session_id"),
        (ping(UNKNOWN), 404, "session_not_found"),
        (ping("not-of-our-form"), 404, "session_not_found"),
        (raw("["), 400, "not_json"),
        (raw("x".repeat(70_000)), 413, "too_large"),
        (raw(batch), 400, "batch_not_allowed"),
        (raw(twice), 400, "duplicate_member"),
        (coded, 415, "unsupported_content_coding"),
        (
            with(ping(id), version, "yesterday"),
            400,
            "unsupported_version",
        ),
        (legacy(legacy(ping(id))), 400, "several_versions"),
        (get(id), 405, "method_not_allowed"),
        (foreign, 403, "forbidden_origin"),
        (post(id, begin), 400, "already_initialized"),
        (modern, 400, "initialize_removed"),
    ]
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_its_cause() {
    let scene = Scene::new(|layer| {
        layer
            .with_streams(false)
            .with_strict_bodies(true)
            .with_allowed_origins(["https://a.example"])
            .with_path("/mcp")
    });
    let id = scene.instance.open().await;
    for (request, status, cause) in wrong(&id) {
        assert_eq!(refused(&scene, request).await, (status, cause.to_owned()));
    }
    let scene = Scene::new(|layer| layer.with_allowed_hosts(["localhost"]));
    let request = with(raw(LIST), "host", "b.example");
    assert_eq!(
        refused(&scene, request).await,
        (403, "forbidden_host".to_owned())
    );
}

#[tokio::test]
async fn a_refusal_names_its_session_only_to_its_owner() {
    let scene = Scene::new(plain);
    let (id, context) = scene.instance.open_context().await;
    let owned = scene.instance.open_as("alice").await;
    context.suspend().await.unwrap();
    drop(scene.told().await);
    scene.instance.status(ping(&id)).await;
    scene.instance.status(ping(&owned)).await;
    scene.instance.status(ping(UNKNOWN)).await;
    let told = scene.told().await;
    let known: Vec<_> = told.iter().map(|told| told.session.is_some()).collect();
    assert_eq!(known, [true, false, false]);
}

#[tokio::test]
async fn options_that_answer_otherwise_are_told_or_are_no_refusals() {
    let scene = Scene::new(|layer| {
        layer
            .with_stale_notification(StaleNotification::Accept)
            .with_modern(Modern::Refuse)
    });
    let stale = post(UNKNOWN, INITIALIZED);
    assert_eq!(
        refused(&scene, stale).await,
        (202, "session_not_found".to_owned())
    );
    let modern = with(raw(LIST), "mcp-protocol-version", "2026-07-28");
    assert_eq!(
        refused(&scene, modern).await,
        (400, "modern_refused".to_owned())
    );

    let scene = Scene::new(|layer| layer.with_unknown_id(UnknownId::PassOn));
    assert_eq!(scene.instance.status(ping(UNKNOWN)).await, 200);
    assert_eq!(scene.words().await, [] as [&str; 0]);
}

#[tokio::test]
async fn why_there_is_no_room_is_its_cause() {
    let scene = Scene::new(|layer| layer.with_max_sessions(1));
    scene.instance.open().await;
    assert_eq!(
        refused(&scene, initialize()).await,
        (503, "full".to_owned())
    );

    let scene = Scene::new(|layer| layer.with_max_sessions_per_principal(1));
    scene.instance.open_as("alice").await;
    let request = by(initialize(), "alice");
    assert_eq!(
        refused(&scene, request).await,
        (503, "principal_full".to_owned())
    );

    let reject = |layer: SessionLayer| layer.with_max_half_open(1).with_when_full(WhenFull::Reject);
    let scene = Scene::new(reject);
    scene.instance.begin().await;
    assert_eq!(
        refused(&scene, initialize()).await,
        (503, "full".to_owned())
    );

    let scene = Scene::new(plain);
    scene.instance.layer.drain(std::time::Duration::ZERO).await;
    assert_eq!(
        refused(&scene, initialize()).await,
        (503, "draining".to_owned())
    );
}

#[tokio::test]
async fn too_many_initializes_at_once_are_busy() {
    let scene = Scene::new(plain);
    scene.instance.server.hold();
    let running: Vec<_> = (0..1024)
        .map(|_| {
            let mut begin = tokio_test::task::spawn(scene.instance.send(initialize()));
            assert!(begin.poll().is_pending());
            begin
        })
        .collect();
    assert_eq!(
        refused(&scene, initialize()).await,
        (503, "busy".to_owned())
    );
    drop(running);
}

#[tokio::test]
async fn a_store_that_fails_is_its_cause_wherever_it_fails() {
    let clock = ManualClock::new();
    let store = FaultyStore::new(MemoryStore::new()).without_watch();
    let scene = Scene::over(store.clone(), &clock, plain);
    let id = scene.instance.open().await;
    let half_open = scene.instance.begin().await;
    let cases = [
        (Operation::Create, initialize()),
        (Operation::Touch, ping(&id)),
        (Operation::Touch, post(&half_open, LIST)),
        (Operation::Load, ping(UNKNOWN)),
        (Operation::Delete, delete(&id)),
    ];
    for (operation, request) in cases {
        store.fail_next(operation, StoreErrorKind::Unavailable);
        let expected = (503, "store_unavailable".to_owned());
        assert_eq!(refused(&scene, request).await, expected, "{operation:?}");
    }
    store.fail_next(Operation::Create, StoreErrorKind::TooLarge);
    assert_eq!(
        refused(&scene, initialize()).await,
        (413, "too_large".to_owned())
    );
}

#[tokio::test]
async fn a_caller_who_cannot_be_known_is_its_cause() {
    let scene = Scene::new(|layer| {
        layer.with_principal(|parts| match parts.extensions.get::<Caller>() {
            Some(_) => Err("no".into()),
            None => Ok(None),
        })
    });
    let id = scene.instance.open().await;
    for request in [initialize(), ping(&id), get(&id), delete(&id)] {
        let expected = (503, "principal_unknown".to_owned());
        assert_eq!(refused(&scene, by(request, "x")).await, expected);
    }
}

#[tokio::test]
async fn an_answer_to_initialize_that_cannot_be_read_is_its_cause() {
    let scene = Scene::new(|layer| layer.with_max_initialize_answer(100));
    let long = Answer::result(serde_json::json!({"protocolVersion": "x".repeat(200)}));
    scene.instance.server.answer_next(long);
    assert_eq!(
        refused(&scene, initialize()).await,
        (502, "bad_initialize_answer".to_owned())
    );
}

#[tokio::test]
async fn a_session_that_does_not_come_back_now_says_why() {
    let (memory, clock) = (MemoryStore::new(), ManualClock::new());
    let make = |options: fn(SessionLayer) -> SessionLayer| {
        let server = ScriptedService::new().minting_ids();
        Scene::serving(server, shared(&memory), &clock, options)
    };
    let (a, b) = (make(plain), make(plain));
    let id = a.instance.open().await;
    let down = || Answer::status(StatusCode::BAD_GATEWAY);
    b.instance.server.answer_next(down());
    assert_eq!(
        refused(&b, ping(&id)).await,
        (503, "restore_failed".to_owned())
    );
    // It is remembered for two seconds.
    assert_eq!(
        refused(&b, ping(&id)).await,
        (503, "restore_failed".to_owned())
    );
    clock.advance(SECOND * 3);
    assert_eq!(b.instance.status(ping(&id)).await, 200);

    let never = make(|layer| layer.with_restore(Restore::Never));
    assert_eq!(
        refused(&never, ping(&id)).await,
        (404, "session_not_found".to_owned())
    );

    let full = make(|layer| layer.with_max_sessions(1));
    full.instance.open().await;
    assert_eq!(refused(&full, ping(&id)).await, (503, "full".to_owned()));

    let resumes = with(get(&id), "last-event-id", "7");
    assert_eq!(
        refused(&b, resumes).await,
        (400, "unknown_last_event_id".to_owned())
    );
}

#[tokio::test]
async fn a_request_that_is_refused_inside_a_session_was_no_use_of_it() {
    let scene = Scene::new(plain);
    let id = scene.instance.open().await;
    drop(scene.told().await);
    let resumes = with(get(&id), "last-event-id", "7");
    assert_eq!(scene.instance.status(resumes).await, 400);
    assert_eq!(scene.words().await, ["refused: unknown_last_event_id"]);
}

#[tokio::test]
async fn an_inner_session_that_is_lost_again_at_once_is_its_cause() {
    let server = ScriptedService::new().minting_ids();
    let scene = Scene::serving(server, MemoryStore::new(), &ManualClock::new(), plain);
    let id = scene.instance.open().await;
    scene.instance.server.forget_sessions();
    assert_eq!(scene.instance.status(post(&id, LIST)).await, 200);
    scene.instance.server.forget_sessions();
    let expected = (503, "inner_session_lost".to_owned());
    assert_eq!(refused(&scene, post(&id, LIST)).await, expected);
}

#[tokio::test]
async fn a_panic_while_a_session_begins_is_its_cause() {
    let scene = Scene::new(plain);
    scene.instance.server.answer_next(Answer::panic());
    assert_eq!(
        refused(&scene, initialize()).await,
        (503, "panicked".to_owned())
    );
}

#[tokio::test]
async fn a_session_that_expired_is_not_found_like_any_other() {
    let scene = Scene::new(plain);
    let id = scene.instance.open().await;
    scene.instance.clock.advance(HOUR * 25);
    assert_eq!(
        refused(&scene, ping(&id)).await,
        (404, "session_not_found".to_owned())
    );
    settle().await;
}

#[tokio::test]
async fn grpc_calls_are_refused_for_the_same_causes() {
    let scene = Scene::new(|layer| {
        layer
            .with_audience("both")
            .with_grpc_initialize("/pkg.Service/Begin")
            .with_max_sessions(1)
    });
    let (id, context) = scene.instance.open_context().await;
    let call = |path: &str, ids: &[&str]| {
        let mut request = Request::post(path).header("content-type", "application/grpc");
        for id in ids {
            request = request.header(ID, *id);
        }
        request.body(Body::default()).unwrap()
    };
    let request = "/pkg.Service/Do";
    assert_eq!(
        refused(&scene, call(request, &[UNKNOWN])).await,
        (200, "session_not_found".to_owned())
    );
    assert_eq!(
        refused(&scene, call("/pkg.Service/Begin", &[])).await,
        (200, "full".to_owned())
    );
    context.suspend().await.unwrap();
    assert_eq!(
        refused(&scene, call(request, &[&id])).await,
        (200, "suspended".to_owned())
    );
    let words = {
        scene.instance.status(call(request, &["a", "b"])).await;
        scene.words().await
    };
    // The scene's own fence is of that cause: it ends the list.
    assert!(words.is_empty(), "{words:?}");
}

#[tokio::test]
async fn too_many_restores_at_once_are_busy() {
    let (memory, clock) = (MemoryStore::new(), ManualClock::new());
    let [a, b] = [(); 2].map(|()| {
        let server = ScriptedService::new().minting_ids();
        Scene::serving(server, shared(&memory), &clock, plain)
    });
    b.instance.server.hold();
    for _ in 0..256 {
        let id = a.instance.open().await;
        let instance = b.instance.clone();
        drop(tokio::spawn(
            async move { instance.status(ping(&id)).await },
        ));
    }
    b.instance.server.wait_for_held(256).await;
    let id = a.instance.open().await;
    assert_eq!(refused(&b, ping(&id)).await, (503, "busy".to_owned()));
    b.instance.server.release();
}
