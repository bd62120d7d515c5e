//! How events get to the observer: no request waits for it, whatever it does.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_mcp_session::testing::ManualClock;
use tower_mcp_session::{
    EndReason, MemoryStore, ObservedSession, Observer, SessionLayer, Timestamp,
};

use crate::log::Log;
use crate::record::{Scene, Scribe, next};
use crate::support::Instance;

/// Blocks at each session that begins until the test says otherwise, then passes on what it is told.
struct Gate {
    gate: Mutex<Receiver<()>>,
    scribe: Scribe,
}

impl Gate {
    fn new() -> (Self, Sender<()>, Receiver<crate::record::Told>) {
        let (open, gate) = channel();
        let (scribe, told) = Scribe::new();
        let gate = Mutex::new(gate);
        (Self { gate, scribe }, open, told)
    }
}

impl Observer for Gate {
    fn created(&self, session: &ObservedSession, at: Timestamp) {
        // Opened by a word, or for good when the test drops its end.
        self.gate.lock().unwrap().recv().unwrap_or(());
        self.scribe.created(session, at);
    }

    fn used(&self, session: &ObservedSession, at: Timestamp) {
        self.scribe.used(session, at);
    }

    fn ended(&self, session: &ObservedSession, reason: EndReason, at: Timestamp) {
        self.scribe.ended(session, reason, at);
    }

    fn missed(&self, events: u64) {
        self.scribe.missed(events);
    }
}

#[tokio::test]
async fn an_observer_that_blocks_holds_up_no_request_and_what_it_misses_is_counted() {
    let (gate, open, told) = Gate::new();
    let queue = 8;
    let instance = Instance::new(|layer| layer.with_observer(gate).with_observer_queue(queue));
    let id = instance.begin().await;
    for _ in 0..100 {
        assert!(instance.serves(&id).await);
    }
    let ended = instance.context();
    ended.end().await.unwrap();
    drop(open);
    assert_eq!(next(&told).what, "created");
    // Uses have half of the queue to themselves: the end came through.
    for _ in 0..4 {
        assert_eq!(next(&told).what, "used");
    }
    assert_eq!(next(&told).what, "missed 96");
    assert_eq!(next(&told).what, "ended: terminated");
}

#[tokio::test]
async fn what_is_missed_last_is_told_without_another_event() {
    let (gate, open, told) = Gate::new();
    let instance = Instance::new(|layer| layer.with_observer(gate).with_observer_queue(2));
    let id = instance.begin().await;
    for _ in 0..10 {
        assert!(instance.serves(&id).await);
    }
    drop(open);
    assert_eq!(next(&told).what, "created");
    assert_eq!(next(&told).what, "used");
    assert_eq!(next(&told).what, "missed 9");
}

#[tokio::test]
async fn an_observer_that_blocks_for_ever_holds_up_a_drain_for_five_seconds_at_most() {
    let (gate, open, told) = Gate::new();
    let instance = Instance::new(|layer| layer.with_observer(gate));
    instance.begin().await;
    let before = std::time::Instant::now();
    instance.layer.drain(Duration::ZERO).await;
    let lasted = before.elapsed();
    assert!(lasted >= Duration::from_secs(5), "{lasted:?}");
    assert!(told.try_recv().is_err());
    drop(open);
}

/// Takes its time for each event.
struct Slow(Mutex<u64>);

impl Observer for Slow {
    fn created(&self, _session: &ObservedSession, _at: Timestamp) {
        for _ in 0..1000 {
            std::thread::yield_now();
        }
        *self.0.lock().unwrap() += 1;
    }

    fn missed(&self, events: u64) {
        *self.0.lock().unwrap() += events;
    }
}

#[tokio::test]
async fn a_drain_waits_until_the_observer_was_told_all() {
    for queue in [10, 4096] {
        let slow = Arc::new(Slow(Mutex::new(0)));
        let observer = Arc::clone(&slow);
        let instance =
            Instance::new(|layer| layer.with_observer(observer).with_observer_queue(queue));
        for _ in 0..500 {
            instance.begin().await;
        }
        instance.layer.drain(Duration::ZERO).await;
        assert_eq!(*slow.0.lock().unwrap(), 500);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_it_though_the_time_of_the_runtime_is_paused() {
    let slow = Arc::new(Slow(Mutex::new(0)));
    let observer = Arc::clone(&slow);
    let instance = Instance::new(|layer| layer.with_observer(observer));
    for _ in 0..100 {
        instance.begin().await;
    }
    instance.layer.drain(Duration::ZERO).await;
    assert_eq!(*slow.0.lock().unwrap(), 100);
}

/// Panics at each use.
struct Nervous(Scribe);

impl Observer for Nervous {
    fn created(&self, session: &ObservedSession, at: Timestamp) {
        self.0.created(session, at);
    }

    fn used(&self, _session: &ObservedSession, _at: Timestamp) {
        panic!("what it knows of the session");
    }

    fn ended(&self, session: &ObservedSession, reason: EndReason, at: Timestamp) {
        self.0.ended(session, reason, at);
    }
}

#[tokio::test]
async fn a_panic_of_one_observer_ends_neither_it_nor_the_others_and_is_reported_once() {
    let log = Log::of_this_process();
    let (scribe, told) = Scribe::new();
    let scene = Scene::new(|layer| layer.with_observer(Nervous(scribe)));
    let (id, context) = scene.instance.open_context().await;
    assert!(scene.instance.serves(&id).await);
    context.end().await.unwrap();
    assert_eq!(next(&told).what, "created");
    assert_eq!(next(&told).what, "ended: terminated");
    let words = scene.words().await;
    assert_eq!(words[..3], ["created", "used", "used"]);
    assert_eq!(log.count("an observer of sessions panicked"), 1);
    assert_eq!(log.count("what it knows of the session"), 0);
}

#[test]
fn events_go_on_when_a_runtime_is_dropped_and_another_one_begins() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let (memory, clock) = (MemoryStore::new(), ManualClock::new());
    let scene = Scene::over(memory, &clock, |layer| layer);
    let id = runtime().block_on(scene.instance.open());
    let words = runtime().block_on(async {
        assert!(scene.instance.serves(&id).await);
        scene.words().await
    });
    assert_eq!(words, ["created", "used", "used"]);
}

/// Says when it is dropped.
struct Mortal(Scribe, Sender<&'static str>);

impl Observer for Mortal {
    fn created(&self, session: &ObservedSession, at: Timestamp) {
        self.0.created(session, at);
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.1.send("dropped").unwrap();
    }
}

#[tokio::test]
async fn when_the_layer_and_its_services_are_gone_all_is_told_and_the_observer_goes_too() {
    let ((scribe, told), (sender, dropped)) = (Scribe::new(), channel());
    let instance = Instance::new(|layer| layer.with_observer(Mortal(scribe, sender)));
    let kept = instance.clone();
    for _ in 0..100 {
        instance.begin().await;
    }
    drop(instance);
    assert!(dropped.try_recv().is_err());
    drop(kept);
    let longest = Duration::from_secs(20);
    assert_eq!(dropped.recv_timeout(longest).unwrap(), "dropped");
    // Each of them keeps its session, and none keeps the thread.
    assert_eq!(
        told.iter().filter(|told| told.what == "created").count(),
        100
    );
}

#[tokio::test]
async fn several_observers_are_told_all_and_clones_of_a_layer_share_them() {
    let ((one, first), (other, second)) = (Scribe::new(), Scribe::new());
    let instance = Instance::new(|layer| {
        let clone = layer.clone();
        drop(layer.with_observer(one).with_observer(other));
        clone
    });
    instance.open().await;
    for told in [first, second] {
        assert_eq!(next(&told).what, "created");
        assert_eq!(next(&told).what, "used");
    }
}

#[test]
fn an_observer_may_be_shared_and_is_object_safe() {
    fn ok<T: Observer>() {}
    ok::<Arc<Slow>>();
    ok::<Arc<dyn Observer>>();
    fn both<T: Clone + Send + Sync + 'static>() {}
    both::<ObservedSession>();
    both::<SessionLayer>();
}
