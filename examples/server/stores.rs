//! Which store the command line names.

use std::sync::Arc;

use tower_mcp_session::{MemoryStore, SessionStore};

use crate::BoxError;

type Opened = Result<Arc<dyn SessionStore>, BoxError>;

/// Opens `memory`, or a store at a place: `file:FOLDER`, `sqlite:PATH`, `postgres://...`, `redis://...`.
///
/// `signed:KEYFILE` needs no place: the ids say it all. Behind a `+` it may have another of these for its sessions, or,
/// after `ended:`, for a list of those that were ended. The path of the key file holds no `+`.
pub(crate) async fn open(store: &str) -> Opened {
    match store.split_once(':') {
        Some(("signed", place)) => signed(place).await,
        _ => plain(store).await,
    }
}

async fn plain(store: &str) -> Opened {
    let (kind, place) = store.split_once(':').unwrap_or((store, ""));
    match (kind, place) {
        ("memory", "") => Ok(Arc::new(MemoryStore::new())),
        (_, "") => Err(format!("no store is called {store:?}").into()),
        ("file", folder) => file(folder),
        ("sqlite", path) => sqlite(path).await,
        ("postgres" | "postgresql", _) => postgres(store).await,
        ("redis" | "rediss", _) => redis(store).await,
        ("signed", _) => Err("signed ids cannot stand behind signed ids".into()),
        _ => Err(format!("no store is called {store:?}").into()),
    }
}

#[cfg(feature = "signed")]
async fn signed(place: &str) -> Opened {
    use tower_mcp_session::store::{KeyRing, SignedStore};
    let (keys, behind) = match place.split_once('+') {
        Some((keys, behind)) => (keys, Some(behind)),
        None => (place, None),
    };
    let ids = SignedStore::new(KeyRing::from_file(keys)?, AUDIENCE);
    let Some(behind) = behind else {
        return Ok(Arc::new(ids));
    };
    Ok(match behind.strip_prefix("ended:") {
        Some(list) => Arc::new(ids.with_revocations(plain(list).await?)?),
        None => Arc::new(ids.with_backing(plain(behind).await?)),
    })
}

#[cfg(not(feature = "signed"))]
async fn signed(_: &str) -> Opened {
    lacks("signed")
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
    feature = "redis",
    feature = "signed"
)))]
fn lacks(feature: &str) -> Opened {
    let run = format!("cargo run --example server --features {feature}");
    Err(format!("this server was built without that store; {run} has it").into())
}

/// Ids of this server are none of another one that has the same key.
#[cfg(feature = "signed")]
const AUDIENCE: &str = "tower-mcp-session example server";
