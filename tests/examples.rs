//! Each example does what it says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../examples/audit_log.rs"]
#[expect(dead_code, reason = "main is for whoever runs the example")]
mod audit_log;
#[path = "../examples/bearer_auth.rs"]
#[expect(dead_code, reason = "main is for whoever runs the example")]
mod bearer_auth;
#[path = "../examples/conversation/main.rs"]
#[expect(dead_code, reason = "main is for whoever runs the example")]
mod conversation;
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
#[path = "../examples/user_tracking/main.rs"]
#[expect(dead_code, reason = "main is for whoever runs the example")]
mod user_tracking;
#[path = "../examples/workflow/main.rs"]
#[expect(dead_code, reason = "main is for whoever runs the example")]
mod workflow;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use futures_util::future::join_all;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower_mcp_session::testing::{shared_store_contract, store_contract};
use tower_mcp_session::{MemoryStore, SessionId, SessionKey, SessionStore, Timestamp};

use self::mcp_http::{McpClient, initialize, text_of, tool_call};

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
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
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
async fn workflow_takes_the_steps_of_an_order_in_their_turn_and_only_then() {
    let client = client(serve(workflow::app("admin-token")).await);
    let (one, other) = (client.begin().await, client.begin().await);
    let tea = json!({ "step": "open", "items": ["tea"] });
    let text = |text: &str| json!({ "text": text });

    assert_eq!(order(&one.call("add_item", text("tea")).await), tea);
    for tool in ["submit", "confirm"] {
        refused(&one, tool, json!({})).await;
    }
    refused(&other, "set_address", text("12 High Street")).await;
    let items = order(&one.call("add_item", text("milk")).await)["items"].clone();
    assert_eq!(items, json!(["tea", "milk"]));
    let sent = order(&one.call("set_address", text("12 High Street")).await);
    let expected =
        json!({ "step": "addressed", "items": ["tea", "milk"], "address": "12 High Street" });
    assert_eq!(sent, expected);
    let said = refused(&one, "add_item", text("sugar")).await;
    let shown = said.strip_prefix("This cannot be done now. The order: ");
    assert_eq!(order(shown.unwrap()), expected);
    let items = order(&other.call("add_item", text("coal")).await)["items"].clone();
    assert_eq!(items, json!(["coal"]));
}

#[tokio::test]
async fn workflow_is_confirmed_only_after_an_operator_approved_it() {
    let address = serve(workflow::app("admin-token")).await;
    let client = client(address);
    let (one, other) = (client.begin().await, client.begin().await);
    for session in [&one, &other] {
        session.call("add_item", json!({ "text": "tea" })).await;
        session.call("set_address", json!({ "text": "here" })).await;
    }

    let submitted = order(&one.call("submit", json!({})).await);
    assert_eq!(submitted["step"], "submitted");
    let waits = one.post(tool_call("confirm", json!({}))).await;
    assert_eq!(waits.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(waits.headers.contains_key("retry-after"));
    refused(&other, "confirm", json!({})).await;

    let admin = |path: &str| McpClient::new(&format!("http://{address}/admin/{path}"));
    let key = key_of(&one);
    let approve = admin(&format!("approve/{key}"));
    for stranger in [
        approve.clone(),
        approve.with("authorization", "Bearer no-token"),
    ] {
        assert_eq!(
            stranger.send(Method::POST, "").await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    let token = "Bearer admin-token";
    let waiting = admin("waiting").with("authorization", token);
    assert_eq!(waiting.send(Method::GET, "").await.body, format!("{key}\n"));
    let approve = approve.with("authorization", token);
    let statuses = [StatusCode::NO_CONTENT, StatusCode::CONFLICT];
    for status in statuses {
        assert_eq!(approve.send(Method::POST, "").await.status, status);
    }
    for unknown in [&key[1..], &"0".repeat(64), "\u{e9}"] {
        let unknown = admin("").at(&format!("http://{address}/admin/approve/{unknown}"));
        let answer = unknown
            .with("authorization", token)
            .send(Method::POST, "")
            .await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }

    let confirmed = order(&one.call("confirm", json!({})).await);
    assert_eq!(confirmed["step"], "confirmed");
    refused(&one, "confirm", json!({})).await;
    refused(&other, "confirm", json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workflow_lets_no_confirmation_slip_in_beside_the_submission() {
    let address = serve(workflow::app("admin-token")).await;
    for _ in 0..20 {
        let session = client(address).begin().await;
        session.call("add_item", json!({ "text": "tea" })).await;
        session.call("set_address", json!({ "text": "here" })).await;
        let submitting = session.call("submit", json!({}));
        let confirming = (0..8).map(|_| session.post(tool_call("confirm", json!({}))));
        let (submitted, _) = tokio::join!(submitting, join_all(confirming));
        assert_eq!(order(&submitted)["step"], "submitted");

        let key = key_of(&session);
        let approve = session.at(&format!("http://{address}/admin/approve/{key}"));
        let approve = approve.with("authorization", "Bearer admin-token");
        let approved = approve.send(Method::POST, "").await;
        assert_eq!(approved.status, StatusCode::NO_CONTENT);
        let confirmed = order(&session.call("confirm", json!({})).await);
        assert_eq!(confirmed["step"], "confirmed", "it was not before");
    }
}

#[tokio::test]
async fn workflow_refuses_a_confirmation_that_was_under_way_when_the_order_was_submitted() {
    let address = serve(workflow::app("admin-token")).await;
    let session = client(address).begin().await;
    session.call("add_item", json!({ "text": "tea" })).await;
    session.call("set_address", json!({ "text": "here" })).await;

    let body = tool_call("confirm", json!({})).to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\nmcp-session-id: {}\r\nconnection: close\r\n\
         content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
         expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        session.id(),
        body.len()
    );
    let mut confirming = TcpStream::connect(address).await.unwrap();
    confirming.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body: the call is past the layer.
    let mut go_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    confirming.read_exact(&mut go_on).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"));

    session.call("submit", json!({})).await;
    confirming.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    confirming.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("This cannot be done now."), "{answer}");
}

#[tokio::test]
async fn user_tracking_shows_an_operator_whose_sessions_there_are_and_ends_all_of_one() {
    let address = serve(user_tracking::app("admin-token")).await;
    let of = |user: &str| client(address).with("authorization", &format!("Bearer token-of-{user}"));
    let (alice, bob) = (of("alice").begin().await, of("bob").begin().await);
    let alice_too = of("alice").begin_as("other", "2025-06-18").await;

    let nobody = of("carol").post(initialize("test", "2025-11-25")).await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    let admin = |path: &str| McpClient::new(&format!("http://{address}/admin/{path}"));
    let stranger = of("alice").at(&format!("http://{address}/admin/users/bob"));
    for method in [Method::GET, Method::DELETE] {
        let answer = stranger.send(method, "").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    let ask = async |method: Method, path: &str| {
        let admin = admin(path).with("authorization", "Bearer admin-token");
        admin.send(method, "").await
    };
    let shown = async |path: &str| {
        let answer = ask(Method::GET, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    let seen = async |path: &str| {
        let sessions = shown(path).await;
        let sessions = sessions.as_array().unwrap().iter();
        let mut seen: Vec<_> = sessions
            .map(|session| {
                let fact = |name: &str| session[name].as_str().unwrap().to_owned();
                (fact("key"), fact("user"), fact("client"))
            })
            .collect();
        seen.sort_by_key(|(_, user, client)| (user.clone(), client.clone()));
        seen
    };
    let row = |session: &McpClient, user: &str, client: &str| {
        (key_of(session), user.to_owned(), client.to_owned())
    };
    let of_alice = [
        row(&alice_too, "alice", "other"),
        row(&alice, "alice", "test"),
    ];
    let of_bob = [row(&bob, "bob", "test")];
    let all = [of_alice.as_slice(), of_bob.as_slice()].concat();
    assert_eq!(seen("sessions").await, all);
    assert_eq!(seen("sessions/active").await, all);
    assert_eq!(seen("sessions/suspended").await, []);
    assert_eq!(seen("users/alice").await, of_alice);
    assert_eq!(seen("users/bob").await, of_bob);
    assert_eq!(seen("users/carol").await, []);

    let ended = ask(Method::DELETE, "users/alice").await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    for session in [&alice, &alice_too] {
        let gone = session.post(tool_call("hello", json!({}))).await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(bob.call("hello", json!({})).await, "Hello!");
    assert_eq!(seen("sessions").await, of_bob);
    let statistics = json!({
        "active": 1, "idle": 0, "suspended": 0, "begun": 3, "ended": 2, "ended by an operator": 2,
    });
    assert_eq!(shown("statistics").await, statistics);
}

#[tokio::test]
async fn conversation_answers_from_what_was_said_before_and_never_keeps_a_password() {
    let store = MemoryStore::new();
    let client = client(serve(conversation::app(store.clone())).await);
    let (one, other) = (client.begin().await, client.begin().await);
    let text = |text: &str| json!({ "text": text });

    assert_eq!(one.call("tell", text("the tea is green")).await, "I see.");
    assert_eq!(
        one.call("recall", text("tea")).await,
        "Somebody told me: the tea is green"
    );
    let login = json!({ "user": "alice", "password": "hunter2" });
    assert_eq!(one.call("log_in", login).await, "Hello, alice!");
    // The same name, spelled otherwise.
    let escaped = tool_call("log_in", json!({ "user": "alice", "password": "hunter2" }));
    let escaped = escaped.to_string().replace("password", "pass\\u0077ord");
    let answer = one.send(Method::POST, escaped).await;
    assert_eq!(text_of(&answer.result()), "Hello, alice!");
    one.call("tell", text("the tea is black")).await;
    assert_eq!(
        one.call("recall", text("tea")).await,
        "alice told me: the tea is black"
    );
    let said = refused(&one, "recall", text("coffee")).await;
    assert_eq!(said, "Nothing was told about coffee.");
    refused(&other, "recall", text("tea")).await;
    // The notification and eight calls, of which the last is not answered yet.
    assert_eq!(
        one.call("sum_up", json!({})).await,
        "16 messages: 9 of user, 0 of assistant, 0 of system, 7 of tool"
    );

    let id = SessionId::parse(one.id().as_bytes()).unwrap();
    let kept = store.history().unwrap();
    let key = SessionKey::new("/mcp", &id);
    let kept = kept.recent(&key, Timestamp::EPOCH, 100).await.unwrap();
    let kept: String = kept.iter().map(|message| message.content()).collect();
    assert_eq!(kept.matches(r#""password":"***""#).count(), 2, "{kept}");
    assert!(
        kept.contains("green") && !kept.contains("hunter2"),
        "{kept}"
    );
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

/// What a tool says when it refuses.
async fn refused(session: &McpClient, tool: &str, arguments: Value) -> String {
    let result = session.post(tool_call(tool, arguments)).await.result();
    assert_eq!(result["isError"], true, "{tool}: {result}");
    text_of(&result)
}

/// The order that a tool of the workflow shows.
fn order(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What an operator calls the session of `client`.
fn key_of(client: &McpClient) -> String {
    let id = SessionId::parse(client.id().as_bytes()).unwrap();
    SessionKey::new("/mcp", &id).to_string()
}
