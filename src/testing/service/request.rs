//! What a scripted service has seen of a request.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http::{Extensions, HeaderMap, Method, Request, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::protocol::header;

/// A request as a [`ScriptedService`](super::ScriptedService) has seen it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SeenRequest {
    /// Its verb.
    pub method: Method,
    /// Its address.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// A copy of its extensions.
    pub extensions: Extensions,
    /// Its body, as far as it came.
    pub body: Bytes,
    /// Whether the body came to its end without an error.
    pub complete: bool,
}

impl SeenRequest {
    /// The body as JSON, if it is.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The method that a JSON-RPC request or notification names.
    pub fn rpc_method(&self) -> Option<String> {
        Some(self.json()?.get("method")?.as_str()?.to_owned())
    }

    /// The id of a JSON-RPC request.
    pub fn rpc_id(&self) -> Option<Value> {
        self.json()?.get("id").cloned()
    }

    /// The value of the first `Mcp-Session-Id` header, if it is text.
    pub fn session_id(&self) -> Option<&str> {
        self.headers.get(header::SESSION_ID)?.to_str().ok()
    }

    pub(super) async fn read<B>(request: Request<B>) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let (head, body) = request.into_parts();
        let mut body = pin!(body);
        let mut bytes = BytesMut::new();
        let complete = loop {
            match body.frame().await {
                Some(Ok(frame)) => {
                    bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data))
                }
                Some(Err(_)) => break false,
                None => break true,
            }
        };
        Self {
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            extensions: head.extensions,
            body: bytes.freeze(),
            complete,
        }
    }
}
