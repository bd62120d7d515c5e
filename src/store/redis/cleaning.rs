//! Finding what has expired.
//!
//! The server removes most of it by itself: the key of the last use has a time to live, and so has the record. What is
//! left for us are records whose last use has gone, which would stay to their absolute end, and sessions that have
//! expired by the caller's clock and not yet by the server's. An index by deadline would be exact and dear: each touch
//! would write to it, and it could not lie in the slots of its sessions. So the keys are walked through, a part of them
//! in each call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::redis::{Cmd, Pipeline, RedisResult, cmd};
use futures_util::stream::{self, StreamExt, TryStreamExt};

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
}

impl Cleaner {
    /// Removes at most `limit` sessions that were over at `due`.
    pub(super) async fn clean(
        &self,
        link: &Arc<Link>,
        names: &Names,
        due: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        let mut removed = Vec::new();
        for _ in 0..PAGES {
            let cursor = self.cursor.load(Ordering::Relaxed);
            let scan = scan(cursor, names);
            let (next, found): (u64, Vec<Vec<u8>>) =
                link.call(Request::Command(&scan), Effect::None).await?;
            let found: Vec<_> = found.iter().filter_map(|key| names.session(key)).collect();
            let over = over(link, names, found, due).await?;
            let room = limit - removed.len();
            let fits = over.len() <= room;
            removed.extend(remove(link, names, over, due, room).await?);
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
}

/// Those of `sessions` that seem to be over.
async fn over(
    link: &Arc<Link>,
    names: &Names,
    sessions: Vec<SessionKey>,
    due: Timestamp,
) -> Result<Vec<SessionKey>, StoreError> {
    if sessions.is_empty() {
        return Ok(sessions);
    }
    let mut pipeline = Pipeline::with_capacity(sessions.len());
    for key in &sessions {
        pipeline.add_command(Cmd::get(names.keys(key).last_use));
    }
    pipeline.ignore_errors();
    let last_uses: Vec<RedisResult<Option<Vec<u8>>>> = link
        .call(Request::Pipeline(&pipeline), Effect::None)
        .await?;
    let mut over = Vec::new();
    for (key, last_use) in sessions.into_iter().zip(last_uses) {
        let last_use = last_use.map_err(|error| errors::of_command(error, Effect::None));
        let is_over = match last_use.map(|text| text.as_deref().map(form::read_last_use)) {
            Ok(None) => true,
            Ok(Some(read)) => read.is_ok_and(|(_, deadline)| due >= deadline),
            // What cannot be read is not taken for expired, and does not keep the rest from being cleaned up.
            Err(error) if error.kind() == StoreErrorKind::Corrupt => false,
            Err(error) => return Err(error),
        };
        if is_over {
            over.push(key);
        }
    }
    Ok(over)
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

/// Keys of the server that one call looks at: 20 000, which costs a server some 10 ms. A million sessions are twice as
/// many keys: an instance that cleans up every 30 s has seen them all in 50 minutes.
const PAGES: usize = 20;
const PAGE: usize = 1000;

const AT_ONCE: usize = 64;
