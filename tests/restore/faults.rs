//! Everything at the wrong moment: the store hangs or loses its answer, callers leave, the instance drains or is full.

use std::task::Poll;
use std::time::Duration;

use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::Operation;

use crate::pair::{MAPPED, UNMAPPED, both, send, soon};
use crate::support::{HOUR, LIST, SECOND, delete, initialize, ping, post, settle};

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_means_503_and_nothing_is_left() {
    for kind in [MAPPED, UNMAPPED] {
        for op in [Operation::Load, Operation::Touch] {
            let pair = kind.pair();
            let id = pair.a.open().await;
            pair.store.hang(op);
            let waiting: Vec<_> = (0..5).map(|_| send(&pair.b, ping(&id))).collect();
            for answer in waiting {
                assert_eq!(soon(answer).await.unwrap(), 503);
            }
            assert_eq!(pair.b.layer.live_sessions(), 0);
            soon(pair.b.server.wait_for_open_sessions(0)).await;
            pair.store.release();
            pair.clock.advance(SECOND * 2);
            assert!(pair.b.serves(&id).await);
        }
    }
}

#[tokio::test]
async fn a_store_whose_answer_is_lost_means_503_and_nothing_is_left() {
    for kind in [MAPPED, UNMAPPED] {
        for op in [Operation::Load, Operation::Touch] {
            for error in [
                StoreErrorKind::Unavailable,
                StoreErrorKind::OutcomeUnknown,
                StoreErrorKind::Corrupt,
            ] {
                let pair = kind.pair();
                let id = pair.a.open().await;
                pair.store.lose_next_answer(op, error);
                let status = pair.b.status(ping(&id)).await;
                assert_eq!(status, 503, "{op:?} {error:?}");
                settle().await;
                assert_eq!(pair.b.layer.live_sessions(), 0);
                assert_eq!(pair.b.server.open_sessions().len(), 0);
                pair.clock.advance(SECOND * 2);
                assert!(pair.b.serves(&id).await);
            }
        }
    }
}

#[tokio::test]
async fn a_lost_inner_session_comes_back_when_the_store_does() {
    for kind in both() {
        let pair = kind.pair();
        let id = pair.b.open().await;
        assert!(pair.b.serves(&id).await);
        pair.b.server.forget_sessions();
        pair.store
            .fail_all(Operation::Touch, StoreErrorKind::Unavailable);
        assert_eq!(pair.b.status(ping(&id)).await, 503);
        pair.store.heal();
        pair.clock.advance(SECOND * 2);
        assert!(pair.b.serves(&id).await);
        assert_eq!(pair.b.server.open_sessions().len(), 1);
        assert_eq!(pair.b.status(delete(&id)).await, 204);
        soon(pair.b.server.wait_for_open_sessions(0)).await;
        assert_eq!(pair.b.layer.live_sessions(), 0);
    }
}

#[tokio::test]
async fn suspended_and_resumed_in_the_middle_a_session_is_served_again() {
    for kind in both() {
        let pair = kind.pair();
        let (id, context) = pair.a.open_context().await;
        let waiting = pair.send_and_hold(ping(&id), 1).await;
        context.suspend().await.unwrap();
        context.resume().await.unwrap();
        pair.b.server.release();
        assert_eq!(soon(waiting).await.unwrap(), 200);
        // Its inner session is lost as it is suspended.
        assert!(pair.b.serves(&id).await);
        pair.b.server.forget_sessions();
        let b = pair.b.context();
        let waiting = pair.send_and_hold(post(&id, LIST), 1).await;
        b.suspend().await.unwrap();
        pair.b.server.release();
        let got = soon(waiting).await.unwrap();
        assert_eq!(got, 503);
        b.resume().await.unwrap();
        assert!(pair.b.serves(&id).await);
        assert_eq!(pair.b.server.open_sessions().len(), 1);
    }
}

#[tokio::test]
async fn a_request_to_a_lost_inner_session_dropped_at_any_await_leaves_nothing_half_made() {
    for kind in both() {
        for times in 0..60 {
            let pair = kind.pair();
            let id = pair.b.open().await;
            assert!(pair.b.serves(&id).await);
            pair.b.server.forget_sessions();
            let mut request = tokio_test::task::spawn(pair.b.send(post(&id, LIST)));
            for _ in 0..times {
                if let Poll::Ready(answer) = request.poll() {
                    assert_eq!(answer.status(), 200);
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(request);
            settle().await;
            assert!(pair.b.serves(&id).await);
            assert_eq!(pair.b.layer.live_sessions(), 1);
            assert_eq!(pair.b.server.open_sessions().len(), 1);
            assert!(pair.replays() <= 2);
            assert_eq!(pair.b.status(delete(&id)).await, 204);
            soon(pair.b.server.wait_for_open_sessions(0)).await;
            assert_eq!(pair.b.layer.live_sessions(), 0);
        }
    }
}

#[tokio::test]
async fn a_drain_in_the_middle_of_a_restore_does_not_stop_it() {
    for kind in both() {
        let pair = kind.pair();
        let id = pair.a.open().await;
        let waiting = pair.send_and_hold(ping(&id), 1).await;
        pair.b.layer.drain(Duration::ZERO).await;
        pair.b.server.release();
        assert_eq!(soon(waiting).await.unwrap(), 200);
        assert!(pair.a.serves(&id).await);
    }
}

#[tokio::test]
async fn neither_clean_up_nor_a_full_instance_ends_a_restore() {
    for kind in both() {
        let pair = kind.pair_with(|layer| layer.with_max_sessions(1));
        let id = pair.a.open().await;
        pair.clock.advance(HOUR);
        let waiting = pair.send_and_hold(ping(&id), 1).await;
        pair.clock.advance(HOUR);
        pair.b.layer.clean_up().await.unwrap();
        assert_eq!(pair.b.status(initialize()).await, 503);
        pair.b.server.release();
        assert_eq!(soon(waiting).await.unwrap(), 200);
        assert_eq!(pair.b.layer.live_sessions(), 1);
    }
}
