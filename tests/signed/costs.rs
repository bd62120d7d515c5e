//! What a request of a live session costs: nobody is asked, and little is allocated.

use http::Request;
use tower::{Service, ServiceExt};
use tower_mcp_session::testing::ManualClock;
use tower_mcp_session::{MemoryStore, SessionStore};

use crate::support::{Body, ping};
use crate::{over, signed};

/// Allocations of one request of a live session, from the request to its answer.
async fn allocations(store: impl SessionStore) -> u64 {
    let instance = over(store, &ManualClock::new());
    let id = instance.open().await;
    let mut service = instance.service.clone();
    let mut counted = Vec::new();
    for _ in 0..3 {
        let request = ping(&id);
        ServiceExt::<Request<Body>>::ready(&mut service)
            .await
            .unwrap();
        let mut answer = None;
        let count = allocation_counter::measure(|| {
            answer = Some(tokio_test::task::spawn(service.call(request)).poll());
        });
        assert!(answer.unwrap().is_ready(), "nobody is asked");
        counted.push(count.count_total);
    }
    // Once warm it is the same each time.
    counted[2]
}

#[tokio::test]
async fn a_live_signed_session_allocates_at_most_three_times_more_than_one_in_memory() {
    let memory = allocations(MemoryStore::new()).await;
    let signed = allocations(signed()).await;
    assert!(signed <= memory + 3, "{signed} and {memory}");
}
