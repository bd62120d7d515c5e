//! Clients that send what is odd, stores that hang, and an inner service that forgets: what is taken down all the same.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Request, StatusCode};
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};
use tower_mcp_session::testing::{Answer, FaultyStore, Operation, ScriptedService};
use tower_mcp_session::{HistoryLimits, MemoryStore, Message, RequestBody, Role, SessionLayer};

use crate::support::{Body, ID, Instance, LIST, SECOND, id_of, initialize, read};
use crate::{begun, call, facts, post, recording, say};

#[tokio::test]
async fn a_request_that_was_refused_unread_and_sent_again_is_taken_down() {
    let server = ScriptedService::new().minting_ids();
    let forgets = Arc::new(AtomicBool::new(false));
    let (inner, forgetting) = (server.clone(), Arc::clone(&forgets));
    // Knows no session any more, and says so before it reads anything.
    let service = service_fn(move |request: Request<RequestBody<Body>>| {
        let (inner, forgetting) = (inner.clone(), Arc::clone(&forgetting));
        async move {
            if request.headers().contains_key(ID) && forgetting.swap(false, Ordering::Relaxed) {
                drop(request);
                let unknown = Answer::status(StatusCode::NOT_FOUND);
                inner.answer_next(unknown);
                let nothing = Request::new(Body::default());
                return Ok::<_, Infallible>(inner.oneshot(nothing).await.unwrap());
            }
            Ok(inner.oneshot(request).await.unwrap())
        }
    });
    let layer = recording(SessionLayer::new(MemoryStore::new()));
    let service = layer.layer(service);
    let send = |request| {
        let service = service.clone();
        async move { read(service.oneshot(request).await.unwrap()).await.0 }
    };
    let answer = service.clone().oneshot(initialize()).await.unwrap();
    let id = id_of(answer.headers()).unwrap();
    read(answer).await;
    assert_eq!(send(post(&id, LIST)).await, 200);
    let requests = server.requests();
    let session = requests.last().unwrap().extensions.get();
    let session: tower_mcp_session::SessionContext = Clone::clone(session.unwrap());
    session.history().clear().await.unwrap();

    forgets.store(true, Ordering::Relaxed);
    assert_eq!(send(post(&id, call(1))).await, 200);
    assert_eq!(
        facts(&session).await,
        ["user client request tools/call", "tool server response -"]
    );
}

#[tokio::test]
async fn a_message_that_fits_only_without_what_is_noted_of_it_empties_no_history() {
    let instance = Instance::new(|layer| layer.with_history(HistoryLimits::new(9, 2_000)));
    let (id, session) = begun(&instance).await;
    say(&instance, post(&id, LIST)).await;
    // Its method is noted once more.
    let body = json!({ "jsonrpc": "2.0", "method": "m".repeat(1_500) }).to_string();
    assert!(body.len() < 2_000);
    say(&instance, post(&id, body)).await;
    let messages = session.history().recent(9).await.unwrap();
    assert_eq!(messages[0].content(), LIST);
    assert_eq!(messages[2].content(), "null");
    let metadata = messages[2].metadata();
    assert_eq!(metadata.get("too_long").unwrap(), Some(true));
}

#[tokio::test]
async fn a_long_message_is_taken_down_if_the_history_has_room_for_it() {
    let limits = HistoryLimits::new(9, 8 << 20);
    let instance = Instance::new(|layer| layer.with_history(limits));
    let (id, session) = begun(&instance).await;
    let body = json!({ "jsonrpc": "2.0", "method": "long", "params": ["x".repeat(3 << 20)] });
    say(&instance, post(&id, body.to_string())).await;
    let messages = session.history().recent(9).await.unwrap();
    assert_eq!(
        messages.first().map(Message::content),
        Some(&*body.to_string())
    );
}

#[tokio::test(start_paused = true)]
async fn handlers_that_read_the_history_wait_together_for_a_store_that_hangs() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &Default::default(), recording);
    let (id, session) = begun(&instance).await;
    store.hang(Operation::Append);
    let start = tokio::time::Instant::now();
    let mut reads = Vec::new();
    for number in 0..20 {
        say(&instance, post(&id, call(number))).await;
        let history = session.history();
        let mut read = tokio_test::task::spawn(async move { history.recent(9).await });
        assert!(read.poll().is_pending());
        reads.push(read);
    }
    for read in reads {
        read.await.unwrap();
    }
    let waited = start.elapsed();
    assert!(waited <= SECOND * 5, "{waited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_heard_while_the_last_writer_leaves_is_not_lost() {
    let instance = Instance::new(|layer| layer.with_history(HistoryLimits::new(9, 9_000)));
    let (id, session) = begun(&instance).await;
    let history = session.history();
    const REQUESTS: u64 = 10_000;
    for number in 0..REQUESTS {
        say(
            &instance,
            post(&id, format!(r#"{{"jsonrpc":"2.0","method":"n{number}"}}"#)),
        )
        .await;
    }
    let total = history.summary().await.unwrap().of(Role::User);
    assert_eq!(total, REQUESTS);
}

#[tokio::test(start_paused = true)]
async fn what_a_store_is_being_told_counts_among_what_was_heard() {
    let store = FaultyStore::new(MemoryStore::new());
    let limits = HistoryLimits::new(9, 2 << 20);
    let instance = Instance::over(store.clone(), &Default::default(), |layer| {
        layer.with_history(limits)
    });
    let mut sessions = Vec::new();
    const SESSIONS: usize = 70;
    for _ in 0..SESSIONS {
        sessions.push(begun(&instance).await);
    }
    store.hang(Operation::Append);
    let body = json!({ "jsonrpc": "2.0", "method": "long", "params": ["x".repeat(1 << 20)] });
    for (id, _) in &sessions {
        say(&instance, post(id, body.to_string())).await;
        // Its writer gets its turn.
        tokio::task::yield_now().await;
    }
    store.heal();
    store.release();
    let mut recorded = 0;
    for (_, session) in sessions {
        let summary = session.history().summary().await.unwrap();
        recorded += summary.of(Role::User);
    }
    // Of 64 MiB in all.
    assert!((60..64).contains(&recorded), "{recorded}");
}

#[tokio::test]
async fn many_calls_and_many_answers_are_no_work_for_each_pair() {
    let limits = HistoryLimits::new(100_000, 16 << 20);
    let instance = Instance::new(|layer| layer.with_history(limits));
    let (id, session) = begun(&instance).await;
    const CALLS: u64 = 20_000;
    let batch = |member: &str| {
        let one = |id| format!(r#"{{"jsonrpc":"2.0","id":{id},{member}}}"#);
        format!("[{}]", (0..CALLS).map(one).collect::<Vec<_>>().join(","))
    };
    let results = Answer::bytes("application/json", batch(r#""result":{}"#));
    instance.server.answer_next(results);
    say(&instance, post(&id, batch(r#""method":"tools/call""#))).await;
    let summary = session.history().summary().await.unwrap();
    assert_eq!(Role::ALL.map(|role| summary.of(role)), [CALLS, 0, 0, CALLS]);
}

#[tokio::test]
async fn a_stream_that_brings_all_at_once_fills_the_history() {
    let limits = HistoryLimits::new(5_000, 16 << 20);
    let server = ScriptedService::new();
    let instance = Instance::serving(server, MemoryStore::new(), &Default::default(), |layer| {
        layer.with_history(limits)
    });
    let (id, session) = begun(&instance).await;
    let event = json!({ "jsonrpc": "2.0", "method": "notifications/message" });
    let events = (0..10_000).map(|_| event.clone());
    instance.server.answer_next(Answer::events(events));
    say(&instance, post(&id, call(1))).await;
    let summary = session.history().summary().await.unwrap();
    assert_eq!(summary.kept, 5_000);
}

#[tokio::test]
async fn what_a_client_says_twice_is_not_hidden_from_the_history() {
    let instance = Instance::new(recording);
    let (id, session) = begun(&instance).await;
    let twice = r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#;
    say(&instance, post(&id, twice)).await;
    let messages = session.history().recent(9).await.unwrap();
    assert_eq!(messages[0].content(), twice);
    assert_eq!(facts(&session).await[0], "user client - -");
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_and_leave_push_no_message_out() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &Default::default(), recording);
    let (id, session) = begun(&instance).await;
    store.hang(Operation::Append);
    const MESSAGES: u64 = 400;
    for number in 0..MESSAGES {
        say(&instance, post(&id, call(number))).await;
        let history = session.history();
        for _ in 0..3 {
            let mut read = tokio_test::task::spawn(history.recent(9));
            assert!(read.poll().is_pending());
        }
    }
    store.release();
    let summary = session.history().summary().await.unwrap();
    assert_eq!(summary.of(Role::User), MESSAGES);
}
