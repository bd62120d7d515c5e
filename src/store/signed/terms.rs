//! The claims that say whether an id holds.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::claims::{Claims, Epoch, Owner, Standing};
use super::token::Token;
use crate::session::{OwnerTag, Timestamp};

/// What an id of this store's audience says of itself.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Terms {
    pub(super) issued: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) standing: Standing,
    pub(super) epoch: Option<Epoch>,
    pub(super) owner: Option<OwnerTag>,
}

impl Terms {
    /// What `token`, which is verified, says; `None` if it is for another audience, or says nothing of that kind.
    pub(super) fn read(token: &Token<'_>, audience: &str) -> Option<Self> {
        Self::at_the_beginning(token.claims, audience, USUAL)
            .or_else(|| Self::elsewhere(token, audience))
    }

    /// As [`Claims`] are written here: the first ones in their order. Each request looks at these, and reading the
    /// rest costs as much as the signature.
    fn at_the_beginning(claims: &[u8], audience: &str, length: usize) -> Option<Self> {
        // One that JSON writes in another way could be read as less, or as more, than the claim.
        let has_escapes = memchr::memchr2(b'"', b'\\', audience.as_bytes()).is_some();
        if has_escapes || audience.len() > LONGEST_AUDIENCE {
            return None;
        }
        let mut json = [0; BUFFER];
        // Base64 of so many bytes, of which each four characters stand for themselves.
        let characters = (length + audience.len()).div_ceil(3) * 4;
        let beginning = &claims[..characters.min(claims.len() & !3)];
        let length = URL_SAFE_NO_PAD.decode_slice(beginning, &mut json).ok()?;
        let mut text = Scan(&json[..length]);
        text.skip(br#"{"iat":"#)?;
        let issued = text.date()?;
        text.skip(br#","exp":"#)?;
        let expires = text.date()?;
        text.skip(br#","aud":""#)?;
        text.skip(audience.as_bytes())?;
        text.skip(br#"","st":""#)?;
        let standing = text.standing()?;
        let epoch = match text.skip(br#","epo":""#) {
            Some(()) => Some(Epoch::read(text.until_quote()?)?),
            None => None,
        };
        let owner = match text.skip(br#","own":""#) {
            Some(()) => Some(Owner::read(text.until_quote()?)?.0),
            None => None,
        };
        // All others come later.
        text.skip(br#","jti":""#)?;
        Some(Self {
            issued,
            expires,
            standing,
            epoch,
            owner,
        })
    }

    /// Further on, where they are long, or anywhere.
    #[cold]
    fn elsewhere(token: &Token<'_>, audience: &str) -> Option<Self> {
        Self::at_the_beginning(token.claims, audience, LONGEST)
            .or_else(|| Self::anywhere(token, audience))
    }

    /// As another library may write them.
    fn anywhere(token: &Token<'_>, audience: &str) -> Option<Self> {
        let json = token.json()?;
        let claims: Claims<'_> = serde_json::from_slice(&json).ok()?;
        (claims.audience() == audience).then(|| Self {
            issued: claims.issued(),
            expires: claims.expires(),
            standing: claims.standing(),
            epoch: claims.epoch(),
            owner: claims.owner(),
        })
    }
}

/// The rest of a text.
struct Scan<'a>(&'a [u8]);

impl<'a> Scan<'a> {
    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// Seconds, with up to three decimals, as milliseconds.
    fn date(&mut self) -> Option<Timestamp> {
        let (seconds, digits) = self.number();
        // As many as fit: more are a time that no id has.
        if !(1..=MAX_DIGITS).contains(&digits) {
            return None;
        }
        let Some((b'.', rest)) = self.0.split_first() else {
            return Some(Timestamp::from_millis(seconds * 1000));
        };
        self.0 = rest;
        let (decimals, digits) = self.number();
        let millis = match digits {
            1 => decimals * 100,
            2 => decimals * 10,
            3 => decimals,
            _ => return None,
        };
        Some(Timestamp::from_millis(seconds * 1000 + millis))
    }

    /// A number, and how many digits it has; of too many the number is wrong.
    fn number(&mut self) -> (u64, usize) {
        let (mut number, mut digits) = (0_u64, 0);
        while let Some((digit @ b'0'..=b'9', rest)) = self.0.split_first() {
            number = number
                .wrapping_mul(10)
                .wrapping_add(u64::from(digit - b'0'));
            digits += 1;
            self.0 = rest;
        }
        (number, digits)
    }

    fn standing(&mut self) -> Option<Standing> {
        if self.skip(br#"self""#).is_some() {
            return Some(Standing::Itself);
        }
        self.skip(br#"backed""#)?;
        Some(Standing::Backed)
    }

    /// What stands before the next quote, which is skipped too.
    fn until_quote(&mut self) -> Option<&'a [u8]> {
        let (text, rest) = self.0.split_at_checked(memchr::memchr(b'"', self.0)?)?;
        self.0 = &rest[1..];
        Some(text)
    }
}

/// So many bytes hold the first claims, beside the audience, with an owner or an epoch.
const USUAL: usize = 109;
/// So many hold them with both, and with the longest owner.
const LONGEST: usize = 148;
/// In bytes. One that is longer costs more time.
const LONGEST_AUDIENCE: usize = 100;
/// All of that, and what base64 comes in.
const BUFFER: usize = LONGEST + LONGEST_AUDIENCE + 2;
const MAX_DIGITS: usize = 12;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;
    use crate::protocol::ProtocolVersion;
    use crate::session::{Handshake, SessionRecord};
    use crate::store::signed::claims::Base64;

    /// In milliseconds. Later dates have more digits, and are left to JSON.
    const YEAR_2286: u64 = 10_000_000_000_000;

    fn record(issued: u64, expires: u64, owner: Option<OwnerTag>) -> SessionRecord {
        let handshake = Handshake::new(RawValue::NULL.to_owned(), ProtocolVersion::V2025_11_25);
        let moment = Timestamp::from_millis;
        SessionRecord::new(moment(issued), moment(expires), owner, Arc::new(handshake))
    }

    fn text(claims: &Claims<'_>) -> String {
        format!(
            "h.{}.s",
            URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).unwrap())
        )
    }

    proptest! {
        #[test]
        fn what_stands_at_the_beginning_is_what_the_claims_say(
            issued in 0..YEAR_2286,
            expires in 0..YEAR_2286,
            audience in "[ -~\u{e9}\u{1f980}]{0,110}",
            epoch in proptest::option::of(any::<[u8; 8]>()),
            owner in proptest::option::of((any::<[u8; 32]>(), any::<bool>())),
            backed in any::<bool>(),
        ) {
            let owner = owner.map(|(mut tag, short)| {
                // As this store makes them, or as another may.
                tag[20..].fill_with(|| if short { 0 } else { 7 });
                OwnerTag::from(tag)
            });
            let record = record(issued, expires, owner);
            let claims = match backed {
                true => Claims::backed([7; 16], &audience, &record),
                false => Claims::itself([7; 16], &audience, &record, None, epoch.map(Base64)),
            };
            let text = text(&claims);
            let token = Token::split(text.as_bytes());
            let anywhere = Terms::anywhere(&token, &audience);
            prop_assert!(anywhere.is_some());
            let has_escapes = audience.contains(['"', '\\']);
            let is_left = has_escapes || audience.len() > LONGEST_AUDIENCE;
            let expected = if is_left { None } else { anywhere };
            prop_assert_eq!(Terms::at_the_beginning(token.claims, &audience, LONGEST), expected);
        }

        #[test]
        fn no_claims_panic(claims in "[A-Za-z0-9_-]{0,400}", json in ".{0,200}") {
            let encoded = URL_SAFE_NO_PAD.encode(&json);
            for claims in [claims.as_bytes(), encoded.as_bytes()] {
                prop_assert!(Terms::at_the_beginning(claims, "/mcp", LONGEST).is_none());
            }
        }
    }

    #[test]
    fn what_is_written_in_another_way_is_left_to_json() {
        let good = r#"{"iat":1.5,"exp":2,"aud":"/mcp","st":"self","jti":"AAAAAAAAAAAAAAAAAAAAAA"}"#;
        let read = |json: &str| {
            Terms::at_the_beginning(URL_SAFE_NO_PAD.encode(json).as_bytes(), "/mcp", LONGEST)
                .is_some()
        };
        assert!(read(good));
        for (from, to) in [
            ("1.5", "1.2345"),
            ("1.5", "1."),
            ("1.5", "-1"),
            ("1.5", "1e3"),
            ("1.5", "1234567890123"),
            ("\"exp\"", " \"exp\""),
            ("/mcp", "/mcp2"),
            ("self", "none"),
            ("jti", "nbf"),
            ("\"jti", "\"epo\":\"short\",\"jti"),
        ] {
            assert!(!read(&good.replacen(from, to, 1)), "{from} {to}");
        }
    }
}
