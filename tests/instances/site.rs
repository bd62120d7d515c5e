//! One store, and the instances that share it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tower_mcp_session::SessionStore;
use tower_mcp_session::store::{KeyRing, PostgresStore, RedisStore, SignedStore, SqliteStore};

use crate::postgres::PostgresServer;
use crate::redis::RedisServer;
use crate::server::Server;

/// A store that the example server is told of, and what keeps it there.
pub(crate) struct Site {
    store: String,
    inner: &'static str,
    _kept: Box<dyn Any + Send + Sync>,
}

impl Site {
    pub(crate) async fn on_redis(inner: &'static str) -> Self {
        let start = || RedisServer::shared().url();
        let store = tokio::task::spawn_blocking(start).await.unwrap();
        // All processes share the database, and the time: sessions of one test are nothing to another.
        Self::new(store, inner, ())
    }

    pub(crate) async fn on_postgres(inner: &'static str) -> Self {
        let store = PostgresServer::shared().await.fresh_schema().await;
        Self::new(store, inner, ())
    }

    pub(crate) fn on_sqlite(inner: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("sqlite:{}", folder.path().join("sessions.db").display());
        Self::new(store, inner, folder)
    }

    /// Signed ids; their sessions in an SQLite file.
    pub(crate) fn on_signed(inner: &'static str) -> Self {
        Self::signed("+sqlite:", inner)
    }

    /// Signed ids, which are all there is of their sessions; an SQLite file says which were ended.
    pub(crate) fn on_signed_with_a_list(inner: &'static str) -> Self {
        Self::signed("+ended:sqlite:", inner)
    }

    fn signed(behind: &str, inner: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let key = "k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        std::fs::write(&keys, key).unwrap();
        let (keys, file) = (keys.display(), folder.path().join("behind.db"));
        let store = format!("signed:{keys}{behind}{}", file.display());
        Self::new(store, inner, folder)
    }

    fn new(store: String, inner: &'static str, kept: impl Any + Send + Sync) -> Self {
        Self {
            store,
            inner,
            _kept: Box::new(kept),
        }
    }

    /// How rmcp behind the layer is run.
    pub(crate) fn inner(&self) -> &'static str {
        self.inner
    }

    /// Two handles to the store, for instances in this process, whose clock may be set by hand.
    pub(crate) async fn handles(&self) -> [Arc<dyn SessionStore>; 2] {
        // By that clock they clean up what is behind their prefix, which is to be theirs alone.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let prefix = format!("clock{}", COUNT.fetch_add(1, Ordering::Relaxed));
        [self.handle(&prefix).await, self.handle(&prefix).await]
    }

    async fn handle(&self, prefix: &str) -> Arc<dyn SessionStore> {
        match self.store.split_once(':').expect("a store has a kind") {
            ("redis", _) => {
                let store = RedisStore::connect(&self.store).await.unwrap();
                Arc::new(store.with_prefix(prefix))
            }
            ("sqlite", path) => Arc::new(SqliteStore::connect(path).await.unwrap()),
            ("signed", place) => Arc::new(signed(place).await),
            _ => Arc::new(PostgresStore::connect(&self.store).await.unwrap()),
        }
    }

    /// One more instance.
    pub(crate) async fn instance(&self) -> Server {
        Server::start(&self.store, self.inner).await
    }
}

/// Signed ids with an SQLite file behind them, as the example server has them.
async fn signed(place: &str) -> SignedStore {
    let (keys, behind) = place.split_once('+').unwrap();
    let ids = SignedStore::new(KeyRing::from_file(keys).unwrap(), "https://mcp.example.com");
    let (kind, file) = behind.split_once("sqlite:").unwrap();
    let file = SqliteStore::connect(file).await.unwrap();
    match kind {
        "ended:" => ids.with_revocations(file).unwrap(),
        _ => ids.with_backing(file),
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// The layer's default, and what a busy machine needs on top.
pub(crate) const A_TOUCH_INTERVAL: Duration = Duration::from_secs(30 + 10);
