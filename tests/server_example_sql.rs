//! The example server over SQL stores: several processes share sessions, and sessions outlive them.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may unwrap as tests do"
)]

#[path = "support/example.rs"]
mod example;
#[path = "support/mcp_http.rs"]
mod mcp_http;
#[path = "support/postgres.rs"]
mod postgres;

use std::process::Stdio;

use http::StatusCode;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use self::mcp_http::{McpClient, PATIENCE, tool_call};
use self::postgres::{PostgresServer, Stop};

#[tokio::test]
async fn sessions_in_sqlite_are_shared_by_processes_and_outlive_them() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sessions.db");
    sessions_are_shared_and_outlive_processes(&format!("sqlite:{}", path.display())).await;
}

#[tokio::test]
async fn sessions_in_postgres_are_shared_by_processes_and_outlive_them() {
    let url = PostgresServer::shared().await.fresh_schema().await;
    sessions_are_shared_and_outlive_processes(&url).await;
}

async fn sessions_are_shared_and_outlive_processes(store: &str) {
    let [mut first, second] = [Server::start(store).await, Server::start(store).await];
    let client = McpClient::new(&first.url).begin().await;
    assert_eq!(client.call("counter", json!({})).await, "1");
    let client = in_session_of(&client, &second);
    assert_eq!(client.call("counter", json!({})).await, "2");

    first.process.kill().await.unwrap();
    let third = Server::start(store).await;
    let client = in_session_of(&client, &third);
    assert_eq!(client.call("counter", json!({})).await, "3");

    assert_eq!(client.delete().await, StatusCode::NO_CONTENT);
    for server in [&second, &third] {
        let client = in_session_of(&client, server);
        let answer = client.post(tool_call("counter", json!({}))).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn while_postgres_is_down_clients_are_told_to_come_back_and_then_go_on() {
    let mut database = PostgresServer::start();
    let server = Server::start(&database.url()).await;
    let client = McpClient::new(&server.url).begin().await;
    assert_eq!(client.call("counter", json!({})).await, "1");
    for how in [Stop::Fast, Stop::Immediate] {
        database.stop(how);
        let answer = client.post(tool_call("counter", json!({}))).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers.contains_key("retry-after"));
        database.start_again();
    }
    assert_eq!(client.call("counter", json!({})).await, "2");
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_ends_the_server_without_naming_it() {
    let mut process = Command::new(example::program("server"));
    let process = process.args(["--port", "0", "--store"]);
    let store = "postgres://swordfish:swordfish@127.0.0.1:1/swordfish";
    let output = process.arg(store).output().await.unwrap();
    assert!(!output.status.success());
    assert!(!String::from_utf8_lossy(&output.stderr).contains("swordfish"));
}

/// The same client, at another server.
fn in_session_of(client: &McpClient, server: &Server) -> McpClient {
    McpClient::new(&server.url)
        .with("mcp-session-id", client.id())
        .with("mcp-protocol-version", "2025-11-25")
}

/// The example server as a child process, killed when this is dropped.
struct Server {
    url: String,
    process: Child,
}

impl Server {
    async fn start(store: &str) -> Self {
        let mut process = Command::new(example::program("server"))
            .args(["--port", "0", "--store", store])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line())
            .await
            .expect("the server is up in time");
        let line = line.unwrap().expect("it prints its address");
        let url = line.strip_prefix("listening on ").unwrap().to_owned();
        Self { url, process }
    }
}
