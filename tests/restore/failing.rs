//! A restore that does not succeed: 404 only if the inner service says no, 503 if it does not say, its own answer if
//! it does not let the caller in.

use http::StatusCode;
use serde_json::json;
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::{Answer, Operation};

use crate::pair::{MAPPED, Pair, UNMAPPED, both, send, soon, with};
use crate::support::{self, LIST, MINUTE, SECOND, by, initialize, ping, post, read, settle};

const STRANGER: &str = "mallory";

fn status(code: u16) -> Answer {
    Answer::status(StatusCode::from_u16(code).unwrap())
}

/// Ends when B's server holds no session of its own.
async fn nothing_left(pair: &Pair) {
    soon(pair.b.server.wait_for_open_sessions(0)).await;
    assert_eq!(pair.b.layer.live_sessions(), 0);
}

#[tokio::test]
async fn an_inner_service_that_says_no_means_404() {
    let version = |version: &str| Answer::result(json!({ "protocolVersion": version }));
    for refusal in [
        status(400),
        status(404),
        status(405),
        status(422),
        Answer::error(-32602, "no"),
        version("2025-06-18"),
        version("2026-07-28"),
        Answer::result(json!({})),
    ] {
        let pair = MAPPED.pair();
        let id = pair.a.open().await;
        let unknown = read(pair.b.send(ping(support::UNKNOWN)).await).await;
        let refused = refusal.clone().with_session_id("inner-x");
        pair.b.server.answer_next(refused);
        let got = read(pair.b.send(ping(&id)).await).await;
        assert_eq!(got.0, 404, "{refusal:?}");
        assert_eq!(got.1, unknown.1);
        assert_eq!(pair.seen()[..1], ["initialize"]);
        assert!(!pair.seen().contains(&"ping".to_owned()));
        nothing_left(&pair).await;
        // Elsewhere it lives on, and here too once the inner service thinks better of it.
        assert!(pair.a.serves(&id).await);
        pair.clock.advance(SECOND * 2);
        assert!(pair.b.serves(&id).await);
    }
}

#[tokio::test]
async fn an_inner_service_that_does_not_say_means_503() {
    let broken = Answer::bytes("text/event-stream", "data: {\"jsonrpc\"");
    for failure in [
        status(500),
        status(502),
        status(503),
        status(429),
        status(302),
        status(406),
        status(415),
        Answer::bytes("application/json", "not JSON"),
        Answer::bytes(
            "application/json",
            r#"{"jsonrpc":"2.0","id":0,"result":{}}"#,
        ),
        broken,
        Answer::bytes("application/json", vec![b' '; (1 << 20) + 1]),
        Answer::panic(),
    ] {
        let pair = MAPPED.pair();
        let id = pair.a.open().await;
        let failing = failure.clone().with_session_id("inner-x");
        pair.b.server.answer_next(failing);
        let answer = pair.b.send(ping(&id)).await;
        assert_eq!(answer.status(), 503, "{:?}", pair.seen());
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(pair.seen(), ["initialize"]);
        nothing_left(&pair).await;
        pair.clock.advance(SECOND * 2);
        assert!(pair.b.serves(&id).await);
    }
}

#[tokio::test]
async fn a_second_half_of_the_handshake_that_fails_ends_what_the_first_has_begun() {
    for (code, expected) in [(500, 503), (400, 404), (403, 403)] {
        let pair = MAPPED.pair();
        let id = pair.a.open().await;
        pair.b
            .server
            .on("notifications/initialized", move |_| status(code));
        assert_eq!(pair.b.status(ping(&id)).await, expected);
        nothing_left(&pair).await;
    }
}

#[tokio::test]
async fn a_failure_is_remembered_for_two_seconds_for_its_session_alone() {
    for (failure, expected) in [(500, 503), (422, 404)] {
        let pair = MAPPED.pair();
        let (id, other) = (pair.a.open().await, pair.a.open().await);
        pair.b.server.answer_next(status(failure));
        assert_eq!(pair.b.status(ping(&id)).await, expected);
        pair.clock.advance(SECOND * 2 - SECOND / 1000);
        assert_eq!(pair.b.status(ping(&id)).await, expected);
        assert_eq!(pair.replays(), 1);
        assert!(pair.b.serves(&other).await);
        pair.clock.advance(SECOND / 1000);
        assert!(pair.b.serves(&id).await);
        assert_eq!(pair.replays(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_takes_too_long_means_503_and_what_it_begins_late_is_ended() {
    let pair = MAPPED.pair();
    let id = pair.a.open().await;
    let began = tokio::time::Instant::now();
    let waiting = pair.send_and_hold(ping(&id), 1).await;
    assert_eq!(soon(waiting).await.unwrap(), 503);
    assert_eq!(began.elapsed(), SECOND * 10);
    assert_eq!(pair.b.layer.live_sessions(), 0);
    pair.b.server.release();
    soon(pair.b.server.wait_for_requests(2)).await;
    nothing_left(&pair).await;
    let deleted = pair.b.server.requests();
    assert!(deleted.iter().any(|seen| seen.method == "DELETE"));
}

#[tokio::test(start_paused = true)]
async fn the_time_for_a_restore_is_an_option() {
    let pair = MAPPED.pair_with(|layer| layer.with_restore_timeout(SECOND * 3));
    let id = pair.a.open().await;
    let began = tokio::time::Instant::now();
    let waiting = pair.send_and_hold(ping(&id), 1).await;
    assert_eq!(soon(waiting).await.unwrap(), 503);
    assert_eq!(began.elapsed(), SECOND * 3);
}

#[tokio::test]
async fn who_is_not_let_in_gets_the_inner_answer_and_the_next_waiter_tries_with_its_own() {
    for code in [401, 403] {
        let pair = MAPPED.pair();
        let id = pair.a.open().await;
        pair.b.server.on(
            "initialize",
            move |seen| match seen.headers["authorization"].to_str().unwrap() {
                "good" => Answer::result(json!({ "protocolVersion": "2025-11-25" }))
                    .with_session_id("inner-good"),
                _ => status(code)
                    .with_header("www-authenticate", "Bearer")
                    .with_session_id("inner-bad"),
            },
        );
        pair.b.server.hold();
        let first = with(ping(&id), "authorization", "bad");
        let first = tokio::spawn({
            let b = pair.b.clone();
            async move { b.send(first).await }
        });
        soon(pair.b.server.wait_for_held(1)).await;
        let second = send(&pair.b, with(ping(&id), "authorization", "good"));
        let third = send(&pair.b, with(ping(&id), "authorization", "good"));
        settle().await;
        pair.b.server.release();
        let answer = soon(first).await.unwrap();
        assert_eq!(answer.status(), code);
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        assert!(!answer.headers().contains_key(support::ID));
        assert_eq!(soon(second).await.unwrap(), 200);
        assert_eq!(soon(third).await.unwrap(), 200);
        assert_eq!(pair.replays(), 2);
        soon(pair.b.server.wait_for_open_sessions(1)).await;
        assert_eq!(pair.b.server.open_sessions(), ["inner-good"]);
    }
}

#[tokio::test]
async fn who_was_not_let_in_is_not_remembered() {
    let pair = MAPPED.pair();
    let id = pair.a.open().await;
    pair.b.server.answer_next(status(401));
    assert_eq!(pair.b.status(ping(&id)).await, 401);
    assert!(pair.b.serves(&id).await);
}

#[tokio::test]
async fn a_stranger_gets_404_and_the_inner_service_hears_nothing() {
    for watched in both() {
        let pair = watched.pair();
        let (owned, free) = (pair.a.open_as("alice").await, pair.a.open().await);
        let unknown = read(pair.b.send(ping(support::UNKNOWN)).await).await;
        for request in [
            ping(&owned),
            by(ping(&owned), STRANGER),
            by(ping(&free), STRANGER),
        ] {
            assert_eq!(read(pair.b.send(request).await).await, unknown);
        }
        assert!(pair.seen().is_empty());
        assert_eq!(pair.b.layer.live_sessions(), 0);
        // And not while its owner waits either.
        let waiting = pair.send_and_hold(by(ping(&owned), "alice"), 1).await;
        assert_eq!(
            read(pair.b.send(by(ping(&owned), STRANGER)).await).await,
            unknown
        );
        pair.b.server.release();
        assert_eq!(soon(waiting).await.unwrap(), 200);
    }
}

#[tokio::test]
async fn another_audience_and_an_expired_session_are_404_and_the_inner_service_hears_nothing() {
    let pair = MAPPED.pair();
    let id = pair.a.open().await;
    let mut elsewhere = ping(&id);
    *elsewhere.uri_mut() = "/other".parse().unwrap();
    assert_eq!(pair.b.status(elsewhere).await, 404);
    pair.clock.advance(MINUTE * 60 * 24);
    assert_eq!(pair.b.status(ping(&id)).await, 404);
    assert!(pair.seen().is_empty());
}

#[tokio::test]
async fn rule_62_a_store_that_is_down_means_503_and_never_404() {
    for operation in [Operation::Load, Operation::Touch] {
        for kind in [MAPPED, UNMAPPED] {
            let pair = kind.pair();
            let id = pair.a.open().await;
            pair.store.fail_all(operation, StoreErrorKind::Unavailable);
            assert_eq!(pair.b.status(post(&id, LIST)).await, 503);
            assert!(!pair.seen().contains(&"tools/list".to_owned()));
            nothing_left(&pair).await;
            pair.store.heal();
            pair.clock.advance(SECOND * 2);
            assert_eq!(pair.b.status(post(&id, LIST)).await, 200);
        }
    }
}

#[tokio::test]
async fn no_room_means_503_and_the_inner_service_hears_nothing() {
    let pair = MAPPED.pair_with(|layer| layer.with_max_sessions(1));
    let own = pair.b.open().await;
    let id = pair.a.open().await;
    let before = pair.seen().len();
    assert_eq!(pair.b.status(ping(&id)).await, 503);
    assert_eq!(pair.seen().len(), before);
    pair.clock.advance(SECOND * 301);
    assert!(pair.b.serves(&id).await && pair.a.serves(&own).await);
}

#[tokio::test]
async fn at_most_256_restores_run_at_once() {
    let pair = MAPPED.pair();
    let mut ids = Vec::new();
    for _ in 0..257 {
        ids.push(pair.a.open().await);
    }
    pair.b.server.hold();
    let waiting: Vec<_> = ids[..256]
        .iter()
        .map(|id| send(&pair.b, ping(id)))
        .collect();
    soon(pair.b.server.wait_for_held(256)).await;
    assert_eq!(pair.b.status(ping(&ids[256])).await, 503);
    pair.b.server.release();
    for waiting in waiting {
        assert_eq!(soon(waiting).await.unwrap(), 200);
    }
    assert!(pair.b.serves(&ids[256]).await, "that is not remembered");
}

#[tokio::test]
async fn an_instance_that_drains_restores_all_the_same() {
    let pair = MAPPED.pair();
    let id = pair.a.open().await;
    pair.b.layer.drain(std::time::Duration::ZERO).await;
    assert_eq!(pair.b.status(initialize()).await, 503);
    assert!(pair.b.serves(&id).await);
}
