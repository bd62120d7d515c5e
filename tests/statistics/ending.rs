//! Sessions of one instance that end by whatever cause there is, and who is gone found out from the store.

use std::time::Duration;

use http::{Request, StatusCode};
use tower_mcp_session::store::SessionStore;
use tower_mcp_session::testing::{ManualClock, ScriptedService};
use tower_mcp_session::{
    Clock, EndReason, MemoryStore, RefusalCause, Restore, SessionId, SessionKey,
};

use crate::Numbers;
use crate::model::Kept;
use crate::recount::Recount;
use crate::support::{Body, Instance, LIST, by, delete, id_of, initialize, post, read, settle};

const MAX_SESSIONS: usize = 12;

struct Scene {
    instance: Instance,
    store: MemoryStore,
    now: u64,
    /// Those that are alive, and whether the server has forgotten them.
    sessions: Vec<(Kept, bool)>,
    counts: Recount,
}

impl Scene {
    fn new() -> Self {
        let store = MemoryStore::new();
        // It has sessions of its own, which nobody begins again for it.
        let server = ScriptedService::new().minting_ids();
        let options = |layer: tower_mcp_session::SessionLayer| {
            layer
                .with_restore(Restore::Never)
                .with_idle_timeout(Duration::from_secs(20 * 60))
                .with_max_sessions(MAX_SESSIONS)
        };
        Self {
            instance: Instance::serving(server, store.clone(), &ManualClock::new(), options),
            store,
            now: 0,
            sessions: Vec::new(),
            counts: Recount::default(),
        }
    }

    async fn begin(&mut self) {
        let answer = self.instance.send(initialize()).await;
        let (status, id) = (answer.status(), id_of(answer.headers()));
        read(answer).await;
        self.count_the_gone(EndReason::Evicted).await;
        match id {
            Some(id) => {
                self.counts.created += 1;
                let session = Kept::begun(id, 0, self.now, 0);
                self.sessions.push((session, false));
            }
            None => {
                assert_eq!(status, 503);
                self.counts.refuse(RefusalCause::Full);
            }
        }
    }

    /// A client leaves before it gets its id.
    async fn abandon(&mut self) {
        if self.sessions.len() == MAX_SESSIONS {
            return self.begin().await;
        }
        // Nothing else is on its way to the server.
        settle().await;
        let server = self.instance.server.clone();
        server.hold();
        // Of a principal: those who have none share a part of the room, and one of them would go for it.
        let request = by(initialize(), "somebody");
        let mut beginning = tokio_test::task::spawn(self.instance.send(request));
        assert!(beginning.poll().is_pending());
        server.wait_for_held(1).await;
        drop(beginning);
        server.release();
        settle().await;
        let session = Kept::begun(String::new(), 0, self.now, 0);
        self.counts.created += 1;
        self.counts.end(&session, EndReason::Abandoned, self.now);
    }

    async fn request(&mut self, n: usize) {
        let (session, is_lost) = &self.sessions[n];
        let (is_lost, request) = (*is_lost, post(&session.id, LIST));
        let status = self.send(request).await;
        if is_lost {
            assert_eq!(status, 404);
            self.counts.refuse(RefusalCause::SessionNotFound);
            assert_eq!(self.count_the_gone(EndReason::Lost).await, 1);
        } else {
            assert_eq!(status, 200);
        }
    }

    async fn delete(&mut self, n: usize) {
        let request = delete(&self.sessions[n].0.id);
        assert_eq!(self.send(request).await, 204);
        assert_eq!(self.count_the_gone(EndReason::Deleted).await, 1);
    }

    async fn terminate(&mut self, n: usize) {
        let id = SessionId::parse(self.sessions[n].0.id.as_bytes()).unwrap();
        let sessions = self.instance.layer.sessions();
        let ended = sessions.terminate(&SessionKey::new("/mcp", &id)).await;
        assert!(ended.unwrap());
        assert_eq!(self.count_the_gone(EndReason::Terminated).await, 1);
    }

    async fn pass(&mut self, seconds: u64) {
        self.now += seconds;
        self.instance.clock.advance(Duration::from_secs(seconds));
        self.instance.layer.clean_up().await.unwrap();
        self.count_the_gone(EndReason::Expired).await;
    }

    fn forget(&mut self) {
        self.instance.server.forget_sessions();
        for (_, is_lost) in &mut self.sessions {
            *is_lost = true;
        }
    }

    /// Counts those as ended by `reason` that the store has no more; says how many they are.
    async fn count_the_gone(&mut self, reason: EndReason) -> usize {
        let before = self.sessions.len();
        let mut left = Vec::new();
        for (session, is_lost) in std::mem::take(&mut self.sessions) {
            let id = SessionId::parse(session.id.as_bytes()).unwrap();
            let now = self.instance.clock.now();
            match self.store.load("/mcp", &id, now).await.unwrap() {
                Some(_) => left.push((session, is_lost)),
                None => self.counts.end(&session, reason, self.now),
            }
        }
        self.sessions = left;
        before - self.sessions.len()
    }

    async fn send(&self, request: Request<Body>) -> StatusCode {
        let status = self.instance.status(request).await;
        settle().await;
        status
    }

    async fn compare(&self, context: &str) {
        let found = self.instance.layer.sessions().statistics().await;
        self.counts.compare(&found, context);
        let live = found.live().total;
        assert_eq!(live, self.sessions.len() as u64, "{context}");
        assert_eq!(found.created(), live + found.ended_in_all(), "{context}");
    }
}

#[tokio::test]
async fn a_recount_comes_to_the_same_where_sessions_are_evicted_lost_and_abandoned() {
    let (mut scene, mut numbers) = (Scene::new(), Numbers(3));
    for number in 1..=5_000 {
        let chance = numbers.below(1000);
        let some = (!scene.sessions.is_empty()).then(|| numbers.below(scene.sessions.len()));
        match (chance, some) {
            (0..250, _) | (_, None) => scene.begin().await,
            (250..300, _) => scene.abandon().await,
            (300..320, Some(n)) => scene.delete(n).await,
            (320..340, Some(n)) => scene.terminate(n).await,
            (340..350, _) => scene.forget(),
            (350..750, Some(n)) => scene.request(n).await,
            (750..980, _) => scene.pass(1 + numbers.below(120) as u64).await,
            (_, _) => scene.pass(1 + numbers.below(1_500) as u64).await,
        }
        if number % 50 == 0 {
            scene.compare(&format!("step {number}")).await;
        }
    }
    use EndReason::{Abandoned, Deleted, Evicted, Expired, Lost, Terminated};
    for reason in [Abandoned, Deleted, Evicted, Expired, Lost, Terminated] {
        assert!(scene.counts.ended[&reason] > 20, "{:?}", scene.counts.ended);
    }
}
