//! CPU time and allocations of several things in turn.

use super::time::{cpu_time, median};

pub(crate) const ROUNDS: usize = 21;

/// One of the compared things.
pub(crate) struct Case<'a> {
    name: String,
    run: Box<dyn FnMut() + 'a>,
}

pub(crate) struct Medians {
    names: Vec<String>,
    allocations: Vec<u64>,
    /// By case, then by round.
    ns: Vec<Vec<f64>>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(name: impl Into<String>, run: impl FnMut() + 'a) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
        }
    }
}

impl Medians {
    /// Prints a case, and what it is of another one.
    pub(crate) fn print(&self, case: usize, beside: Option<(usize, &str)>) {
        let ns = median(self.ns[case].clone());
        let name = &self.names[case];
        print!("  {name:<28} {ns:>7.0} ns {:>3}", self.allocations[case]);
        if let Some((other, target)) = beside {
            let pairs = self.ns[case].iter().zip(&self.ns[other]);
            let ratio = median(pairs.map(|(ns, other)| ns / other).collect());
            let more = self.allocations[case] as i64 - self.allocations[other] as i64;
            print!("  {ratio:.2} x, allocations {more:+}");
            if !target.is_empty() {
                print!(" ({target})");
            }
        }
        println!();
    }
}

/// Runs each case `per_round` times in each round.
pub(crate) fn run<const N: usize>(mut cases: [Case<'_>; N], per_round: u32) -> Medians {
    let allocations = cases.iter_mut().map(|case| {
        (case.run)();
        allocation_counter::measure(|| (case.run)()).count_total
    });
    let allocations = allocations.collect();
    let mut ns = vec![Vec::new(); N];
    for round in 0..ROUNDS {
        // Each case is the first one in some of the rounds.
        for turn in 0..N {
            let index = (round + turn) % N;
            let run = &mut cases[index].run;
            let time = cpu_time(|| (0..per_round).for_each(|_| run()));
            ns[index].push(time.as_nanos() as f64 / f64::from(per_round));
        }
    }
    Medians {
        names: cases.into_iter().map(|case| case.name).collect(),
        allocations,
        ns,
    }
}
