//! What a layer is told about HTTP.

use std::sync::Arc;

use http::HeaderName;

use super::guard::AllowLists;
use super::principal::PrincipalExtractor;
use crate::protocol::request::Rules;

/// The options of a layer that concern HTTP; those of sessions are in [`Config`](crate::config::Config).
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) enabled: bool,
    /// Whether sessions exist at all.
    pub(super) stateful: bool,
    pub(super) path: Option<Arc<str>>,
    pub(super) audience: Option<Arc<str>>,
    pub(super) allowed: AllowLists,
    pub(super) principal: Option<Arc<dyn PrincipalExtractor>>,
    pub(super) rules: Rules,
    pub(super) missing_id: MissingId,
    pub(super) unknown_id: UnknownId,
    pub(super) stale_notification: StaleNotification,
    pub(super) modern: Modern,
    pub(super) grpc_initialize: Option<Arc<str>>,
    /// Headers of the caller that a replay takes along, beside its own.
    pub(super) restore_headers: Vec<HeaderName>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            enabled: true,
            stateful: true,
            path: None,
            audience: None,
            allowed: AllowLists::default(),
            principal: None,
            rules: Rules {
                whole_path: false,
                streams: true,
                delete: true,
                strict: false,
            },
            missing_id: MissingId::default(),
            unknown_id: UnknownId::default(),
            stale_notification: StaleNotification::default(),
            modern: Modern::default(),
            grpc_initialize: None,
            restore_headers: Vec::new(),
        }
    }
}

/// What to do with a request of an older revision that carries no session id and is no initialize.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum MissingId {
    /// Answer 400. Wire rules 17 to 20.
    #[default]
    Refuse,
    /// Pass it on without a session.
    PassOn,
}

/// What to do with a request whose session id is unknown, expired, ended or another's.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum UnknownId {
    /// Answer 404. Wire rules 21 to 23.
    #[default]
    Refuse,
    /// Pass it on without a session.
    PassOn,
}

/// What to do with a notification whose session is over: nobody waits for an answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum StaleNotification {
    /// Answer 404, as to any other message.
    #[default]
    Refuse,
    /// Answer 202 and drop it, for clients that report a 404 there as an error.
    Accept,
}

/// What to do with requests of the revisions from 2026-07-28 on, which have no sessions.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Modern {
    /// Pass them on untouched: the inner service speaks these revisions, or says that it does not.
    #[default]
    PassOn,
    /// Answer 400 with an empty body, by which clients know that only older revisions are spoken. For inner services
    /// that would take such a request for something else. Wire rule 82.
    Refuse,
}
