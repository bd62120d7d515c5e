//! Reads a record, and keeps what it does not know of it.
//!
//! By hand: what serde derives for such fields reads them into values of its own first, which changes large numbers
//! and cannot hold JSON text at all.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Handshake, SessionRecord};
use crate::session::{OwnerTag, Timestamp, Values};

impl<'de> Deserialize<'de> for SessionRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = SessionRecord;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a session record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SessionRecord, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key::<String>()? {
            fields.read(name, &mut map)?;
        }
        fields.into_record()
    }
}

/// What was read so far.
#[derive(Default)]
struct Fields {
    schema: Option<u16>,
    created: Option<Timestamp>,
    absolute_end: Option<Timestamp>,
    owner: Option<Option<Box<OwnerTag>>>,
    handshake: Option<Arc<Handshake>>,
    values: Option<Values>,
    initialized: Option<bool>,
    mapped: Option<bool>,
    suspended: Option<bool>,
    unknown: Values,
}

impl Fields {
    fn read<'de, A: MapAccess<'de>>(&mut self, name: String, map: &mut A) -> Result<(), A::Error> {
        match &*name {
            "schema" => once(&mut self.schema, "schema", map),
            "created" => once(&mut self.created, "created", map),
            "absolute_end" => once(&mut self.absolute_end, "absolute_end", map),
            "owner" => once(&mut self.owner, "owner", map),
            "handshake" => once(&mut self.handshake, "handshake", map),
            "values" => once(&mut self.values, "values", map),
            "initialized" => once(&mut self.initialized, "initialized", map),
            "mapped" => once(&mut self.mapped, "mapped", map),
            "suspended" => once(&mut self.suspended, "suspended", map),
            _ => {
                let value = map.next_value::<Box<RawValue>>()?;
                self.unknown.insert_raw(name, value);
                Ok(())
            }
        }
    }

    fn into_record<E: Error>(self) -> Result<SessionRecord, E> {
        let missing = |name| move || E::missing_field(name);
        Ok(SessionRecord {
            schema: self.schema.ok_or_else(missing("schema"))?,
            created: self.created.ok_or_else(missing("created"))?,
            absolute_end: self.absolute_end.ok_or_else(missing("absolute_end"))?,
            owner: self.owner.unwrap_or_default(),
            handshake: self.handshake.ok_or_else(missing("handshake"))?,
            values: self.values.unwrap_or_default(),
            initialized: self.initialized.unwrap_or_default(),
            mapped: self.mapped.unwrap_or_default(),
            suspended: self.suspended.unwrap_or_default(),
            unknown: self.unknown,
        })
    }
}

/// Reads a field that may come once: of two, nobody knows which is meant.
fn once<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    slot: &mut Option<T>,
    name: &'static str,
    map: &mut A,
) -> Result<(), A::Error> {
    if slot.is_some() {
        return Err(A::Error::duplicate_field(name));
    }
    *slot = Some(map.next_value()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = r#"{"schema":1,"created":1,"absolute_end":9,"owner":null,"handshake":{"params":{"a": 1},"version":"2025-11-25"},"values":{"n":1.50},"initialized":true,"mapped":false,"suspended":false}"#;
    const LIMITS: &str =
        r#""limits":{"big": 18446744073709551616, "precise": 0.10000000000000000001}"#;

    #[test]
    fn a_record_is_written_as_it_was_read() {
        let record: SessionRecord = serde_json::from_str(PLAIN).unwrap();
        assert_eq!(serde_json::to_string(&record).unwrap(), PLAIN);
    }

    #[test]
    fn what_a_later_version_wrote_survives_each_change() {
        let later = PLAIN.replacen(r#""schema":1"#, r#""schema":7"#, 1);
        let later = later.replacen('{', &format!(r#"{{{LIMITS},"note":null,"#), 1);
        let record: SessionRecord = serde_json::from_str(&later).unwrap();
        let changed = record
            .clone()
            .with_values(Values::default())
            .with_initialized(false)
            .with_suspended(true);
        let text = serde_json::to_string(&changed).unwrap();
        for kept in [
            LIMITS,
            r#""schema":7"#,
            r#""note":null"#,
            r#""suspended":true"#,
        ] {
            assert!(text.contains(kept), "{kept} is lost: {text}");
        }
        assert_eq!(
            serde_json::from_str::<SessionRecord>(&text).unwrap(),
            changed
        );
        let plain: SessionRecord = serde_json::from_str(PLAIN).unwrap();
        assert!(record != plain && record.size() > plain.size());
    }

    #[test]
    fn a_record_with_nothing_unknown_holds_no_map() {
        let record: SessionRecord = serde_json::from_str(PLAIN).unwrap();
        assert!(record.unknown.is_empty());
        assert_eq!(size_of_val(&record.unknown), size_of::<usize>());
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_not_a_default() {
        for (whole, broken) in [
            (r#""schema":1,"#, ""),
            (r#""created":1,"#, ""),
            (r#""absolute_end":9,"#, ""),
            (r#""mapped":false"#, r#""mapped":0"#),
            (r#""schema":1"#, r#""schema":65536"#),
            (r#""mapped":false"#, r#""mapped":false,"mapped":true"#),
        ] {
            let text = PLAIN.replacen(whole, broken, 1);
            assert_ne!(text, PLAIN);
            assert!(
                serde_json::from_str::<SessionRecord>(&text).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn fields_of_later_schemas_have_defaults() {
        let oldest = r#"{"schema":1,"created":1,"absolute_end":9,"handshake":{"params":{},"version":"2025-11-25"}}"#;
        let record: SessionRecord = serde_json::from_str(oldest).unwrap();
        assert!(record.owner().is_none() && record.values().is_empty() && !record.mapped());
    }
}
