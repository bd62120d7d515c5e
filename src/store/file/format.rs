//! The bytes of a session's file: 128 bytes at fixed places, then the record as JSON.
//!
//! | bytes | hold | written |
//! |---|---|---|
//! | 0..64 | the head: form, revision, absolute end, length and digest of the record, check | with the file |
//! | 64..88, 88..112 | two places for the last use: activity, idle deadline, check | in turn, in place |
//! | 112..120 | nothing | |
//! | 120..128 | the mark of an ended session, or zeros | in place |
//!
//! A last use is written over the older of the two: if it is cut short, its check fails and the other one counts. All
//! that is written in place lies within one sector of a disk, which is written whole or not at all.

use sha2::{Digest, Sha256};

use crate::config;
use crate::session::{SessionKey, Timestamp};
use crate::store::Revision;

/// What a file says before its record.
pub(super) enum Beginning {
    Alive(Head, LastUse),
    /// Deleted; with the time until which the key must not be used again, if that can be read.
    Ended(Option<Timestamp>),
    /// Not a session's file, or part of one.
    Torn,
}

/// What stays as it is as long as the file does.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) revision: Revision,
    pub(super) absolute_end: Timestamp,
    /// How many bytes the record has.
    length: u64,
    digest: [u8; 24],
}

/// What a touch moves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct LastUse {
    pub(super) activity: Timestamp,
    pub(super) idle_deadline: Timestamp,
}

impl Beginning {
    /// Reads the first bytes of the file of `key`; fewer than [`BEGINNING`] are torn.
    pub(super) fn parse(key: &SessionKey, bytes: &[u8]) -> Self {
        let Ok(bytes) = <&[u8; BEGINNING]>::try_from(bytes) else {
            return Self::Torn;
        };
        let head = Head::parse(key, &bytes[..HEAD]);
        match (head, &bytes[MARK_AT..]) {
            // Part of a mark is one too: nobody else writes there.
            (Some(head), mark) if mark != [0; MARK.len()] => Self::Ended(Some(head.absolute_end)),
            (None, mark) if mark == MARK => Self::Ended(None),
            (None, _) => Self::Torn,
            (Some(head), _) => {
                let places = PLACES.map(|at| LastUse::parse(key, &bytes[at..at + PLACE]));
                match places.into_iter().flatten().reduce(LastUse::later) {
                    Some(last_use) => Self::Alive(head, last_use),
                    None => Self::Torn,
                }
            }
        }
    }
}

impl Head {
    pub(super) fn new(revision: Revision, absolute_end: Timestamp, record: &[u8]) -> Self {
        Self {
            revision,
            absolute_end,
            length: record.len() as u64,
            digest: first_bytes(Sha256::digest(record).as_slice()),
        }
    }

    fn parse(key: &SessionKey, bytes: &[u8]) -> Option<Self> {
        let (content, check) = bytes.split_at_checked(HEAD - CHECK)?;
        let sound = content.starts_with(FORM) && check_of(key, content) == check;
        let head = Self {
            revision: Revision::from_number(number(&content[8..]))?,
            absolute_end: Timestamp::from_millis(number(&content[16..])),
            length: number(&content[24..]),
            digest: first_bytes(&content[32..]),
        };
        (sound && head.length <= config::MAX_FILE_RECORD as u64).then_some(head)
    }

    fn bytes(&self, key: &SessionKey) -> Vec<u8> {
        let mut bytes = FORM.to_vec();
        for number in [
            self.revision.number(),
            self.absolute_end.as_millis(),
            self.length,
        ] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(self.digest);
        with_check(key, bytes)
    }

    /// How long the whole file is.
    pub(super) fn file_length(&self) -> u64 {
        BEGINNING as u64 + self.length
    }

    /// Whether `record` is what was written with this head.
    pub(super) fn fits(&self, record: &[u8]) -> bool {
        record.len() as u64 == self.length
            && self.digest == first_bytes(Sha256::digest(record).as_slice())
    }
}

impl LastUse {
    /// Whether a session that was last used so has expired at `now`: the deadline is never past the absolute end.
    pub(super) fn is_over(self, now: Timestamp) -> bool {
        now >= self.idle_deadline
    }

    fn parse(key: &SessionKey, bytes: &[u8]) -> Option<Self> {
        let (content, check) = bytes.split_at_checked(PLACE - CHECK)?;
        let last_use = Self {
            activity: Timestamp::from_millis(number(content)),
            idle_deadline: Timestamp::from_millis(number(&content[8..])),
        };
        (check_of(key, content) == check).then_some(last_use)
    }

    pub(super) fn bytes(&self, key: &SessionKey) -> Vec<u8> {
        let numbers = [self.activity, self.idle_deadline];
        let bytes = numbers.map(|time| time.as_millis().to_be_bytes());
        with_check(key, bytes.concat())
    }

    /// The later of both, part by part: neither ever moves back.
    pub(super) fn later(self, other: Self) -> Self {
        Self {
            activity: self.activity.max(other.activity),
            idle_deadline: self.idle_deadline.max(other.idle_deadline),
        }
    }
}

/// A whole file.
pub(super) fn file(key: &SessionKey, head: &Head, last_use: &LastUse, record: &[u8]) -> Vec<u8> {
    let mut bytes = head.bytes(key);
    bytes.extend(last_use.bytes(key));
    bytes.resize(BEGINNING, 0);
    bytes.extend(record);
    bytes
}

/// Where the next last use goes, in a file that begins with `bytes`: not over the one that counts now.
pub(super) fn place_to_write(key: &SessionKey, bytes: &[u8], current: &LastUse) -> u64 {
    let [first, second] = PLACES;
    let first_counts = bytes
        .get(first..first + PLACE)
        .and_then(|bytes| LastUse::parse(key, bytes))
        .is_some_and(|found| found == *current);
    if first_counts {
        second as u64
    } else {
        first as u64
    }
}

fn with_check(key: &SessionKey, mut content: Vec<u8>) -> Vec<u8> {
    let check = check_of(key, &content);
    content.extend(check);
    content
}

/// Of the key too: a file under another's name fits nothing.
fn check_of(key: &SessionKey, content: &[u8]) -> [u8; CHECK] {
    let digest = Sha256::new()
        .chain_update(key.as_bytes())
        .chain_update(content)
        .finalize();
    first_bytes(digest.as_slice())
}

fn first_bytes<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut first = [0; N];
    first.copy_from_slice(&bytes[..N]);
    first
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(first_bytes(bytes))
}

/// The bytes before the record.
pub(super) const BEGINNING: usize = 128;
const FORM: &[u8; 8] = b"mcp-ses\x01";
const HEAD: usize = 64;
const CHECK: usize = 8;
const PLACES: [usize; 2] = [64, 88];
const PLACE: usize = 24;
/// Where the mark of an ended session is written.
pub(super) const MARK_AT: usize = 120;
pub(super) const MARK: &[u8; 8] = b"mcp-end\x01";

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &[u8] = b"{}";

    #[test]
    fn a_file_says_what_was_written_and_nothing_under_another_key() {
        let (head, last_use, bytes) = example();
        let (read, used) = alive(&key(), &bytes[..BEGINNING]).unwrap();
        assert_eq!(read.revision, head.revision);
        assert_eq!(read.absolute_end, head.absolute_end);
        assert_eq!(used, last_use);
        assert_eq!(read.file_length(), bytes.len() as u64);
        assert!(read.fits(RECORD) && !read.fits(b"[]") && !read.fits(b""));
        assert!(alive(&SessionKey::from([8; 32]), &bytes[..BEGINNING]).is_none());
    }

    #[test]
    fn a_touch_that_is_cut_short_anywhere_leaves_the_last_one() {
        let (_, mut last_use, mut bytes) = example();
        for round in 1..5 {
            let next = used(100 * round, 200 * round);
            let at = usize::try_from(place_to_write(&key(), &bytes, &last_use)).unwrap();
            let written = next.bytes(&key());
            for length in 0..=written.len() {
                let mut cut = bytes.clone();
                cut[at..at + length].copy_from_slice(&written[..length]);
                let (_, found) = alive(&key(), &cut[..BEGINNING]).expect("the session is there");
                assert!(
                    found == last_use || found == next,
                    "{found:?} after {length}"
                );
                if length == written.len() {
                    assert_eq!(found, next);
                }
            }
            bytes[at..at + PLACE].copy_from_slice(&written);
            last_use = next;
        }
    }

    #[test]
    fn any_part_of_a_mark_ends_a_session() {
        let (head, _, bytes) = example();
        for length in 1..=MARK.len() {
            let mut marked = bytes.clone();
            marked[MARK_AT..MARK_AT + length].copy_from_slice(&MARK[..length]);
            let found = Beginning::parse(&key(), &marked[..BEGINNING]);
            assert!(matches!(found, Beginning::Ended(Some(until)) if until == head.absolute_end));
        }
    }

    #[test]
    fn a_head_that_lost_a_byte_is_torn_and_not_absent() {
        let (_, _, bytes) = example();
        for at in 0..HEAD {
            let mut torn = bytes.clone();
            torn[at] ^= 1;
            let found = Beginning::parse(&key(), &torn[..BEGINNING]);
            assert!(matches!(found, Beginning::Torn), "byte {at}");
            torn[MARK_AT..BEGINNING].copy_from_slice(MARK);
            let found = Beginning::parse(&key(), &torn[..BEGINNING]);
            assert!(matches!(found, Beginning::Ended(None)), "byte {at}");
        }
        for length in 0..BEGINNING {
            let found = Beginning::parse(&key(), &bytes[..length]);
            assert!(matches!(found, Beginning::Torn), "{length} bytes");
        }
    }

    #[test]
    fn what_is_written_in_place_lies_in_one_sector() {
        assert!(PLACES[0] >= HEAD && PLACES[1] >= PLACES[0] + PLACE);
        assert!(MARK_AT >= PLACES[1] + PLACE && BEGINNING <= 512);
    }

    fn key() -> SessionKey {
        SessionKey::from([7; 32])
    }

    fn used(activity: u64, idle_deadline: u64) -> LastUse {
        LastUse {
            activity: Timestamp::from_millis(activity),
            idle_deadline: Timestamp::from_millis(idle_deadline),
        }
    }

    fn example() -> (Head, LastUse, Vec<u8>) {
        let head = Head::new(
            Revision::FIRST.next(),
            Timestamp::from_millis(9_999),
            RECORD,
        );
        let last_use = used(1, 2);
        (head, last_use, file(&key(), &head, &last_use, RECORD))
    }

    fn alive(key: &SessionKey, bytes: &[u8]) -> Option<(Head, LastUse)> {
        match Beginning::parse(key, bytes) {
            Beginning::Alive(head, last_use) => Some((head, last_use)),
            Beginning::Ended(_) | Beginning::Torn => None,
        }
    }
}
