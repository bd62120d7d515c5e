//! What the services of one layer share, and the questions that each request asks it.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use http::request::Parts;
use http::{Method, Uri};
use tracing::warn;

use super::inner::Address;
use super::options::{Modern, Options};
use crate::manager::{Busy, LiveSession, SessionManager, Use};
use crate::protocol::ProtocolVersion;
use crate::protocol::error::Refusal;
use crate::protocol::header::{self, RawId};
use crate::protocol::request::{BodyLook, Decision, Head, Standing, classify};
use crate::session::{Principal, SessionId};

/// A layer's options and its sessions.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) options: Options,
    pub(super) manager: SessionManager,
    /// Where the first session began.
    pub(super) address: OnceLock<Address>,
}

/// What can be said of a request at once.
pub(super) enum First {
    /// It passes without a session.
    Passes(Decision),
    /// It belongs to a session that lives here and needs no second look.
    Known(Busy),
    /// It is refused by its head.
    Refused(Refusal),
    /// Something must be read or asked.
    Waits,
}

/// The principal of a request could not be known.
#[derive(Clone, Copy, Debug)]
pub(super) struct PrincipalUnknown;

impl Endpoint {
    /// Whether the layer has anything to do with requests of this path.
    pub(super) fn concerns(&self, path: &str) -> bool {
        self.options.enabled && self.options.path.as_deref().is_none_or(|own| own == path)
    }

    /// Decides what can be decided without waiting. A request of a live session costs one look-up here.
    pub(super) fn first_look(&self, parts: &Parts) -> First {
        let raw = RawId::from(&parts.headers);
        let head = Head::read(&parts.method, &parts.headers, raw);
        let decision = classify(
            &head,
            Standing::Unasked,
            BodyLook::Unread,
            &self.options.rules,
        );
        match decision {
            Decision::Lookup => match self.live_session(parts, &head, raw) {
                Some(busy) => First::Known(busy),
                None => First::Waits,
            },
            Decision::Modern | Decision::NotOurs if self.passes(parts, decision) => {
                First::Passes(decision)
            }
            Decision::Refuse(Refusal::MissingSessionId) => First::Waits,
            Decision::Refuse(refusal) if !header::is_grpc(&parts.headers) => {
                First::Refused(refusal)
            }
            _ => First::Waits,
        }
    }

    /// The audience of a request: what the layer was told, else its path. All gRPC methods are one endpoint.
    pub(super) fn audience<'a>(&'a self, parts: &'a Parts) -> Cow<'a, str> {
        match &self.options.audience {
            Some(audience) => Cow::Borrowed(audience),
            None if header::is_grpc(&parts.headers) => Cow::Borrowed(GRPC_AUDIENCE),
            None => Cow::Borrowed(parts.uri.path()),
        }
    }

    /// Who is calling, if the layer was told how to know.
    pub(super) fn principal(&self, parts: &Parts) -> Result<Option<Principal>, PrincipalUnknown> {
        let Some(extractor) = &self.options.principal else {
            return Ok(None);
        };
        extractor.principal(parts).map_err(|_| {
            // Its error may quote a token: it goes nowhere.
            warn!("principal of a request could not be known");
            PrincipalUnknown
        })
    }

    /// Holds `session` busy for a request.
    pub(super) fn begin(&self, session: Arc<LiveSession>, method: &Method) -> Option<Busy> {
        let kind = if method == Method::GET {
            Use::Stream
        } else {
            Use::Request
        };
        Busy::begin(session, kind)
    }

    /// Where the inner service of `session` is reached, as far as is known.
    pub(super) fn address_of(&self, session: &LiveSession) -> Address {
        let known = self.address.get().cloned();
        let mut address = known.unwrap_or_else(|| Address {
            uri: Uri::default(),
            host: None,
        });
        // Without a configured audience the path of a session is its audience.
        if self.options.audience.is_none()
            && let Ok(uri) = session.audience().parse()
        {
            address.uri = uri;
        }
        address
    }

    /// Notes where sessions begin.
    pub(super) fn note_address(&self, address: &Address) {
        self.address.get_or_init(|| address.clone());
    }

    fn passes(&self, parts: &Parts, decision: Decision) -> bool {
        let begins_grpc = self
            .options
            .grpc_initialize
            .as_deref()
            .is_some_and(|path| path == parts.uri.path());
        let refused = decision == Decision::Modern && self.options.modern == Modern::Refuse;
        !begins_grpc && !refused
    }

    /// The session of a request, if it lives here, is the caller's, and nothing needs to be read or asked.
    fn live_session(&self, parts: &Parts, head: &Head, raw: RawId<'_>) -> Option<Busy> {
        let RawId::One(text) = raw else { return None };
        let id = SessionId::parse(text.as_bytes()).ok()?;
        let session = self.manager.live(&id)?;
        if session.audience() != &*self.audience(parts)
            || !session.belongs_to(self.principal(parts).ok()?.as_ref())
        {
            return None;
        }
        // Only strict bodies depend on the version, and they must be read: any version does here.
        let standing = Standing::Alive(ProtocolVersion::ASSUMED);
        if classify(head, standing, BodyLook::Unread, &self.options.rules) != Decision::Known {
            return None;
        }
        let now = session.core().now();
        let busy = self.begin(session, &parts.method)?;
        if !busy.session().is_fresh(now) {
            return None;
        }
        busy.session().see(now);
        Some(busy)
    }
}

const GRPC_AUDIENCE: &str = "grpc";
