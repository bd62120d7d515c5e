//! Which store the command line names.

use std::sync::Arc;

use tower_mcp_session::{MemoryStore, SessionStore};

use crate::BoxError;

type Opened = Result<Arc<dyn SessionStore>, BoxError>;

/// Opens `memory`, or a store at a place: `file:FOLDER`, `sqlite:PATH`, `postgres://...`, `redis://...`.
pub(crate) async fn open(store: &str) -> Opened {
    let (kind, place) = store.split_once(':').unwrap_or((store, ""));
    match (kind, place) {
        ("memory", "") => Ok(Arc::new(MemoryStore::new())),
        (_, "") => Err(format!("no store is called {store:?}").into()),
        ("file", folder) => file(folder),
        ("sqlite", path) => sqlite(path).await,
        ("postgres" | "postgresql", _) => postgres(store).await,
        ("redis" | "rediss", _) => redis(store).await,
        _ => Err(format!("no store is called {store:?}").into()),
    }
}

#[cfg(feature = "file")]
fn file(folder: &str) -> Opened {
    use tower_mcp_session::store::FileStore;
    Ok(Arc::new(FileStore::open(folder)?))
}

#[cfg(not(feature = "file"))]
fn file(_: &str) -> Opened {
    lacks("file")
}

#[cfg(feature = "sqlite")]
async fn sqlite(path: &str) -> Opened {
    use tower_mcp_session::store::SqliteStore;
    Ok(Arc::new(SqliteStore::connect(path).await?))
}

#[cfg(not(feature = "sqlite"))]
async fn sqlite(_: &str) -> Opened {
    lacks("sqlite")
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str) -> Opened {
    use tower_mcp_session::store::PostgresStore;
    Ok(Arc::new(PostgresStore::connect(url).await?))
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_: &str) -> Opened {
    lacks("postgres")
}

#[cfg(feature = "redis")]
async fn redis(url: &str) -> Opened {
    use tower_mcp_session::store::RedisStore;
    Ok(Arc::new(RedisStore::connect(url).await?))
}

#[cfg(not(feature = "redis"))]
async fn redis(_: &str) -> Opened {
    lacks("redis")
}

#[cfg(not(all(
    feature = "file",
    feature = "sqlite",
    feature = "postgres",
    feature = "redis"
)))]
fn lacks(feature: &str) -> Opened {
    let run = format!("cargo run --example server --features {feature}");
    Err(format!("this server was built without that store; {run} has it").into())
}
