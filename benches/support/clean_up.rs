//! What a clean-up costs, and what a request feels of it.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tower::Layer;
use tower::util::service_fn;
use tower_mcp_session::{Clock, MemoryStore, RequestBody, SessionLayer, Timestamp};

use super::inner;
use super::measure::serve;
use super::requests::{Id, Kind, Template};
use super::sessions::{begin, runtime};
use super::time::{cpu_time, median};

/// Cleans up among `count` sessions, of which 1 % are due each time.
pub(crate) fn run(count: usize) {
    let clock = HandClock::default();
    let layer = SessionLayer::new(MemoryStore::new())
        .with_clock(clock.clone())
        .with_idle_timeout(IDLE)
        .with_touch_interval(IDLE)
        .with_max_sessions(count)
        .with_max_half_open(count);
    let runtime = runtime();
    let due = count / 100;
    for _ in 0..ROUNDS {
        runtime.block_on(begin(&layer, due, &mut Vec::new()));
        clock.advance(HOUR);
    }
    let mut ids = Vec::with_capacity(count);
    runtime.block_on(begin(&layer, count - ROUNDS * due, &mut ids));
    ids.sort_unstable();
    ids.truncate(READ);
    let quiet = latency_while(&layer, &ids, || thread::sleep(Duration::from_millis(200)));
    // The first ones end 24 hours after they began, and are removed from the store a minute later.
    clock.advance(IDLE - HOUR * ROUNDS as u32 + Duration::from_secs(90));
    let (mut costs, mut latencies) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let mut cost = Duration::ZERO;
        latencies.push(latency_while(&layer, &ids, || cost = clean(&layer)));
        costs.push(cost.as_secs_f64() * 1e3);
        assert_eq!(layer.live_sessions(), count - round * due);
        clock.advance(HOUR);
    }
    println!("clean-up of {count} sessions, 1 % due, median of {ROUNDS}");
    println!("  {:.0} ms of CPU  at most 40", median(costs));
    println!(
        "  p99.9 of a reader's request meanwhile {:.1} us, without {quiet:.1} us  less than 100",
        median(latencies)
    );
}

/// The CPU time of one clean-up.
fn clean(layer: &SessionLayer) -> Duration {
    let runtime = runtime();
    cpu_time(|| {
        runtime
            .block_on(layer.clean_up())
            .expect("memory does not fail")
    })
}

/// The 99.9th percentile of the times of requests that this thread serves while another one does `work`, in
/// microseconds.
fn latency_while(layer: &SessionLayer, ids: &[Id], work: impl FnOnce() + Send) -> f64 {
    let (begun, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut times = Vec::with_capacity(1 << 20);
    thread::scope(|scope| {
        scope.spawn(|| {
            begun.store(true, Ordering::Release);
            work();
            over.store(true, Ordering::Release);
        });
        let template = Template::new(Kind::InSession);
        let mut service = layer.layer(service_fn(inner::answer::<RequestBody<_>>));
        while !begun.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
        for id in ids.iter().cycle() {
            if over.load(Ordering::Acquire) {
                break;
            }
            let request = template.request(id);
            let start = Instant::now();
            serve(&mut service, request);
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
    });
    times.sort_by(f64::total_cmp);
    times[times.len() * 999 / 1000]
}

/// A clock that goes when it is told to.
#[derive(Clone, Debug, Default)]
struct HandClock(Arc<AtomicU64>);

impl HandClock {
    fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).expect("some hours");
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// Never: the layer cleans up when the bench says so.
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(pending())
    }
}

const ROUNDS: usize = 5;
/// How many sessions are read from during a clean-up; it tells the store of each.
const READ: usize = 1_000;
const HOUR: Duration = Duration::from_secs(3600);
const IDLE: Duration = Duration::from_secs(24 * 3600);
