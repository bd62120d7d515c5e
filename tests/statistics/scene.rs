//! Two instances over one store, and what is done to their sessions: really, and by hand.

use std::time::Duration;

use http::{Request, StatusCode};
use tower_mcp_session::store::{SessionStore, StoreErrorKind};
use tower_mcp_session::testing::{FaultyStore, ManualClock, Operation};
use tower_mcp_session::{
    Clock, EndReason, HistoryLimits, MemoryStore, Principal, RefusalCause, SessionError, SessionId,
    SessionKey, SessionLayer, WhenFull,
};

use crate::Numbers;
use crate::model::{
    HALF_OPEN_END, IDLE_END, Kept, LIFE, MAX_HALF_OPEN, MAX_OF_ONE, MAX_SESSIONS, QUIET, TOUCH,
};
use crate::recount::{Recount, compare_durations, count, numbers};
use crate::support::{
    Body, Instance, LIST, UNKNOWN, by, delete, id_of, initialize, post, read, shared, with_watch,
};

pub(crate) struct Scene {
    instances: [Instance; 2],
    store: MemoryStore,
    /// The store as each instance has it, and whether its histories fail.
    stores: [(FaultyStore<MemoryStore>, bool); 2],
    clock: ManualClock,
    now: u64,
    sessions: Vec<Kept>,
    counts: [Recount; 2],
}

fn options(layer: SessionLayer) -> SessionLayer {
    layer
        .with_history(HistoryLimits::default())
        .with_idle_timeout(Duration::from_secs(IDLE_END))
        .with_half_open_timeout(Duration::from_secs(HALF_OPEN_END))
        .with_max_lifetime(Duration::from_secs(LIFE))
        .with_max_sessions(MAX_SESSIONS)
        .with_max_sessions_per_principal(MAX_OF_ONE)
        .with_when_full(WhenFull::Reject)
}

/// A request of `owner`, who is nobody if that is 0.
fn of(owner: usize, request: Request<Body>) -> Request<Body> {
    match owner {
        0 => request,
        _ => by(request, &format!("user {owner}")),
    }
}

impl Scene {
    pub(crate) fn new(watched: bool) -> Self {
        let (memory, clock) = (MemoryStore::new(), ManualClock::new());
        let stores = [(); 2].map(|()| with_watch(shared(&memory), watched));
        let instances = stores
            .each_ref()
            .map(|store| Instance::over(store.clone(), &clock, options));
        Self {
            instances,
            store: memory,
            stores: stores.map(|store| (store, false)),
            clock,
            now: 0,
            sessions: Vec::new(),
            counts: Default::default(),
        }
    }

    /// Any session, now and then one that has ended.
    pub(crate) fn some_session(&self, numbers: &mut Numbers) -> Option<usize> {
        let all = 0..self.sessions.len();
        let alive: Vec<_> = all
            .clone()
            .filter(|&n| self.sessions[n].is_alive(self.now))
            .collect();
        let any = (!all.is_empty()).then(|| numbers.below(all.len()))?;
        match alive.is_empty() || numbers.below(20) == 0 {
            true => Some(any),
            false => Some(alive[numbers.below(alive.len())]),
        }
    }

    pub(crate) async fn begin(&mut self, at: usize, owner: usize) {
        let answer = self.instances[at].send(of(owner, initialize())).await;
        let (status, id) = (answer.status(), id_of(answer.headers()));
        read(answer).await;
        if let Some(cause) = self.is_in_the_way(at, owner, true) {
            assert_eq!((status.as_u16(), id), (503, None));
            return self.counts[at].refuse(cause);
        }
        assert_eq!(status, 200);
        let session = Kept::begun(id.unwrap(), owner, self.now, at);
        self.sessions.push(session);
        self.counts[at].created += 1;
    }

    /// What keeps the instance `at` from taking a session of `owner`.
    fn is_in_the_way(&self, at: usize, owner: usize, half_open: bool) -> Option<RefusalCause> {
        let here = || {
            let all = self.sessions.iter();
            all.filter_map(|it| it.here[at].map(|here| (it.owner, here)))
        };
        let of_owner = here().filter(|(other, _)| *other == owner);
        if owner > 0 && of_owner.count() >= MAX_OF_ONE {
            return Some(RefusalCause::PrincipalFull);
        }
        let half = here().filter(|(owner, here)| *owner == 0 && here.half_open);
        let no_half = half_open && owner == 0 && half.count() >= MAX_HALF_OPEN;
        (no_half || here().count() >= MAX_SESSIONS).then_some(RefusalCause::Full)
    }

    /// A call in a session, by its owner.
    pub(crate) async fn request(&mut self, at: usize, n: usize) {
        let request = post(&self.sessions[n].id, LIST);
        let tells = self.store_waits_for_word_of(n).await;
        let status = self.send(at, of(self.sessions[n].owner, request)).await;
        if !self.sessions[n].is_alive(self.now) {
            return self.is_not_found(at, n, status);
        }
        let owner = self.sessions[n].owner;
        let (now, is_here) = (self.now, self.sessions[n].here[at].is_some());
        let (session, counts) = (&self.sessions[n], &self.counts[at]);
        let refused = match self.is_in_the_way(at, owner, false) {
            _ if session.suspended => Some(RefusalCause::Suspended),
            Some(cause) if !is_here => Some(cause),
            _ => None,
        };
        let expected = if refused.is_some() { 503 } else { 200 };
        assert_eq!(status, expected, "{session:?} {counts:?}");
        let (session, counts) = (&mut self.sessions[n], &mut self.counts[at]);
        match refused {
            None => {
                counts.restored += u64::from(!is_here);
                // The call and its answer.
                match self.stores[at].1 {
                    true => counts.messages_lost += 2,
                    false => counts.messages += 2,
                }
                session.is_asked_for(at, now, true);
            }
            Some(cause) => {
                counts.refuse(cause);
                // The instance that holds it has asked the store, which is a use.
                match cause {
                    RefusalCause::Suspended if is_here => session.is_asked_for(at, now, false),
                    RefusalCause::Suspended if tells => session.is_waited_for(now),
                    _ => {}
                }
            }
        }
    }

    /// Whether the store was not told of a use for so long that an instance which holds nothing tells it of one.
    async fn store_waits_for_word_of(&self, n: usize) -> bool {
        let (index, now) = (self.store.index().unwrap(), self.clock.now());
        let listed = index.inspect(&self.key(n), now).await.unwrap();
        listed.is_some_and(|listed| now.since(listed.last_activity).as_secs() >= TOUCH)
    }

    /// A session that is over was asked for: if the instance has not known, it knows now.
    fn is_not_found(&mut self, at: usize, n: usize, status: StatusCode) {
        assert_eq!(status, 404, "{:?}", self.sessions[n]);
        self.counts[at].refuse(RefusalCause::SessionNotFound);
        if self.sessions[n].here[at].is_some() {
            let reason = match self.sessions[n].is_late(at, self.now) {
                true => EndReason::Expired,
                false => EndReason::Elsewhere,
            };
            self.end_here(at, n, reason);
        }
    }

    fn end_here(&mut self, at: usize, n: usize, reason: EndReason) {
        let session = &mut self.sessions[n];
        self.counts[at].end(session, reason, self.now);
        session.here[at] = None;
    }

    pub(crate) async fn delete(&mut self, at: usize, n: usize) {
        let request = delete(&self.sessions[n].id);
        let status = self.send(at, of(self.sessions[n].owner, request)).await;
        if !self.sessions[n].is_alive(self.now) {
            return self.is_not_found(at, n, status);
        }
        assert_eq!(status, 204);
        self.end_here(at, n, EndReason::Deleted);
        self.sessions[n].over = true;
        self.look_elsewhere(at, n).await;
    }

    pub(crate) async fn suspend(&mut self, at: usize, n: usize, suspend: bool) {
        let sessions = self.instances[at].layer.sessions();
        let key = self.key(n);
        let done = match suspend {
            true => sessions.suspend(&key).await,
            false => sessions.resume(&key).await,
        };
        let session = &mut self.sessions[n];
        match done {
            Ok(()) => {
                assert!(session.is_alive(self.now) && session.suspended != suspend);
                session.suspended = suspend;
                self.look_elsewhere(at, n).await;
            }
            Err(SessionError::State(_)) => {
                assert!(session.is_alive(self.now) && session.suspended == suspend);
            }
            Err(SessionError::Store(error)) => {
                assert_eq!(error.kind(), StoreErrorKind::Gone);
                assert!(!session.is_alive(self.now), "{session:?}");
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn terminate(&mut self, at: usize, n: usize) {
        let sessions = self.instances[at].layer.sessions();
        let existed = sessions.terminate(&self.key(n)).await.unwrap();
        assert_eq!(existed, self.sessions[n].is_alive(self.now));
        self.is_terminated(at, n).await;
    }

    pub(crate) async fn terminate_all(&mut self, at: usize, owner: usize) {
        let sessions = self.instances[at].layer.sessions();
        let principal = Principal::new(format!("user {owner}"));
        sessions.terminate_all(&principal).await.unwrap();
        for n in 0..self.sessions.len() {
            if self.sessions[n].owner == owner {
                self.is_terminated(at, n).await;
            }
        }
        // What comes in the same moment is ended too.
        self.pass(1).await;
    }

    async fn is_terminated(&mut self, at: usize, n: usize) {
        if !self.sessions[n].is_alive(self.now) {
            return;
        }
        if self.sessions[n].here[at].is_some() {
            self.end_here(at, n, EndReason::Terminated);
        }
        self.sessions[n].over = true;
        self.look_elsewhere(at, n).await;
    }

    /// Something was done at an instance: the other one, if it holds the session, learns of it by a request.
    async fn look_elsewhere(&mut self, at: usize, n: usize) {
        if self.sessions[n].here[1 - at].is_some() {
            self.request(1 - at, n).await;
        }
    }

    pub(crate) async fn request_of_a_stranger(&mut self, at: usize, n: usize) {
        let stranger = (self.sessions[n].owner + 1) % 5;
        let request = of(stranger, post(&self.sessions[n].id, LIST));
        assert_eq!(self.send(at, request).await, 404);
        self.counts[at].refuse(RefusalCause::SessionNotFound);
    }

    /// A request with an unknown id, or with none.
    pub(crate) async fn request_of_nobody(&mut self, at: usize, unknown: bool) {
        let (mut request, status, cause) = match unknown {
            true => (post(UNKNOWN, LIST), 404, RefusalCause::SessionNotFound),
            false => (post(UNKNOWN, LIST), 400, RefusalCause::MissingSessionId),
        };
        if !unknown {
            request.headers_mut().clear();
        }
        assert_eq!(self.send(at, request).await, status);
        self.counts[at].refuse(cause);
    }

    /// From now on the histories of the instance `at` fail, or do so no more.
    pub(crate) fn turn_histories(&mut self, at: usize) {
        let (store, fails) = &mut self.stores[at];
        *fails = !*fails;
        match fails {
            true => store.fail_all(Operation::Append, StoreErrorKind::Unavailable),
            false => store.heal(),
        }
    }

    /// Time passes, and both instances clean up.
    pub(crate) async fn pass(&mut self, seconds: u64) {
        self.settle_what_is_open(self.now + seconds).await;
        self.now += seconds;
        self.clock.advance(Duration::from_secs(seconds));
        // The clean-up looks at those that were not used for long, and finds these later.
        for n in 0..self.sessions.len() {
            for at in 0..2 {
                let session = &self.sessions[n];
                if session.here[at].is_some() && self.now >= session.created + LIFE {
                    self.request(at, n).await;
                }
            }
        }
        for at in 0..2 {
            self.clean_up(at).await;
        }
    }

    /// If a session expires in the time in which an instance lets go of it, that one may tell of its end or not: it
    /// depends on whose keeper is first. Such a session is used once more, or ended.
    async fn settle_what_is_open(&mut self, then: u64) {
        for n in 0..self.sessions.len() {
            let expires = |it: &Kept, at: usize| {
                let quiet = it.here[at].is_some_and(|here| then - here.seen >= QUIET);
                quiet && !it.over && then >= it.end()
            };
            for at in 0..2 {
                if expires(&self.sessions[n], at) {
                    self.request(at, n).await;
                }
                // Its life is over whether it is used or not.
                if expires(&self.sessions[n], at) {
                    self.terminate(at, n).await;
                }
            }
        }
    }

    async fn clean_up(&mut self, at: usize) {
        self.instances[at].layer.clean_up().await.unwrap();
        for n in 0..self.sessions.len() {
            let session = &mut self.sessions[n];
            match session.here[at] {
                Some(here) if self.now - here.seen >= QUIET => session.here[at] = None,
                Some(_) if !session.is_alive(self.now) => {
                    self.end_here(at, n, EndReason::Expired);
                }
                _ => {}
            }
        }
    }

    /// Holds the statistics of both instances, and of the store, against the recount.
    pub(crate) async fn compare(&mut self, context: &str) {
        // By then the store has been told of all uses.
        self.pass(31).await;
        for at in 0..2 {
            let context = format!("{context}, instance {at}");
            let sessions = self.instances[at].layer.sessions();
            let found = sessions.statistics().await;
            self.counts[at].compare(&found, &context);
            let here = self.sessions.iter();
            let here: Vec<_> = here
                .filter_map(|it| it.here[at].map(|here| (it.suspended, here)))
                .collect();
            let half_open = here.iter().filter(|(_, here)| here.half_open);
            assert_eq!(found.half_open(), half_open.count() as u64, "{context}");
            let here = here.iter();
            let here = here.map(|(suspended, here)| (*suspended, self.now - here.seen));
            assert_eq!(numbers(found.live()), count(here), "{context}: live");

            let found = sessions.stored_statistics().await.unwrap();
            let alive = self.sessions.iter().filter(|it| it.is_alive(self.now));
            let alive: Vec<_> = alive.collect();
            let states = alive
                .iter()
                .map(|it| (it.suspended, self.now - it.last_use));
            assert_eq!(numbers(found.alive), count(states), "{context}: stored");
            let ages: Vec<_> = alive.iter().map(|it| it.last_use - it.created).collect();
            compare_durations(&found.ages, &ages, &context);
            assert_eq!(found.unreadable, 0);
        }
        // What is over and held nowhere is of no interest any more, but for some that may be asked for.
        let now = self.now;
        let done = |it: &Kept| !it.is_alive(now) && it.here.iter().all(Option::is_none);
        let mut spare = self.sessions.iter().filter(|it| done(it)).count();
        self.sessions.retain(|it| {
            let goes = done(it) && spare > 20;
            spare -= usize::from(goes);
            !goes
        });
    }

    /// The steps have come to everything that they can come to: a recount of nothing proves nothing.
    pub(crate) fn has_seen_all(&self) {
        for counts in &self.counts {
            use EndReason::{Deleted, Elsewhere, Expired, Terminated};
            for reason in [Deleted, Terminated, Expired, Elsewhere] {
                assert!(counts.ended[&reason] > 20, "{reason}: {:?}", counts.ended);
            }
            use RefusalCause::{Full, MissingSessionId, PrincipalFull, SessionNotFound, Suspended};
            for cause in [
                Full,
                MissingSessionId,
                PrincipalFull,
                SessionNotFound,
                Suspended,
            ] {
                assert!(counts.refused[&cause] > 20, "{cause}: {:?}", counts.refused);
            }
            assert!(counts.created > 100 && counts.restored > 100);
            assert!(counts.messages > 300 && counts.messages_lost > 300);
        }
    }

    fn key(&self, n: usize) -> SessionKey {
        let id = SessionId::parse(self.sessions[n].id.as_bytes()).unwrap();
        SessionKey::new("/mcp", &id)
    }

    /// The status of the answer, which is in the history by the end.
    async fn send(&self, at: usize, request: Request<Body>) -> StatusCode {
        let status = self.instances[at].status(request).await;
        // What writes it runs next.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        status
    }
}
