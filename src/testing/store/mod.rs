//! The contract of [`SessionStore`](crate::store::SessionStore), as functions: one per promise.
//!
//! Each takes a store, tries one promise of the trait's documentation on it and panics, saying what was promised, when
//! it is broken. What a store declares it cannot do ([`Capabilities`](crate::store::Capabilities)) must be refused as
//! unsupported: that is tested in place of the promise. [`store_contract!`] makes a test of each function, [`RULES`]
//! lists them.
//!
//! The functions begin at the present time and make sessions that end hours later, so that a store whose server
//! removes old entries by its own clock does not lose them. They never sleep; a store that does not answer within 10 s
//! breaks the promise at hand.
//!
//! # Limits
//!
//! Clean-up concerns a whole store: give each function a store that nothing else uses, such as a prefix or a schema of
//! its own.
//!
//! Where several instances share a store, [`shared_store_contract!`] tries what two handles to the same data owe each
//! other ([`SHARED_RULES`]). Other processes than this one are not tried, nor is a power cut.
//!
//! # Examples
//!
//! ```
//! use tower_mcp_session::MemoryStore;
//! use tower_mcp_session::testing::store;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! for rule in store::RULES {
//!     rule.check(MemoryStore::new()).await;
//! }
//! # }
//! ```

mod barring;
mod beside;
mod cleaning;
mod creating;
mod crowd;
mod deleting;
mod history;
mod inability;
mod index;
mod isolating;
mod loading;
mod racing;
mod rule;
mod saving;
mod sharing;
mod subject;
mod touching;
mod watching;

pub use barring::{
    bar_ends_what_began_by_then, bar_moves_forward_only, bar_refuses_what_was_under_way,
    bar_wins_over_a_create_at_the_same_time,
};
pub use beside::{HISTORY_RULES, INDEX_RULES, history_contract, index_contract};
pub use cleaning::{
    delete_expired_keeps_its_grace, delete_expired_respects_its_limit_and_finishes,
    delete_expired_spares_the_just_touched, sessions_without_end_stay,
};
pub use creating::{
    create_cuts_the_idle_deadline, create_never_overwrites, create_settles_on_one_id,
};
pub use deleting::{
    delete_is_final_for_load_touch_save, delete_leaves_a_tombstone,
    delete_says_whether_there_was_one,
};
pub use history::{
    an_append_is_no_use, histories_are_isolated, history_is_cleared, history_is_of_the_living,
    history_is_summed_up, history_keeps_to_its_limits, history_keeps_what_was_said,
};
pub use index::{
    a_list_goes_on_while_sessions_begin_and_end, a_list_of_an_owner_shows_no_others,
    a_list_shows_each_session_once, a_list_shows_the_living,
};
pub use isolating::{
    audiences_are_apart, fields_of_later_versions_survive, odd_characters_and_large_values_survive,
    owner_tags_tell_principals_apart, sessions_are_isolated,
};
pub use loading::{
    load_gives_what_was_created, load_never_gives_the_expired,
    looking_at_the_expired_removes_nothing, unknown_ids_are_absent, what_is_there_is_recognized,
};
pub use racing::{
    clean_up_and_touch_agree, concurrent_appends_keep_their_order, concurrent_saves_lose_nothing,
    delete_wins_over_late_save_and_touch, one_winner_in_a_create_race,
    saves_and_touches_lose_nothing_of_each_other, sessions_written_at_once_are_all_kept,
};
pub use rule::{Rule, SharedRule};
pub use saving::{
    save_conflicts_at_another_revision, save_never_inserts, save_of_a_deleted_session_reports_gone,
    save_replaces_at_the_read_revision,
};
pub use sharing::{
    a_watch_sees_what_other_handles_do, delete_wins_over_late_writes_of_two_handles,
    every_handle_sees_a_clean_up, every_handle_sees_a_create, every_handle_sees_a_delete,
    every_handle_sees_a_save, every_handle_sees_a_touch,
    one_winner_in_a_create_race_of_two_handles, owner_tags_are_the_same_on_every_handle,
    saves_of_two_handles_lose_nothing,
};
pub use touching::{
    touch_creates_nothing, touch_does_not_change_the_revision, touch_moves_forward_only,
    touch_never_passes_the_absolute_end, touch_of_the_gone_says_none,
};
pub use watching::{watch_follows_the_store, watch_is_handed_out_as_declared, watch_sees_the_end};

/// Each rule of the contract, by name.
pub const RULES: &[Rule] = store_contract!(@rules [list]);

/// The rules for two handles to the same data, by name.
pub const SHARED_RULES: &[SharedRule] = shared_store_contract!(@rules [list]);

/// Makes a module of tests, one for each rule of the contract, against stores of yours.
///
/// It takes a name for the module and an expression, evaluated in an `async` block once for each test, that makes a
/// fresh [`SessionStore`](crate::store::SessionStore) which nothing else uses. The tests are `#[tokio::test]`s on
/// several threads: have tokio among your dependencies, with its features `macros` and `rt-multi-thread`.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::MemoryStore;
/// use tower_mcp_session::testing::store_contract;
///
/// store_contract!(memory, MemoryStore::new());
/// # fn main() {}
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __store_contract {
    ($name:ident, $store:expr $(,)?) => {
        $crate::testing::store::store_contract! { @rules [tests $name ($store)] }
    };
    (@rules $to:tt) => {
        $crate::testing::store::store_contract! { @to $to
            create_never_overwrites,
            create_settles_on_one_id,
            create_cuts_the_idle_deadline,
            one_winner_in_a_create_race,
            load_gives_what_was_created,
            load_never_gives_the_expired,
            looking_at_the_expired_removes_nothing,
            unknown_ids_are_absent,
            what_is_there_is_recognized,
            save_replaces_at_the_read_revision,
            save_conflicts_at_another_revision,
            save_of_a_deleted_session_reports_gone,
            save_never_inserts,
            concurrent_saves_lose_nothing,
            sessions_written_at_once_are_all_kept,
            saves_and_touches_lose_nothing_of_each_other,
            touch_moves_forward_only,
            touch_never_passes_the_absolute_end,
            touch_creates_nothing,
            touch_does_not_change_the_revision,
            touch_of_the_gone_says_none,
            delete_is_final_for_load_touch_save,
            delete_leaves_a_tombstone,
            delete_says_whether_there_was_one,
            delete_wins_over_late_save_and_touch,
            delete_expired_keeps_its_grace,
            delete_expired_respects_its_limit_and_finishes,
            delete_expired_spares_the_just_touched,
            sessions_without_end_stay,
            clean_up_and_touch_agree,
            sessions_are_isolated,
            audiences_are_apart,
            odd_characters_and_large_values_survive,
            fields_of_later_versions_survive,
            owner_tags_tell_principals_apart,
            watch_is_handed_out_as_declared,
            watch_follows_the_store,
            watch_sees_the_end,
        }
    };
    (@to [list] $($rule:ident,)*) => {
        &[$(Rule::new(stringify!($rule), |store| Box::pin($rule(store))),)*]
    };
    (@to [tests $name:ident ($store:expr)] $($rule:ident,)*) => {
        mod $name {
            #[allow(unused_imports, reason = "what makes the store may need none")]
            use super::*;

            $(
                #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $rule() {
                    $crate::testing::store::$rule(::std::sync::Arc::new($store)).await;
                }
            )*
        }
    };
}

#[doc(inline)]
pub use __store_contract as store_contract;

/// Makes a module of tests, one for each rule for two handles to the same data: what one has done, the other sees.
///
/// It takes a name for the module and an expression, evaluated in an `async` block once for each test, that makes a
/// pair of handles: two clones where a clone is what an instance holds, two connections where each has its own. Nothing
/// else uses their data. The tests are as those of [`store_contract!`], which tries one handle alone.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::MemoryStore;
/// use tower_mcp_session::testing::shared_store_contract;
///
/// shared_store_contract!(memory, {
///     let store = MemoryStore::new();
///     (store.clone(), store)
/// });
/// # fn main() {}
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __shared_store_contract {
    ($name:ident, $handles:expr $(,)?) => {
        $crate::testing::store::shared_store_contract! { @rules [tests $name ($handles)] }
    };
    (@rules $to:tt) => {
        $crate::testing::store::shared_store_contract! { @to $to
            every_handle_sees_a_create,
            every_handle_sees_a_save,
            every_handle_sees_a_touch,
            every_handle_sees_a_delete,
            every_handle_sees_a_clean_up,
            a_watch_sees_what_other_handles_do,
            saves_of_two_handles_lose_nothing,
            one_winner_in_a_create_race_of_two_handles,
            delete_wins_over_late_writes_of_two_handles,
            owner_tags_are_the_same_on_every_handle,
        }
    };
    (@to [list] $($rule:ident,)*) => {
        &[$(SharedRule::new(
            stringify!($rule),
            |first, second| Box::pin($rule(first, second)),
        ),)*]
    };
    (@to [tests $name:ident ($handles:expr)] $($rule:ident,)*) => {
        mod $name {
            #[allow(unused_imports, reason = "what makes the stores may need none")]
            use super::*;

            $(
                #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $rule() {
                    let (first, second) = $handles;
                    let (first, second) = (::std::sync::Arc::new(first), ::std::sync::Arc::new(second));
                    $crate::testing::store::$rule(first, second).await;
                }
            )*
        }
    };
}

#[doc(inline)]
pub use __shared_store_contract as shared_store_contract;
