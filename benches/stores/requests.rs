//! Requests of a session that lives here, through the layer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::util::service_fn;
use tower::{Layer, Service, ServiceExt};
use tower_mcp_session::{RequestBody, SessionLayer, SessionStore};

use crate::counting::Counting;

/// Prints the requests per second, and the calls of the store for each.
pub(crate) async fn run(store: &Arc<dyn SessionStore>) {
    let store = Counting::new(store);
    let counts = Arc::clone(&store.counts);
    let mut service = SessionLayer::new(store).layer(service_fn(answer));
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
    let response = send(&mut service, None, initialize).await;
    let id = response.headers()["mcp-session-id"].clone();
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    drop(send(&mut service, Some(&id), initialized).await);
    counts.take();

    let (start, mut requests) = (Instant::now(), 0_usize);
    while start.elapsed() < TIME {
        let call = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;
        let response = send(&mut service, Some(&id), call).await;
        let body = response.into_body().collect().await;
        drop(body.expect("a body in memory does not fail"));
        requests += 1;
    }
    let [calls, writes] = counts.take();
    println!(
        "  known session: {:.0} requests per second, {:.2} round trips each; {writes} writes in {} s",
        requests as f64 / start.elapsed().as_secs_f64(),
        calls as f64 / requests as f64,
        TIME.as_secs(),
    );
}

async fn send<S>(service: &mut S, id: Option<&HeaderValue>, body: &'static str) -> S::Response
where
    S: Service<Request<Full<Bytes>>, Error = Infallible, Response: std::fmt::Debug>,
{
    let mut request = Request::post("/mcp")
        .header("content-type", "application/json")
        .body(Full::from(body))
        .expect("all parts are valid");
    if let Some(id) = id {
        request.headers_mut().insert("mcp-session-id", id.clone());
    }
    let Ok(service) = service.ready().await;
    let Ok(response) = service.call(request).await;
    response
}

async fn answer(_: Request<RequestBody<Full<Bytes>>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25"}}"#;
    let mut response = Response::new(Full::from(body));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    Ok(response)
}

const TIME: Duration = Duration::from_secs(5);
