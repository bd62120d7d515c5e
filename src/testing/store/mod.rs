//! The contract of [`SessionStore`], as functions: one per promise.
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
//! its own. What other handles and other processes see is not tried here.
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
//!     println!("{}", rule.name());
//!     rule.check(MemoryStore::new()).await;
//! }
//! # }
//! ```

mod cleaning;
mod creating;
mod deleting;
mod isolating;
mod loading;
mod racing;
mod saving;
mod subject;
mod touching;
mod watching;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

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
pub use isolating::{
    audiences_are_apart, odd_characters_and_large_values_survive, owner_tags_tell_principals_apart,
    sessions_are_isolated,
};
pub use loading::{
    load_gives_what_was_created, load_never_gives_the_expired,
    looking_at_the_expired_removes_nothing, unknown_ids_are_absent,
};
pub use racing::{
    clean_up_and_touch_agree, concurrent_saves_lose_nothing, delete_wins_over_late_save_and_touch,
    one_winner_in_a_create_race,
};
pub use saving::{
    save_conflicts_at_another_revision, save_never_inserts, save_of_a_deleted_session_reports_gone,
    save_replaces_at_the_read_revision,
};
pub use touching::{
    touch_creates_nothing, touch_does_not_change_the_revision, touch_moves_forward_only,
    touch_never_passes_the_absolute_end, touch_of_the_gone_says_none,
};
pub use watching::{watch_follows_the_store, watch_is_handed_out_as_declared, watch_sees_the_end};

use crate::store::SessionStore;

/// Each rule of the contract, by name.
pub const RULES: &[Rule] = store_contract!(@rules [list]);

/// One rule of the contract.
#[derive(Clone, Copy)]
pub struct Rule {
    name: &'static str,
    check: fn(Arc<dyn SessionStore>) -> Verdict,
}

/// Panics if the store breaks the rule.
type Verdict = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Rule {
    /// The name of its function.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Tries the rule on `store`, which nothing else uses.
    ///
    /// # Panics
    ///
    /// If the store breaks the rule.
    pub async fn check(&self, store: impl SessionStore) {
        (self.check)(Arc::new(store)).await;
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rule").field(&self.name).finish()
    }
}

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
            save_replaces_at_the_read_revision,
            save_conflicts_at_another_revision,
            save_of_a_deleted_session_reports_gone,
            save_never_inserts,
            concurrent_saves_lose_nothing,
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
            owner_tags_tell_principals_apart,
            watch_is_handed_out_as_declared,
            watch_follows_the_store,
            watch_sees_the_end,
        }
    };
    (@to [list] $($rule:ident,)*) => {
        &[$(Rule { name: stringify!($rule), check: |store| Box::pin($rule(store)) },)*]
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
