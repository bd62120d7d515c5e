//! What does a session cost a request, in time and in memory?
//!
//! Run with `cargo bench --bench passthrough`; it takes about two minutes and 1 GB of memory.
//!
//! Everything is measured beside the service without the layer, and beside a *yardstick*: the least that a request of
//! a session can cost, written by hand. The compared things take turns in short rounds, and what is printed is the
//! median over the rounds of CPU time, and of its ratio within a round: a noisy machine disturbs both sides alike.
//! Each figure holds the making of the request and the reading of the answer to its end.
//!
//! The line *duties* is the yardstick with what the promises demand of any layer, written by hand too: no layer that keeps
//! them can cost less.

#![expect(clippy::print_stdout, reason = "a bench prints what it found")]

mod support;

use std::time::Duration;

use tower_mcp_session::{MemoryStore, SessionLayer};

use support::measure::{Case, Medians, per_request};
use support::requests::Kind;
use support::sessions::{Sessions, runtime};
use support::{clean_up, inner, measure};

fn main() {
    println!(
        "CPU ns and heap allocations of one request, medians of {} rounds\n",
        measure::ROUNDS
    );
    for (count, per_round) in [(1, 20_000), (1_000, 20_000), (1_000_000, 40_000)] {
        compare(count, per_round);
    }
    clean_up::run(1_000_000);
}

/// Measures all kinds of requests beside `count` live sessions.
fn compare(count: usize, per_round: usize) {
    let runtime = runtime();
    let layer = layer(count);
    let sessions = Sessions::begin(&runtime, &layer, count);
    // As in life: the layer starts its keeper once, and a request only sees that it runs.
    let _inside = runtime.enter();
    println!("{count} live sessions");
    if count >= 1_000_000 {
        let ([ours, least], target) = (sessions.bytes, 320.0);
        println!(
            "  bytes of heap per idle session {ours:.0} (target {target}), yardstick {least:.0}"
        );
    }
    let mut cases = [
        Case::new("bare", Kind::InSession, inner::bare()),
        Case::new("yardstick", Kind::InSession, sessions.yardstick()),
        Case::new("duties", Kind::InSession, sessions.duties()),
        Case::new("known session", Kind::InSession, sessions.service()),
        Case::new("bare", Kind::Modern, inner::bare()),
        Case::new("duties", Kind::Modern, sessions.duties()),
        Case::new("modern", Kind::Modern, sessions.service()),
        Case::new("bare", Kind::NotOurs, inner::bare()),
        Case::new("duties", Kind::NotOurs, sessions.duties()),
        Case::new("not ours", Kind::NotOurs, sessions.service()),
    ];
    let medians = per_request(&mut cases, &sessions.ids, per_round);
    let limit = if count < 1_000_000 {
        "at most 1.2"
    } else {
        "at most 1"
    };
    show(&medians, 0, None);
    show(&medians, 1, Some((0, "")));
    show(&medians, 2, Some((1, "")));
    show(&medians, 3, Some((1, limit)));
    for first in [4, 7] {
        show(&medians, first, None);
        show(&medians, first + 1, Some((first, "")));
        show(
            &medians,
            first + 2,
            Some((first, "at most 1.15, or 40 ns more")),
        );
    }
    println!();
}

fn layer(sessions: usize) -> SessionLayer {
    SessionLayer::new(MemoryStore::new())
        .with_max_sessions(2 * sessions)
        .with_max_half_open(2 * sessions)
        // Longer than the bench: no request has to tell the store that its session is in use.
        .with_touch_interval(Duration::from_secs(3600))
}

/// Prints one line; with the ratio to the case `beside` and its target.
fn show(medians: &Medians, case: usize, beside: Option<(usize, &str)>) {
    let line = &medians.lines[case];
    print!(
        "  {:<14} {:>6.0} ns {:>3} allocations",
        line.name, line.ns, line.allocations
    );
    if let Some((other, target)) = beside {
        let other_line = &medians.lines[other];
        print!(
            "   {:.2} x {} ({:+.0} ns, {:+} allocations)  {target}",
            medians.ratio(case, other),
            other_line.name,
            line.ns - other_line.ns,
            line.allocations - other_line.allocations,
        );
    }
    println!();
}
