//! What one instance does to a session reaches the others within one touch interval; what one does for itself does not.

use http_body_util::BodyExt;
use tower_mcp_session::SessionState;
use tower_mcp_session::testing::Operation;

use crate::pair::{Kind, MAPPED, Pair, UNMAPPED, both, send, soon};
use crate::support::{Answer, HOUR, LIST, MINUTE, SECOND, delete, get, ping, post, read, settle};

/// How a session is taken away at B.
#[derive(Clone, Copy, Debug)]
enum Way {
    Delete,
    End,
    Suspend,
}

async fn take_away(pair: &Pair, id: &str, way: Way) {
    assert!(pair.b.serves(id).await);
    let context = pair.b.context();
    match way {
        Way::Delete => assert_eq!(pair.b.status(delete(id)).await, 204),
        Way::End => context.end().await.unwrap(),
        Way::Suspend => context.suspend().await.unwrap(),
    }
}

/// Whether a stream has come to its end, with an error or without.
async fn is_over(answer: &mut Answer) -> bool {
    let mut frame = tokio_test::task::spawn(answer.body_mut().frame());
    match frame.poll() {
        std::task::Poll::Ready(frame) => frame.is_none(),
        std::task::Poll::Pending => false,
    }
}

#[tokio::test]
async fn streams_and_work_at_one_instance_end_within_a_round_when_another_takes_the_session_away() {
    for kind in both() {
        for way in [Way::Delete, Way::End, Way::Suspend] {
            let pair = kind.pair();
            let (id, context) = pair.a.open_context().await;
            let mut stream = pair.a.send(get(&id)).await;
            let mut work = tokio_test::task::spawn(context.cancelled());
            assert!(work.poll().is_pending() && !is_over(&mut stream).await);
            take_away(&pair, &id, way).await;
            // New requests at once.
            let expected = if matches!(way, Way::Suspend) {
                503
            } else {
                404
            };
            assert_eq!(pair.b.status(ping(&id)).await, expected);
            pair.a.pass(SECOND * 30).await;
            assert!(work.poll().is_ready(), "{kind:?} {way:?}");
            assert!(is_over(&mut stream).await, "{kind:?} {way:?}");
            assert_eq!(pair.a.status(ping(&id)).await, expected);
        }
    }
}

#[tokio::test]
async fn work_that_no_request_keeps_busy_hears_of_a_suspension_elsewhere() {
    for kind in both() {
        let pair = kind.pair();
        let (id, context) = pair.a.open_context().await;
        let mut work = tokio_test::task::spawn(context.cancelled());
        assert!(work.poll().is_pending());
        take_away(&pair, &id, Way::Suspend).await;
        pair.a.pass(SECOND * 30).await;
        assert!(work.poll().is_ready());
        assert_eq!(context.state(), SessionState::Suspended);
    }
}

#[tokio::test]
async fn an_end_elsewhere_ends_a_quiet_inner_session_within_a_round() {
    for kind in both() {
        let pair = kind.pair();
        let id = pair.a.open().await;
        pair.a.pass(MINUTE).await;
        take_away(&pair, &id, Way::Delete).await;
        soon(pair.b.server.wait_for_open_sessions(0)).await;
        assert_eq!(pair.a.server.open_sessions().len(), 1);
        pair.a.pass(SECOND * 30).await;
        soon(pair.a.server.wait_for_open_sessions(0)).await;
        assert_eq!(pair.a.layer.live_sessions(), 0);
    }
}

#[tokio::test]
async fn a_call_of_40_minutes_at_one_instance_is_not_expired_by_another() {
    for kind in both() {
        let pair = kind.pair_with(|layer| layer.with_idle_timeout(MINUTE * 24 * 60));
        let ten_minutes = |instance: &crate::support::Instance| {
            let layer = instance.layer.clone().with_idle_timeout(MINUTE * 10);
            tower::Layer::layer(&layer, instance.server.clone())
        };
        let (mut a, mut b) = (pair.a.clone(), pair.b.clone());
        (a.service, b.service) = (ten_minutes(&a), ten_minutes(&b));
        let id = a.open().await;
        a.server.hold();
        let call = send(&a, post(&id, LIST));
        soon(a.server.wait_for_held(1)).await;
        for _ in 0..80 {
            pair.clock.advance(SECOND * 30);
            let (one, other) = (
                pair.a.layer.clone().with_idle_timeout(MINUTE * 10),
                pair.b.layer.clone().with_idle_timeout(MINUTE * 10),
            );
            one.clean_up().await.unwrap();
            other.clean_up().await.unwrap();
        }
        a.server.release();
        assert_eq!(soon(call).await.unwrap(), 200);
        assert!(a.serves(&id).await && b.serves(&id).await);
    }
}

#[tokio::test]
async fn the_live_part_of_a_quiet_session_goes_and_comes_back_by_restore() {
    for kind in both() {
        let pair = kind.pair();
        let (id, context) = pair.a.open_context().await;
        context.insert("n", &7).await.unwrap();
        pair.a.pass(MINUTE * 30).await;
        soon(pair.a.server.wait_for_open_sessions(0)).await;
        assert_eq!((pair.a.layer.live_sessions(), pair.memory.len()), (0, 1));
        assert!(pair.a.serves(&id).await);
        assert_eq!(pair.a.server.open_sessions().len(), 1);
        assert_eq!(pair.a.context().get("n").await.unwrap(), Some(7));
        assert!(pair.a.context().is_restored());
    }
}

#[tokio::test]
async fn a_shutdown_deletes_nothing_and_what_it_writes_keeps_the_session() {
    for kind in both() {
        let pair = kind.pair();
        let id = pair.a.open().await;
        pair.clock.advance(SECOND * 20);
        assert!(pair.a.serves(&id).await);
        let Pair {
            a,
            b,
            clock,
            memory,
            ..
        } = pair;
        a.layer.drain(std::time::Duration::ZERO).await;
        drop(a);
        settle().await;
        assert_eq!(memory.len(), 1);
        // By the last use, not by what the store had heard of it before.
        clock.advance(HOUR * 24 - SECOND);
        assert!(b.serves(&id).await);
    }
}

#[tokio::test]
async fn requests_that_go_from_one_instance_to_the_other_are_all_served() {
    for kind in [
        MAPPED,
        UNMAPPED,
        Kind {
            watched: false,
            ..MAPPED
        },
    ] {
        let pair = kind.pair();
        let id = pair.a.open().await;
        for _ in 0..20 {
            assert!(pair.a.serves(&id).await && pair.b.serves(&id).await);
            pair.a
                .context()
                .update("n", |n: Option<u32>| n.unwrap_or(0) + 1)
                .await
                .unwrap();
            pair.b
                .context()
                .update("n", |n: Option<u32>| n.unwrap_or(0) + 1)
                .await
                .unwrap();
            pair.clock.advance(SECOND * 7);
        }
        assert_eq!(pair.a.context().get("n").await.unwrap(), Some(40));
        assert_eq!(read(pair.b.send(delete(&id)).await).await.0, 204);
        assert!(!pair.a.serves(&id).await);
    }
}

#[tokio::test]
async fn a_request_that_meets_the_end_of_its_quiet_live_part_is_served() {
    for mapped in [true, false] {
        let kind = Kind {
            mapped,
            watched: false,
            ..MAPPED
        };
        // The call hangs for as long as the machine takes for the rest.
        let pair = kind.pair_with(|layer| layer.with_store_timeout(SECOND * 60));
        let id = pair.b.open().await;
        pair.clock.advance(HOUR);
        pair.store.hang(Operation::Touch);
        let sent = send(&pair.b, ping(&id));
        soon(pair.store.arrived(Operation::Touch)).await;
        // Nobody has used it for an hour, and the request does not count yet.
        soon(pair.b.layer.clean_up()).await.unwrap();
        assert_eq!(pair.b.layer.live_sessions(), 0);
        pair.store.release();
        assert_eq!(soon(sent).await.unwrap(), 200);
    }
}
