//! What an id says: the claims of a JSON Web Token (RFC 7519), and the record that they stand for.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

use super::initialize::expand;
use super::ready::TAG_LEN;
use crate::protocol::ProtocolVersion;
use crate::session::{Handshake, OwnerTag, SessionRecord, Timestamp};

/// The claims of an id. Names, meanings and order are fixed: ids outlive versions, and [`Terms`](super::terms::Terms)
/// looks at the first ones where they stand.
#[derive(Serialize, Deserialize)]
pub(super) struct Claims<'a> {
    iat: NumericDate,
    exp: NumericDate,
    /// The endpoint that the session belongs to.
    #[serde(borrow)]
    aud: Text<'a>,
    st: Standing,
    /// The process that minted the id, if its list of ended ids ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epo: Option<Epoch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    own: Option<Owner>,
    jti: Base64<16>,
    /// The negotiated version; this and what follows only where nobody else keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ver: Option<ProtocolVersion>,
    /// Whether the client had finished the handshake.
    #[serde(default, skip_serializing_if = "is_false")]
    rdy: bool,
    /// Whether the inner service minted an id of its own.
    #[serde(default, skip_serializing_if = "is_false")]
    map: bool,
    /// What the client said at initialize, if it is what nearly all say.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    ini: Option<&'a RawValue>,
    /// What any other client said there.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    par: Option<&'a RawValue>,
}

/// Where the session of an id lives.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(super) enum Standing {
    /// In the id: that is all there is.
    #[serde(rename = "self")]
    Itself,
    /// In a store behind the id.
    #[serde(rename = "backed")]
    Backed,
}

/// 64 random bits that name a process.
pub(super) type Epoch = Base64<8>;

/// So many bytes, in the one spelling that base64url without padding has for them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Base64<const N: usize>(pub(super) [u8; N]);

/// Seconds since the epoch, with milliseconds as decimals where there are some (RFC 7519, 2).
#[derive(Clone, Copy)]
struct NumericDate(Timestamp);

/// The tag of an owner, without the zeros at the end of those that this store makes.
#[derive(Clone, Copy)]
pub(super) struct Owner(pub(super) OwnerTag);

/// A string, borrowed unless it has escapes.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Claims<'a> {
    /// The claims of an id whose session lives in a store behind it.
    pub(super) fn backed(jti: [u8; 16], audience: &'a str, record: &SessionRecord) -> Self {
        Self {
            iat: NumericDate(record.created()),
            exp: NumericDate(record.absolute_end()),
            aud: Text(Cow::Borrowed(audience)),
            st: Standing::Backed,
            epo: None,
            own: record.owner().map(|tag| Owner(*tag)),
            jti: Base64(jti),
            ver: None,
            rdy: false,
            map: false,
            ini: None,
            par: None,
        }
    }

    /// The claims of an id that is all there is of its session.
    pub(super) fn itself(
        jti: [u8; 16],
        audience: &'a str,
        record: &'a SessionRecord,
        short: Option<&'a RawValue>,
        epoch: Option<Epoch>,
    ) -> Self {
        Self {
            st: Standing::Itself,
            epo: epoch,
            ver: Some(record.handshake().version()),
            rdy: record.initialized(),
            map: record.mapped(),
            ini: short,
            par: short.is_none().then(|| record.handshake().params()),
            ..Self::backed(jti, audience, record)
        }
    }

    pub(super) fn issued(&self) -> Timestamp {
        self.iat.0
    }

    pub(super) fn expires(&self) -> Timestamp {
        self.exp.0
    }

    pub(super) fn audience(&self) -> &str {
        &self.aud.0
    }

    pub(super) fn standing(&self) -> Standing {
        self.st
    }

    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.epo
    }

    pub(super) fn owner(&self) -> Option<OwnerTag> {
        self.own.map(|owner| owner.0)
    }

    /// The record that they stand for; `None` if they leave out a part of it.
    pub(super) fn record(&self) -> Option<SessionRecord> {
        let version = self.ver?;
        let params = match self.ini {
            Some(short) => expand(short, version)?,
            // Null, as an initialize without any has, is nothing to serde.
            None => self.par.unwrap_or(RawValue::NULL).to_owned(),
        };
        let handshake = Handshake::new(params, version);
        let record = SessionRecord::new(self.iat.0, self.exp.0, self.owner(), Arc::new(handshake));
        Some(record.with_initialized(self.rdy).with_mapped(self.map))
    }
}

impl Serialize for NumericDate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = self.0.as_millis();
        if millis.is_multiple_of(1000) {
            serializer.serialize_u64(millis / 1000)
        } else {
            serializer.serialize_f64(millis as f64 / 1000.0)
        }
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        // Up to there a millisecond is told from the next one.
        if !(0.0..=LATEST).contains(&seconds) {
            return Err(de::Error::custom("a time that no id has"));
        }
        let millis = (seconds * 1000.0).round() as u64;
        Ok(Self(Timestamp::from_millis(millis)))
    }
}

impl<const N: usize> Serialize for Base64<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Base64<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        let bytes = Self::read(text.0.as_bytes());
        bytes.ok_or_else(|| de::Error::custom("not so many bytes in base64url"))
    }
}

impl<const N: usize> Base64<N> {
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; N];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes);
        (length == Ok(N)).then_some(Self(bytes))
    }
}

impl Serialize for Owner {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_bytes().split_first_chunk::<TAG_LEN>() {
            Some((tag, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])) => Base64(*tag).serialize(serializer),
            _ => Base64(*self.0.as_bytes()).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        let owner = Self::read(text.0.as_bytes());
        owner.ok_or_else(|| de::Error::custom("not a tag in base64url"))
    }
}

impl Owner {
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let mut tag = [0; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut tag);
        let whole = length == Ok(TAG_LEN) || length == Ok(tag.len());
        whole.then(|| Self(OwnerTag::from(tag)))
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// In seconds: 2 to the 40, the year 36 812.
const LATEST: f64 = (1_u64 << 40) as f64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_millisecond_survives_as_a_number_of_seconds(millis in 0_u64..(1 << 40) * 1000) {
            let date = NumericDate(Timestamp::from_millis(millis));
            let json = serde_json::to_string(&date).unwrap();
            let back: NumericDate = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(back.0.as_millis(), millis);
        }

        #[test]
        fn no_number_panics(seconds in any::<f64>()) {
            let _: Result<NumericDate, _> = serde_json::from_str(&seconds.to_string());
        }
    }

    #[test]
    fn bytes_have_one_spelling() {
        let spellings = [
            ("AAE", true),
            ("AAF", false),
            ("AAE=", false),
            ("AA", false),
        ];
        for (text, expected) in spellings {
            assert_eq!(
                Base64::<2>::read(text.as_bytes()).is_some(),
                expected,
                "{text}"
            );
        }
    }
}
