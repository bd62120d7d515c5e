//! 2, 4: what holds of a session's end and values with a `CachedStore` between. What its use is.

use std::time::Duration;

use tower_mcp_session::MemoryStore;
use tower_mcp_session::store::CachedStore;
use tower_mcp_session::testing::{FaultyStore, ManualClock, Operation};

use crate::support::{Instance, MINUTE, SECOND, delete, shared};

#[tokio::test(start_paused = true)]
async fn with_a_cached_store_an_end_elsewhere_is_seen_within_its_staleness() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let [one, other] = [0; 2].map(|_| {
        let store = CachedStore::new(shared(&store).without_watch()).with_staleness(STALENESS);
        Instance::over(store, &clock, |layer| layer)
    });
    let (id, context) = one.open_context().await;
    context.insert("kept", &1).await.unwrap();
    assert!(other.serves(&id).await);
    let elsewhere = other.context();
    assert_eq!(elsewhere.get("kept").await.unwrap(), Some(1));

    assert_eq!(one.status(delete(&id)).await, 204);
    assert!(
        !one.serves(&id).await,
        "the one that deleted sees it at once"
    );
    let late = elsewhere.insert("late", &1).await;
    assert!(late.is_err(), "a write is never late by the staleness");
    clock.advance(STALENESS);
    assert!(!other.serves(&id).await);
    one.pass(MINUTE).await;
    other.pass(MINUTE).await;
    assert!(!one.serves(&id).await && !other.serves(&id).await);
    assert_eq!(store.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn with_cached_stores_no_update_of_two_instances_is_lost() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let [one, other] = [0; 2].map(|_| {
        let store = CachedStore::new(shared(&store).without_watch()).with_staleness(STALENESS);
        Instance::over(store, &clock, |layer| layer)
    });
    let (id, context) = one.open_context().await;
    assert!(other.serves(&id).await);
    let contexts = [context, other.context()];
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let context = contexts[n % 2].clone();
            tokio::spawn(async move {
                let add = |count: Option<u64>| count.unwrap_or(0) + 1;
                context.update("count", add).await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    clock.advance(STALENESS);
    for context in contexts {
        assert_eq!(context.get::<u64>("count").await.unwrap(), Some(64));
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_cached_store_reading_values_costs_no_round_trip() {
    for (cached, loads) in [(false, 5), (true, 0)] {
        let store = FaultyStore::new(MemoryStore::new()).without_watch();
        let clock = ManualClock::new();
        let instance = match cached {
            true => Instance::over(CachedStore::new(store.clone()), &clock, |layer| layer),
            false => Instance::over(store.clone(), &clock, |layer| layer),
        };
        let (id, _) = instance.open_context().await;
        clock.advance(MINUTE);
        // The question of the request confirms what is kept.
        assert!(instance.serves(&id).await);
        let before = store.calls(Operation::Load);
        for _ in 0..5 {
            let value = instance.context().get::<u64>("value").await.unwrap();
            assert_eq!(value, None);
        }
        assert_eq!(
            store.calls(Operation::Load) - before,
            loads,
            "cached: {cached}"
        );
    }
}

const STALENESS: Duration = SECOND;
