//! What an id can say, and what it cannot.

use std::error::Error;

use bytes::Bytes;
use http::Request;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower_mcp_session::store::{Recognition, StoreErrorKind};
use tower_mcp_session::testing::{Answer, ManualClock, ScriptedService};
use tower_mcp_session::{
    Clock, Handshake, NewSession, ProtocolVersion, SessionContext, SessionError, SessionId,
    SessionRecord, SessionStore, Timestamp, Values,
};

use crate::support::{Body, Instance, by, id_of, read};
use crate::{DAY, over, signed, two};

/// An initialize of a client that says `params`.
fn initialize(params: &Value) -> Request<Body> {
    let message = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    Request::post("/mcp")
        .body(Body::from(message.to_string()))
        .unwrap()
}

async fn id_for(instance: &Instance, params: &Value) -> String {
    let answer = instance.send(by(initialize(params), "alice")).await;
    let id = id_of(answer.headers()).expect("an id");
    read(answer).await;
    id
}

/// What ordinary clients say, as they were recorded.
fn ordinary() -> [Value; 4] {
    [
        json!({ "protocolVersion": "2025-11-25", "capabilities": { "roots": {} }, "clientInfo": { "name": "claude-code", "version": "2.1.205" } }),
        json!({ "protocolVersion": "2025-11-25", "capabilities": { "roots": { "listChanged": true }, "sampling": {}, "elicitation": { "form": {}, "url": {} } }, "clientInfo": { "name": "Visual Studio Code", "version": "1.118.0" } }),
        json!({ "protocolVersion": "2025-11-25", "capabilities": { "sampling": {}, "elicitation": {}, "roots": { "listChanged": true } }, "clientInfo": { "name": "mcp-inspector", "title": "MCP Inspector", "version": "2.12.0" } }),
        json!({ "protocolVersion": "2026-07-28", "capabilities": {}, "clientInfo": { "name": "rmcp", "version": "3.8.0" } }),
    ]
}

#[tokio::test]
async fn the_id_of_an_ordinary_client_is_shorter_than_512_bytes_and_visible_ascii() {
    let clock = ManualClock::new();
    let [a, b] = [(); 2].map(|()| {
        // Whatever a client asks for, rmcp 2026-07-28 among it.
        let server = ScriptedService::new().negotiating("2025-11-25");
        Instance::serving(server, signed(), &clock, |layer| layer)
    });
    for params in ordinary() {
        let id = id_for(&a, &params).await;
        assert!(id.len() < 512, "{} bytes for {params}", id.len());
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic()));
        let ping = by(crate::support::ping(&id), "alice");
        assert_eq!(b.status(ping).await, 200);
        let said: Value = serde_json::from_str(b.context().initialize_params().get()).unwrap();
        assert_eq!(said, params, "another instance knows what the client said");
    }
}

#[tokio::test]
async fn what_is_only_to_look_at_is_left_out_of_an_id_that_would_be_too_long() {
    let [a, b] = two(signed);
    let icon = format!("data:image/png;base64,{}", "A".repeat(2000));
    let full = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": { "roots": {}, "experimental": { "x": { "y": 1 } } },
        "clientInfo": { "name": "n", "title": "t", "version": "1", "icons": [{ "src": icon }], "description": "d" },
    });
    let id = id_for(&a, &full).await;
    for instance in [&a, &b] {
        let ping = by(crate::support::ping(&id), "alice");
        assert_eq!(instance.status(ping).await, 200);
        let said: Value =
            serde_json::from_str(instance.context().initialize_params().get()).unwrap();
        let mut slim = full.clone();
        slim["clientInfo"] = json!({ "name": "n", "title": "t", "version": "1" });
        assert_eq!(said, slim);
    }
}

#[tokio::test]
async fn an_initialize_that_fits_into_no_id_is_413_and_leaves_nothing_behind() {
    let server = ScriptedService::new().minting_ids();
    let clock = ManualClock::new();
    let instance = Instance::serving(server, signed(), &clock, |layer| layer);
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": { "experimental": { "x": "y".repeat(900) } }, "clientInfo": { "name": "n", "version": "1" } });
    let answer = instance.send(initialize(&params)).await;
    assert_eq!(answer.status(), 413);
    assert_eq!(id_of(answer.headers()), None);
    let (_, _, body) = read(answer).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["id"], 0);
    crate::support::settle().await;
    assert!(
        instance.server.open_sessions().is_empty(),
        "its inner session was ended"
    );
}

#[tokio::test]
async fn handlers_learn_that_there_are_no_values_and_what_to_do() {
    let [a, _] = two(signed);
    let (id, session) = a.open_context().await;
    let errors = [
        session.get::<u32>("n").await.err(),
        session.values().await.err(),
        session.insert("n", &1).await.err(),
        session.remove("n").await.err(),
        session.extend(&Values::default()).await.err(),
        session.clear().await.err(),
        session
            .update("n", |n: Option<u32>| n.unwrap_or(0))
            .await
            .err(),
        session.suspend().await.err(),
    ];
    for error in errors {
        let Some(SessionError::Store(error)) = error else {
            panic!("{error:?}");
        };
        assert_eq!(error.kind(), StoreErrorKind::Unsupported);
        let reason = error.source().unwrap().to_string();
        assert!(reason.contains("with_backing"), "{reason}");
    }
    assert!(a.serves(&id).await);
    assert_eq!(session.client_info().unwrap().name, "test");
}

#[tokio::test]
async fn a_handler_of_initialize_learns_so_too() {
    let [a, _] = two(signed);
    let (tell, told) = std::sync::mpsc::channel();
    a.server.on_request(move |request| {
        let session = request.extensions.get::<SessionContext>().unwrap();
        let inserted = tokio_test::task::spawn(session.insert("n", &1)).poll();
        tell.send(format!("{inserted:?}")).unwrap();
        None
    });
    a.begin().await;
    assert!(told.recv().unwrap().contains("Unsupported"));
}

#[tokio::test]
async fn a_session_is_said_to_end_when_its_id_does() {
    let [a, b] = two(signed);
    let (id, session) = a.open_context().await;
    let end = a.clock.now().saturating_add(DAY * 7);
    assert_eq!(session.expires_at(), Some(end));
    a.clock.advance(DAY);
    assert!(b.serves(&id).await);
    assert_eq!(b.context().expires_at(), Some(end));
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(".{0,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_goes_into_an_id_comes_out_of_it_and_no_id_is_longer_than_1_kib(
        params in json_value(),
        version in "20[0-9]{2}-0[1-9]-[12][0-9]",
        created in 0_u64..4_000_000_000_000,
        life in 1_u64..7 * 24 * 3600 * 1000,
        owner in proptest::option::of(any::<[u8; 32]>()),
        flags in any::<[bool; 2]>(),
        audience in ".{0,60}",
    ) {
        let params = serde_json::value::to_raw_value(&params).unwrap();
        let version = version.parse::<ProtocolVersion>().unwrap();
        let handshake = std::sync::Arc::new(Handshake::new(params, version));
        let (now, end) = (Timestamp::from_millis(created), Timestamp::from_millis(created + life));
        let record = SessionRecord::new(now, end, owner.map(Into::into), handshake)
            .with_initialized(flags[0])
            .with_mapped(flags[1]);
        let new = NewSession::new(audience.as_str(), record.clone(), now, end);
        let (store, candidate) = (signed(), SessionId::random().unwrap());
        match tokio_test::block_on(store.create(&candidate, new)) {
            Ok(stored) => {
                prop_assert!(stored.id.expose().len() <= SessionId::MAX_LEN);
                let loaded = tokio_test::block_on(signed().load(&audience, &stored.id, now));
                let loaded = loaded.unwrap().unwrap();
                prop_assert_eq!(&*loaded.record, &record);
                prop_assert_eq!((loaded.key, loaded.idle_deadline), (stored.key, end));
            }
            Err(error) => prop_assert_eq!(error.kind(), StoreErrorKind::TooLarge),
        }
    }

    #[test]
    fn no_text_is_taken_for_an_id(text in "[!-~]{1,1024}", parts in "[A-Za-z0-9_-]{0,99}\\.[A-Za-z0-9_-]{0,99}\\.[A-Za-z0-9_-]{43}") {
        for text in [text, parts] {
            let id = crate::parsed(&text);
            let recognition = signed().recognize("/mcp", &id, Timestamp::from_millis(1));
            prop_assert_eq!(recognition, Recognition::Unknown);
        }
    }
}

/// The two-step of a client: an initialize, then `initialized`.
#[tokio::test]
async fn the_handshake_is_finished_over_signed_ids_too() {
    let instance = over(signed(), &ManualClock::new());
    let id = instance.begin().await;
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let answer = instance.send(crate::support::post(&id, initialized)).await;
    assert_eq!(answer.status(), 202);
    assert_eq!(read(answer).await.2, Bytes::new());
    assert!(instance.serves(&id).await);
}

#[tokio::test]
async fn an_initialize_that_takes_its_time_begins_a_session_that_ends_a_lifetime_after_it_came() {
    let clock = ManualClock::new();
    let time = clock.clone();
    let server = ScriptedService::new();
    server.on("initialize", move |_| {
        time.advance(std::time::Duration::from_secs(1));
        Answer::result(json!({ "protocolVersion": "2025-11-25", "capabilities": {} }))
    });
    let came = clock.now();
    let instance = Instance::serving(server, signed(), &clock, |layer| layer);
    let id = instance.begin().await;
    assert!(instance.serves(&id).await);
    let session = instance.context();
    assert_eq!(session.created(), Some(came));
    assert_eq!(session.expires_at(), Some(came.saturating_add(DAY * 7)));
}
