//! What all clones of a scripted service share, and how one request is answered.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use http::{HeaderMap, Method, Response};

use super::answer::Answer;
use super::body::{ScriptedBody, ScriptedStream};
use super::defaults;
use super::request::SeenRequest;
use crate::protocol::header;
use crate::testing::shared::Shared;

type Script = Arc<dyn Fn(&SeenRequest) -> Option<Answer> + Send + Sync>;

#[derive(Default)]
pub(super) struct State {
    pub(super) options: Options,
    pub(super) scripts: Vec<Script>,
    pub(super) next: VecDeque<Answer>,
    pub(super) requests: Vec<SeenRequest>,
    pub(super) calls: usize,
    pub(super) clones: usize,
    pub(super) holding: bool,
    pub(super) held: usize,
    pub(super) sessions: BTreeSet<String>,
    /// How many sessions were minted.
    pub(super) minted: u64,
    pub(super) streams: Vec<ScriptedStream>,
    /// How many streams were opened.
    pub(super) opened: u64,
}

/// What kind of server it is.
#[derive(Clone, Default)]
pub(super) struct Options {
    pub(super) sse: bool,
    pub(super) minting: bool,
    pub(super) version: Option<String>,
}

/// Records `request`, waits if it must, and answers it.
pub(super) async fn answer(shared: &Shared<State>, request: SeenRequest) -> Response<ScriptedBody> {
    let waits = shared.update(|state| {
        state.requests.push(request.clone());
        state.held += usize::from(state.holding);
        state.holding
    });
    if waits {
        let _guard = Held(shared);
        shared.wait_for(|state| !state.holding).await;
    }
    // The scripts run outside the lock: they may panic, or ask the service.
    let (next, scripts) = shared.update(|state| (state.next.pop_front(), state.scripts.clone()));
    let scripted = next.or_else(|| scripts.iter().rev().find_map(|script| script(&request)));
    let answer =
        scripted.unwrap_or_else(|| shared.update(|state| defaults::answer(state, &request)));
    respond(shared, &request, answer)
}

fn respond(
    shared: &Shared<State>,
    request: &SeenRequest,
    answer: Answer,
) -> Response<ScriptedBody> {
    let content = answer.content(request);
    shared.update(|state| {
        if request.method == Method::DELETE
            && let Some(id) = request.session_id()
        {
            state.sessions.remove(id);
        }
        let all = [Some(&answer.headers), answer.trailers.as_ref()];
        state
            .sessions
            .extend(all.into_iter().flatten().flat_map(ids));
    });
    let body = ScriptedBody::new(content, answer.trailers);
    let mut response = Response::new(match answer.open {
        true => body.left_open(shared),
        false => body,
    });
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

fn ids(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let values = headers.get_all(header::SESSION_ID).iter();
    values.filter_map(|value| value.to_str().ok().map(str::to_owned))
}

/// Counts a held request as gone, also when its future is dropped.
struct Held<'s>(&'s Shared<State>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.update(|state| state.held -= 1);
    }
}
