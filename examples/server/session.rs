//! How a tool gets at its session.

use axum::http::request::Parts;
use rmcp::ErrorData;
use rmcp::handler::server::common::{AsRequestContext, FromContextPart};
use tower_mcp_session::SessionContext;

/// The session of a call, as a parameter of a tool; none for clients of 2026-07-28 and later, which have no sessions.
pub(crate) struct CurrentSession(pub(crate) Option<SessionContext>);

impl<C: AsRequestContext> FromContextPart<C> for CurrentSession {
    fn from_context_part(context: &mut C) -> Result<Self, ErrorData> {
        // rmcp hands on the head of the HTTP request, and with it what the layer put there.
        let head = context.as_request_context().extensions.get::<Parts>();
        Ok(Self(head.and_then(|head| head.extensions.get().cloned())))
    }
}
