//! Finding what has expired.
//!
//! The server removes most of it by itself: the key of the last use has a time to live, and so has the record. What is
//! left for us are records whose last use has gone, which would stay to their absolute end, and sessions that have
//! expired by the caller's clock and not yet by the server's. An index by deadline would be exact and dear: each touch
//! would write to it, and it could not lie in the slots of its sessions. So the keys are walked through, a part of them
//! in each call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::redis::{Cmd, Pipeline, RedisResult, cmd};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::RedisStore;
use super::errors::{self, Effect};
use super::form::{self, Names};
use super::link::{Link, Request};
use super::scripts::REMOVE;
use crate::session::{SessionKey, Timestamp};
use crate::store::{StoreError, StoreErrorKind};

/// Where the next call goes on.
#[derive(Debug, Default)]
pub(super) struct Cleaner {
    cursor: AtomicU64,
    /// The last session of the index that was looked at.
    indexed: Mutex<Vec<u8>>,
}

impl Cleaner {
    /// Removes at most `limit` sessions that were over at `due`, and puts into the index what lacks there.
    pub(super) async fn clean(
        &self,
        store: &RedisStore,
        due: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        let (link, names) = (&store.link, &store.names);
        let mut removed = Vec::new();
        for _ in 0..PAGES {
            let cursor = self.cursor.load(Ordering::Relaxed);
            let scan = scan(cursor, names);
            let (next, found): (u64, Vec<Vec<u8>>) =
                link.call(Request::Command(&scan), Effect::None).await?;
            let found: Vec<_> = found.iter().filter_map(|key| names.session(key)).collect();
            store.adopt(&found).await?;
            let over = over(link, names, found, due).await?;
            let room = limit - removed.len();
            let fits = over.len() <= room;
            for key in remove(link, names, over, due, room).await? {
                store.forget(&key);
                removed.push(key);
            }
            if !fits {
                // The rest of this page is for the next call.
                break;
            }
            self.cursor.store(next, Ordering::Relaxed);
            if next == 0 {
                break;
            }
        }
        Ok(removed)
    }

    /// Takes out of the index what the server has removed.
    pub(super) async fn prune(&self, store: &RedisStore) -> Result<(), StoreError> {
        for _ in 0..PARTS {
            let after = self.lock().clone();
            let next = store.prune(after).await?;
            let is_last = next.is_empty();
            *self.lock() = next;
            if is_last {
                break;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.indexed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those of `sessions` that seem to be over. A deleted session is not one any more: its tombstone stays.
async fn over(
    link: &Arc<Link>,
    names: &Names,
    mut sessions: Vec<SessionKey>,
    due: Timestamp,
) -> Result<Vec<SessionKey>, StoreError> {
    let last_use = |key| Cmd::get(names.keys(key).last_use);
    let mut last_uses = texts(link, sessions.iter().map(last_use))
        .await?
        .into_iter();
    sessions.retain(|_| match last_uses.next() {
        Some(Some(text)) => form::read_last_use(&text).is_ok_and(|(_, deadline)| due >= deadline),
        _ => true,
    });
    let kind = |key| Cmd::getrange(names.keys(key).record, 0, 0);
    let mut kinds = texts(link, sessions.iter().map(kind)).await?.into_iter();
    sessions.retain(|_| {
        let kind = kinds.next().flatten();
        kind.is_some_and(|kind| form::is_record(&kind))
    });
    Ok(sessions)
}

/// What `commands` give, each one text: an empty one, which nobody takes for anything, where a key is of another kind.
async fn texts(
    link: &Arc<Link>,
    commands: impl Iterator<Item = Cmd>,
) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
    let mut pipeline = Pipeline::new();
    for command in commands {
        pipeline.add_command(command);
    }
    if pipeline.is_empty() {
        return Ok(Vec::new());
    }
    pipeline.ignore_errors();
    let texts: Vec<RedisResult<Option<Vec<u8>>>> = link
        .call(Request::Pipeline(&pipeline), Effect::None)
        .await?;
    let read = |text: RedisResult<_>| match text {
        Ok(text) => Ok(text),
        Err(error) => match errors::of_command(error, Effect::None) {
            error if error.kind() == StoreErrorKind::Corrupt => Ok(Some(Vec::new())),
            error => Err(error),
        },
    };
    texts.into_iter().map(read).collect()
}

/// Removes those of `sessions` that are over, whatever others do meanwhile.
async fn remove(
    link: &Arc<Link>,
    names: &Names,
    sessions: Vec<SessionKey>,
    due: Timestamp,
    limit: usize,
) -> Result<Vec<SessionKey>, StoreError> {
    let calls = sessions.into_iter().take(limit).map(async |key| {
        let call = REMOVE.call(names.keys(&key), [form::time(due)]);
        match link
            .call::<bool>(Request::Script(&call), Effect::Once)
            .await
        {
            Ok(removed) => Ok(removed.then_some(key)),
            Err(error) if error.kind() == StoreErrorKind::Corrupt => Ok(None),
            Err(error) => Err(error),
        }
    });
    let removed = stream::iter(calls).buffer_unordered(AT_ONCE);
    removed
        .try_filter_map(async |key| Ok(key))
        .try_collect()
        .await
}

fn scan(cursor: u64, names: &Names) -> Cmd {
    let mut scan = cmd("SCAN");
    scan.arg(cursor)
        .arg("MATCH")
        .arg(names.pattern())
        .arg("COUNT")
        .arg(PAGE);
    scan
}

/// Keys of the server that one call looks at: 20 000, which costs a server some 50 ms, none of them longer than 3 at a
/// time; most of it is the question which sessions lack in the index. A million sessions are twice as many keys: an
/// instance that cleans up every 30 s has seen them all in 50 minutes.
const PAGES: usize = 20;
const PAGE: usize = 1000;

/// Of the index 2 000 sessions in each call: of what the server removes by itself, little is not found by the keys.
const PARTS: usize = 10;

const AT_ONCE: usize = 64;
