//! Who is calling: what the authentication in front of the layer found out.

use std::error::Error;
use std::fmt;

use http::request::Parts;

use crate::session::Principal;

/// Finds the principal of a request, from what an authentication layer left in its extensions.
///
/// Implemented for closures; [`SessionLayer::with_principal`](crate::SessionLayer::with_principal) takes one.
///
/// # Security
///
/// Read what was *verified*: an extension that your own layer put in. A header that the client wrote proves nothing.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::{MemoryStore, Principal, SessionLayer};
///
/// #[derive(Clone)]
/// struct VerifiedToken {
///     subject: String,
/// }
///
/// let layer = SessionLayer::new(MemoryStore::new()).with_principal(|parts: &http::request::Parts| {
///     let token = parts.extensions.get::<VerifiedToken>();
///     Ok(token.map(|token| Principal::new(token.subject.as_str())))
/// });
/// ```
pub trait PrincipalExtractor: Send + Sync + 'static {
    /// The principal of a request; `None` if it is anonymous.
    ///
    /// # Errors
    ///
    /// If it cannot be known. The request is refused with 503 then; the error is not shown to the client.
    fn principal(&self, parts: &Parts) -> Result<Option<Principal>, Box<dyn Error + Send + Sync>>;
}

impl<F> PrincipalExtractor for F
where
    F: Fn(&Parts) -> Result<Option<Principal>, Box<dyn Error + Send + Sync>>
        + Send
        + Sync
        + 'static,
{
    fn principal(&self, parts: &Parts) -> Result<Option<Principal>, Box<dyn Error + Send + Sync>> {
        self(parts)
    }
}

impl fmt::Debug for dyn PrincipalExtractor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrincipalExtractor")
    }
}
