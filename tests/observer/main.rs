//! What an observer is told: each event once and in order, and without holding anybody up.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod feed;
mod life;
mod places;
mod record;
mod refusals;
mod spans;

#[path = "../support/log.rs"]
mod log;
#[path = "../support/sessions.rs"]
mod support;
