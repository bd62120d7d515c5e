//! What happens to a session when there are two instances.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::mcp_http::{McpClient, open_stream, read_until, text_of, tool_call, with_progress};
use crate::site::{A_TOUCH_INTERVAL, Site};

pub(crate) async fn a_session_begun_on_one_instance_goes_on_at_the_other(site: &Site) {
    let (a, b) = (site.instance().await, site.instance().await);
    let at_a = a.client().begin_as("alice", "2025-11-25").await;
    let at_b = at_a.at(b.url());
    let note = json!({ "key": "k", "value": "v w" });
    assert_eq!(at_a.call("counter", json!({})).await, "1");
    at_a.call("remember", note).await;

    assert_eq!(at_b.call("counter", json!({})).await, "2");
    assert_eq!(at_b.call("recall", json!({ "key": "k" })).await, "v w");
    assert_eq!(at_a.call("counter", json!({})).await, "3");

    for (client, restored) in [(&at_a, false), (&at_b, true)] {
        let who: Value = serde_json::from_str(&client.call("whoami", json!({})).await).unwrap();
        assert_eq!(who["client_name"], "alice");
        assert_eq!(who["protocol_version"], "2025-11-25");
        assert_eq!(who["session_id"], at_a.id());
        assert_eq!(who["restored"], restored);
    }
}

pub(crate) async fn ended_on_one_instance_is_404_on_the_other_at_once(site: &Site) {
    let (a, b) = (site.instance().await, site.instance().await);
    for used_on_b in [true, false] {
        let at_a = a.client().begin().await;
        let at_b = at_a.at(b.url());
        if used_on_b {
            assert_eq!(at_b.call("counter", json!({})).await, "1");
        }

        assert_eq!(at_a.delete().await, StatusCode::NO_CONTENT);

        for client in [&at_b, &at_a] {
            let answer = client.post(tool_call("counter", json!({}))).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND);
            assert_eq!(client.delete().await, StatusCode::NOT_FOUND);
        }
    }
}

pub(crate) async fn an_instance_killed_in_mid_request_leaves_its_sessions_to_the_other(
    site: &Site,
) {
    let (a, b) = (site.instance().await, site.instance().await);
    let at_a = a.client().begin().await;
    let at_b = at_a.at(b.url());
    assert_eq!(at_a.call("counter", json!({})).await, "1");
    let work = json!({ "steps": 1000, "delay_ms": 20 });
    let working = at_a.open(http::Method::POST, with_progress("slow", work).to_string());
    let mut working = working.await.into_body();
    read_until(&mut working, "progress").await;

    a.kill().await;

    assert_eq!(at_b.call("counter", json!({})).await, "2");
    assert!(ended_or_cut(working).await);
}

pub(crate) async fn both_instances_killed_and_started_again_serve_what_they_had(site: &Site) {
    let (a, b) = (site.instance().await, site.instance().await);
    let sessions = [a.client().begin().await, b.client().begin().await];
    let ended = a.client().begin().await;
    assert_eq!(ended.delete().await, StatusCode::NO_CONTENT);
    for client in &sessions {
        assert_eq!(client.call("counter", json!({})).await, "1");
    }

    a.kill().await;
    b.kill().await;
    let (a, b) = (site.instance().await, site.instance().await);

    for client in &sessions {
        assert_eq!(client.at(b.url()).call("counter", json!({})).await, "2");
        assert_eq!(client.at(a.url()).call("counter", json!({})).await, "3");
    }
    let answer = ended
        .at(a.url())
        .post(tool_call("counter", json!({})))
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

pub(crate) async fn two_hundred_increments_over_both_instances_lose_none(site: &Site) {
    let (a, b) = (site.instance().await, site.instance().await);
    let client = a.client().begin().await;

    let numbers = increments(&[client.clone(), client.at(b.url())], 200).await;

    assert_eq!(numbers, (1..=200).collect());
}

pub(crate) async fn fifty_first_requests_restore_a_session_once(site: &Site) {
    let (a, b) = (site.instance().await, site.instance().await);
    let client = a.client().begin().await;

    let numbers = increments(&[client.at(b.url())], 50).await;

    assert_eq!(numbers, (1..=50).collect());
    let replays = b.logged("initialize replayed");
    assert_eq!(replays, usize::from(site.inner() == "stateful"));
    assert_eq!(b.logged("session restored"), 1);
}

pub(crate) async fn work_and_streams_end_when_the_session_is_ended_elsewhere(site: &Site) {
    let (a, b) = (site.instance().await, site.instance().await);
    let at_a = a.client().begin().await;
    let stream = open_stream(&at_a).await;
    let work = json!({ "steps": 10_000, "delay_ms": 20 });
    let working = at_a.open(http::Method::POST, with_progress("slow", work).to_string());
    let mut working = working.await.into_body();
    read_until(&mut working, "progress").await;

    assert_eq!(at_a.at(b.url()).delete().await, StatusCode::NO_CONTENT);

    let ends = async { tokio::join!(ended_or_cut(stream), ended_or_cut(working)) };
    let ends = timeout(A_TOUCH_INTERVAL, ends).await;
    assert_eq!(
        ends.expect("both end within a touch interval"),
        (true, true)
    );
}

/// Counts up `times` times at once, by each of `clients` in turn; gives the numbers that came back.
async fn increments(clients: &[McpClient], times: usize) -> BTreeSet<u64> {
    let clients = clients.iter().cycle().take(times).cloned();
    let calls = clients.enumerate().map(|(index, client)| {
        let mut call = tool_call("counter", json!({}));
        // Ids of requests that run at the same time in one session differ.
        call["id"] = json!(index + 1);
        tokio::spawn(async move { text_of(&client.post(call).await.result()) })
    });
    let numbers = join_all(calls).await;
    numbers
        .into_iter()
        .map(|number| number.unwrap().parse().unwrap())
        .collect()
}

/// Reads a stream to its end, or to where it was cut.
async fn ended_or_cut(mut stream: hyper::body::Incoming) -> bool {
    while let Some(Ok(_)) = stream.frame().await {}
    true
}
