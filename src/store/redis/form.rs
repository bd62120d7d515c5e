//! How sessions are written: the names of their keys, and the texts under them.

use std::sync::Arc;

use crate::session::{OwnerTag, SessionKey, SessionRecord, Timestamp};
use crate::store::{ListedSession, Revision, StoreError, StoreErrorKind};

/// The names under which one store keeps its sessions.
///
/// The keys of a session differ in the beginning, so that only records can be tracked, and share the part in braces,
/// by which a cluster chooses the slot.
#[derive(Clone, Debug)]
pub(super) struct Names {
    record: Arc<str>,
    last_use: Arc<str>,
    history: Arc<str>,
    owner: Arc<str>,
    index: Arc<str>,
}

/// The keys of a session, and that of the index that names it.
pub(super) struct Keys {
    pub(super) record: String,
    pub(super) last_use: String,
    pub(super) history: String,
    pub(super) index: Arc<str>,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        // Braces of a prefix would choose the slot in place of the digest.
        let prefix = prefix
            .replace('%', "%25")
            .replace('{', "%7B")
            .replace('}', "%7D");
        Self {
            record: format!("{prefix}:record:{{").into(),
            last_use: format!("{prefix}{LAST_USE}").into(),
            history: format!("{prefix}:history:{{").into(),
            owner: format!("{prefix}:owner:{{").into(),
            index: format!("{prefix}:sessions").into(),
        }
    }

    pub(super) fn keys(&self, key: &SessionKey) -> Keys {
        Keys {
            record: format!("{}{key}}}", self.record),
            last_use: format!("{}{key}}}", self.last_use),
            history: format!("{}{key}}}", self.history),
            index: Arc::clone(&self.index),
        }
    }

    /// The key of the index of all sessions.
    pub(super) fn index(&self) -> &Arc<str> {
        &self.index
    }

    /// The key of the index of an owner's sessions.
    pub(super) fn index_of(&self, owner: &OwnerTag) -> String {
        format!("{}{}}}", self.owner, hex(owner))
    }

    pub(super) fn prefix(&self) -> &str {
        self.last_use.strip_suffix(LAST_USE).unwrap_or_default()
    }

    /// What the keys of all records begin with.
    pub(super) fn records(&self) -> &str {
        &self.record
    }

    /// A pattern for SCAN that matches the keys of all records.
    pub(super) fn pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.record.len() + 8);
        for character in self.record.chars() {
            if matches!(character, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern.push_str("*}");
        pattern
    }

    /// The session whose record has this key; `None` if it is none of this store's.
    pub(super) fn session(&self, record: &[u8]) -> Option<SessionKey> {
        let digest = record
            .strip_prefix(self.record.as_bytes())?
            .strip_suffix(b"}")?;
        str::from_utf8(digest).ok()?.parse().ok()
    }
}

/// A time as 20 digits, in which it is read and compared exactly.
pub(super) fn time(time: Timestamp) -> Vec<u8> {
    digits(time.as_millis())
}

pub(super) fn revision(revision: Revision) -> Vec<u8> {
    digits(revision.number())
}

pub(super) fn parse_revision(text: &[u8]) -> Option<Revision> {
    Revision::from_number(number(text)?)
}

/// What stands under the key of a record.
///
/// # Errors
///
/// [`StoreErrorKind::Corrupt`], which does not happen: a record is JSON.
pub(super) fn write_record(record: &SessionRecord, at: Revision) -> Result<Vec<u8>, StoreError> {
    let mut text = RECORD.to_vec();
    text.extend(revision(at));
    text.extend(time(record.absolute_end()));
    text.extend(time(record.created()));
    text.extend(record.owner().map_or_else(|| NO_OWNER.into(), hex).bytes());
    serde_json::to_writer(&mut text, record).map_err(|_| StoreErrorKind::Corrupt)?;
    Ok(text)
}

/// The record and its revision; `None` for a tombstone.
///
/// # Errors
///
/// [`StoreErrorKind::Corrupt`] if it is neither.
pub(super) fn read_record(text: &[u8]) -> Result<Option<(SessionRecord, Revision)>, StoreError> {
    if text.first() == Some(&b'T') {
        return Ok(None);
    }
    let head = match text.first() {
        Some(b'R') => OLD_HEAD,
        Some(b'S') => HEAD,
        _ => return Err(StoreErrorKind::Corrupt.into()),
    };
    let (head, json) = text.split_at_checked(head).ok_or(StoreErrorKind::Corrupt)?;
    let revision = parse_revision(&head[1..=DIGITS]).ok_or(StoreErrorKind::Corrupt)?;
    Ok(Some((
        // Without the error: its text may quote what the session holds.
        serde_json::from_slice(json).map_err(|_| StoreErrorKind::Corrupt)?,
        revision,
    )))
}

/// When a session was used last, and when it ends for want of use.
pub(super) fn write_last_use(activity: Timestamp, idle_deadline: Timestamp) -> Vec<u8> {
    let mut text = time(activity);
    text.extend(time(idle_deadline));
    text
}

/// # Errors
///
/// [`StoreErrorKind::Corrupt`] if it is not what [`write_last_use`] writes.
pub(super) fn read_last_use(text: &[u8]) -> Result<(Timestamp, Timestamp), StoreError> {
    let times = text.split_at_checked(DIGITS);
    times
        .and_then(|(activity, deadline)| Some((number(activity)?, number(deadline)?)))
        .map(|(activity, deadline)| {
            (
                Timestamp::from_millis(activity),
                Timestamp::from_millis(deadline),
            )
        })
        .ok_or_else(|| StoreErrorKind::Corrupt.into())
}

/// The session that the texts of its record and its last use tell of; `None` if it is none or not alive at `now`.
///
/// # Errors
///
/// [`StoreErrorKind::Corrupt`] if they cannot be read.
pub(super) fn read_session(
    key: SessionKey,
    (record, last_use): &(Vec<u8>, Vec<u8>),
    now: Timestamp,
) -> Result<Option<ListedSession>, StoreError> {
    let Some((record, revision)) = read_record(record)? else {
        return Ok(None);
    };
    let (activity, deadline) = read_last_use(last_use)?;
    // A save may have moved the absolute end before the idle deadline.
    let deadline = deadline.min(record.absolute_end());
    let session = ListedSession::new(key, record, revision, activity, deadline);
    Ok(Some(session).filter(|session| now < session.idle_deadline))
}

/// An owner as keys and heads name it: 64 digits.
pub(super) fn hex(owner: &OwnerTag) -> String {
    // Both are written as 32 bytes are.
    SessionKey::from(*owner.as_bytes()).to_string()
}

pub(super) fn digits(number: u64) -> Vec<u8> {
    format!("{number:020}").into_bytes()
}

pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.len() != DIGITS || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

const LAST_USE: &str = ":seen:{";

/// What a record begins with.
const RECORD: &[u8] = b"S";

/// Whether what begins like this is a record, and no tombstone.
pub(super) fn is_record(beginning: &[u8]) -> bool {
    matches!(beginning, b"S" | b"R")
}

pub(super) const DIGITS: usize = 20;

/// Before the JSON of a record: a letter, the revision, the absolute end, when it was created, whose it is.
const HEAD: usize = OLD_HEAD + DIGITS + NO_OWNER.len();

/// The same of records that begin with `R`: those were written before there was an index.
const OLD_HEAD: usize = 1 + 2 * DIGITS;

/// In place of an owner.
const NO_OWNER: &str = "----------------------------------------------------------------";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_session() {
        let key = SessionKey::from([0xa7; 32]);
        for prefix in ["mcp", "", "a:record:{", "{tag}", "100%", "x*[y]?\\"] {
            let names = Names::new(prefix);
            let keys = names.keys(&key);
            assert_eq!(names.session(keys.record.as_bytes()), Some(key));
            assert_eq!(names.session(keys.last_use.as_bytes()), None);
            assert_eq!(names.session(format!("x{}", keys.record).as_bytes()), None);
            assert_eq!(names.session(format!("{}x", keys.record).as_bytes()), None);
        }
    }

    #[test]
    fn all_keys_of_a_session_have_its_digest_as_their_hash_tag() {
        let key = SessionKey::from([1; 32]);
        for prefix in ["mcp", "{}", "a{b", "}{", "{tag}"] {
            let keys = Names::new(prefix).keys(&key);
            for name in [keys.record, keys.last_use, keys.history] {
                let tag = name.split_once('{').unwrap().1.split_once('}').unwrap().0;
                assert_eq!(tag, key.to_string(), "{prefix}");
            }
        }
    }

    #[test]
    fn prefixes_that_differ_have_keys_that_differ() {
        let key = SessionKey::from([1; 32]);
        let prefixes = ["{", "%7B", "%257B", "a", "a:record:"];
        let names = prefixes.map(|prefix| Names::new(prefix).keys(&key).record);
        for (at, name) in names.iter().enumerate() {
            assert!(!names[at + 1..].contains(name), "{}", prefixes[at]);
        }
    }

    #[test]
    fn a_pattern_takes_the_prefix_literally() {
        let pattern = Names::new("a*b[c]").pattern();
        assert_eq!(pattern, "a\\*b\\[c\\]:record:{*}");
    }

    #[test]
    fn times_survive_to_the_last_bit() {
        for millis in [0, 1, (1 << 53) + 1, u64::MAX] {
            let at = Timestamp::from_millis(millis);
            let text = write_last_use(at, Timestamp::NEVER);
            assert_eq!(read_last_use(&text).unwrap(), (at, Timestamp::NEVER));
        }
        for wrong in [&b""[..], b"1", &[b'9'; 40], &[b' '; 40], &[0xff; 40]] {
            assert_eq!(
                read_last_use(wrong).unwrap_err().kind(),
                StoreErrorKind::Corrupt
            );
        }
    }

    #[test]
    fn what_is_no_record_is_corrupt() {
        let zeros = [b'0'; 40];
        let no_revision = [b"R", &zeros[..], b"{}"].concat();
        let no_owner = [b"S", &digits(1)[..], &zeros, b"{}"].concat();
        for wrong in [
            &b""[..],
            b"R",
            b"S",
            b"X",
            &no_revision,
            &no_owner,
            &[0xff; 60],
        ] {
            assert_eq!(
                read_record(wrong).unwrap_err().kind(),
                StoreErrorKind::Corrupt
            );
        }
        let quoting = [
            b"R",
            &digits(1)[..],
            &digits(1),
            b"{\"schema\":\"swordfish\"}",
        ]
        .concat();
        let error = read_record(&quoting).unwrap_err();
        assert!(
            std::error::Error::source(&error).is_none(),
            "it would quote"
        );
        assert!(read_record(b"T00000000000000000001").unwrap().is_none());
    }
}
