//! Signed ids: sessions that need no storage, because the id says it all.
//!
//! An id of [`SignedStore`] is a JSON Web Token: its claims are the session, and a key of yours signs them. Any instance
//! that has the key serves it, also after all of them were restarted, and forged ids end before anything is looked up.
//!
//! # When to use it
//!
//! | | [`MemoryStore`](crate::MemoryStore) | signed ids alone | with a list of ended ids | with a backing store, or a shared store alone |
//! |---|---|---|---|---|
//! | needs | nothing | a key on each instance | and a store for the list | a store that all reach |
//! | survives a restart, any instance serves | no | yes | yes, if the list does | yes |
//! | asks somebody for each request | no | no | the list | the store |
//! | DELETE, `SessionContext::end` | yes | no: 405 until the id expires by itself | yes | yes |
//! | ends for want of use | yes | no | no | yes |
//! | values, suspending | yes | no | no | yes |
//! | a flood of forged ids | costs a look-up each | costs a verification each, 1 µs | never reaches the list | never reaches a backing store, costs a shared store a question each |
//!
//! Signed ids alone are for servers whose sessions hold nothing, and whose clients may keep them for a week: most that
//! only want to know an initialized client again. As soon as a user can *log out*, add a list
//! ([`SignedStore::with_revocations`]); as soon as tools remember something, a backing store
//! ([`SignedStore::with_backing`]).
//!
//! Sessions with an owner keep it: the id holds a digest of the principal under a key, so that nobody else can use it
//! and nobody can read or guess who it is.
//!
//! # Keys
//!
//! [`KeyRing`] says how they are read, replaced and taken back. The ids and the digests of principals have keys of their
//! own: HKDF-SHA256 (RFC 5869) of your secret, without salt, 32 bytes, where the info is `mcp-session`, a zero byte,
//! `session-id` or `principal-tag`, a zero byte, and the audience of the store. Secrets and what is derived of them are
//! wiped when they are dropped, and shown in no log, error or `Debug`.
//!
//! # What an id looks like
//!
//! A compact JWS (RFC 7515), HS256 and nothing else, `typ` `mcp-session+jwt`, `kid` the id of the key. Other libraries
//! can read and write them with the derived key.
//!
//! | claim | is |
//! |---|---|
//! | `iat`, `exp` | when the session began and when it ends, in seconds, with milliseconds as decimals |
//! | `aud` | the endpoint: [`SessionLayer::with_audience`](crate::SessionLayer::with_audience), or the path |
//! | `st` | `self`, or `backed` if the session lives in a backing store |
//! | `epo` | the process, where the list of ended ids ends with it |
//! | `own` | the digest of the principal |
//! | `jti` | 128 random bits |
//! | `ver` | the negotiated version; this and what follows is left to a backing store, if there is one |
//! | `rdy`, `map` | whether the client had finished the handshake, whether the inner service had an id of its own |
//! | `ini` | what the client said at initialize: its capabilities, `[name, version]` or `[name, title, version]`, and the version it asked for unless that is the negotiated one |
//! | `par` | in its place, the params of an initialize that has more or less than that |
//!
//! Whoever holds an id can read its claims. They hold what this client has said itself, and nothing of others.
//!
//! An id that is expired, forged, of another key, audience or principal, or none at all, is answered the same 404. The
//! signature is verified before the claims are read, over the same bytes whatever is wrong, and compared in constant
//! time.
//!
//! # Limits
//!
//! - An id takes at most 1 KiB, less than 512 bytes for an ordinary client. If its initialize does not fit, what is only
//!   for people to look at (icons, description) is left out, and so is what the protocol does not know; if it does not
//!   fit then, it is answered 413.
//! - A life of at most 7 days ([`SignedStore::with_max_lifetime`]), and clocks that differ by at most 60 s
//!   ([`SignedStore::with_clock_leeway`]).
//! - The entry of an ended id lasts exactly as long as the id would have, if its session was begun or used here among the
//!   last 100 000; else as long as the longest life of any. The layer asks for a session right before it ends it.
//! - If a backing store does not answer in time, a session that it may have begun stays there until it ends half-open.

mod claims;
mod contract;
mod initialize;
mod key;
mod minting;
mod ready;
mod revocations;
mod ring;
mod store;
mod terms;
mod token;

pub use key::{InvalidKeys, SigningKey};
pub use ring::KeyRing;
pub use store::SignedStore;
