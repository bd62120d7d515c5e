//! The layer itself: HTTP on one side, the session manager on the other.

mod answer;
mod body;
mod builder;
mod collect;
mod endpoint;
mod future;
mod guard;
mod history_options;
mod inner;
mod known;
mod layer;
#[cfg(feature = "metrics")]
mod metrics;
mod observing;
mod options;
mod paths;
mod principal;
mod replay;
mod reply;
mod restore_options;
mod service;

pub use body::{RequestBody, ResponseBody};
pub use future::ResponseFuture;
pub use layer::SessionLayer;
pub use options::{MissingId, Modern, StaleNotification, UnknownId};
pub use principal::PrincipalExtractor;
pub use replay::SessionRestored;
pub use service::Session;
