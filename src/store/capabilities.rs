//! What a store can do.

use std::time::Duration;

use crate::session::OwnerTag;

/// What a store can do; the manager asks for nothing else, and the contract holds a store to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Several instances may use the store, and a session outlives the one that began it. Default: false.
    pub shared: bool,
    /// `delete` works. Default: true. Without it DELETE is answered 405.
    pub delete: bool,
    /// `save` works. Default: true.
    pub save: bool,
    /// `touch` moves the idle deadline. Default: true. Without it sessions end at their absolute end only.
    pub idle_expiry: bool,
    /// `create` and `load` hand out a [`Watch`](super::Watch). Default: false.
    pub watch: bool,
    /// A record of each session is kept. Default: true. Without it the id is all there is: `create` refuses, as
    /// unsupported, a record with values, one that is suspended, and one with fields of later versions; `save` does not
    /// work; and `delete_expired` finds nothing to remove.
    pub records: bool,
    /// The longest life of a session: `create` refuses a longer one as unsupported, and the manager plans none.
    /// Default: none, sessions may last for ever.
    pub max_lifetime: Option<Duration>,
}

/// Why a session without a record has no values, and what to do about it. Whoever asks for some learns it.
pub(crate) const NO_RECORDS: &str =
    "signed ids alone have no values: `SignedStore::with_backing` gives their sessions a store";

/// What a store can say of an id without asking anybody.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "every reader must handle each answer"
)]
pub enum Recognition {
    /// It names no session at that time.
    Unknown,
    /// It may name one.
    Possible,
    /// It may name one, which belongs to this owner, or to nobody: what others ask of it is refused without a question.
    Owned(Option<OwnerTag>),
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            shared: false,
            delete: true,
            save: true,
            idle_expiry: true,
            watch: false,
            records: true,
            max_lifetime: None,
        }
    }
}
