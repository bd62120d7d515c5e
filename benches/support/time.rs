//! CPU time, and the median of what was measured.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The CPU time of this thread that `work` takes, its allocations not counted.
pub(crate) fn cpu_time(work: impl FnOnce()) -> Duration {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let mut taken = Duration::ZERO;
    allocation_counter::opt_out(|| {
        let start = now();
        work();
        taken = now() - start;
    });
    taken
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
