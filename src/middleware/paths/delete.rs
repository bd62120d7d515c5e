//! The end of a session by its client. Wire rules 24 to 27.

use std::sync::Arc;

use tracing::warn;

use crate::manager::{EndReason, LiveSession};
use crate::middleware::endpoint::Endpoint;
use crate::middleware::reply::{self, Answer};
use crate::protocol::cause::Unavailable;
use crate::protocol::error::Refusal;

/// Ends `session`, and answers once the store has said so.
///
/// All of it runs in a task of its own: a client that leaves does not leave half a session behind.
pub(super) async fn run<R>(endpoint: &Endpoint, session: Arc<LiveSession>) -> Answer<R> {
    let manager = endpoint.manager.clone();
    let ended = Arc::clone(&session);
    let ending = tokio::spawn(async move { manager.terminate(&ended, EndReason::Deleted).await });
    let unavailable = |cause| reply::unavailable(endpoint, Some(&session), cause, None);
    match ending.await {
        Ok(Ok(true)) => reply::ended(),
        // Somebody else was faster.
        Ok(Ok(false)) => reply::refuse(endpoint, Some(&session), Refusal::SessionNotFound, None),
        Ok(Err(error)) => {
            warn!(%error, "session not ended");
            unavailable(Unavailable::Store)
        }
        Err(_) => unavailable(Unavailable::Panicked),
    }
}
