//! A store that fails, hangs or lacks abilities on command.

mod beside;
mod control;

use std::sync::Arc;

use async_trait::async_trait;

pub use control::Operation;

use crate::session::{
    NewSession, OwnerTag, Principal, SessionId, SessionKey, SessionRecord, Timestamp,
};
use crate::store::{
    Capabilities, HistoryStore, Recognition, Revision, SessionIndex, SessionStore, StoreError,
    StoreErrorKind, Stored,
};
use beside::Beside;
use control::{Control, Fault};

/// Wraps a store: counts its calls, and lets them fail or hang when a test says so.
///
/// Until then it does what the store inside does. A clone of it follows the same commands; what it says of the
/// sessions depends on what a clone of `S` is.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::testing::{FaultyStore, Operation};
/// use tower_mcp_session::{MemoryStore, SessionId, SessionStore, Timestamp};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = FaultyStore::new(MemoryStore::new());
/// store.hang(Operation::Load);
///
/// let other = store.clone();
/// let id = SessionId::random()?;
/// let task = tokio::spawn(async move { other.load("/mcp", &id, Timestamp::EPOCH).await });
///
/// store.arrived(Operation::Load).await;
/// store.release();
/// assert!(task.await??.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FaultyStore<S> {
    inner: S,
    capabilities: Capabilities,
    /// Whether it keeps histories and an index, if the store inside does.
    keeps: Beside,
    commands: Control,
}

impl<S: SessionStore> FaultyStore<S> {
    /// Wraps `inner`, without a fault as yet.
    pub fn new(inner: S) -> Self {
        Self {
            capabilities: inner.capabilities(),
            inner,
            keeps: Beside::default(),
            commands: Control::default(),
        }
    }

    /// Declares `capabilities` in place of those of the store inside, and lacks what they lack. Default: those of the
    /// store inside.
    ///
    /// Without `watch` none is handed out, without `save` and `delete` these are refused as unsupported and nothing is
    /// ever cleaned up, without `idle_expiry` a touch is refused likewise and sessions end at their absolute end only.
    /// What the store inside cannot do, no declaration adds.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Hides the watch, as a store that cannot push has none. Default: as the store inside.
    #[must_use]
    pub fn without_watch(mut self) -> Self {
        self.capabilities.watch = false;
        self
    }

    /// Keeps no histories. Default: as the store inside.
    #[must_use]
    pub fn without_history(mut self) -> Self {
        self.keeps.histories = false;
        self
    }

    /// Has no index. Default: as the store inside.
    #[must_use]
    pub fn without_index(mut self) -> Self {
        self.keeps.index = false;
        self
    }

    /// The store inside.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// How often `operation` was called, whatever came of it.
    pub fn calls(&self, operation: Operation) -> usize {
        self.commands.read(operation, |on| on.calls)
    }

    /// How often any operation was called.
    pub fn total_calls(&self) -> usize {
        self.commands.total_calls()
    }

    /// How many calls of `operation` hang at the moment.
    pub fn hanging(&self, operation: Operation) -> usize {
        self.commands.read(operation, |on| on.hanging)
    }

    /// Refuses the next call of `operation` as `kind`; it does nothing. Said twice, two calls are refused.
    pub fn fail_next(&self, operation: Operation, kind: StoreErrorKind) {
        self.commands
            .command(operation, |on| on.next.push_back(Fault::Refuse(kind)));
    }

    /// Lets the next call of `operation` do its work and answers `kind` nevertheless, as when an answer is lost.
    pub fn lose_next_answer(&self, operation: Operation, kind: StoreErrorKind) {
        self.commands
            .command(operation, |on| on.next.push_back(Fault::LoseAnswer(kind)));
    }

    /// Refuses all calls of `operation` as `kind`, until [`FaultyStore::heal`].
    pub fn fail_all(&self, operation: Operation, kind: StoreErrorKind) {
        self.commands
            .command(operation, |on| on.all = Some(Fault::Refuse(kind)));
    }

    /// Lets all calls of `operation` hang before they do anything, until [`FaultyStore::release`].
    pub fn hang(&self, operation: Operation) {
        self.commands.command(operation, |on| on.hangs = true);
    }

    /// Lets all calls of `operation` do their work and hang with the answer that they got, until
    /// [`FaultyStore::release`]: what happens meanwhile, the answer does not know of. A future that is dropped then has
    /// done its work.
    pub fn hang_after(&self, operation: Operation) {
        self.commands
            .command(operation, |on| on.keeps_answers = true);
    }

    /// Takes all commands to fail back.
    pub fn heal(&self) {
        self.commands.all(|on| {
            on.next.clear();
            on.all = None;
        });
    }

    /// Lets go all calls that hang; later ones do not hang.
    pub fn release(&self) {
        self.commands.all(|on| {
            on.hangs = false;
            on.keeps_answers = false;
        });
    }

    /// Ends when a call of `operation` hangs.
    pub async fn arrived(&self, operation: Operation) {
        self.commands
            .wait_for(operation, |commands| commands.hanging > 0)
            .await;
    }

    /// Ends when `operation` was called at least `count` times.
    pub async fn wait_for_calls(&self, operation: Operation, count: usize) {
        self.commands
            .wait_for(operation, |commands| commands.calls >= count)
            .await;
    }

    fn able(ability: bool) -> Result<(), StoreError> {
        ability
            .then_some(())
            .ok_or(StoreErrorKind::Unsupported.into())
    }

    fn hide_watch(&self, mut stored: Stored) -> Stored {
        stored.watch = stored.watch.filter(|_| self.capabilities.watch);
        stored
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: SessionStore> SessionStore for FaultyStore<S> {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn owner_tag(&self, id: &SessionId, principal: &Principal) -> OwnerTag {
        self.inner.owner_tag(id, principal)
    }

    fn recognize(&self, audience: &str, id: &SessionId, now: Timestamp) -> Recognition {
        self.inner.recognize(audience, id, now)
    }

    fn history(&self) -> Option<&dyn HistoryStore> {
        let keeps = self.keeps.histories && self.inner.history().is_some();
        keeps.then_some(self as &dyn HistoryStore)
    }

    fn index(&self) -> Option<&dyn SessionIndex> {
        // A store that cannot delete cannot end the sessions of an owner.
        let keeps = self.keeps.index && self.capabilities.delete && self.inner.index().is_some();
        keeps.then_some(self as &dyn SessionIndex)
    }

    async fn create(
        &self,
        candidate: &SessionId,
        mut new: NewSession,
    ) -> Result<Stored, StoreError> {
        if !self.capabilities.idle_expiry {
            new.idle_deadline = Timestamp::NEVER;
        }
        let call = self.inner.create(candidate, new);
        let stored = self.commands.run(Operation::Create, call).await?;
        Ok(self.hide_watch(stored))
    }

    async fn load(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        let call = self.inner.load(audience, id, now);
        let stored = self.commands.run(Operation::Load, call).await?;
        Ok(stored.map(|stored| self.hide_watch(stored)))
    }

    async fn save(
        &self,
        key: &SessionKey,
        record: Arc<SessionRecord>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        let call = async {
            Self::able(self.capabilities.save)?;
            self.inner.save(key, record, expected).await
        };
        self.commands.run(Operation::Save, call).await
    }

    async fn touch(
        &self,
        key: &SessionKey,
        now: Timestamp,
        idle_deadline: Option<Timestamp>,
    ) -> Result<Option<Revision>, StoreError> {
        let call = async {
            Self::able(self.capabilities.idle_expiry)?;
            self.inner.touch(key, now, idle_deadline).await
        };
        self.commands.run(Operation::Touch, call).await
    }

    async fn delete(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError> {
        let call = async {
            Self::able(self.capabilities.delete)?;
            self.inner.delete(key, now).await
        };
        self.commands.run(Operation::Delete, call).await
    }

    async fn delete_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        let call = async {
            match self.capabilities.delete {
                true => self.inner.delete_expired(now, limit).await,
                false => Ok(Vec::new()),
            }
        };
        self.commands.run(Operation::DeleteExpired, call).await
    }
}
