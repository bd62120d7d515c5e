//! What does a history cost each message?
//!
//! Run with `cargo bench --bench history`; it takes about ten seconds.
//!
//! A request and its answer, each of about the same length, go through a layer over a `MemoryStore` with histories
//! and through one without; the inner service reads the request to its end. Half of the difference is what a message
//! costs its request: if that is not less than 1 us more than a copy of its bytes, the bench fails. What the task costs
//! that reads the message and puts it into the store stands beside it. The cases take turns in short rounds; printed are
//! medians of CPU time.

#![expect(clippy::print_stdout, reason = "a bench prints what it found")]

#[path = "history/requests.rs"]
mod requests;
#[path = "support/time.rs"]
mod time;

use std::hint::black_box;
use std::time::Duration;

use requests::{Content, Served};
use time::{cpu_time, median};

fn main() {
    println!("CPU ns of a message, medians of {ROUNDS} rounds\n");
    println!("  content     bytes   without    history   less a copy   task");
    let mut dearest = f64::MIN;
    for content in [Content::Text, Content::Numbers] {
        for length in [100, 500, 2_000, 16_000, 60_000] {
            dearest = dearest.max(compare(content, length));
        }
    }
    assert!(
        dearest < 1_000.0,
        "a message costs {dearest:.0} ns too much"
    );
}

/// Prints a line; gives what a message costs its request, less a copy.
fn compare(content: Content, length: usize) -> f64 {
    let per_round = (1_000_000 / length).clamp(50, 2_000);
    let (mut with, mut without) = (Served::new(true), Served::new(false));
    let message = content.message(length);
    // Without, with, a copy, the task.
    let mut rounds: [Vec<f64>; 4] = Default::default();
    for round in 0..ROUNDS {
        let mut sums = [Duration::ZERO; 4];
        for turn in 0..per_round * 3 {
            match (round + turn) % 3 {
                0 => sums[0] += cpu_time(|| without.serve(&message)),
                1 => {
                    sums[1] += cpu_time(|| with.serve(&message));
                    sums[3] += cpu_time(|| with.settle());
                }
                _ => {
                    sums[2] += cpu_time(|| drop(black_box(Box::<str>::from(black_box(&*message)))))
                }
            }
        }
        for (all, sum) in rounds.iter_mut().zip(sums) {
            all.push(sum.as_nanos() as f64 / per_round as f64);
        }
    }
    let [without, with, copy, task] = rounds.map(median);
    let history = (with - without) / 2.0;
    // The looks at the clock cancel out in the difference, and are taken off here.
    let copy = copy - clock();
    println!(
        "  {:<8} {:>8} {:>9.0} {history:>10.0} {:>13.0} {:>6.0}",
        content.name(),
        message.len(),
        without / 2.0,
        history - copy,
        task / 2.0,
    );
    history - copy
}

/// What two looks at the clock cost.
fn clock() -> f64 {
    let mut all: Vec<_> = (0..1_000)
        .map(|_| cpu_time(|| ()).as_nanos() as f64)
        .collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

const ROUNDS: usize = 21;
