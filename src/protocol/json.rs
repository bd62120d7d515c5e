//! Looks at single members of a JSON object and leaves the rest undecoded.
//!
//! What is not looked at goes through `IgnoredAny` or `RawValue`, which serde_json skips in a loop
//! with a byte of heap per level: no depth of nesting overflows the stack.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use memchr::{memchr, memmem};
use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Why a member could not be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonError {
    /// The text is not JSON, or not an object where one must be.
    Invalid,
    /// The object has the member twice, so that two readers may see two values.
    Duplicate,
}

/// The wanted members of an object, in the order they were asked for.
#[derive(Debug)]
pub(super) struct Members<'a, const N: usize> {
    pub(super) values: [Option<&'a RawValue>; N],
    /// Whether one of them is there twice.
    pub(super) has_duplicate: bool,
}

impl<'a, const N: usize> Members<'a, N> {
    /// Reads the members called `names` of the object that is the whole of `text`.
    pub(super) fn read(text: &'a str, names: [&str; N]) -> Result<Self, JsonError> {
        let mut json = serde_json::Deserializer::from_str(text);
        json.deserialize_map(Names(names))
            .and_then(|members| json.end().map(|()| members))
            .map_err(|_| JsonError::Invalid)
    }
}

/// The member `name` of `value`; `None` if it has none or is not an object.
pub(super) fn member<'a>(
    value: &'a RawValue,
    name: &str,
) -> Result<Option<&'a RawValue>, JsonError> {
    let text = value.get();
    let may_be_there = || {
        memmem::find(text.as_bytes(), name.as_bytes()).is_some()
            || memchr(b'\\', text.as_bytes()).is_some()
    };
    if !text.starts_with('{') || !may_be_there() {
        return Ok(None);
    }
    let members = Members::read(text, [name])?;
    match members.values {
        [_] if members.has_duplicate => Err(JsonError::Duplicate),
        [value] => Ok(value),
    }
}

/// The decoded text of `value`, if it is a string.
pub(super) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let text: Text<'_> = serde_json::from_str(value.get()).ok()?;
    Some(text.0)
}

/// `value` in one form for equal content: without the member `name`, members sorted if it is an
/// object, no white space. Of a member that is there twice the last stays, as in JavaScript.
pub(super) fn normalized_without(value: &RawValue, name: &str) -> Option<Box<RawValue>> {
    let mut text = Cow::Borrowed(value.get());
    if text.starts_with('{') {
        let mut members: BTreeMap<String, &RawValue> = serde_json::from_str(value.get()).ok()?;
        members.remove(name);
        text = Cow::Owned(serde_json::to_string(&members).ok()?);
    }
    RawValue::from_string(without_white_space(&text)).ok()
}

/// `json` without the white space between its tokens.
fn without_white_space(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let is_kept = |char: &char| {
        let is_quote = *char == '"' && !escaped;
        escaped = in_string && *char == '\\' && !escaped;
        in_string ^= is_quote;
        in_string || is_quote || !char.is_ascii_whitespace()
    };
    json.chars().filter(is_kept).collect()
}

/// A string, borrowed unless it has escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

struct Names<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> Visitor<'de> for Names<'_, N> {
    type Value = Members<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut values, mut has_duplicate) = ([None; N], false);
        while let Some(Text(key)) = map.next_key()? {
            match self.0.iter().position(|name| *name == key) {
                Some(wanted) => {
                    let earlier = values[wanted].replace(map.next_value::<&RawValue>()?);
                    has_duplicate |= earlier.is_some();
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Members {
            values,
            has_duplicate,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn member_is_found_by_its_decoded_name() {
        let found = |json| member(raw(json), "a/b").map(|value| value.map(RawValue::get));
        assert_eq!(found(r#"{"x":{"a/b":1},"a/b": [2] }"#), Ok(Some("[2]")));
        assert_eq!(found(r#"{"a\/b":null}"#), Ok(Some("null")));
        assert_eq!(found(r#"{"\u0061/b":true}"#), Ok(Some("true")));
        assert_eq!(found(r#"{"x":{"a/b":1}}"#), Ok(None));
        assert_eq!(found(r#"["a/b"]"#), Ok(None));
        assert_eq!(found(r#"{"a/b":1,"a\/b":1}"#), Err(JsonError::Duplicate));
        assert_eq!(found(r#"{"\ud800":1,"a/b":1}"#), Err(JsonError::Invalid));
    }

    #[test]
    fn white_space_goes_only_between_tokens() {
        let normalized = |json| {
            normalized_without(raw(json), "_meta")
                .unwrap()
                .get()
                .to_owned()
        };
        assert_eq!(
            normalized("{ \"b\" : [ 1.50 , \"x y\" ] ,\r\n\t\"a\":\"\" }"),
            r#"{"a":"","b":[1.50,"x y"]}"#
        );
        assert_eq!(
            normalized(r#"{"a":"\\" , "_meta":{"x":1}, "b":"\" \\\" " }"#),
            r#"{"a":"\\","b":"\" \\\" "}"#
        );
        assert_eq!(normalized(r#"{"\u005fmeta":1}"#), "{}");
        assert_eq!(normalized("[ 1, 2 ]"), "[1,2]");
    }

    proptest! {
        #[test]
        fn normalized_value_means_the_same(pairs in prop::collection::vec(("[a-c\"\\\\ é]{0,3}|_meta", "[\"\\\\ \t\u{e9}x]{0,6}"), 0..6)) {
            let object: serde_json::Map<String, Value> =
                pairs.into_iter().map(|(key, text)| (key, Value::from(vec![text]))).collect();
            let pretty = serde_json::to_string_pretty(&object).unwrap();
            let normalized = normalized_without(raw(&pretty), "_meta").unwrap();
            let mut expected = object;
            expected.remove("_meta");
            prop_assert_eq!(normalized.get(), serde_json::to_string(&expected).unwrap());
        }
    }
}
