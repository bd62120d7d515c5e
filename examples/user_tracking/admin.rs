//! What an operator sees of the sessions, and how all of a user are ended. Sessions are named by keys and fingerprints:
//! an id never appears.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tower_mcp_session::store::StoreError;
use tower_mcp_session::{
    EndReason, OwnerTag, Principal, SessionFilter, SessionInfo, SessionState, Sessions,
};

use super::TOKENS;

/// Routes for whoever has `token`.
pub(super) fn routes(sessions: Sessions, token: &str) -> Router {
    let authorization: Arc<str> = format!("Bearer {token}").into();
    Router::new()
        .route("/admin/statistics", get(statistics))
        .route("/admin/sessions", get(all))
        .route("/admin/sessions/{state}", get(in_state))
        .route("/admin/users/{user}", get(of_user).delete(end_all))
        .layer(from_fn_with_state(authorization, authorize))
        .with_state(sessions)
}

/// Lets nobody in without the token: what operators do, nobody asks whose session it is.
async fn authorize(State(expected): State<Arc<str>>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION);
    // In constant time, so that how long it takes says nothing of the token.
    match sent.is_some_and(|sent| sent.as_bytes().ct_eq(expected.as_bytes()).into()) {
        true => next.run(request).await,
        false => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn statistics(State(sessions): State<Sessions>) -> Json<Value> {
    let statistics = sessions.statistics().await;
    let live = statistics.live();
    Json(json!({
        "active": live.active,
        "idle": live.idle,
        "suspended": live.suspended,
        "begun": statistics.created(),
        "ended": statistics.ended_in_all(),
        "ended by an operator": statistics.ended(EndReason::Terminated),
    }))
}

async fn all(State(sessions): State<Sessions>) -> Result<Json<Value>, StatusCode> {
    list(&sessions, SessionFilter::default()).await
}

async fn in_state(
    State(sessions): State<Sessions>,
    Path(state): Path<SessionState>,
) -> Result<Json<Value>, StatusCode> {
    list(&sessions, SessionFilter::default().with_state(state)).await
}

async fn of_user(
    State(sessions): State<Sessions>,
    Path(user): Path<String>,
) -> Result<Json<Value>, StatusCode> {
    let user = Principal::new(user);
    list(&sessions, SessionFilter::default().with_principal(&user)).await
}

/// Ends the user's sessions on every instance. A real operator takes the user's token away first.
async fn end_all(
    State(sessions): State<Sessions>,
    Path(user): Path<String>,
) -> Result<StatusCode, StatusCode> {
    let ended = sessions.terminate_all(&Principal::new(user)).await;
    ended.map_err(unavailable)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list(sessions: &Sessions, filter: SessionFilter) -> Result<Json<Value>, StatusCode> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = sessions.list(&filter, after.as_ref(), 1000).await;
        let page = page.map_err(unavailable)?;
        found.extend(page.sessions.iter().map(shown));
        after = page.next;
        if after.is_none() {
            return Ok(Json(found.into()));
        }
    }
}

fn shown(session: &SessionInfo) -> Value {
    // A store keeps a digest of who it is: whoever knows the users knows which one.
    let is_owner = |user: &str| session.owner == Some(OwnerTag::of(&Principal::new(user)));
    let user = TOKENS.iter().find(|(_, user)| is_owner(user));
    json!({
        "key": session.key.to_string(),
        "user": user.map(|(_, user)| user),
        "client": session.client.as_ref().map(|client| &client.name),
        "state": session.state.as_str(),
        "created": session.created.as_millis(),
        "last_activity": session.last_activity.as_millis(),
    })
}

fn unavailable(_: StoreError) -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}
