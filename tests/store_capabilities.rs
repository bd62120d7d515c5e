//! What stores can do beside: histories and an index, kept by our stores in memory and by all that wrap one. Their
//! contracts are shown to reject each way of breaking them.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may unwrap as tests do"
)]

#[path = "store_capabilities/broken.rs"]
mod broken;
#[path = "store_capabilities/expected.rs"]
mod expected;
#[path = "store_capabilities/listed.rs"]
mod listed;
#[path = "store_capabilities/said.rs"]
mod said;

use std::collections::HashSet;
use std::sync::Arc;

use broken::{Broken, Fault};
use expected::EXPECTED;
use tower_mcp_session::testing::store::{HISTORY_RULES, INDEX_RULES, SharedRule};
use tower_mcp_session::testing::{
    FaultyStore, history_contract, index_contract, shared_store_contract, store_contract,
};
use tower_mcp_session::{CachedStore, MemoryStore, SessionStore};

macro_rules! both_contracts {
    ($name:ident, $handles:expr $(,)?) => {
        mod $name {
            use super::*;

            history_contract!(history, $handles);
            index_contract!(index, $handles);
        }
    };
}

both_contracts!(memory, twice(MemoryStore::new()));
both_contracts!(
    boxed,
    twice(Arc::new(
        Box::new(MemoryStore::new()) as Box<dyn SessionStore>
    ))
);
both_contracts!(cached, twice(CachedStore::new(MemoryStore::new())));
both_contracts!(faulty, twice(FaultyStore::new(MemoryStore::new())));
both_contracts!(plain, twice(Broken::by(Fault::None)));

// What is broken below is a store that keeps all the rest.
store_contract!(plain_alone, Broken::by(Fault::None));
shared_store_contract!(plain_twice, twice(Broken::by(Fault::None)));

fn twice<S: Clone>(store: S) -> (S, S) {
    (store.clone(), store)
}

// On one thread, so that tasks come between each other only where the fault lets them, whatever else the machine does.
#[tokio::test]
async fn each_fault_is_rejected_by_the_rules_meant_for_it_and_by_no_other() {
    let mut wrong = Vec::new();
    for &(fault, expected) in EXPECTED {
        let rejected = rejected_by(fault).await;
        if rejected != expected {
            wrong.push(format!("{fault:?}\n  {rejected:?}\n  and not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_store_that_always_fails_is_rejected_by_every_rule() {
    assert_eq!(rejected_by(Fault::Errors).await, names());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_rejected_by_every_rule() {
    assert_eq!(rejected_by(Fault::Hangs).await, names());
}

#[test]
fn each_rule_rejects_some_fault() {
    let rejecting: HashSet<_> = EXPECTED.iter().flat_map(|(_, rules)| *rules).collect();
    let idle: Vec<_> = names()
        .into_iter()
        .filter(|name| !rejecting.contains(name))
        .collect();
    assert_eq!(idle, [""; 0]);
}

#[test]
fn each_fault_is_expected_once_and_rejected_by_some_rule() {
    let mut faults: Vec<_> = EXPECTED
        .iter()
        .map(|(fault, _)| format!("{fault:?}"))
        .collect();
    faults.sort_unstable();
    let count = faults.len();
    faults.dedup();
    assert_eq!(faults.len(), count);
    let missed = EXPECTED.iter().filter(|(_, rules)| rules.is_empty());
    let missed: Vec<_> = missed.map(|(fault, _)| *fault).collect();
    assert_eq!(missed, [Fault::None]);
}

#[test]
fn rules_have_names_of_their_own() {
    let mut names = names();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), HISTORY_RULES.len() + INDEX_RULES.len());
}

fn rules() -> impl Iterator<Item = &'static SharedRule> {
    HISTORY_RULES.iter().chain(INDEX_RULES)
}

fn names() -> Vec<&'static str> {
    rules().map(SharedRule::name).collect()
}

/// The names of the rules that reject a store with this fault.
async fn rejected_by(fault: Fault) -> Vec<&'static str> {
    let mut rejected = Vec::new();
    for rule in rules() {
        let (first, second) = twice(Broken::by(fault));
        let task = tokio::spawn(rule.check(first, second));
        if let Err(error) = task.await {
            assert!(error.is_panic());
            rejected.push(rule.name());
        }
    }
    rejected
}
