//! The steps of an order.

use serde::{Deserialize, Serialize};

/// How far the order of a session is: a value of the session.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub(crate) enum Order {
    Open { items: Vec<String> },
    Addressed { items: Vec<String>, address: String },
    Submitted { items: Vec<String>, address: String },
    Confirmed { items: Vec<String>, address: String },
}

/// What a client does with its order.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Add(String),
    SendTo(String),
    Submit,
    Confirm,
}

impl Default for Order {
    fn default() -> Self {
        Self::Open { items: Vec::new() }
    }
}

impl Order {
    /// The order after `step`; `None` if that is not allowed now.
    pub(crate) fn after(self, step: Step) -> Option<Self> {
        match (self, step) {
            (Self::Open { mut items }, Step::Add(item)) => {
                items.push(item);
                Some(Self::Open { items })
            }
            (Self::Open { items }, Step::SendTo(address)) if !items.is_empty() => {
                Some(Self::Addressed { items, address })
            }
            (Self::Addressed { items, address }, Step::Submit) => {
                Some(Self::Submitted { items, address })
            }
            (Self::Submitted { items, address }, Step::Confirm) => {
                Some(Self::Confirmed { items, address })
            }
            _ => None,
        }
    }
}
