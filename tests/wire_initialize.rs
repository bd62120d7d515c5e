//! Wire rules 1 to 14: which initialize begins a session, and which does not.

use std::collections::HashSet;
use std::time::Duration;

use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::json;
use tower_mcp_session::testing::{Answer, ScriptedService};
use tower_mcp_session::{Clock, ProtocolVersion, SessionId, SessionStore};

#[path = "support/wire.rs"]
mod wire;

use wire::{
    ID, INITIALIZED, LATEST, LEGACY, MCP_METHOD, MODERN, PING, Setup, UNKNOWN, VERSION, Wire,
    delete, initialize, post, session_of, until_open,
};

#[tokio::test]
async fn rule_1_a_json_result_begins_a_session_and_passes_unchanged() {
    for (setup, version) in Setup::all().zip(LEGACY.iter().cycle()) {
        let wire = setup.wire();
        let body = format!(
            "{{ \"id\" : 0,\n \"jsonrpc\":\"2.0\",\"result\":{{\"x\":1.50,\"protocolVersion\":\"{version}\"}} }}\n"
        );
        let answer = Answer::bytes("application/json; charset=utf-8", body.clone())
            .with_status(StatusCode::CREATED)
            .with_header("x-inner", "kept");
        wire.inner.answer_next(answer);
        let got = wire.send(post(initialize(version))).await;
        assert_eq!(got.status, 201, "{setup:?}");
        assert_eq!(got.body, body);
        assert_eq!(got.headers["x-inner"], "kept");
        assert_eq!(
            got.headers["content-type"],
            "application/json; charset=utf-8"
        );

        let id = SessionId::parse(got.id().unwrap().as_bytes()).unwrap();
        let stored = wire.store.load("/mcp", &id, wire.clock.now()).await;
        let stored = stored.unwrap().expect("the record is stored");
        assert_eq!(stored.record.handshake().version().to_string(), **version);
        assert_eq!(wire.layer.live_sessions(), 1);
    }
}

#[tokio::test]
async fn rule_1_the_inner_service_reads_the_initialize_as_it_was_sent() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let body = format!("\n {} ", initialize(LATEST));
        wire.begin_with(post(body.clone()).header("accept-encoding", "gzip"))
            .await;
        let seen = wire.last();
        assert_eq!(seen.body, body);
        assert!(
            !seen.headers.contains_key("accept-encoding"),
            "a compressed answer would hide the result"
        );
        assert!(session_of(&seen).is_some_and(|session| session.id().is_some()));
    }
}

#[tokio::test]
async fn rule_2_a_result_in_an_event_stream_begins_a_session_and_all_its_bytes_pass() {
    let before = concat!(
        ": hello\n\nid: 0\nretry: 3000\ndata:\n\n",
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"ping\"}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-11-25\"}}\n\n",
    );
    let result = "id: 1\r\ndata: {\"jsonrpc\":\"2.0\",\r\ndata: \"id\":0,\"result\":{\"protocolVersion\":\"2025-06-18\"}}\r\n\r\n";
    for setup in Setup::all() {
        let wire = setup.wire();
        let answer = Answer::bytes("text/event-stream", before).left_open();
        wire.inner.answer_next(answer);
        let mut future = tokio_test::task::spawn(wire.open(post(initialize(LATEST))));
        assert!(future.poll().is_pending());
        wire.inner.wait_for_streams(1).await;
        let stream = wire.inner.streams().remove(0);
        let (first, second) = result.split_at(30);
        stream.send(first);
        for _ in 0..20 {
            tokio::task::yield_now().await;
            assert!(future.poll().is_pending(), "there is no result yet");
        }

        stream.send(second);
        let response = future.await;
        assert_eq!(response.headers().get_all(ID).iter().count(), 1);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        stream.send(": after\n\n");
        stream.end();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, format!("{before}{result}: after\n\n"), "{setup:?}");
    }
}

#[tokio::test]
async fn rule_2_the_head_does_not_wait_for_the_end_of_the_stream() {
    let wire = Wire::plain();
    let result = "data: {\"id\":0,\"result\":{\"protocolVersion\":\"2025-11-25\"}}\n\n";
    let answer = Answer::bytes("text/event-stream", result).left_open();
    wire.inner.answer_next(answer);
    let response = wire.open(post(initialize(LATEST))).await;
    assert!(response.headers().contains_key(ID));
    assert!(wire.inner.streams()[0].is_open());
}

#[tokio::test]
async fn rule_3_a_minted_id_is_visible_ascii_of_128_bits() {
    for setup in Setup::all() {
        let id = setup.wire().begin().await;
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
        assert_eq!(id.len(), 32);
        assert!(SessionId::parse(id.as_bytes()).unwrap().is_random());
    }
}

#[tokio::test]
async fn rule_4_ten_thousand_ids_are_distinct_and_not_in_order() {
    const COUNT: usize = 10_000;
    let wire = Wire::plain();
    let mut ids = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        let id = wire.begin().await;
        ids.push(u128::from_str_radix(&id, 16).unwrap());
    }
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), COUNT);
    let steps: HashSet<_> = ids
        .windows(2)
        .map(|pair| pair[1].wrapping_sub(pair[0]))
        .collect();
    assert_eq!(steps.len(), COUNT - 1, "the same step twice");
    let rising = ids.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!((4_500..5_500).contains(&rising), "{rising} of {COUNT} rise");
    for bit in 0..128 {
        let set = ids.iter().filter(|id| *id >> bit & 1 == 1).count();
        assert!((4_500..5_500).contains(&set), "bit {bit}: {set}");
    }
}

/// Answers to an initialize with status 200 that begin no session.
fn failures() -> Vec<Answer> {
    let json = |text: &'static str| Answer::bytes("application/json", text);
    let events = |text: &'static str| Answer::bytes("text/event-stream", text);
    vec![
        Answer::error(-32602, "Unsupported protocol version"),
        Answer::events([json!({"jsonrpc":"2.0","id":0,"error":{"code":-32602,"message":"no"}})]),
        json(
            r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"},"error":{"code":1,"message":"no"}}"#,
        ),
        json(r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25"}}"#),
        json(r#"{"jsonrpc":"2.0","id":"0","result":{"protocolVersion":"2025-11-25"}}"#),
        json(r#"{"jsonrpc":"2.0","result":{"protocolVersion":"2025-11-25"}}"#),
        json(r#"{"jsonrpc":"2.0","id":0,"result":{}}"#),
        json(r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"latest"}}"#),
        json(r#"{"jsonrpc":"2.0","id":0,"result":null}"#),
        json(r#"[{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}]"#),
        json(r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25""#),
        json("garbage"),
        json(""),
        json("null"),
        Answer::status(StatusCode::ACCEPTED),
        events(""),
        events("id: 0\ndata:\n\n"),
        events("data: {\"id\":1,\"result\":{\"protocolVersion\":\"2025-11-25\"}}\n\n"),
        // The stream ends in the middle of the event.
        events("data: {\"id\":0,\"result\":{\"protocolVersion\":\"2025-11-25\"}}\n"),
    ]
}

#[tokio::test]
async fn rule_5_an_answer_without_a_result_begins_no_session() {
    for setup in Setup::all() {
        let wire = setup.wire();
        for (n, answer) in failures().into_iter().enumerate() {
            let bare = Wire::plain();
            bare.inner.answer_next(answer.clone());
            let request = post(initialize(LATEST)).into_request();
            let plain = tower::ServiceExt::oneshot(bare.inner.clone(), request).await;
            let (parts, body) = plain.unwrap().into_parts();

            wire.inner.answer_next(answer.with_session_id("orphan"));
            let got = wire.send(post(initialize(LATEST))).await;
            assert_eq!(got.status, parts.status, "{setup:?} {n}");
            assert_eq!(got.headers, parts.headers, "{setup:?} {n}");
            assert_eq!(got.text(), body.text().await);
            assert_eq!((wire.created(), wire.layer.live_sessions()), (0, 0), "{n}");
            until_open(&wire.inner, 0).await;
        }
    }
}

#[tokio::test]
async fn rule_6_an_http_error_passes_and_begins_no_session() {
    let body = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;
    for setup in Setup::all() {
        let wire = setup.wire();
        for status in [
            307, 400, 401, 403, 404, 405, 406, 415, 422, 429, 500, 502, 503, 504,
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let answer = Answer::bytes("application/json", body)
                .with_status(status)
                .with_header("www-authenticate", "Bearer")
                .with_session_id("orphan");
            wire.inner.answer_next(answer);
            let got = wire.send(post(initialize(LATEST))).await;
            assert_eq!((got.status, &got.body[..]), (status, body.as_bytes()));
            assert_eq!(got.headers["www-authenticate"], "Bearer");
            assert_eq!(got.id(), None);
            assert_eq!((wire.created(), wire.layer.live_sessions()), (0, 0));
            until_open(&wire.inner, 0).await;
        }
    }
}

#[tokio::test]
async fn rule_7_exactly_one_id_leaves_and_it_is_not_the_inner_services() {
    for setup in Setup::all() {
        let wire = setup.wire();
        wire.inner.on("initialize", |_| {
            Answer::result(json!({"protocolVersion": LATEST}))
                .with_session_id("inner-a")
                .with_trailer(ID, "inner-t")
        });
        let response = wire.open(post(initialize(LATEST))).await;
        let ids: Vec<_> = response.headers().get_all(ID).iter().cloned().collect();
        assert_eq!(ids.len(), 1);
        assert_ne!(ids[0], "inner-a");
        let body = response.into_body().collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        assert!(!trailers.contains_key(ID), "{setup:?}");

        wire.inner.on("ping", |_| Answer::result(json!({})));
        let got = wire.send(post(PING).id(ids[0].as_bytes())).await;
        assert_eq!(got.status, 200);
        assert_eq!(wire.last().session_id(), Some("inner-a"));
    }
}

#[tokio::test]
async fn rule_8_the_version_of_a_session_is_that_of_the_result() {
    for setup in Setup::all() {
        for asked in ["1999-01-01", "2030-01-01", "nonsense", LATEST] {
            let wire = setup.wire();
            wire.inner.on("initialize", |_| {
                Answer::result(json!({"protocolVersion": "2025-06-18"}))
            });
            wire.inner.on("ping", |_| Answer::result(json!({})));
            let id = wire.begin_as(asked).await;
            wire.send(post(PING).id(&id)).await;
            let seen = wire.last();
            let session = session_of(&seen).unwrap();
            assert_eq!(
                session.protocol_version(),
                Some(ProtocolVersion::V2025_06_18),
                "{setup:?} {asked}"
            );
            assert!(session.initialize_params().get().contains(asked));
        }
    }
}

#[tokio::test]
async fn rule_9_a_result_of_a_modern_version_begins_no_session() {
    for setup in Setup::all() {
        for version in [MODERN, "2027-01-01"] {
            for asked in [LATEST, version] {
                let wire = setup.wire();
                let result = Answer::result(json!({"protocolVersion": version}));
                wire.inner.answer_next(result.with_session_id("orphan"));
                let got = wire.send(post(initialize(asked))).await;
                assert_eq!((got.status.as_u16(), got.id()), (200, None), "{setup:?}");
                assert_eq!(got.json()["result"]["protocolVersion"], version);
                assert_eq!((wire.created(), wire.layer.live_sessions()), (0, 0));
                until_open(&wire.inner, 0).await;
            }
        }
    }
}

#[tokio::test]
async fn rule_10_an_initialize_may_have_a_version_header_and_name_its_method() {
    for setup in Setup::all() {
        for version in LEGACY {
            let wire = setup.wire();
            let request = post(initialize(version))
                .version(version)
                .header(MCP_METHOD, "initialize");
            let id = wire.begin_with(request).await;
            let seen = wire.last();
            assert_eq!(seen.headers[VERSION], version);
            assert_eq!(seen.headers[MCP_METHOD], "initialize");
            assert!(wire.serves(&id).await, "{setup:?}");
        }
    }
}

#[tokio::test]
async fn rule_11_initialize_with_an_unknown_id_begins_a_fresh_session() {
    for setup in Setup::all() {
        let wire = setup.wire_with(|layer| layer.with_half_open_timeout(Duration::from_secs(60)));
        let ended = wire.begin().await;
        assert_eq!(wire.send(delete().id(&ended)).await.status, 204);
        let expired = wire.begin().await;
        wire.clock.advance(Duration::from_secs(61));
        let long = "x".repeat(1025);
        for stale in [UNKNOWN, "f", &ended, &expired, "two words", "\u{fc}", &long] {
            for version in [None, Some(LATEST)] {
                let mut request = post(initialize(LATEST)).id(stale);
                if let Some(version) = version {
                    request = request.version(version);
                }
                let id = wire.begin_with(request).await;
                assert_ne!(id, stale, "{setup:?}");
                assert_eq!(wire.last_of("initialize").session_id(), None);
                assert!(wire.serves(&id).await);
                wire.send(post(PING).id(stale))
                    .await
                    .assert_not_found(Some("7"));
            }
        }
    }
}

#[tokio::test]
async fn rule_12_initialize_inside_a_session_begins_none_and_harms_none() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        let calls = wire.inner.calls();
        let got = wire.send(post(initialize(LATEST)).id(&id)).await;
        if setup.strict {
            got.assert_refused(400, -32600, Some("0"));
            assert_eq!(wire.inner.calls(), calls);
        } else {
            assert_eq!(got.status, 200, "the inner service's answer");
            assert!(got.text().contains("protocolVersion"));
            assert_eq!(got.id(), None);
        }

        let calls = wire.inner.calls();
        let named = post(initialize(LATEST))
            .id(&id)
            .header(MCP_METHOD, "initialize");
        let got = wire.send(named).await;
        got.assert_refused(400, -32600, setup.strict.then_some("0"));
        // An inner session that was begun inside ours is closed; none began with this request.
        until_open(&wire.inner, usize::from(setup.minting)).await;
        let closers = usize::from(setup.minting && !setup.strict);
        assert!(wire.inner.calls() - calls <= closers, "{setup:?}");
        assert_eq!((wire.created(), wire.layer.live_sessions()), (1, 1));
        assert!(wire.serves(&id).await, "{setup:?}");
    }
}

#[tokio::test]
async fn rule_13_a_batch_with_an_initialize_is_refused() {
    let one = initialize(LATEST);
    let batches = [
        format!("[{one}]"),
        format!("[{PING},{one}]"),
        format!(" [{one},{INITIALIZED}] "),
        r#"[{"jsonrpc":"2.0","method":"initialize"}]"#.to_owned(),
    ];
    for setup in Setup::all() {
        for batch in &batches {
            let wire = setup.wire();
            wire.send(post(batch.clone())).await.assert_no_batch();
            wire.send(post(batch.clone()).version("2025-03-26"))
                .await
                .assert_no_batch();
            wire.send(post(batch.clone()).id(UNKNOWN))
                .await
                .assert_not_found(None);
            assert_eq!((wire.inner.calls(), wire.layer.live_sessions()), (0, 0));

            let id = wire.begin_ready("2025-03-26").await;
            let got = wire.send(post(batch.clone()).id(&id)).await;
            if setup.strict {
                got.assert_no_batch();
            } else {
                assert_eq!(&wire.last().body[..], batch.as_bytes());
            }
            assert_eq!(got.id(), None);
            assert_eq!((wire.created(), wire.layer.live_sessions()), (1, 1));
        }
    }
}

#[tokio::test]
async fn rule_14_an_initialize_without_an_id_is_a_notification() {
    for setup in Setup::all() {
        let wire = setup.wire();
        for id in ["", r#""id":null,"#, r#""id":1.5,"#, r#""id":{},"#] {
            let body = format!(
                r#"{{"jsonrpc":"2.0",{id}"method":"initialize","params":{{"protocolVersion":"{LATEST}"}}}}"#
            );
            wire.send(post(body.clone()))
                .await
                .assert_refused(400, -32600, None);
            wire.send(post(body).id(UNKNOWN))
                .await
                .assert_not_found(None);
        }
        assert_eq!((wire.inner.calls(), wire.layer.live_sessions()), (0, 0));
    }
}

#[tokio::test]
async fn an_initialize_that_lacks_what_it_needs_is_the_inner_services_to_refuse() {
    let wire = Wire::new(ScriptedService::new(), |layer| layer);
    for params in [
        "",
        r#","params":{}"#,
        r#","params":[1]"#,
        r#","params":null"#,
    ] {
        wire.inner
            .answer_next(Answer::error(-32602, "Invalid params"));
        let body = format!(r#"{{"jsonrpc":"2.0","id":"a","method":"initialize"{params}}}"#);
        let got = wire.send(post(body.clone())).await;
        assert_eq!(got.json()["error"]["code"], -32602);
        assert_eq!(wire.last().body, body);
    }
    assert_eq!(wire.layer.live_sessions(), 0);
}
