//! The promises of the whole, one module for one or two of them. The eleventh is in `secrets.rs` beside this.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "../support/sessions.rs"]
mod support;

mod beginning;
mod busy;
mod cached;
mod dropping;
mod faults;
mod keeping;
mod limits;
mod owners;
mod refusals;
mod side_by_side;
mod slow;
