//! The options where servers in the field disagree, each with its table of answers.

use std::time::Duration;

use serde_json::json;
use tower::Layer;
use tower_mcp_session::testing::{Answer, ScriptedService};
use tower_mcp_session::{MissingId, SessionLayer, StaleNotification, UnknownId};

#[path = "support/wire.rs"]
mod wire;

use wire::{
    ID, INITIALIZED, LATEST, LIST, MODERN, PING, RESPONSE, Setup, UNKNOWN, Wire, delete, each_verb,
    get, initialize, modern, post, session_of, until_open,
};

/// Those where the inner service answers each request, with a session or without.
fn stateless_setups() -> impl Iterator<Item = Setup> {
    Setup::all().filter(|setup| !setup.minting)
}

#[tokio::test]
async fn missing_id_pass_on_lets_requests_without_an_id_in_without_a_session() {
    for setup in stateless_setups() {
        let wire = setup.wire_with(|layer| layer.with_missing_id(MissingId::PassOn));
        for (request, status) in [
            (post(LIST), 200),
            (post(LIST).version(LATEST), 200),
            (post(LIST).id(""), 200),
            (post(INITIALIZED), 202),
            (post(RESPONSE), 202),
            (post(format!("[{PING}]")), 200),
            (get(), 200),
            (delete(), 200),
        ] {
            let calls = wire.inner.calls();
            assert_eq!(wire.open(request).await.status(), status, "{setup:?}");
            assert_eq!(wire.inner.calls(), calls + 1);
            let seen = wire.last();
            assert!(session_of(&seen).is_none() && seen.session_id().is_none());
        }
        let calls = wire.inner.calls();
        for request in [
            post(format!("[{}]", initialize(LATEST))),
            post(format!("[{}]", modern("tools/list"))),
            post(r#"{"jsonrpc":"2.0","id":1,"id":2}"#),
            get().version("1999-01-01"),
            post(INITIALIZED).version(LATEST).version(LATEST),
        ] {
            wire.send(request).await.assert_refused(400, -32600, None);
        }
        assert_eq!(
            wire.inner.calls(),
            calls,
            "what else is at fault is refused"
        );
        let id = wire.begin().await;
        assert!(wire.serves(&id).await);
        let got = wire.send(post(PING).id(UNKNOWN)).await;
        got.assert_not_found(Some("7"));
    }
}

#[tokio::test]
async fn unknown_id_pass_on_lets_requests_with_a_dead_id_in_without_a_session() {
    for setup in stateless_setups() {
        let wire = setup.wire_with(|layer| {
            layer
                .with_unknown_id(UnknownId::PassOn)
                .with_half_open_timeout(Duration::from_secs(60))
        });
        let ended = wire.begin().await;
        assert_eq!(wire.send(delete().id(&ended)).await.status, 204);
        let expired = wire.begin().await;
        wire.clock.advance(Duration::from_secs(60));
        for id in [UNKNOWN, "two words", &ended, &expired] {
            for (request, status) in [
                (post(LIST), 200),
                (post(INITIALIZED), 202),
                (post("not JSON"), 400),
                (get(), 200),
                (delete(), 200),
            ] {
                let calls = wire.inner.calls();
                let response = wire.open(request.id(id)).await;
                assert_eq!(response.status(), status, "{setup:?}");
                assert_eq!(wire.inner.calls(), calls + 1);
                let seen = wire.last();
                assert!(session_of(&seen).is_none() && seen.session_id().is_none());
            }
            let fresh = wire.begin_with(post(initialize(LATEST)).id(id)).await;
            assert_ne!(fresh, id);
        }
        wire.send(post(LIST))
            .await
            .assert_refused(400, -32600, Some("8"));
        wire.send(post(LIST).id("a").id("b"))
            .await
            .assert_refused(400, -32600, None);
    }
}

#[tokio::test]
async fn stale_notification_accept_drops_notifications_of_a_dead_session() {
    for setup in Setup::all() {
        let wire =
            setup.wire_with(|layer| layer.with_stale_notification(StaleNotification::Accept));
        let id = wire.begin_ready(LATEST).await;
        assert_eq!(wire.send(delete().id(&id)).await.status, 204);
        until_open(&wire.inner, 0).await;
        let calls = wire.inner.calls();
        for id in [UNKNOWN, &id] {
            let got = wire.send(post(INITIALIZED).id(id)).await;
            assert_eq!((got.status.as_u16(), &got.body[..]), (202, &b""[..]));
            assert_eq!(got.headers["cache-control"], "no-store");
            assert_eq!(got.id(), None);
            for request in each_verb() {
                let echoed = (request.method() == "POST").then_some("7");
                wire.send(request.id(id)).await.assert_not_found(echoed);
            }
            for message in [RESPONSE, "[]", "{"] {
                let got = wire.send(post(message).id(id)).await;
                got.assert_not_found(None);
            }
        }
        wire.send(post(INITIALIZED))
            .await
            .assert_refused(400, -32600, None);
        assert_eq!(wire.inner.calls(), calls, "{setup:?}");
    }
}

#[tokio::test]
async fn with_streams_false_answers_each_get_405() {
    for setup in Setup::all() {
        let wire = setup.wire_with(|layer| layer.with_streams(false));
        let id = wire.begin_ready(LATEST).await;
        let (calls, asked) = (wire.inner.calls(), wire.store.total_calls());
        for request in [get(), get().id(&id), get().id(UNKNOWN)] {
            let got = wire.send(request).await;
            got.assert_refused(405, -32600, None);
            assert_eq!(got.headers["allow"], "POST, DELETE");
        }
        let got = wire.send(get().id("a").id("b")).await;
        got.assert_refused(400, -32600, None);
        assert_eq!(
            (wire.inner.calls(), wire.store.total_calls()),
            (calls, asked)
        );
        assert!(wire.serves(&id).await);
        assert_eq!(wire.send(delete().id(&id)).await.status, 204, "{setup:?}");
    }
}

#[tokio::test]
async fn with_delete_false_answers_each_delete_405() {
    for setup in Setup::all() {
        let wire = setup.wire_with(|layer| layer.with_delete(false));
        let id = wire.begin_ready(LATEST).await;
        let (calls, asked) = (wire.inner.calls(), wire.store.total_calls());
        for request in [delete().id(&id), delete().id(UNKNOWN)] {
            let got = wire.send(request).await;
            got.assert_refused(405, -32600, None);
            assert_eq!(got.headers["allow"], "GET, POST");
        }
        if setup.path {
            wire.send(delete()).await.assert_refused(405, -32600, None);
        }
        assert_eq!(
            (wire.inner.calls(), wire.store.total_calls()),
            (calls, asked)
        );
        assert!(wire.serves(&id).await, "{setup:?}");
    }
}

/// A layer without sessions around `inner`.
fn stateless(setup: Setup, inner: &ScriptedService) -> Wire {
    let layer = SessionLayer::stateless().with_strict_bodies(setup.strict);
    let layer = if setup.path {
        layer.with_path("/mcp")
    } else {
        layer
    };
    let service = layer.layer(inner.clone());
    Wire {
        layer,
        service,
        inner: inner.clone(),
        ..Wire::plain()
    }
}

#[tokio::test]
async fn a_stateless_layer_mints_nothing_and_knows_no_id() {
    for setup in stateless_setups() {
        let wire = stateless(setup, &ScriptedService::new());
        for (request, status) in [
            (post(initialize(LATEST)), 200),
            (post(INITIALIZED).version(LATEST), 202),
            (post(LIST).version(LATEST), 200),
            (post(LIST), 200),
            (post(format!("[{PING}]")), 200),
            (post(modern("tools/list")).version(MODERN), 200),
            (post(modern("tools/list")), 200),
            (post(initialize(LATEST)).id(UNKNOWN), 200),
        ] {
            let got = wire.send(request).await;
            assert_eq!((got.status.as_u16(), got.id()), (status, None), "{setup:?}");
            let seen = wire.last();
            assert!(session_of(&seen).is_none() && seen.session_id().is_none());
        }
        let calls = wire.inner.calls();
        for (message, echoed) in [(LIST, Some("8")), (INITIALIZED, None), ("[]", None)] {
            let got = wire.send(post(message).id(UNKNOWN)).await;
            got.assert_not_found(echoed);
        }
        for request in [
            get(),
            get().id(UNKNOWN),
            delete().id(UNKNOWN),
            get().version(MODERN),
        ] {
            let got = wire.send(request).await;
            got.assert_refused(405, -32600, None);
            assert_eq!(got.headers["allow"], "POST");
        }
        if setup.path {
            wire.send(delete()).await.assert_refused(405, -32600, None);
        }
        assert_eq!((wire.inner.calls(), wire.layer.live_sessions()), (calls, 0));
    }
}

#[tokio::test]
async fn a_stateless_layer_leaves_no_session_of_the_inner_service_open() {
    for setup in stateless_setups() {
        let inner = ScriptedService::new().minting_ids();
        let wire = stateless(setup, &inner);
        let got = wire.send(post(initialize(LATEST))).await;
        assert_eq!((got.status.as_u16(), got.id()), (200, None));
        until_open(&inner, 0).await;
    }
}

#[tokio::test]
async fn a_layer_that_is_not_enabled_lets_everything_pass_untouched() {
    for setup in Setup::all() {
        let wire = setup.wire_with(|layer| {
            layer
                .with_enabled(false)
                .with_allowed_origins(["https://ok.example"])
        });
        wire.inner.on_request(|_| {
            Some(Answer::result(json!({"protocolVersion": LATEST})).with_session_id("theirs"))
        });
        let requests = || {
            let mut calls: Vec<_> = each_verb().into_iter().collect();
            calls.extend(each_verb().map(|call| call.id(UNKNOWN)));
            calls.extend(each_verb().map(|call| call.id("a").id("b").version(MODERN)));
            calls.extend(each_verb().map(|call| call.header("origin", "https://evil.example")));
            calls.extend([post(initialize(LATEST)), post("{"), post(modern("x"))]);
            calls
        };
        for (sent, same) in requests().into_iter().zip(requests()) {
            let got = wire.send(sent).await;
            assert_eq!(got.status, 200, "{setup:?}");
            assert_eq!(got.headers[ID], "theirs");
            assert!(!got.headers.contains_key("cache-control"));
            let seen = wire.last();
            assert_eq!(&seen.headers, same.into_request().headers());
            assert!(session_of(&seen).is_none());
        }
        assert_eq!(
            (wire.store.total_calls(), wire.layer.live_sessions()),
            (0, 0)
        );
    }
}
