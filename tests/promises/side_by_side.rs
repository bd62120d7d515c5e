//! 5: requests of one session run side by side; nothing is locked meanwhile.

use http_body_util::BodyExt;
use serde_json::json;
use tower_mcp_session::MemoryStore;
use tower_mcp_session::testing::{Answer, FaultyStore, ManualClock, Operation, ScriptedService};

use crate::support::{Instance, LIST, delete, get, ping, post, read};

const RESPONSE: &str = r#"{"jsonrpc":"2.0","id":"s-1","result":{"roots":[]}}"#;

#[tokio::test]
async fn two_requests_of_one_session_run_at_the_same_time() {
    for half_open in [true, false] {
        let instance = Instance::new(|layer| layer);
        let id = match half_open {
            true => instance.begin().await,
            false => instance.open().await,
        };
        instance.server.hold();
        let mut first = tokio_test::task::spawn(instance.send(ping(&id)));
        let mut second = tokio_test::task::spawn(instance.send(post(&id, LIST)));
        assert!(first.poll().is_pending() && second.poll().is_pending());
        assert_eq!(instance.server.held(), 2);
        instance.server.release();
        assert_eq!(first.await.status(), 200);
        assert_eq!(second.await.status(), 200);
    }
}

#[tokio::test]
async fn a_tool_asks_the_client_back_through_a_second_post() {
    for server in [ScriptedService::new(), ScriptedService::new().minting_ids()] {
        let clock = ManualClock::new();
        let instance = Instance::serving(server, MemoryStore::new(), &clock, |layer| layer);
        let id = instance.open().await;
        let asks = json!({ "jsonrpc": "2.0", "id": "s-1", "method": "roots/list" });
        instance
            .server
            .answer_next(Answer::events([asks]).left_open());
        let mut call = instance.send(post(&id, LIST)).await.into_body();
        let question = call.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(String::from_utf8_lossy(&question).contains("roots/list"));
        assert_eq!(instance.status(post(&id, RESPONSE)).await, 202);
        let stream = instance.server.streams().remove(0);
        stream.send_event(&json!({ "jsonrpc": "2.0", "id": 8, "result": {} }));
        stream.end();
        let rest = call.collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&rest).contains("result"));
    }
}

#[tokio::test]
async fn a_write_that_waits_for_the_store_holds_up_no_request() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), |layer| layer);
    let (id, context) = instance.open_context().await;
    store.hang(Operation::Save);
    let mut write = tokio_test::task::spawn(context.insert("slow", &1));
    assert!(write.poll().is_pending());
    let mut next = tokio_test::task::spawn(context.insert("next", &2));
    assert!(next.poll().is_pending());
    assert!(instance.serves(&id).await);
    assert_eq!(instance.send(get(&id)).await.status(), 200);
    assert_eq!(context.get::<u32>("slow").await.unwrap(), None);
    store.release();
    write.await.unwrap();
    next.await.unwrap();
    assert_eq!(context.get::<u32>("next").await.unwrap(), Some(2));
}

#[tokio::test]
async fn a_delete_does_not_wait_for_the_requests_of_its_session() {
    let instance = Instance::new(|layer| layer);
    let id = instance.open().await;
    instance.server.hold();
    let mut request = tokio_test::task::spawn(instance.send(ping(&id)));
    assert!(request.poll().is_pending());
    let context = instance.context();
    assert_eq!(instance.status(delete(&id)).await, 204);
    context.cancelled().await;
    instance.server.release();
    // What it was asked before the end, the inner service may answer.
    assert_eq!(read(request.await).await.0, 200);
}
