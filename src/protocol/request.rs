//! The one decision about each request: whose it is, and which way it goes.
//!
//! | version header | id header | GET, DELETE | POST |
//! |---|---|---|---|
//! | one, from 2026-07-28 on | any | 405, `Allow: POST` | modern: no lookup, body unread |
//! | several | any | 400 | 400 |
//! | other | several | 400 | 400 |
//! | none or legacy | alive | known, DELETE | known, body unread |
//! | unsupported | alive | 400 | 400 |
//! | none, legacy, unsupported | not alive | 404 | read: `_meta` version -> modern; initialize -> initialize; all else 404 |
//! | none or legacy | none | 400 | read: as above; batch with either of the two 400; other JSON-RPC 400; too long 413; not JSON 400 |
//! | unsupported | none | 400 | modern: the inner service names the fault |
//!
//! What the table leaves to options and other headers:
//!
//! - *Ours or not.* Unless [`Rules::whole_path`] is set, a request without an id is ours only if
//!   it is a GET that asks for an event stream or a POST whose JSON has a `jsonrpc` member. This
//!   comes before all of the table, since OAuth clients name a version when they GET metadata. A
//!   modern POST, or one with an unsupported version, goes its way untouched in any case.
//! - A verb that is switched off is 405 before any lookup.
//! - `Mcp-Method: initialize` with an id that is alive is 400, and so is a modern one whose body,
//!   read for once, has no version in its `_meta`.
//! - With [`Rules::strict`] the body of a POST to a session is read. It is modern or refused by its
//!   content; one that cannot be judged is refused.

use super::error::Refusal;
use super::header::VersionHeader;
use super::message::Peek;
use super::version::ProtocolVersion;

pub(crate) use super::facts::{BodyLook, Head, IdHeader, Rules, Standing, Verb};

/// Decides about a request from what is known of it.
///
/// The first call passes [`Standing::Unasked`] and [`BodyLook::Unread`]. An answer of
/// [`Decision::Lookup`] or [`Decision::ReadBody`] asks for the next piece of knowledge and another
/// call; each is asked for at most once.
pub(crate) fn classify(
    head: &Head,
    standing: Standing,
    body: BodyLook<'_>,
    rules: &Rules,
) -> Decision {
    match head.verb {
        Verb::Post => classify_post(head, standing, body, rules),
        Verb::Get | Verb::Delete => classify_get_or_delete(head, standing, rules),
        Verb::Other => Decision::NotOurs,
    }
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Find out how the id stands, then ask again.
    Lookup,
    /// Read and peek into the body, then ask again.
    ReadBody,
    /// Pass it on, with every byte that was read: it is not MCP's, or not of a path of ours.
    NotOurs,
    /// Pass it on without any session, the answer untouched.
    Modern,
    /// Pass it on, and begin a session if it succeeds.
    Initialize,
    /// Pass it on in its session, restoring that first if it does not live here.
    Known,
    /// End the session.
    Delete,
    /// Answer it ourselves.
    Refuse(Refusal),
}

fn classify_post(head: &Head, standing: Standing, body: BodyLook<'_>, rules: &Rules) -> Decision {
    match (head.version, head.id) {
        (VersionHeader::Modern(_), _) => classify_modern(head, body),
        (_, IdHeader::Missing) => classify_without_id(head, body, rules),
        (VersionHeader::Several, _) => Decision::Refuse(Refusal::SeveralVersions),
        (_, IdHeader::Several) => Decision::Refuse(Refusal::SeveralSessionIds),
        (version, IdHeader::One) => match standing {
            Standing::Unasked => Decision::Lookup,
            Standing::Alive(_) if version == VersionHeader::Unsupported => {
                Decision::Refuse(Refusal::UnsupportedVersion)
            }
            Standing::Alive(agreed) if rules.strict => classify_strictly(head, agreed, body),
            Standing::Alive(_) => in_session(head),
            Standing::NotAlive => classify_with_dead_id(body),
        },
    }
}

/// A POST whose header says 2026-07-28 or later.
fn classify_modern(head: &Head, body: BodyLook<'_>) -> Decision {
    match body {
        _ if !head.names_initialize => Decision::Modern,
        BodyLook::Unread => Decision::ReadBody,
        BodyLook::Read(Peek::Object(message)) if message.is_initialize() => {
            Decision::Refuse(Refusal::InitializeRemoved)
        }
        _ => Decision::Modern,
    }
}

/// A POST to a session, judged by its head.
fn in_session(head: &Head) -> Decision {
    if head.names_initialize {
        Decision::Refuse(Refusal::AlreadyInitialized)
    } else {
        Decision::Known
    }
}

/// A POST to a session, judged by its body too.
fn classify_strictly(head: &Head, agreed: ProtocolVersion, body: BodyLook<'_>) -> Decision {
    if let Some(fault) = body.fault() {
        return Decision::Refuse(fault);
    }
    match body {
        BodyLook::Unread => Decision::ReadBody,
        BodyLook::Read(Peek::Object(message)) if message.modern => Decision::Modern,
        BodyLook::Read(Peek::Object(message)) if message.is_initialize() => {
            Decision::Refuse(Refusal::AlreadyInitialized)
        }
        BodyLook::Read(Peek::Batch(batch))
            if batch.holds_initialize || batch.holds_modern_key || !agreed.has_batches() =>
        {
            Decision::Refuse(Refusal::BatchNotAllowed)
        }
        _ => in_session(head),
    }
}

/// A POST whose id is not alive. Only a request that needs no session gets past it.
fn classify_with_dead_id(body: BodyLook<'_>) -> Decision {
    match body {
        BodyLook::Unread => Decision::ReadBody,
        BodyLook::Read(Peek::Object(message)) if message.modern => Decision::Modern,
        BodyLook::Read(Peek::Object(message)) if message.is_initialize() => Decision::Initialize,
        _ => Decision::Refuse(Refusal::SessionNotFound),
    }
}

/// A POST without an id and without a modern header.
fn classify_without_id(head: &Head, body: BodyLook<'_>, rules: &Rules) -> Decision {
    if head.version == VersionHeader::Unsupported {
        return Decision::Modern;
    }
    let is_unread = matches!(body, BodyLook::Unread);
    if !rules.whole_path && is_unread && head.may_be_mcp {
        return Decision::ReadBody;
    }
    if !rules.whole_path && !body.has_jsonrpc() {
        return Decision::NotOurs;
    }
    if head.version == VersionHeader::Several {
        return Decision::Refuse(Refusal::SeveralVersions);
    }
    if let Some(fault) = body.fault() {
        return Decision::Refuse(fault);
    }
    match body {
        BodyLook::Unread => Decision::ReadBody,
        BodyLook::Read(Peek::Object(message)) if message.modern => Decision::Modern,
        BodyLook::Read(Peek::Object(message)) if message.is_initialize() => Decision::Initialize,
        BodyLook::Read(Peek::Batch(batch)) if batch.holds_initialize || batch.holds_modern_key => {
            Decision::Refuse(Refusal::BatchNotAllowed)
        }
        _ => Decision::Refuse(Refusal::MissingSessionId),
    }
}

fn classify_get_or_delete(head: &Head, standing: Standing, rules: &Rules) -> Decision {
    if head.id == IdHeader::Missing && !rules.whole_path && !head.may_be_mcp {
        return Decision::NotOurs;
    }
    let fault = match (head.version, head.id) {
        (VersionHeader::Modern(_), _) => Some(Refusal::MethodNotAllowed { allow: "POST" }),
        (VersionHeader::Several, _) => Some(Refusal::SeveralVersions),
        (_, IdHeader::Several) => Some(Refusal::SeveralSessionIds),
        (VersionHeader::Unsupported, IdHeader::Missing) => Some(Refusal::UnsupportedVersion),
        _ => rules
            .allowed_without(head.verb)
            .map(|allow| Refusal::MethodNotAllowed { allow }),
    };
    if let Some(fault) = fault {
        return Decision::Refuse(fault);
    }
    match (head.id, standing) {
        (IdHeader::Missing, _) => Decision::Refuse(Refusal::MissingSessionId),
        (_, Standing::Unasked) => Decision::Lookup,
        (_, Standing::NotAlive) => Decision::Refuse(Refusal::SessionNotFound),
        (_, Standing::Alive(_)) if head.version == VersionHeader::Unsupported => {
            Decision::Refuse(Refusal::UnsupportedVersion)
        }
        (_, Standing::Alive(_)) if head.verb == Verb::Delete => Decision::Delete,
        (_, Standing::Alive(_)) => Decision::Known,
    }
}

#[cfg(test)]
mod tests;
