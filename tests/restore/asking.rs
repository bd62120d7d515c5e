//! Asking a store is not writing to it.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tower_mcp_session::store::{Capabilities, Revision, StoreError, Stored};
use tower_mcp_session::testing::{ManualClock, ScriptedService};
use tower_mcp_session::{
    Clock, MemoryStore, NewSession, SessionId, SessionKey, SessionRecord, SessionStore, Timestamp,
};

use crate::pair::{send, soon};
use crate::support::{self, Instance, MINUTE, SECOND, ping};

/// A store without a watch that notes when it was asked, and when it was written to by a touch.
#[derive(Clone, Debug)]
struct Noting {
    inner: MemoryStore,
    clock: ManualClock,
    asked: Arc<Mutex<u32>>,
    written: Arc<Mutex<Vec<Timestamp>>>,
    panics: Arc<AtomicBool>,
}

impl Noting {
    fn new(clock: &ManualClock) -> Self {
        Self {
            inner: MemoryStore::new(),
            clock: clock.clone(),
            asked: Arc::default(),
            written: Arc::default(),
            panics: Arc::default(),
        }
    }
}

#[async_trait]
impl SessionStore for Noting {
    fn capabilities(&self) -> Capabilities {
        let mut able = support::shared(&self.inner).capabilities();
        able.watch = false;
        able
    }

    async fn create(&self, id: &SessionId, new: NewSession) -> Result<Stored, StoreError> {
        let mut stored = self.inner.create(id, new).await?;
        stored.watch = None;
        Ok(stored)
    }

    async fn load(
        &self,
        audience: &str,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        let mut stored = self.inner.load(audience, id, now).await?;
        if let Some(stored) = &mut stored {
            stored.watch = None;
        }
        Ok(stored)
    }

    async fn save(
        &self,
        key: &SessionKey,
        record: Arc<SessionRecord>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        self.inner.save(key, record, expected).await
    }

    async fn touch(
        &self,
        key: &SessionKey,
        now: Timestamp,
        deadline: Option<Timestamp>,
    ) -> Result<Option<Revision>, StoreError> {
        assert!(!self.panics.load(Ordering::Relaxed), "told to panic");
        match deadline {
            Some(_) => self.written.lock().unwrap().push(self.clock.now()),
            None => *self.asked.lock().unwrap() += 1,
        }
        self.inner.touch(key, now, deadline).await
    }

    async fn delete(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError> {
        self.inner.delete(key, now).await
    }

    async fn delete_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        self.inner.delete_expired(now, limit).await
    }
}

#[tokio::test]
async fn a_store_without_a_watch_is_asked_each_time_and_written_to_once_in_a_touch_interval() {
    for with_keeper in [false, true] {
        let clock = ManualClock::new();
        let store = Noting::new(&clock);
        let instance = Instance::over(store.clone(), &clock, |layer| {
            layer.with_idle_timeout(MINUTE * 10)
        });
        let id = instance.open().await;
        store.written.lock().unwrap().clear();
        for second in 0..600 {
            clock.advance(SECOND);
            let asked = *store.asked.lock().unwrap();
            let written = store.written.lock().unwrap().len();
            assert!(instance.serves(&id).await);
            let now = *store.asked.lock().unwrap() as usize + store.written.lock().unwrap().len();
            assert_eq!(now, asked as usize + written + 1);
            if with_keeper && second % 29 == 0 {
                instance.layer.clean_up().await.unwrap();
            }
        }
        let written = store.written.lock().unwrap().clone();
        assert_eq!(written.len(), 20, "{with_keeper}");
        for pair in written.windows(2) {
            assert!(pair[1].since(pair[0]) >= SECOND * 30, "{with_keeper}");
        }
        // What was not written counts all the same.
        clock.advance(MINUTE * 10 - SECOND);
        assert!(instance.serves(&id).await);
    }
}

#[tokio::test]
async fn a_touch_interval_as_long_as_the_idle_time_ends_no_session_in_use() {
    let clock = ManualClock::new();
    let store = support::shared(&MemoryStore::new()).without_watch();
    let options = |layer: tower_mcp_session::SessionLayer| {
        layer
            .with_idle_timeout(MINUTE * 10)
            .with_touch_interval(MINUTE * 10)
    };
    let instance = Instance::over(store.clone(), &clock, options);
    let other = Instance::over(store, &clock, options);
    let id = instance.open().await;
    for _ in 0..10 {
        clock.advance(MINUTE * 6);
        assert!(instance.serves(&id).await);
        clock.advance(MINUTE * 3);
        // It knows of no use but those that the store was told of.
        other.layer.clean_up().await.unwrap();
        assert!(other.serves(&id).await);
        let ping = ping(&id);
        assert_eq!(instance.status(ping).await, 200);
    }
}

#[tokio::test]
async fn a_store_that_panics_leaves_no_waiter_asleep_and_no_session_stuck() {
    let clock = ManualClock::new();
    let store = Noting::new(&clock);
    let server = ScriptedService::new().minting_ids();
    let a = Instance::serving(server, store.clone(), &clock, |layer| layer);
    let server = ScriptedService::new().minting_ids();
    let b = Instance::serving(server, store.clone(), &clock, |layer| layer);
    let id = a.open().await;
    store.panics.store(true, Ordering::Relaxed);
    let (first, second) = (send(&b, ping(&id)), send(&b, ping(&id)));
    assert_eq!(soon(first).await.unwrap(), 503);
    assert_eq!(soon(second).await.unwrap(), 503);
    soon(b.server.wait_for_open_sessions(0)).await;
    store.panics.store(false, Ordering::Relaxed);
    clock.advance(SECOND * 2);
    assert!(b.serves(&id).await);
}
