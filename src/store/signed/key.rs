//! One key, as its owner gives it: checked, and wiped.

use std::error::Error;
use std::fmt;
use std::io;

use tracing::warn;
use zeroize::Zeroizing;

use crate::session::RandomSourceError;

/// A secret that ids are signed with, and the name it goes by in them.
///
/// The secret itself signs nothing: for each purpose a key of its own is derived from it. It is wiped from memory when
/// it is dropped, and shown nowhere.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::store::SigningKey;
///
/// # let secret = [7; 32];
/// let key = SigningKey::from_bytes("2026-11", &secret)?;
/// assert_eq!(key.id(), "2026-11");
/// assert!(SigningKey::from_bytes("2026-12", b"too short").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SigningKey {
    id: Box<str>,
    secret: Zeroizing<Vec<u8>>,
}

impl SigningKey {
    /// The shortest secret that is accepted, in bytes: as long as what HMAC-SHA256 makes of it.
    pub const MIN_LEN: usize = 32;

    /// The longest name of a key, in bytes.
    pub const MAX_ID_LEN: usize = 32;

    /// The key `id` with this secret, which should be random: `openssl rand 32` makes one.
    ///
    /// The id (`kid`) travels in each session id: 1 to 32 letters, digits, `.`, `-` and `_`. A key that is replaced
    /// gets another id.
    ///
    /// # Errors
    ///
    /// [`InvalidKeys`] if the secret has fewer than 32 bytes, or the id has another form.
    pub fn from_bytes(id: impl Into<Box<str>>, secret: &[u8]) -> Result<Self, InvalidKeys> {
        let id = id.into();
        let of_form = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if !(1..=Self::MAX_ID_LEN).contains(&id.len()) || !id.bytes().all(of_form) {
            return Err(InvalidKeys::because(
                "the id of a key is not 1 to 32 letters, digits, '.', '-' and '_'",
            ));
        }
        if secret.len() < Self::MIN_LEN {
            // The id is not quoted: where the two were mixed up, it is a secret.
            let length = secret.len();
            return Err(InvalidKeys::because(format!(
                "the secret of a key has {length} bytes: at least 32 are needed"
            )));
        }
        let secret = Zeroizing::new(secret.to_vec());
        Ok(Self { id, secret })
    }

    /// A random key that nobody else has, for trying things out: warns that sessions end with the process.
    ///
    /// # Errors
    ///
    /// [`RandomSourceError`] if the operating system has no random bits to give.
    pub fn development() -> Result<Self, RandomSourceError> {
        let mut secret = Zeroizing::new(vec![0; Self::MIN_LEN]);
        getrandom::fill(&mut secret).map_err(RandomSourceError)?;
        warn!(
            "session ids are signed with a development key: they end with this process, and no other accepts them"
        );
        let id = Box::from("development");
        Ok(Self { id, secret })
    }

    /// The name that the key goes by in ids.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn secret(&self) -> &[u8] {
        &self.secret
    }
}

/// Shows the id, not the secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What should be keys is none. The text says what is wrong and quotes no secret.
#[derive(Debug)]
pub struct InvalidKeys {
    problem: Box<str>,
    source: Option<io::Error>,
}

impl InvalidKeys {
    pub(super) fn unreadable(error: io::Error) -> Self {
        Self {
            problem: "the file with the keys cannot be read".into(),
            source: Some(error),
        }
    }

    pub(super) fn because(problem: impl Into<Box<str>>) -> Self {
        Self {
            problem: problem.into(),
            source: None,
        }
    }
}

impl fmt::Display for InvalidKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl Error for InvalidKeys {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}
