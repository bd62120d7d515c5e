//! Wire rules 33 to 41: the version header inside a session, batches, unknown methods.

use serde_json::json;
use tower_mcp_session::ProtocolVersion;
use tower_mcp_session::testing::{Answer, ScriptedService};

#[path = "support/wire.rs"]
mod wire;

use wire::{
    INITIALIZED, LATEST, LEGACY, LIST, MODERN, PING, RESPONSE, Setup, Wire, call, each_verb, full,
    post, session_of,
};

#[tokio::test]
async fn rule_33_an_unsupported_version_inside_a_session_is_400_on_each_verb() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        let calls = wire.inner.calls();
        for version in [
            "1999-01-01",
            "2025-06-19",
            "2026-07-27",
            "draft",
            "",
            "2025-11-25, 2025-06-18",
            "2025-11-25x",
        ] {
            for request in each_verb() {
                let got = wire.send(request.id(&id).version(version)).await;
                got.assert_refused(400, -32600, None);
            }
        }
        for (one, other) in [(LATEST, LATEST), (LATEST, MODERN), (MODERN, MODERN)] {
            for request in each_verb() {
                let got = wire.send(request.id(&id).version(one).version(other)).await;
                got.assert_refused(400, -32600, None);
            }
        }
        assert_eq!(wire.inner.calls(), calls, "{setup:?}");
        assert!(wire.serves(&id).await, "the session is unharmed");
    }
}

#[tokio::test]
async fn rule_34_without_a_version_header_the_session_says_which_it_is() {
    for setup in Setup::all() {
        for version in LEGACY {
            let wire = setup.wire();
            let id = wire.begin_ready(version).await;
            for request in [post(PING).id(&id), wire::get().id(&id)] {
                let response = wire.open(request).await;
                assert_eq!(response.status(), 200, "{setup:?}");
                let seen = wire.last();
                let session = session_of(&seen).unwrap();
                assert_eq!(session.protocol_version().unwrap().to_string(), version);
                assert!(!seen.headers.contains_key(wire::VERSION));
            }
        }
    }
}

#[tokio::test]
async fn rule_35_a_session_that_negotiated_no_version_is_treated_as_2025_03_26() {
    let wire = Wire::new(ScriptedService::new(), |layer| {
        layer
            .with_audience("both")
            .with_grpc_initialize("/pkg.Mcp/Begin")
            .with_strict_bodies(true)
    });
    let begun = Answer::bytes("application/grpc", "").with_trailer("grpc-status", "0");
    wire.inner.answer_next(begun);
    let begin = call(http::Method::POST, full("\0\0\0\0\0"))
        .at("/pkg.Mcp/Begin")
        .header("content-type", "application/grpc");
    let id = wire.begin_with(begin).await;

    let batch = format!("[{PING},{INITIALIZED}]");
    let got = wire.send(post(batch.clone()).id(&id)).await;
    assert_eq!(got.status, 200, "2025-03-26 has batches: {got:?}");
    let seen = wire.last();
    assert_eq!(seen.body, batch);
    assert_eq!(
        session_of(&seen).unwrap().protocol_version(),
        Some(ProtocolVersion::V2025_03_26)
    );
}

#[tokio::test]
async fn rule_36_another_supported_version_is_accepted_inside_a_session() {
    for setup in Setup::all() {
        for agreed in LEGACY {
            let wire = setup.wire();
            let id = wire.begin_ready(agreed).await;
            for version in LEGACY {
                let got = wire.send(post(LIST).id(&id).version(version)).await;
                assert_eq!(got.status, 200, "{setup:?}");
                let seen = wire.last();
                assert_eq!(seen.headers[wire::VERSION], version);
                let session = session_of(&seen).unwrap();
                assert_eq!(session.protocol_version().unwrap().to_string(), agreed);
            }
        }
    }
}

#[tokio::test]
async fn rule_37_a_modern_header_decides_alone_even_with_a_live_id() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        wire.inner.on("tools/list", |_| {
            Answer::error(-32602, "no _meta").with_status(http::StatusCode::BAD_REQUEST)
        });
        let got = wire.send(post(LIST).id(&id).version(MODERN)).await;
        assert_eq!(got.status, 400, "{setup:?}");
        assert_eq!(got.json()["error"]["code"], -32602);
        assert_eq!(got.json()["id"], 8);
        assert!(!got.headers.contains_key("cache-control"));
        let seen = wire.last();
        assert!(seen.session_id().is_none() && session_of(&seen).is_none());
        assert!(wire.serves(&id).await, "the session is unharmed");
    }
}

#[tokio::test]
async fn rule_38_a_batch_reaches_the_inner_service_in_a_session_of_2025_03_26() {
    for setup in Setup::all() {
        for agreed in ["2025-03-26", "2024-11-05"] {
            let wire = setup.wire();
            let id = wire.begin_ready(agreed).await;
            for batch in [
                format!("[{PING},{INITIALIZED},{LIST}]"),
                format!("[ {INITIALIZED} ]"),
                "[]".to_owned(),
            ] {
                let got = wire.send(post(batch.clone()).id(&id)).await;
                assert!(got.status.is_success(), "{setup:?} {got:?}");
                assert_eq!(wire.last().body, batch);
            }
        }
    }
}

#[tokio::test]
async fn rule_39_a_batch_in_a_later_session_is_refused_with_strict_bodies() {
    for setup in Setup::all() {
        for agreed in ["2025-06-18", LATEST] {
            let wire = setup.wire();
            let id = wire.begin_ready(agreed).await;
            for batch in [
                format!("[{PING}]"),
                format!("[{RESPONSE}]"),
                "[]".to_owned(),
            ] {
                // The version that was agreed on counts, not the one that the header names.
                for version in [agreed, "2025-03-26"] {
                    let got = wire
                        .send(post(batch.clone()).id(&id).version(version))
                        .await;
                    if setup.strict {
                        got.assert_no_batch();
                    } else {
                        assert!(got.status.is_success());
                        assert_eq!(wire.last().body, batch);
                    }
                }
            }
            assert!(wire.serves(&id).await, "{setup:?}");
        }
    }
}

#[tokio::test]
async fn rule_40_a_batch_of_responses_is_202_in_a_session_of_2025_03_26() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let id = wire.begin_ready("2025-03-26").await;
        let batch = format!("[{RESPONSE},{RESPONSE}]");
        let got = wire.send(post(batch.clone()).id(&id)).await;
        assert_eq!((got.status.as_u16(), &got.body[..]), (202, &b""[..]));
        assert_eq!(wire.last().body, batch, "{setup:?}");
    }
}

#[tokio::test]
async fn rule_41_an_unknown_method_inside_a_session_is_the_inner_services_200() {
    for setup in Setup::all() {
        let wire = setup.wire();
        wire.inner
            .on("no/such", |_| Answer::error(-32601, "Method not found"));
        let id = wire.begin_ready(LATEST).await;
        let body = r#"{"jsonrpc":"2.0","id":"u","method":"no/such"}"#;
        let got = wire.send(post(body).id(&id).version(LATEST)).await;
        assert_eq!(got.status, 200, "{setup:?}");
        let error = json!({"code": -32601, "message": "Method not found"});
        assert_eq!(got.json(), json!({"jsonrpc":"2.0","id":"u","error":error}));
        assert!(wire.serves(&id).await);
    }
}
