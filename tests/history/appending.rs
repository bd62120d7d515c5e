//! What handlers append, and who else writes at the same time.

use serde_json::{Value, json};
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::{FaultyStore, ManualClock, Operation};
use tower_mcp_session::{
    Clock, HistoryLimits, MemoryStore, Message, Role, SessionContext, SessionStore, Values,
};

use crate::support::{Instance, LIST, MINUTE, delete, initialize, read, settle, shared};
use crate::{begun, call, facts, kind_of, post, recording, say};

#[tokio::test]
async fn handlers_append_and_read_what_was_said() {
    let instance = Instance::new(recording);
    let (id, session) = begun(&instance).await;
    let history = session.history();
    history.append(Role::System, "be kind").await.unwrap();
    say(&instance, post(&id, LIST)).await;
    let mut metadata = Values::default();
    metadata.insert("model", "m-1").unwrap();
    let message = Message::new(
        Role::Assistant,
        &json!({ "text": "hello" }),
        instance.clock.now(),
    )
    .and_then(|message| message.with_metadata(&metadata))
    .unwrap();
    history.append_message(message.clone()).await.unwrap();
    let all: Vec<_> = history.iter().await.unwrap().collect();
    assert_eq!(all.len(), 4);
    assert_eq!(all[0].content_as::<String>().unwrap(), "be kind");
    assert_eq!(all[3], message);
    assert_eq!(history.recent(1).await.unwrap(), [message]);
    let summary = history.summary().await.unwrap();
    assert_eq!((summary.total, summary.of(Role::System)), (4, 1));
}

#[tokio::test]
async fn histories_of_two_sessions_are_apart() {
    let instance = Instance::new(recording);
    let (_, one) = begun(&instance).await;
    let (_, other) = begun(&instance).await;
    one.history().append(Role::User, "mine").await.unwrap();
    assert_eq!(other.history().recent(9).await.unwrap(), []);
    other.history().clear().await.unwrap();
    assert_eq!(one.history().recent(9).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_writers_keep_their_order_and_the_limits() {
    let limits = HistoryLimits::new(200, 20_000);
    let instance = Instance::new(|layer| layer.with_history(limits));
    let (id, session) = begun(&instance).await;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..64_u64 {
        let (instance, session, id) = (instance.clone(), session.clone(), id.clone());
        tasks.spawn(async move {
            for number in 0..20 {
                if writer.is_multiple_of(2) {
                    let said = json!([writer, number]);
                    session.history().append(Role::User, &said).await.unwrap();
                } else {
                    let params = json!({ "said": [writer, number] });
                    let body = json!({ "jsonrpc": "2.0", "method": "n", "params": params });
                    say(&instance, post(&id, body.to_string())).await;
                }
                within(&session, limits).await;
            }
        });
    }
    tasks.join_all().await;
    let summary = session.history().summary().await.unwrap();
    assert_eq!(summary.total, 64 * 20);
    let last = within(&session, limits).await;
    assert!(last.iter().flatten().all(|&number| number == 19));
}

/// The last message that is kept of each writer. All keep to `limits`, and those of a writer to their order.
async fn within(session: &SessionContext, limits: HistoryLimits) -> [Option<u64>; 64] {
    let messages = session.history().recent(usize::MAX).await.unwrap();
    assert!(messages.len() <= limits.messages);
    assert!(messages.iter().map(Message::size).sum::<usize>() <= limits.bytes);
    let mut last = [None; 64];
    for message in messages {
        let content: Value = message.content_as().unwrap();
        let said = content.pointer("/params/said").unwrap_or(&content);
        let [writer, number] = serde_json::from_value::<[u64; 2]>(said.clone()).unwrap();
        let before = last[usize::try_from(writer).unwrap()].replace(number);
        assert!(
            before.is_none_or(|before| number == before + 1),
            "writer {writer}"
        );
    }
    last
}

#[tokio::test]
async fn there_is_none_before_the_session_begins_nor_after_its_end() {
    let instance = Instance::new(recording);
    let (id, session) = begun(&instance).await;
    session.history().append(Role::User, "a").await.unwrap();
    assert_eq!(read(instance.send(delete(&id)).await).await.0, 204);
    for error in [
        session
            .history()
            .append(Role::User, "late")
            .await
            .unwrap_err(),
        session.history().recent(9).await.unwrap_err(),
    ] {
        assert_eq!(kind_of(&error), Some(StoreErrorKind::Gone));
    }
    instance.server.hold();
    let beginning = tokio::spawn({
        let instance = instance.clone();
        async move { instance.send(initialize()).await }
    });
    while instance.server.held() == 0 {
        tokio::task::yield_now().await;
    }
    let error = instance.context().history().recent(9).await.unwrap_err();
    assert_eq!(kind_of(&error), Some(StoreErrorKind::Unsupported));
    instance.server.release();
    assert_eq!(beginning.await.unwrap().status(), 200);
    assert_eq!(instance.context().history().recent(9).await.unwrap(), []);
}

#[tokio::test]
async fn instances_that_share_a_store_share_the_history() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let [one, two] = [(); 2].map(|()| Instance::over(shared(&store), &clock, recording));
    let (id, session) = begun(&one).await;
    say(&one, post(&id, call(1))).await;
    say(&two, post(&id, LIST)).await;
    two.context()
        .history()
        .append(Role::System, "here")
        .await
        .unwrap();
    let seen = facts(&session).await;
    assert_eq!(seen.len(), 5);
    assert_eq!(seen, facts(&two.context()).await);
}

#[tokio::test]
async fn a_store_that_hangs_delays_no_request_and_keeps_the_order() {
    let store = FaultyStore::new(MemoryStore::new());
    let minute = |layer| recording(layer).with_store_timeout(MINUTE);
    let instance = Instance::over(store.clone(), &ManualClock::new(), minute);
    let (id, session) = begun(&instance).await;
    store.hang(Operation::Append);
    let before = store.calls(Operation::Append);
    for number in 0..150 {
        assert_eq!(say(&instance, post(&id, call(number))).await, 200);
        settle().await;
    }
    let calls = store.calls(Operation::Append) - before;
    assert_eq!(calls, 1, "one waits, and all others behind it");
    store.release();
    settle().await;
    let messages = session.history().recent(usize::MAX).await.unwrap();
    assert_eq!(messages.len(), 100, "what waited is kept to the limits");
    let ids: Vec<u64> = messages
        .iter()
        .map(|message| {
            message.content_as::<Value>().unwrap()["id"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert!(ids.is_sorted());
    assert_eq!(ids.last(), Some(&149));
}

#[tokio::test]
async fn a_store_that_is_down_loses_messages_and_serves_requests() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), recording);
    let (id, session) = begun(&instance).await;
    store.fail_all(Operation::Append, StoreErrorKind::Unavailable);
    assert_eq!(say(&instance, post(&id, LIST)).await, 200);
    let error = session.history().append(Role::User, "a").await.unwrap_err();
    assert_eq!(kind_of(&error), Some(StoreErrorKind::Unavailable));
    store.heal();
    assert_eq!(say(&instance, post(&id, call(1))).await, 200);
    assert_eq!(facts(&session).await.len(), 2);
    // The first request and its answer.
    assert_eq!(counted(&instance, 1).await, (2, 2));
}

/// How many messages were recorded of `begun` sessions since they began, and how many were lost.
async fn counted(instance: &Instance, begun: u64) -> (u64, u64) {
    let statistics = instance.layer.sessions().statistics().await;
    let recorded = statistics.messages() - 2 * begun;
    (recorded, statistics.messages_lost())
}

#[tokio::test]
async fn what_is_said_last_in_a_session_that_ends_is_not_lost_but_over() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), recording);
    let (id, session) = begun(&instance).await;
    store.hang(Operation::Append);
    assert_eq!(say(&instance, post(&id, LIST)).await, 200);
    settle().await;
    session.end().await.unwrap();
    store.release();
    settle().await;
    assert_eq!(counted(&instance, 1).await, (0, 0));
}

#[tokio::test]
async fn a_store_without_histories_says_so() {
    let store = FaultyStore::new(MemoryStore::new()).without_history();
    assert!(store.history().is_none());
    let (log, _guard) = crate::log::Log::of_this_thread();
    let instance = Instance::over(store, &ManualClock::new(), recording);
    assert!(log.text().contains("keeps no histories"), "{}", log.text());
    let (id, session) = instance.open_context().await;
    assert_eq!(say(&instance, post(&id, LIST)).await, 200);
    let error = session.history().recent(9).await.unwrap_err();
    assert_eq!(kind_of(&error), Some(StoreErrorKind::Unsupported));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_where_one_task_ends_as_the_next_begins() {
    let limits = HistoryLimits::new(10_000, 10 << 20);
    let instance = Instance::new(|layer| layer.with_history(limits));
    let (id, session) = begun(&instance).await;
    for number in 0..2_000 {
        assert_eq!(say(&instance, post(&id, call(number))).await, 200);
    }
    let summary = session.history().summary().await.unwrap();
    assert_eq!((summary.total, summary.of(Role::Tool)), (4_000, 2_000));
}

#[test]
fn a_runtime_that_ends_in_the_middle_leaves_the_history_to_the_next() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().build().unwrap()
    };
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| {
        recording(layer).with_store_timeout(MINUTE)
    });
    let first = runtime();
    let (id, session) = first.block_on(async {
        let (id, session) = begun(&instance).await;
        store.hang(Operation::Append);
        say(&instance, post(&id, call(1))).await;
        settle().await;
        (id, session)
    });
    drop(first);
    store.release();
    runtime().block_on(async {
        say(&instance, post(&id, call(2))).await;
        assert_eq!(facts(&session).await.len(), 2);
        // The call and its answer, which the first runtime took with it.
        assert_eq!(counted(&instance, 1).await, (2, 2));
    });
}

#[tokio::test]
async fn what_waits_for_a_store_that_hangs_is_bounded() {
    let store = FaultyStore::new(MemoryStore::new());
    let limits = HistoryLimits::new(10, 1 << 20);
    let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| {
        layer.with_history(limits).with_store_timeout(MINUTE)
    });
    let long = json!({ "jsonrpc": "2.0", "method": "long", "params": "x".repeat(1 << 18) });
    let long = long.to_string();
    let short = r#"{"jsonrpc":"2.0","method":"short"}"#;
    // Of the short ones a thousand wait; of the long ones as many as take a mebibyte more than a history.
    let mut lost = 0;
    for (body, sent, waiting) in [(short, 1_200, 1_000), (&*long, 12, 7)] {
        let (id, session) = begun(&instance).await;
        store.hang(Operation::Append);
        say(&instance, post(&id, body)).await;
        settle().await;
        for _ in 0..sent {
            say(&instance, post(&id, body)).await;
        }
        store.release();
        settle().await;
        let summary = session.history().summary().await.unwrap();
        assert_eq!(summary.total, 1 + waiting);
        lost += sent - waiting;
        assert_eq!(counted(&instance, 0).await.1, lost);
    }
}

#[tokio::test]
async fn whoever_asks_waits_for_what_is_being_written_though_what_came_after_it_is_lost() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| {
        recording(layer).with_store_timeout(MINUTE)
    });
    let (id, session) = begun(&instance).await;
    store.hang(Operation::Append);
    say(&instance, post(&id, call(1))).await;
    settle().await;
    let history = session.history();
    let mut asked = tokio_test::task::spawn(history.summary());
    assert!(asked.poll().is_pending());
    for _ in 0..1_200 {
        say(&instance, post(&id, r#"{"jsonrpc":"2.0","method":"n"}"#)).await;
    }
    assert!(asked.poll().is_pending(), "the call is not written yet");
    store.release();
    assert_eq!(asked.await.unwrap().of(Role::Tool), 1);
}

#[tokio::test]
async fn what_waits_of_all_sessions_together_is_bounded() {
    let store = FaultyStore::new(MemoryStore::new());
    let limits = HistoryLimits::new(10, 10 << 20);
    let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| {
        layer.with_history(limits).with_store_timeout(MINUTE)
    });
    let mut sessions = Vec::new();
    for _ in 0..90 {
        sessions.push(begun(&instance).await);
    }
    let long = json!({ "jsonrpc": "2.0", "method": "long", "params": "x".repeat(1 << 18) });
    let long = long.to_string();
    store.hang(Operation::Append);
    for (id, _) in &sessions {
        for _ in 0..3 {
            say(&instance, post(id, long.as_str())).await;
        }
    }
    store.release();
    let mut kept = 0;
    for (_, session) in &sessions {
        kept += facts(session).await.len();
    }
    assert_eq!(kept, (64 << 20) / long.len());
    let said = sessions.len() * 3;
    assert_eq!(
        counted(&instance, 90).await,
        (kept as u64, (said - kept) as u64)
    );

    // All of it has been given back.
    let (id, session) = &sessions[89];
    session.history().clear().await.unwrap();
    say(&instance, post(id, long.as_str())).await;
    assert_eq!(facts(session).await.len(), 1);
}
