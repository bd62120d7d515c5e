//! 13: a future that is dropped at any await leaves nothing behind.
//!
//! Store and service give way at each of their steps. A request is polled 0, 1, 2, .. times and then dropped, until it
//! comes to its end; after each drop the same things must hold.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use tower::{Layer, Service, ServiceExt};
use tower_mcp_session::testing::{Answer, ManualClock, ScriptedBody, ScriptedService};
use tower_mcp_session::{
    MemoryStore, RequestBody, Session, SessionContext, SessionLayer, SessionStore,
};

use crate::slow::Slow;
use crate::support::{
    Body, HOUR, ID, MINUTE, SECOND, delete, get, id_of, initialize, ping, settle,
};

/// Gives way before it is ready, before it reads and before it answers.
#[derive(Clone)]
struct SlowServer {
    inner: ScriptedService,
    waited: bool,
}

impl Service<Request<RequestBody<Body>>> for SlowServer {
    type Response = Response<ScriptedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if !self.waited {
            self.waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Service::<Request<RequestBody<Body>>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, request: Request<RequestBody<Body>>) -> Self::Future {
        self.waited = false;
        let answering = self.inner.call(request);
        Box::pin(async move {
            tokio::task::yield_now().await;
            let answer = answering.await;
            tokio::task::yield_now().await;
            answer
        })
    }
}

struct Scene {
    store: MemoryStore,
    clock: ManualClock,
    server: ScriptedService,
    layer: SessionLayer,
    service: Session<SlowServer>,
}

impl Scene {
    fn new(
        minting: bool,
        watched: bool,
        options: impl FnOnce(SessionLayer) -> SessionLayer,
    ) -> Self {
        let (store, clock) = (MemoryStore::new(), ManualClock::new());
        let server = match minting {
            true => ScriptedService::new().minting_ids().answering_sse(),
            false => ScriptedService::new(),
        };
        let mut able = store.capabilities();
        able.watch = watched;
        let slow = Slow(store.clone(), able);
        let layer = options(SessionLayer::new(slow).with_clock(clock.clone()));
        let service = layer.layer(SlowServer {
            inner: server.clone(),
            waited: false,
        });
        Self {
            store,
            clock,
            server,
            layer,
            service,
        }
    }

    async fn send(&self, request: Request<Body>) -> Response<impl http_body::Body<Data = Bytes>> {
        self.service.clone().oneshot(request).await.unwrap()
    }

    async fn begin(&self) -> String {
        id_of(self.send(initialize()).await.headers()).unwrap()
    }

    async fn open(&self) -> String {
        let id = self.begin().await;
        assert_eq!(self.send(ping(&id)).await.status(), 200);
        id
    }

    fn context(&self) -> SessionContext {
        let requests = self.server.requests();
        requests.last().unwrap().extensions.get().cloned().unwrap()
    }

    /// What must hold whenever nothing runs: sessions here and in the store are the same, and each has its own inner
    /// session if any has one.
    async fn is_whole(&self, sessions: usize, when: &str) {
        settle().await;
        assert_eq!(self.layer.live_sessions(), sessions, "slots {when}");
        assert_eq!(self.store.len(), sessions, "stored {when}");
        let minted = self
            .server
            .requests()
            .iter()
            .any(|seen| seen.headers.contains_key(ID));
        if minted {
            assert_eq!(self.server.open_sessions().len(), sessions, "inner {when}");
        }
    }
}

/// Polls `future` at most `times` times, with a step of all other tasks after each; says whether it came to its end.
async fn poll_and_drop<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = tokio_test::task::spawn(future);
    for _ in 0..times {
        if let Poll::Ready(output) = future.poll() {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// Enough for each request here to come to its end.
const MOST: usize = 60;

fn each_kind() -> impl Iterator<Item = (bool, bool)> {
    [(false, false), (false, true), (true, false), (true, true)].into_iter()
}

#[tokio::test]
async fn an_initialize_dropped_at_any_await_leaves_nothing() {
    for (minting, watched) in each_kind() {
        let scene = Scene::new(minting, watched, |layer| layer.with_max_sessions(1));
        let mut ended = 0;
        for times in 0..MOST {
            let answer = poll_and_drop(scene.send(initialize()), times).await;
            if let Some(answer) = answer {
                assert_eq!(answer.status(), 200);
                let id = id_of(answer.headers()).unwrap();
                drop(answer);
                scene.is_whole(1, "after an answer").await;
                assert_eq!(scene.send(delete(&id)).await.status(), 204);
                ended += 1;
            }
            scene.is_whole(0, &format!("after {times} polls")).await;
            assert!(scene.server.open_sessions().is_empty());
        }
        assert!(ended > 0 && ended < MOST);
    }
}

#[tokio::test]
async fn a_failing_initialize_dropped_at_any_await_leaves_nothing() {
    for times in 0..MOST {
        let scene = Scene::new(false, false, |layer| layer.with_max_sessions(1));
        let failure = Answer::error(-32603, "no").with_session_id("orphan");
        scene.server.answer_next(failure);
        drop(poll_and_drop(scene.send(initialize()), times).await);
        scene.is_whole(0, &format!("after {times} polls")).await;
        assert!(scene.server.open_sessions().is_empty());
    }
}

#[tokio::test]
async fn a_request_dropped_at_any_await_leaves_its_session_idle_and_usable() {
    for (minting, watched) in each_kind() {
        for half_open in [true, false] {
            for times in 0..MOST {
                let scene = Scene::new(minting, watched, |layer| layer);
                let id = match half_open {
                    true => scene.begin().await,
                    false => scene.open().await,
                };
                let request = if times % 2 == 0 { ping(&id) } else { get(&id) };
                drop(poll_and_drop(scene.send(request), times).await);
                let when = format!("after {times} polls, half-open {half_open}");
                scene.is_whole(1, &when).await;
                assert_eq!(scene.send(ping(&id)).await.status(), 200, "{when}");
                // Nothing holds it busy: it ends in time.
                scene.clock.advance(HOUR * 25);
                scene.layer.clean_up().await.unwrap();
                scene.is_whole(0, &when).await;
            }
        }
    }
}

#[tokio::test]
async fn a_take_over_dropped_at_any_await_can_be_done_again() {
    for watched in [true, false] {
        for times in 0..MOST {
            let scene = Scene::new(false, watched, |layer| layer);
            let id = scene.open().await;
            let mut able = scene.store.capabilities();
            able.watch = watched;
            let layer = SessionLayer::new(Slow(scene.store.clone(), able))
                .with_clock(scene.clock.clone())
                .with_max_sessions(1);
            let service = layer.layer(SlowServer {
                inner: scene.server.clone(),
                waited: false,
            });
            drop(poll_and_drop(service.clone().oneshot(ping(&id)), times).await);
            settle().await;
            assert!(layer.live_sessions() <= 1);
            let answer = service.oneshot(ping(&id)).await.unwrap();
            assert_eq!(answer.status(), 200, "after {times} polls");
            drop(answer);
            assert_eq!(layer.live_sessions(), 1);
            scene.clock.advance(HOUR * 25);
            layer.clean_up().await.unwrap();
            assert_eq!(layer.live_sessions(), 0);
        }
    }
}

#[tokio::test]
async fn a_delete_dropped_at_any_await_is_done_or_not() {
    for (minting, watched) in each_kind() {
        for times in 0..MOST {
            let scene = Scene::new(minting, watched, |layer| layer);
            let id = scene.open().await;
            let context = scene.context();
            drop(poll_and_drop(scene.send(delete(&id)), times).await);
            settle().await;
            let left = scene.layer.live_sessions();
            scene.is_whole(left, &format!("after {times} polls")).await;
            assert_eq!(context.has_ended(), left == 0);
            let status = scene.send(ping(&id)).await.status().as_u16();
            assert_eq!(status, if left == 1 { 200 } else { 404 });
            if left == 1 {
                assert_eq!(scene.send(delete(&id)).await.status(), 204);
            }
            scene.is_whole(0, "at the end").await;
        }
    }
}

#[tokio::test]
async fn an_initialize_that_evicts_dropped_at_any_await_leaves_no_slot_taken() {
    for (minting, watched) in each_kind() {
        for half_open in [true, false] {
            for times in 0..MOST {
                let scene = Scene::new(minting, watched, |layer| layer.with_max_sessions(1));
                let victim = match half_open {
                    true => scene.begin().await,
                    false => scene.open().await,
                };
                let context = scene.context();
                scene
                    .clock
                    .advance(SECOND * if half_open { 11 } else { 301 });
                if half_open {
                    // The half-open quarter of one is one, too.
                    assert!(!context.has_ended());
                }
                let answer = poll_and_drop(scene.send(initialize()), times).await;
                drop(answer);
                settle().await;
                let left = scene.layer.live_sessions();
                let when = format!("after {times} polls, half-open {half_open}");
                scene.is_whole(left, &when).await;
                let status = scene.send(ping(&victim)).await.status().as_u16();
                assert_eq!(
                    status,
                    if context.has_ended() { 404 } else { 200 },
                    "{when}"
                );
                scene.clock.advance(MINUTE * 6);
                scene.layer.clean_up().await.unwrap();
                let next = scene.open().await;
                scene.is_whole(1, &when).await;
                assert_eq!(scene.send(delete(&next)).await.status(), 204);
                scene.is_whole(0, &when).await;
            }
        }
    }
}

#[tokio::test]
async fn a_write_dropped_at_any_await_leaves_no_writer_asleep() {
    for watched in [true, false] {
        for times in 0..MOST {
            let scene = Scene::new(false, watched, |layer| layer);
            scene.open().await;
            let context = scene.context();
            let add = |n: Option<u32>| n.unwrap_or(0) + 1;
            let mut waiting = tokio_test::task::spawn(context.update("n", add));
            assert!(waiting.poll().is_pending());
            drop(poll_and_drop(context.update("n", add), times).await);
            drop(waiting);
            let n = context.update("n", add).await.unwrap();
            assert!((1..=3).contains(&n), "{n} after {times} polls");
            let suspend = poll_and_drop(context.suspend(), times).await;
            let state = context.state();
            if suspend.is_some() {
                assert_eq!(state, tower_mcp_session::SessionState::Suspended);
            }
            context.insert("n", &n).await.unwrap();
            drop(poll_and_drop(context.end(), times).await);
            settle().await;
            scene.layer.clean_up().await.unwrap();
            let left = scene.store.len();
            assert_eq!(scene.layer.live_sessions(), left, "after {times} polls");
        }
    }
}

#[tokio::test]
async fn a_clean_up_dropped_at_any_await_goes_on_later() {
    for watched in [true, false] {
        for times in (0..400).step_by(7) {
            let scene = Scene::new(true, watched, |layer| layer);
            for _ in 0..3 {
                scene.begin().await;
            }
            scene.clock.advance(MINUTE * 7);
            drop(poll_and_drop(scene.layer.clean_up(), times).await);
            scene.layer.clean_up().await.unwrap();
            scene.is_whole(0, &format!("after {times} polls")).await;
        }
    }
}

#[tokio::test]
async fn an_answer_dropped_in_the_middle_frees_its_session() {
    let scene = Scene::new(false, true, |layer| layer);
    let id = scene.open().await;
    let stream = scene.send(get(&id)).await;
    let mut body = Box::pin(stream.into_body());
    let mut frame = tokio_test::task::spawn(std::future::poll_fn(|cx| {
        body.as_mut().poll_frame(cx).map(|_| ())
    }));
    assert!(frame.poll().is_pending());
    drop(frame);
    drop(body);
    scene.server.wait_for_streams(0).await;
    scene.clock.advance(HOUR * 25);
    scene.layer.clean_up().await.unwrap();
    scene.is_whole(0, "after its stream").await;
}
