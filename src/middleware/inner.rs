//! Sessions that the inner service keeps for itself, and how they are ended.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use tokio::sync::Semaphore;
use tower_service::Service;
use tracing::{Instrument, debug};

use super::body::RequestBody;
use crate::config;
use crate::manager::{InnerSession, LiveSession};
use crate::protocol::header;

/// What the layer asks of the service inside it.
///
/// A name for the bounds, which would stand at each function otherwise; implemented for all that fit.
pub(super) trait InnerService<B, R>:
    Service<
        Request<RequestBody<B>>,
        Response = Response<R>,
        Error: Send + 'static,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static
{
}

impl<S, B, R> InnerService<B, R> for S where
    S: Service<
            Request<RequestBody<B>>,
            Response = Response<R>,
            Error: Send + 'static,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static
{
}

/// Where the inner service minted an id: a request that is to reach the same service goes there.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) uri: Uri,
    /// The one header of the client that goes along: services check it against DNS rebinding.
    pub(super) host: Option<HeaderValue>,
}

impl Address {
    pub(super) fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        Self {
            uri: uri.clone(),
            host: headers.get(HOST).cloned(),
        }
    }
}

/// Ends inner sessions, through a copy of the inner service that is kept for it.
///
/// The type of the service is forgotten, so that the future of each request can hold one without being generic over
/// it; `close` remembers it.
#[derive(Clone)]
pub(super) struct Closer {
    spare: Arc<dyn Any + Send + Sync>,
    close: fn(&(dyn Any + Send + Sync), Request<()>) -> Closing,
    permits: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The copy of the inner service, shared by the clones of a `Session`.
pub(super) type Spare<S> = Arc<Mutex<S>>;

impl Closer {
    pub(super) fn new<S, B, R>(spare: Spare<S>, [permits, places]: [&Arc<Semaphore>; 2]) -> Self
    where
        S: InnerService<B, R>,
        B: Send + 'static,
        R: Send + 'static,
    {
        Self {
            spare,
            close: close::<S, B, R>,
            permits: Arc::clone(permits),
            places: Arc::clone(places),
        }
    }

    /// Ends the inner session `id` in a task of its own: a DELETE with that id, within 5 seconds. Where too many wait
    /// for that, it is left to the inner service.
    pub(super) fn close(&self, mut id: HeaderValue, address: Address) {
        id.set_sensitive(true);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return debug!("inner session not ended: too many wait for it");
        };
        let mut request = Request::new(());
        *request.method_mut() = Method::DELETE;
        *request.uri_mut() = address.uri;
        request.headers_mut().insert(header::SESSION_ID, id);
        if let Some(host) = address.host {
            request.headers_mut().insert(HOST, host);
        }
        let closer = self.clone();
        // Nobody waits for it: the client's session is over either way.
        drop(runtime.spawn(async move {
            let _place = place;
            let Ok(_permit) = closer.permits.acquire().await else {
                return;
            };
            let closing = (closer.close)(&*closer.spare, request);
            if tokio::time::timeout(config::CLOSE_TIMEOUT, closing)
                .await
                .is_err()
            {
                debug!("inner session not ended in time");
            }
        }));
    }

    /// The inner session `id`, with what ends it.
    pub(super) fn inner_session(&self, mut id: HeaderValue, address: Address) -> InnerSession {
        id.set_sensitive(true);
        let closer = self.clone();
        InnerSession::new(id.clone(), move || closer.close(id, address))
    }
}

impl fmt::Debug for Closer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closer").finish_non_exhaustive()
    }
}

/// Makes the service ready and calls it.
pub(super) async fn call<S, B, R>(
    inner: &mut S,
    request: Request<RequestBody<B>>,
) -> Result<Response<R>, S::Error>
where
    S: InnerService<B, R>,
{
    poll_fn(|cx| inner.poll_ready(cx)).await?;
    inner.call(request).await
}

/// As [`call`], in the span of `session`.
pub(super) async fn call_in<S, B, R>(
    session: &LiveSession,
    inner: &mut S,
    request: Request<RequestBody<B>>,
) -> Result<Response<R>, S::Error>
where
    S: InnerService<B, R>,
{
    call(inner, request).instrument(session.span()).await
}

/// Takes the inner service's id out of the headers of an answer: it never leaves.
pub(super) fn take_id(headers: &mut HeaderMap) -> Option<HeaderValue> {
    header::has_session_id(headers)
        .then(|| headers.remove(header::SESSION_ID))
        .flatten()
}

/// Sends a request that ends an inner session through the service that a [`Closer`] keeps.
fn close<S, B, R>(spare: &(dyn Any + Send + Sync), request: Request<()>) -> Closing
where
    S: InnerService<B, R>,
    B: Send + 'static,
    R: Send + 'static,
{
    let Some(spare) = spare.downcast_ref::<Mutex<S>>() else {
        return Box::pin(std::future::ready(()));
    };
    let mut service = spare.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Box::pin(async move {
        if poll_fn(|cx| service.poll_ready(cx)).await.is_ok() {
            let request = request.map(|()| RequestBody::whole(Bytes::new(), None));
            // What it answers changes nothing: there is no one left to tell.
            drop(service.call(request).await);
        }
    })
}
