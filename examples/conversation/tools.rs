//! What answers from the context: from the values of the session, and from what was said in it.

use axum::http::request::Parts;
use rmcp::handler::server::tool::Extension;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::schemars::{self, JsonSchema};
use rmcp::{tool, tool_router};
use serde::Deserialize;
use serde_json::Value;
use tower_mcp_session::{Message, Role, SessionContext, SessionError};

pub(crate) struct Tools;

#[tool_router(server_handler)]
impl Tools {
    /// Says who is speaking. A real server asks whoever knows the passwords.
    #[tool]
    async fn log_in(&self, head: Extension<Parts>, login: Parameters<Login>) -> Answer {
        let (session, Login { user, password }) = (session(&head.0)?, login.0);
        if password.is_empty() {
            return Err("Without a password nobody is let in.".to_owned());
        }
        session.insert("user", &user).await.map_err(text_of)?;
        Ok(format!("Hello, {user}!"))
    }

    /// Tells the server something.
    #[tool]
    async fn tell(&self, _: Parameters<Text>) -> String {
        "I see.".to_owned()
    }

    /// Finds what was told last about something.
    #[tool]
    async fn recall(&self, head: Extension<Parts>, about: Parameters<Text>) -> Answer {
        let (session, about) = (session(&head.0)?, about.0.text);
        let nobody = "Somebody".to_owned();
        let user = session.get_or("user", nobody).await.map_err(text_of)?;
        // The call that is being answered is the last of them.
        let messages = session.history().recent(50).await.map_err(text_of)?;
        let mut told = messages.iter().rev().filter_map(told);
        match told.find(|told| told.contains(&about)) {
            Some(told) => Ok(format!("{user} told me: {told}")),
            None => Err(format!("Nothing was told about {about}.")),
        }
    }

    /// Sums the conversation up.
    #[tool]
    async fn sum_up(&self, head: Extension<Parts>) -> Answer {
        let history = session(&head.0)?.history();
        let summary = history.summary().await.map_err(text_of)?;
        let roles = Role::ALL.map(|role| format!("{} of {role}", summary.of(role)));
        Ok(format!("{} messages: {}", summary.total, roles.join(", ")))
    }
}

/// What a message tells, if it is a call of `tell`.
fn told(message: &Message) -> Option<String> {
    let content: Value = message.content_as().ok()?;
    let call = content
        .get("params")
        .filter(|params| params["name"] == "tell")?;
    Some(call["arguments"]["text"].as_str()?.to_owned())
}

fn session(head: &Parts) -> Result<&SessionContext, String> {
    let session = head.extensions.get();
    session.ok_or_else(|| "Without a session nothing is remembered.".to_owned())
}

/// Errors of sessions name no id and no value.
fn text_of(error: SessionError) -> String {
    error.to_string()
}

/// The text of a tool's result; an error is marked with `isError`.
type Answer = Result<String, String>;

#[derive(Deserialize, JsonSchema)]
struct Login {
    user: String,
    password: String,
}

#[derive(Deserialize, JsonSchema)]
struct Text {
    text: String,
}
