//! Wire rules 15 to 30, without 26: requests inside a session, without one, and the end of one.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::json;
use tower_mcp_session::MemoryStore;
use tower_mcp_session::testing::{Answer, FaultyStore, ScriptedService};

#[path = "support/wire.rs"]
mod wire;

use wire::{
    INITIALIZED, LATEST, LEGACY, LIST, PING, RESPONSE, Setup, UNKNOWN, Wire, delete, each_verb,
    get, post, session_of, until_open,
};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn rule_15_the_initialized_notification_is_answered_202_without_a_body() {
    for setup in Setup::all() {
        for version in LEGACY {
            let wire = setup.wire();
            let id = wire.begin_as(version).await;
            let got = wire.send(post(INITIALIZED).id(&id).version(version)).await;
            assert_eq!(got.status, 202, "{setup:?}");
            assert!(got.body.is_empty());
            assert_eq!(got.id(), None);
            assert_eq!(wire.last().body, INITIALIZED);
        }
    }
}

#[tokio::test]
async fn rule_16_a_ping_before_initialized_reaches_the_inner_service() {
    for setup in Setup::all() {
        let wire = setup.wire();
        wire.inner.on("ping", |_| Answer::result(json!({})));
        let id = wire.begin().await;
        for _ in 0..2 {
            let got = wire.send(post(PING).id(&id).version(LATEST)).await;
            assert_eq!(got.status, 200, "{setup:?}");
            assert_eq!(got.json()["result"], json!({}));
            assert_eq!(wire.last().body, PING);
        }
        assert_eq!(wire.send(post(INITIALIZED).id(&id)).await.status, 202);
    }
}

#[tokio::test]
async fn rule_17_a_request_without_an_id_is_400_and_its_id_is_echoed() {
    for setup in Setup::all() {
        let wire = setup.wire();
        for version in [None].into_iter().chain(LEGACY.map(Some)) {
            for empty in [false, true] {
                let mut request = post(PING);
                if let Some(version) = version {
                    request = request.version(version);
                }
                if empty {
                    request = request.id("");
                }
                let got = wire.send(request).await;
                got.assert_refused(400, -32600, Some("7"));
            }
        }
        assert_eq!(wire.inner.calls(), 0, "{setup:?}");
    }
}

#[tokio::test]
async fn rule_18_a_notification_or_a_response_without_an_id_is_400_without_a_json_rpc_id() {
    for setup in Setup::all() {
        let wire = setup.wire();
        for message in [INITIALIZED, RESPONSE] {
            for request in [post(message), post(message).version(LATEST)] {
                wire.send(request).await.assert_refused(400, -32600, None);
            }
        }
        assert_eq!(wire.inner.calls(), 0, "{setup:?}");
    }
}

#[tokio::test]
async fn rule_19_a_get_without_an_id_is_400_and_405_where_streams_are_off() {
    for setup in Setup::all() {
        let wire = setup.wire();
        for request in [get(), get().version(LATEST), get().id("")] {
            wire.send(request).await.assert_refused(400, -32600, None);
        }
        assert_eq!(wire.inner.calls(), 0, "{setup:?}");

        let wire = setup.wire_with(|layer| layer.with_streams(false));
        for request in [get(), get().version(LATEST), get().id("")] {
            let got = wire.send(request).await;
            got.assert_refused(405, -32600, None);
            assert_eq!(got.headers["allow"], "POST, DELETE");
        }
        assert_eq!(wire.inner.calls(), 0, "{setup:?}");
    }
}

#[tokio::test]
async fn rule_20_a_delete_without_an_id_is_400_if_the_path_is_ours() {
    for setup in Setup::all() {
        let wire = setup.wire();
        for request in [delete(), delete().version(LATEST), delete().id("")] {
            let got = wire.send(request).await;
            if setup.path {
                got.assert_refused(400, -32600, None);
            } else {
                // Without a path it may be the DELETE of anything.
                assert_eq!(wire.last().method, "DELETE");
            }
        }
        assert_eq!(wire.inner.calls(), if setup.path { 0 } else { 3 });
    }
}

#[tokio::test]
async fn rule_21_an_id_that_was_never_issued_is_404_on_each_verb() {
    for setup in Setup::all() {
        let wire = setup.wire();
        for id in [UNKNOWN, "a", "ABCDEF00000000000000000000000000", "inner-1"] {
            for request in each_verb() {
                let echoed = (request.method() == "POST").then_some("7");
                wire.send(request.id(id)).await.assert_not_found(echoed);
            }
            for message in [INITIALIZED, RESPONSE] {
                wire.send(post(message).id(id)).await.assert_not_found(None);
            }
            wire.send(post(format!("[{PING}]")).id(id))
                .await
                .assert_not_found(None);
        }
        assert_eq!(wire.inner.calls(), 0, "{setup:?}");
    }
}

#[tokio::test]
async fn rule_22_a_terminated_id_is_404_on_each_verb_for_as_long_as_it_could_be_presented() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        assert_eq!(wire.send(delete().id(&id)).await.status, 204);
        let calls = wire.inner.calls() + usize::from(setup.minting);
        until_open(&wire.inner, 0).await;
        for _ in 0..10 {
            for request in each_verb() {
                let echoed = (request.method() == "POST").then_some("7");
                wire.send(request.id(&id)).await.assert_not_found(echoed);
            }
            wire.clock.advance(24 * 60 * MINUTE);
            wire.layer.clean_up().await.unwrap();
        }
        assert!(wire.inner.calls() <= calls, "{setup:?}");
    }
}

#[tokio::test]
async fn rule_23_an_idle_or_old_session_is_404_on_each_verb() {
    for setup in Setup::all() {
        for (n, (idle, half_open, life)) in [(10, 90, 90), (90, 10, 90), (90, 90, 10)]
            .into_iter()
            .enumerate()
        {
            for verb in 0..3 {
                let wire = setup.wire_with(|layer| {
                    layer
                        .with_idle_timeout(idle * MINUTE)
                        .with_half_open_timeout(half_open * MINUTE)
                        .with_max_lifetime(life * MINUTE)
                });
                let id = match n {
                    1 => wire.begin().await,
                    _ => wire.begin_ready(LATEST).await,
                };
                wire.clock.advance(10 * MINUTE - Duration::from_secs(2));
                if n == 2 {
                    assert!(wire.serves(&id).await, "use does not make it last");
                }
                wire.clock.advance(Duration::from_secs(2));
                let calls = wire.inner.calls();
                let request = each_verb().into_iter().nth(verb).unwrap();
                let echoed = (request.method() == "POST").then_some("7");
                wire.send(request.id(&id)).await.assert_not_found(echoed);
                until_open(&wire.inner, 0).await;
                assert_eq!(
                    wire.inner.calls() - calls,
                    usize::from(setup.minting),
                    "nothing but the end of its own session has reached the inner service"
                );
                assert_eq!(wire.layer.live_sessions(), 0);
            }
        }
    }
}

#[tokio::test]
async fn rule_23_a_session_in_use_does_not_expire() {
    for setup in Setup::all() {
        let wire = setup.wire_with(|layer| {
            layer
                .with_idle_timeout(10 * MINUTE)
                .with_half_open_timeout(MINUTE)
        });
        let id = wire.begin_ready(LATEST).await;
        for _ in 0..20 {
            wire.clock.advance(9 * MINUTE);
            assert!(wire.serves(&id).await, "{setup:?}");
        }
    }
}

#[tokio::test]
async fn rule_24_delete_ends_the_session_on_each_node_and_its_streams() {
    for setup in Setup::all() {
        let store = FaultyStore::new(Arc::new(MemoryStore::new()));
        let wire = setup.wire_over(store.clone(), |layer| layer);
        let other = Setup {
            minting: false,
            ..setup
        }
        .wire_over(store, |layer| layer);
        let id = wire.begin_ready(LATEST).await;
        assert!(other.serves(&id).await, "{setup:?}");
        let stream = wire.open(get().id(&id)).await;
        wire.inner.wait_for_streams(1).await;

        let got = wire.send(delete().id(&id).version(LATEST)).await;
        assert_eq!((got.status.as_u16(), &got.body[..]), (204, &b""[..]));
        assert!(
            stream
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
                .is_empty()
        );
        wire.inner.wait_for_streams(0).await;
        for node in [&wire, &other] {
            let got = node.send(post(LIST).id(&id)).await;
            got.assert_not_found(Some("8"));
        }
        until_open(&wire.inner, 0).await;
    }
}

#[tokio::test]
async fn rule_25_delete_is_405_where_clients_may_not_end_sessions() {
    for setup in Setup::all() {
        for (streams, allow) in [(true, "GET, POST"), (false, "POST")] {
            let wire = setup.wire_with(|layer| layer.with_delete(false).with_streams(streams));
            let id = wire.begin_ready(LATEST).await;
            let calls = wire.inner.calls();
            for request in [delete().id(&id), delete().id(UNKNOWN).version(LATEST)] {
                let got = wire.send(request).await;
                got.assert_refused(405, -32600, None);
                assert_eq!(got.headers["allow"], allow);
            }
            assert_eq!(wire.inner.calls(), calls);
            assert!(wire.serves(&id).await, "{setup:?}");
        }
    }
}

#[tokio::test]
async fn rule_27_the_second_delete_is_404() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        assert_eq!(wire.send(delete().id(&id)).await.status, 204);
        wire.send(delete().id(&id)).await.assert_not_found(None);

        let id = wire.begin_ready(LATEST).await;
        let (one, other) = tokio::join!(wire.send(delete().id(&id)), wire.send(delete().id(&id)));
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 404], "{setup:?}");
    }
}

#[tokio::test]
async fn rule_28_two_requests_of_one_session_run_side_by_side() {
    for (setup, ready) in Setup::all().flat_map(|setup| [(setup, false), (setup, true)]) {
        let wire = setup.wire();
        let id = match ready {
            true => wire.begin_ready(LATEST).await,
            false => wire.begin().await,
        };
        wire.inner.hold();
        let mut tasks = Vec::new();
        for _ in 0..3 {
            let (wire, id) = (wire.clone(), id.clone());
            tasks.push(tokio::spawn(async move {
                wire.send(post(PING).id(&id)).await.status
            }));
        }
        let held = tokio::time::timeout(Duration::from_secs(20), wire.inner.wait_for_held(3));
        assert!(held.await.is_ok(), "one waits for the other: {setup:?}");
        wire.inner.release();
        for task in tasks {
            assert_eq!(task.await.unwrap(), 200);
        }
    }
}

#[tokio::test]
async fn rule_29_a_response_of_the_client_reaches_the_inner_service_while_a_stream_is_open() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        let ask = json!({"jsonrpc":"2.0","id":"s-1","method":"roots/list"});
        wire.inner.answer_next(Answer::events([ask]).left_open());
        let stream = wire.open(post(LIST).id(&id).version(LATEST)).await;
        assert_eq!(stream.status(), 200);
        for message in [
            RESPONSE,
            r#"{"jsonrpc":"2.0","id":"s-1","error":{"code":-1,"message":"no"}}"#,
        ] {
            let got = wire.send(post(message).id(&id).version(LATEST)).await;
            assert_eq!((got.status.as_u16(), &got.body[..]), (202, &b""[..]));
            assert_eq!(wire.last().body, message);
        }
        assert!(wire.inner.streams()[0].is_open(), "{setup:?}");
        drop(stream);
    }
}

#[tokio::test]
async fn rule_30_a_notification_is_answered_202_without_a_body() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        let message =
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}"#;
        let got = wire.send(post(message).id(&id).version(LATEST)).await;
        assert_eq!((got.status.as_u16(), &got.body[..]), (202, &b""[..]));
        assert!(!got.headers.contains_key("content-type"));
        assert_eq!(wire.last().body, message);

        let refused = Answer::status(StatusCode::BAD_REQUEST);
        wire.inner.answer_next(refused);
        let got = wire.send(post(message).id(&id)).await;
        assert_eq!(got.status, 400, "a refusal of the inner service passes");
    }
}

#[tokio::test]
async fn inside_a_session_the_inner_services_answer_passes_unchanged() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        for status in [200, 201, 400, 401, 403, 405, 409, 418, 429, 500, 503] {
            let status = StatusCode::from_u16(status).unwrap();
            let answer = Answer::bytes("application/x-odd", "odd \u{fc} body")
                .with_status(status)
                .with_header("cache-control", "public")
                .with_header("x-inner", "a")
                .with_header("x-inner", "b")
                .with_trailer("x-trailer", "c");
            wire.inner.answer_next(answer);
            let response = wire.open(post(LIST).id(&id)).await;
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()["cache-control"], "public");
            assert_eq!(response.headers().get_all("x-inner").iter().count(), 2);
            let body = response.into_body().collect().await.unwrap();
            assert_eq!(body.trailers().unwrap()["x-trailer"], "c");
            assert_eq!(body.to_bytes(), "odd \u{fc} body");
        }
        let seen = wire.last();
        assert!(session_of(&seen).is_some_and(|session| session.id().is_some()));
        assert!(wire.serves(&id).await, "{setup:?}");
    }
}

#[tokio::test]
async fn a_server_that_forgot_its_own_session_begins_another_for_ours() {
    let wire = Wire::new(ScriptedService::new().minting_ids(), |layer| layer);
    let id = wire.begin_ready(LATEST).await;
    wire.inner.forget_sessions();
    assert!(wire.serves(&id).await);
    assert_eq!(wire.inner.open_sessions().len(), 1);
    assert_eq!((wire.created(), wire.layer.live_sessions()), (1, 1));
}
