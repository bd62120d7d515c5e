//! The rules as values, for whoever wants to go through them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::store::SessionStore;

/// One rule of the contract.
#[derive(Clone, Copy)]
pub struct Rule {
    name: &'static str,
    check: fn(Arc<dyn SessionStore>) -> Verdict,
}

/// Panics if the store breaks the rule.
pub(super) type Verdict = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Rule {
    pub(super) const fn new(
        name: &'static str,
        check: fn(Arc<dyn SessionStore>) -> Verdict,
    ) -> Self {
        Self { name, check }
    }

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

/// One rule for two handles to the same data.
#[derive(Clone, Copy)]
pub struct SharedRule {
    name: &'static str,
    check: fn(Arc<dyn SessionStore>, Arc<dyn SessionStore>) -> Verdict,
}

impl SharedRule {
    pub(super) const fn new(
        name: &'static str,
        check: fn(Arc<dyn SessionStore>, Arc<dyn SessionStore>) -> Verdict,
    ) -> Self {
        Self { name, check }
    }

    /// The name of its function.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Tries the rule on two handles to the same data, which nothing else uses.
    ///
    /// # Panics
    ///
    /// If the store breaks the rule.
    pub async fn check(&self, first: impl SessionStore, second: impl SessionStore) {
        (self.check)(Arc::new(first), Arc::new(second)).await;
    }
}

impl fmt::Debug for SharedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedRule").field(&self.name).finish()
    }
}
