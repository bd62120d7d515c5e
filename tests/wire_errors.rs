//! Wire rules 31, 32, 85, 87, 88: what our errors say, and how bodies are read.

use serde_json::json;
use tower_mcp_session::SessionStore;
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::{Answer, Operation};

#[path = "support/wire.rs"]
mod wire;

use wire::{
    Got, INITIALIZED, LAST_EVENT_ID, LATEST, MCP_METHOD, MODERN, PING, RESPONSE, Setup, UNKNOWN,
    Wire, delete, each_verb, get, initialize, modern, post,
};

/// Spellings of request ids, each as it must come back.
const IDS: [&str; 8] = [
    "0",
    "-17",
    "123456789012345678901234567890",
    r#""""#,
    r#""a b""#,
    r#""\u0061\"\\\/""#,
    "\"\u{fc}\u{1f980}\"",
    r#""null""#,
];

#[tokio::test]
async fn rule_31_an_error_to_a_body_that_was_read_echoes_its_id_byte_for_byte() {
    for setup in Setup::all() {
        let wire = setup.wire();
        for id in IDS {
            let request = format!(r#"{{"method":"ping","id":{id},"jsonrpc":"2.0"}}"#);
            let missing = wire.send(post(request.clone())).await;
            missing.assert_refused(400, -32600, Some(id));
            let unknown = wire.send(post(request).id(UNKNOWN)).await;
            unknown.assert_not_found(Some(id));
            for got in [missing, unknown] {
                let echoed = format!(r#""id":{id},"#);
                assert!(got.text().contains(&echoed), "{got:?}");
            }
        }
    }
}

#[tokio::test]
async fn rule_31_where_no_request_id_was_read_the_member_is_absent_and_never_null() {
    let bodies = [
        INITIALIZED,
        RESPONSE,
        r#"{"jsonrpc":"2.0","method":"ping","id":null}"#,
        r#"{"jsonrpc":"2.0","method":"ping","id":-0}"#,
        r#"{"jsonrpc":"2.0","method":"ping","id":1.5}"#,
        r#"{"jsonrpc":"2.0","method":"ping","id":true}"#,
        r#"{"jsonrpc":"2.0","method":"ping","id":[1]}"#,
        r#"{"jsonrpc":"2.0","id":4}"#,
        r#"[{"jsonrpc":"2.0","method":"ping","id":4}]"#,
    ];
    for setup in Setup::all() {
        let wire = setup.wire();
        for body in bodies {
            let unknown = wire.send(post(body).id(UNKNOWN)).await;
            unknown.assert_not_found(None);
            let missing = wire.send(post(body)).await;
            missing.assert_refused(400, -32600, None);
        }
        for request in [get(), delete()] {
            wire.send(request.id(UNKNOWN)).await.assert_not_found(None);
        }
        // Two ids are refused by the head: the body was not read.
        let got = wire.send(post(PING).id("a").id("b")).await;
        got.assert_refused(400, -32600, None);
        assert_eq!(wire.inner.calls(), 0, "{setup:?}");
    }
}

#[tokio::test]
async fn rule_32_the_404_of_an_old_session_has_one_constant_body() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let got = wire.send(delete().id(UNKNOWN)).await;
        assert_eq!(
            got.text(),
            r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"}}"#
        );
        let got = wire.send(post(PING).id(UNKNOWN)).await;
        assert_eq!(
            got.text(),
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32001,"message":"Session not found"}}"#
        );
        // On a modern request these codes mean something else: none is ever ours.
        let got = wire
            .send(post(modern("tools/list")).version(MODERN).id(UNKNOWN))
            .await;
        assert_ne!(got.status, 404, "{setup:?}");
    }
}

/// Every kind of answer that the layer writes itself.
async fn answers_of_ours(setup: Setup) -> Vec<Got> {
    let wire = setup.wire_with(|layer| layer.with_allowed_origins(["https://ok.example"]));
    let id = wire.begin_ready(LATEST).await;
    let mut calls = vec![
        post(PING),
        post(INITIALIZED),
        get(),
        post(PING).id("a").id("b"),
        post(PING).id(&id).version("1999-01-01"),
        get().id(&id).version("1999-01-01"),
        get().version(MODERN).id(&id),
        delete().version(MODERN).id(UNKNOWN),
        post(PING).id(&id).version(LATEST).version(LATEST),
        post(format!("[{}]", initialize(LATEST))),
        post(r#"{"jsonrpc":"2.0","method":"a","method":"b"}"#),
        post(initialize(LATEST))
            .header("content-encoding", "gzip")
            .id(UNKNOWN),
        post(initialize(LATEST))
            .id(&id)
            .header(MCP_METHOD, "initialize"),
        post(initialize(LATEST))
            .version(MODERN)
            .header(MCP_METHOD, "initialize"),
        post(PING).header("origin", "https://evil.example"),
    ];
    calls.extend(each_verb().map(|call| call.id(UNKNOWN)));
    if !setup.minting {
        calls.push(get().id(&id).header(LAST_EVENT_ID, "1"));
    }
    if setup.path {
        calls.extend([post("{"), post("x".repeat(70_000)), delete()]);
        calls.push(post(PING).header("content-encoding", "gzip"));
    }
    let mut answers = Vec::new();
    for call in calls {
        let before = wire.inner.calls();
        answers.push(wire.send(call).await);
        assert_eq!(wire.inner.calls(), before, "{:?}", answers.last());
    }
    wire.store
        .fail_next(Operation::Load, StoreErrorKind::Unavailable);
    answers.push(wire.send(post(PING).id(UNKNOWN)).await);
    let too_long = format!(r#"{{"id":0,"result":"{}"}}"#, "x".repeat(2 << 20));
    wire.inner
        .answer_next(Answer::bytes("application/json", too_long));
    answers.push(wire.send(post(initialize(LATEST))).await);
    answers.push(wire.send(delete().id(&id)).await);
    answers
}

#[tokio::test]
async fn rule_85_no_answer_of_ours_may_be_cached() {
    for setup in Setup::all() {
        for got in answers_of_ours(setup).await {
            assert_eq!(got.headers["cache-control"], "no-store", "{got:?}");
            assert_eq!(got.id(), None);
            assert!(got.headers.contains_key("retry-after") == (got.status == 503));
            assert!(got.headers.contains_key("allow") == (got.status == 405));
            if got.status != 204 {
                assert_eq!(
                    got.json().get("id"),
                    got.json().get("id").filter(|id| !id.is_null())
                );
            }
        }
        let wire = setup.wire();
        let answer = Answer::result(json!({"protocolVersion": LATEST}))
            .with_header("cache-control", "public, max-age=60")
            .with_header("cache-control", "immutable");
        wire.inner.answer_next(answer);
        let got = wire.send(post(initialize(LATEST))).await;
        assert!(got.id().is_some());
        let lines: Vec<_> = got.headers.get_all("cache-control").iter().collect();
        assert_eq!(lines, ["no-store"], "{setup:?}");
    }
}

#[tokio::test]
async fn rule_85_an_answer_that_is_not_ours_keeps_its_caching() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let cached = || Answer::result(json!({})).with_header("cache-control", "public");
        wire.inner.on("ping", move |_| cached());
        let id = wire.begin().await;
        for request in [
            post(PING).id(&id),
            post(PING).version(MODERN),
            post(modern("ping")),
        ] {
            let got = wire.send(request).await;
            assert_eq!(got.headers["cache-control"], "public", "{setup:?}");
        }
        let failed = Answer::error(-32602, "no").with_header("cache-control", "public");
        wire.inner.answer_next(failed);
        let got = wire.send(post(initialize(LATEST))).await;
        assert_eq!(got.headers["cache-control"], "public");
    }
}

/// Bodies with a member twice where the layer looks.
const DUPLICATES: [&str; 12] = [
    r#"{"jsonrpc":"2.0","id":0,"method":"ping","method":"initialize"}"#,
    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","method":"initialize"}"#,
    r#"{"jsonrpc":"2.0","id":0,"id":1,"method":"initialize"}"#,
    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{},"params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#,
    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"_meta":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#,
    r#"{"jsonrpc":"2.0","id":0,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/protocolVersion":"2025-11-25"}}}"#,
    r#"{"jsonrpc":"2.0","id":0,"method":"ping","m\u0065thod":"initialize"}"#,
    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","\u0069d":1}"#,
    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"a","io.modelcontextprotocol\/protocolVersion":"b"}}}"#,
    r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":0,"method":"initialize"}"#,
    r#"[{"jsonrpc":"2.0","id":0,"method":"ping","method":"initialize"}]"#,
    r#"[{"jsonrpc":"2.0","id":0,"method":"ping"},{"id":0,"id":0,"method":"initialize"}]"#,
];

#[tokio::test]
async fn rule_87_a_member_that_is_there_twice_is_refused_in_each_body_we_read() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let id = wire.begin_ready("2025-03-26").await;
        let calls = wire.inner.calls();
        for body in DUPLICATES {
            for request in [post(body), post(body).version(LATEST)] {
                let got = wire.send(request).await;
                got.assert_refused(400, -32600, None);
            }
            wire.send(post(body).id(UNKNOWN))
                .await
                .assert_not_found(None);
            assert_eq!(wire.inner.calls(), calls, "{setup:?} {body}");
        }
        assert_eq!(wire.layer.live_sessions(), 1);
        assert!(wire.serves(&id).await);
    }
}

#[tokio::test]
async fn rule_87_inside_a_session_only_strict_bodies_are_refused() {
    for setup in Setup::all() {
        for body in DUPLICATES {
            let wire = setup.wire();
            let id = wire.begin_ready("2025-03-26").await;
            let calls = wire.inner.calls();
            let got = wire.send(post(body).id(&id)).await;
            if setup.strict {
                got.assert_refused(400, -32600, None);
                assert_eq!(wire.inner.calls(), calls);
            } else {
                let seen = wire.inner.requests();
                assert!(seen.iter().any(|request| request.body == body));
            }
            assert_eq!((wire.created(), wire.layer.live_sessions()), (1, 1));
        }
    }
}

#[tokio::test]
async fn rule_87_a_member_that_nobody_looks_at_may_be_there_twice() {
    let wire = Wire::plain();
    let body = r#"{"jsonrpc":"2.0","x":1,"x":2,"id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","_meta":{"y":1,"y":2}}}"#;
    let id = wire.begin_with(post(body)).await;
    assert_eq!(wire.last().body, body);
    assert!(wire.serves(&id).await);
}

#[tokio::test]
async fn rule_88_an_initialize_in_an_escaped_spelling_is_recognised() {
    let spellings = [
        r#"{"jsonrpc":"2.0","id":0,"method":"init\u0069alize","params":{"protocolVersion":"2025-11-25"}}"#,
        r#"{"jsonrpc":"2.0","id":0,"m\u0065thod":"initialize","params":{"protocolVersion":"2025-11-25"}}"#,
        r#"{"jsonrpc":"2.0","\u0069\u0064":0,"method":"\u0069\u006e\u0069\u0074\u0069\u0061\u006c\u0069\u007A\u0065","params":{"protocolVersion":"2025-11-25"}}"#,
    ];
    for setup in Setup::all() {
        for body in spellings {
            let wire = setup.wire();
            wire.inner.on("initialize", |_| {
                Answer::result(json!({"protocolVersion": LATEST}))
            });
            let id = wire.begin_with(post(body)).await;
            assert_eq!(wire.last_of("initialize").body, body);
            let got = wire.send(post(body).id(&id)).await;
            if setup.strict {
                got.assert_refused(400, -32600, Some("0"));
            }
            assert_eq!(got.id(), None);
            let batch = wire.send(post(format!("[{body}]"))).await;
            batch.assert_refused(400, -32600, None);
            assert_eq!(wire.layer.live_sessions(), 1, "{setup:?}");
        }
    }
}

#[tokio::test]
async fn rule_88_a_version_key_in_an_escaped_spelling_is_recognised() {
    let keys = [
        r#"io.modelcontextprotocol\/protocolVersion"#,
        r#"io.modelcontextprotocol/protocol\u0056ersion"#,
        r#"\u0069o.modelcontextprotocol/protocolVersion"#,
    ];
    for setup in Setup::all() {
        let wire = setup.wire();
        wire.inner.on_request(|request| {
            let modern = request.body.windows(7).any(|part| part == b"\"modern");
            modern.then(|| Answer::result(json!("modern")))
        });
        let id = wire.begin_ready(LATEST).await;
        for key in keys {
            for (meta, params) in [("_meta", "params"), (r"_m\u0065ta", r"p\u0061rams")] {
                let body = format!(
                    r#"{{"jsonrpc":"2.0","id":"modern","method":"initialize","{params}":{{"{meta}":{{"{key}":"{MODERN}"}}}}}}"#
                );
                for (request, in_session) in [
                    (post(body.clone()), false),
                    (post(body.clone()).id(UNKNOWN), false),
                    (post(body.clone()).id(&id), !setup.strict),
                ] {
                    let got = wire.send(request).await;
                    assert_eq!(got.json()["result"], "modern", "{setup:?} {body}");
                    assert_eq!(got.id(), None);
                    let seen = wire.last();
                    assert_eq!(wire::session_of(&seen).is_some(), in_session);
                    assert_eq!(seen.body, body);
                }
                let batch = wire.send(post(format!("[{body}]"))).await;
                batch.assert_refused(400, -32600, None);
            }
        }
        assert_eq!(wire.layer.live_sessions(), 1);
        let stored = wire.store.inner();
        assert_eq!(stored.len(), 1, "{:?}", stored.capabilities());
    }
}
