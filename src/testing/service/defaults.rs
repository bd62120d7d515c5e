//! What a scripted service answers when no script says otherwise.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::{Answer, event};
use super::request::SeenRequest;
use super::state::State;

pub(super) fn answer(state: &mut State, request: &SeenRequest) -> Answer {
    let begins = request.rpc_method().as_deref() == Some("initialize");
    if state.options.minting && !begins {
        match request.session_id() {
            None => return Answer::status(StatusCode::BAD_REQUEST),
            Some(id) if !state.sessions.contains(id) => {
                return Answer::status(StatusCode::NOT_FOUND);
            }
            Some(_) => {}
        }
    }
    match request.method {
        Method::GET => Answer::events([]).left_open(),
        Method::DELETE => Answer::status(StatusCode::OK),
        Method::POST if begins => initialize(state, request),
        Method::POST => post(state, request),
        _ => Answer::status(StatusCode::METHOD_NOT_ALLOWED),
    }
}

fn initialize(state: &mut State, request: &SeenRequest) -> Answer {
    let asked = request.json().and_then(|body| {
        let version = body.pointer("/params/protocolVersion")?;
        version.as_str().map(str::to_owned)
    });
    let version = state.options.version.clone().or(asked);
    let result = json!({
        "protocolVersion": version.as_deref().unwrap_or("2025-11-25"),
        "capabilities": {},
        "serverInfo": { "name": "scripted", "version": "0" },
    });
    let answer = in_form(state, request, result);
    if !state.options.minting {
        return answer;
    }
    state.minted += 1;
    answer.with_session_id(&format!("inner-{}", state.minted))
}

fn post(state: &State, request: &SeenRequest) -> Answer {
    match request.json() {
        None => Answer::error(-32700, "not JSON").with_status(StatusCode::BAD_REQUEST),
        Some(Value::Array(batch)) => batch_answer(&batch),
        Some(message) => match (message.get("method"), message.get("id")) {
            (Some(method), Some(_)) => in_form(state, request, json!({ "method": method })),
            // A notification, or an answer of the client.
            _ => Answer::status(StatusCode::ACCEPTED),
        },
    }
}

fn batch_answer(batch: &[Value]) -> Answer {
    let asked = batch
        .iter()
        .filter(|message| message.get("method").is_some());
    let answers: Vec<_> = asked
        .filter_map(|message| Some((message.get("id")?, message.get("method")?)))
        .map(|(id, method)| json!({ "jsonrpc": "2.0", "id": id, "result": { "method": method } }))
        .collect();
    match answers.is_empty() {
        true => Answer::status(StatusCode::ACCEPTED),
        false => Answer::json(&Value::Array(answers)),
    }
}

/// `result` as JSON or as an event stream.
fn in_form(state: &State, request: &SeenRequest, result: Value) -> Answer {
    let answer = Answer::result(result);
    if !state.options.sse {
        return answer;
    }
    // 2025-11-25, Transports: an event with an id and empty data lets the client reconnect.
    let priming = "id: 0\ndata:\n\n";
    let message = serde_json::from_slice(&answer.content(request)).unwrap_or_default();
    Answer::bytes("text/event-stream", format!("{priming}{}", event(&message)))
}
