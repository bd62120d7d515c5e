//! Session ids, and the two digests that stand in for them: keys in stores, fingerprints in logs.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;
use std::str::FromStr;
use std::sync::Arc;

use http::HeaderValue;
use sha2::{Digest, Sha256};

/// The id a client holds: the value of the `Mcp-Session-Id` header.
///
/// Two forms exist. A *random* id, which this crate mints, is 128 bits from the operating system, written as 32 lower
/// case hexadecimal digits. An *opaque* id is anything else that the header may hold (1 to 1 024 bytes of visible
/// ASCII); stores that make their own ids use it. One session has exactly one spelling.
///
/// An id is a secret: `Debug` hides it, there is no `Display`, and [`SessionId::fingerprint`] is what logs show.
/// Wire rules 3 and 4; 2025-11-25, Session Management 1.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::SessionId;
///
/// let id = SessionId::random()?;
/// let header = id.to_header_value();
/// assert_eq!(SessionId::parse(header.as_bytes()), Ok(id));
/// assert!(SessionId::parse(b"two words").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct SessionId(Form);

/// Compared word by word, not in constant time: ids are found through a table whose hash is keyed per process, which
/// shows an attacker no prefix.
#[derive(Clone, Eq, PartialEq)]
enum Form {
    // Two words in all: the first one is never zero, which tells the forms apart.
    Random(NonZeroU64, u64),
    Opaque(Arc<Box<str>>),
}

impl SessionId {
    /// The longest id that is accepted, in bytes.
    pub const MAX_LEN: usize = 1024;

    /// Mints a random id: 128 bits from the operating system.
    ///
    /// # Errors
    ///
    /// [`RandomSourceError`] if the operating system has no random bits to give.
    pub fn random() -> Result<Self, RandomSourceError> {
        let word = || getrandom::u64().map_err(RandomSourceError);
        loop {
            if let Some(first) = NonZeroU64::new(word()?) {
                return Ok(Self(Form::Random(first, word()?)));
            }
        }
    }

    /// Reads an id as it stands in a header.
    ///
    /// # Errors
    ///
    /// [`InvalidSessionId`] if it is empty, longer than [`SessionId::MAX_LEN`] or has a byte outside 0x21 to 0x7E.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidSessionId> {
        if let Some([first, second]) = parse_hex(text)
            && let Some(first) = NonZeroU64::new(first)
        {
            return Ok(Self(Form::Random(first, second)));
        }
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.iter().all(u8::is_ascii_graphic) {
            return Err(InvalidSessionId(()));
        }
        let text = std::str::from_utf8(text).map_err(|_| InvalidSessionId(()))?;
        Ok(Self(Form::Opaque(Arc::new(Box::from(text)))))
    }

    /// Whether the id has the form that this crate mints at random.
    pub fn is_random(&self) -> bool {
        matches!(self.0, Form::Random(..))
    }

    /// The id as a header value, marked sensitive.
    #[expect(
        clippy::missing_panics_doc,
        reason = "an id holds what a header value may"
    )]
    pub fn to_header_value(&self) -> HeaderValue {
        let mut value = self.with_bytes(|bytes| {
            HeaderValue::from_bytes(bytes)
                .expect("an id holds visible ASCII only, as a header value may")
        });
        value.set_sensitive(true);
        value
    }

    /// The id as text, to hand to the client or to another service that needs it.
    ///
    /// # Security
    ///
    /// Whoever has the text has the session, unless sessions are bound to principals. Never log it.
    pub fn expose(&self) -> String {
        self.with_bytes(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// A short digest for logs and operators: it names the session and does not give its id away.
    pub fn fingerprint(&self) -> Fingerprint {
        let digest = self.with_bytes(|bytes| digest(b"mcp-session fingerprint", &[bytes]));
        let mut short = [0; 8];
        short.copy_from_slice(&digest[..8]);
        Fingerprint(short)
    }

    /// Shows the text of the id to `f`.
    pub(crate) fn with_bytes<T>(&self, f: impl FnOnce(&[u8]) -> T) -> T {
        match &self.0 {
            Form::Random(first, second) => f(&write_hex([first.get(), *second])),
            Form::Opaque(text) => f(text.as_bytes()),
        }
    }
}

impl Hash for SessionId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            // 128 random bits: the first half alone spreads perfectly.
            Form::Random(first, _) => state.write_u64(first.get()),
            Form::Opaque(text) => state.write(text.as_bytes()),
        }
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({})", self.fingerprint())
    }
}

/// The name under which a store keeps a session: a SHA-256 digest of its audience and id.
///
/// Keys are no secrets: an id cannot be found from its key. Records, indexes and events hold keys, never ids.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::{SessionId, SessionKey};
///
/// let id = SessionId::random()?;
/// let key = SessionKey::new("/mcp", &id);
/// assert_ne!(key, SessionKey::new("/other", &id));
/// assert_eq!(key.to_string().parse::<SessionKey>()?, key);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    /// The key of the session `id` of `audience`, the endpoint it belongs to.
    pub fn new(audience: &str, id: &SessionId) -> Self {
        Self(id.with_bytes(|id| digest(b"mcp-session key", &[audience.as_bytes(), id])))
    }

    /// The 32 bytes of the digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Reads what `Display` writes: 64 hexadecimal digits, in lower case. One key has one spelling.
impl FromStr for SessionKey {
    type Err = InvalidSessionKey;

    fn from_str(text: &str) -> Result<Self, InvalidSessionKey> {
        let digits = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() || !text.as_bytes().iter().all(digits) {
            return Err(InvalidSessionKey(()));
        }
        for (n, byte) in bytes.iter_mut().enumerate() {
            let digits = &text[2 * n..2 * n + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| InvalidSessionKey(()))?;
        }
        Ok(Self(bytes))
    }
}

impl From<[u8; 32]> for SessionKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({self})")
    }
}

/// A short digest of a session id, for logs: 16 hexadecimal digits.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Fingerprint([u8; 8]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The text is not a session id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a session id: 1 to 1024 bytes of visible ASCII are")]
pub struct InvalidSessionId(());

/// A text that is no session key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a session key: 64 hexadecimal digits in lower case")]
pub struct InvalidSessionKey(());

/// The operating system had no random bits for a new id.
#[derive(Debug, thiserror::Error)]
#[error("no random bits for a session id")]
pub struct RandomSourceError(#[source] pub(crate) getrandom::Error);

/// SHA-256 over a domain and length-prefixed parts, so that no two lists of parts are the same bytes.
pub(super) fn digest(domain: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [domain].iter().chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Each request reads 32 digits: eight at a time, as the bytes of one word.
fn parse_hex(text: &[u8]) -> Option<[u64; 2]> {
    let text: &[u8; 32] = text.try_into().ok()?;
    let mut words = [0; 2];
    for (index, digits) in text.as_chunks::<8>().0.iter().enumerate() {
        let word = &mut words[index / 2];
        *word = *word << 32 | parse_eight(u64::from_be_bytes(*digits))?;
    }
    Some(words)
}

/// The 32 bits that eight digits stand for. Only what is written the same way is taken: one id has one spelling.
fn parse_eight(digits: u64) -> Option<u64> {
    // The low half of a digit is its value; a letter, which has bit 6, stands for 9 more.
    let nibbles = (digits & (EACH * 0x0f)) + 9 * (digits >> 6 & EACH);
    let bits = (nibbles | nibbles >> 4) & 0x00ff_00ff_00ff_00ff;
    let bits = (bits | bits >> 8) & 0x0000_ffff_0000_ffff;
    let bits = (bits | bits >> 16) & 0xffff_ffff;
    let is_value = nibbles & (EACH * 0xf0) == 0;
    (is_value && spell_eight(nibbles) == digits).then_some(bits)
}

fn write_hex(words: [u64; 2]) -> [u8; 32] {
    let mut text = [0; 32];
    let halves = words
        .into_iter()
        .flat_map(|word| [word >> 32, word & 0xffff_ffff]);
    for (digits, bits) in text.chunks_exact_mut(8).zip(halves) {
        let bits = (bits | bits << 16) & 0x0000_ffff_0000_ffff;
        let bits = (bits | bits << 8) & 0x00ff_00ff_00ff_00ff;
        let nibbles = (bits | bits << 4) & (EACH * 0x0f);
        digits.copy_from_slice(&spell_eight(nibbles).to_be_bytes());
    }
    text
}

/// The digits for eight values below 16, each a byte.
fn spell_eight(nibbles: u64) -> u64 {
    let letters = (nibbles + EACH * 6) >> 4 & EACH;
    nibbles + EACH * u64::from(b'0') + letters * u64::from(b'a' - 10 - b'0')
}

/// One in each byte of a word.
const EACH: u64 = 0x0101_0101_0101_0101;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_visible_ascii_of_a_bounded_length_is_an_id() {
        for (text, valid) in [
            (&b""[..], false),
            (b"a", true),
            (b"0123456789abcdef0123456789abcdef", true),
            (b"with space", false),
            (b"tab\t", false),
            (b"del\x7f", false),
            ("\u{fc}ber".as_bytes(), false),
            (&[b'x'; 1024], true),
            (&[b'x'; 1025], false),
        ] {
            assert_eq!(
                SessionId::parse(text).is_ok(),
                valid,
                "{:?}",
                String::from_utf8_lossy(text)
            );
        }
    }

    #[test]
    fn one_session_has_one_spelling() {
        let lower = SessionId::parse(b"0123456789abcdef0123456789abcdef").unwrap();
        let upper = SessionId::parse(b"0123456789ABCDEF0123456789ABCDEF").unwrap();
        assert!(lower.is_random() && !upper.is_random());
        assert_ne!(lower, upper);
        assert_ne!(SessionKey::new("/", &lower), SessionKey::new("/", &upper));
    }

    #[test]
    fn an_id_is_two_words_and_sixteen_zeros_begin_none_that_is_random() {
        assert_eq!(size_of::<SessionId>(), 16);
        let zeros = b"00000000000000000123456789abcdef";
        let id = SessionId::parse(zeros).unwrap();
        assert!(!id.is_random());
        assert_eq!(id.to_header_value().as_bytes(), zeros);
    }

    #[test]
    fn debug_does_not_show_the_id() {
        let id = SessionId::parse(b"0123456789abcdef0123456789abcdef").unwrap();
        assert!(!format!("{id:?}").contains("0123"));
        assert!(id.to_header_value().is_sensitive());
    }

    #[test]
    fn a_key_is_read_in_its_one_spelling_only() {
        let key = SessionKey::from([0xaf; 32]);
        let text = key.to_string();
        assert_eq!(text.parse(), Ok(key));
        let others = [
            text.to_uppercase(),
            text.replacen("af", "+f", 1),
            text.replacen("af", "\u{e9}", 1),
            text.replacen('a', "g", 1),
            format!("{text}0"),
            text[1..].to_owned(),
            String::new(),
        ];
        for other in others {
            assert_eq!(
                other.parse::<SessionKey>(),
                Err(InvalidSessionKey(())),
                "{other}"
            );
        }
    }

    #[test]
    fn key_parts_cannot_be_shifted_into_each_other() {
        let (a, b) = (
            SessionId::parse(b"bc").unwrap(),
            SessionId::parse(b"c").unwrap(),
        );
        assert_ne!(SessionKey::new("a", &a), SessionKey::new("ab", &b));
    }

    proptest! {
        #[test]
        fn what_was_parsed_is_written_back_the_same(text in "[!-~]{1,64}|[0-9a-f]{32}") {
            let id = SessionId::parse(text.as_bytes()).unwrap();
            let header = id.to_header_value();
            prop_assert_eq!(header.as_bytes(), text.as_bytes());
        }

        #[test]
        fn eight_digits_at_a_time_agree_with_one_by_one(text in "[0-9a-f]{32}", place in 0_usize..32, byte in any::<u8>()) {
            let by_one = |text: &[u8]| {
                let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                let text = text.iter().all(is_digit).then(|| str::from_utf8(text).unwrap())?;
                let word = |digits| u64::from_str_radix(digits, 16).unwrap();
                Some([word(&text[..16]), word(&text[16..])])
            };
            let mut text = text.into_bytes();
            prop_assert_eq!(parse_hex(&text), by_one(&text));
            text[place] = byte;
            prop_assert_eq!(parse_hex(&text), by_one(&text));
        }

        #[test]
        fn no_bytes_make_parsing_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1100)) {
            let _: Result<_, _> = SessionId::parse(&bytes);
        }
    }
}
