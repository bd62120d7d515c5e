//! Records as JSON, and what a later version of this crate has added to them.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::config;
use crate::session::SessionRecord;
use crate::store::{StoreError, StoreErrorKind};

/// The record as JSON.
///
/// # Errors
///
/// [`StoreErrorKind::TooLarge`] if that is longer than the limit.
pub(super) fn to_json(record: &SessionRecord) -> Result<Vec<u8>, StoreError> {
    checked(serde_json::to_vec(record))
}

/// The record as JSON, with the fields of `old` that only a later version knows: during a rolling deploy the old
/// version must not take from a session what the new one has put there.
pub(super) fn to_json_after(record: &SessionRecord, old: &[u8]) -> Result<Vec<u8>, StoreError> {
    let json = to_json(record)?;
    let fields = serde_json::from_slice::<BTreeMap<String, &RawValue>>;
    let (Ok(mut all), Ok(known)) = (fields(old), fields(&json)) else {
        return Ok(json);
    };
    all.extend(known);
    checked(serde_json::to_vec(&all))
}

fn checked(json: serde_json::Result<Vec<u8>>) -> Result<Vec<u8>, StoreError> {
    let json = json.map_err(|error| StoreError::new(StoreErrorKind::Unsupported, error))?;
    if json.len() > config::MAX_FILE_RECORD {
        return Err(StoreErrorKind::TooLarge.into());
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn fields_of_a_later_version_survive_and_known_ones_are_replaced() {
        let old = json!({
            "schema": 2,
            "created": 1,
            "absolute_end": 9,
            "handshake": { "params": {}, "version": "2025-11-25" },
            "initialized": false,
            "later": { "deep": [1, 2] },
        });
        let old = serde_json::to_vec(&old).unwrap();
        let record: SessionRecord = serde_json::from_slice(&old).unwrap();
        let record = record.with_initialized(true);

        let new = to_json_after(&record, &old).unwrap();

        assert_eq!(
            serde_json::from_slice::<SessionRecord>(&new).unwrap(),
            record
        );
        let new: Value = serde_json::from_slice(&new).unwrap();
        assert_eq!(new["later"], json!({ "deep": [1, 2] }));
        assert_eq!(
            (&new["schema"], &new["initialized"]),
            (&json!(2), &json!(true))
        );
    }
}
