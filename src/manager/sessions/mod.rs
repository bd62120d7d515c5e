//! What operators do with sessions.

mod info;
mod statistics;
mod terminating;

use std::sync::Arc;
use std::time::Duration;

pub use info::{SessionFilter, SessionInfo, SessionListPage};
pub use statistics::{Standings, Statistics, StoredStatistics};

use super::SessionManager;
use super::live::LiveSession;
use super::writing::{SessionError, moved};
use crate::config;
use crate::session::SessionKey;
use crate::sharded::Sharded;
use crate::store::{ListedSession, SessionIndex, StoreError, StoreErrorKind};

/// The sessions of a layer, for operators: to look at, suspend and end.
///
/// Where the store has an index ([`SessionStore::index`](crate::SessionStore::index)) these are the sessions of all
/// instances that share it, live or not; else those that live on this instance, an expired one until a clean-up has
/// found it. Sessions are named by their keys: an id never appears.
///
/// What is done to one session looks for it among those of this instance: 30 ms of computing for 100 000 of them.
///
/// It is nobody's session and asks for no principal: whoever calls these methods for a request authorises it first.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::{MemoryStore, Principal, SessionFilter, SessionLayer, SessionState};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let layer = SessionLayer::new(MemoryStore::new());
/// let sessions = layer.sessions();
///
/// let idle = SessionFilter::default().with_state(SessionState::Idle);
/// let page = sessions.list(&idle, None, 100).await?;
/// for session in page.sessions {
///     sessions.suspend(&session.key).await?;
/// }
/// sessions.terminate_all(&Principal::new("mallory")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Sessions(SessionManager);

impl Sessions {
    pub(crate) fn new(manager: SessionManager) -> Self {
        Self(manager)
    }

    /// Sessions that `filter` takes, in the order of their keys, from after the key `after`: looks at `limit` of them,
    /// at most 1 000.
    ///
    /// A page may hold fewer sessions than there are: the filter is asked for each one that was looked at. Sessions
    /// that begin or end meanwhile may be shown or not; each other one is shown once. With a filter by principal the
    /// store looks at that one's sessions only.
    ///
    /// # Errors
    ///
    /// If the store could not be asked.
    pub async fn list(
        &self,
        filter: &SessionFilter,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<SessionListPage, StoreError> {
        let limit = limit.clamp(1, config::MAX_PAGE);
        let now = self.0.core.now();
        let Some(index) = self.0.core.store.index() else {
            return Ok(self.list_live(filter, after, limit).await);
        };
        let call = index.list(now, filter.owner.as_ref(), after, limit);
        let page = self.0.core.patient(call).await?;
        let sessions = page.sessions.into_iter();
        let sessions = sessions.map(|session| SessionInfo::of_store(session, now));
        Ok(SessionListPage {
            sessions: sessions.filter(|session| filter.takes(session)).collect(),
            unreadable: page.unreadable,
            next: page.next,
        })
    }

    /// The session of `key`; `None` if there is none.
    ///
    /// Where this instance learns by it that another one has suspended the session, it acts on that at once.
    ///
    /// # Errors
    ///
    /// If the store could not be asked, or has a session there that cannot be read.
    pub async fn inspect(&self, key: &SessionKey) -> Result<Option<SessionInfo>, StoreError> {
        let now = self.0.core.now();
        let listed = match self.0.core.store.index() {
            Some(index) => {
                let Some(listed) = self.0.core.patient(index.inspect(key, now)).await? else {
                    return Ok(None);
                };
                Some(listed)
            }
            None => None,
        };
        let live = self.live(key).await.filter(|live| !live.has_ended());
        let Some(live) = live else {
            return Ok(listed.map(|listed| SessionInfo::of_store(listed, now)));
        };
        let Some(listed) = listed else {
            return Ok(Some(SessionInfo::of_live(&live, now)));
        };
        // Another instance may have suspended or used it since this one has asked.
        live.replace(Arc::clone(&listed.record), listed.revision, None);
        let info = SessionInfo::of_live(&live, now);
        Ok(Some(info.or_later(SessionInfo::of_store(listed, now))))
    }

    /// Suspends the session of `key`: its requests are answered 503 until it is resumed, its record is kept.
    ///
    /// Every instance sees it at the next request, and within a touch interval ends the session's streams and cancels
    /// its work; this instance does so at once.
    ///
    /// # Errors
    ///
    /// [`SessionError::State`] if it is suspended already; [`SessionError::Store`] if there is none
    /// ([`StoreErrorKind::Gone`]), or the store did not do it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the session may or may not have been suspended.
    pub async fn suspend(&self, key: &SessionKey) -> Result<(), SessionError> {
        self.set_suspended(key, true).await
    }

    /// Resumes the suspended session of `key`.
    ///
    /// # Errors
    ///
    /// As for [`Sessions::suspend`], if it is *not* suspended.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the session may or may not have been resumed.
    pub async fn resume(&self, key: &SessionKey) -> Result<(), SessionError> {
        self.set_suspended(key, false).await
    }

    /// Refuses new sessions with 503 from now on; after `grace`, ends the streams of this instance. As
    /// [`SessionLayer::drain`](crate::SessionLayer::drain).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, new sessions stay refused and the streams stay open.
    pub async fn drain(&self, grace: Duration) {
        self.0.drain(grace).await;
    }

    async fn set_suspended(&self, key: &SessionKey, suspend: bool) -> Result<(), SessionError> {
        if let Some(live) = self.live(key).await {
            if !self.0.is_alive(&live).await? {
                return Err(StoreErrorKind::Gone.into());
            }
            return live.set_suspended(suspend).await;
        }
        for _ in 0..config::WRITE_ATTEMPTS {
            let listed = self.stored(key).await?.ok_or(StoreErrorKind::Gone)?;
            let record = Arc::new(moved(&listed.record, suspend)?);
            match self.0.core.save(key, record, listed.revision).await {
                Err(error) if error.kind() == StoreErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(()),
            }
        }
        Err(StoreErrorKind::Conflict.into())
    }

    async fn stored(&self, key: &SessionKey) -> Result<Option<ListedSession>, StoreError> {
        let Some(index) = self.0.core.store.index() else {
            return Ok(None);
        };
        let call = index.inspect(key, self.0.core.now());
        self.0.core.patient(call).await
    }

    fn index(&self) -> Result<&dyn SessionIndex, StoreError> {
        let index = self.0.core.store.index();
        index.ok_or_else(|| StoreError::new(StoreErrorKind::Unsupported, NO_INDEX))
    }

    /// The live session of `key`: the table knows ids only, so that it is looked for.
    async fn live(&self, key: &SessionKey) -> Option<Arc<LiveSession>> {
        let mut found = None;
        self.for_each_live(|session| {
            if found.is_none() && session.key() == *key {
                found = Some(Arc::clone(session));
            }
        })
        .await;
        found
    }

    async fn list_live(
        &self,
        filter: &SessionFilter,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> SessionListPage {
        let now = self.0.core.now();
        let mut found = Vec::new();
        self.for_each_live(|session| {
            let key = session.key();
            if after.is_none_or(|after| key > *after) && !session.has_ended() {
                found.push((key, Arc::clone(session)));
            }
        })
        .await;
        found.sort_unstable_by_key(|(key, _)| *key);
        let next = found.get(limit.saturating_sub(1)).map(|(key, _)| *key);
        let next = next.filter(|_| found.len() > limit);
        found.truncate(limit);
        let sessions = found.iter();
        let sessions = sessions.map(|(_, session)| SessionInfo::of_live(session, now));
        SessionListPage {
            sessions: sessions.filter(|session| filter.takes(session)).collect(),
            unreadable: Vec::new(),
            next,
        }
    }

    /// Shows each live session to `f`, some parts of the table at a time.
    async fn for_each_live(&self, mut f: impl FnMut(&Arc<LiveSession>) + Send) {
        for part in 0..Sharded::<Arc<LiveSession>>::SHARDS {
            self.0.shared.table.for_each(part, &mut f);
            if part.is_multiple_of(PARTS_AT_ONCE) {
                tokio::task::yield_now().await;
            }
        }
    }
}

const NO_INDEX: &str = "the store has no index of its sessions";

/// How many parts are looked at before other tasks run.
const PARTS_AT_ONCE: usize = 16;
