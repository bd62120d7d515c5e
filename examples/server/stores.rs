//! Which store the command line names.

use std::sync::Arc;

use tower_mcp_session::{MemoryStore, SessionStore};

use crate::BoxError;

type Opened = Result<Arc<dyn SessionStore>, BoxError>;

/// Opens `memory`, or a store at a place: `file:FOLDER`.
pub(crate) async fn open(store: &str) -> Opened {
    let (kind, place) = store.split_once(':').unwrap_or((store, ""));
    match (kind, place) {
        ("memory", "") => Ok(Arc::new(MemoryStore::new())),
        ("file", folder) if !folder.is_empty() => file(folder),
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

#[cfg(not(feature = "file"))]
fn lacks(feature: &str) -> Opened {
    let run = format!("cargo run --example server --features {feature}");
    Err(format!("this server was built without that store; {run} has it").into())
}
