//! [`ProtocolVersion`]: the revisions of MCP, and which of them have sessions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A revision of the Model Context Protocol, named by its date.
///
/// Versions are ordered by date, so "from 2025-11-25 on" is a comparison. Any date can be held,
/// also of a revision this crate has never heard of.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::ProtocolVersion;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let version: ProtocolVersion = "2025-11-25".parse()?;
///
/// assert_eq!(version, ProtocolVersion::V2025_11_25);
/// assert!(version.has_sessions());
/// assert!(!ProtocolVersion::V2026_07_28.has_sessions());
/// assert_eq!(version.to_string(), "2025-11-25");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion {
    // In this order the derived comparison is the one of dates.
    year: u16,
    month: u8,
    day: u8,
}

impl ProtocolVersion {
    /// The first published revision.
    pub const V2024_11_05: Self = Self::new(2024, 11, 5);
    /// The revision that brought Streamable HTTP, sessions and batches.
    pub const V2025_03_26: Self = Self::new(2025, 3, 26);
    /// The revision that brought the version header and removed batches.
    pub const V2025_06_18: Self = Self::new(2025, 6, 18);
    /// The last revision with sessions.
    pub const V2025_11_25: Self = Self::new(2025, 11, 25);
    /// The first revision without sessions.
    pub const V2026_07_28: Self = Self::new(2026, 7, 28);

    /// What a client speaks if neither its request nor its session names a version.
    // 2025-11-25, Transports, Protocol Version Header
    pub const ASSUMED: Self = Self::V2025_03_26;

    const fn new(year: u16, month: u8, day: u8) -> Self {
        Self { year, month, day }
    }

    /// Reads a version of the exact form `YYYY-MM-DD`, or returns `None`.
    ///
    /// The month is at most 12 and the day at most 31; a calendar is not consulted.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_mcp_session::ProtocolVersion;
    ///
    /// assert_eq!(ProtocolVersion::parse("2025-06-18"), Some(ProtocolVersion::V2025_06_18));
    /// assert_eq!(ProtocolVersion::parse("2025-6-18"), None);
    /// assert_eq!(ProtocolVersion::parse("latest"), None);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_bytes(text.as_bytes())
    }

    pub(crate) fn from_bytes(text: &[u8]) -> Option<Self> {
        // Each request says its version, and nearly all say one of these.
        match text {
            b"2025-11-25" => return Some(Self::V2025_11_25),
            b"2025-06-18" => return Some(Self::V2025_06_18),
            b"2026-07-28" => return Some(Self::V2026_07_28),
            _ => {}
        }
        let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else {
            return None;
        };
        let digits = [y1, y2, y3, y4, m1, m2, d1, d2];
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let [y1, y2, y3, y4, m1, m2, d1, d2] = digits.map(|digit| digit - b'0');
        let year = 100 * u16::from(10 * y1 + y2) + u16::from(10 * y3 + y4);
        let (month, day) = (10 * m1 + m2, 10 * d1 + d2);
        let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
        is_date.then_some(Self::new(year, month, day))
    }

    /// Whether this revision has sessions: all before 2026-07-28 do.
    #[must_use]
    pub fn has_sessions(self) -> bool {
        self < Self::V2026_07_28
    }

    /// Whether this is one of the four published revisions with sessions.
    #[must_use]
    pub fn is_known_legacy(self) -> bool {
        matches!(
            self,
            Self::V2025_11_25 | Self::V2025_06_18 | Self::V2025_03_26 | Self::V2024_11_05
        )
    }

    /// Whether a body may be a JSON-RPC batch: only before 2025-06-18.
    pub(crate) fn has_batches(self) -> bool {
        self < Self::V2025_06_18
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl FromStr for ProtocolVersion {
    type Err = InvalidProtocolVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or(InvalidProtocolVersion(()))
    }
}

impl Serialize for ProtocolVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ProtocolVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = ProtocolVersion;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a protocol version of the form YYYY-MM-DD")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

/// The error of parsing a [`ProtocolVersion`] from a text that is not a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("protocol version is not of the form YYYY-MM-DD")]
pub struct InvalidProtocolVersion(());

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_exact_form_is_a_version() {
        for text in [
            "2024-11-05",
            "2025-11-25",
            "2026-07-28",
            "2031-12-31",
            "0000-01-01",
        ] {
            let version = ProtocolVersion::parse(text).unwrap();
            assert_eq!(version.to_string(), text);
        }
        for text in [
            "",
            "latest",
            "2025-6-18",
            "2025-06-18 ",
            " 2025-06-18",
            "2025-06-018",
            "2025/06/18",
            "2025-13-01",
            "2025-00-01",
            "2025-01-00",
            "2025-01-32",
            "+025-01-01",
            "2025-06-1٣",
            "20250618",
            "DRAFT-2026-v1",
            "2025-06-18, 2025-06-18",
        ] {
            assert_eq!(ProtocolVersion::parse(text), None, "{text}");
        }
    }

    #[test]
    fn sessions_end_with_2026_07_28() {
        let sessions_and_known = |text: &str| {
            let version = ProtocolVersion::parse(text).unwrap();
            (version.has_sessions(), version.is_known_legacy())
        };
        for known in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
            assert_eq!(sessions_and_known(known), (true, true), "{known}");
        }
        assert_eq!(sessions_and_known("1999-01-01"), (true, false));
        assert_eq!(sessions_and_known("2026-07-27"), (true, false));
        assert_eq!(sessions_and_known("2026-07-28"), (false, false));
        assert_eq!(sessions_and_known("2027-01-01"), (false, false));
    }

    #[test]
    fn batches_end_with_2025_06_18() {
        assert!(ProtocolVersion::ASSUMED.has_batches());
        assert!(!ProtocolVersion::V2025_06_18.has_batches());
    }

    #[test]
    fn json_form_is_the_text() {
        let json = serde_json::to_string(&ProtocolVersion::V2025_06_18).unwrap();
        assert_eq!(json, r#""2025-06-18""#);
        let version: ProtocolVersion = serde_json::from_str(r#""2025-\u00306-18""#).unwrap();
        assert_eq!(version, ProtocolVersion::V2025_06_18);
        assert!(serde_json::from_str::<ProtocolVersion>(r#""soon""#).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*", date in "[0-9]{4}-[0-9]{2}-[0-9]{2}") {
            let _ = ProtocolVersion::parse(&text);
            if let Some(version) = ProtocolVersion::parse(&date) {
                prop_assert_eq!(version.to_string(), date);
            }
        }

        #[test]
        fn order_is_the_order_of_the_texts(a in "20[0-9]{2}-0[1-9]-[12][0-9]", b in "20[0-9]{2}-1[0-2]-[12][0-9]") {
            let (left, right) = (ProtocolVersion::parse(&a).unwrap(), ProtocolVersion::parse(&b).unwrap());
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
        }
    }
}
