//! What the services of one layer share, and the questions that each request asks it.

use std::mem;
use std::sync::{Arc, OnceLock};

use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri};
use tracing::warn;

use super::inner::{Address, Closer};
use super::options::{Modern, Options};
use crate::manager::{Busy, LiveSession, SessionManager, Use, flag};
use crate::protocol::ProtocolVersion;
use crate::protocol::error::Refusal;
use crate::protocol::header::{self, Lines, RawId};
use crate::protocol::request::{BodyLook, Decision, Head, Standing, classify};
use crate::session::{Principal, SessionId, Timestamp};

/// A layer's options and its sessions.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) options: Options,
    pub(super) manager: SessionManager,
    /// Where the first session began, or was restored.
    pub(super) address: OnceLock<Address>,
    /// Ends inner sessions. Set by the first request, which knows the types of the bodies.
    pub(super) closer: OnceLock<Closer>,
}

/// What can be said of a request at once.
pub(super) enum First {
    /// It passes without a session.
    Passes(Decision),
    /// It names a session that lives here and needs no second look now: [`Endpoint::enter`] says whether it may be served at once.
    Live(Arc<LiveSession>, Timestamp),
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
    pub(super) fn first_look<B>(&self, request: &Request<B>, lines: &Lines<'_>) -> First {
        self.look(request.method(), request.uri(), request.headers(), lines)
    }

    fn look(&self, method: &Method, uri: &Uri, headers: &HeaderMap, lines: &Lines<'_>) -> First {
        let head = Head::read(method, headers, lines);
        let decision = classify(
            &head,
            Standing::Unasked,
            BodyLook::Unread,
            &self.options.rules,
        );
        match decision {
            Decision::Lookup => match self.live_session(uri, &head, lines) {
                // A 404 to a gRPC call says nothing of an inner session: its own way knows that.
                Some((session, _)) if lines.is_grpc() && session.has(flag::MAPPED) => First::Waits,
                Some((session, now)) => First::Live(session, now),
                None => First::Waits,
            },
            Decision::Modern | Decision::NotOurs if self.passes(uri, decision) => {
                First::Passes(decision)
            }
            Decision::Refuse(Refusal::MissingSessionId) => First::Waits,
            Decision::Refuse(refusal) if !lines.is_grpc() => First::Refused(refusal),
            _ => First::Waits,
        }
    }

    /// Whether a mapped session may be restored.
    pub(super) fn replays(&self) -> bool {
        self.manager.core().config.restore.replays(true)
    }

    /// The audience of a request: what the layer was told, else its path. All gRPC methods are one endpoint.
    pub(super) fn audience<'a>(&'a self, parts: &'a Parts) -> &'a str {
        self.audience_at(&parts.uri, header::is_grpc(&parts.headers))
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

    /// Holds `session` busy for a request, if it is the caller's, and nothing needs to be read or asked.
    pub(super) fn enter<B>(
        &self,
        session: Arc<LiveSession>,
        now: Timestamp,
        request: &mut Request<B>,
    ) -> Option<Busy> {
        let principal = match &self.options.principal {
            Some(_) => with_parts(request, |parts| self.principal(parts)).ok()?,
            None => None,
        };
        if !session.belongs_to(principal.as_ref()) {
            return None;
        }
        let busy = self.begin(session, request.method())?;
        // Again: it may have been suspended, or have ended, before it was busy.
        if !busy.session().is_fresh(now) {
            return None;
        }
        busy.session().see(now);
        Some(busy)
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

    fn audience_at<'a>(&'a self, uri: &'a Uri, is_grpc: bool) -> &'a str {
        match &self.options.audience {
            Some(audience) => audience,
            None if is_grpc => GRPC_AUDIENCE,
            None => uri.path(),
        }
    }

    fn passes(&self, uri: &Uri, decision: Decision) -> bool {
        let begins_grpc = self
            .options
            .grpc_initialize
            .as_deref()
            .is_some_and(|path| path == uri.path());
        let refused = decision == Decision::Modern && self.options.modern == Modern::Refuse;
        !begins_grpc && !refused
    }

    /// The session that a request names, if it lives here and the head decides that the request belongs to it.
    fn live_session(
        &self,
        uri: &Uri,
        head: &Head,
        lines: &Lines<'_>,
    ) -> Option<(Arc<LiveSession>, Timestamp)> {
        let RawId::One(text) = lines.id() else {
            return None;
        };
        let id = SessionId::parse(text.as_bytes()).ok()?;
        let now = self.manager.core().now();
        let audience = self.audience_at(uri, lines.is_grpc());
        let session = self.manager.fresh(&id, audience, now)?;
        // Only strict bodies depend on the version, and they must be read: any version does here.
        let standing = Standing::Alive(ProtocolVersion::ASSUMED);
        let decision = classify(head, standing, BodyLook::Unread, &self.options.rules);
        (decision == Decision::Known).then_some((session, now))
    }
}

/// Shows the head of a request to `f`, and puts it back.
fn with_parts<B, T>(request: &mut Request<B>, f: impl FnOnce(&Parts) -> T) -> T {
    let (mut parts, ()) = Request::new(()).into_parts();
    let mut swap = |parts: &mut Parts| {
        mem::swap(&mut parts.method, request.method_mut());
        mem::swap(&mut parts.uri, request.uri_mut());
        mem::swap(&mut parts.version, request.version_mut());
        mem::swap(&mut parts.headers, request.headers_mut());
        mem::swap(&mut parts.extensions, request.extensions_mut());
    };
    swap(&mut parts);
    let result = f(&parts);
    swap(&mut parts);
    result
}

const GRPC_AUDIENCE: &str = "grpc";
