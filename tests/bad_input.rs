//! Bad input: what clients, and the inner service, may get wrong. The answer is clear, and nothing is lost, leaked or
//! logged.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};
use tower_mcp_session::testing::{Answer, FaultyStore, Operation, ScriptedService};
use tower_mcp_session::{MemoryStore, RequestBody, SessionLayer};

#[path = "support/wire.rs"]
mod wire;

use wire::{
    Body, Call, INITIALIZED, LATEST, MODERN, PING, Setup, UNKNOWN, Wire, call, delete, each_verb,
    full, get, initialize, modern, post, session_of, until, until_open,
};

/// Stands in messages, and must not stand in logs.
const SECRET: &str = "s3cret-content";

/// Everything that was logged by this process, down to TRACE.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn log() -> MutexGuard<'static, Vec<u8>> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Logger;

impl Write for Logger {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        log().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn capture_logs() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(|| Logger)
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("nobody else logs");
    });
}

fn setups() -> impl Iterator<Item = Setup> {
    capture_logs();
    Setup::all()
}

fn plain() -> Wire {
    capture_logs();
    Wire::plain()
}

/// Setups that differ in what their inner service keeps.
fn inner_setups() -> impl Iterator<Item = Setup> {
    setups().filter(|setup| !setup.path && !setup.strict)
}

async fn begin(wire: &Wire, half_open: bool) -> String {
    match half_open {
        true => wire.begin().await,
        false => wire.begin_ready(LATEST).await,
    }
}

/// Checks that bad input has left nothing behind: `ids` are the sessions that live.
async fn unharmed(wire: &Wire, minting: bool, ids: &[&str]) {
    until("each slot is given back", || {
        wire.layer.live_sessions() == ids.len()
    })
    .await;
    let inner = |sessions: usize| if minting { sessions } else { 0 };
    until_open(&wire.inner, inner(ids.len())).await;
    assert_eq!(wire.inner.held(), 0);

    // All is as ever for a client that behaves.
    let id = wire.begin_ready(LATEST).await;
    assert!(wire.serves(&id).await);
    assert_eq!(wire.send(delete().id(&id)).await.status, 204);
    until_open(&wire.inner, inner(ids.len())).await;
    assert_eq!(wire.layer.live_sessions(), ids.len());

    let log = String::from_utf8_lossy(&log()).into_owned();
    assert!(log.contains("session created"), "the log is captured");
    for secret in ids.iter().copied().chain([SECRET, &id, "inner-", "orphan"]) {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn a_malformed_or_oversized_id_is_the_404_of_an_unknown_one_on_each_verb() {
    for setup in setups() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        let upper = id.to_uppercase();
        let odd: Vec<Vec<u8>> = vec![
            b"s3cret-content with spaces".to_vec(),
            b" ".to_vec(),
            b"a\tb".to_vec(),
            "s3cret-content \u{fc}".as_bytes().to_vec(),
            vec![0xff, 0xfe],
            vec![b'x'; 1024],
            vec![b'x'; 1025],
            vec![b'x'; 100 << 10],
            format!("{id},{id}").into_bytes(),
            format!("{id} ").into_bytes(),
            format!("\"{id}\"").into_bytes(),
            format!("{id}0").into_bytes(),
            id.as_bytes()[..31].to_vec(),
            upper.clone().into_bytes(),
            b"../../etc/passwd".to_vec(),
            b"%00".to_vec(),
        ];
        for odd in odd {
            if odd == id.as_bytes() {
                continue;
            }
            let calls = wire.inner.calls();
            for request in each_verb() {
                let echoed = (request.method() == "POST").then_some("7");
                wire.send(request.id(&odd)).await.assert_not_found(echoed);
            }
            assert_eq!(wire.inner.calls(), calls, "{setup:?}");
            let fresh = wire.begin_with(post(initialize(LATEST)).id(&odd)).await;
            assert_eq!(wire.send(delete().id(&fresh)).await.status, 204);
            until_open(&wire.inner, usize::from(setup.minting)).await;
        }
        assert!(wire.serves(&id).await);
        unharmed(&wire, setup.minting, &[&id]).await;
    }
}

#[tokio::test]
async fn several_ids_are_400_on_each_verb_whatever_they_are() {
    for setup in setups() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        let calls = wire.inner.calls();
        for (one, other) in [
            (&*id, &*id),
            (&*id, UNKNOWN),
            (UNKNOWN, &*id),
            (&*id, ""),
            ("", &*id),
            ("", ""),
            ("two words", "\u{fc}"),
        ] {
            for request in each_verb() {
                let got = wire.send(request.id(one).id(other)).await;
                got.assert_refused(400, -32600, None);
            }
            let begin = post(initialize(LATEST)).id(one).id(other);
            wire.send(begin).await.assert_refused(400, -32600, None);
        }
        assert_eq!(wire.inner.calls(), calls, "{setup:?}");
        unharmed(&wire, setup.minting, &[&id]).await;
    }
}

#[tokio::test]
async fn an_empty_id_is_a_missing_one_on_each_verb() {
    for setup in setups() {
        let wire = setup.wire();
        for request in each_verb() {
            let is_ours = setup.path || request.method() != "DELETE";
            let echoed = (request.method() == "POST").then_some("7");
            let got = wire.send(request.id("")).await;
            if is_ours {
                got.assert_refused(400, -32600, echoed);
            }
        }
        let id = wire.begin_with(post(initialize(LATEST)).id("")).await;
        unharmed(&wire, setup.minting, &[&id]).await;
    }
}

/// Texts that are not JSON.
fn malformed() -> Vec<Bytes> {
    let texts: [&[u8]; 14] = [
        b"",
        b" ",
        b"{",
        b"}",
        b"nul",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"initialize\",\"id\":0",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"initialize\",\"id\":0,}",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"initialize\",\"id\":0}x",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"initialize\",\"id\":0}{}",
        b"{'method':'initialize','id':0}",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"initialize\",\"id\":0,\"x\":\"\xff\"}",
        b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"method\":\"initialize\",\"id\":0}",
        b"[{\"jsonrpc\":\"2.0\",\"method\":\"initialize\",\"id\":0}",
        b"\0",
    ];
    texts.into_iter().map(Bytes::from_static).collect()
}

#[tokio::test]
async fn a_body_that_is_not_json_is_400_where_the_path_is_ours_and_passes_where_not() {
    for setup in setups() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        for body in malformed() {
            let calls = wire.inner.calls();
            let got = wire.send(post(body.clone())).await;
            if setup.path {
                got.assert_refused(400, -32700, None);
                assert_eq!(wire.inner.calls(), calls);
            } else {
                assert_eq!(wire.last().body, body, "not ours, as far as can be told");
            }
            assert_eq!(got.id(), None);
            let got = wire.send(post(body.clone()).id(UNKNOWN)).await;
            got.assert_not_found(None);
        }
        unharmed(&wire, setup.minting, &[&id]).await;
    }
}

#[tokio::test]
async fn inside_a_session_a_body_that_is_not_json_is_the_inner_services_unless_strict() {
    for setup in setups() {
        for body in malformed() {
            let wire = setup.wire();
            wire.inner.on_request(|request| {
                let odd = request.method == Method::POST && request.json().is_none();
                odd.then(|| Answer::status(StatusCode::BAD_REQUEST))
            });
            for half_open in [true, false] {
                let id = begin(&wire, half_open).await;
                let calls = wire.inner.calls();
                let got = wire.send(post(body.clone()).id(&id)).await;
                assert_eq!(got.status, 400, "{setup:?} {body:?}");
                if wire.inner.calls() == calls {
                    assert!(setup.strict);
                    got.assert_refused(400, -32700, None);
                } else {
                    assert_eq!(wire.last().body, body);
                }
                assert!(wire.serves(&id).await);
                assert_eq!(wire.send(delete().id(&id)).await.status, 204);
            }
            unharmed(&wire, setup.minting, &[]).await;
        }
    }
}

const DEEP: usize = 100_000;

fn deep(open: &str, close: &str) -> String {
    [open.repeat(DEEP), close.repeat(DEEP)].concat()
}

fn large(layer: SessionLayer) -> SessionLayer {
    layer
        .with_max_initialize_body(8 << 20)
        .with_max_initialize_params(8 << 20)
}

#[tokio::test]
async fn deep_nesting_overflows_no_stack() {
    let (arrays, objects) = (deep("[", "]"), deep(r#"{"a":"#, "}").replace(":}", ":0}"));
    for setup in setups().filter(|setup| !setup.sse) {
        for nested in [&arrays, &objects] {
            let wire = setup.wire_with(large);
            wire.inner.on_request(|request| {
                let deep = request.body.len() > DEEP;
                deep.then(|| Answer::status(StatusCode::IM_A_TEAPOT))
            });
            let id = wire.begin_ready(LATEST).await;
            for body in [
                nested.clone(),
                format!(r#"{{"jsonrpc":"2.0","id":3,"method":"ping","params":{nested}}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":3,"method":"x","params":{{"_meta":{nested}}}}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":{nested},"method":"initialize"}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":3,"method":{nested}}}"#),
                format!(r#"[{{"jsonrpc":"2.0","id":3,"method":"initialize","params":{nested}}}]"#),
                format!(r#"{{"jsonrpc":"2.0","initialize":{nested}}}"#),
            ] {
                let got = wire.send(post(body.clone())).await;
                assert!(
                    matches!(got.status.as_u16(), 400 | 418),
                    "{setup:?} {got:?}"
                );
                let got = wire.send(post(body.clone()).id(UNKNOWN)).await;
                assert_eq!(got.status, 404);
                let got = wire.send(post(body.clone()).id(&id)).await;
                assert!(
                    matches!(got.status.as_u16(), 400 | 418),
                    "{setup:?} {got:?}"
                );
                let got = wire.send(post(body).version(MODERN)).await;
                assert_eq!(got.status, 418);
            }
            unharmed(&wire, setup.minting, &[&id]).await;
        }
    }
}

#[tokio::test]
async fn deep_nesting_in_an_initialize_and_in_its_answer_overflows_no_stack() {
    let nested = deep("[", "]");
    for setup in setups().filter(|setup| !setup.sse) {
        let wire = setup.wire_with(large);
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{LATEST}","capabilities":{nested},"clientInfo":{nested},"_meta":{nested}}}}}"#
        );
        let answer = format!(
            r#"{{"jsonrpc":"2.0","id":0,"result":{{"capabilities":{nested},"protocolVersion":"{LATEST}"}}}}"#
        );
        let answers = [
            Answer::bytes("application/json", answer.clone()),
            Answer::bytes(
                "text/event-stream",
                format!("data: {nested}\n\ndata: {answer}\n\n"),
            ),
        ];
        for mut answer in answers {
            if setup.minting {
                answer = answer.with_session_id("inner-deep");
            }
            wire.inner.answer_next(answer);
            let id = wire.begin_with(post(body.clone())).await;
            wire.inner
                .on("ping", |_| Answer::status(StatusCode::IM_A_TEAPOT));
            let got = wire.send(post(PING).id(&id)).await;
            assert_eq!(got.status, 418, "{setup:?}");
            let seen = wire.last();
            let session = session_of(&seen).unwrap();
            assert!(session.capabilities().is_none() && session.client_info().is_none());
            assert!(session.initialize_params().get().len() > 2 * DEEP);
            assert_eq!(wire.send(delete().id(&id)).await.status, 204);
        }
        wire.inner.on("ping", |_| Answer::result(json!({})));
        unharmed(&wire, setup.minting, &[]).await;
    }
}

/// A body that comes in these pieces, each after other tasks have run; then `end`.
fn slowly(
    pieces: Vec<Bytes>,
    end: impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Body {
    let frames = stream::iter(pieces.into_iter().map(Ok))
        .chain(end)
        .then(async |piece| {
            tokio::task::yield_now().await;
            piece.map(Frame::data)
        });
    StreamBody::new(frames).boxed_unsync()
}

fn json_post(body: Body) -> Call {
    call(Method::POST, body).header("content-type", "application/json")
}

/// A body that begins well and never ends: at rest, or a byte a second.
fn endless(drips: bool) -> Body {
    let begin = vec![Bytes::from_static(
        br#"{"jsonrpc":"2.0","id":3,"x":"s3cret-content"#,
    )];
    if drips {
        slowly(
            begin,
            stream::repeat(()).then(async |()| {
                // The client is slow; the test's clock is paused.
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(Bytes::from_static(b"x"))
            }),
        )
    } else {
        slowly(begin, stream::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up_after_the_body_timeout() {
    for setup in setups().filter(|setup| setup.path) {
        for drips in [false, true] {
            let wire = setup.wire();
            let id = wire.begin_ready(LATEST).await;
            let calls = wire.inner.calls();
            let begun = tokio::time::Instant::now();
            let got = wire.send(json_post(endless(drips))).await;
            got.assert_refused(400, -32700, None);
            assert_eq!(begun.elapsed().as_secs(), 30);

            let begun = tokio::time::Instant::now();
            let got = wire.send(json_post(endless(drips)).id(UNKNOWN)).await;
            got.assert_not_found(None);
            assert_eq!(begun.elapsed().as_secs(), 5, "read only to echo an id");

            if setup.strict {
                let begun = tokio::time::Instant::now();
                let got = wire.send(json_post(endless(drips)).id(&id)).await;
                got.assert_refused(400, -32700, None);
                assert_eq!(begun.elapsed().as_secs(), 30);
            }
            assert_eq!(wire.inner.calls(), calls, "{setup:?}");
            unharmed(&wire, setup.minting, &[&id]).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_path_a_body_that_never_ends_goes_on_to_the_inner_service() {
    for setup in setups().filter(|setup| !setup.path) {
        let wire = setup.wire();
        let mut future = tokio_test::task::spawn(wire.open(json_post(endless(false))));
        assert!(future.poll().is_pending());
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(future.poll().is_pending());
        assert_eq!(wire.inner.calls(), 0);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(future.poll().is_pending());
        assert_eq!(wire.inner.calls(), 1, "{setup:?}");
        drop(future);
        unharmed(&wire, setup.minting, &[]).await;
    }
}

#[tokio::test]
async fn inside_a_session_the_length_and_speed_of_a_body_are_the_inner_services_affair() {
    for setup in inner_setups() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        let calls = wire.inner.calls();
        let mut future = tokio_test::task::spawn(wire.open(json_post(endless(false)).id(&id)));
        assert!(future.poll().is_pending());
        assert_eq!(wire.inner.calls(), calls + 1, "at once");
        drop(future);
        unharmed(&wire, setup.minting, &[&id]).await;
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_where_the_path_is_ours_and_passes_where_not() {
    let filler = format!("{SECRET}{}", "x".repeat(70_000));
    let body = initialize(LATEST).replace("\"name\":\"t\"", &format!("\"name\":\"{filler}\""));
    for setup in setups() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        for chunk in [1000, usize::MAX] {
            let send = || {
                let pieces = body.as_bytes().chunks(chunk.min(body.len()));
                let pieces = pieces.map(Bytes::copy_from_slice).collect();
                json_post(slowly(pieces, stream::empty()))
            };
            let calls = wire.inner.calls();
            if setup.path {
                let got = wire.send(send()).await;
                got.assert_refused(413, -32600, None);
                assert_eq!(wire.inner.calls(), calls);
            } else {
                wire.inner
                    .answer_next(Answer::status(StatusCode::IM_A_TEAPOT));
                assert_eq!(wire.send(send()).await.status, 418);
                assert_eq!(wire.last().body, body);
            }
            wire.send(send().id(UNKNOWN)).await.assert_not_found(None);
        }
        // Short enough as a body, too long to be kept.
        let filler = "x".repeat(17 << 10);
        let body = initialize(LATEST).replace("\"name\":\"t\"", &format!("\"name\":\"{filler}\""));
        let calls = wire.inner.calls();
        let got = wire.send(post(body)).await;
        got.assert_refused(413, -32600, Some("0"));
        assert_eq!(wire.inner.calls(), calls, "{setup:?}");
        unharmed(&wire, setup.minting, &[&id]).await;
    }
}

#[tokio::test]
async fn a_strict_layer_refuses_a_body_over_4_mib_inside_a_session() {
    for setup in setups().filter(|setup| setup.strict && !setup.sse) {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        let calls = wire.inner.calls();
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":3,"method":"x","params":"{}"}}"#,
            "x".repeat(5 << 20)
        );
        let got = wire.send(post(body).id(&id)).await;
        got.assert_refused(413, -32600, None);
        assert_eq!(wire.inner.calls(), calls);
        unharmed(&wire, setup.minting, &[&id]).await;
    }
}

#[tokio::test]
async fn a_client_whose_body_breaks_off_leaves_nothing() {
    let broken = || {
        let begin = initialize(LATEST).as_bytes()[..40].to_vec();
        let failure = stream::iter([Err(io::Error::other(SECRET))]);
        json_post(slowly(vec![begin.into()], failure))
    };
    for setup in setups() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        let calls = wire.inner.calls();
        // Also where the path is not ours: the inner service would take the part for the whole.
        let got = wire.send(broken()).await;
        got.assert_refused(400, -32700, None);
        assert_eq!(wire.inner.calls(), calls);
        wire.send(broken().id(UNKNOWN)).await.assert_not_found(None);
        let calls = wire.inner.calls();
        let got = wire.send(broken().id(&id)).await;
        if setup.strict {
            got.assert_refused(400, -32700, None);
            assert_eq!(wire.inner.calls(), calls);
        } else {
            assert!(!wire.last().complete);
        }
        drop(wire.send(broken().version(MODERN)).await);
        assert!(!wire.last().complete, "{setup:?}");
        unharmed(&wire, setup.minting, &[&id]).await;
    }
}

/// Polls a request `polls` times and drops it then; true if it was answered before.
async fn leaves_after(wire: &Wire, polls: usize, call: Call) -> bool {
    let mut future = tokio_test::task::spawn(wire.open(call));
    for _ in 0..polls {
        if future.poll().is_ready() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// The same bytes as a body that comes a third at a time.
fn in_thirds(text: &str) -> Body {
    let pieces = text.as_bytes().chunks(text.len().div_ceil(3));
    slowly(
        pieces.map(Bytes::copy_from_slice).collect(),
        stream::empty(),
    )
}

#[tokio::test]
async fn a_client_that_leaves_an_initialize_at_any_point_leaves_no_session() {
    for setup in setups() {
        let wire = setup.wire();
        let body = initialize(LATEST);
        let mut polls = 0;
        while !leaves_after(&wire, polls, json_post(in_thirds(&body))).await {
            unharmed(&wire, setup.minting, &[]).await;
            polls += 1;
        }
        assert!(polls > 4, "{setup:?}: {polls}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_any_other_request_at_any_point_leaves_its_session_unharmed() {
    for setup in setups() {
        let wire = setup.wire();
        let requests: [fn() -> Call; 4] = [
            || json_post(in_thirds(PING)),
            || json_post(in_thirds(INITIALIZED)),
            get,
            || json_post(in_thirds(PING)).version(MODERN),
        ];
        for request in requests {
            // Half-open, and after the handshake.
            for half_open in [true, false] {
                let id = begin(&wire, half_open).await;
                let mut polls = 0;
                while !leaves_after(&wire, polls, request().id(&id)).await {
                    polls += 1;
                }
                wire.inner.wait_for_streams(0).await;
                assert!(wire.serves(&id).await, "{setup:?}");
                // Nothing holds it busy.
                wire.clock.advance(Duration::from_secs(25 * 60 * 60));
                wire.layer.clean_up().await.unwrap();
                assert_eq!(wire.layer.live_sessions(), 0, "{setup:?} {polls}");
                until_open(&wire.inner, 0).await;
            }
        }
        unharmed(&wire, setup.minting, &[]).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_delete_ends_its_session_or_does_not() {
    for setup in setups() {
        let wire = setup.wire();
        for polls in 0..4 {
            let id = wire.begin_ready(LATEST).await;
            let begun = leaves_after(&wire, polls, delete().id(&id)).await || polls > 0;
            tokio::task::yield_now().await;
            assert_eq!(wire.serves(&id).await, !begun, "{setup:?} {polls}");
            if !begun {
                assert_eq!(wire.send(delete().id(&id)).await.status, 204);
            }
            unharmed(&wire, setup.minting, &[]).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_the_inner_service_is_at_work_leaves_nothing() {
    for setup in setups() {
        let wire = setup.wire();
        for (call, is_initialize) in [
            (post(initialize(LATEST)), true),
            (post(modern("tools/list")).version(MODERN), false),
            (post(modern("tools/list")), false),
        ] {
            wire.inner.hold();
            let mut future = tokio_test::task::spawn(wire.open(call));
            assert!(future.poll().is_pending());
            until("the request is held", || {
                drop(future.poll());
                wire.inner.held() == 1
            })
            .await;
            drop(future);
            // An initialize goes on, so that what it begins can be ended.
            assert_eq!(wire.inner.held(), usize::from(is_initialize), "{setup:?}");
            wire.inner.release();
            unharmed(&wire, setup.minting, &[]).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_the_store_is_at_work_leaves_nothing() {
    for setup in setups() {
        let wire = setup.wire();
        wire.store.hang(Operation::Create);
        let mut future = tokio_test::task::spawn(wire.open(post(initialize(LATEST))));
        until("the store is asked", || {
            drop(future.poll());
            wire.store.hanging(Operation::Create) == 1
        })
        .await;
        drop(future);
        wire.store.release();
        unharmed(&wire, setup.minting, &[]).await;

        let id = wire.begin_ready(LATEST).await;
        wire.store.hang(Operation::Delete);
        let mut future = tokio_test::task::spawn(wire.open(delete().id(&id)));
        until("the store is asked", || {
            drop(future.poll());
            wire.store.hanging(Operation::Delete) == 1
        })
        .await;
        assert!(wire.serves(&id).await, "not ended yet: {setup:?}");
        drop(future);
        wire.store.release();
        until("the session ends all the same", || {
            wire.layer.live_sessions() == 0
        })
        .await;
        wire.send(post(PING).id(&id))
            .await
            .assert_not_found(Some("7"));
        unharmed(&wire, setup.minting, &[]).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_an_answer_frees_its_session() {
    for setup in inner_setups() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        wire.inner
            .on("tools/list", |_| Answer::events([json!({})]).left_open());
        let response = wire.open(post(wire::LIST).id(&id)).await;
        let stream = wire.inner.streams().remove(0);
        drop(response);
        assert!(!stream.is_open(), "{setup:?}");
        wire.clock.advance(Duration::from_secs(25 * 60 * 60));
        wire.layer.clean_up().await.unwrap();
        unharmed(&wire, setup.minting, &[]).await;
    }
}

#[tokio::test]
async fn an_inner_service_that_panics_at_initialize_leaves_nothing() {
    for setup in setups() {
        let wire = setup.wire();
        wire.inner.answer_next(Answer::panic());
        let got = wire.send(post(initialize(LATEST))).await;
        got.assert_refused(503, -32603, Some("0"));
        assert!(got.headers.contains_key("retry-after"));
        unharmed(&wire, setup.minting, &[]).await;
    }
}

#[tokio::test]
async fn an_inner_service_that_panics_elsewhere_panics_through_us_and_frees_the_session() {
    for setup in setups() {
        let wire = setup.wire();
        for half_open in [true, false] {
            let id = begin(&wire, half_open).await;
            for request in [
                post(PING).id(&id),
                get().id(&id),
                post(modern("x")).version(MODERN),
                post(modern("x")),
            ] {
                wire.inner.answer_next(Answer::panic());
                let sender = wire.clone();
                let task = tokio::spawn(async move { sender.send(request).await });
                assert!(task.await.unwrap_err().is_panic(), "{setup:?}");
            }
            assert!(wire.serves(&id).await);
            wire.clock.advance(Duration::from_secs(25 * 60 * 60));
            wire.layer.clean_up().await.unwrap();
            assert_eq!(wire.layer.live_sessions(), 0, "nothing holds it busy");
        }
        unharmed(&wire, setup.minting, &[]).await;
    }
}

#[tokio::test]
async fn an_inner_service_that_panics_while_its_session_is_ended_harms_nothing() {
    let wire = Wire::new(ScriptedService::new().minting_ids(), |layer| {
        capture_logs();
        layer
    });
    let id = wire.begin_ready(LATEST).await;
    wire.inner.answer_next(Answer::panic());
    assert_eq!(wire.send(delete().id(&id)).await.status, 204);
    until("the closer has come", || {
        wire.last().method == Method::DELETE
    })
    .await;
    wire.inner.forget_sessions();
    unharmed(&wire, true, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn an_initialize_that_is_answered_too_late_is_502() {
    for setup in setups() {
        let wire = setup.wire();
        wire.inner.hold();
        let begun = tokio::time::Instant::now();
        let got = wire.send(post(initialize(LATEST))).await;
        got.assert_refused(502, -32603, Some("0"));
        assert_eq!(begun.elapsed().as_secs(), 60);
        wire.inner.release();
        unharmed(&wire, setup.minting, &[]).await;

        // A head in time, with an id even, and a stream without a result.
        for text in ["", "id: 0\ndata:\n\n", ": keep-alive\n\n"] {
            let late = Answer::bytes("text/event-stream", text)
                .left_open()
                .with_session_id("orphan");
            wire.inner.answer_next(late);
            let got = wire.send(post(initialize(LATEST))).await;
            got.assert_refused(502, -32603, Some("0"));
            wire.inner.wait_for_streams(0).await;
            unharmed(&wire, setup.minting, &[]).await;
        }
        let late = Answer::bytes("application/json", "{").left_open();
        wire.inner.answer_next(late);
        let got = wire.send(post(initialize(LATEST))).await;
        got.assert_refused(502, -32603, Some("0"));
        unharmed(&wire, setup.minting, &[]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn inside_a_session_the_inner_service_takes_the_time_it_needs() {
    let wire = plain();
    let id = wire.begin_ready(LATEST).await;
    wire.inner.hold();
    let sender = wire.clone();
    let sent = id.clone();
    let task = tokio::spawn(async move { sender.send(post(PING).id(&sent)).await.status });
    wire.inner.wait_for_held(1).await;
    tokio::time::advance(Duration::from_secs(3 * 60 * 60)).await;
    assert!(!task.is_finished());
    wire.inner.release();
    assert_eq!(task.await.unwrap(), 200);
    unharmed(&wire, false, &[&id]).await;
}

#[tokio::test]
async fn garbage_in_answer_to_an_initialize_passes_and_begins_no_session() {
    let garbage = || {
        [
            Answer::bytes("application/json", &b"\xff\0s3cret-content"[..]),
            Answer::bytes("application/json", "{\"id\":0,\"result\":"),
            Answer::bytes("text/event-stream", &b"\xff\xfe\n\ndata: \xff\n\n"[..]),
            Answer::bytes("text/event-stream", "data: {\"id\":0,\"result\":\n\n"),
            Answer::bytes("text/html", "<html>s3cret-content</html>"),
            Answer::bytes("application/octet-stream", vec![0; 100_000]),
            Answer::status(StatusCode::NO_CONTENT),
            Answer::status(StatusCode::INTERNAL_SERVER_ERROR),
            Answer::error(-32603, SECRET),
            Answer::error(-32603, SECRET).with_status(StatusCode::INTERNAL_SERVER_ERROR),
        ]
    };
    for setup in setups() {
        let wire = setup.wire();
        for (answer, same) in garbage().into_iter().zip(garbage()) {
            let bare = ScriptedService::new();
            bare.answer_next(same);
            let request = post(initialize(LATEST)).into_request();
            let (parts, body) = bare.oneshot(request).await.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            wire.inner.answer_next(answer.with_session_id("orphan"));
            let got = wire.send(post(initialize(LATEST))).await;
            assert_eq!((got.status, &got.headers), (parts.status, &parts.headers));
            assert_eq!(got.body, body, "{setup:?}");
            unharmed(&wire, setup.minting, &[]).await;
        }
    }
}

#[tokio::test]
async fn an_event_stream_that_ends_or_breaks_off_without_a_result_begins_no_session() {
    for setup in setups() {
        let wire = setup.wire();
        for (breaks, status) in [(false, 200), (true, 502)] {
            let answer = Answer::events([json!({"jsonrpc":"2.0","method":SECRET})])
                .left_open()
                .with_session_id("orphan");
            wire.inner.answer_next(answer);
            let mut future = tokio_test::task::spawn(wire.send(post(initialize(LATEST))));
            assert!(future.poll().is_pending());
            wire.inner.wait_for_streams(1).await;
            let stream = wire.inner.streams().remove(0);
            if breaks {
                stream.fail();
            } else {
                stream.end();
            }
            let got = future.await;
            assert_eq!((got.status.as_u16(), got.id()), (status, None), "{setup:?}");
            unharmed(&wire, setup.minting, &[]).await;
        }
    }
}

#[tokio::test]
async fn a_session_survives_a_stream_that_breaks_off_after_its_result() {
    for setup in setups().filter(|setup| !setup.minting) {
        let wire = setup.wire();
        let result = json!({"jsonrpc":"2.0","id":0,"result":{"protocolVersion":LATEST}});
        wire.inner.answer_next(Answer::events([result]).left_open());
        let response = wire.open(post(initialize(LATEST))).await;
        let id = response.headers()[wire::ID].to_str().unwrap().to_owned();
        wire.inner.streams()[0].fail();
        assert!(response.into_body().collect().await.is_err());
        assert!(wire.serves(&id).await, "{setup:?}");
        unharmed(&wire, false, &[&id]).await;
    }
}

#[tokio::test]
async fn an_answer_to_initialize_over_1_mib_is_502() {
    let long = "x".repeat(2 << 20);
    let json = format!(
        r#"{{"jsonrpc":"2.0","id":0,"result":{{"protocolVersion":"{LATEST}","x":"{long}"}}}}"#
    );
    let events = format!("data: {long}\n\ndata: {json}\n\n");
    for setup in setups() {
        let wire = setup.wire();
        for answer in [
            Answer::bytes("application/json", json.clone()),
            Answer::bytes("text/event-stream", events.clone()),
            Answer::bytes("text/event-stream", format!(": {long}")),
        ] {
            wire.inner.answer_next(answer.with_session_id("orphan"));
            let got = wire.send(post(initialize(LATEST))).await;
            got.assert_refused(502, -32603, Some("0"));
            unharmed(&wire, setup.minting, &[]).await;
        }
    }
}

#[tokio::test]
async fn an_endless_answer_to_initialize_is_502_and_its_stream_is_closed() {
    for setup in setups() {
        let wire = setup.wire();
        for (kind, piece) in [
            ("text/event-stream", ": keep-alive\n\n"),
            (
                "text/event-stream",
                "data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n",
            ),
            ("application/json", "{\"x\":1},"),
        ] {
            let answer = Answer::bytes(kind, "")
                .left_open()
                .with_session_id("orphan");
            wire.inner.answer_next(answer);
            let mut future = tokio_test::task::spawn(wire.send(post(initialize(LATEST))));
            assert!(future.poll().is_pending());
            wire.inner.wait_for_streams(1).await;
            let stream = wire.inner.streams().remove(0);
            let piece = Bytes::from(piece.repeat(64 * 1024 / piece.len()));
            for _ in 0..17 {
                stream.send(piece.clone());
            }
            let got = future.await;
            got.assert_refused(502, -32603, Some("0"));
            stream.closed().await;
            unharmed(&wire, setup.minting, &[]).await;
        }
    }
}

#[tokio::test]
async fn an_error_of_the_inner_service_goes_to_whoever_called_us() {
    capture_logs();
    let inner = service_fn(|request: Request<RequestBody<Body>>| async move {
        if request.headers().contains_key("x-works") {
            let result =
                format!(r#"{{"jsonrpc":"2.0","id":0,"result":{{"protocolVersion":"{LATEST}"}}}}"#);
            return Ok(Response::new(Full::new(Bytes::from(result))));
        }
        Err(io::Error::other(SECRET))
    });
    let layer = SessionLayer::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let service = layer.layer(inner);
    let send = async |call: Call| service.clone().oneshot(call.into_request()).await;

    let error = send(post(initialize(LATEST))).await.unwrap_err();
    assert_eq!(error.to_string(), SECRET);
    assert_eq!(layer.live_sessions(), 0);

    let begun = send(post(initialize(LATEST)).header("x-works", "1")).await;
    let id = begun.unwrap().headers()[wire::ID].clone();
    for request in [
        post(PING).id(id.as_bytes()),
        get().id(id.as_bytes()),
        post(modern("x")),
        post(modern("x")).version(MODERN),
        call(Method::PUT, full("x")),
    ] {
        let error = send(request).await.unwrap_err();
        assert_eq!(error.to_string(), SECRET);
    }
    let works = post(PING).id(id.as_bytes()).header("x-works", "1");
    assert_eq!(send(works).await.unwrap().status(), 200);
    let ended = send(delete().id(id.as_bytes())).await.unwrap();
    assert_eq!((ended.status().as_u16(), layer.live_sessions()), (204, 0));
    let log = String::from_utf8_lossy(&log()).into_owned();
    assert!(!log.contains(SECRET) && !log.contains(id.to_str().unwrap()));
}
