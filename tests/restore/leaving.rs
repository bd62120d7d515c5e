//! The live part of a session goes for want of room or of use: what depends on it is not left behind.

use tower_mcp_session::Restore;

use crate::pair::{both, soon};
use crate::support::{MINUTE, SECOND, delete, initialize};

#[tokio::test]
async fn with_never_a_quiet_session_is_served_where_it_began_until_it_expires() {
    for kind in both() {
        let pair = kind.pair_with(|layer| layer.with_restore(Restore::Never));
        let id = pair.b.open().await;
        pair.b.pass(MINUTE * 60).await;
        assert!(pair.b.serves(&id).await);
        pair.b.pass(MINUTE * 60 * 24).await;
        soon(pair.b.server.wait_for_open_sessions(0)).await;
        assert_eq!(pair.b.layer.live_sessions(), 0);
    }
}

#[tokio::test]
async fn with_never_an_evicted_session_is_over_everywhere() {
    for kind in both() {
        let pair = kind.pair_with(|layer| layer.with_restore(Restore::Never).with_max_sessions(1));
        let id = pair.b.open().await;
        pair.clock.advance(SECOND * 301);
        assert_eq!(pair.b.status(initialize()).await, 200);
        assert!(!pair.b.serves(&id).await);
        assert_eq!(pair.memory.len(), 1);
        soon(pair.b.server.wait_for_open_sessions(1)).await;
    }
}

#[tokio::test]
async fn work_of_a_session_whose_live_part_was_evicted_is_told() {
    for kind in both() {
        let pair = kind.pair_with(|layer| layer.with_max_sessions(1));
        let id = pair.b.open().await;
        let mut work = tokio_test::task::spawn(pair.b.context().cancelled());
        assert!(work.poll().is_pending());
        pair.clock.advance(SECOND * 301);
        assert_eq!(pair.b.status(initialize()).await, 200);
        assert_eq!(pair.a.status(delete(&id)).await, 204);
        pair.b.pass(SECOND * 30).await;
        assert!(work.poll().is_ready());
    }
}
