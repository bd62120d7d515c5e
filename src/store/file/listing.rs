//! What lies in the folder, page by page.

use super::entry;
use super::folder::{Folder, part_of, unavailable};
use super::jobs::Jobs;
use crate::config;
use crate::session::{SessionKey, Timestamp};
use crate::store::{ListedSession, SessionPage, StoreError};

pub(super) async fn read(
    folder: &Folder,
    jobs: &Jobs,
    now: Timestamp,
    after: Option<SessionKey>,
    limit: usize,
) -> Result<SessionPage, StoreError> {
    let limit = limit.clamp(1, config::MAX_PAGE);
    let mut page = SessionPage::default();
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

impl SessionPage {
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
                    self.sessions.push(ListedSession::new(
                        key,
                        session.record,
                        session.head.revision,
                        session.last_use.activity,
                        session.last_use.idle_deadline,
                    ));
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
