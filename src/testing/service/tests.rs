use http::{Method, StatusCode};
use http_body_util::Full;
use serde_json::json;
use tower::ServiceExt;

use super::*;
use crate::protocol::header;

const INITIALIZE: &str =
    r#"{"jsonrpc":"2.0","id":7,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#;

async fn send(
    service: &ScriptedService,
    method: Method,
    id: Option<&str>,
    body: &str,
) -> Response<ScriptedBody> {
    let mut request = Request::builder().method(method).uri("/mcp");
    if let Some(id) = id {
        request = request.header(header::SESSION_ID, id);
    }
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    let request = request.body(body).unwrap();
    service.clone().oneshot(request).await.unwrap()
}

async fn text(response: Response<ScriptedBody>) -> String {
    response.into_body().text().await
}

#[tokio::test]
async fn the_defaults_are_those_of_a_server_without_sessions() {
    let service = ScriptedService::new();
    for (method, body, status, part) in [
        (
            Method::POST,
            INITIALIZE,
            200,
            r#""protocolVersion":"2025-06-18""#,
        ),
        (
            Method::POST,
            r#"{"id":1,"method":"ping"}"#,
            200,
            r#"{"method":"ping"}"#,
        ),
        (Method::POST, r#"{"method":"notifications/x"}"#, 202, ""),
        (Method::POST, r#"{"id":1,"result":{}}"#, 202, ""),
        (
            Method::POST,
            r#"[{"id":1,"method":"ping"},{"method":"x"}]"#,
            200,
            r#"[{"id":1"#,
        ),
        (Method::POST, "garbage", 400, "-32700"),
        (Method::DELETE, "", 200, ""),
        (Method::PUT, "", 405, ""),
    ] {
        let answer = send(&service, method, None, body).await;
        assert_eq!(answer.status(), status, "{body}");
        assert!(answer.headers().get(header::SESSION_ID).is_none());
        let text = text(answer).await;
        assert!(
            text.contains(part) && text.is_empty() == part.is_empty(),
            "{text}"
        );
    }
    assert_eq!((service.requests().len(), service.calls()), (8, 8));
    assert_eq!(service.requests()[1].body, r#"{"id":1,"method":"ping"}"#);
    let other = service.negotiating("2024-11-05");
    let answer = text(send(&other, Method::POST, None, INITIALIZE).await).await;
    assert!(answer.contains("2024-11-05"));
}

#[tokio::test]
async fn a_minting_server_demands_its_ids_and_forgets_them() {
    let service = ScriptedService::new().minting_ids();
    let answer = send(&service, Method::POST, None, INITIALIZE).await;
    assert_eq!(answer.headers()[header::SESSION_ID], "inner-1");
    assert_eq!(service.open_sessions(), ["inner-1"]);
    let ping = r#"{"id":1,"method":"ping"}"#;
    for (id, status) in [(None, 400), (Some("other"), 404), (Some("inner-1"), 200)] {
        assert_eq!(
            send(&service, Method::POST, id, ping).await.status(),
            status
        );
    }
    let delete = send(&service, Method::DELETE, Some("inner-1"), "").await;
    assert_eq!(delete.status(), StatusCode::OK);
    service.wait_for_open_sessions(0).await;
    let gone = send(&service, Method::POST, Some("inner-1"), ping).await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);

    service.answer_next(Answer::error(-32603, "no").with_session_id("orphan"));
    let failed = send(&service, Method::POST, None, INITIALIZE).await;
    assert_eq!(failed.headers()[header::SESSION_ID], "orphan");
    assert!(text(failed).await.contains(r#""id":7"#));
    assert_eq!(service.open_sessions(), ["orphan"]);
    service.forget_sessions();
    assert!(service.open_sessions().is_empty());
}

#[tokio::test]
async fn event_streams_begin_with_a_priming_event_and_follow_the_test() {
    let service = ScriptedService::new().answering_sse();
    let answer = text(send(&service, Method::POST, None, INITIALIZE).await).await;
    assert!(answer.starts_with("id: 0\ndata:\n\n") && answer.contains("2025-06-18"));

    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-late", "1".parse().unwrap());
    let [read, dropped] = [
        send(&service, Method::GET, None, "").await,
        send(&service, Method::GET, None, "").await,
    ];
    service.wait_for_streams(2).await;
    let streams = service.streams();
    drop(dropped);
    streams[1].closed().await;
    service.wait_for_streams(1).await;
    streams[0].send_event(&json!({ "n": 1 }));
    streams[0].send("raw");
    streams[0].send_trailers(trailers);
    streams[0].end();
    assert_eq!(text(read).await, "event: message\ndata: {\"n\":1}\n\nraw");
    service.wait_for_streams(0).await;
    assert!(!streams[0].is_open());
}

#[tokio::test]
async fn scripts_are_asked_last_first_and_requests_can_be_held() {
    let service = ScriptedService::new();
    service.on("ping", |_| Answer::result(json!("first")));
    service.on("ping", |_| {
        Answer::result(json!("last")).with_trailer("x-t", "1")
    });
    service.on_request(|request| (request.uri.path() == "/x").then(Answer::panic));
    service.hold();
    let other = service.clone();
    let task = tokio::spawn(async move {
        text(send(&other, Method::POST, None, r#"{"id":1,"method":"ping"}"#).await).await
    });
    service.wait_for_held(1).await;
    let other = service.clone();
    let cancelled = tokio::spawn(async move { send(&other, Method::GET, None, "").await.status() });
    service.wait_for_held(2).await;
    cancelled.abort();
    assert!(cancelled.await.unwrap_err().is_cancelled());
    assert_eq!((service.held(), service.requests().len()), (1, 2));
    service.release();
    assert!(task.await.unwrap().contains("last"));

    service.answer_next(Answer::panic());
    let panicking = service.clone();
    let panics =
        tokio::spawn(async move { send(&panicking, Method::GET, None, "").await.status() });
    assert!(panics.await.unwrap_err().is_panic());
    assert_eq!(
        send(&service, Method::DELETE, None, "").await.status(),
        StatusCode::OK
    );
}

#[test]
#[should_panic(expected = "not polled ready")]
fn a_call_without_readiness_is_a_bug_of_the_caller() {
    let request = Request::new(Full::new(Bytes::new()));
    drop(ScriptedService::new().call(request));
}
