//! What happens to a session in the middle of its restore counts: the fresh inner session is ended again.

use std::sync::Arc;

use tower_mcp_session::testing::Operation;
use tower_mcp_session::{OwnerTag, Principal, SessionId, SessionRecord, SessionStore, Timestamp};

use crate::pair::{INITIALIZED, Pair, both, send, soon};
use crate::support::{HOUR, SECOND, by, delete, ping, post, settle};

/// Nothing of the session is left at B, and its server was told to end its own.
async fn nothing_left(pair: &Pair) {
    soon(pair.b.server.wait_for_open_sessions(0)).await;
    assert_eq!(pair.b.layer.live_sessions(), 0);
    let ended = pair.b.server.requests();
    assert!(ended.iter().any(|seen| seen.method == "DELETE"));
    let seen = pair.seen();
    assert!(!seen.contains(&"ping".to_owned()), "{seen:?}");
}

#[tokio::test]
async fn a_delete_on_either_instance_in_the_middle_of_a_restore_wins() {
    for kind in both() {
        for here in [false, true] {
            let pair = kind.pair();
            let id = pair.a.open().await;
            let waiting = pair.send_and_hold(ping(&id), 1).await;
            let at = if here { &pair.b } else { &pair.a };
            assert_eq!(at.status(delete(&id)).await, 204);
            pair.b.server.release();
            assert_eq!(soon(waiting).await.unwrap(), 404, "{here}");
            nothing_left(&pair).await;
            assert!(!pair.b.serves(&id).await && !pair.a.serves(&id).await);
        }
    }
}

#[tokio::test]
async fn a_delete_between_the_replay_and_the_store_s_word_wins() {
    for kind in both() {
        let pair = kind.pair();
        let id = pair.a.open().await;
        pair.store.hang(Operation::Touch);
        let waiting = send(&pair.b, ping(&id));
        soon(pair.store.arrived(Operation::Touch)).await;
        assert_eq!(pair.b.server.open_sessions().len(), 1);
        // Nobody is let in before the store has spoken.
        let other = send(&pair.b, ping(&id));
        settle().await;
        assert!(!pair.seen().contains(&"ping".to_owned()));
        assert_eq!(pair.a.status(delete(&id)).await, 204);
        pair.store.release();
        assert_eq!(soon(waiting).await.unwrap(), 404);
        assert_eq!(soon(other).await.unwrap(), 404);
        nothing_left(&pair).await;
    }
}

#[tokio::test]
async fn a_session_that_expires_in_the_middle_of_its_restore_is_404() {
    for kind in both() {
        let pair = kind.pair_with(|layer| layer.with_idle_timeout(HOUR * 200));
        let id = pair.a.open().await;
        let waiting = pair.send_and_hold(ping(&id), 1).await;
        pair.clock.advance(HOUR * 24 * 7);
        pair.b.server.release();
        assert_eq!(soon(waiting).await.unwrap(), 404);
        nothing_left(&pair).await;
    }
}

#[tokio::test]
async fn a_session_suspended_in_the_middle_of_its_restore_is_503_and_comes_back() {
    for kind in both() {
        let pair = kind.pair();
        let (id, context) = pair.a.open_context().await;
        let waiting = pair.send_and_hold(ping(&id), 1).await;
        context.suspend().await.unwrap();
        pair.b.server.release();
        assert_eq!(soon(waiting).await.unwrap(), 503);
        nothing_left(&pair).await;
        // As long as it is, the inner service hears nothing more of it.
        let replays = pair.replays();
        assert_eq!(pair.b.status(ping(&id)).await, 503);
        assert_eq!(pair.replays(), replays);
        context.resume().await.unwrap();
        assert!(pair.b.serves(&id).await);
    }
}

#[tokio::test]
async fn a_session_that_changes_its_owner_in_the_middle_of_its_restore_is_404() {
    for kind in both() {
        let pair = kind.pair();
        let id = pair.a.open_as("alice").await;
        let waiting = pair.send_and_hold(by(ping(&id), "alice"), 1).await;
        let parsed = SessionId::parse(id.as_bytes()).unwrap();
        let now = Timestamp::EPOCH;
        let stored = pair
            .memory
            .load("/mcp", &parsed, now)
            .await
            .unwrap()
            .unwrap();
        let record = &stored.record;
        let other = SessionRecord::new(
            record.created(),
            record.absolute_end(),
            Some(OwnerTag::of(&Principal::new("bob"))),
            Arc::clone(record.handshake()),
        )
        .with_initialized(true)
        .with_mapped(true);
        let saved = pair
            .memory
            .save(&stored.key, Arc::new(other), stored.revision);
        saved.await.unwrap();
        pair.b.server.release();
        assert_eq!(soon(waiting).await.unwrap(), 404);
        nothing_left(&pair).await;
        assert_eq!(pair.b.status(by(ping(&id), "alice")).await, 404);
        assert_eq!(pair.b.status(by(ping(&id), "bob")).await, 200);
    }
}

#[tokio::test]
async fn a_handshake_finished_elsewhere_in_the_middle_of_a_restore_is_finished_here_too() {
    for kind in both() {
        let pair = kind.pair();
        let id = pair.a.begin().await;
        let waiting = pair.send_and_hold(ping(&id), 1).await;
        assert_eq!(pair.a.status(post(&id, INITIALIZED)).await, 202);
        pair.b.server.release();
        assert_eq!(soon(waiting).await.unwrap(), 200);
        soon(pair.b.server.wait_for_open_sessions(1)).await;
        let seen = pair.seen();
        assert!(
            seen.contains(&"notifications/initialized".to_owned()),
            "{seen:?}"
        );
        assert_eq!(pair.b.layer.live_sessions(), 1);
    }
}

#[tokio::test]
async fn a_session_on_its_way_back_is_not_evicted() {
    for kind in both() {
        for (before, meanwhile) in [(600, 0), (0, 600)] {
            let pair = kind.pair_with(|layer| layer.with_max_sessions(1));
            let id = pair.a.open().await;
            pair.clock.advance(SECOND * before);
            let waiting = pair.send_and_hold(ping(&id), 1).await;
            pair.clock.advance(SECOND * meanwhile);
            let full = send(&pair.b, crate::support::initialize());
            settle().await;
            pair.b.server.release();
            assert_eq!(soon(full).await.unwrap(), 503);
            assert_eq!(soon(waiting).await.unwrap(), 200);
        }
    }
}

#[tokio::test]
async fn a_delete_ends_the_session_that_another_request_has_taken_up_since() {
    for kind in both() {
        let pair = kind.pair();
        let id = pair.a.open().await;
        pair.store.hang(Operation::Delete);
        let deleting = send(&pair.b, delete(&id));
        soon(pair.store.arrived(Operation::Delete)).await;
        assert!(pair.b.serves(&id).await);
        pair.store.release();
        assert_eq!(soon(deleting).await.unwrap(), 204);
        soon(pair.b.server.wait_for_open_sessions(0)).await;
        assert_eq!(pair.b.layer.live_sessions(), 0);
    }
}
