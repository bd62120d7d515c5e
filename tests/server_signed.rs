//! The example server with signed ids, as processes: each form of `--store signed:` does what it says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/example.rs"]
mod example;
#[path = "support/mcp_http.rs"]
mod mcp_http;
#[path = "support/server.rs"]
mod server;

use std::path::PathBuf;
use std::process::Output;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use self::mcp_http::{McpClient, PATIENCE, text_of, tool_call};
use self::server::Server;

#[tokio::test]
async fn with_the_key_alone_each_server_serves_what_another_began() {
    for inner in BOTH {
        let place = Place::new();
        let (one, other) = place.two("", inner).await;
        let at_one = one.client().begin_as("alice", "2025-06-18").await;
        let at_other = at_one.at(other.url());

        assert_eq!(who(&at_one).await["restored"], false);
        let there = who(&at_other).await;
        assert_eq!(there["session_id"], at_one.id());
        assert_eq!(there["client_name"], "alice");
        assert_eq!(there["protocol_version"], "2025-06-18");
        assert_eq!(there["restored"], true);

        for server in [&one, &other] {
            assert_eq!(server.logged(at_one.id()), 0, "an id is a secret");
        }

        let unseen = one.client().begin_as("bob", "2025-11-25").await;
        one.kill().await;
        assert_eq!(who(&at_other).await["client_name"], "alice");
        assert_eq!(who(&unseen.at(other.url())).await["client_name"], "bob");
        other.kill().await;
        let third = Server::start(&place.store(""), inner).await;
        assert_eq!(who(&at_one.at(third.url())).await["client_name"], "alice");
    }
}

#[tokio::test]
async fn a_server_with_another_key_does_not_know_the_session() {
    let server = Place::new();
    let stranger = Place::new();
    stranger.write_keys(&format!("k1 {OTHER_SECRET}\n"));
    let one = Server::start(&server.store(""), "stateless").await;
    let other = Server::start(&stranger.store(""), "stateless").await;
    let client = one.client().begin().await;

    let answer = client
        .at(other.url())
        .post(tool_call("whoami", json!({})))
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);

    // As one that verifies, the key of the first server is enough.
    stranger.write_keys(&format!("k2 {OTHER_SECRET}\nk1 {SECRET}\n"));
    let rotating = Server::start(&stranger.store(""), "stateless").await;
    let there = who(&client.at(rotating.url())).await;
    assert_eq!(there["session_id"], client.id());
}

#[tokio::test]
async fn with_the_key_alone_delete_is_405_and_the_session_goes_on() {
    for inner in BOTH {
        let place = Place::new();
        let server = Server::start(&place.store(""), inner).await;
        let client = server.client().begin().await;

        let answer = client.send(Method::DELETE, "").await;

        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers["allow"], "GET, POST");
        assert_eq!(who(&client).await["session_id"], client.id());
    }
}

#[tokio::test]
async fn tools_that_remember_say_what_they_lack_where_there_is_no_store() {
    for (behind, inner) in [
        ("", "stateless"),
        ("", "stateful"),
        ("+ended:memory", "stateless"),
    ] {
        let place = Place::new();
        let server = Server::start(&place.store(behind), inner).await;
        let client = server.client().begin().await;

        for (tool, arguments) in [
            ("counter", json!({})),
            ("remember", json!({ "key": "k", "value": "v" })),
            ("recall", json!({ "key": "k" })),
        ] {
            let result = client.post(tool_call(tool, arguments)).await.result();
            assert_eq!(result["isError"], true, "{tool}");
            assert_eq!(
                text_of(&result),
                "The session could not be used: the session store does not support this: \
                 signed ids alone have no values: `SignedStore::with_backing` gives their sessions a store.",
                "{tool}"
            );
        }
        assert_eq!(who(&client).await["session_id"], client.id());
    }
}

#[tokio::test]
async fn over_a_backing_store_values_outlive_servers_that_are_killed() {
    for (backing, inner) in PLACES
        .into_iter()
        .flat_map(|at| BOTH.map(|inner| (at, inner)))
    {
        let place = Place::new();
        let store = place.store(&format!("+{}", place.url(backing)));
        let killed = Server::start(&store, inner).await;
        let begun = killed.client().begin().await;
        assert_eq!(begun.id().matches('.').count(), 2, "the id is signed");
        assert_eq!(begun.call("counter", json!({})).await, "1");
        begun
            .call("remember", json!({ "key": "k", "value": "v w" }))
            .await;
        killed.kill().await;

        let server = Server::start(&store, inner).await;
        let client = begun.at(server.url());
        assert_eq!(client.call("counter", json!({})).await, "2");
        assert_eq!(client.call("recall", json!({ "key": "k" })).await, "v w");
        let other = Server::start(&store, inner).await;
        let there = begun.at(other.url());
        assert_eq!(there.call("counter", json!({})).await, "3");

        assert_eq!(there.delete().await, StatusCode::NO_CONTENT);
        assert_ended(&client).await;
    }
}

#[tokio::test]
async fn with_a_list_a_session_that_is_ended_is_404_on_each_server() {
    for (list, inner) in PLACES
        .into_iter()
        .flat_map(|at| BOTH.map(|inner| (at, inner)))
    {
        let place = Place::new();
        let behind = format!("+ended:{}", place.url(list));
        let (one, other) = place.two(&behind, inner).await;
        let (ended, goes_on) = (one.client().begin().await, one.client().begin().await);
        let unseen = one.client().begin().await;
        for client in [&ended, &goes_on] {
            assert_eq!(who(&client.at(other.url())).await["restored"], true);
        }

        for client in [&ended, &unseen] {
            assert_eq!(client.delete().await, StatusCode::NO_CONTENT);
            assert_ended(client).await;
            assert_ended(&client.at(other.url())).await;
        }
        other.kill().await;
        one.kill().await;
        let later = Server::start(&place.store(&behind), inner).await;

        assert_ended(&ended.at(later.url())).await;
        assert_ended(&unseen.at(later.url())).await;
        let there = who(&goes_on.at(later.url())).await;
        assert_eq!(there["session_id"], goes_on.id());
    }
}

#[tokio::test]
async fn with_a_list_in_memory_sessions_end_with_the_process() {
    let place = Place::new();
    let store = place.store("+ended:memory");
    let server = Server::start(&store, "stateless").await;
    let (ended, alive) = (server.client().begin().await, server.client().begin().await);
    assert_eq!(ended.delete().await, StatusCode::NO_CONTENT);
    assert_ended(&ended).await;
    assert_eq!(who(&alive).await["session_id"], alive.id());
    server.kill().await;

    let server = Server::start(&store, "stateless").await;

    // It cannot know which of them was ended.
    for client in [&ended, &alive] {
        assert_ended(&client.at(server.url())).await;
    }
}

#[tokio::test]
async fn what_is_no_store_for_signed_ids_is_an_error_that_says_so() {
    let place = Place::new();
    let broken = Place::new();
    broken.write_keys(&format!("k1 {}\n", &SECRET[..20]));
    let nested = format!("+{}", place.store(""));
    let nested_list = format!("+ended:{}", place.store(""));
    for (store, reason) in [
        (place.store(&nested), "behind signed ids"),
        (place.store(&nested_list), "behind signed ids"),
        (place.store("+"), "no store is called"),
        (
            place.store("+nowhere"),
            "no store is called \\\"nowhere\\\"",
        ),
        (place.store("+ended:"), "no store is called"),
        (place.store("+ended"), "no store is called"),
        ("ended:memory".to_owned(), "no store is called"),
        ("signed:".to_owned(), "cannot be read"),
        ("signed".to_owned(), "no store is called"),
        (format!("{}-missing", place.store("")), "cannot be read"),
        (broken.store(""), "line 1"),
    ] {
        let output = start(&store).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{store}");
        assert!(said.contains(reason), "{store}: {said}");
        assert!(!said.contains(&SECRET[..20]), "{store}: {said}");
    }
}

/// A folder with a key file, and room for stores.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write_keys(&format!("# signs\nk1 {SECRET}\n"));
        place
    }

    fn write_keys(&self, keys: &str) {
        std::fs::write(self.keys(), keys).unwrap();
    }

    fn keys(&self) -> PathBuf {
        self.0.path().join("keys")
    }

    /// Signed ids with what stands `behind` them.
    fn store(&self, behind: &str) -> String {
        format!("signed:{}{behind}", self.keys().display())
    }

    /// A store of this kind, in the folder.
    fn url(&self, kind: &str) -> String {
        format!("{kind}:{}", self.0.path().join(kind).display())
    }

    async fn two(&self, behind: &str, inner: &str) -> (Server, Server) {
        let store = self.store(behind);
        (
            Server::start(&store, inner).await,
            Server::start(&store, inner).await,
        )
    }
}

/// The server with a store that it should not take.
async fn start(store: &str) -> Output {
    let server = Command::new(example::program("server"))
        .args(["--port", "0", "--store", store])
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, server).await;
    output.expect("it does not start").unwrap()
}

async fn who(client: &McpClient) -> Value {
    serde_json::from_str(&client.call("whoami", json!({})).await).unwrap()
}

async fn assert_ended(client: &McpClient) {
    let answer = client.post(tool_call("whoami", json!({}))).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(client.delete().await, StatusCode::NOT_FOUND);
}

const BOTH: [&str; 2] = ["stateless", "stateful"];

/// Stores that servers share.
const PLACES: [&str; 2] = ["file", "sqlite"];

const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_SECRET: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
