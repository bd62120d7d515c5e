//! Requests through the layer: of a live session, and with ids that are no good.

use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tokio::runtime::Runtime;
use tower::{Layer, Service, service_fn};
use tower_mcp_session::store::{KeyRing, SignedStore, SigningKey};
use tower_mcp_session::{
    Clock, MemoryStore, Principal, RequestBody, SessionLayer, SessionStore, SystemClock,
};

use super::ids::{Kind, SERVICE, id_of, signed};
use super::rounds::{Case, run};

/// Each way in which an id may be wrong: the answers should not differ in time either.
pub(crate) fn refusals() {
    println!("an id that is no good, from the request to its 404");
    let store = signed(Kind::Owned);
    let now = SystemClock.now();
    let good = id_of(&store, Kind::Owned, now).expose();
    let long_ago = now.saturating_sub(std::time::Duration::from_secs(8 * 24 * 3600));
    let key = |id: &str, byte| SigningKey::from_bytes(id, &[byte; 32]).expect("32 bytes");
    let by = |keys, service: &str| {
        let store = SignedStore::new(KeyRing::new(keys), service);
        id_of(&store, Kind::Owned, now).expose()
    };
    let mut forged = good.clone();
    forged.replace_range(forged.len() - 20..forged.len() - 19, "-");
    let ids = [
        ("forged", forged),
        ("of another key", by(key("other", 1), SERVICE)),
        ("of another secret", by(key("2026-11", 1), SERVICE)),
        ("of another service", by(key("2026-11", 7), "other")),
        ("malformed", "a".repeat(good.len())),
        ("expired", id_of(&store, Kind::Owned, long_ago).expose()),
        ("of another principal", good),
    ];
    let runtime = runtime();
    let _inside = runtime.enter();
    let layer = SessionLayer::new(store).with_principal(|_| Ok(Some(Principal::new("bob"))));
    let cases = ids.map(|(name, id)| {
        let mut service = layer.layer(service_fn(answer));
        Case::new(name, move || assert_eq!(status(&mut service, &id), 404))
    });
    let medians = run(cases, 2_000);
    medians.print(0, None);
    for case in 1..7 {
        medians.print(case, Some((0, "")));
    }
    println!();
}

/// A request of a session that lives here.
pub(crate) fn known_session() {
    println!("a request of a live session");
    let runtime = runtime();
    let _inside = runtime.enter();
    let cases = [
        case("in memory", &runtime, MemoryStore::new()),
        case("signed", &runtime, signed(Kind::Anonymous)),
    ];
    let medians = run(cases, 20_000);
    medians.print(0, None);
    medians.print(1, Some((0, "at most 3 allocations more")));
}

fn case(name: &str, runtime: &Runtime, store: impl SessionStore) -> Case<'static> {
    let mut service = SessionLayer::new(store).layer(service_fn(answer));
    let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
    let request = Request::post("/mcp").body(Full::from(initialize));
    let call = service.call(request.expect("a request"));
    let Ok(begun) = runtime.block_on(call);
    let id = begun.headers()["mcp-session-id"]
        .to_str()
        .expect("ASCII")
        .to_owned();
    drop(begun);
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let request = Request::post("/mcp").header("mcp-session-id", &id);
    let call = service.call(request.body(Full::from(initialized)).expect("a request"));
    let Ok(_) = runtime.block_on(call);
    Case::new(name, move || assert_eq!(status(&mut service, &id), 200))
}

/// Serves a request with this id, to the last frame of its answer, without waiting.
fn status<S, R>(service: &mut S, id: &str) -> u16
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible>,
    R: Body,
{
    let request = Request::get("/mcp")
        .header("accept", "text/event-stream")
        .header("mcp-session-id", id);
    let request = request.body(Full::default()).expect("a request");
    let cx = &mut Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(cx) else {
        panic!("nobody is asked");
    };
    let status = response.status().as_u16();
    let mut body = pin!(response.into_body());
    while let Poll::Ready(Some(_)) = body.as_mut().poll_frame(cx) {}
    status
}

async fn answer(_: Request<RequestBody<Full<Bytes>>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let result = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;
    Ok(Response::new(Full::from(result)))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}
