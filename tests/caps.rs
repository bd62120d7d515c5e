//! How many sessions there may be, and which one goes when there is no room.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "support/sessions.rs"]
mod support;

use http::StatusCode;
use serde_json::json;
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::{Answer, FaultyStore, ManualClock, Operation};
use tower_mcp_session::{MemoryStore, SessionLayer, WhenFull};

use support::{HOUR, Instance, MINUTE, SECOND, by, delete, get, initialize, ping, settle};

const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

fn at_most(sessions: usize) -> impl Fn(SessionLayer) -> SessionLayer {
    move |layer| layer.with_max_sessions(sessions)
}

#[tokio::test]
async fn at_the_cap_a_session_in_use_never_goes() {
    let instance = Instance::new(at_most(3));
    let ids = [
        instance.open().await,
        instance.open().await,
        instance.open().await,
    ];
    assert_eq!(instance.status(initialize()).await, UNAVAILABLE);
    // Exactly idle is not yet idle.
    instance.clock.advance(SECOND * 300);
    assert_eq!(instance.status(initialize()).await, UNAVAILABLE);
    for id in &ids {
        assert!(instance.serves(id).await);
    }
    assert_eq!(instance.layer.live_sessions(), 3);
}

#[tokio::test]
async fn reject_evicts_nobody() {
    let instance = Instance::new(|layer| at_most(2)(layer).with_when_full(WhenFull::Reject));
    let ids = [instance.open().await, instance.begin().await];
    instance.clock.advance(MINUTE * 4);
    assert_eq!(instance.status(initialize()).await, UNAVAILABLE);
    for id in &ids {
        assert!(instance.serves(id).await);
    }
}

#[tokio::test]
async fn half_open_sessions_older_than_ten_seconds_go_first_oldest_first() {
    for principal in [None, Some("alice")] {
        let instance = Instance::new(|layer| at_most(4)(layer).with_max_half_open(3));
        let begin = async || match principal {
            Some(who) => instance.begin_as(who).await,
            None => instance.begin().await,
        };
        let is_alive = async |id: &str| match principal {
            Some(who) => instance.status(by(ping(id), who)).await == 200,
            None => instance.serves(id).await,
        };
        let idle = instance.open().await;
        instance.clock.advance(SECOND * 290);
        let first = begin().await;
        instance.clock.advance(SECOND);
        let second = begin().await;
        instance.clock.advance(SECOND);
        let third = begin().await;
        instance.clock.advance(SECOND * 8);
        // The oldest is ten seconds old, which is not older; the used one was idle for 300.
        assert_eq!(instance.status(initialize()).await, UNAVAILABLE);
        instance.clock.advance(SECOND * 1);
        // Now the used one is idle, too: it stays all the same.
        instance.open_as("bob").await;
        assert!(!is_alive(&first).await, "{principal:?}");
        assert!(is_alive(&second).await && is_alive(&third).await);
        assert!(instance.serves(&idle).await);
    }
}

#[tokio::test]
async fn of_idle_sessions_the_oldest_of_the_owner_with_most_goes() {
    let instance = Instance::new(at_most(6));
    let oldest = instance.open_as("one").await;
    instance.clock.advance(SECOND * 2);
    let mut many = Vec::new();
    for _ in 0..3 {
        many.push(instance.open_as("many").await);
        instance.clock.advance(SECOND * 2);
    }
    let anonymous = instance.open().await;
    let busy = instance.open_as("many").await;
    let stream = instance.send(by(get(&busy), "many")).await;
    instance.clock.advance(SECOND * 310);
    instance.open_as("new").await;
    assert_eq!(instance.status(by(ping(&many[0]), "many")).await, 404);
    for id in &many[1..] {
        assert_eq!(instance.status(by(ping(id), "many")).await, 200);
    }
    assert_eq!(instance.status(by(ping(&busy), "many")).await, 200);
    assert_eq!(instance.status(by(ping(&oldest), "one")).await, 200);
    assert!(instance.serves(&anonymous).await);
    drop(stream);
}

#[tokio::test]
async fn a_busy_session_never_goes_and_never_stands_in_the_way_of_others() {
    // Each is the oldest of its kind, and busy.
    for (what, principal) in [("stream", None), ("stream", Some("a")), ("call", None)] {
        let instance = Instance::new(|layer| {
            at_most(2)(layer)
                .with_max_sessions_per_principal(2)
                .without_idle_timeout()
        });
        let as_caller = |request| match principal {
            Some(who) => by(request, who),
            None => request,
        };
        let open = async || match principal {
            Some(who) => instance.open_as(who).await,
            None => instance.open().await,
        };
        let busy = open().await;
        instance.clock.advance(SECOND * 2);
        let idle = open().await;
        if what == "call" {
            instance.server.hold();
        }
        let mut call = tokio_test::task::spawn(instance.send(as_caller(match what {
            "call" => ping(&busy),
            _ => get(&busy),
        })));
        let held = call.poll();
        instance.clock.advance(SECOND * 302);
        instance.server.release();
        let next = instance.send(as_caller(initialize())).await;
        assert_eq!(next.status(), 200, "{what} {principal:?}");
        assert_eq!(instance.status(as_caller(ping(&idle))).await, 404);
        assert_eq!(instance.status(as_caller(ping(&busy))).await, 200);
        drop(held);
    }
}

#[tokio::test]
async fn an_unread_answer_to_initialize_does_not_keep_others_out() {
    for principal in [None, Some("alice")] {
        let instance = Instance::new(|layer| {
            at_most(8)(layer)
                .with_max_half_open(2)
                .with_max_sessions_per_principal(2)
        });
        let request = || match principal {
            Some(who) => by(initialize(), who),
            None => initialize(),
        };
        let result =
            json!({ "jsonrpc": "2.0", "id": 0, "result": { "protocolVersion": "2025-11-25" } });
        instance
            .server
            .answer_next(Answer::events([result]).left_open());
        let unread = instance.send(request()).await;
        assert_eq!(unread.status(), 200);
        assert_eq!(instance.status(request()).await, 200);
        instance.clock.advance(SECOND * 11);
        assert_eq!(instance.status(request()).await, 200, "{principal:?}");
        assert_eq!(instance.layer.live_sessions(), 2);
        let id = support::id_of(unread.headers()).unwrap();
        let ping = match principal {
            Some(who) => by(ping(&id), who),
            None => ping(&id),
        };
        assert_eq!(instance.status(ping).await, 200);
    }
}

#[tokio::test]
async fn a_stream_that_nobody_reads_any_more_stands_in_nobodys_way() {
    let instance = Instance::new(|layer| at_most(2)(layer).with_max_sessions_per_principal(2));
    for who in [None, Some("alice")] {
        let as_caller = |request| match who {
            Some(who) => by(request, who),
            None => request,
        };
        let stale = match who {
            Some(who) => instance.open_as(who).await,
            None => instance.open().await,
        };
        let context = instance.context();
        let unread = instance.send(as_caller(get(&stale))).await;
        instance.clock.advance(HOUR + SECOND);
        let idle = match who {
            Some(who) => instance.open_as(who).await,
            None => instance.open().await,
        };
        instance.clock.advance(SECOND * 301);
        assert_eq!(instance.status(as_caller(initialize())).await, 200);
        assert!(context.has_ended(), "the oldest that is not busy goes");
        assert_eq!(instance.status(as_caller(ping(&idle))).await, 200);
        drop(unread);
        instance.clock.advance(HOUR * 25);
        instance.layer.clean_up().await.unwrap();
    }
}

#[tokio::test]
async fn one_principal_fills_its_own_part_and_makes_room_in_it() {
    let instance = Instance::new(|layer| at_most(100)(layer).with_max_sessions_per_principal(3));
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(instance.open_as("alice").await);
        instance.clock.advance(SECOND * 2);
    }
    assert_eq!(
        instance.status(by(initialize(), "alice")).await,
        UNAVAILABLE
    );
    let bob = instance.open_as("bob").await;
    instance.open().await;
    instance.clock.advance(SECOND * 301);
    instance.open_as("alice").await;
    assert_eq!(instance.status(by(ping(&ids[0]), "alice")).await, 404);
    assert_eq!(instance.status(by(ping(&ids[1]), "alice")).await, 200);
    assert_eq!(instance.status(by(ping(&bob), "bob")).await, 200);
    // Half-open ones go before idle ones here, too.
    assert_eq!(instance.status(by(delete(&ids[1]), "alice")).await, 204);
    let half_open = instance.begin_as("alice").await;
    instance.clock.advance(SECOND * 11);
    instance.open_as("alice").await;
    assert_eq!(instance.status(by(ping(&half_open), "alice")).await, 404);
    assert_eq!(instance.status(by(ping(&ids[2]), "alice")).await, 200);
}

#[tokio::test]
async fn half_open_sessions_take_a_quarter_and_evict_their_own() {
    let instance = Instance::new(at_most(16));
    let honest: Vec<_> = [instance.open().await, instance.open().await].into();
    // The oldest of all, and none of theirs.
    let owned = instance.begin_as("alice").await;
    instance.clock.advance(SECOND);
    for _ in 0..4 {
        instance.begin().await;
    }
    assert_eq!(instance.status(initialize()).await, UNAVAILABLE);
    // Those with a principal have a cap of their own.
    instance.begin_as("alice").await;
    instance.clock.advance(SECOND * 11);
    for _ in 0..4 {
        instance.begin().await;
    }
    assert_eq!(instance.layer.live_sessions(), 8);
    assert_eq!(instance.status(by(ping(&owned), "alice")).await, 200);
    for id in &honest {
        assert!(instance.serves(id).await);
    }
    // One that is used takes no part of the quarter any more.
    instance.clock.advance(SECOND * 11);
    let used = instance.open().await;
    instance.begin().await;
    assert!(instance.serves(&used).await);
}

#[tokio::test]
async fn a_flood_of_initializes_ends_no_honest_session_and_locks_nobody_out() {
    let instance = Instance::new(at_most(1_000));
    // The test's server keeps each request: the flood's need not be kept.
    let mut honest = Vec::new();
    for n in 0..100 {
        let who = format!("user-{}", n % 50);
        honest.push(match n % 2 {
            0 => (instance.open_as(&who).await, Some(who)),
            _ => (instance.open().await, None),
        });
    }
    instance.clock.advance(MINUTE * 30);
    let (mut begun, mut refused) = (0, 0);
    for n in 0..10_000 {
        if n % 100 == 0 {
            instance.clock.advance(SECOND);
        }
        match instance.send(initialize()).await.status().as_u16() {
            200 => begun += 1,
            503 => refused += 1,
            other => panic!("{other}"),
        }
        assert!(instance.layer.live_sessions() <= 350);
    }
    assert!(begun > 250 && refused > 0, "{begun} {refused}");
    // In the middle of it an honest client with a name comes in at once, one without after ten seconds at most.
    honest.push((instance.open_as("late").await, Some("late".to_owned())));
    instance.clock.advance(SECOND * 11);
    honest.push((instance.open().await, None));
    for (id, who) in &honest {
        let request = match who {
            Some(who) => by(ping(id), who),
            None => ping(id),
        };
        assert_eq!(instance.status(request).await, 200, "{who:?}");
    }
    // The flood is gone with its half-open time.
    instance.pass(MINUTE * 6).await;
    assert_eq!(instance.layer.live_sessions(), honest.len());
}

#[tokio::test]
async fn many_who_come_at_once_to_a_full_instance_all_find_room() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), at_most(20));
    for _ in 0..20 {
        instance.open().await;
    }
    instance.clock.advance(SECOND * 301);
    // The store takes its time to delete: all look for room meanwhile.
    store.hang(Operation::Delete);
    let tasks: Vec<_> = (0..5)
        .map(|n| {
            let instance = instance.clone();
            tokio::spawn(async move { instance.status(by(initialize(), &format!("{n}"))).await })
        })
        .collect();
    store.arrived(Operation::Delete).await;
    settle().await;
    store.release();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    assert_eq!(instance.layer.live_sessions(), 20);
}

#[tokio::test]
async fn a_slot_is_given_back_whatever_way_a_session_fails_or_ends() {
    let store = FaultyStore::new(MemoryStore::new());
    let instance = Instance::over(store.clone(), &ManualClock::new(), at_most(1));
    let free = |after: &str| assert_eq!(instance.layer.live_sessions(), 0, "{after}");
    for answer in [
        Answer::error(-32603, "no"),
        Answer::status(StatusCode::INTERNAL_SERVER_ERROR),
        Answer::panic(),
        Answer::bytes("application/json", "{"),
    ] {
        instance.server.answer_next(answer);
        instance.status(initialize()).await;
        settle().await;
        free("a failed initialize");
    }
    store.fail_next(Operation::Create, StoreErrorKind::Unavailable);
    assert_eq!(instance.status(initialize()).await, UNAVAILABLE);
    free("a failed create");
    let id = instance.open().await;
    assert_eq!(instance.status(delete(&id)).await, 204);
    free("DELETE");
    instance.open().await;
    instance.context().end().await.unwrap();
    free("end");
    let id = instance.open().await;
    instance.clock.advance(HOUR * 24);
    assert!(!instance.serves(&id).await);
    free("expiry that a request found");
    instance.open().await;
    instance.pass(HOUR * 24).await;
    free("expiry that the keeper found");
    instance.begin().await;
    instance.pass(MINUTE * 5).await;
    free("half-open expiry");
    // The store fails at the eviction: this one is refused, the next finds room.
    instance.open().await;
    instance.clock.advance(SECOND * 301);
    store.fail_next(Operation::Delete, StoreErrorKind::Unavailable);
    instance.status(initialize()).await;
    instance.open().await;
    assert_eq!(instance.layer.live_sessions(), 1);
}

#[tokio::test]
async fn the_cap_holds_when_many_come_at_once() {
    let instance = Instance::new(|layer| at_most(10)(layer).with_max_half_open(100));
    instance.server.hold();
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let instance = instance.clone();
            tokio::spawn(async move { instance.status(initialize()).await })
        })
        .collect();
    instance.server.wait_for_held(10).await;
    settle().await;
    assert_eq!(instance.server.held(), 10, "reserved before the inner call");
    instance.server.release();
    let mut begun = 0;
    for task in tasks {
        begun += usize::from(task.await.unwrap() == 200);
    }
    assert_eq!((begun, instance.layer.live_sessions()), (10, 10));
}

/// A small generator of numbers that look random.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

#[tokio::test]
async fn counts_never_drift() {
    for seed in [1, 7, 42, 1_000_003] {
        let (store, clock) = (FaultyStore::new(MemoryStore::new()), ManualClock::new());
        let options = |layer: SessionLayer| {
            layer
                .with_max_sessions(40)
                .with_max_half_open(8)
                .with_max_sessions_per_principal(6)
                .with_idle_timeout(MINUTE * 20)
        };
        let instances = [
            Instance::over(store.clone(), &clock, options),
            Instance::over(store.clone(), &clock, options),
        ];
        let mut random = Seeded(seed);
        let mut ids: Vec<(String, String)> = Vec::new();
        let mut streams = Vec::new();
        for _ in 0..2_500 {
            let instance = &instances[random.below(2)];
            let who = format!("{}", random.below(12));
            let known = (!ids.is_empty()).then(|| ids[random.below(ids.len())].clone());
            match (random.below(12), known) {
                (0..=3, _) | (_, None) => {
                    if random.below(10) == 0 {
                        store.fail_next(Operation::Create, StoreErrorKind::Unavailable);
                    }
                    let answer = instance.send(as_owner(initialize(), &who)).await;
                    if let Some(id) = support::id_of(answer.headers()) {
                        ids.push((id, who));
                    }
                }
                (4..=6, Some((id, who))) => {
                    instance.status(as_owner(ping(&id), &who)).await;
                }
                (7, Some((id, who))) => {
                    instance.status(as_owner(delete(&id), &who)).await;
                }
                (8, Some((id, who))) => {
                    streams.push(instance.send(as_owner(get(&id), &who)).await);
                }
                (9, _) => {
                    if !streams.is_empty() {
                        drop(streams.swap_remove(random.below(streams.len())));
                    }
                }
                (10, _) => clock.advance(SECOND * random.below(60) as u32),
                _ => instance.layer.clean_up().await.unwrap(),
            }
            assert!(instance.layer.live_sessions() <= 40);
        }
        drop(streams);
        store.heal();
        is_empty_and_can_be_filled(&instances, &store, &clock).await;
    }
}

/// That nothing is counted any more once all sessions have ended, in any part.
async fn is_empty_and_can_be_filled(
    instances: &[Instance; 2],
    store: &FaultyStore<MemoryStore>,
    clock: &ManualClock,
) {
    settle().await;
    clock.advance(HOUR * 25);
    for instance in instances {
        instance.layer.clean_up().await.unwrap();
        assert_eq!(instance.layer.live_sessions(), 0);
    }
    assert_eq!(store.inner().len(), 0);
    let instance = &instances[0];
    for n in 0..8 {
        instance.begin().await;
        instance.begin_as(&format!("{}", 3 + n % 4)).await;
    }
    for _ in 0..4 {
        instance.begin_as("3").await;
    }
    assert_eq!(instance.status(initialize()).await, UNAVAILABLE);
    assert_eq!(instance.status(by(initialize(), "3")).await, UNAVAILABLE);
    assert_eq!(instance.layer.live_sessions(), 20);
}

fn as_owner(request: http::Request<support::Body>, who: &str) -> http::Request<support::Body> {
    match who {
        "0" | "1" | "2" => request,
        who => by(request, who),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counts_never_drift_when_all_happens_at_once() {
    let (store, clock) = (MemoryStore::new(), ManualClock::new());
    let instance = Instance::over(support::shared(&store), &clock, |layer| {
        layer
            .with_max_sessions(20)
            .with_max_half_open(10)
            .with_half_open_timeout(HOUR * 100)
            .with_idle_timeout(HOUR * 100)
    });
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let instance = instance.clone();
            tokio::spawn(async move {
                let mut random = Seeded(task + 1);
                let mut ids = Vec::new();
                for _ in 0..400 {
                    match random.below(6) {
                        0 | 1 => {
                            let answer = instance.send(initialize()).await;
                            ids.extend(support::id_of(answer.headers()));
                        }
                        2 | 3 if !ids.is_empty() => {
                            let id: &String = &ids[random.below(ids.len())];
                            // Nobody but this task ends its sessions.
                            let status = instance.status(ping(id)).await;
                            assert!(status == 200 || status == 503, "{status}");
                        }
                        4 if !ids.is_empty() => {
                            let id = ids.swap_remove(random.below(ids.len()));
                            let status = instance.status(delete(&id)).await;
                            if status == 503 {
                                ids.push(id);
                            } else {
                                assert_eq!(status, 204);
                            }
                        }
                        _ => {
                            // All are idle from one moment to the next.
                            instance.clock.advance(SECOND * 150);
                            instance.layer.clean_up().await.unwrap();
                            ids.clear();
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    clock.advance(HOUR * 101);
    instance.layer.clean_up().await.unwrap();
    settle().await;
    assert_eq!(instance.layer.live_sessions(), 0);
    for _ in 0..10 {
        instance.begin().await;
    }
    assert_eq!(instance.status(initialize()).await, UNAVAILABLE);
}
