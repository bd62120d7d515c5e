//! The states of a session: what is allowed, whoever asks, on whichever of two instances.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "support/sessions.rs"]
mod support;

use std::cmp::Reverse;
use std::time::Duration;

use proptest::prelude::*;
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::ManualClock;
use tower_mcp_session::{
    Clock, MemoryStore, SessionContext, SessionError, SessionId, SessionKey, SessionState,
    Sessions, Timestamp,
};

use support::{Instance, MINUTE, delete, ping, shared, with_watch};

/// A session that nobody uses ends after so long.
const IDLE_END: Duration = Duration::from_secs(24 * 3600);
/// After so long without a use an instance lets go of what it holds.
const QUIET_AFTER: Duration = Duration::from_secs(30 * 60);

/// Who suspends and resumes: a handler, whose context outlives its request, or an operator.
#[derive(Clone, Copy, Debug)]
enum By {
    Handler,
    Operator,
}

/// What is done to the session, and on which instance.
#[derive(Clone, Copy, Debug)]
enum Step {
    Request(usize),
    Suspend(By, usize),
    Resume(By, usize),
    End(usize),
    Delete(usize),
    /// So many minutes. Of each use after one the store is told at once.
    Wait(u64),
}

/// What should be: the table of the states, by hand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Model {
    Alive,
    Suspended,
    Closed,
}

/// Two instances over one store, and the session that both have served.
struct Scene {
    instances: [Instance; 2],
    contexts: [SessionContext; 2],
    operators: [Sessions; 2],
    id: String,
    key: SessionKey,
    /// The last use of the session on each instance.
    used: [Timestamp; 2],
    /// Whether the instances may have let go of what they held: then contexts are told of nothing any more.
    may_be_detached: bool,
}

impl Scene {
    async fn new(watched: bool) -> Self {
        let (memory, clock) = (MemoryStore::new(), ManualClock::new());
        let instances = [(); 2].map(|()| {
            let store = with_watch(shared(&memory), watched);
            Instance::over(store, &clock, |layer| layer)
        });
        let id = instances[0].open().await;
        assert!(instances[1].serves(&id).await);
        let contexts = [0, 1].map(|n| instances[n].context());
        let operators = [0, 1].map(|n| instances[n].layer.sessions());
        let key = SessionKey::new("/mcp", &SessionId::parse(id.as_bytes()).unwrap());
        Self {
            instances,
            contexts,
            operators,
            id,
            key,
            used: [clock.now(); 2],
            may_be_detached: false,
        }
    }

    /// Takes a step, holds its outcome to the model, and gives what is left.
    async fn take(&mut self, step: Step, model: Model) -> Model {
        use SessionState::{Active, Suspended};
        match step {
            Step::Request(n) => {
                self.ask(n, model).await;
                model
            }
            Step::Suspend(by, n) => {
                let moved = match by {
                    By::Handler => self.contexts[n].suspend().await,
                    By::Operator => self.operators[n].suspend(&self.key).await,
                };
                self.hold(moved, model, Model::Alive, (Suspended, Suspended));
                then(model, Model::Alive, Model::Suspended)
            }
            Step::Resume(by, n) => {
                let moved = match by {
                    By::Handler => self.contexts[n].resume().await,
                    By::Operator => self.operators[n].resume(&self.key).await,
                };
                self.hold(moved, model, Model::Suspended, (Active, Active));
                then(model, Model::Suspended, Model::Alive)
            }
            Step::End(n) => {
                self.contexts[n].end().await.unwrap();
                Model::Closed
            }
            Step::Delete(n) => {
                let status = self.instances[n].status(delete(&self.id)).await;
                let expected = if model == Model::Closed { 404 } else { 204 };
                assert_eq!(status, expected);
                Model::Closed
            }
            Step::Wait(minutes) => {
                let clock = &self.instances[0].clock;
                clock.advance(MINUTE * u32::try_from(minutes).unwrap());
                let [longest, unused] = {
                    let mut unused = self.used.map(|used| clock.now().since(used));
                    unused.sort_unstable_by_key(|&unused| Reverse(unused));
                    unused
                };
                self.may_be_detached |= longest >= QUIET_AFTER;
                if unused < IDLE_END {
                    model
                } else {
                    Model::Closed
                }
            }
        }
    }

    /// A request to the instance `n`, which is a use also if the session is suspended.
    async fn ask(&mut self, n: usize, model: Model) {
        let status = self.instances[n].status(ping(&self.id)).await;
        assert_eq!(status, expected(model));
        if model != Model::Closed {
            self.used[n] = self.instances[n].clock.now();
        }
    }

    /// A move is made from the one state that allows it; from another one it is forbidden, and the error names both.
    fn hold(
        &self,
        moved: Result<(), SessionError>,
        model: Model,
        allowed: Model,
        forbidden: (SessionState, SessionState),
    ) {
        match (moved, model) {
            (Ok(()), model) => assert_eq!(model, allowed),
            (Err(SessionError::Store(error)), Model::Closed) => {
                assert_eq!(error.kind(), StoreErrorKind::Gone);
            }
            (Err(SessionError::State(error)), model) => {
                assert!(model != allowed && model != Model::Closed);
                assert_eq!((error.from, error.to), forbidden);
            }
            (Err(error), model) => panic!("{error} where the session is {model:?}"),
        }
    }

    /// Both instances say the same to the next request, and their contexts follow.
    async fn agrees(&mut self, model: Model) {
        for n in [0, 1] {
            self.ask(n, model).await;
            let shown = self.operators[n].inspect(&self.key).await.unwrap();
            let expected = match model {
                Model::Alive => SessionState::Active,
                Model::Suspended => SessionState::Suspended,
                Model::Closed => SessionState::Closed,
            };
            let state = shown.map_or(SessionState::Closed, |session| session.state);
            assert_eq!(state, expected);
            if !self.may_be_detached {
                assert_eq!(self.contexts[n].state(), expected);
            }
        }
    }
}

/// The status of a request.
fn expected(model: Model) -> u16 {
    match model {
        Model::Alive => 200,
        Model::Suspended => 503,
        Model::Closed => 404,
    }
}

fn then(model: Model, from: Model, to: Model) -> Model {
    if model == from { to } else { model }
}

fn step() -> impl Strategy<Value = Step> {
    let instance = 0..2_usize;
    let by = prop_oneof![Just(By::Handler), Just(By::Operator)];
    let who = (by, instance.clone());
    prop_oneof![
        6 => instance.clone().prop_map(Step::Request),
        6 => who.clone().prop_map(|(by, n)| Step::Suspend(by, n)),
        6 => who.prop_map(|(by, n)| Step::Resume(by, n)),
        1 => instance.clone().prop_map(Step::End),
        1 => instance.prop_map(Step::Delete),
        // Long enough to be idle, now and then.
        4 => (1_u64..15).prop_map(Step::Wait),
        // And to expire, unless somebody uses it in between.
        1 => (12_u64..28).prop_map(|hours| Step::Wait(hours * 60)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_moves_two_instances_make_they_agree_with_the_table(
        steps in proptest::collection::vec((step(), any::<bool>()), 1..40),
        watched in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut scene = Scene::new(watched).await;
            let mut model = Model::Alive;
            for (step, looks) in steps {
                model = scene.take(step, model).await;
                if looks {
                    scene.agrees(model).await;
                }
            }
            scene.agrees(model).await;
        });
    }
}

#[tokio::test]
async fn an_idle_session_is_suspended_in_one_step() {
    let mut scene = Scene::new(true).await;
    let clock = &scene.instances[0].clock;
    clock.advance(Duration::from_secs(301));
    assert_eq!(scene.contexts[0].state(), SessionState::Idle);
    scene.contexts[0].suspend().await.unwrap();
    assert_eq!(scene.contexts[0].state(), SessionState::Suspended);
    scene.agrees(Model::Suspended).await;
}
