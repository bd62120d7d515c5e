//! The options of [`SessionLayer`] for sessions that another instance began.

use std::time::Duration;

use http::HeaderName;

use super::layer::SessionLayer;
use crate::config::Restore;

/// How sessions come back.
impl SessionLayer {
    /// What to do with a session that this instance does not hold, and its store does. Default: [`Restore::Auto`].
    pub fn with_restore(mut self, restore: Restore) -> Self {
        self.manager.config_mut().restore = restore;
        self
    }

    /// Waits at most `timeout` for the inner service to take a session up. Default: 10 s.
    pub fn with_restore_timeout(mut self, timeout: Duration) -> Self {
        self.manager.config_mut().restore_timeout = timeout;
        self
    }

    /// Takes the headers called `names` of the caller along, when its session is restored. Default: none beside
    /// `Host`, `Origin`, `Authorization`, `Cookie`, `Forwarded`, `X-Forwarded-*`, and those of traces (`traceparent`,
    /// `tracestate`, `baggage`, `b3`, `X-B3-*`).
    ///
    /// For what the inner service asks of an initialize, such as an API key. Headers of MCP, and those that describe a
    /// body, never go along.
    pub fn with_restore_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.options_mut().restore_headers = names.into_iter().collect();
        self
    }
}
