//! Which sessions there are in Redis: an ordered set of all, and one for each owner.
//!
//! They are written by the scripts that write the sessions, in the same step. What the server removes by itself stays
//! in them until a list or a clean-up comes by it.

use ::redis::cmd;
use async_trait::async_trait;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::RedisStore;
use super::errors::Effect;
use super::form::{hex, time};
use super::link::Request;
use super::scripts::{FORGET, MARK, MISSING, SETTLE, WALK};
use crate::config;
use crate::session::{OwnerTag, SessionKey, Timestamp};
use crate::store::{ListedSession, SessionIndex, SessionPage, StoreError, StoreErrorKind};

/// What an index holds of a session.
#[derive(Clone)]
pub(super) struct Member {
    key: SessionKey,
    /// As it is written; empty if it is nobody's.
    owner: String,
}

/// A part of the index of all sessions.
pub(super) struct Walked {
    alive: u64,
    stale: Vec<Member>,
    /// What the next part comes after; empty if this was the last.
    pub(super) next: Vec<u8>,
}

#[async_trait]
impl SessionIndex for RedisStore {
    async fn list(
        &self,
        now: Timestamp,
        owner: Option<&OwnerTag>,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<SessionPage, StoreError> {
        let limit = limit.clamp(1, config::MAX_PAGE);
        let members = self.members(owner, after, limit).await?;
        let last = members.last().map(|member| member.key);
        let next = last.filter(|_| members.len() == limit);
        let (mut page, stale) = self.page_of(members, now).await?;
        // A session may have got another owner since it was found.
        page.sessions
            .retain(|session| owner.is_none_or(|owner| session.record.owner() == Some(owner)));
        page.next = next;
        self.forget_stale(stale).await?;
        Ok(page)
    }

    async fn inspect(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<ListedSession>, StoreError> {
        self.read(*key, now).await
    }

    async fn count(&self, now: Timestamp) -> Result<u64, StoreError> {
        let (mut count, mut after) = (0, Vec::new());
        loop {
            let part = self.walk(now, after).await?;
            count += part.alive;
            if part.next.is_empty() {
                return Ok(count);
            }
            after = part.next;
        }
    }

    async fn bar(
        &self,
        owner: &OwnerTag,
        not_before: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        // First: what is created from here on is refused, and what was created before is in the index.
        let arguments = [hex(owner).into_bytes(), time(not_before), time(until)];
        let mark = MARK.call_of_all(self.names.index(), arguments);
        self.script::<u64>(&mark, Effect::Repeatable).await?;
        let mut after = None;
        loop {
            let members = self
                .members(Some(owner), after.as_ref(), config::MAX_PAGE)
                .await?;
            after = members.last().map(|member| member.key);
            let is_last = members.len() < config::MAX_PAGE;
            self.settle(members.iter().map(|member| member.key).collect())
                .await?;
            if is_last {
                return Ok(());
            }
        }
    }
}

impl RedisStore {
    /// At most `limit` of what an index holds, in the order of the keys.
    async fn members(
        &self,
        owner: Option<&OwnerTag>,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError> {
        let mut range = cmd("ZRANGEBYLEX");
        match owner {
            Some(owner) => range.arg(self.names.index_of(owner)),
            None => range.arg(&**self.names.index()),
        };
        // An owner behind the key comes before the tilde.
        let from = after.map_or_else(|| "-".into(), |after| format!("({after}~"));
        range.arg(from).arg("+").arg("LIMIT").arg(0).arg(limit);
        let request = Request::Command(&range);
        let found: Vec<Vec<u8>> = self.link.call(request, Effect::None).await?;
        let mut members: Vec<_> = found
            .iter()
            .filter_map(|text| Member::parse(text))
            .collect();
        if let Some(owner) = owner {
            let owner = hex(owner);
            members
                .iter_mut()
                .for_each(|member| member.owner.clone_from(&owner));
        }
        Ok(members)
    }

    /// The sessions that `members` name, and those that name none alive.
    async fn page_of(
        &self,
        members: Vec<Member>,
        now: Timestamp,
    ) -> Result<(SessionPage, Vec<Member>), StoreError> {
        let looks = members
            .into_iter()
            .map(async |member| (self.read(member.key, now).await, member));
        let found: Vec<_> = stream::iter(looks).buffered(AT_ONCE).collect().await;
        let (mut page, mut stale) = (SessionPage::default(), Vec::new());
        for (session, member) in found {
            match session {
                Ok(Some(session)) => page.sessions.push(session),
                Ok(None) => stale.push(member),
                Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                    page.unreadable.push(member.key);
                }
                Err(error) => return Err(error),
            }
        }
        Ok((page, stale))
    }

    /// Counts the sessions in the next part of the index.
    pub(super) async fn walk(&self, now: Timestamp, after: Vec<u8>) -> Result<Walked, StoreError> {
        let arguments = [time(now), after, PART.to_string().into_bytes()];
        let call = WALK.call_of_all(self.names.index(), arguments);
        let (next, alive, stale): (Vec<u8>, u64, Vec<Vec<u8>>) =
            self.script(&call, Effect::None).await?;
        Ok(Walked {
            alive,
            stale: stale
                .iter()
                .filter_map(|text| Member::parse(text))
                .collect(),
            next,
        })
    }

    /// Takes out of the index what is not there any more; gives where to go on.
    pub(super) async fn prune(&self, after: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let part = self.walk(Timestamp::EPOCH, after).await?;
        self.forget_stale(part.stale).await?;
        Ok(part.next)
    }

    /// Puts into the index what lacks there, but for those whose owner was barred since: they end.
    pub(super) async fn adopt(&self, sessions: &[SessionKey]) -> Result<(), StoreError> {
        if sessions.is_empty() {
            return Ok(());
        }
        let names = sessions.iter().map(|key| key.to_string().into_bytes());
        let call = MISSING.call_of_all(self.names.index(), names);
        let missing: Vec<Vec<u8>> = self.script(&call, Effect::None).await?;
        let missing = missing.iter().filter_map(|text| Member::parse(text));
        self.settle(missing.map(|member| member.key).collect())
            .await
    }

    async fn settle(&self, sessions: Vec<SessionKey>) -> Result<(), StoreError> {
        let calls = sessions.into_iter().map(async |key| {
            let call = SETTLE.call(self.names.keys(&key), []);
            match self.script::<bool>(&call, Effect::Repeatable).await {
                Ok(ended) => {
                    if ended {
                        self.forget(&key);
                    }
                    Ok(())
                }
                // A key of another kind is no session.
                Err(error) if error.kind() == StoreErrorKind::Corrupt => Ok(()),
                Err(error) => Err(error),
            }
        });
        stream::iter(calls)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn forget_stale(&self, members: Vec<Member>) -> Result<(), StoreError> {
        let calls = members.into_iter().map(async |member| {
            let keys = self.names.keys(&member.key);
            let call = FORGET.call(keys, [member.owner.into_bytes()]);
            self.script::<u64>(&call, Effect::Repeatable)
                .await
                .map(drop)
        });
        stream::iter(calls)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }
}

impl Member {
    /// A key, and its owner behind it.
    fn parse(text: &[u8]) -> Option<Self> {
        let (key, owner) = str::from_utf8(text).ok()?.split_at_checked(KEY)?;
        let key = key.parse().ok()?;
        let owner = owner.to_owned();
        Some(Self { key, owner })
    }
}

/// The digits of a key.
const KEY: usize = 64;

/// So many sessions are looked at in one step of the server: about a millisecond.
const PART: usize = 200;

const AT_ONCE: usize = 64;
