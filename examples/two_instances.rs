//! Run with `cargo run --example two_instances --features axum,file`.
//!
//! Two servers on one store, behind a round robin. One is killed in the middle; the client's session goes on.

#[path = "plain_axum.rs"]
#[allow(dead_code, reason = "its main is for whoever runs it alone")]
mod plain_axum;

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::Stdio;

use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tower_mcp_session::store::FileStore;

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    match env::args().nth(1) {
        Some(folder) => serve(Path::new(&folder)).await,
        None => play().await,
    }
}

/// One of the two servers: its sessions are in `folder`.
async fn serve(folder: &Path) -> Result<(), BoxError> {
    let app = plain_axum::app_over(FileStore::open(folder)?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(&listener.local_addr()?.to_string());
    axum::serve(listener, app).await?;
    Ok(())
}

/// The round robin and its client.
async fn play() -> Result<(), BoxError> {
    let folder = tempfile::tempdir()?;
    let mut servers = vec![start(folder.path()).await?, start(folder.path()).await?];
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    let (id, _) = send(&servers[0].1, None, "initialize", params).await?;
    for visit in 0..6 {
        if visit == 3 {
            let (mut killed, address) = servers.remove(0);
            killed.kill().await?;
            say(&format!("{address} is killed"));
        }
        let (_, address) = &servers[visit % servers.len()];
        let call = json!({ "name": "visit", "arguments": {} });
        let (_, answer) = send(address, id.as_deref(), "tools/call", call).await?;
        let text = &answer["result"]["content"][0]["text"];
        say(&format!("{address} counts {text}"));
    }
    Ok(())
}

/// Starts this program as a server; gives its address too.
async fn start(folder: &Path) -> Result<(Child, String), BoxError> {
    let mut server = Command::new(env::current_exe()?)
        .arg(folder)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = server.stdout.take().ok_or("it has an output")?;
    let address = BufReader::new(output).lines().next_line().await?;
    Ok((server, address.ok_or("it did not start")?))
}

/// Sends one message to the server at `address`; gives the session's id, if the answer has one, and the answer.
async fn send(
    address: &str,
    id: Option<&str>,
    method: &str,
    params: Value,
) -> Result<(Option<String>, Value), BoxError> {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let mut request = Request::post(format!("http://{address}/mcp"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    if let Some(id) = id {
        request = request.header("mcp-session-id", id);
    }
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = request.body(Full::<bytes::Bytes>::from(message.to_string()))?;
    let (head, body) = client.request(request).await?.into_parts();
    let id = head.headers.get("mcp-session-id");
    let id = id.map(|id| id.to_str().map(str::to_owned)).transpose()?;
    Ok((
        id,
        serde_json::from_slice(&body.collect().await?.to_bytes())?,
    ))
}

#[expect(clippy::print_stdout, reason = "it shows what happens")]
fn say(text: &str) {
    println!("{text}");
}
