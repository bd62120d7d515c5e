//! What lies in the folder, page by page.

use super::entry;
use super::folder::{Folder, part_of, unavailable};
use super::jobs::Jobs;
use crate::config;
use crate::session::{OwnerTag, SessionKey, Timestamp};
use crate::store::StoreError;

/// A page of the sessions in a [`FileStore`](super::FileStore).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionPage {
    /// The sessions, in the order of their keys.
    pub sessions: Vec<ListedSession>,
    /// Whose files cannot be read.
    pub unreadable: Vec<SessionKey>,
    /// What to ask the next page with; `None` if this is the last.
    pub next: Option<SessionKey>,
}

/// A session as a list shows it: with its key, never with its id.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ListedSession {
    /// The name the store keeps the session under.
    pub key: SessionKey,
    /// Whose session it is; `None` if it began without a principal.
    pub owner: Option<OwnerTag>,
    /// When the session began.
    pub created: Timestamp,
    /// When the session was last noted as used.
    pub last_activity: Timestamp,
    /// When the session ends unless it is touched.
    pub idle_deadline: Timestamp,
}

impl SessionPage {
    pub(super) async fn read(
        folder: &Folder,
        jobs: &Jobs,
        now: Timestamp,
        after: Option<SessionKey>,
        limit: usize,
    ) -> Result<Self, StoreError> {
        let limit = limit.clamp(1, config::MAX_FILE_PAGE);
        let mut page = Self {
            sessions: Vec::new(),
            unreadable: Vec::new(),
            next: None,
        };
        for part in after.as_ref().map_or(0, part_of)..=u8::MAX {
            let folder = folder.clone();
            let read = move || page.add_part(&folder, part, now, after.as_ref(), limit);
            page = jobs.run(read).await?;
            if page.next.is_some() {
                break;
            }
        }
        Ok(page)
    }

    /// Goes on with the sessions of a part, up to `limit` keys in all.
    fn add_part(
        mut self,
        folder: &Folder,
        part: u8,
        now: Timestamp,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<Self, StoreError> {
        let mut keys = folder.names(part).map_err(unavailable)?.keys;
        keys.retain(|key| after.is_none_or(|after| key > after));
        for key in keys {
            match entry::read(folder, &key) {
                Ok(Some(session)) if !session.last_use.is_over(now) => {
                    self.sessions.push(ListedSession {
                        key,
                        owner: session.record.owner().copied(),
                        created: session.record.created(),
                        last_activity: session.last_use.activity,
                        idle_deadline: session.last_use.idle_deadline,
                    });
                }
                Ok(_) => continue,
                Err(_) => self.unreadable.push(key),
            }
            if self.sessions.len() + self.unreadable.len() >= limit {
                self.next = Some(key);
                break;
            }
        }
        Ok(self)
    }
}

/// How many sessions are alive at `now`; those whose files cannot be read are left out.
pub(super) async fn count(
    folder: &Folder,
    jobs: &Jobs,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut count = 0;
    for part in 0..=u8::MAX {
        let folder = folder.clone();
        count += jobs.run(move || count_part(&folder, part, now)).await?;
    }
    Ok(count)
}

fn count_part(folder: &Folder, part: u8, now: Timestamp) -> Result<usize, StoreError> {
    let keys = folder.names(part).map_err(unavailable)?.keys;
    let alive = keys.iter().filter(|key| {
        let found = entry::ask(folder, key).ok().flatten();
        found.is_some_and(|(_, last_use)| !last_use.is_over(now))
    });
    Ok(alive.count())
}
