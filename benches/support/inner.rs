//! The service inside: it answers at once.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use tower::Service;
use tower::util::service_fn;

/// The service without anything around it.
pub(crate) fn bare()
-> impl Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible> {
    service_fn(answer)
}

/// A short JSON answer; to an initialize it says yes.
pub(crate) async fn answer<B>(_request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25"}}"#;
    let mut response = Response::new(Full::from(Bytes::from_static(body.as_bytes())));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}
