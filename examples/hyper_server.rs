//! Run with `cargo run --example hyper_server`.
//!
//! The layer around a function, served by hyper: no web framework.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::{Layer, Service, service_fn};
use tower_mcp_session::{
    MemoryStore, Modern, RequestBody, ResponseBody, SessionContext, SessionLayer,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    serve(TcpListener::bind("127.0.0.1:3000").await?).await
}

/// A service with one tool, which counts its calls in a session.
pub(crate) fn app() -> impl Service<
    Request<Incoming>,
    Response = Response<ResponseBody<Full<Bytes>>>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send {
    SessionLayer::new(MemoryStore::new())
        .with_path("/mcp")
        .with_allowed_hosts(["localhost", "127.0.0.1"])
        .with_modern(Modern::Refuse)
        .layer(service_fn(mcp))
}

/// Serves all connections of `listener`.
pub(crate) async fn serve(listener: TcpListener) -> Result<(), BoxError> {
    let app = TowerToHyperService::new(app());
    loop {
        let (connection, _) = listener.accept().await?;
        let app = app.clone();
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            if let Err(error) = server.serve_connection(TokioIo::new(connection), app).await {
                tracing::debug!(error, "a connection broke");
            }
        });
    }
}

async fn mcp<B>(request: Request<RequestBody<B>>) -> Result<Response<Full<Bytes>>, Infallible>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let session = request.extensions().get::<SessionContext>().cloned();
    let message = match read(request.into_body()).await {
        Ok(message) => message,
        Err(error) => return Ok(with_status(StatusCode::BAD_REQUEST, error.to_string())),
    };
    let (method, id) = (message["method"].as_str(), &message["id"]);
    let result = match (method, session) {
        _ if id.is_null() => return Ok(with_status(StatusCode::ACCEPTED, String::new())),
        (Some("initialize"), _) => Ok(json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "hyper", "version": "0.1.0" },
        })),
        (Some("tools/call"), Some(session)) => visit(session).await,
        _ => Err("only initialize and tools/call are understood".into()),
    };
    let mut answer = json!({ "jsonrpc": "2.0", "id": id });
    match result {
        Ok(result) => answer["result"] = result,
        Err(error) => answer["error"] = json!({ "code": -32603, "message": error.to_string() }),
    }
    let mut response = with_status(StatusCode::OK, answer.to_string());
    let json = http::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json);
    Ok(response)
}

async fn visit(session: SessionContext) -> Result<Value, BoxError> {
    let visits = session
        .update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1)
        .await?;
    Ok(json!({ "content": [{ "type": "text", "text": visits.to_string() }] }))
}

async fn read<B>(body: RequestBody<B>) -> Result<Value, BoxError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let body = Limited::new(body, MAX_BODY).collect().await?;
    Ok(serde_json::from_slice(&body.to_bytes())?)
}

fn with_status(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

const MAX_BODY: usize = 1024 * 1024;
