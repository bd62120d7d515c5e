//! Many live sessions, in the layer and in the yardstick.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::runtime::Runtime;
use tower::util::service_fn;
use tower::{Layer, Service, ServiceExt};
use tower_mcp_session::{RequestBody, ResponseBody, SessionLayer};

use super::duties::{Duties, Held};
use super::inner;
use super::requests::{Id, SESSION_ID, initialize, initialized};
use super::yardstick::{Shared, Yardstick};

pub(crate) struct Sessions {
    layer: SessionLayer,
    /// In random order.
    pub(crate) ids: Vec<Id>,
    /// Heap of one session in the layer, and in the yardstick.
    pub(crate) bytes: [f64; 2],
    yardstick: Arc<Shared>,
}

/// One thread, so that what the layer spawns is counted too.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}

impl Sessions {
    /// Begins `count` sessions as clients do.
    pub(crate) fn begin(runtime: &Runtime, layer: &SessionLayer, count: usize) -> Self {
        let mut ids = Vec::with_capacity(count);
        let mut shared = None;
        let heap = allocation_counter::measure(|| {
            runtime.block_on(begin(layer, count, &mut ids));
            // Lists that need no entry for a used session let go of it here.
            runtime
                .block_on(layer.clean_up())
                .expect("memory does not fail");
        });
        let least = allocation_counter::measure(|| shared = Some(Shared::new(&ids)));
        // They are random numbers: in their order they lie anywhere in memory.
        ids.sort_unstable();
        Self {
            layer: layer.clone(),
            ids,
            bytes: [heap, least].map(|heap| heap.bytes_current as f64 / count as f64),
            yardstick: Arc::new(shared.expect("it was just made")),
        }
    }

    pub(crate) fn service(
        &self,
    ) -> impl Service<
        Request<Full<Bytes>>,
        Response = Response<ResponseBody<Full<Bytes>>>,
        Error = Infallible,
    > {
        self.layer
            .layer(service_fn(inner::answer::<RequestBody<Full<Bytes>>>))
    }

    pub(crate) fn duties(
        &self,
    ) -> impl Service<Request<Full<Bytes>>, Response = Response<Held<Full<Bytes>>>, Error = Infallible>
    {
        Duties {
            inner: service_fn(inner::answer::<Held<Full<Bytes>>>),
            shared: Arc::clone(&self.yardstick),
        }
    }

    pub(crate) fn yardstick(
        &self,
    ) -> impl Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible>
    {
        Yardstick {
            inner: inner::bare(),
            shared: Arc::clone(&self.yardstick),
        }
    }
}

/// Begins sessions and finishes their handshake: they are idle then.
pub(crate) async fn begin(layer: &SessionLayer, count: usize, ids: &mut Vec<Id>) {
    let mut service = layer.layer(service_fn(inner::answer::<RequestBody<Full<Bytes>>>));
    for _ in 0..count {
        let response = call(&mut service, initialize()).await;
        let id = response.headers()[SESSION_ID].clone();
        drop(response);
        drop(call(&mut service, initialized(&id)).await);
        ids.push(id.as_bytes().try_into().expect("a random id has 32 digits"));
    }
}

async fn call<S>(service: &mut S, request: Request<Full<Bytes>>) -> S::Response
where
    S: Service<Request<Full<Bytes>>, Error = Infallible>,
{
    let Ok(service) = service.ready().await;
    let Ok(response) = service.call(request).await;
    response
}
