//! Work on files, done on threads that may block.

use std::panic;
use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore};
use tokio::task::spawn_blocking;

use crate::config;
use crate::store::{StoreError, StoreErrorKind};

/// What limits the threads that a store blocks.
pub(super) struct Jobs {
    permits: Arc<Semaphore>,
    /// For each part of the folder, whose turn it is to write here: those who wait for each other cost no thread.
    turns: Vec<Arc<Mutex<()>>>,
}

impl Jobs {
    pub(super) fn new() -> Self {
        let parts = 0..=u8::MAX;
        Self {
            permits: Arc::new(Semaphore::new(config::MAX_FILE_JOBS)),
            turns: parts.map(|_| Arc::default()).collect(),
        }
    }

    /// Runs `work` to its end, also if this future is dropped once it has begun.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let job = spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        match job.await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => panic::resume_unwind(panic),
                // The runtime is about to stop, and has not begun the work.
                Err(error) => Err(StoreError::new(StoreErrorKind::Unavailable, error)),
            },
        }
    }

    /// As [`Jobs::run`], one at a time for each part of the folder. A turn lasts as long as the work, whatever becomes
    /// of this future.
    pub(super) async fn run_in_turn<T: Send + 'static>(
        &self,
        part: u8,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = Arc::clone(&self.turns[usize::from(part)])
            .lock_owned()
            .await;
        self.run(move || {
            let _turn = turn;
            work()
        })
        .await
    }
}
