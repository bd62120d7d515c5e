//! Keys as they are used: one derived for each purpose, so that nothing that is signed for one verifies as another.

use std::iter;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::key::SigningKey;
use super::ring::KeyRing;
use super::token::{self, Token};
use crate::session::{OwnerTag, Principal, SessionId, Timestamp};
use crate::store::Revision;

/// What a derived key is for. The names, and how keys are derived by them, are fixed: ids outlive versions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Purpose {
    SessionId,
    PrincipalTag,
    /// Nothing: what is signed with it is never taken.
    Nothing,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::SessionId => "session-id",
            Self::PrincipalTag => "principal-tag",
            Self::Nothing => "nothing",
        }
    }
}

/// A ring whose keys are derived for one audience.
pub(super) struct ReadyRing {
    signing: ReadyKey,
    verifying: Box<[ReadyKey]>,
    /// Stands in for a key that is not there: whoever names one learns nothing by the time it takes.
    dummy: Hmac<Sha256>,
    not_before: Timestamp,
    /// Counts the rings of a store: what was verified by an earlier one must be verified again.
    pub(super) revision: Revision,
}

pub(super) struct ReadyKey {
    /// The first part of each id that is signed with it.
    pub(super) header: Box<str>,
    kid: Box<str>,
    /// Begins each tag that is made with it.
    mark: [u8; MARK],
    ids: Hmac<Sha256>,
    /// The same, with the header and its dot taken in: they are a sixth of each id.
    begun: Hmac<Sha256>,
    tags: Hmac<Sha256>,
}

impl ReadyRing {
    pub(super) fn new(ring: &KeyRing, audience: &str, revision: Revision) -> Self {
        let ready = |key| ReadyKey::new(key, audience);
        Self {
            signing: ready(ring.signing()),
            verifying: ring.verifying().iter().map(ready).collect(),
            dummy: mac(&derive(ring.signing().secret(), Purpose::Nothing, audience)),
            not_before: ring.not_before(),
            revision,
        }
    }

    /// Whether an id that was issued at `time` is too old, whatever its signature says.
    pub(super) fn refuses(&self, issued: Timestamp) -> bool {
        issued < self.not_before
    }

    /// Whether `token` was signed with a key of this ring. Each text is hashed and compared, whatever is wrong with it.
    pub(super) fn verifies(&self, token: &Token<'_>) -> bool {
        let key = self.key_of(token);
        let (mac, text) = match key {
            Some(key) if key.wrote(token) => (&key.begun, token.claims),
            Some(key) => (&key.ids, token.signed),
            None => (&self.dummy, token.signed),
        };
        // One copy: `chain_update` would move it about.
        let mut mac = mac.clone();
        mac.update(text);
        // What is no signature is compared as zeros, which none is.
        let signature = token.signature().unwrap_or_default();
        let same = mac.verify(&signature.into()).is_ok();
        same && key.is_some()
    }

    /// The digest of `principal` for the session `id`, or for one that is about to get an id.
    ///
    /// It begins with a mark of its key, so that [`ReadyRing::signer`] signs the id with the same one, whatever happens
    /// to the ring meanwhile.
    pub(super) fn owner_tag(&self, id: &SessionId, principal: &Principal) -> OwnerTag {
        let of_id = id.with_bytes(|text| self.key_of(&Token::split(text)));
        let key = of_id.unwrap_or(&self.signing);
        let mut mac = key.tags.clone();
        mac.update(OwnerTag::of(principal).as_bytes());
        let mut tag = [0; 32];
        tag[..MARK].copy_from_slice(&key.mark);
        tag[MARK..TAG_LEN].copy_from_slice(&mac.finalize().into_bytes()[MARK..TAG_LEN]);
        OwnerTag::from(tag)
    }

    /// The key to sign an id of this owner with: the one that its tag was made with.
    pub(super) fn signer(&self, owner: Option<&OwnerTag>) -> &ReadyKey {
        let marked = owner.map(OwnerTag::as_bytes).and_then(|tag| {
            let mut keys = self.keys();
            keys.find(|key| tag[..MARK] == key.mark)
        });
        marked.unwrap_or(&self.signing)
    }

    fn key_of(&self, token: &Token<'_>) -> Option<&ReadyKey> {
        let same = |key: &&ReadyKey| key.wrote(token);
        self.keys().find(same).or_else(|| {
            // Written by another library: the same header in another spelling.
            let kid = token::kid_of(token.header)?;
            self.keys().find(|key| *key.kid == *kid)
        })
    }

    fn keys(&self) -> impl Iterator<Item = &ReadyKey> {
        iter::once(&self.signing).chain(&self.verifying)
    }
}

impl ReadyKey {
    fn new(key: &SigningKey, audience: &str) -> Self {
        let derived = |purpose| mac(&derive(key.secret(), purpose, audience));
        let tags = derived(Purpose::PrincipalTag);
        let mut mark = [0; MARK];
        let digest = tags.clone().chain_update(b"mark").finalize().into_bytes();
        mark.copy_from_slice(&digest[..MARK]);
        let (header, ids) = (token::header(key.id()), derived(Purpose::SessionId));
        Self {
            kid: Box::from(key.id()),
            mark,
            begun: ids.clone().chain_update(&*header).chain_update("."),
            header,
            ids,
            tags,
        }
    }

    /// Whether the header of a token is written as this key's is here.
    fn wrote(&self, token: &Token<'_>) -> bool {
        self.header.as_bytes() == token.header
    }

    pub(super) fn sign(&self, text: &[u8]) -> [u8; 32] {
        let mac = self.ids.clone().chain_update(text);
        mac.finalize().into_bytes().into()
    }
}

/// HKDF-SHA256 (RFC 5869) without salt. No part of the info holds a zero byte but the audience, which comes last.
fn derive(secret: &[u8], purpose: Purpose, audience: &str) -> Zeroizing<[u8; 32]> {
    let parts = ["mcp-session", "\0", purpose.name(), "\0", audience];
    let info = parts.map(str::as_bytes);
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, secret)
        .expand_multi_info(&info, &mut *key)
        .expect("HKDF-SHA256 gives up to 8 160 bytes");
    key
}

fn mac(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// Bytes of a tag that name its key: two keys of a ring are alike once in four thousand million.
const MARK: usize = 4;

/// Bytes of a tag that say something: 128 bits after its mark. Ids that hold one are long enough.
pub(super) const TAG_LEN: usize = MARK + 16;
