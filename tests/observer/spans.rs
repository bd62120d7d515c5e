//! What a handler logs says whose session it is.

use http::Request;
use tower::{Layer, ServiceExt, service_fn};
use tower_mcp_session::testing::{Answer, ManualClock, ScriptedService};
use tower_mcp_session::{MemoryStore, RequestBody, SessionId, SessionLayer};

use crate::log::Log;
use crate::support::{Body, ID, Instance, LIST, SECOND, id_of, initialize, post, read, shared};

fn fingerprint(id: &str) -> String {
    SessionId::parse(id.as_bytes())
        .unwrap()
        .fingerprint()
        .to_string()
}

/// The lines in which the handler speaks.
fn spoken(log: &Log) -> Vec<String> {
    let text = log.text();
    let lines = text
        .lines()
        .filter(|line| line.contains("the handler speaks"));
    lines.map(str::to_owned).collect()
}

fn in_span(line: &str, id: &str) -> bool {
    line.contains(&format!("mcp_session{{session={}}}", fingerprint(id)))
}

#[tokio::test]
async fn what_a_handler_logs_before_and_after_it_waits_has_the_fingerprint() {
    let (log, _guard) = Log::of_this_thread();
    let layer = SessionLayer::new(MemoryStore::new());
    let service = layer.layer(service_fn(|request: Request<RequestBody<Body>>| {
        // Inside the call, and at two polls of the future.
        tracing::info!("the handler speaks");
        async move {
            tracing::info!("the handler speaks");
            tokio::task::yield_now().await;
            tracing::info!("the handler speaks");
            let is_call = request.headers().contains_key("x-call");
            let answer = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;
            let answer = if is_call { "" } else { answer };
            Ok::<_, std::convert::Infallible>(http::Response::new(Body::from(answer)))
        }
    }));
    let begun = service.clone().oneshot(initialize()).await.unwrap();
    let id = id_of(begun.headers()).unwrap();
    drop(begun);
    assert!(
        spoken(&log)
            .iter()
            .all(|line| !line.contains("mcp_session{"))
    );
    let before = spoken(&log).len();
    let call = || {
        let mut request = post(&id, LIST);
        request.headers_mut().insert("x-call", "1".parse().unwrap());
        request
    };
    // The first one waits for a second look, the others do not.
    for _ in 0..3 {
        service.clone().oneshot(call()).await.unwrap();
    }
    let lines = spoken(&log);
    assert_eq!(lines.len() - before, 9);
    for line in &lines[before..] {
        assert!(in_span(line, &id), "{line}");
    }
    assert!(!log.text().contains(&id));
}

#[tokio::test]
async fn two_sessions_side_by_side_keep_their_own_spans() {
    let (log, _guard) = Log::of_this_thread();
    let instance = Instance::new(|layer| layer);
    let ids = [instance.open().await, instance.open().await];
    instance.server.on("tools/list", |_| {
        tracing::info!("the handler speaks");
        Answer::result(serde_json::json!({}))
    });
    instance.server.hold();
    let mut requests = ids
        .each_ref()
        .map(|id| tokio_test::task::spawn(instance.send(post(id, LIST))));
    for request in &mut requests {
        assert!(request.poll().is_pending());
    }
    assert!(!tracing::Span::current().has_field("session"));
    instance.server.release();
    let [one, other] = requests;
    read(one.await).await;
    read(other.await).await;
    let lines = spoken(&log);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        in_span(&lines[0], &ids[0]) && in_span(&lines[1], &ids[1]),
        "{lines:?}"
    );
}

#[tokio::test]
async fn requests_that_are_restored_sent_again_or_grpc_have_it_too() {
    let (log, _guard) = Log::of_this_thread();
    let (memory, clock) = (MemoryStore::new(), ManualClock::new());
    let instances = [(); 2].map(|()| {
        let server = ScriptedService::new().minting_ids();
        for method in ["tools/list", "initialize"] {
            server.on(method, move |seen| {
                tracing::info!(method, "the handler speaks");
                match method {
                    "initialize" => {
                        Answer::result(serde_json::json!({"protocolVersion": "2025-11-25"}))
                            .with_session_id(&format!("inner-{}", seen.extensions.len()))
                    }
                    _ => Answer::result(serde_json::json!({})),
                }
            });
        }
        Instance::serving(server, shared(&memory), &clock, |layer| {
            layer.with_audience("both")
        })
    });
    let [a, b] = &instances;
    let id = a.open().await;
    let before = spoken(&log).len();
    assert_eq!(b.status(post(&id, LIST)).await, 200);
    clock.advance(SECOND * 11);
    let lines = spoken(&log);
    // The initialize that is sent again, and the request.
    assert_eq!(lines.len() - before, 2, "{lines:?}");
    for line in &lines[before..] {
        assert!(in_span(line, &id), "{line}");
    }
    b.server.on_request(|seen| {
        let is_call = seen.headers.contains_key("content-type");
        is_call.then(|| {
            tracing::info!("the handler speaks");
            Answer::bytes("application/grpc", "").with_trailer("grpc-status", "0")
        })
    });
    let call = Request::post("/pkg.Service/Do")
        .header(ID, &id)
        .header("content-type", "application/grpc")
        .body(Body::default())
        .unwrap();
    let before = spoken(&log).len();
    read(b.send(call).await).await;
    let lines = spoken(&log);
    assert_eq!(lines.len() - before, 1);
    assert!(in_span(&lines[before], &id), "{lines:?}");
}
