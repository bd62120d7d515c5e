//! Why a request was answered without the inner service.

use std::fmt;

/// Names the variants once, for the type, its list and its texts.
macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident => $text:literal,)*) => {
        /// Why a request was answered by the layer itself.
        ///
        /// It tells an operator more than the client is told: a client learns of all causes of a 503 the same.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum RefusalCause {
            $($(#[$doc])* $variant,)*
        }

        impl RefusalCause {
            /// All causes, in the order of their numbers.
            pub(crate) const ALL: [Self; [$($text),*].len()] = [$(Self::$variant),*];

            /// The cause's name in lower case, with underscores.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

causes! {
    /// The id is unknown, malformed, expired, ended or another's.
    SessionNotFound => "session_not_found",
    /// A request of an older revision had no id.
    MissingSessionId => "missing_session_id",
    /// There were several ids.
    SeveralSessionIds => "several_session_ids",
    /// There were several protocol versions.
    SeveralVersions => "several_versions",
    /// The protocol version is none, or is not one that has sessions.
    UnsupportedVersion => "unsupported_version",
    /// An array came where a single message must be.
    BatchNotAllowed => "batch_not_allowed",
    /// A member that decides was in the body twice.
    DuplicateMember => "duplicate_member",
    /// An initialize came inside a session.
    AlreadyInitialized => "already_initialized",
    /// An initialize came in a revision that has none.
    InitializeRemoved => "initialize_removed",
    /// A `Last-Event-ID` was not of this session.
    UnknownLastEventId => "unknown_last_event_id",
    /// The body was not JSON, or did not come.
    NotJson => "not_json",
    /// The body, or what the store is to keep of it, was too large.
    TooLarge => "too_large",
    /// A body that must be read had a content coding.
    UnsupportedContentCoding => "unsupported_content_coding",
    /// The HTTP method is switched off.
    MethodNotAllowed => "method_not_allowed",
    /// The `Origin` is not one of those allowed.
    ForbiddenOrigin => "forbidden_origin",
    /// The `Host` is not one of those allowed.
    ForbiddenHost => "forbidden_host",
    /// The answer to an initialize was too long, too late or not readable.
    BadInitializeAnswer => "bad_initialize_answer",
    /// Requests of 2026-07-28 and later are not served here.
    ModernRefused => "modern_refused",
    /// The store failed, or took too long.
    StoreUnavailable => "store_unavailable",
    /// There was no room for another session, and none that might be ended for it.
    Full => "full",
    /// The principal had as many sessions as it may have.
    PrincipalFull => "principal_full",
    /// This instance takes no new sessions any more.
    Draining => "draining",
    /// The session is suspended.
    Suspended => "suspended",
    /// Who is calling could not be found out.
    PrincipalUnknown => "principal_unknown",
    /// Too many initializes, restores or bytes of bodies were under way.
    Busy => "busy",
    /// The inner service did not take the session up again, and may do so later.
    RestoreFailed => "restore_failed",
    /// The inner service lost its session, and the request could not be sent again.
    InnerSessionLost => "inner_session_lost",
    /// The inner service panicked while a session began, or the end of a session did.
    Panicked => "panicked",
}

impl fmt::Display for RefusalCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why it is only later that a request may be served: what becomes 503, with its cause.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unavailable {
    Store,
    Full,
    PrincipalFull,
    Draining,
    Suspended,
    PrincipalUnknown,
    Busy,
    RestoreFailed,
    InnerSessionLost,
    Panicked,
}

impl From<Unavailable> for RefusalCause {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::Store => Self::StoreUnavailable,
            Unavailable::Full => Self::Full,
            Unavailable::PrincipalFull => Self::PrincipalFull,
            Unavailable::Draining => Self::Draining,
            Unavailable::Suspended => Self::Suspended,
            Unavailable::PrincipalUnknown => Self::PrincipalUnknown,
            Unavailable::Busy => Self::Busy,
            Unavailable::RestoreFailed => Self::RestoreFailed,
            Unavailable::InnerSessionLost => Self::InnerSessionLost,
            Unavailable::Panicked => Self::Panicked,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_cause_has_a_name_of_its_own_in_snake_case() {
        let names: HashSet<_> = RefusalCause::ALL.map(RefusalCause::as_str).into();
        assert_eq!(names.len(), RefusalCause::ALL.len());
        for name in names {
            assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_')));
        }
        for (number, cause) in RefusalCause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, number);
        }
    }
}
