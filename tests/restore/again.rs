//! An inner service that has lost its own session: the session is restored, and the request sent again, once.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, ServiceExt, service_fn};
use tower_mcp_session::testing::{Answer, ScriptedService};
use tower_mcp_session::{RequestBody, Restore, SessionLayer};

use crate::pair::{Kind, MAPPED, Pair, UNMAPPED, both, send, soon, with};
use crate::support::{Body, ID, LIST, SECOND, delete, get, ping, post, read, settle};

const KEPT: usize = 64 << 10;

/// A session that lives at B, for so long that its requests go the hot way.
async fn at_home(kind: Kind) -> (Pair, String) {
    at_home_with(kind, |layer| layer).await
}

async fn at_home_with(
    kind: Kind,
    options: impl Fn(SessionLayer) -> SessionLayer,
) -> (Pair, String) {
    let pair = kind.pair_with(options);
    let id = pair.b.open().await;
    assert!(pair.b.serves(&id).await);
    (pair, id)
}

/// A POST of `length` bytes in chunks.
fn chunks(
    id: &str,
    length: usize,
) -> Request<impl http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static> {
    let start = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":""#;
    let mut text = start.to_owned();
    text.extend(std::iter::repeat_n('x', length - start.len() - 2));
    text.push_str("\"}");
    let chunks: Vec<_> = text
        .as_bytes()
        .chunks(1000)
        .map(|chunk| Ok(Frame::data(Bytes::copy_from_slice(chunk))))
        .collect();
    Request::post("/mcp")
        .header(ID, id)
        .body(StreamBody::new(stream::iter(chunks)))
        .unwrap()
}

#[tokio::test]
async fn a_lost_inner_session_is_begun_again_and_the_request_served() {
    for kind in both() {
        let (pair, id) = at_home(kind).await;
        let expected = read(pair.b.send(post(&id, LIST)).await).await;
        pair.b.server.forget_sessions();
        let before = pair.seen().len();
        let got = read(pair.b.send(post(&id, LIST)).await).await;
        assert_eq!(got, expected);
        assert_eq!(
            pair.seen()[before..],
            [
                "tools/list",
                "initialize",
                "notifications/initialized",
                "tools/list"
            ]
        );
        let requests = pair.b.server.requests();
        let last = requests.last().unwrap();
        assert_eq!(last.body, LIST);
        assert_eq!(last.session_id(), Some("inner-2"));
        assert_eq!(pair.b.send(get(&id)).await.status(), 200);
        assert!(pair.b.serves(&id).await);
        assert_eq!(pair.b.layer.live_sessions(), 1);
    }
}

#[tokio::test]
async fn the_same_holds_for_a_stream_and_in_its_first_minutes() {
    let pair = MAPPED.pair();
    let id = pair.b.begin().await;
    pair.b.server.forget_sessions();
    assert_eq!(pair.b.send(get(&id)).await.status(), 200);
    assert_eq!(pair.seen(), ["initialize", "GET", "initialize", "GET"]);
}

#[tokio::test]
async fn a_stream_is_not_resumed_in_another_inner_session() {
    let (pair, id) = at_home(MAPPED).await;
    pair.b.server.forget_sessions();
    let resume = with(get(&id), "last-event-id", "0");
    assert_eq!(pair.b.send(resume).await.status(), 400);
    assert!(pair.b.serves(&id).await);
}

#[tokio::test]
async fn what_a_handler_keeps_of_the_session_goes_on() {
    let (pair, id) = at_home(MAPPED).await;
    let context = pair.b.context();
    context.insert("n", &1).await.unwrap();
    let mut ended = tokio_test::task::spawn(context.cancelled());
    assert!(ended.poll().is_pending());
    pair.b.server.forget_sessions();
    assert!(pair.b.serves(&id).await);
    assert!(ended.poll().is_pending() && !context.has_ended());
    assert_eq!(pair.b.context().get("n").await.unwrap(), Some(1));
    assert_eq!(pair.b.status(delete(&id)).await, 204);
    assert!(ended.poll().is_ready());
    soon(pair.b.server.wait_for_open_sessions(0)).await;
}

#[tokio::test]
async fn a_body_in_pieces_is_sent_again_if_it_has_at_most_64_kib() {
    for length in [KEPT, KEPT + 1] {
        let (pair, id) = at_home(MAPPED).await;
        pair.b.server.forget_sessions();
        let service = pair.b.layer.clone().layer(pair.b.server.clone());
        let Ok(answer) = service.clone().oneshot(chunks(&id, length)).await;
        let requests = pair.b.server.requests();
        let last = requests.last().unwrap();
        assert_eq!(last.body.len(), length);
        if length <= KEPT {
            assert_eq!(answer.status(), 200);
            assert_eq!(pair.replays(), 2);
        } else {
            assert_eq!(answer.status(), 503);
            assert_eq!(pair.replays(), 1);
        }
        // Either way the next one finds its session.
        assert!(pair.b.serves(&id).await);
        assert_eq!(pair.replays(), 2);
    }
}

#[tokio::test]
async fn a_body_that_nobody_read_is_sent_again_whatever_its_length() {
    let pair = MAPPED.pair();
    let server = ScriptedService::new().minting_ids();
    let hasty = Arc::new(AtomicBool::new(false));
    let service = pair.b.layer.clone().layer({
        let (server, hasty) = (server.clone(), Arc::clone(&hasty));
        service_fn(move |request: Request<RequestBody<_>>| {
            let (server, hasty) = (server.clone(), hasty.swap(false, Ordering::Relaxed));
            async move {
                if !hasty {
                    let Ok(answer) = server.oneshot(request).await;
                    return Ok::<_, Infallible>(answer.map(BodyExt::boxed_unsync));
                }
                drop(request);
                let mut answer = Response::new(
                    http_body_util::Empty::new()
                        .map_err(|never| match never {})
                        .boxed_unsync(),
                );
                *answer.status_mut() = StatusCode::NOT_FOUND;
                Ok(answer)
            }
        })
    });
    let id = pair.a.open().await;
    let Ok(answer) = service.clone().oneshot(chunks(&id, 1000)).await;
    assert_eq!(answer.status(), 200);
    pair.clock.advance(SECOND * 60);
    hasty.store(true, Ordering::Relaxed);
    let Ok(answer) = service.clone().oneshot(chunks(&id, KEPT * 3)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(server.requests().last().unwrap().body.len(), KEPT * 3);
}

#[tokio::test]
async fn many_that_find_it_lost_cause_one_replay() {
    for kind in both() {
        let (pair, id) = at_home(kind).await;
        pair.b.server.forget_sessions();
        pair.b.server.hold();
        let waiting: Vec<_> = (0..20).map(|_| send(&pair.b, post(&id, LIST))).collect();
        soon(pair.b.server.wait_for_held(20)).await;
        pair.b.server.release();
        for status in soon(join_all(waiting)).await {
            assert_eq!(status.unwrap(), 200);
        }
        assert_eq!(pair.replays(), 2);
        assert_eq!(pair.b.server.open_sessions().len(), 1);
    }
}

#[tokio::test]
async fn a_request_is_sent_again_once_and_a_session_restored_once_in_ten_seconds() {
    let (pair, id) = at_home(MAPPED).await;
    pair.b
        .server
        .on("tools/list", |_| Answer::status(StatusCode::NOT_FOUND));
    let before = pair.seen().len();
    let answer = pair.b.send(post(&id, LIST)).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(
        pair.seen()[before..],
        [
            "tools/list",
            "initialize",
            "notifications/initialized",
            "tools/list"
        ]
    );
    pair.clock.advance(SECOND * 10 - SECOND / 1000);
    assert_eq!(pair.b.status(post(&id, LIST)).await, 503);
    assert_eq!(pair.replays(), 2);
    assert!(pair.b.serves(&id).await);
    pair.clock.advance(SECOND / 1000);
    assert_eq!(pair.b.status(post(&id, LIST)).await, 503);
    assert_eq!(pair.replays(), 3);
}

#[tokio::test]
async fn an_inner_service_that_does_not_take_it_back_decides_the_answer() {
    for (code, expected) in [(500, 503), (422, 404), (401, 401)] {
        let (pair, id) = at_home(MAPPED).await;
        pair.b.server.forget_sessions();
        pair.b.server.on("initialize", move |_| {
            Answer::status(StatusCode::from_u16(code).unwrap())
        });
        assert_eq!(pair.b.status(ping(&id)).await, expected);
        // It did not end: somebody may serve it.
        assert!(pair.a.serves(&id).await);
    }
}

#[tokio::test]
async fn a_404_without_an_inner_session_passes_untouched() {
    let (pair, id) = at_home(UNMAPPED).await;
    let own = Answer::bytes("text/plain", "no such thing").with_status(StatusCode::NOT_FOUND);
    pair.b.server.answer_next(own);
    let (status, _, body) = read(pair.b.send(ping(&id)).await).await;
    assert_eq!((status.as_u16(), &body[..]), (404, &b"no such thing"[..]));
    assert_eq!(pair.replays(), 1);
    assert!(pair.b.serves(&id).await);
}

#[tokio::test]
async fn with_never_a_session_that_the_inner_service_lost_is_over() {
    let (pair, id) = at_home_with(MAPPED, |layer| layer.with_restore(Restore::Never)).await;
    pair.b.server.forget_sessions();
    assert_eq!(pair.b.status(ping(&id)).await, 404);
    settle().await;
    assert_eq!((pair.b.layer.live_sessions(), pair.memory.len()), (0, 0));
}

#[tokio::test]
async fn a_session_ended_while_it_is_begun_again_is_404() {
    for kind in both() {
        let (pair, id) = at_home(kind).await;
        pair.b.server.forget_sessions();
        // The request is answered 404 at once, and its replay is held.
        let gone = Answer::status(StatusCode::NOT_FOUND);
        let (server, holding) = (pair.b.server.clone(), AtomicBool::new(false));
        pair.b.server.on("ping", move |_| {
            if !holding.swap(true, Ordering::Relaxed) {
                server.hold();
            }
            gone.clone()
        });
        let waiting = send(&pair.b, ping(&id));
        soon(pair.b.server.wait_for_held(1)).await;
        assert_eq!(pair.seen().last().unwrap(), "initialize");
        assert_eq!(pair.a.status(delete(&id)).await, 204);
        pair.b.server.release();
        assert_eq!(soon(waiting).await.unwrap(), 404);
        soon(pair.b.server.wait_for_open_sessions(0)).await;
        assert_eq!(pair.b.layer.live_sessions(), 0);
    }
}

#[tokio::test]
async fn a_request_that_finds_it_lost_after_it_was_begun_again_goes_into_the_new_one() {
    let pair = MAPPED.pair();
    let server = ScriptedService::new().minting_ids();
    let (open, gate) = tokio::sync::watch::channel(false);
    let service = pair.b.layer.clone().layer({
        let server = server.clone();
        service_fn(move |request: Request<RequestBody<Body>>| {
            let (server, mut gate) = (server.clone(), gate.clone());
            async move {
                if request.headers().contains_key("x-late") {
                    gate.wait_for(|open| *open).await.unwrap();
                }
                server.oneshot(request).await
            }
        })
    });
    let id = pair.a.open().await;
    let ask = |late: bool| {
        let mut request = ping(&id);
        if late {
            request = with(request, "x-late", "1");
        }
        let service = service.clone();
        tokio::spawn(async move { service.oneshot(request).await.unwrap().status() })
    };
    assert_eq!(soon(ask(false)).await.unwrap(), 200);
    pair.clock.advance(SECOND * 60);
    assert_eq!(soon(ask(false)).await.unwrap(), 200);
    let late = ask(true);
    settle().await;
    server.forget_sessions();
    assert_eq!(soon(ask(false)).await.unwrap(), 200);
    open.send(true).unwrap();
    assert_eq!(soon(late).await.unwrap(), 200);
    assert_eq!(server.open_sessions(), ["inner-2"]);
}
