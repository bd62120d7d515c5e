//! Wire rules 63 to 78, 82, 83: requests of 2026-07-28, which has no sessions.

use std::time::Duration;

use futures_util::stream;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tower_mcp_session::Modern;
use tower_mcp_session::testing::Answer;

#[path = "support/wire.rs"]
mod wire;

use wire::{
    Call, ID, LAST_EVENT_ID, LATEST, LIST, MCP_METHOD, MODERN, PING, Setup, UNKNOWN, VERSION, Wire,
    call, delete, get, initialize, modern, modern_of, post, session_of, until_open,
};

/// The server's answer to a modern request, whatever else it answers.
fn answer_with(wire: &Wire, status: u16, code: i64, data: &'static str) {
    wire.inner.on_request(move |request| {
        let key = "io.modelcontextprotocol/protocolVersion".as_bytes();
        let has_key = request.body.windows(key.len()).any(|part| part == key);
        let has_header = request.headers.get(VERSION).is_some_and(|v| v == MODERN);
        (has_key || has_header).then(|| {
            let id = request.rpc_id().unwrap_or_default();
            let error = json!({"code": code, "message": "m", "data": data});
            Answer::json(&json!({"jsonrpc": "2.0", "id": id, "error": error}))
                .with_status(StatusCode::from_u16(status).expect("a status"))
                .with_header("x-inner", "kept")
        })
    });
}

/// Sends a modern request and checks that the answer is the inner service's, and that no session is in it.
async fn assert_passes(wire: &Wire, call: Call, status: u16, code: i64, id: Value) {
    let got = wire.send(call).await;
    assert_eq!(got.status, status, "{got:?}");
    assert_eq!(got.headers["x-inner"], "kept");
    assert!(!got.headers.contains_key("cache-control"));
    assert_eq!(got.id(), None);
    assert_eq!(got.json()["error"]["code"], code);
    assert_eq!(got.json()["id"], id);
    let seen = wire.last();
    assert!(seen.session_id().is_none() && session_of(&seen).is_none());
}

#[tokio::test]
async fn rule_63_a_modern_request_passes_untouched_and_its_answer_has_no_id() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let body = format!(" {}\n", modern("tools/call"));
        let text = "{ \"result\" : 1.50 }";
        wire.inner.on("tools/call", move |_| {
            Answer::bytes("application/json", text)
                .with_status(StatusCode::CREATED)
                .with_header("cache-control", "public")
                .with_session_id("stray")
                .with_trailer(ID, "stray")
                .with_trailer("x-trailer", "kept")
        });
        let request = post(body.clone()).version(MODERN);
        let mut sent = post(body.clone()).version(MODERN).into_request();
        let response = wire.open(request).await;
        assert_eq!(response.status(), 201);
        let expected = [
            ("content-type", "application/json"),
            ("cache-control", "public"),
        ];
        assert_eq!(response.headers().len(), expected.len(), "{setup:?}");
        for (name, value) in expected {
            assert_eq!(response.headers()[name], value);
        }
        let collected = response.into_body().collect().await.unwrap();
        let trailers = collected.trailers().unwrap();
        assert_eq!(
            (trailers.len(), &trailers["x-trailer"]),
            (1, &"kept".parse().unwrap())
        );
        assert_eq!(collected.to_bytes(), text);

        let seen = wire.inner.requests().remove(0);
        assert_eq!(seen.body, body);
        assert_eq!(&seen.headers, sent.headers_mut());
        assert!(session_of(&seen).is_none());
        assert_eq!(
            (wire.store.total_calls(), wire.layer.live_sessions()),
            (0, 0)
        );
        // What the inner service began all the same ends.
        until_open(&wire.inner, 0).await;
    }
}

#[tokio::test]
async fn rule_63_the_body_of_a_modern_request_is_not_waited_for() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let body = StreamBody::new(stream::pending()).boxed_unsync();
        let request = call(Method::POST, body).version(MODERN).id(UNKNOWN);
        let mut future = tokio_test::task::spawn(wire.open(request));
        assert!(future.poll().is_pending());
        assert_eq!(wire.inner.calls(), 1, "{setup:?}");
    }
}

#[tokio::test]
async fn rule_64_an_id_makes_no_difference_to_a_modern_request() {
    for setup in Setup::all() {
        let wire = setup.wire_with(|layer| layer.with_idle_timeout(Duration::from_secs(600)));
        answer_with(&wire, 200, -1, "same");
        let ended = wire.begin_ready(LATEST).await;
        assert_eq!(wire.send(delete().id(&ended)).await.status, 204);
        let expired = wire.begin_ready(LATEST).await;
        wire.clock.advance(Duration::from_secs(600));
        let live = wire.begin_ready(LATEST).await;
        let long = "x".repeat(2000);
        for with_header in [true, false] {
            let base = || {
                let request = post(modern("tools/list"));
                if with_header {
                    request.version(MODERN)
                } else {
                    request
                }
            };
            let without = wire.send(base()).await;
            for id in [UNKNOWN, &ended, &expired, &live, "", "\u{fc}", &long] {
                // Without the header the body of a request with a live id is not read.
                if !with_header && id == live && !setup.strict {
                    continue;
                }
                let with = wire.send(base().id(id)).await;
                assert_eq!(with.status, without.status, "{setup:?}");
                assert_eq!(
                    (with.headers, with.body),
                    (without.headers.clone(), without.body.clone())
                );
                let seen = wire.last_of("tools/list");
                assert!(seen.session_id().is_none() && session_of(&seen).is_none());
            }
        }
        let two = post(modern("tools/list")).version(MODERN).id("a").id("b");
        assert_eq!(wire.send(two).await.status, 200);
        assert!(wire.serves(&live).await, "the live session is unharmed");
    }
}

#[tokio::test]
async fn rule_65_a_modern_header_without_the_meta_key_is_the_inner_services_to_refuse() {
    for setup in Setup::all() {
        let wire = setup.wire();
        answer_with(&wire, 400, -32602, "missing _meta");
        for body in [
            r#"{"jsonrpc":"2.0","id":9,"method":"server/discover"}"#,
            r#"{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{"_meta":{}}}"#,
            r#"{"jsonrpc":"2.0","id":9,"method":"notifications/initialized"}"#,
        ] {
            for version in [MODERN, "2031-01-01"] {
                wire.inner.on_request(move |request| {
                    (request.headers[VERSION] == version).then(|| {
                        Answer::error(-32602, "missing _meta")
                            .with_status(StatusCode::BAD_REQUEST)
                            .with_header("x-inner", "kept")
                    })
                });
                let request = post(body).version(version);
                assert_passes(&wire, request, 400, -32602, json!(9)).await;
            }
        }
        assert_eq!(wire.layer.live_sessions(), 0, "{setup:?}");
    }
}

#[tokio::test]
async fn rule_66_the_meta_key_without_a_version_header_is_the_inner_services_to_refuse() {
    for setup in Setup::all() {
        let wire = setup.wire();
        answer_with(&wire, 400, -32020, "header missing");
        let id = wire.begin_ready(LATEST).await;
        let body = modern("tools/list");
        for request in [
            post(body.clone()),
            post(body.clone()).version(LATEST),
            post(body.clone()).id(UNKNOWN),
            post(body.clone()).id(UNKNOWN).version(LATEST),
            post(body.clone()).id(UNKNOWN).version("1999-01-01"),
        ] {
            assert_passes(&wire, request, 400, -32020, json!(9)).await;
        }
        // The value is not judged: whatever it is, the key claims a revision without sessions.
        for value in ["null", "7", r#""2025-11-25""#, "{}"] {
            let body = body.replace(&format!("\"{MODERN}\""), value);
            assert_passes(&wire, post(body), 400, -32020, json!(9)).await;
        }
        if setup.strict {
            let request = post(body).id(&id).version(LATEST);
            assert_passes(&wire, request, 400, -32020, json!(9)).await;
        } else {
            let got = wire.send(post(body).id(&id)).await;
            assert_eq!(got.json()["error"]["code"], -32020);
            assert!(session_of(&wire.last()).is_some(), "its body is not read");
        }
        assert!(wire.serves(&id).await, "{setup:?}");
    }
}

#[tokio::test]
async fn rule_67_and_68_versions_that_differ_or_are_unsupported_are_the_inner_services_to_refuse() {
    for setup in Setup::all() {
        for (code, header, meta) in [
            (-32020, MODERN, "2027-01-01"),
            (-32020, MODERN, LATEST),
            (-32022, "2031-01-01", "2031-01-01"),
            (-32022, "1999-01-01", "1999-01-01"),
            (-32022, "draft", "draft"),
        ] {
            let wire = setup.wire();
            answer_with(&wire, 400, code, "supported");
            for id in [None, Some(UNKNOWN)] {
                let mut request = post(modern_of(meta, "tools/list")).version(header);
                if let Some(id) = id {
                    request = request.id(id);
                }
                assert_passes(&wire, request, 400, code, json!(9)).await;
            }
        }
    }
}

#[tokio::test]
async fn rule_67_a_legacy_header_beside_the_meta_key_is_the_inner_services_to_refuse() {
    for setup in Setup::all() {
        let wire = setup.wire();
        answer_with(&wire, 400, -32020, "differ");
        let request = post(modern("tools/list")).version(LATEST);
        assert_passes(&wire, request, 400, -32020, json!(9)).await;
    }
}

#[tokio::test]
async fn rule_68_an_unsupported_version_passes_with_the_data_of_the_error() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let error = r#"{"jsonrpc":"2.0","id":9,"error":{"code":-32022,"message":"m","data":{"supported":["2026-07-28"],"requested":"1999-01-01"}}}"#;
        wire.inner.on_request(move |_| {
            let answer = Answer::bytes("application/json", error);
            Some(answer.with_status(StatusCode::BAD_REQUEST))
        });
        for version in ["1999-01-01", "2031-01-01", "draft", ""] {
            let request = post(modern_of(version, "tools/list")).version(version);
            let got = wire.send(request).await;
            assert_eq!((got.status.as_u16(), got.text()), (400, error), "{setup:?}");
        }
    }
}

#[tokio::test]
async fn rule_69_an_initialize_with_the_meta_key_begins_no_session() {
    for setup in Setup::all() {
        let wire = setup.wire();
        answer_with(&wire, 404, -32601, "no initialize");
        let body = modern("initialize");
        for request in [
            post(body.clone()),
            post(body.clone()).version(MODERN),
            post(body.clone()).version(LATEST),
            post(body.clone()).version("1999-01-01"),
            post(body.clone()).id(UNKNOWN),
            post(body.clone()).id(UNKNOWN).version(MODERN),
        ] {
            assert_passes(&wire, request, 404, -32601, json!(9)).await;
        }
        assert_eq!((wire.created(), wire.layer.live_sessions()), (0, 0));

        // Also not where the inner service takes it for one.
        let result = json!({"protocolVersion": LATEST});
        wire.inner.on("initialize", move |_| {
            Answer::result(result.clone()).with_session_id("stray")
        });
        for request in [post(body.clone()), post(body).version(MODERN)] {
            let got = wire.send(request).await;
            assert_eq!((got.status.as_u16(), got.id()), (200, None), "{setup:?}");
        }
        assert_eq!((wire.created(), wire.layer.live_sessions()), (0, 0));
        until_open(&wire.inner, 0).await;
    }
}

#[tokio::test]
async fn rule_69_a_strict_layer_takes_it_out_of_the_session() {
    for setup in Setup::all() {
        let wire = setup.wire();
        answer_with(&wire, 404, -32601, "no initialize");
        let id = wire.begin_ready(LATEST).await;
        if setup.strict {
            let request = post(modern("initialize")).id(&id);
            assert_passes(&wire, request, 404, -32601, json!(9)).await;
            assert!(wire.serves(&id).await, "{setup:?}");
        }
        let got = wire.send(post(modern("initialize")).id(&id)).await;
        // Unread, it looks as if the inner service had lost its own session: sent again in a fresh one, it is refused
        // again. That says nothing of ours.
        let status = if setup.minting && !setup.strict {
            503
        } else {
            404
        };
        assert_eq!((got.status.as_u16(), got.id()), (status, None), "{setup:?}");
        assert_eq!(wire.created(), 1);
    }
}

#[tokio::test]
async fn rule_70_methods_that_were_removed_are_the_inner_services_404() {
    for setup in Setup::all() {
        let wire = setup.wire();
        answer_with(&wire, 404, -32601, "removed");
        let id = wire.begin_ready(LATEST).await;
        for method in [
            "ping",
            "logging/setLevel",
            "resources/subscribe",
            "resources/unsubscribe",
            "notifications/initialized",
        ] {
            let mut requests = vec![
                post(modern(method)),
                post(modern(method)).version(MODERN),
                post(modern(method)).version(MODERN).id(&id),
                post(modern(method)).id(UNKNOWN),
            ];
            if setup.strict {
                requests.push(post(modern(method)).id(&id));
            }
            for request in requests {
                assert_passes(&wire, request, 404, -32601, json!(9)).await;
            }
        }
        assert!(wire.serves(&id).await, "{setup:?}");
    }
}

#[tokio::test]
async fn rule_71_an_initialize_with_a_modern_header_begins_no_session() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        for request in [post(initialize(LATEST)), post(initialize(LATEST)).id(&id)] {
            let got = wire.send(request.version(MODERN)).await;
            assert_eq!(got.status, 200, "the inner service's answer");
            assert!(got.text().contains("protocolVersion"));
            assert_eq!(got.id(), None, "{setup:?}");
        }
        assert_eq!((wire.created(), wire.layer.live_sessions()), (1, 1));
        until_open(&wire.inner, usize::from(setup.minting)).await;

        let calls = wire.inner.calls();
        for request in [post(initialize(LATEST)), post(initialize(LATEST)).id(&id)] {
            let named = request.version(MODERN).header(MCP_METHOD, "initialize");
            wire.send(named)
                .await
                .assert_refused(400, -32600, Some("0"));
        }
        assert_eq!(wire.inner.calls(), calls);
        assert!(wire.serves(&id).await);

        // Where the header is not true of the body, it is the inner service's to say so.
        for body in [LIST.to_owned(), modern("initialize"), "{".to_owned()] {
            let named = post(body.clone())
                .version(MODERN)
                .header(MCP_METHOD, "initialize");
            drop(wire.send(named).await);
            assert_eq!(wire.last().body, body);
        }
        assert_eq!(wire.layer.live_sessions(), 1);
    }
}

#[tokio::test]
async fn rule_72_get_and_delete_with_a_modern_header_are_405() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        let calls = wire.inner.calls();
        for version in [MODERN, "2031-01-01"] {
            for sent in [Some(&*id), Some(UNKNOWN), Some("two words"), Some(""), None] {
                for request in [get(), delete()] {
                    let is_ours = setup.path
                        || sent.is_some_and(|id| !id.is_empty())
                        || request.method() == "GET";
                    let request = request.version(version);
                    let request = match sent {
                        Some(sent) => request.id(sent),
                        None => request,
                    };
                    if is_ours {
                        let got = wire.send(request).await;
                        got.assert_refused(405, -32600, None);
                        assert_eq!(got.headers["allow"], "POST");
                    }
                }
            }
            let several = get().version(version).id("a").id("b");
            let got = wire.send(several).await;
            got.assert_refused(405, -32600, None);
        }
        assert_eq!(wire.inner.calls(), calls, "{setup:?}");
        assert!(wire.serves(&id).await, "the session was not ended");
    }
}

#[tokio::test]
async fn rule_73_last_event_id_is_dropped_from_a_modern_request() {
    for setup in Setup::all() {
        let wire = setup.wire();
        answer_with(&wire, 200, -1, "");
        for request in [
            post(modern("tools/list")).version(MODERN),
            post(modern("tools/list")),
        ] {
            let request = request.header(LAST_EVENT_ID, "5");
            assert_passes(&wire, request, 200, -1, json!(9)).await;
            assert!(
                !wire.last().headers.contains_key(LAST_EVENT_ID),
                "{setup:?}"
            );
        }
    }
}

#[tokio::test]
async fn rule_74_a_client_that_closes_its_stream_ends_the_inner_body_at_once() {
    for setup in Setup::all() {
        for with_header in [true, false] {
            let wire = setup.wire();
            wire.inner
                .on("tools/call", |_| Answer::events([json!({})]).left_open());
            let request = || {
                let request = post(modern("tools/call"));
                if with_header {
                    request.version(MODERN)
                } else {
                    request
                }
            };
            let response = wire.open(request()).await;
            let stream = wire.inner.streams().remove(0);
            let mut body = response.into_body();
            assert!(body.frame().await.is_some());
            assert!(stream.is_open());
            drop(body);
            assert!(!stream.is_open(), "{setup:?}");

            // The same while the inner service is still at work.
            wire.inner.hold();
            let mut future = tokio_test::task::spawn(wire.open(request()));
            assert!(future.poll().is_pending());
            assert_eq!(wire.inner.held(), 1);
            drop(future);
            assert_eq!(wire.inner.held(), 0, "{setup:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rule_75_a_subscription_streams_for_as_long_as_it_is_open() {
    for setup in Setup::all() {
        let wire = setup.wire();
        wire.inner
            .on("subscriptions/listen", |_| Answer::events([]).left_open());
        let request = post(modern("subscriptions/listen")).version(MODERN);
        let mut body = wire.open(request).await.into_body();
        let stream = wire.inner.streams().remove(0);
        for n in 0..5 {
            let event = format!("data: {n}\n\n");
            stream.send(event.clone());
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(
                frame.into_data().unwrap(),
                event,
                "unbuffered, nothing else"
            );
            let mut next = tokio_test::task::spawn(body.frame());
            assert!(next.poll().is_pending());
            tokio::time::advance(Duration::from_secs(3 * 60 * 60)).await;
            wire.clock.advance(Duration::from_secs(3 * 60 * 60));
            wire.layer.clean_up().await.unwrap();
            assert!(next.poll().is_pending(), "no timeout, no events of ours");
        }
        stream.end();
        assert!(body.frame().await.is_none(), "{setup:?}");
    }
}

#[tokio::test]
async fn rule_76_a_batch_with_the_meta_key_is_refused() {
    let one = modern("tools/list");
    for setup in Setup::all() {
        for batch in [
            format!("[{one}]"),
            format!("[{PING},{one}]"),
            format!("[{one},{PING}]"),
        ] {
            let wire = setup.wire();
            for request in [
                post(batch.clone()),
                post(batch.clone()).version("2025-03-26"),
            ] {
                let got = wire.send(request).await;
                got.assert_no_batch();
            }
            let got = wire.send(post(batch.clone()).id(UNKNOWN)).await;
            got.assert_not_found(None);
            assert_eq!(wire.inner.calls(), 0);
            let id = wire.begin_ready("2025-03-26").await;
            let got = wire.send(post(batch.clone()).id(&id)).await;
            if setup.strict {
                got.assert_no_batch();
            } else {
                assert_eq!(wire.last().body, batch, "{setup:?}");
            }
            drop(wire.send(post(batch.clone()).version(MODERN)).await);
            assert_eq!(wire.last().body, batch, "the header decides alone");
        }
    }
}

#[tokio::test]
async fn rule_77_other_members_of_meta_do_not_make_a_request_modern() {
    let metas = [
        r#"{"progressToken":"p"}"#,
        r#"{"io.modelcontextprotocol/related-task":{"taskId":"1"}}"#,
        r#"{"progressToken":1,"io.modelcontextprotocol/related-task":{"taskId":"io.modelcontextprotocol/protocolVersion"}}"#,
        r#"{"io.modelcontextprotocol/protocolversion":"2026-07-28"}"#,
        r#"{"x":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#,
        r#""io.modelcontextprotocol/protocolVersion""#,
        r#"["io.modelcontextprotocol/protocolVersion"]"#,
        "null",
    ];
    for setup in Setup::all() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        for meta in metas {
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{{"name":"x","_meta":{meta}}}}}"#
            );
            let got = wire.send(post(body.clone())).await;
            got.assert_refused(400, -32600, Some("9"));
            let got = wire.send(post(body.clone()).id(UNKNOWN)).await;
            got.assert_not_found(Some("9"));
            let got = wire.send(post(body.clone()).id(&id)).await;
            assert_eq!(got.status, 200, "{setup:?}");
            let seen = wire.last();
            assert_eq!(seen.body, body);
            assert!(session_of(&seen).is_some());
        }
        // The key elsewhere than in `params._meta` is nobody's mark either.
        let body = r#"{"jsonrpc":"2.0","id":9,"method":"x","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"params":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
        wire.send(post(body))
            .await
            .assert_refused(400, -32600, Some("9"));
    }
}

#[tokio::test]
async fn rule_78_the_headers_of_a_modern_request_reach_the_inner_service_unchanged() {
    let lines: [(&str, &[u8]); 10] = [
        (MCP_METHOD, b"tools/call"),
        ("mcp-name", b"=?base64?w7w=?="),
        ("mcp-param-region", b"eu-west"),
        ("mcp-param-region", b"us-east"),
        ("mcp-param-odd", "\u{fc}".as_bytes()),
        ("mcp-param-empty", b""),
        ("authorization", b"Bearer t"),
        ("accept-encoding", b"gzip"),
        ("content-encoding", b"gzip"),
        (
            "traceparent",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ];
    for setup in Setup::all() {
        let wire = setup.wire();
        answer_with(&wire, 200, -1, "");
        let base = || {
            let call = post(modern("tools/call")).version(MODERN);
            lines
                .iter()
                .fold(call, |call, (name, value)| call.header(name, value))
        };
        let expected = base().into_request();
        drop(
            wire.send(base().id(UNKNOWN).header(LAST_EVENT_ID, "1"))
                .await,
        );
        let seen = wire.last();
        assert_eq!(&seen.headers, expected.headers(), "{setup:?}");
        assert_eq!(seen.uri, "/mcp");
    }
}

#[tokio::test]
async fn rule_82_a_layer_before_a_legacy_server_says_so_without_a_modern_error() {
    for setup in Setup::all() {
        let wire = setup.wire_with(|layer| layer.with_modern(Modern::Refuse));
        let id = wire.begin_ready(LATEST).await;
        let calls = wire.inner.calls();
        for request in [
            post(modern("server/discover")).version(MODERN),
            post(modern("server/discover")).version(MODERN).id(&id),
            post(modern("server/discover")),
            post(modern("server/discover")).id(UNKNOWN),
            post(LIST).version(MODERN),
            post(LIST).version("1999-01-01"),
            post(initialize(LATEST)).version(MODERN),
        ] {
            let got = wire.send(request).await;
            assert_eq!((got.status.as_u16(), &got.body[..]), (400, &b""[..]));
            assert_eq!(got.headers["cache-control"], "no-store");
            assert_eq!(got.id(), None);
        }
        assert_eq!(wire.inner.calls(), calls, "{setup:?}");
        assert!(wire.serves(&id).await, "the older era is served");

        let wire = setup.wire();
        wire.inner.on("server/discover", |_| {
            Answer::status(StatusCode::BAD_REQUEST)
        });
        let got = wire
            .send(post(modern("server/discover")).version(MODERN))
            .await;
        assert_eq!((got.status.as_u16(), &got.body[..]), (400, &b""[..]));
    }
}

#[tokio::test]
async fn rule_83_clients_of_both_eras_are_served_at_one_endpoint() {
    for setup in Setup::all() {
        let wire = setup.wire();
        wire.inner.on_request(|request| {
            let modern = request.headers.get(VERSION).is_some_and(|v| v == MODERN);
            modern.then(|| Answer::result(json!("modern")))
        });
        let discover = || post(modern("server/discover")).version(MODERN);
        assert_eq!(wire.send(discover()).await.json()["result"], "modern");
        let id = wire.begin().await;
        for _ in 0..3 {
            let got = wire.send(discover()).await;
            assert_eq!(
                (got.json()["result"].clone(), got.id()),
                (json!("modern"), None)
            );
            assert!(session_of(&wire.last()).is_none());
            let got = wire.send(post(LIST).id(&id).version(LATEST)).await;
            assert_eq!(got.status, 200, "{setup:?}");
            assert!(session_of(&wire.last()).is_some());
            wire.send(get().version(MODERN))
                .await
                .assert_refused(405, -32600, None);
            assert_eq!(wire.open(get().id(&id)).await.status(), 200);
        }
        assert_eq!(wire.send(delete().id(&id)).await.status, 204);
        assert_eq!(wire.send(discover()).await.status, 200);
        assert_eq!(wire.created(), 1);
    }
}
