//! The contracts of what a store can do beside, as tests.

use super::{
    SharedRule, a_list_goes_on_while_sessions_begin_and_end, a_list_of_an_owner_shows_no_others,
    a_list_shows_each_session_once, a_list_shows_the_living, an_append_is_no_use,
    bar_ends_what_began_by_then, bar_moves_forward_only, bar_refuses_what_was_under_way,
    bar_wins_over_a_create_at_the_same_time, concurrent_appends_keep_their_order,
    histories_are_isolated, history_is_cleared, history_is_of_the_living, history_is_summed_up,
    history_keeps_to_its_limits, history_keeps_what_was_said,
};

/// The rules for stores that keep histories ([`HistoryStore`](crate::store::HistoryStore)), by name.
pub const HISTORY_RULES: &[SharedRule] = history_contract!(@rules [list]);

/// The rules for stores that have an index ([`SessionIndex`](crate::store::SessionIndex)), by name.
pub const INDEX_RULES: &[SharedRule] = index_contract!(@rules [list]);

/// Makes a module of tests, one for each rule for stores that keep histories
/// ([`HistoryStore`](crate::store::HistoryStore)).
///
/// It takes what [`shared_store_contract!`](super::shared_store_contract) takes: two handles to the same data.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::MemoryStore;
/// use tower_mcp_session::testing::store::history_contract;
///
/// history_contract!(memory, {
///     let store = MemoryStore::new();
///     (store.clone(), store)
/// });
/// # fn main() {}
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __history_contract {
    ($name:ident, $handles:expr $(,)?) => {
        $crate::testing::store::history_contract! { @rules [tests $name ($handles)] }
    };
    (@rules $to:tt) => {
        $crate::testing::store::shared_store_contract! { @to $to
            history_keeps_what_was_said,
            history_keeps_to_its_limits,
            history_is_summed_up,
            history_is_cleared,
            histories_are_isolated,
            history_is_of_the_living,
            an_append_is_no_use,
            concurrent_appends_keep_their_order,
        }
    };
}

#[doc(inline)]
pub use __history_contract as history_contract;

/// Makes a module of tests, one for each rule for stores that have an index
/// ([`SessionIndex`](crate::store::SessionIndex)).
///
/// It takes what [`shared_store_contract!`](super::shared_store_contract) takes: two handles to the same data.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::MemoryStore;
/// use tower_mcp_session::testing::store::index_contract;
///
/// index_contract!(memory, {
///     let store = MemoryStore::new();
///     (store.clone(), store)
/// });
/// # fn main() {}
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __index_contract {
    ($name:ident, $handles:expr $(,)?) => {
        $crate::testing::store::index_contract! { @rules [tests $name ($handles)] }
    };
    (@rules $to:tt) => {
        $crate::testing::store::shared_store_contract! { @to $to
            a_list_shows_each_session_once,
            a_list_goes_on_while_sessions_begin_and_end,
            a_list_shows_the_living,
            a_list_of_an_owner_shows_no_others,
            bar_ends_what_began_by_then,
            bar_refuses_what_was_under_way,
            bar_moves_forward_only,
            bar_wins_over_a_create_at_the_same_time,
        }
    };
}

#[doc(inline)]
pub use __index_contract as index_contract;
