//! Wire rules 42, 43, 45, 46: GET streams inside a session, without an event store.

use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::json;
use tower_mcp_session::Principal;
use tower_mcp_session::testing::Answer;

#[path = "support/wire.rs"]
mod wire;

use wire::{ID, LAST_EVENT_ID, LATEST, LEGACY, Setup, UNKNOWN, delete, get, initialize, post};

#[tokio::test]
async fn rule_42_a_get_inside_a_session_is_a_stream_or_405() {
    for setup in Setup::all() {
        for version in LEGACY {
            let wire = setup.wire();
            let id = wire.begin_ready(version).await;
            let response = wire.open(get().id(&id).version(version)).await;
            assert_eq!(response.status(), 200, "{setup:?}");
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            assert!(!response.headers().contains_key(ID));
            let stream = wire.inner.streams().remove(0);
            stream.send_event(&json!({"n": 1}));
            let mut body = response.into_body();
            let frame = body.frame().await.unwrap().unwrap();
            let data = frame.into_data().unwrap();
            assert_eq!(data, "event: message\ndata: {\"n\":1}\n\n", "at once");

            wire.inner.answer_next(
                Answer::status(StatusCode::METHOD_NOT_ALLOWED).with_header("allow", "POST"),
            );
            let got = wire.send(get().id(&id).version(version)).await;
            assert_eq!(got.status, 405, "the inner service's own");
        }
        let wire = setup.wire_with(|layer| layer.with_streams(false));
        let id = wire.begin_ready(LATEST).await;
        let calls = wire.inner.calls();
        let got = wire.send(get().id(&id)).await;
        got.assert_refused(405, -32600, None);
        assert_eq!(got.headers["allow"], "POST, DELETE");
        assert_eq!(wire.inner.calls(), calls, "{setup:?}");
    }
}

#[tokio::test]
async fn rule_43_a_session_may_have_two_get_streams() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        let (one, other) = (
            wire.open(get().id(&id)).await,
            wire.open(get().id(&id)).await,
        );
        assert_eq!(
            (one.status(), other.status()),
            (StatusCode::OK, StatusCode::OK)
        );
        let streams = wire.inner.streams();
        assert_eq!(streams.len(), 2, "{setup:?}");
        for (n, (stream, response)) in streams.iter().zip([one, other]).enumerate() {
            stream.send(format!("data: {n}\n\n"));
            stream.end();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, format!("data: {n}\n\n"), "each its own");
        }
    }
}

#[tokio::test]
async fn rule_45_an_event_id_of_another_session_or_principal_gives_no_events() {
    for setup in Setup::all() {
        let wire = setup.wire_with(|layer| {
            layer.with_principal(|parts| Ok(parts.extensions.get::<Principal>().cloned()))
        });
        let (alice, bob) = (Principal::new("alice"), Principal::new("bob"));
        let begin = |who: &Principal| post(initialize(LATEST)).extension(who.clone());
        let of_alice = wire.begin_with(begin(&alice)).await;
        let of_bob = wire.begin_with(begin(&bob)).await;
        let calls = wire.inner.calls();

        // Bob presents what Alice's stream gave her, with her id or with his.
        let stolen = get()
            .id(&of_alice)
            .header(LAST_EVENT_ID, "alice-1")
            .extension(bob.clone());
        wire.send(stolen).await.assert_not_found(None);
        assert_eq!(wire.inner.calls(), calls);
        let own = get()
            .id(&of_bob)
            .header(LAST_EVENT_ID, "alice-1")
            .extension(bob);
        if setup.minting {
            // Only the inner service keeps events, and it is asked in Bob's own inner session.
            drop(wire.open(own).await);
            assert_eq!(wire.last().session_id(), Some("inner-2"));
        } else {
            wire.send(own).await.assert_refused(400, -32600, None);
            assert_eq!(
                wire.inner.calls(),
                calls,
                "never shown to the inner service"
            );
        }
    }
}

#[tokio::test]
async fn rule_46_an_unknown_event_id_is_400_and_not_404() {
    for setup in Setup::all() {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        let calls = wire.inner.calls();
        for event in ["1", "", "\u{fc}", UNKNOWN] {
            wire.inner.on_request(|request| {
                let resumes = request.headers.contains_key(LAST_EVENT_ID);
                resumes.then(|| Answer::status(StatusCode::BAD_REQUEST))
            });
            let got = wire.send(get().id(&id).header(LAST_EVENT_ID, event)).await;
            if setup.minting {
                assert_eq!(got.status, 400, "the inner service's answer passes");
                let seen = wire.last();
                assert_eq!(seen.headers[LAST_EVENT_ID].as_bytes(), event.as_bytes());
            } else {
                got.assert_refused(400, -32600, None);
                assert_eq!(wire.inner.calls(), calls);
            }
        }
        assert!(wire.serves(&id).await, "{setup:?}");
        // On other verbs the header resumes nothing.
        let got = wire.send(delete().id(&id).header(LAST_EVENT_ID, "1")).await;
        assert_eq!(got.status, 204);
    }
}
