//! Where the sessions are kept, by the name given on the command line.

use std::sync::Arc;

use tower_mcp_session::{MemoryStore, SessionStore};

use crate::BoxError;

/// The store called `name`; `None` if there is none of that name, or not without a feature that is off.
pub(crate) async fn open(name: &str) -> Result<Option<Arc<dyn SessionStore>>, BoxError> {
    let scheme = name.split_once(':').map_or(name, |(scheme, _)| scheme);
    let store: Arc<dyn SessionStore> = match scheme {
        "memory" => Arc::new(MemoryStore::new()),
        #[cfg(feature = "redis")]
        "redis" | "rediss" => Arc::new(tower_mcp_session::RedisStore::connect(name).await?),
        _ => return Ok(None),
    };
    Ok(Some(store))
}
