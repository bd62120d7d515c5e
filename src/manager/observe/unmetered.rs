//! Metrics without the feature: none.

use std::time::Duration;

use super::EndReason;
use crate::protocol::{ProtocolVersion, RefusalCause};

pub(super) fn created() {}

pub(super) fn restored() {}

pub(super) fn ended(_reason: EndReason, _version: ProtocolVersion, _lasted: Duration) {}

pub(super) fn refused(_cause: RefusalCause) {}

pub(super) fn said(_messages: u64) {}

pub(super) fn lost(_heard: u64) {}

pub(super) fn live(_sessions: usize) {}
