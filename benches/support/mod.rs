//! The parts of the bench.

pub(crate) mod clean_up;
pub(crate) mod duties;
pub(crate) mod inner;
pub(crate) mod measure;
pub(crate) mod requests;
pub(crate) mod sessions;
mod time;
pub(crate) mod yardstick;
