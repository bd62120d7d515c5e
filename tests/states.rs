//! The states of a session: what is allowed, whoever asks, on whichever of two instances.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "support/sessions.rs"]
mod support;

use std::time::Duration;

use proptest::prelude::*;
use tower_mcp_session::store::StoreErrorKind;
use tower_mcp_session::testing::ManualClock;
use tower_mcp_session::{MemoryStore, SessionContext, SessionError, SessionState};

use support::{Instance, delete, ping, shared};

/// What is done to the session, and on which instance.
#[derive(Clone, Copy, Debug)]
enum Step {
    Request(usize),
    Suspend(usize),
    Resume(usize),
    End(usize),
    Delete(usize),
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
    id: String,
}

impl Scene {
    async fn new(watched: bool) -> Self {
        let (memory, clock) = (MemoryStore::new(), ManualClock::new());
        let instances = [(); 2].map(|()| {
            let store = shared(&memory);
            let store = if watched {
                store
            } else {
                store.without_watch()
            };
            Instance::over(store, &clock, |layer| layer)
        });
        let id = instances[0].open().await;
        assert!(instances[1].serves(&id).await);
        let contexts = [0, 1].map(|n| instances[n].context());
        Self {
            instances,
            contexts,
            id,
        }
    }

    /// Takes a step, holds its outcome to the model, and gives what is left.
    async fn take(&self, step: Step, model: Model) -> Model {
        use SessionState::{Active, Suspended};
        match step {
            Step::Request(n) => {
                let status = self.instances[n].status(ping(&self.id)).await;
                assert_eq!(status, expected(model));
                model
            }
            Step::Suspend(n) => {
                let moved = self.contexts[n].suspend().await;
                self.hold(moved, model, Model::Alive, (Suspended, Suspended));
                then(model, Model::Alive, Model::Suspended)
            }
            Step::Resume(n) => {
                let moved = self.contexts[n].resume().await;
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
            Step::Wait(seconds) => {
                let clock = &self.instances[0].clock;
                clock.advance(Duration::from_secs(seconds));
                model
            }
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
    async fn agrees(&self, model: Model) {
        for (instance, context) in self.instances.iter().zip(&self.contexts) {
            let status = instance.status(ping(&self.id)).await;
            assert_eq!(status, expected(model));
            let state = context.state();
            match model {
                Model::Alive => assert_eq!(state, SessionState::Active),
                Model::Suspended => assert_eq!(state, SessionState::Suspended),
                Model::Closed => assert_eq!(state, SessionState::Closed),
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
    prop_oneof![
        6 => instance.clone().prop_map(Step::Request),
        6 => instance.clone().prop_map(Step::Suspend),
        6 => instance.clone().prop_map(Step::Resume),
        1 => instance.clone().prop_map(Step::End),
        1 => instance.prop_map(Step::Delete),
        // Long enough to be idle, now and then.
        4 => (1_u64..900).prop_map(Step::Wait),
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
            let scene = Scene::new(watched).await;
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
    let scene = Scene::new(true).await;
    let clock = &scene.instances[0].clock;
    clock.advance(Duration::from_secs(301));
    assert_eq!(scene.contexts[0].state(), SessionState::Idle);
    scene.contexts[0].suspend().await.unwrap();
    assert_eq!(scene.contexts[0].state(), SessionState::Suspended);
    scene.agrees(Model::Suspended).await;
}
