//! Wire rule 89: what is not MCP's passes untouched.

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::json;
use tower_mcp_session::testing::{Answer, ScriptedService};

#[path = "support/wire.rs"]
mod wire;

use wire::{
    Body, Call, ID, INITIALIZED, LATEST, LIST, MODERN, PING, Setup, UNKNOWN, VERSION, Wire, call,
    delete, full, get, initialize, modern, post, session_of, until_open,
};

/// A body in pieces, with trailers.
fn pieces(of: &[u8], size: usize) -> Body {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", http::HeaderValue::from_static("1"));
    let frames: Vec<_> = of
        .chunks(size)
        .map(|piece| Frame::data(Bytes::copy_from_slice(piece)))
        .chain([Frame::trailers(trailers)])
        .map(Ok)
        .collect();
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

/// Requests of other services, without an id.
fn requests() -> Vec<Call> {
    let json = |text: &str| {
        call(Method::POST, full(text.to_owned())).header("content-type", "application/json")
    };
    let large = format!(r#"{{"items":[{}1]}}"#, "1,".repeat(40_000));
    vec![
        get().without("accept"),
        get().without("accept").header("accept", "text/html,*/*"),
        get().without("accept").version(LATEST),
        get().without("accept").version(MODERN),
        get().without("accept").id(""),
        delete(),
        delete().version(LATEST),
        delete().version(MODERN),
        call(Method::PUT, full(r#"{"jsonrpc":"2.0"}"#)),
        call(Method::PATCH, full("x")),
        call(Method::HEAD, full("")),
        call(Method::OPTIONS, full("")).header("access-control-request-method", "POST"),
        call(Method::OPTIONS, full("")).version(MODERN),
        json(r#"{"name":"a","id":1,"method":"initialize"}"#),
        json(r#"{"method":"ping","id":1}"#),
        json(r#"[{"method":"ping","id":1}]"#),
        json(r#"{"a":1,"a":2,"id":1,"id":2}"#),
        json("[]"),
        json("null"),
        json("7"),
        json(r#""jsonrpc""#),
        json(""),
        json("{"),
        json("{\"jsonrpc\":\"2.0\""),
        json(&large),
        json(&format!("{{\"jsonrpc\":\"2.0\",\"x\":{large}}}")),
        json(PING).header("content-encoding", "gzip"),
        json("x=1").without("content-type"),
        json("x=1")
            .without("content-type")
            .header("content-type", "application/x-www-form-urlencoded"),
        json(PING)
            .without("content-type")
            .header("content-type", "text/plain"),
        call(Method::POST, pieces(PING.as_bytes(), 3))
            .header("content-type", "application/octet-stream"),
        call(Method::POST, pieces(br#"{"items":[1,2,3]}"#, 3))
            .header("content-type", "application/vnd.api+json"),
    ]
}

#[tokio::test]
async fn rule_89_without_a_path_what_is_not_mcps_is_untouched() {
    for setup in Setup::all().filter(|setup| !setup.path) {
        let wire = setup.wire();
        let count = requests().len();
        for (n, (sent, bare)) in requests().into_iter().zip(requests()).enumerate() {
            let answer = || {
                Answer::bytes("text/html", "<p>")
                    .with_status(http::StatusCode::IM_A_TEAPOT)
                    .with_header("cache-control", "public")
                    .with_header("set-cookie", "a")
                    .with_header("set-cookie", "b")
                    .with_trailer("x-trailer", "t")
            };
            let plain = ScriptedService::new();
            plain.answer_next(answer());
            let bare = tower::ServiceExt::oneshot(plain.clone(), bare.into_request());
            let bare = bare.await.unwrap();
            let expected = plain.requests().remove(0);

            wire.inner.answer_next(answer());
            let response = wire.open(sent).await;
            assert_eq!(response.status(), bare.status(), "{setup:?} {n}");
            assert_eq!(response.headers(), bare.headers());
            let (mut seen, mut want) = (wire.last(), expected);
            // An empty id header is no id, but it is an id header.
            seen.headers.remove(ID);
            want.headers.remove(ID);
            assert_eq!(seen.method, want.method);
            assert_eq!(seen.headers, want.headers, "{n}");
            assert_eq!(seen.body, want.body, "{n}");
            assert_eq!(seen.complete, want.complete);
            assert!(session_of(&seen).is_none());
            let body = response.into_body().collect().await.unwrap();
            assert_eq!(body.trailers().unwrap()["x-trailer"], "t");
            assert_eq!(body.to_bytes(), "<p>");
        }
        assert_eq!(wire.inner.calls(), count);
        assert_eq!(
            (wire.store.total_calls(), wire.layer.live_sessions()),
            (0, 0)
        );
    }
}

#[tokio::test]
async fn rule_89_an_upload_of_20_mib_passes_byte_for_byte() {
    let bytes: Vec<u8> = (0..20 << 20_u32).map(|n| (n % 251) as u8).collect();
    let mut json = bytes.clone();
    json[..16].copy_from_slice(br#"{"jsonrpc":"2.0""#);
    for (kind, upload) in [
        ("application/octet-stream", &bytes),
        ("multipart/form-data; boundary=x", &bytes),
        ("application/json", &bytes),
        ("application/json", &json),
    ] {
        for size in [16 << 10, 7 << 20] {
            let wire = Wire::plain();
            let body = pieces(upload, size);
            let request = call(Method::POST, body).header("content-type", kind);
            wire.inner
                .answer_next(Answer::bytes("text/plain", "thanks"));
            let got = wire.send(request).await;
            assert_eq!(got.text(), "thanks");
            let seen = wire.last();
            assert!(seen.complete && seen.body[..] == upload[..], "{kind}");
        }
    }
}

#[tokio::test]
async fn rule_89_an_answer_of_20_mib_passes_byte_for_byte() {
    let bytes = Bytes::from(vec![7; 20 << 20]);
    let wire = Wire::plain();
    wire.inner
        .answer_next(Answer::bytes("application/octet-stream", bytes.clone()));
    let got = wire.send(get().without("accept")).await;
    assert!(got.body == bytes);
}

#[tokio::test]
async fn rule_89_with_a_path_no_request_of_another_path_is_touched() {
    for setup in Setup::all().filter(|setup| setup.path) {
        let wire = setup.wire();
        let id = wire.begin_ready(LATEST).await;
        for path in ["/", "/mcp/", "/mcp/x", "/MCP", "/health"] {
            for (sent, again) in [
                (post(PING), post(PING)),
                (post(PING).id(&id), post(PING).id(&id)),
                (get().id(UNKNOWN).id("b"), get().id(UNKNOWN).id("b")),
                (
                    delete().id(&id).version(MODERN),
                    delete().id(&id).version(MODERN),
                ),
                (post(initialize(LATEST)), post(initialize(LATEST))),
                (post("{"), post("{")),
            ] {
                let answer = Answer::bytes("text/plain", "x").with_header(ID, "theirs");
                wire.inner.answer_next(answer);
                let got = wire.send(sent.at(path)).await;
                assert_eq!((got.text(), got.id().as_deref()), ("x", Some("theirs")));
                let seen = wire.last();
                assert_eq!(&seen.headers, again.into_request().headers(), "{setup:?}");
                assert!(session_of(&seen).is_none());
            }
        }
        assert_eq!(wire.layer.live_sessions(), 1);
        assert!(wire.serves(&id).await);
    }
}

#[tokio::test]
async fn rule_89_with_a_path_all_requests_of_that_path_are_mcps() {
    for setup in Setup::all().filter(|setup| setup.path) {
        let wire = setup.wire();
        for (request, status, code) in [
            (get().without("accept"), 400, -32600),
            (delete(), 400, -32600),
            (post(r#"{"method":"ping","id":1}"#), 400, -32600),
            (post("[]"), 400, -32600),
            (post("null"), 400, -32600),
            (post(""), 400, -32700),
            (post("{"), 400, -32700),
            (post("x=1").without("content-type"), 400, -32700),
            (post(format!("[{}1]", "1,".repeat(40_000))), 413, -32600),
            (post(PING).header("content-encoding", "gzip"), 415, -32600),
        ] {
            let got = wire.send(request).await;
            assert_eq!(got.status, status, "{got:?}");
            assert_eq!(got.json()["error"]["code"], code, "{got:?}");
        }
        assert_eq!(wire.inner.calls(), 0, "{setup:?}");
        // Other verbs are nobody's of MCP: CORS needs OPTIONS.
        let options = call(Method::OPTIONS, full(""));
        wire.inner
            .answer_next(Answer::status(http::StatusCode::NO_CONTENT));
        assert_eq!(wire.send(options).await.status, 204);
    }
}

#[tokio::test]
async fn without_a_path_mcps_own_requests_are_told_by_what_they_carry() {
    for setup in Setup::all().filter(|setup| !setup.path) {
        let wire = setup.wire();
        for (request, echoed) in [
            (post(LIST).at("/any"), Some("8")),
            (post(INITIALIZED), None),
            (post(LIST).without("content-type"), Some("8")),
            (
                post(LIST)
                    .without("content-type")
                    .header("content-type", "application/json; charset=utf-8"),
                Some("8"),
            ),
            (post(format!("\n\t [{PING}]")), None),
            (get(), None),
        ] {
            wire.send(request).await.assert_refused(400, -32600, echoed);
        }
        assert_eq!(wire.inner.calls(), 0, "{setup:?}");
        wire.inner.on("x", |_| Answer::result(json!(1)));
        let got = wire.send(post(modern("x")).at("/any")).await;
        assert_eq!(got.status, 200);
        assert!(!wire.last().headers.contains_key(VERSION));
    }
}

#[tokio::test]
async fn a_session_that_a_server_begins_for_what_is_not_mcps_leaves_nothing_open() {
    for setup in Setup::all().filter(|setup| setup.minting && !setup.path) {
        let wire = setup.wire();
        let without_jsonrpc = initialize(LATEST).replace(r#""jsonrpc":"2.0","#, "");
        for request in [
            post(without_jsonrpc),
            post(initialize(LATEST))
                .without("content-type")
                .header("content-type", "text/plain"),
        ] {
            let got = wire.send(request).await;
            assert_eq!((got.status.as_u16(), got.id()), (200, None));
            until_open(&wire.inner, 0).await;
        }
        assert_eq!(wire.layer.live_sessions(), 0);
    }
}
