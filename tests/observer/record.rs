//! An observer that writes down what it is told, and a layer with one.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::Request;
use tower_mcp_session::testing::{ManualClock, ScriptedService};
use tower_mcp_session::{
    EndReason, Fingerprint, MemoryStore, ObservedSession, Observer, RefusalCause, SessionLayer,
    SessionState, SessionStore, Timestamp,
};

use crate::support::{Body, Instance};

/// What an observer was told, in words, with the session and the time.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) what: String,
    pub(crate) session: Option<ObservedSession>,
    pub(crate) at: Timestamp,
}

/// Passes on all that it is told.
pub(crate) struct Scribe(Mutex<Sender<Told>>);

impl Scribe {
    pub(crate) fn new() -> (Self, Receiver<Told>) {
        let (sender, receiver) = channel();
        (Self(Mutex::new(sender)), receiver)
    }

    fn write(&self, what: String, session: Option<&ObservedSession>, at: Timestamp) {
        let session = session.cloned();
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A test that has seen enough reads no more.
        drop(sender.send(Told { what, session, at }));
    }
}

impl Observer for Scribe {
    fn created(&self, session: &ObservedSession, at: Timestamp) {
        self.write("created".to_owned(), Some(session), at);
    }

    fn restored(&self, session: &ObservedSession, at: Timestamp) {
        self.write("restored".to_owned(), Some(session), at);
    }

    fn used(&self, session: &ObservedSession, at: Timestamp) {
        self.write("used".to_owned(), Some(session), at);
    }

    fn moved(
        &self,
        session: &ObservedSession,
        from: SessionState,
        to: SessionState,
        at: Timestamp,
    ) {
        assert!(from.may_become(to), "{from} to {to}");
        self.write(format!("{from} to {to}"), Some(session), at);
    }

    fn ended(&self, session: &ObservedSession, reason: EndReason, at: Timestamp) {
        self.write(format!("ended: {reason}"), Some(session), at);
    }

    fn refused(&self, session: Option<&ObservedSession>, cause: RefusalCause, at: Timestamp) {
        self.write(format!("refused: {cause}"), session, at);
    }

    fn missed(&self, events: u64) {
        self.write(format!("missed {events}"), None, Timestamp::EPOCH);
    }
}

/// An instance and what its observer was told.
pub(crate) struct Scene {
    pub(crate) instance: Instance,
    told: Mutex<Receiver<Told>>,
}

impl Scene {
    pub(crate) fn new(options: impl FnOnce(SessionLayer) -> SessionLayer) -> Self {
        Self::over(MemoryStore::new(), &ManualClock::new(), options)
    }

    pub(crate) fn over(
        store: impl SessionStore,
        clock: &ManualClock,
        options: impl FnOnce(SessionLayer) -> SessionLayer,
    ) -> Self {
        Self::serving(ScriptedService::new(), store, clock, options)
    }

    pub(crate) fn serving(
        server: ScriptedService,
        store: impl SessionStore,
        clock: &ManualClock,
        options: impl FnOnce(SessionLayer) -> SessionLayer,
    ) -> Self {
        let (scribe, told) = Scribe::new();
        let options = |layer| options(layer).with_observer(scribe);
        let instance = Instance::serving(server, store, clock, options);
        let told = Mutex::new(told);
        Self { instance, told }
    }

    /// All that was told since the last time: what comes up to an event that only this makes.
    pub(crate) async fn told(&self) -> Vec<Told> {
        let fence = Request::post("/mcp").header("mcp-session-id", "a");
        let fence = fence.header("mcp-session-id", "b");
        let fence = fence.header("mcp-protocol-version", "2025-11-25");
        let fence = fence.header("host", "localhost");
        let fence = fence.body(Body::default()).unwrap();
        self.instance.send(fence).await;
        let mut all = Vec::new();
        loop {
            let told = next(&self.told.lock().unwrap());
            if told.what == FENCE {
                return all;
            }
            all.push(told);
        }
    }

    /// The same in words.
    pub(crate) async fn words(&self) -> Vec<String> {
        let told = self.told().await;
        told.into_iter().map(|told| told.what).collect()
    }
}

/// What was told next. An observer that is told nothing for so long will not be.
pub(crate) fn next(told: &Receiver<Told>) -> Told {
    told.recv_timeout(Duration::from_secs(20))
        .expect("the observer is told")
}

pub(crate) fn fingerprint(told: &Told) -> Fingerprint {
    told.session.as_ref().unwrap().fingerprint()
}

const FENCE: &str = "refused: several_session_ids";
