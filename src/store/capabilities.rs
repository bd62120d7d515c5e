//! What a store can do.

use crate::session::SessionId;

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
    /// The form of the ids this store can know: all others are unknown without asking it. Default: random.
    pub ids: IdForm,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            shared: false,
            delete: true,
            save: true,
            idle_expiry: true,
            watch: false,
            ids: IdForm::Random,
        }
    }
}

/// The form of the ids that a store can know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum IdForm {
    /// The random ids that the manager proposes.
    Random,
    /// Any id.
    Any,
}

impl IdForm {
    /// Whether an id of this form may be `id`.
    pub fn fits(self, id: &SessionId) -> bool {
        match self {
            Self::Random => id.is_random(),
            Self::Any => true,
        }
    }
}
