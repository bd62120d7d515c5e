//! What lies in the folder, page by page.

use super::entry::{self, Session};
use super::folder::{Folder, part_of, unavailable};
use crate::config;
use crate::session::{OwnerTag, SessionKey, Timestamp};
use crate::store::{ListedSession, SessionPage, StoreError};

/// What a page is made of.
#[derive(Clone, Copy)]
pub(super) struct Sought {
    now: Timestamp,
    owner: Option<OwnerTag>,
    after: Option<SessionKey>,
    limit: usize,
}

impl Sought {
    pub(super) fn new(
        now: Timestamp,
        owner: Option<&OwnerTag>,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Self {
        Self {
            now,
            owner: owner.copied(),
            after: after.copied(),
            limit: limit.clamp(1, config::MAX_PAGE),
        }
    }

    pub(super) fn first_part(&self) -> u8 {
        self.after.as_ref().map_or(0, part_of)
    }

    /// Goes on with the sessions of a part, until the page is full.
    pub(super) fn add_part(
        &self,
        mut page: SessionPage,
        folder: &Folder,
        part: u8,
    ) -> Result<SessionPage, StoreError> {
        let mut keys = folder.names(part).map_err(unavailable)?.keys;
        keys.retain(|key| self.after.is_none_or(|after| *key > after));
        for key in keys {
            match entry::read(folder, &key) {
                Ok(Some(session)) if self.is_met_by(&session) => {
                    page.sessions.push(session.listed(key));
                }
                Ok(_) => continue,
                // Whose it is cannot be read.
                Err(_) if self.owner.is_some() => continue,
                Err(_) => page.unreadable.push(key),
            }
            if page.sessions.len() + page.unreadable.len() >= self.limit {
                page.next = Some(key);
                break;
            }
        }
        Ok(page)
    }

    fn is_met_by(&self, session: &Session) -> bool {
        let is_owned = |owner| session.record.owner() == Some(owner);
        !session.last_use.is_over(self.now) && self.owner.as_ref().is_none_or(is_owned)
    }
}

impl Session {
    pub(super) fn listed(self, key: SessionKey) -> ListedSession {
        ListedSession::new(
            key,
            self.record,
            self.head.revision,
            self.last_use.activity,
            self.last_use.idle_deadline,
        )
    }
}

/// How many sessions of a part are alive at `now`; those whose files cannot be read are left out.
pub(super) fn count_part(folder: &Folder, part: u8, now: Timestamp) -> Result<u64, StoreError> {
    let keys = folder.names(part).map_err(unavailable)?.keys;
    let alive = keys.iter().filter(|key| {
        let found = entry::ask(folder, key).ok().flatten();
        found.is_some_and(|(_, last_use)| !last_use.is_over(now))
    });
    Ok(alive.count() as u64)
}
