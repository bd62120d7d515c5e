//! When a session ends by itself: for want of use, unused, or in any case.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "support/sessions.rs"]
mod support;

use std::time::Duration;

use tower_mcp_session::store::EXPIRED_GRACE;
use tower_mcp_session::testing::{FaultyStore, ManualClock, Operation};
use tower_mcp_session::{Clock, MemoryStore, SessionLayer, Timestamp};

use support::{HOUR, Instance, MINUTE, SECOND, get, initialize, ping};

const MILLISECOND: Duration = Duration::from_millis(1);

fn ten_minutes(layer: SessionLayer) -> SessionLayer {
    layer.with_idle_timeout(MINUTE * 10)
}

/// Both ways to find a session: through the watch of the store, and by asking it.
fn both(options: impl Fn(SessionLayer) -> SessionLayer) -> [Instance; 2] {
    let store = || FaultyStore::new(MemoryStore::new());
    let clock = ManualClock::new;
    [
        Instance::over(store(), &clock(), &options),
        Instance::over(store().without_watch(), &clock(), &options),
    ]
}

#[tokio::test]
async fn an_idle_session_ends_at_its_deadline_not_before_and_not_later() {
    for instance in both(ten_minutes) {
        for gap in [SECOND, SECOND * 17, MINUTE * 5, MINUTE * 10 - MILLISECOND] {
            let (early, late) = (instance.open().await, instance.open().await);
            // The last request counts, whatever the store was told of it.
            instance.clock.advance(gap);
            assert!(instance.serves(&early).await && instance.serves(&late).await);
            instance.clock.advance(MINUTE * 10 - MILLISECOND);
            assert!(instance.serves(&early).await, "{gap:?}");
            instance.clock.advance(MILLISECOND);
            assert!(!instance.serves(&late).await, "{gap:?}");
        }
    }
}

#[tokio::test]
async fn the_deadline_holds_with_the_keeper_at_work_too() {
    for instance in both(ten_minutes) {
        let (id, context) = instance.open_context().await;
        instance.pass(SECOND * 47).await;
        assert!(instance.serves(&id).await);
        instance.pass(MINUTE * 10 - MILLISECOND).await;
        assert!(!context.has_ended());
        instance.pass(MILLISECOND).await;
        assert!(context.has_ended());
        assert_eq!(instance.layer.live_sessions(), 0);
        assert!(!instance.serves(&id).await);
    }
}

#[tokio::test]
async fn one_request_per_interval_keeps_a_session_alive() {
    for interval in [SECOND, SECOND * 59, MINUTE * 9, MINUTE * 10 - MILLISECOND] {
        for with_keeper in [true, false] {
            for instance in both(ten_minutes) {
                let id = instance.open().await;
                for _ in 0..20 {
                    match with_keeper {
                        true => instance.pass(interval).await,
                        false => instance.clock.advance(interval),
                    }
                    assert!(instance.serves(&id).await, "{interval:?} {with_keeper}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_session_used_here_but_not_yet_told_to_the_store_lives_on() {
    let (store, clock) = (FaultyStore::new(MemoryStore::new()), ManualClock::new());
    let instance = Instance::over(store.clone(), &clock, |layer| {
        ten_minutes(layer).with_touch_interval(MINUTE * 9)
    });
    let id = instance.open().await;
    let told = store.calls(Operation::Touch);
    clock.advance(MINUTE * 8);
    assert!(instance.serves(&id).await);
    assert_eq!(
        store.calls(Operation::Touch),
        told,
        "the store was not told"
    );
    // By the store's own account it has ended; by the last request it has not.
    clock.advance(MINUTE * 3);
    assert!(instance.serves(&id).await);
    clock.advance(MINUTE * 8);
    assert!(instance.serves(&id).await);
    clock.advance(MINUTE * 3);
    instance.layer.clean_up().await.unwrap();
    assert!(instance.serves(&id).await);
    clock.advance(MINUTE * 10);
    assert!(!instance.serves(&id).await);
}

#[tokio::test]
async fn a_drain_tells_the_store_what_was_used_last() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let instance = Instance::over(store.clone(), &clock, |layer| {
        ten_minutes(layer).with_touch_interval(MINUTE * 9)
    });
    let other = Instance::over(store, &clock, ten_minutes);
    let id = instance.open().await;
    clock.advance(MINUTE * 8);
    assert!(instance.serves(&id).await);
    instance.layer.drain(Duration::ZERO).await;
    drop(instance);
    clock.advance(MINUTE * 9);
    assert!(other.serves(&id).await);
}

#[tokio::test]
async fn a_session_that_is_never_used_ends_after_five_minutes() {
    for instance in both(|layer| layer) {
        let (unused, used) = (instance.begin().await, instance.begin().await);
        instance.clock.advance(MINUTE * 5 - MILLISECOND);
        assert!(instance.serves(&used).await);
        instance.clock.advance(MILLISECOND);
        assert!(!instance.serves(&unused).await);
        instance.clock.advance(HOUR * 24 - MILLISECOND * 2);
        assert!(instance.serves(&used).await);
    }
}

#[tokio::test]
async fn any_request_ends_the_half_open_time() {
    let instance = Instance::new(|layer| layer);
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let ids = [
        instance.begin().await,
        instance.begin().await,
        instance.begin().await,
    ];
    assert_eq!(
        instance.status(support::post(&ids[0], initialized)).await,
        202
    );
    assert_eq!(instance.status(ping(&ids[1])).await, 200);
    drop(instance.send(get(&ids[2])).await);
    instance.pass(HOUR).await;
    for id in &ids {
        assert!(instance.serves(id).await);
    }
}

#[tokio::test]
async fn the_absolute_end_comes_however_much_a_session_is_used() {
    for instance in both(|layer| layer.with_max_lifetime(HOUR)) {
        let begun = instance.clock.now();
        let (id, context) = instance.open_context().await;
        // The store is told last some seconds before the end: its answer does not hold longer than the session.
        while instance.clock.now().since(begun) < HOUR - SECOND * 13 {
            instance.clock.advance(SECOND * 13);
            assert!(instance.serves(&id).await);
        }
        instance
            .clock
            .advance(HOUR - MILLISECOND - instance.clock.now().since(begun));
        assert!(instance.serves(&id).await);
        assert_eq!(context.expires_at(), Some(begun.saturating_add(HOUR)));
        instance.clock.advance(MILLISECOND);
        assert!(!instance.serves(&id).await);
    }
}

#[tokio::test]
async fn without_an_end_of_one_kind_the_other_holds() {
    for instance in both(|layer| layer.without_idle_timeout()) {
        let (id, context) = instance.open_context().await;
        instance.clock.advance(HOUR * 24 * 6);
        assert!(instance.serves(&id).await);
        let mut ended = tokio_test::task::spawn(context.cancelled());
        assert!(ended.poll().is_pending());
        instance.pass(HOUR * 24).await;
        assert!(ended.poll().is_ready());
        assert!(!instance.serves(&id).await);
    }
    for instance in both(|layer| layer.without_max_lifetime()) {
        let id = instance.open().await;
        for _ in 0..30 {
            instance.clock.advance(HOUR * 23);
            assert!(instance.serves(&id).await);
        }
        instance.clock.advance(HOUR * 24);
        assert!(!instance.serves(&id).await);
    }
    for instance in both(|layer| layer.without_max_lifetime().without_idle_timeout()) {
        let (id, context) = instance.open_context().await;
        assert_eq!(context.expires_at(), Some(Timestamp::NEVER));
        instance.clock.advance(HOUR * 24 * 10_000);
        assert!(instance.serves(&id).await);
        instance.clock.advance(Duration::MAX);
        instance.layer.clean_up().await.unwrap();
    }
}

#[tokio::test]
async fn sessions_past_their_absolute_end_give_their_slots_back() {
    let instance = Instance::new(|layer| layer.without_idle_timeout().with_max_lifetime(HOUR));
    for _ in 0..10 {
        instance.open().await;
    }
    instance.pass(HOUR + MINUTE * 2).await;
    assert_eq!(instance.layer.live_sessions(), 0);
}

#[tokio::test]
async fn a_call_of_40_minutes_outlives_a_short_idle_time() {
    let store = FaultyStore::new(MemoryStore::new());
    let clock = ManualClock::new();
    let instance = Instance::over(store, &clock, |layer| layer.with_idle_timeout(MINUTE));
    let (id, context) = instance.open_context().await;
    clock.wait_for_sleepers(1).await;
    instance.server.hold();
    let mut call = tokio_test::task::spawn(instance.send(ping(&id)));
    assert!(call.poll().is_pending());
    for _ in 0..MINUTE.as_secs() * 40 / 6 {
        // The keeper's own rounds: every 6 seconds.
        clock.advance(SECOND * 6);
        clock.wait_for_sleepers(1).await;
    }
    assert!(!context.has_ended());
    instance.server.release();
    assert_eq!(call.await.status(), 200);
    assert!(instance.serves(&id).await);
}

#[tokio::test]
async fn a_long_call_outlives_its_idle_time_when_no_keeper_runs_either() {
    for instance in both(|layer| layer.with_idle_timeout(MINUTE)) {
        let id = instance.open().await;
        instance.server.hold();
        let mut call = tokio_test::task::spawn(instance.send(ping(&id)));
        while instance.server.held() == 0 {
            assert!(call.poll().is_pending());
        }
        instance.clock.advance(MINUTE * 40);
        instance.server.release();
        // While it runs, and after it.
        let mut second = tokio_test::task::spawn(instance.send(ping(&id)));
        while second.poll().is_pending() {
            tokio::task::yield_now().await;
        }
        assert_eq!(call.await.status(), 200);
        assert!(instance.serves(&id).await);
    }
}

#[tokio::test]
async fn clean_up_removes_what_expired_after_its_grace() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let instance = Instance::over(store.clone(), &clock, |layer| layer);
    for _ in 0..2_500 {
        instance.begin().await;
    }
    let used = instance.open().await;
    clock.advance(MINUTE * 5);
    instance.layer.clean_up().await.unwrap();
    assert_eq!((instance.layer.live_sessions(), store.len()), (1, 2_501));
    clock.advance(EXPIRED_GRACE - MILLISECOND);
    instance.layer.clean_up().await.unwrap();
    assert_eq!(store.len(), 2_501);
    clock.advance(MILLISECOND);
    instance.layer.clean_up().await.unwrap();
    assert_eq!(store.len(), 1);
    assert!(instance.serves(&used).await);
}

#[tokio::test]
async fn expiry_needs_no_keeper() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let instance = Instance::over(store.clone(), &clock, ten_minutes);
    let (id, context) = instance.open_context().await;
    let half_open = instance.begin().await;
    clock.advance(MINUTE * 10);
    // In a runtime of its own nothing has run since: the sessions are in the store and in the table.
    assert_eq!((instance.layer.live_sessions(), store.len()), (2, 2));
    assert!(!instance.serves(&id).await && !instance.serves(&half_open).await);
    assert!(context.has_ended());
    let other = Instance::over(store, &clock, ten_minutes);
    assert!(!other.serves(&id).await && !other.serves(&half_open).await);
    assert_eq!(instance.layer.live_sessions(), 0);
}

#[tokio::test]
async fn extreme_times_neither_panic_nor_wrap() {
    for idle in [Duration::ZERO, MILLISECOND, Duration::MAX] {
        for life in [Duration::ZERO, MILLISECOND, Duration::MAX] {
            for touch in [Duration::ZERO, Duration::MAX] {
                for at in [Timestamp::EPOCH, Timestamp::from_millis(u64::MAX - 1)] {
                    let clock = ManualClock::at(at);
                    let store = FaultyStore::new(MemoryStore::new());
                    let instance = Instance::over(store, &clock, |layer| {
                        layer
                            .with_idle_timeout(idle)
                            .with_half_open_timeout(idle)
                            .with_max_lifetime(life)
                            .with_touch_interval(touch)
                            .with_freshness(touch)
                    });
                    let answer = instance.send(initialize()).await;
                    if let Some(id) = support::id_of(answer.headers()) {
                        instance.status(ping(&id)).await;
                        clock.advance(SECOND);
                        instance.status(ping(&id)).await;
                    }
                    drop(answer);
                    instance.layer.clean_up().await.unwrap();
                }
            }
        }
    }
}

#[tokio::test]
async fn a_clock_that_goes_backwards_ends_nothing() {
    // A manual clock cannot go back; two of them over one store can differ.
    let store = MemoryStore::new();
    let ahead = ManualClock::new();
    ahead.advance(MINUTE * 5);
    let one = Instance::over(store.clone(), &ahead, ten_minutes);
    let behind = Instance::over(store, &ManualClock::new(), ten_minutes);
    let id = one.open().await;
    assert!(behind.serves(&id).await);
    assert!(one.serves(&id).await && behind.serves(&id).await);
    behind.layer.clean_up().await.unwrap();
    assert!(one.serves(&id).await);
}

#[tokio::test]
async fn a_store_may_take_as_long_as_it_likes() {
    let instance = Instance::new(|layer| layer.with_store_timeout(Duration::MAX));
    assert!(instance.serves(&instance.open().await).await);
    let sessions = instance.layer.sessions();
    let statistics = sessions.stored_statistics().await.unwrap();
    assert_eq!(statistics.alive.total, 1);
}
