//! The keys of a store together, and how they are read.

use std::env::{self, VarError};
use std::fmt;
use std::fs;
use std::iter;
use std::path::Path;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::key::{InvalidKeys, SigningKey};
use crate::session::{RandomSourceError, Timestamp};

/// The keys of a [`SignedStore`](super::SignedStore): one signs, all verify.
///
/// # Replacing a key
///
/// Ids that were signed before stay good, and no instance refuses what another one signs, in three steps:
///
/// 1. Add the new key to all instances, as one that verifies ([`KeyRing::with_verifying`]; a further line of the file).
/// 2. Let it sign on all instances, and keep the old one to verify (the order of the lines turned round).
/// 3. When the longest life of an id has passed since (7 days by default), take the old key away.
///
/// Each step is a restart, or a call of [`SignedStore::replace_keys`](super::SignedStore::replace_keys).
///
/// # When a key has leaked
///
/// Take it away at once: each id that was signed with it is answered 404. That is the only answer to somebody who has
/// the secret, and can sign ids of any time.
///
/// If only ids have leaked, whatever key they were signed with, [`KeyRing::with_not_before`] refuses all that are older
/// than a point in time.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::store::KeyRing;
///
/// let ring = KeyRing::parse(
///     "# signs\n\
///      2026-11 3q2+7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs=\n\
///      ## still verifies\n\
///      2026-05 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
/// )?;
/// assert_eq!(ring.signing().id(), "2026-11");
/// assert_eq!(ring.verifying()[0].id(), "2026-05");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct KeyRing {
    signing: SigningKey,
    verifying: Vec<SigningKey>,
    not_before: Timestamp,
}

impl KeyRing {
    /// A ring whose only key is `signing`.
    pub fn new(signing: SigningKey) -> Self {
        Self {
            signing,
            verifying: Vec::new(),
            not_before: Timestamp::EPOCH,
        }
    }

    /// A ring of one random key, for trying things out. See [`SigningKey::development`].
    ///
    /// # Errors
    ///
    /// [`RandomSourceError`] if the operating system has no random bits to give.
    pub fn development() -> Result<Self, RandomSourceError> {
        SigningKey::development().map(Self::new)
    }

    /// Reads keys from text: on each line the id of a key, a space, and its secret in base64. The first one signs.
    ///
    /// Empty lines and lines that begin with `#` are left out. A comma ends a line too, for places that hold only one.
    /// `echo "2026-11 $(openssl rand -base64 32)"` writes a line.
    ///
    /// # Errors
    ///
    /// [`InvalidKeys`] if there is no key, two have one id, or a line is not of this form. It names the line, or the id
    /// that two keys have, and nothing else that stands there.
    pub fn parse(text: &str) -> Result<Self, InvalidKeys> {
        let lines = text.split(['\n', ',']).map(str::trim);
        let lines = (1..).zip(lines);
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let mut keys = lines.map(|(number, line)| parse_line(number, line));
        let signing = keys
            .next()
            .ok_or_else(|| InvalidKeys::because("there is no key"))??;
        keys.try_fold(Self::new(signing), |ring, key| ring.with_verifying(key?))
    }

    /// Reads keys, as [`KeyRing::parse`] does, from the environment variable `name`.
    ///
    /// # Errors
    ///
    /// [`InvalidKeys`] if it is not set, or does not hold keys.
    pub fn from_env(name: &str) -> Result<Self, InvalidKeys> {
        let text = env::var(name).map_err(|error| match error {
            // The other error would show what the variable holds.
            VarError::NotPresent => InvalidKeys::because(format!("the variable {name} is not set")),
            VarError::NotUnicode(_) => {
                InvalidKeys::because(format!("the variable {name} does not hold text"))
            }
        })?;
        Self::parse(&Zeroizing::new(text))
    }

    /// Reads keys, as [`KeyRing::parse`] does, from a file.
    ///
    /// # Errors
    ///
    /// [`InvalidKeys`] if it cannot be read, or does not hold keys.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, InvalidKeys> {
        let text = fs::read_to_string(path).map_err(InvalidKeys::unreadable)?;
        Self::parse(&Zeroizing::new(text))
    }

    /// Adds a key that verifies ids and signs none.
    ///
    /// # Errors
    ///
    /// [`InvalidKeys`] if there is one of this id already.
    pub fn with_verifying(mut self, key: SigningKey) -> Result<Self, InvalidKeys> {
        let id = key.id();
        if self.keys().any(|other| other.id() == id) {
            return Err(InvalidKeys::because(format!("two keys are called {id:?}")));
        }
        self.verifying.push(key);
        Ok(self)
    }

    /// Refuses ids that were issued before `time`, whatever key they were signed with. Default: none are.
    ///
    /// Until then no session begins: initialize is answered 503. Whoever has a key can sign ids of a later time.
    #[must_use]
    pub fn with_not_before(mut self, time: Timestamp) -> Self {
        self.not_before = time;
        self
    }

    /// The key that signs.
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The keys that verify beside it.
    pub fn verifying(&self) -> &[SigningKey] {
        &self.verifying
    }

    fn keys(&self) -> impl Iterator<Item = &SigningKey> {
        iter::once(&self.signing).chain(&self.verifying)
    }

    pub(super) fn not_before(&self) -> Timestamp {
        self.not_before
    }
}

/// Shows the ids of the keys.
impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("signing", &self.signing)
            .field("verifying", &self.verifying)
            .field("not_before", &self.not_before)
            .finish()
    }
}

fn parse_line(number: usize, line: &str) -> Result<SigningKey, InvalidKeys> {
    // What stands before the space may be a secret whose id was forgotten: it is not quoted.
    let invalid = || {
        InvalidKeys::because(format!(
            "line {number} is not the id of a key, a space and its secret in base64"
        ))
    };
    let (id, secret) = line.split_once(char::is_whitespace).ok_or_else(invalid)?;
    let secret = secret.trim_start();
    let engine = if secret.contains(['-', '_']) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    let secret = engine.decode(secret).map_err(|_| invalid())?;
    let key = SigningKey::from_bytes(id, &Zeroizing::new(secret));
    key.map_err(|error| InvalidKeys::because(format!("line {number}: {error}")))
}

const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, WITH_PADDING_OR_WITHOUT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, WITH_PADDING_OR_WITHOUT);
const WITH_PADDING_OR_WITHOUT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    #[test]
    fn what_is_no_ring_is_refused_without_a_secret_in_the_error() {
        let long = "x".repeat(33);
        for text in [
            String::new(),
            "# nothing\n\n".to_owned(),
            SECRET.to_owned(),
            format!("a b {SECRET}"),
            format!("a {SECRET}!"),
            format!("a {}", &SECRET[..42]),
            format!("a\"b {SECRET}"),
            format!("{long} {SECRET}"),
            format!("a {SECRET}\na {SECRET}"),
            format!("a {SECRET}, a {SECRET}="),
            format!("{} a", &SECRET[..32]),
            format!("{} aaaa", &SECRET[..32]),
        ] {
            let error = KeyRing::parse(&text).expect_err(&text);
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(&SECRET[..8]), "{shown}");
        }
    }

    #[test]
    fn the_same_ring_is_read_from_each_spelling() {
        for text in [
            format!("a {SECRET}\nb {SECRET}"),
            format!(" a\t{SECRET}= \r\n\r\n # c\nb  {SECRET}\n"),
            format!("a {SECRET},b {SECRET}"),
        ] {
            let ring = KeyRing::parse(&text).unwrap();
            let ids: Vec<_> = ring.keys().map(SigningKey::id).collect();
            assert_eq!(ids, ["a", "b"]);
            let expected: Vec<u8> = (0..32).collect();
            assert!(ring.keys().all(|key| key.secret() == expected));
        }
    }

    #[test]
    fn debug_shows_ids_and_no_secrets() {
        let ring = KeyRing::parse(&format!("a {SECRET}")).unwrap();
        let shown = format!("{ring:?}");
        assert!(shown.contains("\"a\"") && !shown.contains("31") && !shown.contains("AAEC"));
    }
}
