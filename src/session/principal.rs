//! Who is calling, and the digest of it that a record keeps.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::id::digest;

/// Who is calling, as the authentication in front of the session layer found out.
///
/// A session belongs to the principal that began it. The three parts are those of a verified token: its issuer, its
/// subject and the client it was given to; leave out what your authentication does not know. Never build one from an
/// IP address or from the token's text: both change within a session.
///
/// Wire rules 57 and 58; security best practices, Session Hijacking.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::Principal;
///
/// let alice = Principal::new("alice").with_issuer("https://login.example.com");
/// assert_eq!(alice.subject(), "alice");
/// assert_ne!(alice, Principal::new("alice"));
/// ```
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Principal {
    subject: Box<str>,
    issuer: Option<Box<str>>,
    client: Option<Box<str>>,
}

impl Principal {
    /// The principal with this subject (a token's `sub`); for a client acting on its own behalf, the client's id.
    pub fn new(subject: impl Into<Box<str>>) -> Self {
        Self {
            subject: subject.into(),
            issuer: None,
            client: None,
        }
    }

    /// Names the issuer (a token's `iss`). Default: none.
    #[must_use]
    pub fn with_issuer(mut self, issuer: impl Into<Box<str>>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Names the client that acts for the subject (a token's `client_id` or `azp`). Default: none.
    #[must_use]
    pub fn with_client(mut self, client: impl Into<Box<str>>) -> Self {
        self.client = Some(client.into());
        self
    }

    /// The subject.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The issuer, if one was named.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// The client, if one was named.
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }
}

/// Shows that there is a principal, not who it is: logs are read by many.
impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal").finish_non_exhaustive()
    }
}

/// A digest of a principal: what records hold in its place.
///
/// Compared in constant time.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OwnerTag([u8; 32]);

impl OwnerTag {
    /// The plain digest of `principal`, without a key.
    pub fn of(principal: &Principal) -> Self {
        // An absent part and an empty one are different principals: a flag goes before each.
        let flag = |part: Option<&str>| [u8::from(part.is_some())];
        let (issuer, client) = (principal.issuer(), principal.client());
        Self(digest(
            b"mcp-session owner",
            &[
                principal.subject().as_bytes(),
                &flag(issuer),
                issuer.unwrap_or_default().as_bytes(),
                &flag(client),
                client.unwrap_or_default().as_bytes(),
            ],
        ))
    }

    /// The 32 bytes of the digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for OwnerTag {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl PartialEq for OwnerTag {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for OwnerTag {}

impl std::hash::Hash for OwnerTag {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for OwnerTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnerTag(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_and_its_absence_counts() {
        let all = [
            Principal::new("a"),
            Principal::new("b"),
            Principal::new("a").with_issuer(""),
            Principal::new("a").with_issuer("i"),
            Principal::new("a").with_client("i"),
            Principal::new("a").with_issuer("i").with_client("c"),
        ];
        for (i, one) in all.iter().enumerate() {
            for (j, other) in all.iter().enumerate() {
                assert_eq!(i == j, OwnerTag::of(one) == OwnerTag::of(other), "{i} {j}");
            }
        }
    }

    #[test]
    fn debug_names_nobody() {
        let text = format!(
            "{:?} {:?}",
            Principal::new("alice"),
            OwnerTag::of(&Principal::new("alice"))
        );
        assert!(!text.contains("alice"));
    }
}
