//! Where the sessions live, as the command line names it.

use std::sync::Arc;

#[cfg(feature = "postgres")]
use tower_mcp_session::store::PostgresStore;
#[cfg(feature = "sqlite")]
use tower_mcp_session::store::SqliteStore;
use tower_mcp_session::{MemoryStore, SessionStore};

use crate::BoxError;

/// The store called `name`, if the example was built with its feature.
pub(crate) async fn open(name: &str) -> Result<Arc<dyn SessionStore>, BoxError> {
    match name.split_once(':').map_or(name, |(kind, _)| kind) {
        "memory" => Ok(Arc::new(MemoryStore::new())),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => Ok(Arc::new(PostgresStore::connect(name).await?)),
        #[cfg(feature = "sqlite")]
        "sqlite" => Ok(Arc::new(SqliteStore::connect(name).await?)),
        _ => Err("no such store, or built without its feature".into()),
    }
}
