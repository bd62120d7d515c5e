//! The list of ids that were ended before their time.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::value::RawValue;

use super::claims::{Base64, Epoch};
use crate::config;
use crate::protocol::ProtocolVersion;
use crate::session::{
    Handshake, NewSession, RandomSourceError, SessionId, SessionKey, SessionRecord, Timestamp,
};
use crate::store::{SessionStore, StoreError, StoreErrorKind};

/// Ended ids, in a store of any kind: each is a session there, under a name made of its key, that ends when the id does.
#[derive(Clone)]
pub(super) struct Revocations {
    list: Arc<dyn SessionStore>,
    /// Of a list that ends with the process: ids of other processes are refused, or a restart would revive the ended.
    pub(super) epoch: Option<Epoch>,
    recent: Arc<Recent>,
}

impl Revocations {
    pub(super) fn new(list: Arc<dyn SessionStore>) -> Result<Self, RandomSourceError> {
        let epoch = match list.capabilities().shared {
            true => None,
            false => {
                let mut bytes = [0; 8];
                getrandom::fill(&mut bytes).map_err(RandomSourceError)?;
                Some(Base64(bytes))
            }
        };
        Ok(Self {
            list,
            epoch,
            recent: Arc::default(),
        })
    }

    /// Whether other instances use the list too.
    pub(super) fn is_shared(&self) -> bool {
        self.epoch.is_none()
    }

    /// Notes that the session `key` is alive, and until when it would be.
    pub(super) fn note(&self, key: SessionKey, end: Timestamp) {
        self.recent.note(key, end);
    }

    /// Whether the id of the session `key` was ended.
    pub(super) async fn holds(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError> {
        let entry = self.list.load(AUDIENCE, &entry_of(key)?, now).await?;
        Ok(entry.is_some())
    }

    /// Ends the id of the session `key` for as long as it would have lived; says whether it is known to have been alive
    /// at `now`. Of one that has been forgotten nobody knows how long that is: `longest` at most.
    pub(super) async fn add(
        &self,
        key: &SessionKey,
        now: Timestamp,
        longest: Timestamp,
    ) -> Result<bool, StoreError> {
        let known = self.recent.end_of(key);
        let end = known.unwrap_or(longest);
        let entry = entry_of(key)?;
        let params = RawValue::NULL.to_owned();
        let handshake = Arc::new(Handshake::new(params, ProtocolVersion::ASSUMED));
        let record = SessionRecord::new(now, end, None, handshake);
        let new = NewSession::new(AUDIENCE, record, now, end);
        match self.list.create(&entry, new).await {
            Ok(stored) if stored.id != entry => Err(StoreError::new(
                StoreErrorKind::Unsupported,
                "a list of ended ids must keep the ids that it is given",
            )),
            Ok(_) => Ok(known.is_some() && now < end),
            Err(error) if error.kind() == StoreErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the entries of ids that have ended by themselves.
    pub(super) async fn clean_up(&self, now: Timestamp, limit: usize) -> Result<(), StoreError> {
        while limit > 0 && self.list.delete_expired(now, limit).await?.len() >= limit {}
        Ok(())
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Revocations").field(&self.list).finish()
    }
}

/// When the sessions end that were begun or asked for a short while ago. A store is told to delete a key, which says
/// nothing of that; whoever deletes a session has just asked for it.
#[derive(Default)]
struct Recent(Mutex<Ends>);

#[derive(Default)]
struct Ends {
    newer: HashMap<SessionKey, Timestamp>,
    older: HashMap<SessionKey, Timestamp>,
}

impl Recent {
    fn note(&self, key: SessionKey, end: Timestamp) {
        let mut ends = self.ends();
        if ends.newer.len() >= config::RECENT_IDS && !ends.newer.contains_key(&key) {
            ends.older = std::mem::take(&mut ends.newer);
        }
        ends.newer.insert(key, end);
    }

    fn end_of(&self, key: &SessionKey) -> Option<Timestamp> {
        let ends = self.ends();
        ends.newer.get(key).or_else(|| ends.older.get(key)).copied()
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of an ended id in the list: half of the digest that its key is, in the form of ids that each store takes.
fn entry_of(key: &SessionKey) -> Result<SessionId, StoreError> {
    let digits = key.to_string();
    SessionId::parse(&digits.as_bytes()[..32])
        .map_err(|error| StoreError::new(StoreErrorKind::Corrupt, error))
}

/// Apart from the sessions that a store may hold besides.
const AUDIENCE: &str = "mcp-session ended ids";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sessions_are_remembered_and_no_more_than_twice_as_many() {
        let key = |n: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            SessionKey::from(bytes)
        };
        let recent = Recent::default();
        let last = 3 * config::RECENT_IDS;
        for n in 0..=last {
            recent.note(key(n), Timestamp::from_millis(n as u64));
            // Whoever is noted again and again takes no room.
            recent.note(key(n), Timestamp::from_millis(n as u64));
        }
        for n in [last, last - 1, last - config::RECENT_IDS] {
            let end = recent.end_of(&key(n));
            assert_eq!(end, Some(Timestamp::from_millis(n as u64)));
        }
        assert_eq!(recent.end_of(&key(0)), None);
        let ends = recent.ends();
        assert!(ends.newer.len() + ends.older.len() <= 2 * config::RECENT_IDS);
    }
}
