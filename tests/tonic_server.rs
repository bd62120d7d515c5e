//! gRPC beside MCP: tonic's health service inside the layer, over a socket.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/frameworks.rs"]
mod frameworks;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::uri::Uri;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server as TonicServer};
use tonic::{Code, Request, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::{FaultyStore, Operation};
use tower_mcp_session::{MemoryStore, Scope, SessionContext, SessionLayer};

use frameworks::{SESSION_ID, Server, soon};

const CHECK: &str = "/grpc.health.v1.Health/Check";

/// What the handlers of the health service got: their session, and the ids in their metadata.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Call>>>);

/// The session of a call, and how many ids were in its metadata.
type Call = (Option<SessionContext>, usize);

impl Seen {
    fn note(&self, request: &Request<()>) {
        let session = request.extensions().get::<SessionContext>().cloned();
        let ids = request.metadata().get_all(SESSION_ID).iter().count();
        self.0.lock().unwrap().push((session, ids));
    }

    fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Health {
    server: Server,
    client: HealthClient<Channel>,
    reporter: HealthReporter,
    seen: Seen,
}

/// The generated service of tonic-health with the layer in front of it, on a socket.
async fn health(layer: SessionLayer) -> Health {
    let (seen, reporter) = (Seen::default(), HealthReporter::new());
    let service = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
    let noting = seen.clone();
    let service = InterceptedService::new(service, move |request: Request<()>| {
        noting.note(&request);
        Ok::<_, Status>(request)
    });
    let server = Server::with(|listener| async move {
        let router = TonicServer::builder().layer(layer).add_service(service);
        router
            .serve_with_incoming(TcpIncoming::from(listener))
            .await
            .unwrap();
    })
    .await;
    let uri: Uri = format!("http://{}", server.address).parse().unwrap();
    let channel = Channel::builder(uri).connect().await.unwrap();
    Health {
        server,
        client: HealthClient::new(channel),
        reporter,
        seen,
    }
}

impl Health {
    async fn check(
        &self,
        service: &str,
        ids: &[&MetadataValue<Ascii>],
    ) -> Result<Option<MetadataValue<Ascii>>, Status> {
        let answer = self.client.clone().check(request(service, ids)).await?;
        assert_eq!(answer.get_ref().status, 1, "serving");
        Ok(answer.metadata().get(SESSION_ID).cloned())
    }

    async fn refusal(&self, ids: &[&MetadataValue<Ascii>]) -> Code {
        self.check("", ids).await.unwrap_err().code()
    }
}

fn request(service: &str, ids: &[&MetadataValue<Ascii>]) -> Request<HealthCheckRequest> {
    let mut request = Request::new(HealthCheckRequest {
        service: service.to_owned(),
    });
    for id in ids {
        request.metadata_mut().append(SESSION_ID, (*id).clone());
    }
    request
}

fn layer() -> SessionLayer {
    SessionLayer::new(MemoryStore::new()).with_grpc_initialize(CHECK)
}

fn unknown() -> MetadataValue<Ascii> {
    "3f0e2c8a-7d1b-4b7e-9a52-0f6c1d2e3b4a".parse().unwrap()
}

#[tokio::test]
async fn a_call_without_an_id_passes() {
    let layer = SessionLayer::new(MemoryStore::new());
    let health = health(layer.clone()).await;
    assert!(health.check("", &[]).await.unwrap().is_none());
    let [(None, 0)] = health.seen.take()[..] else {
        panic!("a session out of nothing")
    };
    assert_eq!(layer.live_sessions(), 0);
}

#[tokio::test]
async fn the_configured_method_begins_a_session_that_later_calls_are_in() {
    let layer = layer();
    let health = health(layer.clone()).await;
    let id = health.check("", &[]).await.unwrap().unwrap();
    let [(Some(_), 0)] = health.seen.take()[..] else {
        panic!("no session that is about to begin")
    };
    assert_eq!(layer.live_sessions(), 1);

    for n in 1..4 {
        assert!(
            health.check("", &[&id]).await.unwrap().is_none(),
            "the id leaves once"
        );
        let seen = health.seen.take();
        let [(Some(session), 0)] = &seen[..] else {
            panic!("{n}: {:?}", seen.len())
        };
        assert_eq!(session.scope(), Scope::Session);
        assert_eq!(session.id().unwrap().to_header_value(), id.as_bytes());
        let count = session
            .update("n", |n: Option<u32>| n.unwrap_or(0) + 1)
            .await
            .unwrap();
        assert_eq!(count, n);
    }
    assert_eq!(layer.live_sessions(), 1);
}

#[tokio::test]
async fn a_call_that_fails_begins_nothing() {
    let layer = layer();
    let health = health(layer.clone()).await;
    let status = health.check("unknown.Service", &[]).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), "service not registered");
    assert!(status.metadata().get(SESSION_ID).is_none());
    assert_eq!(health.seen.take().len(), 1);
    assert_eq!(layer.live_sessions(), 0);
}

#[tokio::test]
async fn ids_that_name_no_session_are_refused_in_the_words_of_grpc() {
    let health = health(layer()).await;
    let id = health.check("", &[]).await.unwrap().unwrap();
    health.seen.take();
    for (ids, code) in [
        (vec![&unknown()], Code::NotFound),
        (vec![&id, &id], Code::InvalidArgument),
        (vec![&unknown(), &id], Code::InvalidArgument),
    ] {
        assert_eq!(health.refusal(&ids).await, code);
    }
    assert!(
        health.seen.take().is_empty(),
        "the service saw what was refused"
    );
    assert!(health.check("", &[&id]).await.is_ok());
}

#[tokio::test]
async fn a_session_that_ended_is_not_found() {
    let health = health(layer()).await;
    let id = health.check("", &[]).await.unwrap().unwrap();
    health.check("", &[&id]).await.unwrap();
    let (session, _) = health.seen.take().pop().unwrap();
    session.unwrap().end().await.unwrap();
    assert_eq!(health.refusal(&[&id]).await, Code::NotFound);
}

#[tokio::test]
async fn draining_refuses_new_sessions_and_serves_the_others() {
    let layer = layer();
    let health = health(layer.clone()).await;
    let id = health.check("", &[]).await.unwrap().unwrap();
    layer.drain(Duration::ZERO).await;
    assert_eq!(health.refusal(&[]).await, Code::Unavailable);
    assert!(health.check("", &[&id]).await.is_ok());
}

#[tokio::test]
async fn a_store_that_is_down_is_unavailable() {
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    let health = health(SessionLayer::new(Arc::clone(&store)).with_grpc_initialize(CHECK)).await;
    for operation in [Operation::Create, Operation::Load] {
        store.fail_all(operation, StoreErrorKind::Unavailable);
    }
    assert_eq!(health.refusal(&[]).await, Code::Unavailable);
    assert_eq!(
        health.seen.take().len(),
        1,
        "the call was made before there was a session to store"
    );
    assert_eq!(health.refusal(&[&unknown()]).await, Code::Unavailable);
    assert!(health.seen.take().is_empty());
    store.heal();
    assert!(health.check("", &[]).await.unwrap().is_some());
}

#[tokio::test]
async fn a_stream_flows_in_a_session_and_ends_with_it() {
    let health = health(layer()).await;
    let id = health.check("", &[]).await.unwrap().unwrap();
    health.seen.take();
    let mut client = health.client.clone();
    let mut updates = client
        .watch(request("", &[&id]))
        .await
        .unwrap()
        .into_inner();
    for status in [ServingStatus::NotServing, ServingStatus::Serving] {
        assert_eq!(
            soon(updates.message()).await.unwrap().unwrap().status,
            opposite(status)
        );
        health.reporter.set_service_status("", status).await;
    }
    assert_eq!(soon(updates.message()).await.unwrap().unwrap().status, 1);
    let (session, ids) = health.seen.take().pop().unwrap();
    assert_eq!(ids, 0);
    session.unwrap().end().await.unwrap();
    // The stream breaks off, which no client takes for the end of what it watched.
    assert!(soon(updates.message()).await.is_err());
}

fn opposite(status: ServingStatus) -> i32 {
    match status {
        ServingStatus::Serving => 2,
        _ => 1,
    }
}

#[tokio::test]
async fn a_stream_without_an_id_outlives_a_drain() {
    let layer = layer();
    let health = health(layer.clone()).await;
    let mut client = health.client.clone();
    let mut updates = client.watch(request("", &[])).await.unwrap().into_inner();
    assert_eq!(soon(updates.message()).await.unwrap().unwrap().status, 1);
    layer.drain(Duration::ZERO).await;
    health
        .reporter
        .set_service_status("", ServingStatus::NotServing)
        .await;
    assert_eq!(soon(updates.message()).await.unwrap().unwrap().status, 2);
}

#[tokio::test]
async fn sessions_of_mcp_and_of_grpc_are_apart_unless_an_audience_joins_them() {
    for (layer, expected) in [
        (layer(), Some(Code::NotFound)),
        (layer().with_audience("all"), None),
    ] {
        let mcp = tower::Layer::layer(&layer, tower::service_fn(frameworks::serve_mcp::<_>));
        let id = frameworks::begin(&mcp, "/mcp").await;
        let id = MetadataValue::try_from(id.as_bytes()).unwrap();
        let health = health(layer).await;
        assert_eq!(
            health
                .check("", &[&id])
                .await
                .err()
                .map(|status| status.code()),
            expected
        );
    }
}

#[tokio::test]
async fn an_address_that_speaks_grpc_answers_plain_http_too() {
    let health = health(layer()).await;
    let answer = frameworks::send(
        &health.server.http2_client(),
        frameworks::bare(http::Method::GET, "/"),
    )
    .await;
    // tonic's own answer to a route that it lacks.
    assert_eq!(answer.headers()["grpc-status"], "12");
}
