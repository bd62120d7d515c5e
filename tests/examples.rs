//! Each example does what it says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../examples/audit_log.rs"]
#[expect(dead_code, reason = "main is for whoever runs the example")]
mod audit_log;
#[path = "../examples/bearer_auth.rs"]
#[expect(dead_code, reason = "main is for whoever runs the example")]
mod bearer_auth;
#[path = "../examples/custom_store/main.rs"]
#[expect(dead_code, reason = "main is for whoever runs the example")]
mod custom_store;
#[cfg(any(feature = "file", feature = "signed"))]
#[path = "support/example.rs"]
mod example;
#[path = "../examples/hyper_server.rs"]
#[expect(dead_code, reason = "main is for whoever runs the example")]
mod hyper_server;
#[path = "support/mcp_http.rs"]
mod mcp_http;
#[cfg(feature = "metrics")]
#[path = "../examples/metrics.rs"]
#[expect(dead_code, reason = "main is for whoever runs the example")]
mod metrics_example;
#[path = "../examples/plain_axum.rs"]
#[expect(dead_code, reason = "main is for whoever runs the example")]
mod plain_axum;
#[path = "../examples/rate_limit.rs"]
#[expect(dead_code, reason = "main is for whoever runs the example")]
mod rate_limit;
#[path = "../examples/stateless.rs"]
#[expect(dead_code, reason = "main is for whoever runs the example")]
mod stateless;
#[path = "../examples/tonic_beside_mcp.rs"]
#[expect(dead_code, reason = "main is for whoever runs the example")]
mod tonic_beside_mcp;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower_mcp_session::testing::{shared_store_contract, store_contract};
use tower_mcp_session::{SessionId, SessionKey};

use self::mcp_http::{McpClient, initialize, tool_call};

store_contract!(custom_store_contract, custom_store::JsonStore::default());
shared_store_contract!(custom_store_shared, {
    let store = Arc::new(custom_store::JsonStore::default());
    (Arc::clone(&store), store)
});

#[tokio::test]
async fn custom_store_counts_per_session() {
    let client = client(serve(custom_store::app()).await);
    let (one, other) = (client.begin().await, client.begin().await);

    assert_eq!(one.call("count", json!({})).await, "1");
    assert_eq!(one.call("count", json!({})).await, "2");
    assert_eq!(other.call("count", json!({})).await, "1");
    assert_eq!(one.delete().await, StatusCode::NO_CONTENT);
    let gone = one.post(tool_call("count", json!({}))).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert_eq!(other.call("count", json!({})).await, "2");
}

#[tokio::test]
async fn plain_axum_counts_per_session() {
    let client = client(serve(plain_axum::app()).await);
    let (one, other) = (client.begin().await, client.begin().await);

    assert_eq!(one.call("visit", json!({})).await, "1");
    assert_eq!(one.call("visit", json!({})).await, "2");
    assert_eq!(other.call("visit", json!({})).await, "1");

    let without_session = client.post(tool_call("visit", json!({}))).await;
    assert_eq!(without_session.status, StatusCode::BAD_REQUEST);
    let modern = client
        .with("mcp-protocol-version", "2026-07-28")
        .post(json!({}))
        .await;
    assert_eq!(modern.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn hyper_server_counts_per_session() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(listener.local_addr().unwrap());
    tokio::spawn(hyper_server::serve(listener));
    let (one, other) = (client.begin().await, client.begin().await);

    assert_eq!(one.call("visit", json!({})).await, "1");
    assert_eq!(one.call("visit", json!({})).await, "2");
    assert_eq!(other.call("visit", json!({})).await, "1");
    assert_eq!(one.delete().await, StatusCode::NO_CONTENT);
    assert_eq!(one.delete().await, StatusCode::NOT_FOUND);

    let garbage = other.send(Method::POST, "garbage").await;
    assert_eq!(garbage.status, StatusCode::BAD_REQUEST);
}

#[cfg(feature = "file")]
#[tokio::test]
async fn two_instances_go_on_when_one_is_killed() {
    let output = tokio::process::Command::new(example::program("two_instances"))
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = said.lines().collect();
    assert!(output.status.success(), "{said}");
    let ends = [
        "counts \"1\"",
        "counts \"2\"",
        "counts \"3\"",
        "is killed",
        "counts \"4\"",
        "counts \"5\"",
        "counts \"6\"",
    ];
    assert_eq!(lines.len(), ends.len(), "{said}");
    assert!(
        lines
            .iter()
            .zip(ends)
            .all(|(line, end)| line.ends_with(end)),
        "{said}"
    );
    let address = |line: usize| lines[line].split(' ').next();
    assert_ne!(address(0), address(1));
    assert_eq!(address(0), address(3));
    assert!((4..7).all(|line| address(line) == address(1)));
}

#[cfg(feature = "signed")]
#[tokio::test]
async fn signed_ids_are_good_at_both_servers_until_their_key_is_taken_away() {
    let output = tokio::process::Command::new(example::program("signed_ids"))
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let (begun, rotation) = said.split_once('\n').unwrap();
    assert_eq!(begun, "a session begins at A: B says hello alice");
    let both = "A says hello alice, B says hello alice";
    let steps = [
        ("1", "A", "2026-05", both),
        ("1", "B", "2026-05", both),
        ("2", "A", "2026-11", both),
        ("2", "B", "2026-11", both),
        ("3", "A", "2026-11", "A says 404, B says hello alice"),
        ("3", "B", "2026-11", "A says 404, B says 404"),
    ];
    let expected = steps.map(|(step, server, key, answers)| {
        format!(
            "step {step} at {server}, {key} signs: {answers}\n\
             - in a session that begins at {server} now, the other says hello alice\n"
        )
    });
    assert_eq!(rotation, expected.concat());
}

#[tokio::test]
async fn tonic_beside_mcp_shares_the_sessions() {
    let address = serve(tonic_beside_mcp::app()).await;
    let session = client(address).begin().await;
    assert_eq!(session.call("hello", json!({})).await, "Hello!");

    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut health = HealthClient::new(channel.connect().await.unwrap());
    let with_session = || {
        let mut request = Request::new(HealthCheckRequest::default());
        request
            .metadata_mut()
            .insert("mcp-session-id", session.id().parse().unwrap());
        request
    };
    let answer = health.check(with_session()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    let refused = health
        .check(HealthCheckRequest::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);

    assert_eq!(session.delete().await, StatusCode::NO_CONTENT);
    let gone = health.check(with_session()).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test]
async fn bearer_auth_gives_a_session_to_nobody_but_its_owner() {
    let anybody = client(serve(bearer_auth::app()).await);
    let alice = anybody
        .with("authorization", "Bearer token-of-alice")
        .begin()
        .await;
    assert_eq!(
        alice.call("whose", json!({})).await,
        "alice in the session of alice"
    );

    let bob = alice.with("authorization", "Bearer token-of-bob");
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let body = tool_call("whose", json!({})).to_string();
        let answer = bob.send(method, body).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    let stranger = anybody.post(initialize("stranger", "2025-11-25")).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        alice.call("whose", json!({})).await,
        "alice in the session of alice"
    );
}

#[tokio::test]
async fn rate_limit_slows_one_session_and_not_another() {
    let app = rate_limit::app().into_make_service_with_connect_info::<SocketAddr>();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, app).into_future());
    let (busy, quiet) = (client.begin().await, client.begin().await);

    let limited = loop {
        let answer = busy.post(tool_call("hello", json!({}))).await;
        if answer.status != StatusCode::OK {
            break answer;
        }
    };

    assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(limited.headers.contains_key("retry-after"));
    assert_eq!(quiet.call("hello", json!({})).await, "Hello!");
}

/// A trail in memory.
#[derive(Clone, Default)]
struct Trail(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Trail {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn audit_log_says_who_did_what_when_and_why_and_no_id() {
    let trail = Trail::default();
    let sessions = audit_log::sessions(trail.clone());
    let anybody = client(serve(audit_log::app(sessions.clone())).await);
    let alice = anybody.with("x-user", "alice").begin().await;
    assert_eq!(alice.call("hello", json!({})).await, "Hello!");
    let mallory = alice.with("x-user", "mallory");
    let refused = mallory.post(tool_call("hello", json!({}))).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    assert_eq!(alice.delete().await, StatusCode::NO_CONTENT);
    sessions.drain(Duration::ZERO).await;

    let text = String::from_utf8(trail.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["event"].as_str().unwrap(),
                line["who"].as_str(),
                line["why"].as_str(),
            )
        })
        .collect();
    let who = Some("alice");
    assert_eq!(
        events,
        [
            ("created", who, None),
            ("used", who, None),
            ("used", who, None),
            ("refused", None, Some("session_not_found")),
            ("closed", who, None),
            ("ended", who, Some("deleted")),
        ]
    );
    let id = SessionId::parse(alice.id().as_bytes()).unwrap();
    assert_eq!(lines[0]["session"], id.fingerprint().to_string());
    assert_eq!(lines[0]["client"], "test");
    assert!(lines.iter().all(|line| line["at"].as_u64() > Some(0)));
    let key = SessionKey::new("/mcp", &id);
    let key: String = key
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for secret in [&alice.id()[..8], &key[..8]] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[cfg(feature = "metrics")]
#[tokio::test]
async fn metrics_shows_prometheus_what_happened() {
    let address = serve(metrics_example::app(metrics_example::recorder().unwrap())).await;
    let client = client(address);
    let session = client.begin().await;
    client.begin().await;
    assert_eq!(session.delete().await, StatusCode::NO_CONTENT);

    let scraped = McpClient::new(&format!("http://{address}/metrics"));
    let answer = scraped.send(Method::GET, "").await;
    assert_eq!(answer.status, StatusCode::OK);
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    // Other tests of this process are counted too.
    assert!(text.contains("\nmcp_server_sessions_created "), "{text}");
    assert!(text.contains("mcp_server_sessions_ended{reason=\"deleted\"} "));
    assert!(text.contains("\nmcp_server_sessions_live "), "{text}");
    assert!(text.contains("mcp_server_session_duration_bucket{"));
    assert!(text.contains("le=\"300\"}"), "{text}");
    assert!(!text.contains(session.id()));
}

#[tokio::test]
async fn stateless_gives_out_no_id_and_knows_none() {
    let client = client(serve(stateless::app()).await);

    let answer = client.post(initialize("test", "2025-11-25")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.headers.contains_key("mcp-session-id"));
    assert_eq!(client.call("hello", json!({})).await, "Hello!");

    let old = client.with("mcp-session-id", "from-an-older-deployment");
    let answer = old.post(tool_call("hello", json!({}))).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    for method in [Method::GET, Method::DELETE] {
        let answer = client.send(method, "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

/// Serves `app` on a free port.
async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    address
}

fn client(address: SocketAddr) -> McpClient {
    McpClient::new(&format!("http://{address}/mcp"))
}
