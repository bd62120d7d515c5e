//! 1: a session begins only at a successful initialize. 7: the id leaves only there.

use http::{Request, StatusCode};
use serde_json::json;
use tower_mcp_session::MemoryStore;
use tower_mcp_session::testing::{Answer, ManualClock, ScriptedService};

use crate::support::{
    Body, ID, Instance, LIST, PING, UNKNOWN, delete, get, id_of, initialize, ping, post, read,
    settle,
};

/// Answers to an initialize that are no success.
fn failures() -> Vec<Answer> {
    let result = |version: &str| Answer::result(json!({ "protocolVersion": version }));
    vec![
        Answer::error(-32602, "no"),
        result("2025-11-25").with_status(StatusCode::INTERNAL_SERVER_ERROR),
        result("2025-11-25").with_status(StatusCode::UNAUTHORIZED),
        result("2026-07-28"),
        result("not a version"),
        Answer::result(json!({})),
        Answer::result(json!("2025-11-25")),
        Answer::status(StatusCode::OK),
        Answer::status(StatusCode::ACCEPTED),
        Answer::bytes("application/json", "garbage"),
        Answer::json(
            &json!({ "jsonrpc": "2.0", "id": 1, "result": { "protocolVersion": "2025-11-25" } }),
        ),
        Answer::events([]),
        Answer::events([json!({ "jsonrpc": "2.0", "method": "notifications/x" })]),
        Answer::events([
            json!({ "jsonrpc": "2.0", "id": 0, "error": { "code": 1, "message": "" } }),
            json!({ "jsonrpc": "2.0", "id": 0, "result": { "protocolVersion": "2025-11-25" } }),
        ]),
        Answer::bytes("text/event-stream", "data: garbage\n\n"),
    ]
}

#[tokio::test]
async fn a_request_without_a_session_leaves_none_behind() {
    let store = MemoryStore::new();
    let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| layer);
    let plain = |method: &str, body: &'static str| {
        let request = Request::builder().method(method).uri("/mcp");
        request
            .header("accept", "text/event-stream")
            .body(Body::from(body))
            .unwrap()
    };
    let modern = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    let notification =
        r#"{"jsonrpc":"2.0","method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
    let batch = r#"[{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}]"#;
    for body in [PING, LIST, modern, notification, batch, "garbage", ""] {
        for method in ["POST", "GET", "DELETE", "PUT", "HEAD", "OPTIONS"] {
            let answer = instance.send(plain(method, body)).await;
            assert_eq!(id_of(answer.headers()), None, "{method} {body}");
        }
    }
    for request in [ping(UNKNOWN), get(UNKNOWN), delete(UNKNOWN)] {
        assert_eq!(instance.status(request).await, 404);
    }
    settle().await;
    assert_eq!((instance.layer.live_sessions(), store.len()), (0, 0));
}

#[tokio::test]
async fn an_initialize_that_fails_leaves_nothing_behind_and_shows_no_id() {
    for minted in [None, Some("inner")] {
        let store = MemoryStore::new();
        let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| layer);
        for (number, answer) in failures().into_iter().enumerate() {
            let answer = match minted {
                Some(id) => answer.with_session_id(id).with_trailer(ID, id),
                None => answer,
            };
            instance.server.answer_next(answer);
            let answer = instance.send(initialize()).await;
            assert_eq!(id_of(answer.headers()), None, "failure {number}");
            read(answer).await;
            // What the inner service began all the same is ended.
            instance.server.wait_for_open_sessions(0).await;
            assert!(instance.context().has_ended(), "failure {number}");
            assert_eq!(instance.layer.live_sessions(), 0, "failure {number}");
        }
        instance.server.answer_next(Answer::panic());
        assert_eq!(instance.status(initialize()).await, 503);
        assert_eq!((instance.layer.live_sessions(), store.len()), (0, 0));
    }
}

#[tokio::test]
async fn an_id_of_the_client_is_never_adopted() {
    let instance = Instance::new(|layer| layer);
    for own in [UNKNOWN, "of-my-own"] {
        let mut request = initialize();
        request.headers_mut().insert(ID, own.parse().unwrap());
        let answer = instance.send(request).await;
        assert_ne!(id_of(answer.headers()).unwrap(), own);
        assert!(!instance.serves(own).await);
    }
}

#[tokio::test]
async fn an_id_stays_the_same_and_no_other_answer_shows_one() {
    for server in [
        ScriptedService::new(),
        ScriptedService::new().minting_ids(),
        ScriptedService::new().answering_sse(),
    ] {
        let clock = ManualClock::new();
        let instance = Instance::serving(server, MemoryStore::new(), &clock, |layer| layer);
        let id = instance.begin().await;
        let again = r#"{"jsonrpc":"2.0","id":3,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
        for body in [PING, LIST, again, "[]"] {
            let answer = instance.send(post(&id, body)).await;
            assert_eq!(id_of(answer.headers()), None);
            let context = instance.context();
            let same = context.id().unwrap().to_header_value();
            assert_eq!(same, id.as_str());
        }
        instance.server.answer_next(
            Answer::result(json!({}))
                .with_session_id("stray")
                .with_trailer(ID, "stray"),
        );
        let answer = instance.send(ping(&id)).await;
        assert_eq!(id_of(answer.headers()), None);
        let trailers = http_body_util::BodyExt::collect(answer.into_body()).await;
        assert!(
            trailers
                .unwrap()
                .trailers()
                .is_none_or(|all| !all.contains_key(ID))
        );
        for request in [get(&id), delete(&id), delete(&id)] {
            assert_eq!(id_of(instance.send(request).await.headers()), None);
        }
    }
}

#[tokio::test]
async fn an_id_goes_in_marked_sensitive_and_is_never_the_clients() {
    for server in [ScriptedService::new(), ScriptedService::new().minting_ids()] {
        let clock = ManualClock::new();
        let instance = Instance::serving(server, MemoryStore::new(), &clock, |layer| layer);
        let answer = instance.send(initialize()).await;
        assert!(answer.headers()[ID].is_sensitive());
        let id = id_of(answer.headers()).unwrap();
        assert_eq!(instance.status(ping(&id)).await, 200);
        for seen in instance.server.requests() {
            for value in seen.headers.get_all(ID) {
                assert_ne!(value, id.as_str());
                assert!(value.is_sensitive());
            }
        }
    }
}
