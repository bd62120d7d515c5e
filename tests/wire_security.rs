//! Wire rules 54 to 58, 62, 84, 86: who may use a session, and what never gets through.

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use serde_json::json;
use tower::{Layer, ServiceExt};
use tower_http::auth::{AsyncAuthorizeRequest, AsyncRequireAuthorizationLayer};
use tower_mcp_session::Principal;
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::{Answer, Operation, ScriptedService};

#[path = "support/wire.rs"]
mod wire;

use wire::{
    Body, Call, ID, INITIALIZED, LATEST, MODERN, PING, Setup, UNKNOWN, Wire, call, delete,
    each_verb, full, get, initialize, modern, post, session_of, until_open,
};

/// What an authentication layer puts into the extensions.
#[derive(Clone)]
struct Token {
    principal: Principal,
    text: &'static str,
}

fn with_tokens(setup: Setup) -> Wire {
    setup.wire_with(|layer| {
        layer
            .with_idle_timeout(Duration::from_secs(600))
            .with_principal(|parts| {
                let token = parts.extensions.get::<Token>();
                Ok(token.map(|token| {
                    assert!(!token.text.is_empty());
                    token.principal.clone()
                }))
            })
    })
}

fn token(principal: Principal) -> Token {
    Token {
        principal,
        text: "t-1",
    }
}

/// One request of each way the layer knows.
fn each_way(id: &str) -> Vec<Call> {
    let mut calls: Vec<_> = each_verb().into_iter().map(|call| call.id(id)).collect();
    calls.extend(each_verb().map(|call| call.id(UNKNOWN)));
    calls.extend(each_verb().map(|call| call.version(MODERN)));
    calls.extend([
        post(initialize(LATEST)),
        post(initialize(LATEST)).id(id),
        post(modern("tools/list")),
        post(PING),
        get(),
        call(http::Method::OPTIONS, full("")),
    ]);
    calls
}

#[tokio::test]
async fn rule_54_a_bad_origin_is_403_before_anything_is_looked_up_or_minted() {
    for setup in Setup::all() {
        let wire = setup.wire_with(|layer| layer.with_allowed_origins(["https://ok.example"]));
        let id = wire
            .begin_with(post(initialize(LATEST)).header("origin", "https://ok.example:8443"))
            .await;
        let (calls, asked) = (wire.inner.calls(), wire.store.total_calls());
        for origin in [
            "https://evil.example",
            "http://ok.example",
            "https://ok.example.evil",
            "null",
            "",
            "\u{fc}",
        ] {
            for request in each_way(&id) {
                let got = wire.send(request.header("origin", origin)).await;
                got.assert_refused(403, -32600, None);
            }
        }
        for request in each_way(&id) {
            let both = request
                .header("origin", "https://ok.example")
                .header("origin", "https://evil.example");
            wire.send(both).await.assert_refused(403, -32600, None);
        }
        assert_eq!(
            (wire.inner.calls(), wire.store.total_calls()),
            (calls, asked)
        );
        assert_eq!(wire.layer.live_sessions(), 1);
        assert!(wire.serves(&id).await, "not a page in a browser: {setup:?}");
    }
}

#[tokio::test]
async fn rule_54_a_bad_host_is_403_likewise() {
    for setup in Setup::all() {
        let wire = setup.wire_with(|layer| layer.with_allowed_hosts(["localhost", "[::1]"]));
        let id = wire
            .begin_with(post(initialize(LATEST)).header("host", "localhost:3000"))
            .await;
        let calls = wire.inner.calls();
        for request in each_way(&id) {
            let got = wire.send(request.header("host", "evil.example")).await;
            got.assert_refused(403, -32600, None);
        }
        for request in each_way(&id) {
            wire.send(request).await.assert_refused(403, -32600, None);
        }
        let authority = post(PING).id(&id).at("http://[::1]:3000/mcp");
        assert_eq!(wire.send(authority).await.status, 200, "{setup:?}");
        assert_eq!(wire.inner.calls(), calls + 1);
    }
}

#[tokio::test]
async fn rule_55_a_bad_origin_is_403_in_each_revision() {
    for setup in Setup::all() {
        for version in wire::LEGACY {
            let wire = setup.wire_with(|layer| layer.with_allowed_origins(["https://ok.example"]));
            let id = wire.begin_as(version).await;
            for request in each_verb() {
                let request = request.id(&id).version(version);
                let got = wire
                    .send(request.header("origin", "https://evil.example"))
                    .await;
                got.assert_refused(403, -32600, None);
            }
            let begin = post(initialize(version)).header("origin", "https://evil.example");
            wire.send(begin).await.assert_refused(403, -32600, None);
            assert_eq!(wire.layer.live_sessions(), 1, "{setup:?}");
        }
    }
}

/// Lets requests with the right bearer token pass.
#[derive(Clone)]
struct Bearer;

impl AsyncAuthorizeRequest<Body> for Bearer {
    type RequestBody = Body;
    type ResponseBody = UnsyncBoxBody<bytes::Bytes, std::io::Error>;
    type Future = std::future::Ready<Result<Request<Body>, http::Response<Self::ResponseBody>>>;

    fn authorize(&mut self, request: Request<Body>) -> Self::Future {
        let token = request.headers().get("authorization");
        let status = match token.map(http::HeaderValue::as_bytes) {
            Some(b"Bearer good") => return std::future::ready(Ok(request)),
            Some(b"Bearer narrow") => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        };
        let mut response = http::Response::new(full("auth"));
        *response.status_mut() = status;
        std::future::ready(Err(response))
    }
}

#[tokio::test]
async fn rule_56_a_live_id_never_helps_a_request_that_fails_authentication() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let sessions = ServiceExt::<Request<Body>>::map_response(
            wire.service.clone(),
            |response: http::Response<_>| response.map(BodyExt::boxed_unsync),
        );
        let service = AsyncRequireAuthorizationLayer::new(Bearer).layer(sessions);
        let send = async |call: Call| {
            let response = service.clone().oneshot(call.into_request()).await.unwrap();
            (
                response.status().as_u16(),
                response.headers().get(ID).cloned(),
            )
        };
        let begin = post(initialize(LATEST)).header("authorization", "Bearer good");
        let (status, id) = send(begin).await;
        assert_eq!(status, 200);
        let id = id.unwrap();

        let (calls, asked) = (wire.inner.calls(), wire.store.total_calls());
        for (token, status) in [("Bearer bad", 401), ("Bearer narrow", 403), ("", 401)] {
            for request in each_verb() {
                let request = request.id(&id).header("authorization", token);
                assert_eq!(send(request).await, (status, None), "{setup:?}");
            }
        }
        for request in each_verb() {
            assert_eq!(send(request.id(&id)).await, (401, None));
        }
        assert_eq!(
            (wire.inner.calls(), wire.store.total_calls()),
            (calls, asked)
        );
        let good = post(PING).id(&id).header("authorization", "Bearer good");
        assert_eq!(send(good).await, (200, None));
    }
}

#[tokio::test]
async fn rule_57_another_principal_or_none_gets_the_answer_of_an_unknown_id() {
    let alice = Principal::new("alice").with_issuer("i").with_client("c");
    let others = [
        None,
        Some(Principal::new("bob").with_issuer("i").with_client("c")),
        Some(Principal::new("alice")),
        Some(Principal::new("alice").with_issuer("i")),
        Some(Principal::new("alice").with_issuer("j").with_client("c")),
        Some(Principal::new("alice").with_issuer("i").with_client("d")),
        Some(Principal::new("alice").with_issuer("c").with_client("i")),
    ];
    for (setup, ready) in Setup::all().flat_map(|setup| [(setup, false), (setup, true)]) {
        let wire = with_tokens(setup);
        let begin = post(initialize(LATEST)).extension(token(alice.clone()));
        let of_alice = wire.begin_with(begin).await;
        let of_nobody = wire.begin().await;
        if ready {
            let note = || post(INITIALIZED);
            let of_alice = note().id(&of_alice).extension(token(alice.clone()));
            assert_eq!(wire.send(of_alice).await.status, 202);
            assert_eq!(wire.send(note().id(&of_nobody)).await.status, 202);
        }
        let calls = wire.inner.calls();
        for (id, others) in [
            (&of_alice, &others[..]),
            (&of_nobody, &[Some(alice.clone())][..]),
        ] {
            for other in others {
                for (mine, unknown) in each_verb().into_iter().zip(each_verb()) {
                    let [mine, unknown] =
                        [mine.id(id), unknown.id(UNKNOWN)].map(|call| match other {
                            Some(other) => call.extension(token(other.clone())),
                            None => call,
                        });
                    let (mine, unknown) = (wire.send(mine).await, wire.send(unknown).await);
                    assert_eq!(mine.status, 404, "{setup:?}");
                    assert_eq!(mine.headers, unknown.headers);
                    assert_eq!(mine.body, unknown.body);
                }
            }
        }
        assert_eq!(wire.inner.calls(), calls);
        // An initialize with a foreign id begins a session of one's own.
        let begin = post(initialize(LATEST)).id(&of_alice);
        assert_ne!(wire.begin_with(begin).await, of_alice);
        let own = post(PING).id(&of_alice).extension(token(alice.clone()));
        assert_eq!(wire.send(own).await.status, 200);
    }
}

#[tokio::test]
async fn rule_57_the_requests_of_others_do_not_keep_a_session_alive() {
    for setup in Setup::all() {
        let wire = with_tokens(setup);
        let alice = || token(Principal::new("alice"));
        let begin = post(initialize(LATEST)).extension(alice());
        let id = wire.begin_with(begin).await;
        let ready = post(INITIALIZED).id(&id).extension(alice());
        assert_eq!(wire.send(ready).await.status, 202);
        for _ in 0..2 {
            wire.clock.advance(Duration::from_secs(300));
            for request in each_verb() {
                let foreign = request.id(&id).extension(token(Principal::new("bob")));
                assert_eq!(wire.send(foreign).await.status, 404);
            }
        }
        let own = post(PING).id(&id).extension(alice());
        wire.send(own).await.assert_not_found(Some("7"));
        until_open(&wire.inner, 0).await;
    }
}

#[tokio::test]
async fn rule_58_a_refreshed_token_of_the_same_principal_is_accepted() {
    for setup in Setup::all() {
        let wire = with_tokens(setup);
        let alice = Principal::new("alice").with_issuer("i");
        let begin = post(initialize(LATEST)).extension(token(alice.clone()));
        let id = wire.begin_with(begin).await;
        for text in ["t-2", "t-3"] {
            for request in [post(PING), get()] {
                let principal = alice.clone();
                let refreshed = request.id(&id).extension(Token { principal, text });
                assert_eq!(wire.open(refreshed).await.status(), 200, "{setup:?}");
            }
        }
        let end = delete().id(&id).extension(token(alice));
        assert_eq!(wire.send(end).await.status, 204);
    }
}

#[tokio::test]
async fn a_principal_that_cannot_be_known_is_503() {
    for setup in Setup::all() {
        let wire = setup.wire_with(|layer| {
            layer.with_principal(|parts| match parts.headers.get("x-broken") {
                Some(_) => Err("t0ken of alice".into()),
                None => Ok(None),
            })
        });
        let id = wire.begin_ready(LATEST).await;
        let calls = wire.inner.calls();
        for request in [
            post(PING).id(&id),
            get().id(&id),
            delete().id(&id),
            post(PING).id(UNKNOWN),
            post(initialize(LATEST)),
        ] {
            let got = wire.send(request.header("x-broken", "1")).await;
            assert_eq!(got.status, 503, "{setup:?}");
            assert!(got.headers.contains_key("retry-after"));
            assert!(!got.text().contains("alice"));
        }
        assert_eq!(wire.inner.calls(), calls);
        assert_eq!(wire.layer.live_sessions(), 1);
        assert!(wire.serves(&id).await);
    }
}

/// The kinds of failure that say nothing about whether the session exists.
const FAILURES: [StoreErrorKind; 2] = [StoreErrorKind::Unavailable, StoreErrorKind::OutcomeUnknown];

#[tokio::test]
async fn rule_62_a_store_that_cannot_be_reached_is_503_and_never_404() {
    for setup in Setup::all() {
        for failure in FAILURES {
            let wire = setup.wire();
            let id = wire.begin_ready(LATEST).await;
            let calls = wire.inner.calls();
            for operation in [Operation::Load, Operation::Delete] {
                wire.store.fail_all(operation, failure);
            }
            let mut requests: Vec<_> = each_verb().into_iter().map(|c| c.id(UNKNOWN)).collect();
            requests.push(delete().id(&id));
            requests.push(post(initialize(LATEST)).id(UNKNOWN));
            for request in requests {
                let got = wire.send(request).await;
                got.assert_refused(503, -32603, None);
                let after: u64 = got.headers["retry-after"]
                    .to_str()
                    .unwrap()
                    .parse()
                    .unwrap();
                assert!((1..=3).contains(&after));
            }
            assert_eq!(wire.inner.calls(), calls, "{setup:?}");
            wire.store.heal();
            assert!(wire.serves(&id).await, "nothing has changed");
            assert_eq!(wire.send(delete().id(&id)).await.status, 204);
        }
    }
}

#[tokio::test]
async fn rule_62_a_session_that_cannot_be_saved_does_not_begin() {
    for setup in Setup::all() {
        for failure in FAILURES {
            let wire = setup.wire();
            wire.store.fail_all(Operation::Create, failure);
            let got = wire.send(post(initialize(LATEST))).await;
            got.assert_refused(503, -32603, Some("0"));
            assert!(got.headers.contains_key("retry-after"));
            assert_eq!(wire.layer.live_sessions(), 0, "{setup:?}");
            until_open(&wire.inner, 0).await;
            wire.store.heal();
            let id = wire.begin().await;
            assert!(wire.serves(&id).await);
        }
    }
}

#[tokio::test]
async fn rule_62_a_store_without_a_watch_is_asked_and_may_fail() {
    for setup in Setup::all() {
        let store = tower_mcp_session::testing::FaultyStore::new(std::sync::Arc::new(
            tower_mcp_session::MemoryStore::new(),
        ));
        let wire = setup.wire_over(store.without_watch(), |layer| layer);
        let id = wire.begin_ready(LATEST).await;
        let calls = wire.inner.calls();
        wire.store
            .fail_all(Operation::Touch, StoreErrorKind::Unavailable);
        for request in each_verb() {
            let got = wire.send(request.id(&id)).await;
            got.assert_refused(503, -32603, None);
        }
        assert_eq!(wire.inner.calls(), calls, "{setup:?}");
        wire.store.heal();
        assert!(wire.serves(&id).await);
    }
}

#[tokio::test(start_paused = true)]
async fn rule_62_a_store_that_hangs_is_503_after_its_timeout() {
    let wire = Wire::plain();
    let id = wire.begin_ready(LATEST).await;
    for operation in [Operation::Load, Operation::Create, Operation::Delete] {
        wire.store.hang(operation);
    }
    for request in [
        post(PING).id(UNKNOWN),
        post(initialize(LATEST)),
        delete().id(&id),
    ] {
        let begun = tokio::time::Instant::now();
        let got = wire.send(request).await;
        assert_eq!(got.status, 503);
        assert_eq!(begun.elapsed().as_secs(), 2);
    }
    assert!(
        wire.serves(&id).await,
        "only requests that need it are hurt"
    );
    assert_eq!(wire.layer.live_sessions(), 1);
}

#[tokio::test]
async fn rule_84_the_inner_service_never_sees_an_id_of_the_client() {
    use tower_mcp_session::{MissingId, UnknownId};
    for setup in Setup::all() {
        for pass_on in [false, true] {
            let wire = setup.wire_with(|layer| {
                if pass_on {
                    layer
                        .with_unknown_id(UnknownId::PassOn)
                        .with_missing_id(MissingId::PassOn)
                } else {
                    layer
                }
            });
            let id = wire.begin_ready(LATEST).await;
            let mut calls = Vec::new();
            for sent in [&id, UNKNOWN, "client", "two words"] {
                calls.extend(each_way(sent));
                calls.push(post(initialize(LATEST)).id(sent));
                calls.push(post(modern("tools/list")).id(sent));
                calls.push(post(modern("tools/list")).version(MODERN).id(sent).id("b"));
                calls.push(post("{}").id(sent));
                calls.push(call(http::Method::PUT, full("x")).id(sent));
                calls.push(call(http::Method::OPTIONS, full("")).id(sent).id("b"));
            }
            for request in calls {
                drop(wire.open(request).await);
            }
            for seen in wire.inner.requests() {
                let ids: Vec<_> = seen.headers.get_all(ID).iter().collect();
                let inner = ids.iter().all(|id| id.as_bytes().starts_with(b"inner-"));
                assert!(ids.len() <= 1 && inner, "{setup:?} {seen:?}");
                assert!(setup.minting || ids.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn rule_84_an_id_that_the_inner_service_sets_never_leaves() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        let stray = |_: &_| {
            Answer::result(json!({}))
                .with_session_id("stray")
                .with_trailer(ID, "stray")
        };
        wire.inner.on("ping", stray);
        wire.inner.on("tools/list", stray);
        for request in [
            post(PING).id(&id),
            post(modern("tools/list")),
            post(modern("tools/list")).version(MODERN),
            post(PING).version("1999-01-01"),
        ] {
            let response = wire.open(request).await;
            assert_eq!(response.status(), 200, "{setup:?}");
            assert!(!response.headers().contains_key(ID));
            let body = response.into_body().collect().await.unwrap();
            let trailers = body.trailers().cloned().unwrap_or_default();
            assert!(!trailers.contains_key(ID), "{setup:?}");
            until_open(&wire.inner, usize::from(setup.minting)).await;
        }
        assert!(wire.serves(&id).await);
    }
}

#[tokio::test]
async fn rule_86_an_id_of_one_endpoint_is_unknown_at_another() {
    let wire = Wire::plain();
    let id = wire.begin_with(post(initialize(LATEST)).at("/a/mcp")).await;
    // Half-open, and after the handshake.
    for _ in 0..2 {
        for path in ["/b/mcp", "/a/mcp/", "/A/mcp", "/", "/a%2fmcp"] {
            for request in each_verb() {
                let echoed = (request.method() == "POST").then_some("7");
                let got = wire.send(request.id(&id).at(path)).await;
                got.assert_not_found(echoed);
            }
        }
        let ready = post(INITIALIZED).id(&id).at("/a/mcp");
        assert_eq!(wire.send(ready).await.status, 202);
    }
    for uri in ["/a/mcp?x=1", "http://host.example/a/mcp"] {
        let got = wire.send(post(PING).id(&id).at(uri)).await;
        assert_eq!(got.status, 200, "the path is the endpoint: {uri}");
    }
}

#[tokio::test]
async fn rule_86_two_layers_over_one_store_share_sessions_only_of_one_audience() {
    let first = Wire::new(ScriptedService::new(), |layer| layer.with_audience("one"));
    let same = Wire::over(first.store.clone(), ScriptedService::new(), |layer| {
        layer.with_audience("one")
    });
    let other = Wire::over(first.store.clone(), ScriptedService::new(), |layer| {
        layer.with_audience("other")
    });
    let id = first.begin_ready(LATEST).await;
    assert_eq!(same.send(post(PING).id(&id).at("/x")).await.status, 200);
    for request in each_verb() {
        let echoed = (request.method() == "POST").then_some("7");
        other.send(request.id(&id)).await.assert_not_found(echoed);
    }
    assert_eq!(other.inner.calls(), 0);
    assert!(first.serves(&id).await);
    assert!(session_of(&first.last()).is_some());
}
