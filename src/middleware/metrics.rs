//! Metrics that must be asked for.

use super::layer::SessionLayer;

impl SessionLayer {
    /// Sets the gauge `mcp.server.sessions.live`, and describes all metrics to the recorder.
    ///
    /// Each [`clean_up`](Self::clean_up) does so too, which the layer starts by itself every touch interval. An endpoint
    /// that is scraped calls this first, so that what it shows is what is there.
    ///
    /// The layer tells these to the recorder of the crate `metrics` that the server has set:
    ///
    /// | name | kind | attributes |
    /// |---|---|---|
    /// | `mcp.server.session.duration` | histogram, seconds | `mcp.protocol.version`, `network.transport`, `network.protocol.name`; `error.type` if the session was evicted, lost or abandoned |
    /// | `mcp.server.sessions.created` | counter | |
    /// | `mcp.server.sessions.restored` | counter | |
    /// | `mcp.server.sessions.ended` | counter | `reason`: an [`EndReason`](crate::EndReason) |
    /// | `mcp.server.requests.refused` | counter | `cause`: a [`RefusalCause`](crate::RefusalCause) |
    /// | `mcp.server.messages.recorded` | counter | |
    /// | `mcp.server.messages.lost` | counter, as [`messages_lost`](crate::Statistics::messages_lost) | |
    /// | `mcp.server.sessions.live` | gauge | |
    ///
    /// The first one is of OpenTelemetry's conventions for MCP, which advise these bounds for its buckets, an option of
    /// the exporter: 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300 s. No attribute names a session, a
    /// client or a principal.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_mcp_session::{MemoryStore, SessionLayer};
    ///
    /// let layer = SessionLayer::new(MemoryStore::new());
    /// // ... at each scrape:
    /// layer.record_metrics();
    /// ```
    pub fn record_metrics(&self) {
        self.manager.record_metrics();
    }
}
