//! Changes of a session's record: one after the other here, by compare-and-swap between instances.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::flag;
use super::live::{LiveSession, flags_of};
use crate::clock;
use crate::config;
use crate::session::{InvalidTransition, SessionRecord, SessionState, Values, ValuesError};
use crate::store::{Revision, StoreError, StoreErrorKind};

/// Why a session could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The store did not do it; [`StoreErrorKind::Gone`] if the session has ended.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value is not of the type that was asked for, or cannot be written as JSON.
    #[error(transparent)]
    Values(#[from] ValuesError),
    /// The table of states forbids the move.
    #[error(transparent)]
    State(#[from] InvalidTransition),
    /// The session's values would take more bytes than the limit.
    #[error("the session's values would take {size} bytes, more than {limit}")]
    TooLarge {
        /// What they would take.
        size: usize,
        /// What they may take.
        limit: usize,
    },
}

impl From<StoreErrorKind> for SessionError {
    fn from(kind: StoreErrorKind) -> Self {
        Self::Store(kind.into())
    }
}

impl LiveSession {
    /// The record as the store has it now, without asking where the watch says that nothing has changed.
    pub(super) async fn current_record(
        self: &Arc<Self>,
    ) -> Result<Arc<SessionRecord>, SessionError> {
        let now = self.core().now();
        if self.has_ended() {
            return Err(StoreErrorKind::Gone.into());
        }
        if !self.is_current(now) {
            self.read_again().await?;
        }
        Ok(self.record())
    }

    /// Changes the record by `change`, which is asked again when somebody else was faster: no update is lost.
    ///
    /// `change` gives the next record, or `None` to leave it as it is, and its own result.
    pub(super) async fn write<T>(
        self: &Arc<Self>,
        mut change: impl FnMut(&SessionRecord) -> Result<(Option<SessionRecord>, T), SessionError>,
    ) -> Result<T, SessionError> {
        // First come, first served. Requests do not pass here, only those who write.
        let queue = self.writes();
        let _turn = queue.turn().await.map_err(|_| StoreErrorKind::Gone)?;
        self.current_record().await?;
        for attempt in 1..=config::WRITE_ATTEMPTS {
            let (record, revision) = self.versioned_record();
            let (next, result) = change(&record)?;
            let Some(next) = next else { return Ok(result) };
            let next = Arc::new(next);
            match self
                .core()
                .save(&self.key(), Arc::clone(&next), revision)
                .await
            {
                Ok(new) => {
                    self.replace(next, new, Some(revision));
                    return Ok(result);
                }
                Err(error) if error.kind() == StoreErrorKind::Conflict => {
                    wait_a_little(attempt).await;
                    self.read_again().await?;
                }
                Err(error) => return Err(self.note_if_gone(error)),
            }
        }
        Err(StoreErrorKind::Conflict.into())
    }

    /// Changes the values, within their limit, as [`write`](Self::write) does the record.
    pub(super) async fn write_values<T>(
        self: &Arc<Self>,
        mut change: impl FnMut(&Values) -> Result<(Option<Values>, T), SessionError>,
    ) -> Result<T, SessionError> {
        let limit = self.core().config.max_values_bytes;
        self.write(|record| {
            let (next, result) = change(record.values())?;
            let Some(next) = next else {
                return Ok((None, result));
            };
            check_size(&next, limit)?;
            Ok((Some(record.clone().with_values(next)), result))
        })
        .await
    }

    /// Suspends or resumes the session.
    pub(super) async fn set_suspended(self: &Arc<Self>, suspend: bool) -> Result<(), SessionError> {
        self.write(|record| Ok((Some(moved(record, suspend)?), ())))
            .await
    }

    /// Notes that the client has finished the handshake.
    pub(super) async fn write_initialized(self: &Arc<Self>) -> Result<(), StoreError> {
        let written = self.write(|record| {
            let next = (!record.initialized()).then(|| record.clone().with_initialized(true));
            Ok((next, ()))
        });
        match written.await {
            Ok(()) => Ok(()),
            Err(SessionError::Store(error)) => Err(error),
            // The change above makes no other.
            Err(error) => Err(StoreError::new(StoreErrorKind::Unavailable, error)),
        }
    }

    /// Takes over what the store has, unless what is held here is newer.
    pub(super) fn replace(
        self: &Arc<Self>,
        record: Arc<SessionRecord>,
        revision: Revision,
        expected: Option<Revision>,
    ) {
        // Before the lock: dropped again, it may be the last.
        let manager = self.manager();
        let cut = {
            let mut held = self.held();
            let held_number = self.revision.load(Ordering::Acquire);
            // What was read may have been overtaken by a write of this instance. If it is what is held, a store that
            // cannot save does not know that the handshake is finished.
            if expected.map_or(revision.number() <= held_number, |expected| {
                held_number != expected.number()
            }) {
                return;
            }
            let was_suspended = held.record.suspended();
            let suspends = record.suspended() && !was_suspended;
            let resumes = was_suspended && !record.suspended() && !self.has_ended();
            let written = flags_of(&record) & flag::WRITTEN;
            self.flags
                .fetch_and(!flag::WRITTEN | written, Ordering::AcqRel);
            self.flags.fetch_or(written, Ordering::AcqRel);
            held.record = record;
            self.revision.store(revision.number(), Ordering::Release);
            if let Some(manager) = manager.as_ref().filter(|_| suspends || resumes) {
                manager.events().suspended(self, &held);
            }
            let extras = held.extras.as_mut();
            extras.and_then(|extras| {
                if resumes {
                    // Renewed when asked for: work that begins now goes on.
                    extras.signals = None;
                }
                extras.signals.clone().filter(|_| suspends)
            })
        };
        if let Some(signals) = cut {
            signals.cancel();
        }
    }

    async fn read_again(self: &Arc<Self>) -> Result<(), SessionError> {
        let stored = self
            .core()
            .load(self.audience(), self.id(), self.core().now())
            .await?;
        let Some(stored) = stored else {
            return Err(self.note_if_gone(StoreErrorKind::Gone.into()));
        };
        self.replace(stored.record, stored.revision, None);
        Ok(())
    }

    /// A session that turns out to be gone ends here at once.
    pub(super) fn note_if_gone(self: &Arc<Self>, error: StoreError) -> SessionError {
        if error.kind() == StoreErrorKind::Gone
            && let Some(manager) = self.manager()
        {
            manager.end_gone(self);
        }
        error.into()
    }
}

/// The record of a session that is suspended or resumed. An idle one is in one step what an active one becomes.
///
/// # Errors
///
/// [`InvalidTransition`] if it stands there already.
pub(super) fn moved(
    record: &SessionRecord,
    suspend: bool,
) -> Result<SessionRecord, InvalidTransition> {
    let state = |suspended| match suspended {
        true => SessionState::Suspended,
        false => SessionState::Active,
    };
    let (from, to) = (state(record.suspended()), state(suspend));
    match from.may_become(to) {
        true => Ok(record.clone().with_suspended(suspend)),
        false => Err(InvalidTransition { from, to }),
    }
}

/// # Errors
///
/// [`SessionError::TooLarge`] if `values` take more than `limit` bytes.
pub(super) fn check_size(values: &Values, limit: usize) -> Result<(), SessionError> {
    match values.size() {
        size if size > limit => Err(SessionError::TooLarge { size, limit }),
        _ => Ok(()),
    }
}

/// Between two attempts: longer each time, and not in step with the others.
async fn wait_a_little(attempt: u32) {
    let longest = Duration::from_millis(1 << attempt.min(10)).min(config::WRITE_BACKOFF);
    let millis = clock::spread(u64::try_from(longest.as_millis()).unwrap_or(1) + 1);
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
