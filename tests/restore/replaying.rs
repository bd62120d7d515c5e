//! What the inner service sees of a restore, and what the client does.

use http::{HeaderName, Request};
use tower_mcp_session::{Restore, SessionContext, SessionRestored};

use crate::pair::{INITIALIZED, Kind, MAPPED, UNMAPPED, soon, with};
use crate::support::{
    self, Body, Caller, ID, LIST, PING, SECOND, by, delete, get, id_of, initialize, ping, post,
    read,
};

#[tokio::test]
async fn rule_60_a_session_of_the_store_is_replayed_once_and_its_client_sees_no_difference() {
    for (sse, watched) in [(false, true), (true, true), (true, false), (false, false)] {
        let pair = Kind {
            mapped: true,
            sse,
            watched,
        }
        .pair();
        for body in [LIST, PING] {
            let id = pair.a.open().await;
            let expected = read(pair.a.send(post(&id, body)).await).await;
            let before = pair.b.server.requests().len();
            let got = read(pair.b.send(post(&id, body)).await).await;
            assert_eq!(got, expected);
            let name = if body == LIST { "tools/list" } else { "ping" };
            assert_eq!(
                pair.seen()[before..],
                ["initialize", "notifications/initialized", name]
            );
            assert!(pair.b.serves(&id).await && pair.a.serves(&id).await);
            assert_eq!(pair.b.server.requests().len(), before + 4);
        }
    }
}

#[tokio::test]
async fn the_first_request_may_be_a_stream() {
    let pair = MAPPED.pair();
    let id = pair.a.open().await;
    let answer = pair.b.send(get(&id)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(
        pair.seen(),
        ["initialize", "notifications/initialized", "GET"]
    );
    soon(pair.b.server.wait_for_streams(1)).await;
}

#[tokio::test]
async fn the_replay_holds_the_stored_params_an_id_of_ours_and_nothing_of_the_request() {
    let pair = MAPPED.pair();
    let body = r#"{"jsonrpc":"2.0","id":"c","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{}},"clientInfo":{"name":"t","version":"1"},"_meta":{"progressToken":1}}}"#;
    let begun = pair
        .a
        .send(Request::post("/mcp").body(Body::from(body)).unwrap())
        .await;
    let id = id_of(begun.headers()).unwrap();
    read(begun).await;
    pair.a.status(post(&id, INITIALIZED)).await;
    let mut request = with(post(&id, LIST), "mcp-protocol-version", "2025-06-18");
    for (name, value) in [
        ("mcp-method", "tools/list"),
        ("content-length", "99"),
        ("accept", "text/html"),
        ("content-type", "text/plain"),
        ("accept-encoding", "gzip"),
        ("x-other", "1"),
    ] {
        request = with(request, name, value);
    }
    assert_eq!(pair.b.status(request).await, 200);
    let seen = pair.b.server.requests();
    let message = seen[0].json().unwrap();
    assert_eq!(
        message["params"],
        serde_json::json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "roots": {} },
            "clientInfo": { "name": "t", "version": "1" },
        })
    );
    assert!(message["id"].as_str().unwrap().starts_with("restore-"));
    assert_eq!(seen[0].headers.len(), 2, "{:?}", seen[0].headers);
    for replay in &seen[..2] {
        assert_eq!(replay.method, "POST");
        assert_eq!(replay.uri, "/mcp");
        assert_eq!(replay.headers["content-type"], "application/json");
        assert_eq!(
            replay.headers["accept"],
            "application/json, text/event-stream"
        );
    }
    assert_eq!(seen[1].session_id(), Some("inner-1"));
    assert_eq!(seen[1].headers["mcp-protocol-version"], "2025-11-25");
    assert_eq!(seen[2].session_id(), Some("inner-1"));
    assert_eq!(seen[2].headers["mcp-protocol-version"], "2025-06-18");
}

#[tokio::test]
async fn headers_that_say_who_calls_go_along_and_those_that_an_option_names() {
    let option = [
        HeaderName::from_static("x-api-key"),
        HeaderName::from_static(ID),
    ];
    let pair = MAPPED.pair_with(|layer| layer.with_restore_headers(option.clone()));
    let id = pair.a.open().await;
    let along = [
        ("host", "mcp.example"),
        ("origin", "https://mcp.example"),
        ("authorization", "Bearer t"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("forwarded", "for=192.0.2.1"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("tracestate", "a=b"),
        ("baggage", "k=v"),
        ("x-b3-traceid", "1"),
        ("x-api-key", "k"),
    ];
    let mut request = post(&id, LIST);
    for (name, value) in along {
        request = with(request, name, value);
    }
    request = with(request, "x-real-ip", "192.0.2.1");
    assert_eq!(pair.b.status(request).await, 200);
    for seen in &pair.b.server.requests()[..2] {
        for (name, value) in along {
            let mut values = seen.headers.get_all(name).iter();
            assert!(values.any(|it| it == value), "{name}");
        }
        assert!(!seen.headers.contains_key("x-real-ip"));
    }
    assert_eq!(pair.b.server.requests()[0].session_id(), None);
}

#[tokio::test]
async fn a_replay_is_marked_and_has_the_session_and_what_its_caller_has() {
    let pair = MAPPED.pair();
    let id = pair.a.open_as("alice").await;
    pair.a.context().insert("n", &7).await.unwrap();
    assert_eq!(pair.b.status(by(ping(&id), "alice")).await, 200);
    let seen = pair.b.server.requests();
    for replay in &seen[..2] {
        assert!(replay.extensions.get::<SessionRestored>().is_some());
        assert_eq!(replay.extensions.get::<Caller>().unwrap().0, "alice");
        let session = replay.extensions.get::<SessionContext>().unwrap();
        assert_eq!(session.id().unwrap().expose(), id);
        assert!(session.is_restored());
        assert_eq!(session.get("n").await.unwrap(), Some(7));
    }
    assert!(seen[2].extensions.get::<SessionRestored>().is_none());
    assert!(pair.b.context().is_restored());
    let own = &pair.a.server.requests()[0];
    assert!(own.extensions.get::<SessionRestored>().is_none());
    assert!(!pair.a.context().is_restored());
}

#[tokio::test]
async fn the_end_of_the_handshake_is_said_again_only_if_the_client_has_said_it() {
    for watched in [true, false] {
        let pair = Kind { watched, ..MAPPED }.pair();
        let id = pair.a.begin().await;
        assert_eq!(pair.b.status(ping(&id)).await, 200);
        assert_eq!(pair.seen(), ["initialize", "ping"]);
        // It is the first one here: nothing is swallowed.
        assert_eq!(pair.b.status(post(&id, INITIALIZED)).await, 202);
        assert_eq!(pair.seen()[2..], ["notifications/initialized"]);
        assert_eq!(pair.b.status(ping(&id)).await, 200);
    }
}

#[tokio::test]
async fn the_clients_own_initialized_after_a_replay_is_swallowed_once() {
    for first in [INITIALIZED, LIST] {
        let pair = MAPPED.pair();
        let id = pair.a.open().await;
        let answer = read(pair.b.send(post(&id, first)).await).await;
        if first == LIST {
            let (status, _, body) = read(pair.b.send(post(&id, INITIALIZED)).await).await;
            assert_eq!((status.as_u16(), body.len()), (202, 0));
        } else {
            assert_eq!((answer.0.as_u16(), answer.2.len()), (202, 0));
        }
        let seen = pair.seen();
        let said = seen.iter().filter(|name| name.ends_with("/initialized"));
        assert_eq!(said.count(), 1, "{seen:?}");
        assert_eq!(pair.b.status(post(&id, INITIALIZED)).await, 202);
        assert_eq!(pair.seen().last().unwrap(), "notifications/initialized");
    }
}

#[tokio::test]
async fn a_minute_after_a_replay_bodies_are_not_read_any_more() {
    let pair = MAPPED.pair();
    let id = pair.a.open().await;
    assert!(pair.b.serves(&id).await);
    pair.clock.advance(SECOND * 60);
    let before = pair.seen().len();
    assert_eq!(pair.b.status(post(&id, INITIALIZED)).await, 202);
    assert_eq!(pair.seen()[before..], ["notifications/initialized"]);
}

#[tokio::test]
async fn a_session_without_an_inner_one_is_loaded_and_replayed_only_if_always() {
    for (restore, seen) in [
        (Restore::Auto, &["tools/list"][..]),
        (Restore::Never, &["tools/list"]),
        (
            Restore::Always,
            &["initialize", "notifications/initialized", "tools/list"],
        ),
    ] {
        let pair = UNMAPPED.pair_with(|layer| layer.with_restore(restore));
        let id = pair.a.open().await;
        assert_eq!(pair.b.status(post(&id, LIST)).await, 200);
        assert_eq!(pair.seen(), seen, "{restore:?}");
        assert!(pair.b.context().is_restored());
    }
}

#[tokio::test]
async fn with_never_a_mapped_session_is_served_where_it_began_and_nowhere_else() {
    let pair = MAPPED.pair_with(|layer| layer.with_restore(Restore::Never));
    let id = pair.a.open().await;
    let unknown = read(pair.b.send(ping(support::UNKNOWN)).await).await;
    assert_eq!(read(pair.b.send(ping(&id)).await).await.0, unknown.0);
    assert!(pair.seen().is_empty());
    assert!(pair.a.serves(&id).await);
    let own = pair.b.open().await;
    assert!(pair.b.serves(&own).await);
    assert_eq!(pair.b.status(delete(&id)).await, 204);
    assert!(!pair.a.serves(&id).await);
}

#[tokio::test]
async fn delete_loads_and_never_replays() {
    let pair = MAPPED.pair();
    let id = pair.a.open().await;
    assert_eq!(pair.b.status(delete(&id)).await, 204);
    assert!(pair.seen().is_empty());
    assert_eq!(pair.b.layer.live_sessions(), 0);
    assert_eq!(pair.b.status(delete(&id)).await, 404);
    assert!(!pair.a.serves(&id).await);
}

#[tokio::test]
async fn grpc_loads_and_never_replays_and_leaves_that_to_the_next_request() {
    let pair = MAPPED.pair_with(|layer| layer.with_audience("/mcp"));
    let id = pair.a.open().await;
    let call = || {
        Request::post("/package.Service/Method")
            .header("content-type", "application/grpc")
            .header(ID, &id)
            .body(Body::default())
            .unwrap()
    };
    for _ in 0..2 {
        pair.b.send(call()).await;
    }
    assert_eq!(pair.seen(), ["POST", "POST"]);
    assert_eq!(pair.b.context().id().unwrap().expose(), id);
    assert!(pair.b.serves(&id).await);
    assert_eq!(pair.replays(), 1);
    pair.b.send(call()).await;
    assert!(pair.b.serves(&id).await);
    assert_eq!(pair.replays(), 1);
}

#[tokio::test]
async fn a_stream_is_not_resumed_after_a_restore() {
    let pair = MAPPED.pair();
    let id = pair.a.open().await;
    let resume = || with(get(&id), "last-event-id", "0");
    assert_eq!(pair.a.send(resume()).await.status(), 200);
    assert_eq!(pair.b.send(resume()).await.status(), 400);
    assert!(pair.b.serves(&id).await);
    assert_eq!(pair.b.send(resume()).await.status(), 400);
    assert!(!pair.seen().contains(&"GET".to_owned()));
}

#[tokio::test]
async fn a_client_that_begins_again_with_an_old_id_gets_a_session_of_its_own() {
    let pair = MAPPED.pair();
    let id = pair.a.open().await;
    assert_eq!(pair.a.status(delete(&id)).await, 204);
    let answer = pair.b.send(with(initialize(), ID, &id)).await;
    assert_eq!(answer.status(), 200);
    assert_ne!(id_of(answer.headers()).unwrap(), id);
}
