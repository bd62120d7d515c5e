//! Many requests for one session that does not live here: one replay, and none of them fails.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::json;
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_mcp_session::RequestBody;
use tower_mcp_session::testing::ScriptedService;

use crate::pair::{MAPPED, UNMAPPED, both, send, soon};
use crate::support::{Body, ID, LIST, SECOND, get, id_of, initialize, ping, post, settle};

#[tokio::test]
async fn rule_61_fifty_first_requests_at_once_cause_one_replay() {
    for kind in both() {
        let pair = kind.pair();
        let id = pair.a.open().await;
        pair.b.server.hold();
        let mut waiting: Vec<_> = (0..50)
            .map(|n| match n % 5 {
                0 => send(&pair.b, ping(&id)),
                _ => send(&pair.b, post(&id, LIST)),
            })
            .collect();
        let streams = pair.b.clone();
        let stream = get(&id);
        let stream = tokio::spawn(async move { streams.send(stream).await.status() });
        soon(pair.b.server.wait_for_held(1)).await;
        settle().await;
        assert_eq!(pair.b.server.held(), 1, "the others wait outside");
        pair.b.server.release();
        waiting.push(stream);
        for answer in soon(join_all(waiting)).await {
            assert_eq!(answer.unwrap(), 200);
        }
        assert_eq!(pair.replays(), 1);
        assert_eq!(pair.b.server.open_sessions().len(), 1);
        assert_eq!(pair.b.layer.live_sessions(), 1);
    }
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_stop_the_restore() {
    let pair = MAPPED.pair();
    let id = pair.a.open().await;
    let first = pair.send_and_hold(ping(&id), 1).await;
    let second = send(&pair.b, ping(&id));
    settle().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    pair.b.server.release();
    assert_eq!(soon(second).await.unwrap(), 200);
    assert_eq!(pair.replays(), 1);
}

#[tokio::test]
async fn a_restore_whose_callers_have_all_left_serves_the_next_one() {
    let pair = MAPPED.pair();
    let id = pair.a.open().await;
    let first = pair.send_and_hold(ping(&id), 1).await;
    first.abort();
    assert!(first.await.is_err());
    pair.b.server.release();
    assert!(pair.b.serves(&id).await);
    assert_eq!(pair.replays(), 1);
    assert_eq!(pair.b.server.open_sessions().len(), 1);
}

#[tokio::test]
async fn a_first_request_dropped_at_any_await_leaves_nothing_half_made() {
    for kind in [MAPPED, UNMAPPED] {
        for times in 0..60 {
            let pair = kind.pair();
            let id = pair.a.open().await;
            let mut request = tokio_test::task::spawn(pair.b.send(ping(&id)));
            for _ in 0..times {
                if let Poll::Ready(answer) = request.poll() {
                    assert_eq!(answer.status(), 200);
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(request);
            settle().await;
            let live = pair.b.layer.live_sessions();
            let inner = pair.b.server.open_sessions().len();
            assert_eq!(
                inner,
                live * usize::from(kind.mapped),
                "after {times} polls"
            );
            assert!(pair.b.serves(&id).await);
            assert!(pair.replays() <= 1, "after {times} polls");
        }
    }
}

/// A pseudo-random number below `limit`, the same in each run.
fn jitter(seed: &mut u64, limit: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    (*seed >> 33) % limit
}

/// A server with sessions of its own that does as little as it can, and counts how many it began.
#[derive(Clone, Default)]
struct Quick {
    sessions: Arc<Mutex<HashSet<String>>>,
    begun: Arc<AtomicUsize>,
}

impl Quick {
    async fn serve(
        self,
        request: Request<RequestBody<Body>>,
    ) -> Result<Response<Body>, Infallible> {
        tokio::task::yield_now().await;
        let inner = request
            .headers()
            .get(ID)
            .map(|id| id.to_str().unwrap().to_owned());
        let Some(inner) = inner else {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let message: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let number = self.begun.fetch_add(1, Ordering::Relaxed);
            let result = json!({ "protocolVersion": "2025-11-25" });
            let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
            let inner = format!("inner-{number}");
            self.sessions.lock().unwrap().insert(inner.clone());
            let answer = Response::builder()
                .header(ID, inner)
                .body(Body::from(answer.to_string()));
            return Ok(answer.unwrap());
        };
        let knows = self.sessions.lock().unwrap().contains(&inner);
        let answer = Response::builder().status(if knows { 200 } else { 400 });
        Ok(answer.body(Body::default()).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_3000_rounds_of_32_first_requests_none_fails() {
    let mut seed = 7;
    for (kind, rounds) in both().into_iter().zip([2_000, 1_000]) {
        let pair = kind.pair();
        let quick = Quick::default();
        let serve = quick.clone();
        let service = pair
            .b
            .layer
            .clone()
            .layer(service_fn(move |request| serve.clone().serve(request)));
        let begin = pair.a.layer.clone().layer(service_fn({
            let quick = Quick::default();
            move |request| quick.clone().serve(request)
        }));
        for round in 1..=rounds {
            let begun = begin.clone().oneshot(initialize()).await.unwrap();
            let id = id_of(begun.headers()).unwrap();
            let requests = (0..32).map(|_| {
                let (service, request) = (service.clone(), ping(&id));
                let late = jitter(&mut seed, 12);
                tokio::spawn(async move {
                    for _ in 0..late {
                        tokio::task::yield_now().await;
                    }
                    service.oneshot(request).await.unwrap().status()
                })
            });
            for answer in join_all(requests.collect::<Vec<_>>()).await {
                assert_eq!(answer.unwrap(), 200, "round {round}");
            }
            assert_eq!(quick.begun.load(Ordering::Relaxed), round);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_wait_pass_a_concurrency_limit_of_one_inside() {
    let pair = MAPPED.pair();
    let server = ScriptedService::new().minting_ids();
    let yielding = {
        let server = server.clone();
        service_fn(move |request: Request<RequestBody<Body>>| {
            let server = server.clone();
            async move {
                tokio::task::yield_now().await;
                let answer = server.oneshot(request).await;
                tokio::task::yield_now().await;
                answer
            }
        })
    };
    let limited = ServiceBuilder::new()
        .layer(ConcurrencyLimitLayer::new(1))
        .service(yielding);
    let service = pair.b.layer.clone().layer(limited);
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let id = pair.a.open().await;
        for _ in 0..25 {
            // As a connection does, which keeps its service: what that holds, it holds until the answer is there.
            let (mut service, request) = (service.clone(), ping(&id));
            waiting.push(tokio::spawn(async move {
                let Ok(answer) = service.ready().await.unwrap().call(request).await;
                answer.status()
            }));
        }
    }
    let all = tokio::time::timeout(SECOND * 20, join_all(waiting)).await;
    for status in all.expect("stuck") {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(server.open_sessions().len(), 4);
}

#[tokio::test]
async fn a_lost_inner_session_is_restored_through_a_concurrency_limit_of_one() {
    let pair = MAPPED.pair();
    let server = ScriptedService::new().minting_ids();
    let limited = ServiceBuilder::new()
        .layer(ConcurrencyLimitLayer::new(1))
        .service(server.clone());
    let service = pair.b.layer.clone().layer(limited);
    let id = pair.a.open().await;
    let ask = async || {
        let answer: Result<_, Infallible> = service.clone().oneshot(ping(&id)).await;
        answer.unwrap().status()
    };
    assert_eq!(ask().await, 200);
    pair.clock.advance(SECOND * 60);
    assert_eq!(ask().await, 200);
    server.forget_sessions();
    let waiting = join_all((0..20).map(|_| ask()));
    for status in tokio::time::timeout(SECOND * 20, waiting)
        .await
        .expect("stuck")
    {
        assert_eq!(status, 200);
    }
    assert_eq!(server.open_sessions().len(), 1);
}
