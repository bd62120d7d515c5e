//! `RedisStore`, on servers that the tests start themselves.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may unwrap as tests do"
)]

#[path = "../support/log.rs"]
mod log;
#[path = "../support/redis.rs"]
mod redis;
#[path = "../support/sessions.rs"]
mod sessions;

mod cached;
mod cleaning;
mod common;
mod contract;
mod faults;
mod histories;
mod index;
mod layer;
mod proxy;
mod settings;
mod sharing;
#[cfg(feature = "signed")]
mod signed_ids;
mod tracking;
