//! Promise 11: no id, key, token or message in a log or an error text.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "support/log.rs"]
mod log;
#[path = "support/sessions.rs"]
mod support;

use std::error::Error;
use std::fmt::Debug;

use http::Request;
use tower::{Layer, ServiceExt};
use tower_mcp_session::store::{StoreError, StoreErrorKind};
use tower_mcp_session::testing::{Answer, FaultyStore, ManualClock, Operation, ScriptedService};
use tower_mcp_session::{MemoryStore, SessionId, SessionLayer};

use log::Log;
use support::{
    Body, Caller, HOUR, ID, Instance, MINUTE, SECOND, by, delete, get, initialize, ping, read,
    settle,
};

const SECRETS: [&str; 6] = [
    "inner-",
    "principal-secret",
    "token-secret",
    "message-secret",
    "value-secret",
    "source-secret",
];

const ALL: [Operation; 6] = [
    Operation::Create,
    Operation::Load,
    Operation::Save,
    Operation::Touch,
    Operation::Delete,
    Operation::DeleteExpired,
];

/// What a life with many mishaps logs, and the ids in it.
async fn adventures() -> Vec<String> {
    let server = ScriptedService::new().minting_ids();
    let store = FaultyStore::new(MemoryStore::new()).without_watch();
    let clock = ManualClock::new();
    let instance = Instance::serving(server, store.clone(), &clock, |layer| {
        layer
            .with_max_sessions(3)
            .with_principal(|parts| match parts.extensions.get::<Caller>() {
                Some(caller) if caller.0 == "token-secret" => Err("token-secret".into()),
                Some(caller) => Ok(Some(tower_mcp_session::Principal::new(caller.0.as_str()))),
                None => Ok(None),
            })
    });
    let mut ids = vec![instance.open_as("principal-secret").await];
    let owner = instance.context();
    owner.insert("value-secret", "value-secret").await.unwrap();
    ids.push(instance.open().await);
    let message = r#"{"jsonrpc":"2.0","id":"message-secret","method":"message-secret"}"#;
    for id in &ids {
        let request = |body: &'static str| support::post(id, body);
        for caller in ["principal-secret", "token-secret", "other"] {
            instance.status(by(request(message), caller)).await;
            instance
                .status(by(request("message-secret {"), caller))
                .await;
        }
    }
    let stream = instance.send(get(&ids[1])).await;
    for operation in ALL {
        store.fail_all(operation, StoreErrorKind::Unavailable);
    }
    clock.advance(SECOND * 31);
    for request in [ping(&ids[1]), get(&ids[1]), delete(&ids[1]), initialize()] {
        instance.status(request).await;
    }
    owner.insert("value-secret", &1).await.unwrap_err();
    instance.layer.clean_up().await.unwrap_err();
    store.heal();
    drop(stream);
    instance
        .server
        .answer_next(Answer::error(1, "message-secret").with_session_id("inner-x"));
    instance.status(initialize()).await;
    ids.push(instance.begin().await);
    clock.advance(MINUTE * 4);
    instance.status(initialize()).await;
    // The new one is too young to make room for another.
    assert_eq!(instance.status(initialize()).await, 503);
    instance.server.forget_sessions();
    instance.status(ping(&ids[1])).await;
    settle().await;
    instance.status(delete(&ids[1])).await;
    instance.pass(HOUR * 25).await;
    let other = Instance::over(store, &clock, |layer| layer);
    ids.push(instance.begin().await);
    other.status(ping(&ids[3])).await;
    ids
}

#[tokio::test]
async fn no_log_line_at_any_level_shows_a_secret() {
    // What other tests log meanwhile is judged as well.
    let log = Log::of_this_process();
    let ids = adventures().await;
    let text = log.text();
    for line in [
        "session created",
        "session ended",
        "session not created",
        "session not touched",
        "principal of a request could not be known",
        "no room",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    for id in &ids {
        assert!(!text.contains(id.as_str()), "{text}");
        let words = [&id[..16], &id[16..]].map(|half| u64::from_str_radix(half, 16).unwrap());
        assert!(!words.iter().any(|word| text.contains(&word.to_string())));
    }
    let fingerprint = SessionId::parse(ids[0].as_bytes()).unwrap().fingerprint();
    assert!(text.contains(&fingerprint.to_string()), "{text}");
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
}

fn texts(value: &(impl Debug + ?Sized)) -> String {
    format!("{value:?} {value:#?}")
}

#[tokio::test]
async fn no_debug_text_shows_a_secret() {
    let server = ScriptedService::new().minting_ids();
    let clock = ManualClock::new();
    let instance = Instance::serving(server, MemoryStore::new(), &clock, |layer: SessionLayer| {
        layer.with_audience("/mcp")
    });
    let id = instance.open_as("principal-secret").await;
    let context = instance.context();
    context.insert("n", "value-secret").await.unwrap();
    let mut service = instance.layer.layer(instance.server.clone());
    let request = Request::post("/mcp")
        .header(ID, &id)
        .body(Body::from("message-secret"))
        .unwrap();
    let ready = ServiceExt::<Request<Body>>::ready(&mut service)
        .await
        .unwrap();
    let future = tower::Service::call(ready, by(request, "principal-secret"));
    let mut all = vec![
        texts(&instance.layer),
        texts(&service),
        texts(&context),
        texts(&context.id()),
        texts(&context.fingerprint()),
        texts(&context.principal()),
        texts(&future),
    ];
    let answer = future.await.unwrap();
    all.push(texts(answer.body()));
    read(answer).await;
    let initialize = instance.send(initialize()).await;
    all.push(texts(&initialize));
    for text in all {
        assert!(!text.contains(&id), "{text}");
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}

#[tokio::test]
async fn no_error_text_shows_a_secret() {
    let instance = Instance::new(|layer| layer.with_max_values_bytes(100));
    let (id, context) = instance.open_context().await;
    context.insert("n", "value-secret").await.unwrap();
    let long = "value-secret".repeat(10);
    let mut errors: Vec<Box<dyn Error>> = vec![
        Box::new(context.get::<u8>("n").await.unwrap_err()),
        Box::new(context.insert("n", &long).await.unwrap_err()),
        Box::new(context.resume().await.unwrap_err()),
        Box::new(SessionId::parse(b"token-secret with spaces").unwrap_err()),
    ];
    assert_eq!(instance.status(delete(&id)).await, 204);
    errors.push(Box::new(context.insert("n", &1).await.unwrap_err()));
    let kinds = [
        StoreErrorKind::AlreadyExists,
        StoreErrorKind::Conflict,
        StoreErrorKind::Gone,
        StoreErrorKind::Unavailable,
        StoreErrorKind::TooLarge,
        StoreErrorKind::Corrupt,
        StoreErrorKind::Unsupported,
        StoreErrorKind::OutcomeUnknown,
    ];
    for kind in kinds {
        errors.push(Box::new(StoreError::new(kind, "source-secret")));
    }
    for error in errors {
        let shown = error.to_string();
        assert!(!shown.is_empty() && !shown.contains(&id));
        for text in [shown, texts(&*error)] {
            for secret in SECRETS {
                assert!(!text.contains(secret), "{secret} is in {text}");
            }
        }
    }
}
