//! An initialize: the inner service answers it, and if it succeeds a session begins.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http::header::ACCEPT_ENCODING;
use http_body::Body;

use super::Arrival;
use super::begin::{Admitted, Begun, admit, in_a_task};
use crate::middleware::answer::{Outcome, examine};
use crate::middleware::body::RequestBody;
use crate::middleware::inner::{self, InnerService, call};
use crate::middleware::reply::{self, Answer};
use crate::protocol::cause::Unavailable;
use crate::protocol::error::Refusal;
use crate::protocol::header;
use crate::protocol::initialize::InitializeParams;
use crate::protocol::message::{Message, RequestId};

/// Serves an initialize; `message` is what was read of its `body`.
///
/// From the inner call on it runs in a task of its own. A client that leaves in the middle does not stop it, so that
/// what the inner service began can be ended again; a client that left before the answer leaves no session.
pub(super) async fn run<S, B, R>(
    arrival: Arrival<S>,
    body: RequestBody<B>,
    message: &Message<'_>,
) -> Result<Answer<R>, S::Error>
where
    S: InnerService<B, R>,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    let Some(id) = message
        .id
        .as_ref()
        .filter(|_| arrival.endpoint.options.stateful)
    else {
        return arrival.pass(body, false).await;
    };
    let endpoint = Arc::clone(&arrival.endpoint);
    let refuse = |refusal| reply::refuse(&endpoint, None, refusal, Some(id));
    let params = InitializeParams::of(message)
        .and_then(InitializeParams::to_stored)
        .unwrap_or_default();
    if params.get().len() > endpoint.manager.core().config.max_initialize_params {
        return Ok(refuse(Refusal::TooLarge));
    }
    let admitted = match admit(&endpoint, &arrival.parts, params).await {
        Ok(admitted) => admitted,
        Err(not_begun) => return Ok(refuse(not_begun.into())),
    };
    let begun = in_a_task(begin(arrival, admitted, body, id.clone().into_owned())).await;
    begun.unwrap_or_else(|| Ok(refuse(Refusal::Unavailable(Unavailable::Panicked))))
}

/// Calls the inner service, and makes a session if it says yes.
async fn begin<S, B, R>(
    mut arrival: Arrival<S>,
    admitted: Admitted,
    body: RequestBody<B>,
    id: RequestId<'static>,
) -> Result<Begun<R>, S::Error>
where
    S: InnerService<B, R>,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    // They belong to an old session, or would hide the answer from us.
    for name in [header::SESSION_ID, header::LAST_EVENT_ID, ACCEPT_ENCODING] {
        arrival.parts.headers.remove(name);
    }
    arrival.parts.extensions.insert(admitted.context());
    let endpoint = arrival.endpoint;
    let config = &endpoint.manager.core().config;
    let refuse = |refusal| reply::refuse(&endpoint, None, refusal, Some(&id));
    let answering = async {
        let request = Request::from_parts(arrival.parts, body);
        let mut response = call(&mut arrival.inner, request).await?;
        let inner_id = inner::take_id(response.headers_mut());
        let inner = inner_id.map(|id| arrival.closer.inner_session(id, admitted.address.clone()));
        let (answer, outcome) = examine(response, &id, config.max_initialize_answer).await;
        Ok((answer, outcome, inner))
    };
    let (answer, outcome, inner) =
        match tokio::time::timeout(config.initialize_timeout, answering).await {
            Ok(result) => result?,
            Err(_) => (refuse(Refusal::BadInitializeAnswer), Outcome::Failure, None),
        };
    Ok(match outcome {
        Outcome::Success(version) => match admitted.commit(answer, version, inner).await {
            Ok(begun) => begun,
            Err(not_begun) => Begun::without_session(refuse(not_begun.into())),
        },
        Outcome::Refused | Outcome::Failure => Begun::without_session(answer),
        Outcome::Unknown => Begun::without_session(refuse(Refusal::BadInitializeAnswer)),
    })
}
