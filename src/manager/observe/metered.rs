//! What happens as metrics, for the recorder that the server has set. Names and attributes are those of OpenTelemetry's
//! conventions for MCP where they have some.
//!
//! No handle is kept: one made before the server sets its recorder would stay silent for ever, and nothing here is on
//! the way of a request that is served.

use std::time::Duration;

use metrics::{
    Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::EndReason;
use crate::protocol::{ProtocolVersion, RefusalCause};

pub(super) fn created() {
    counter!(CREATED).increment(1);
}

pub(super) fn restored() {
    counter!(RESTORED).increment(1);
}

pub(super) fn ended(reason: EndReason, version: ProtocolVersion, lasted: Duration) {
    counter!(ENDED, "reason" => reason.as_str()).increment(1);
    let mut labels = vec![
        Label::new("mcp.protocol.version", version.to_string()),
        Label::from_static_parts("network.transport", "tcp"),
        Label::from_static_parts("network.protocol.name", "http"),
    ];
    if is_error(reason) {
        labels.push(Label::from_static_parts("error.type", reason.as_str()));
    }
    histogram!(DURATION, labels).record(lasted);
}

pub(super) fn refused(cause: RefusalCause) {
    counter!(REFUSED, "cause" => cause.as_str()).increment(1);
}

pub(super) fn said(messages: u64) {
    counter!(RECORDED).increment(messages);
}

pub(super) fn lost(heard: u64) {
    counter!(LOST).increment(heard);
}

/// Says how many sessions are held now, and what all metrics mean.
pub(super) fn live(sessions: usize) {
    // Each time: a recorder that is set later hears of it too.
    describe();
    // Sessions of one instance: far below what a float can hold exactly.
    gauge!(LIVE).set(sessions as f64);
}

/// Whether a session that ended for `reason` would have gone on if all were well.
fn is_error(reason: EndReason) -> bool {
    match reason {
        EndReason::Evicted | EndReason::Lost | EndReason::Abandoned => true,
        EndReason::Deleted | EndReason::Terminated | EndReason::Expired | EndReason::Elsewhere => {
            false
        }
    }
}

fn describe() {
    describe_histogram!(DURATION, Unit::Seconds, "How long MCP sessions lasted.");
    describe_counter!(CREATED, Unit::Count, "Sessions that began here.");
    describe_counter!(RESTORED, Unit::Count, "Sessions that were taken up here.");
    describe_counter!(ENDED, Unit::Count, "Sessions that ended, by reason.");
    describe_counter!(
        REFUSED,
        Unit::Count,
        "Requests that the session layer answered itself, by cause."
    );
    describe_counter!(
        RECORDED,
        Unit::Count,
        "Messages that were put into histories."
    );
    describe_counter!(
        LOST,
        Unit::Count,
        "Bodies and events whose messages were put into no history, though they should be."
    );
    describe_gauge!(LIVE, Unit::Count, "Sessions that this instance holds.");
}

/// The name of OpenTelemetry's convention; the others are ours, in its style.
const DURATION: &str = "mcp.server.session.duration";
const CREATED: &str = "mcp.server.sessions.created";
const RESTORED: &str = "mcp.server.sessions.restored";
const ENDED: &str = "mcp.server.sessions.ended";
const REFUSED: &str = "mcp.server.requests.refused";
const RECORDED: &str = "mcp.server.messages.recorded";
const LOST: &str = "mcp.server.messages.lost";
const LIVE: &str = "mcp.server.sessions.live";
