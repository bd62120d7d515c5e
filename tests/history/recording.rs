//! What the layer takes down by itself.

use std::sync::Arc;

use http::Request;
use serde_json::json;
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::{Answer, ScriptedService};
use tower_mcp_session::{Clock, HistoryLimits, MemoryStore, Message, Role};

use crate::log::Log;
use crate::support::{Body, ID, Instance, LIST, MINUTE};
use crate::{begun, call, facts, kind_of, post, recording, say, told};

#[tokio::test]
async fn by_default_nothing_is_taken_down_and_asking_says_so() {
    let instance = Instance::new(|layer| layer);
    let (_, session) = instance.open_context().await;
    let history = session.history();
    for error in [
        history.recent(9).await.unwrap_err(),
        history.summary().await.unwrap_err(),
        history.append(Role::User, "a").await.unwrap_err(),
        history.clear().await.unwrap_err(),
    ] {
        assert_eq!(kind_of(&error), Some(StoreErrorKind::Unsupported));
    }
}

#[tokio::test]
async fn requests_notifications_and_answers_are_taken_down_with_what_they_are() {
    let instance = Instance::new(recording);
    let (id, session) = begun(&instance).await;
    let notification =
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let answer = r#"{"jsonrpc":"2.0","id":"s-1","result":{"roots":[]}}"#;
    for body in [LIST, &call(3), notification, answer] {
        instance.clock.advance(MINUTE);
        say(&instance, post(&id, body)).await;
    }
    let messages = session.history().recent(usize::MAX).await.unwrap();
    let parsed = |text: &str| serde_json::from_str(text).unwrap();
    let expected = [
        ("user client request tools/list", parsed(LIST)),
        (
            "assistant server response -",
            json!({"jsonrpc":"2.0","id":8,"result":{"method":"tools/list"}}),
        ),
        ("user client request tools/call", parsed(&call(3))),
        (
            "tool server response -",
            json!({"jsonrpc":"2.0","id":3,"result":{"method":"tools/call"}}),
        ),
        (
            "user client notification notifications/cancelled",
            parsed(notification),
        ),
        ("user client response -", parsed(answer)),
    ];
    let expected = expected.map(|(facts, content)| (facts.to_owned(), content));
    assert_eq!(told(&messages), expected);
    assert_eq!(messages[0].content(), LIST, "as it was written");
    assert_eq!(messages[5].timestamp(), instance.clock.now());
    let summary = session.history().summary().await.unwrap();
    assert_eq!((summary.total, summary.kept), (6, 6));
    assert_eq!(Role::ALL.map(|role| summary.of(role)), [4, 1, 0, 1]);
    assert_eq!(summary.first, Some(messages[0].timestamp()));
    assert_eq!(summary.last, Some(messages[5].timestamp()));
}

#[tokio::test]
async fn each_message_of_a_batch_is_one() {
    let instance = Instance::new(recording);
    let (id, session) = begun(&instance).await;
    say(&instance, post(&id, format!("[{LIST},{}]", call(1)))).await;
    let facts = facts(&session).await;
    assert_eq!(
        facts[..2],
        [
            "user client request tools/list",
            "user client request tools/call"
        ]
    );
    assert_eq!(
        facts[2..],
        ["assistant server response -", "tool server response -"]
    );
}

#[tokio::test]
async fn what_is_no_message_is_left_out_and_passes() {
    let instance = Instance::new(recording);
    let (id, session) = begun(&instance).await;
    instance
        .server
        .on("html", |_| Answer::bytes("text/html", "<p>"));
    instance
        .server
        .on("empty", |_| Answer::bytes("application/json", ""));
    for body in ["not JSON", "", "7", r#"{"a":1}"#] {
        say(&instance, post(&id, body)).await;
    }
    let coded = |body: &'static str| {
        Request::post("/mcp")
            .header(ID, &id)
            .header("content-encoding", "gzip")
            .body(Body::from(body))
    };
    say(&instance, coded(LIST).unwrap()).await;
    let facts = facts(&session).await;
    assert!(
        facts
            .iter()
            .all(|facts| facts.starts_with("assistant server")),
        "{facts:?}"
    );
    session.history().clear().await.unwrap();
    for method in ["html", "empty"] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
        say(&instance, post(&id, body)).await;
    }
    let facts = crate::facts(&session).await;
    assert_eq!(
        facts,
        ["user client request html", "user client request empty"]
    );
}

#[tokio::test]
async fn the_initialize_is_no_part_of_it() {
    let instance = Instance::new(recording);
    instance.begin().await;
    say(&instance, post(&instance.begin().await, LIST)).await;
    let facts = facts(&instance.context()).await;
    assert_eq!(facts.len(), 2, "{facts:?}");
}

#[tokio::test]
async fn the_oldest_go_when_there_are_too_many_or_they_are_too_long() {
    let size = 2 * LIST.len() + 200;
    for (limits, kept) in [
        (HistoryLimits::new(3, 1 << 20), 3),
        (HistoryLimits::new(100, size), 3),
        (HistoryLimits::new(0, 1 << 20), 0),
    ] {
        let instance = Instance::new(|layer| layer.with_history(limits));
        let (id, session) = begun(&instance).await;
        for _ in 0..5 {
            say(&instance, post(&id, LIST)).await;
        }
        let summary = session.history().summary().await.unwrap();
        assert_eq!(summary.total, 10);
        assert!(summary.kept <= kept, "{limits:?} keep {}", summary.kept);
        let bytes: usize = session
            .history()
            .iter()
            .await
            .unwrap()
            .map(|message| message.size())
            .sum();
        assert!(bytes <= limits.bytes);
    }
}

#[tokio::test]
async fn a_message_longer_than_a_history_is_noted_without_its_content() {
    let limits = HistoryLimits::new(9, 1_000);
    for server in [
        ScriptedService::new(),
        ScriptedService::new().answering_sse(),
    ] {
        let instance =
            Instance::serving(server, MemoryStore::new(), &Default::default(), |layer| {
                layer.with_history(limits)
            });
        let (id, session) = begun(&instance).await;
        let long = json!({ "text": "x".repeat(2_000) });
        let result = long.clone();
        instance
            .server
            .on("long", move |_| Answer::result(result.clone()));
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "long", "params": long });
        assert_eq!(say(&instance, post(&id, body.to_string())).await, 200);
        let messages = session.history().recent(9).await.unwrap();
        assert_eq!(messages.len(), 2);
        for message in &messages {
            assert_eq!(message.content(), "null");
            assert_eq!(message.metadata().get("too_long").unwrap(), Some(true));
        }
    }
}

#[tokio::test]
async fn a_redaction_sees_each_message_before_it_is_stored() {
    let instance = Instance::new(|layer| {
        recording(layer).with_redaction(|message: Message| {
            if message.content().contains("tools/list") {
                return None;
            }
            let shown = message.content().replace("secret", "***");
            let shown: serde_json::Value = serde_json::from_str(&shown).ok()?;
            message.with_content(&shown).ok()
        })
    });
    let (id, session) = begun(&instance).await;
    say(&instance, post(&id, LIST)).await;
    say(
        &instance,
        post(
            &id,
            r#"{"jsonrpc":"2.0","id":1,"method":"login","params":{"p":"secret"}}"#,
        ),
    )
    .await;
    session
        .history()
        .append(Role::System, "my secret")
        .await
        .unwrap();
    let messages = session.history().recent(9).await.unwrap();
    let texts: Vec<_> = messages.iter().map(Message::content).collect();
    assert_eq!(messages.len(), 3, "{texts:?}");
    assert!(
        texts.iter().all(|text| !text.contains("secret")),
        "{texts:?}"
    );
    assert!(texts[0].contains("***") && texts[2].contains("***"));
}

#[tokio::test]
async fn a_redaction_that_panics_lets_its_message_go_and_nothing_else() {
    let instance = Instance::new(|layer| {
        recording(layer).with_redaction(|message: Message| {
            assert!(!message.content().contains("tools/list"), "too much");
            Some(message)
        })
    });
    let (id, session) = begun(&instance).await;
    let (log, _guard) = Log::of_this_thread();
    assert_eq!(say(&instance, post(&id, LIST)).await, 200);
    assert_eq!(say(&instance, post(&id, call(1))).await, 200);
    assert_eq!(facts(&session).await.len(), 2);
    assert!(log.text().contains("redaction panicked"), "{}", log.text());
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_taken_down_once() {
    let server = ScriptedService::new().minting_ids();
    let instance = Instance::serving(server, MemoryStore::new(), &Default::default(), recording);
    let (id, session) = begun(&instance).await;
    instance.server.forget_sessions();
    instance.clock.advance(MINUTE);
    assert_eq!(say(&instance, post(&id, call(1))).await, 200);
    assert_eq!(
        facts(&session).await,
        ["user client request tools/call", "tool server response -"]
    );
}

#[tokio::test]
async fn what_is_said_never_reaches_a_log() {
    let (log, _guard) = Log::of_this_thread();
    let instance = Arc::new(Instance::new(recording));
    let (id, session) = begun(&instance).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"login","params":{"p":"hunter2"}}"#;
    say(&instance, post(&id, body)).await;
    let messages = session.history().recent(9).await.unwrap();
    let shown = format!("{messages:?} {:?} {}", session.history(), log.text());
    assert!(!shown.contains("hunter2"), "{shown}");
}
