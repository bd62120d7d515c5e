//! The example server, as a process: what its users can rely on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/example.rs"]
mod example;
#[path = "support/mcp_http.rs"]
mod mcp_http;
#[path = "support/server.rs"]
mod server;

use std::process::Stdio;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use self::mcp_http::{
    PATIENCE, initialize, open_stream, read_until, text_of, tool_call, with_progress,
};
use self::server::Server;

#[tokio::test]
async fn tools_keep_what_they_are_told_for_their_session() {
    for inner in BOTH {
        let server = Server::start("memory", inner).await;
        let client = server.client().begin_as("alice", "2025-11-25").await;

        assert_eq!(client.call("counter", json!({})).await, "1");
        assert_eq!(client.call("counter", json!({})).await, "2");
        client
            .call("remember", json!({ "key": "k", "value": "v w" }))
            .await;
        assert_eq!(client.call("recall", json!({ "key": "k" })).await, "v w");
        let who = client.call("whoami", json!({})).await;
        assert_eq!(
            serde_json::from_str::<Value>(&who).unwrap(),
            json!({
                "session_id": client.id(),
                "client_name": "alice",
                "protocol_version": "2025-11-25",
                "state": "active",
                "restored": false,
            })
        );

        assert_eq!(client.delete().await, StatusCode::NO_CONTENT);
        let answer = client.post(tool_call("counter", json!({}))).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn two_sessions_see_nothing_of_each_other() {
    for inner in BOTH {
        let server = Server::start("memory", inner).await;
        let (one, other) = (server.client().begin().await, server.client().begin().await);

        one.call("remember", json!({ "key": "k", "value": "mine" }))
            .await;
        one.call("counter", json!({})).await;

        assert_eq!(other.call("counter", json!({})).await, "1");
        let missing = other
            .post(tool_call("recall", json!({ "key": "k" })))
            .await
            .result();
        assert_eq!(missing["isError"], true);
        assert_eq!(text_of(&missing), "Nothing is kept under \"k\".");
        other
            .call("remember", json!({ "key": "k", "value": "theirs" }))
            .await;
        assert_eq!(one.call("recall", json!({ "key": "k" })).await, "mine");
    }
}

#[tokio::test]
async fn a_key_called_counter_is_not_the_counter() {
    let server = Server::start("memory", "stateless").await;
    let client = server.client().begin().await;

    client
        .call("remember", json!({ "key": "counter", "value": "x" }))
        .await;

    assert_eq!(client.call("counter", json!({})).await, "1");
    assert_eq!(
        client.call("recall", json!({ "key": "counter" })).await,
        "x"
    );
}

#[tokio::test]
async fn each_revision_with_sessions_has_one() {
    for inner in BOTH {
        let server = Server::start("memory", inner).await;
        for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
            let client = server.client().begin_as("test", version).await;
            assert_eq!(client.call("counter", json!({})).await, "1");
            assert_eq!(client.call("counter", json!({})).await, "2");
            let who = client.call("whoami", json!({})).await;
            let who: Value = serde_json::from_str(&who).unwrap();
            assert_eq!(who["protocol_version"], version);
        }
    }
}

#[tokio::test]
async fn a_modern_client_is_served_without_a_session() {
    for inner in BOTH {
        let server = Server::start("memory", inner).await;

        assert_eq!(
            text_of(&modern_call(&server, "counter", json!({})).await),
            "1"
        );
        assert_eq!(
            text_of(&modern_call(&server, "counter", json!({})).await),
            "1"
        );
        let who = modern_call(&server, "whoami", json!({})).await;
        assert_eq!(
            serde_json::from_str::<Value>(&text_of(&who)).unwrap(),
            json!({
                "session_id": null,
                "client_name": "modern",
                "protocol_version": "2026-07-28",
                "state": null,
                "restored": false,
            })
        );
        let note = json!({ "key": "k", "value": "v" });
        let kept = modern_call(&server, "remember", note).await;
        assert_eq!(kept["isError"], true);
        assert_eq!(text_of(&kept), "Without a session nothing is kept.");
        let found = modern_call(&server, "recall", json!({ "key": "k" })).await;
        assert_eq!(found["isError"], true);
    }
}

#[tokio::test]
async fn slow_reports_progress_to_whoever_asks_for_it() {
    for inner in BOTH {
        let server = Server::start("memory", inner).await;
        let client = server.client().begin().await;
        let arguments = json!({ "steps": 3, "delay_ms": 1 });

        let answer = client.post(with_progress("slow", arguments.clone())).await;
        let progress: Vec<_> = answer
            .messages()
            .into_iter()
            .filter(|message| message["method"] == "notifications/progress")
            .map(|message| message["params"]["progress"].as_f64().unwrap())
            .collect();
        assert_eq!(progress, [1.0, 2.0, 3.0]);
        assert_eq!(text_of(&answer.result()), "Done after 3 steps.");

        let answer = client.post(tool_call("slow", arguments)).await;
        assert_eq!(answer.messages().len(), 1);
    }
}

#[tokio::test]
async fn slow_stops_when_its_session_ends() {
    for inner in BOTH {
        let server = Server::start("memory", inner).await;
        let client = server.client().begin().await;
        let call = with_progress("slow", json!({ "steps": 1_000_000, "delay_ms": 10 }));

        let mut stream = client
            .open(Method::POST, call.to_string())
            .await
            .into_body();
        read_until(&mut stream, "notifications/progress").await;
        assert_eq!(client.delete().await, StatusCode::NO_CONTENT);

        timeout(PATIENCE, stream.collect()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn only_loopback_hosts_and_origins_may_come_in() {
    let server = Server::start("memory", "stateless").await;
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let client = server.client().begin().await;
    for (name, value, allowed) in [
        ("host", "localhost", true),
        ("host", "localhost:1", true),
        ("host", "127.0.0.1:65535", true),
        ("host", "[::1]:3000", true),
        ("host", "evil.example", false),
        ("host", "localhost.evil.example", false),
        ("origin", "http://localhost:5173", true),
        ("origin", "https://127.0.0.1", true),
        ("origin", "http://[::1]:8080", true),
        ("origin", "https://evil.example", false),
        ("origin", "http://localhost.evil.example", false),
        ("origin", "null", false),
    ] {
        let status = client.with(name, value).post(ping.clone()).await.status;
        let expected = if allowed {
            StatusCode::OK
        } else {
            StatusCode::FORBIDDEN
        };
        assert_eq!(status, expected, "{name}: {value}");
    }
}

#[tokio::test]
async fn a_body_over_forty_mebibytes_is_refused() {
    let server = Server::start("memory", "stateless").await;
    let client = server.client().begin().await;
    for sender in [&client, &server.client()] {
        let answer = sender.send(Method::POST, vec![b'x'; 41 << 20]).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
    assert_eq!(client.call("counter", json!({})).await, "1");
}

#[tokio::test]
async fn a_body_of_twenty_mebibytes_is_served() {
    let server = Server::start("memory", "stateless").await;
    let client = server.client().begin().await;
    let note = json!({ "key": "k", "value": "v", "padding": "x".repeat(20 << 20) });

    client.call("remember", note).await;

    assert_eq!(client.call("recall", json!({ "key": "k" })).await, "v");
}

#[tokio::test]
async fn delete_ends_the_stream_that_get_opened() {
    for inner in BOTH {
        let server = Server::start("memory", inner).await;
        let client = server.client().begin().await;
        let stream = open_stream(&client).await;

        assert_eq!(client.delete().await, StatusCode::NO_CONTENT);

        timeout(PATIENCE, stream.collect()).await.unwrap().unwrap();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn sigterm_drains_and_ends_the_process_while_a_stream_is_open() {
    for inner in BOTH {
        let mut server = Server::start("memory", inner).await;
        let client = server.client().begin().await;
        let stream = open_stream(&client).await;

        let since = Instant::now();
        server.terminate().await;
        let late = initialize("late", "2025-11-25");
        while server.client().post(late.clone()).await.status != StatusCode::SERVICE_UNAVAILABLE {}
        timeout(PATIENCE, stream.collect()).await.unwrap().unwrap();

        assert!(server.ended().await.success());
        assert!(
            since.elapsed() < Duration::from_secs(10),
            "{:?}",
            since.elapsed()
        );
    }
}

#[cfg(unix)]
#[tokio::test]
async fn sigterm_ends_a_process_that_nobody_uses() {
    let mut server = Server::start("memory", "stateless").await;

    server.terminate().await;

    assert!(server.ended().await.success());
}

#[tokio::test]
async fn an_unknown_option_is_an_error() {
    for store in ["nowhere", "file:", "memory:x", ""] {
        let mut process = Command::new(example::program("server"));
        let process = process.args(["--store", store]).stderr(Stdio::null());
        assert!(!process.status().await.unwrap().success());
    }
}

#[cfg(not(any(feature = "file", feature = "signed")))]
#[tokio::test]
async fn a_store_that_is_not_built_in_is_an_error_that_names_its_feature() {
    for (store, feature) in [("file:sessions", "file"), ("signed:keys", "signed")] {
        let mut process = Command::new(example::program("server"));
        let process = process.args(["--port", "0", "--store", store]);
        let output = timeout(PATIENCE, process.kill_on_drop(true).output()).await;
        let output = output.expect("it does not start").unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(&format!("--features {feature} ")), "{said}");
    }
}

#[cfg(feature = "file")]
#[tokio::test]
async fn sessions_in_files_outlive_a_server_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("file:{}", folder.path().display());
    let killed = Server::start(&store, "stateless").await;
    let begun = killed.client().begin().await;
    assert_eq!(begun.call("counter", json!({})).await, "1");
    killed.kill().await;
    let session_at = |server: &Server| {
        let client = server.client().with("mcp-session-id", begun.id());
        client.with("mcp-protocol-version", "2025-11-25")
    };

    let server = Server::start(&store, "stateless").await;
    let client = session_at(&server);
    assert_eq!(client.call("counter", json!({})).await, "2");

    let other = Server::start(&store, "stateless").await;
    let there = session_at(&other);
    assert_eq!(there.call("counter", json!({})).await, "3");
    assert_eq!(client.call("counter", json!({})).await, "4");
    assert_eq!(there.delete().await, StatusCode::NO_CONTENT);
    let answer = client.post(tool_call("counter", json!({}))).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

async fn modern_call(server: &Server, tool: &str, arguments: Value) -> Value {
    let mut call = tool_call(tool, arguments);
    call["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "modern", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let client = server.client().with("mcp-protocol-version", "2026-07-28");
    let answer = client
        .with("mcp-method", "tools/call")
        .with("mcp-name", tool)
        .post(call)
        .await;
    assert!(!answer.headers.contains_key("mcp-session-id"));
    answer.result()
}

const BOTH: [&str; 2] = ["stateless", "stateful"];
