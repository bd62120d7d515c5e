//! State that a test changes and waits for.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

/// State behind one lock; each change wakes those who wait for it.
pub(super) struct Shared<T>(Arc<watch::Sender<T>>);

impl<T> Shared<T> {
    pub(super) fn new(state: T) -> Self {
        Self(Arc::new(watch::Sender::new(state)))
    }

    pub(super) fn read<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        f(&self.0.borrow())
    }

    pub(super) fn update<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let mut result = None;
        self.0.send_modify(|state| result = Some(f(state)));
        result.expect("`send_modify` has called its closure")
    }

    /// Ends when `condition` holds; it may hold already.
    pub(super) async fn wait_for(&self, condition: impl FnMut(&T) -> bool + Send)
    where
        T: Send + Sync,
    {
        let mut changes = self.0.subscribe();
        let met = changes.wait_for(condition).await;
        met.map(drop)
            .expect("the sender lives as long as `self`, which is borrowed");
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
