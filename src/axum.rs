//! Extractors for handlers of axum: [`SessionContext`], and `Option<SessionContext>`.
//!
//! A client of 2026-07-28 has no session: a handler that serves such clients too takes the `Option`, or the layer is
//! told [`Modern::Refuse`](crate::Modern::Refuse).
//!
//! # Examples
//!
//! ```
//! use tower_mcp_session::{SessionContext, SessionError};
//!
//! async fn handler(session: SessionContext) -> Result<String, String> {
//!     let visits = session.update("visits", |visits: Option<u32>| visits.unwrap_or(0) + 1).await;
//!     visits.map(|visits| visits.to_string()).map_err(|error: SessionError| error.to_string())
//! }
//! ```

use std::convert::Infallible;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::manager::SessionContext;

/// The request has no session: the layer is not there, or let it pass without one. Answered 500, because the route
/// should not have been reached.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the request has no session; is the SessionLayer there?")]
pub struct MissingSession(());

impl IntoResponse for MissingSession {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for SessionContext {
    type Rejection = MissingSession;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingSession> {
        parts.extensions.get().cloned().ok_or(MissingSession(()))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for SessionContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}
