//! Marks of a session.

/// Nothing came after initialize yet.
pub(crate) const HALF_OPEN: u16 = 1;
/// The client has not finished the handshake, as far as is known.
pub(crate) const UNINITIALIZED: u16 = 2;
pub(crate) const SUSPENDED: u16 = 4;
/// It has an owner.
pub(crate) const OWNED: u16 = 8;
/// The inner service minted an id of its own.
pub(crate) const MAPPED: u16 = 16;
/// Taken over from the store, not begun here.
pub(crate) const RESTORED: u16 = 32;
/// Somebody waits for its end.
pub(crate) const AWAITED: u16 = 64;
/// Not served here as yet, or not any more: it must be restored first.
pub(crate) const DORMANT: u16 = 128;
/// A replay has finished the handshake for the client, whose own word of that may still come.
pub(crate) const DUPLICATES: u16 = 256;
/// The observers were told that it is idle.
pub(crate) const IDLE: u16 = 512;
/// It was told that it began here, or was taken up.
pub(crate) const SERVED: u16 = 1024;
/// It was told that it ended.
pub(crate) const TOLD_END: u16 = 2048;

/// With one of these a request cannot be served without a second look.
pub(crate) const LOOK: u16 = HALF_OPEN | UNINITIALIZED | SUSPENDED | DORMANT | DUPLICATES;
/// These follow from the record, and change with it.
pub(crate) const WRITTEN: u16 = UNINITIALIZED | SUSPENDED;
