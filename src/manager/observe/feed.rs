//! The way to the observers: a bounded queue, and one thread that calls them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::error;

use super::{EndReason, ObservedSession, Observer};
use crate::protocol::RefusalCause;
use crate::session::{SessionState, Timestamp};

/// What happened.
pub(super) enum Event {
    Created(ObservedSession),
    Restored(ObservedSession),
    Used(ObservedSession),
    Moved(ObservedSession, SessionState, SessionState),
    Ended(ObservedSession, EndReason),
    Refused(Option<ObservedSession>, RefusalCause),
}

/// What goes through the queue.
struct Message {
    /// How many events were dropped right before this one.
    missed: u64,
    /// None, to tell only of the dropped ones.
    event: Option<(Event, Timestamp)>,
}

/// Takes events without waiting. Dropped, it lets the thread tell what is queued, and end.
pub(super) struct Feed {
    queue: OnceLock<SyncSender<Message>>,
    state: Arc<State>,
}

/// What the thread shares with those who queue.
struct State {
    observers: Mutex<Vec<Arc<dyn Observer>>>,
    missed: AtomicU64,
    /// How many events in the queue are uses.
    uses: AtomicUsize,
    sent: AtomicU64,
    told: Mutex<u64>,
    progress: Condvar,
    panicked: AtomicBool,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self {
            queue: OnceLock::new(),
            state: Arc::new(State {
                observers: Mutex::default(),
                missed: AtomicU64::new(0),
                uses: AtomicUsize::new(0),
                sent: AtomicU64::new(0),
                told: Mutex::default(),
                progress: Condvar::new(),
                panicked: AtomicBool::new(false),
            }),
        }
    }

    pub(super) fn add(&self, observer: Arc<dyn Observer>) {
        let mut observers = self
            .state
            .observers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        observers.push(observer);
    }

    /// Queues `event`, or counts it as missed if there is no room among `capacity`.
    pub(super) fn tell(&self, event: Event, at: Timestamp, capacity: usize) {
        let capacity = capacity.max(SMALLEST_QUEUE);
        let state = &self.state;
        let is_use = matches!(event, Event::Used(_));
        if is_use && state.uses.fetch_add(1, Ordering::Relaxed) >= capacity / 2 {
            state.uses.fetch_sub(1, Ordering::Relaxed);
            state.missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if !self.send(Some((event, at)), capacity) && is_use {
            state.uses.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Waits, without holding up the runtime, until all that was queued so far was told; for `longest` at most.
    pub(super) async fn told_all(&self, longest: Duration) {
        let Some(queue) = self.queue.get() else {
            return;
        };
        let (queue, state) = (queue.clone(), Arc::clone(&self.state));
        // Blocking, so that it is the same for all clocks: a runtime whose time is paused goes on at once otherwise.
        let waiting = tokio::task::spawn_blocking(move || {
            let start = Instant::now();
            state.wait(longest);
            // What was dropped last has no event after it that would tell of it.
            if state.missed.load(Ordering::Relaxed) > 0 {
                state.send(&queue, None);
                state.wait(longest.saturating_sub(start.elapsed()));
            }
        });
        if waiting.await.is_err() {
            error!("the wait for the observers broke off");
        }
    }

    fn send(&self, event: Option<(Event, Timestamp)>, capacity: usize) -> bool {
        let queue = self.queue.get_or_init(|| start(&self.state, capacity));
        self.state.send(queue, event)
    }
}

impl State {
    fn send(&self, queue: &SyncSender<Message>, event: Option<(Event, Timestamp)>) -> bool {
        let missed = match self.missed.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.missed.swap(0, Ordering::Relaxed),
        };
        let is_event = u64::from(event.is_some());
        // Counted before: the thread may be faster than this line.
        self.sent.fetch_add(1, Ordering::SeqCst);
        match queue.try_send(Message { missed, event }) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.sent.fetch_sub(1, Ordering::SeqCst);
                self.missed.fetch_add(missed + is_event, Ordering::Relaxed);
                false
            }
        }
    }

    /// Waits until as much was told as is queued now.
    fn wait(&self, longest: Duration) {
        let sent = self.sent.load(Ordering::SeqCst);
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // Whether it was told or took too long: nobody can do more about it here.
        drop(
            self.progress
                .wait_timeout_while(told, longest, |told| *told < sent),
        );
    }

    /// Tells all that comes, until nobody can queue any more.
    fn run(&self, queue: &Receiver<Message>) {
        loop {
            let message = match queue.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    self.tell_missed(self.missed.swap(0, Ordering::Relaxed));
                    match queue.recv() {
                        Ok(message) => message,
                        Err(_) => break,
                    }
                }
            };
            self.tell_missed(message.missed);
            if let Some((event, at)) = message.event {
                if matches!(event, Event::Used(_)) {
                    self.uses.fetch_sub(1, Ordering::Relaxed);
                }
                self.each(|observer| event.tell(observer, at));
            }
            *self.told.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            self.progress.notify_all();
        }
        self.tell_missed(self.missed.swap(0, Ordering::Relaxed));
    }

    fn tell_missed(&self, events: u64) {
        if events > 0 {
            self.each(|observer| observer.missed(events));
        }
    }

    fn each(&self, tell: impl Fn(&dyn Observer)) {
        let observers = self
            .observers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for observer in observers {
            let told = catch_unwind(AssertUnwindSafe(|| tell(&*observer)));
            if told.is_err() && !self.panicked.swap(true, Ordering::Relaxed) {
                error!("an observer of sessions panicked; this is said once");
            }
        }
    }
}

impl Event {
    fn tell(&self, observer: &dyn Observer, at: Timestamp) {
        match self {
            Self::Created(session) => observer.created(session, at),
            Self::Restored(session) => observer.restored(session, at),
            Self::Used(session) => observer.used(session, at),
            Self::Moved(session, from, to) => observer.moved(session, *from, *to, at),
            Self::Ended(session, reason) => observer.ended(session, *reason, at),
            Self::Refused(session, cause) => observer.refused(session.as_ref(), *cause, at),
        }
    }
}

/// Starts the thread. If there is none to be had, all events are missed.
fn start(state: &Arc<State>, capacity: usize) -> SyncSender<Message> {
    let (sender, receiver) = sync_channel(capacity);
    let state = Arc::clone(state);
    let thread = thread::Builder::new().name("mcp-session-observer".to_owned());
    if let Err(error) = thread.spawn(move || state.run(&receiver)) {
        error!(%error, "no thread for the observers of sessions");
    }
    sender
}

/// Half of it is for uses: that must be one at least.
const SMALLEST_QUEUE: usize = 2;
