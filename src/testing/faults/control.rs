//! What a test orders a store to do, and what it sees of it.

use std::collections::{HashMap, VecDeque};
use std::future::Future;

use crate::store::{StoreError, StoreErrorKind};
use crate::testing::shared::Shared;

/// A method of a store that does work.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// [`SessionStore::create`](crate::store::SessionStore::create).
    Create,
    /// [`SessionStore::load`](crate::store::SessionStore::load).
    Load,
    /// [`SessionStore::save`](crate::store::SessionStore::save).
    Save,
    /// [`SessionStore::touch`](crate::store::SessionStore::touch).
    Touch,
    /// [`SessionStore::delete`](crate::store::SessionStore::delete).
    Delete,
    /// [`SessionStore::delete_expired`](crate::store::SessionStore::delete_expired).
    DeleteExpired,
    /// [`HistoryStore::append`](crate::store::HistoryStore::append).
    Append,
    /// [`HistoryStore::recent`](crate::store::HistoryStore::recent).
    Recent,
    /// [`HistoryStore::summary`](crate::store::HistoryStore::summary).
    Summary,
    /// [`HistoryStore::clear`](crate::store::HistoryStore::clear).
    Clear,
    /// [`SessionIndex::list`](crate::store::SessionIndex::list).
    List,
    /// [`SessionIndex::inspect`](crate::store::SessionIndex::inspect).
    Inspect,
    /// [`SessionIndex::count`](crate::store::SessionIndex::count).
    Count,
    /// [`SessionIndex::bar`](crate::store::SessionIndex::bar).
    Bar,
}

/// What was ordered and what happened, shared by all clones of a store.
#[derive(Clone, Debug)]
pub(super) struct Control(Shared<HashMap<Operation, Commands>>);

impl Control {
    pub(super) fn read<R: Default>(
        &self,
        operation: Operation,
        f: impl FnOnce(&Commands) -> R,
    ) -> R {
        self.0
            .read(|all| all.get(&operation).map(f).unwrap_or_default())
    }

    pub(super) fn total_calls(&self) -> usize {
        self.0.read(|all| all.values().map(|on| on.calls).sum())
    }

    pub(super) fn all(&self, f: impl FnMut(&mut Commands)) {
        self.0.update(|all| all.values_mut().for_each(f));
    }

    pub(super) fn command<R>(&self, operation: Operation, f: impl FnOnce(&mut Commands) -> R) -> R {
        self.0.update(|all| f(all.entry(operation).or_default()))
    }

    pub(super) async fn wait_for(
        &self,
        operation: Operation,
        condition: impl Fn(&Commands) -> bool + Send + Sync,
    ) {
        let none = Commands::default();
        self.0
            .wait_for(|all| condition(all.get(&operation).unwrap_or(&none)))
            .await;
    }

    /// Counts a call of `operation`, then does as ordered.
    pub(super) async fn run<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.command(operation, |on| on.calls += 1);
        self.hang(operation, |on| on.hangs).await;
        let fault = self.command(operation, |on| on.next.pop_front().or(on.all));
        if let Some(Fault::Refuse(kind)) = fault {
            return Err(kind.into());
        }
        let answer = call.await;
        self.hang(operation, |on| on.keeps_answers).await;
        match fault {
            Some(Fault::LoseAnswer(kind)) => answer.and(Err(kind.into())),
            _ => answer,
        }
    }

    /// Waits as long as `ordered` says.
    async fn hang(&self, operation: Operation, ordered: fn(&Commands) -> bool) {
        let hangs = self.command(operation, |on| {
            let hangs = ordered(on);
            on.hanging += usize::from(hangs);
            hangs
        });
        if hangs {
            let _guard = Hanging(self, operation);
            self.wait_for(operation, |on| !ordered(on)).await;
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self(Shared::new(HashMap::new()))
    }
}

/// What is known and ordered of one operation.
#[derive(Debug, Default)]
pub(super) struct Commands {
    pub(super) calls: usize,
    /// Calls hang before they do anything.
    pub(super) hangs: bool,
    /// Calls hang after they have done their work.
    pub(super) keeps_answers: bool,
    pub(super) hanging: usize,
    pub(super) next: VecDeque<Fault>,
    pub(super) all: Option<Fault>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Refuse(StoreErrorKind),
    LoseAnswer(StoreErrorKind),
}

/// Counts a call that hung as gone, also when its future is dropped.
struct Hanging<'c>(&'c Control, Operation);

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.command(self.1, |on| on.hanging -= 1);
    }
}
