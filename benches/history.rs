//! What does a history cost each message?
//!
//! Run with `cargo bench --bench history`; it takes about ten seconds.
//!
//! A request and its answer, each of about the same length, go through a layer over a `MemoryStore` with histories
//! and through one without; the inner service reads the request to its end. Half of the difference is the cost of a
//! message. It is to be less than 1 us more than a copy of its bytes. The cases take turns in short rounds; printed are
//! medians of CPU time.

#![expect(clippy::print_stdout, reason = "a bench prints what it found")]

#[path = "history/requests.rs"]
mod requests;
#[path = "support/time.rs"]
mod time;

use std::hint::black_box;

use requests::{Content, Served};
use time::{cpu_time, median};

fn main() {
    println!("CPU ns of a message, medians of {ROUNDS} rounds\n");
    println!("  content     bytes   without history   history   copy   history less copy");
    for content in [Content::Text, Content::Numbers] {
        for length in [100, 500, 2_000, 16_000, 60_000] {
            compare(content, length);
        }
    }
}

fn compare(content: Content, length: usize) {
    let per_round = (2_000_000 / length).clamp(50, 4_000);
    let (mut with, mut without) = (Served::new(true), Served::new(false));
    let message = content.message(length);
    let mut rounds: [Vec<f64>; 3] = Default::default();
    for round in 0..ROUNDS {
        for turn in 0..3 {
            let case = (round + turn) % 3;
            let time = cpu_time(|| {
                for _ in 0..per_round {
                    match case {
                        0 => without.serve(&message),
                        1 => with.serve(&message),
                        _ => drop(black_box(Box::<str>::from(black_box(&*message)))),
                    }
                }
            });
            rounds[case].push(time.as_nanos() as f64 / per_round as f64);
        }
    }
    let [without, with, copy] = rounds.map(median);
    let history = (with - without) / 2.0;
    println!(
        "  {:<8} {:>8} {:>17.0} {history:>9.0} {copy:>6.0} {:>10.0}",
        content.name(),
        message.len(),
        without / 2.0,
        history - copy,
    );
}

const ROUNDS: usize = 21;
