//! The life of a session, through the layer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_mcp_session::{MemoryStore, RequestBody, SessionContext, SessionLayer};

type Body = Full<Bytes>;

async fn server(request: Request<RequestBody<Body>>) -> Result<Response<Body>, Infallible> {
    let session = request.extensions().get::<SessionContext>().cloned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&body).unwrap();
    let answer = if text.contains("\"initialize\"") {
        r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#.to_owned()
    } else {
        let count = session
            .unwrap()
            .update("n", |n: Option<u32>| n.unwrap_or(0) + 1)
            .await
            .unwrap();
        count.to_string()
    };
    Ok(Response::new(Body::from(answer)))
}

#[tokio::test]
async fn a_session_begins_counts_and_ends() {
    let service = SessionLayer::new(MemoryStore::new()).layer(service_fn(server));
    let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    let request = Request::post("/mcp").body(Body::from(initialize)).unwrap();
    let answer = service.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let id = answer.headers()["mcp-session-id"].clone();
    drop(answer);
    for n in 1..4 {
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#;
        let request = Request::post("/mcp")
            .header("mcp-session-id", &id)
            .body(Body::from(call))
            .unwrap();
        let answer = service.clone().oneshot(request).await.unwrap();
        assert!(!answer.headers().contains_key("mcp-session-id"));
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, n.to_string().as_bytes());
    }
    for status in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        let request = Request::delete("/mcp")
            .header("mcp-session-id", &id)
            .body(Body::default())
            .unwrap();
        assert_eq!(
            service.clone().oneshot(request).await.unwrap().status(),
            status
        );
    }
}
