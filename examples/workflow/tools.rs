//! The tools: each takes a step of the session's order.

use axum::http::request::Parts;
use rmcp::handler::server::tool::Extension;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::schemars::{self, JsonSchema};
use rmcp::{tool, tool_router};
use serde::Deserialize;
use tower_mcp_session::{SessionContext, SessionError, SessionState};

use super::order::{Order, Step};

pub(crate) struct Tools;

#[tool_router(server_handler)]
impl Tools {
    /// Adds an item to the order.
    #[tool]
    async fn add_item(&self, head: Extension<Parts>, text: Parameters<Text>) -> Answer {
        take(session(&head.0)?, Step::Add(text.0.text)).await
    }

    /// Says where the order goes to. No item can be added any more.
    #[tool]
    async fn set_address(&self, head: Extension<Parts>, text: Parameters<Text>) -> Answer {
        take(session(&head.0)?, Step::SendTo(text.0.text)).await
    }

    /// Submits the order. Until it is approved, the session is not served.
    #[tool]
    async fn submit(&self, head: Extension<Parts>) -> Answer {
        let session = session(&head.0)?;
        let order: Order = session
            .get_or(ORDER, Order::default())
            .await
            .map_err(text_of)?;
        if order.after(Step::Submit).is_none() {
            return Err("There is nothing to submit.".to_owned());
        }
        // Before the step is taken: after it, a confirmation could slip in between.
        session.suspend().await.map_err(text_of)?;
        let answer = take(session, Step::Submit).await;
        if answer.is_err() {
            session.resume().await.map_err(text_of)?;
        }
        answer
    }

    /// Confirms the order, once it was approved.
    #[tool]
    async fn confirm(&self, head: Extension<Parts>) -> Answer {
        take(session(&head.0)?, Step::Confirm).await
    }
}

/// Takes `step` in the session's order and shows where it is now, or refuses and changes nothing.
async fn take(session: &SessionContext, step: Step) -> Answer {
    let next = session.try_update(ORDER, |order: Option<Order>| {
        // Calls that were under way when the session was suspended come here too.
        let is_suspended = session.state() == SessionState::Suspended;
        let fits = is_suspended == matches!(step, Step::Submit);
        // Asked again if another call was faster: each step is taken once.
        order
            .unwrap_or_default()
            .after(step.clone())
            .filter(|_| fits)
    });
    match next.await.map_err(text_of)? {
        Some(order) => shown(&order),
        None => {
            let order = session.get_or(ORDER, Order::default()).await;
            let order = shown(&order.map_err(text_of)?)?;
            Err(format!("This cannot be done now. The order: {order}"))
        }
    }
}

fn shown(order: &Order) -> Answer {
    serde_json::to_string(order).map_err(|error| error.to_string())
}

fn session(head: &Parts) -> Result<&SessionContext, String> {
    let session = head.extensions.get();
    session.ok_or_else(|| "An order needs a session.".to_owned())
}

/// Errors of sessions name no id and no value.
fn text_of(error: SessionError) -> String {
    error.to_string()
}

/// The text of a tool's result; an error is marked with `isError`.
type Answer = Result<String, String>;

#[derive(Deserialize, JsonSchema)]
struct Text {
    text: String,
}

/// What the session calls its order.
const ORDER: &str = "order";
