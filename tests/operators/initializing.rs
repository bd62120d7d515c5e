//! An initialize that is under way while all sessions of its principal are ended.

use std::time::Duration;

use http::header::RETRY_AFTER;
use tokio::task::JoinHandle;
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::Operation;
use tower_mcp_session::{Principal, RefusalCause, SessionFilter};

use crate::support::{Answer, ID, Instance, by, initialize};
use crate::{Pair, soon};

/// Sends an initialize, which the server holds.
async fn hold(instance: &Instance, who: Option<&'static str>) -> JoinHandle<Answer> {
    instance.server.hold();
    let sender = instance.clone();
    let beginning = tokio::spawn(async move {
        let request = initialize();
        let request = match who {
            Some(who) => by(request, who),
            None => request,
        };
        sender.send(request).await
    });
    soon(instance.server.wait_for_held(1)).await;
    beginning
}

async fn terminate_all(instance: &Instance) {
    let sessions = instance.layer.sessions();
    let ended = sessions.terminate_all(&Principal::new("alice")).await;
    ended.unwrap();
}

#[tokio::test]
async fn an_initialize_that_the_server_holds_leaves_nothing() {
    // Here, and on another instance.
    for n in 0..2 {
        for later in [0, 1, 1000] {
            let Pair {
                instances, clock, ..
            } = Pair::minting();
            let instance = &instances[0];
            let beginning = hold(instance, Some("alice")).await;
            clock.advance(Duration::from_millis(later));
            terminate_all(&instances[n]).await;
            clock.advance(Duration::from_millis(later));
            instance.server.release();

            let answer = soon(beginning).await.unwrap();
            assert_eq!(answer.status(), 503);
            assert!(answer.headers().contains_key(RETRY_AFTER));
            assert!(!answer.headers().contains_key(ID), "no id leaves");
            assert_eq!(instance.layer.live_sessions(), 0, "no slot is taken");
            soon(instance.server.wait_for_open_sessions(0)).await;
            let sessions = instances[1].layer.sessions();
            let all = sessions.list(&SessionFilter::default(), None, 10).await;
            assert!(all.unwrap().sessions.is_empty(), "no session is stored");
            let statistics = instance.layer.sessions().statistics().await;
            assert_eq!((statistics.created(), statistics.ended_in_all()), (0, 0));
            assert_eq!(statistics.refused(RefusalCause::StoreUnavailable), 1);

            clock.advance(Duration::from_millis(1));
            let id = instance.open_as("alice").await;
            assert!(!id.is_empty(), "one that comes afterwards succeeds");
            assert_eq!(instance.layer.live_sessions(), 1);
        }
    }
}

#[tokio::test]
async fn initializes_of_others_that_the_server_holds_go_on() {
    for who in [Some("bob"), None] {
        let Pair {
            instances: [a, b], ..
        } = Pair::minting();
        let beginning = hold(&a, who).await;
        terminate_all(&a).await;
        terminate_all(&b).await;
        a.server.release();
        let answer = soon(beginning).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.headers().contains_key(ID));
        assert_eq!(a.layer.live_sessions(), 1);
    }
}

#[tokio::test]
async fn a_failed_end_of_all_does_not_hinder_an_initialize() {
    let Pair {
        instances: [a, _],
        stores,
        ..
    } = Pair::minting();
    let beginning = hold(&a, Some("alice")).await;
    stores[0].fail_next(Operation::Bar, StoreErrorKind::Unavailable);
    let sessions = a.layer.sessions();
    let failed = sessions.terminate_all(&Principal::new("alice")).await;
    assert_eq!(failed.unwrap_err().kind(), StoreErrorKind::Unavailable);
    a.server.release();
    assert_eq!(soon(beginning).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_principal_that_is_asked_for_slowly_does_not_make_an_initialize_later() {
    // Its layer asks who is calling, and while it does all sessions are ended.
    let pair = Pair::minting();
    let (clock, other) = (pair.clock.clone(), pair.instances[1].clone());
    let (asked, memory) = std::sync::mpsc::channel();
    let layer = tower_mcp_session::SessionLayer::new(pair.stores[0].clone())
        .with_clock(clock.clone())
        .with_principal(move |_| {
            clock.advance(Duration::from_secs(1));
            asked.send(()).unwrap();
            Ok(Some(Principal::new("alice")))
        });
    let server = pair.instances[0].server.clone();
    let instance = Instance {
        service: tower::Layer::layer(&layer, server.clone()),
        layer,
        server,
        clock: pair.clock.clone(),
    };
    let begun = tower_mcp_session::Clock::now(&pair.clock);
    let id = instance.begin().await;
    assert_eq!(memory.try_iter().count(), 1);
    let shown = other.layer.sessions().inspect(&crate::key(&id)).await;
    assert_eq!(shown.unwrap().unwrap().created, begun, "when it came");
}
