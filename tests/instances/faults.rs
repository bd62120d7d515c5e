//! An instance whose store is in trouble: clients are told to come back, and go on when it is over.

use std::process::Stdio;

use http::StatusCode;
use serde_json::json;
use tokio::process::Command;

use crate::example;
use crate::mcp_http::{McpClient, initialize, tool_call};
use crate::postgres::{PostgresServer, Stop};
use crate::redis::RedisServer;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_down_clients_are_told_to_come_back_and_then_go_on() {
    for inner in BOTH {
        let mut database = PostgresServer::start();
        let server = Server::start(&database.url(), inner).await;
        let client = server.client().begin().await;
        assert_eq!(client.call("counter", json!({})).await, "1");
        for how in [Stop::Fast, Stop::Immediate] {
            database.stop(how);
            is_told_to_come_back(&server, &client).await;
            database.start_again();
        }
        assert_eq!(client.call("counter", json!({})).await, "2");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_down_or_hangs_clients_are_told_to_come_back_and_then_go_on() {
    for inner in BOTH {
        let database = RedisServer::durable();
        let server = Server::start(&database.url(), inner).await;
        let client = server.client().begin().await;
        assert_eq!(client.call("counter", json!({})).await, "1");
        database.kill();
        is_told_to_come_back(&server, &client).await;
        database.restart();
        database.pause();
        is_told_to_come_back(&server, &client).await;
        database.resume();
        let number = until_served(&client).await;
        // What was on the way to the server that hung was acknowledged to nobody, and may have happened or not.
        assert!((2..=3).contains(&number), "{number}");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_ends_the_server_without_naming_it() {
    for store in [
        "postgres://swordfish:swordfish@127.0.0.1:1/swordfish",
        "redis://swordfish:swordfish@127.0.0.1:1/",
    ] {
        let mut process = Command::new(example::program("server"));
        let process = process.args(["--port", "0", "--store", store]);
        let output = process.stdout(Stdio::null()).output().await.unwrap();
        assert!(!output.status.success());
        assert!(!String::from_utf8_lossy(&output.stderr).contains("swordfish"));
    }
}

/// What needs the store is refused for a while, and what does not need it is served.
async fn is_told_to_come_back(server: &Server, client: &McpClient) {
    let call = client.post(tool_call("counter", json!({}))).await;
    let begin = server.client().post(initialize("late", "2025-11-25")).await;
    for refused in [call, begin, client.send(http::Method::DELETE, "").await] {
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers.contains_key("retry-after"));
        let text = String::from_utf8_lossy(&refused.body).to_lowercase();
        assert!(
            !["redis", "postgres", "sql", "connection"]
                .iter()
                .any(|word| text.contains(word))
        );
    }
    let modern = server.client().with("mcp-protocol-version", "2026-07-28");
    let mut call = tool_call("counter", json!({}));
    call["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "modern", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let modern = modern
        .with("mcp-method", "tools/call")
        .with("mcp-name", "counter");
    assert_eq!(modern.post(call).await.status, StatusCode::OK);
}

/// Calls the counter until it is served; the connection to the store may need a moment.
async fn until_served(client: &McpClient) -> u64 {
    for _ in 0..100 {
        let answer = client.post(tool_call("counter", json!({}))).await;
        match answer.status {
            StatusCode::SERVICE_UNAVAILABLE => tokio::task::yield_now().await,
            status => {
                assert_eq!(status, StatusCode::OK);
                let text = crate::mcp_http::text_of(&answer.result());
                return text.parse().unwrap();
            }
        }
    }
    panic!("the store does not come back");
}

const BOTH: [&str; 2] = ["stateless", "stateful"];
