//! The values of a session: names and JSON, bounded in bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Named JSON values of one session.
///
/// A copy is cheap until it is changed. The size that limits speak of is the sum of all names and JSON texts, in
/// bytes.
///
/// # Examples
///
/// ```
/// use tower_mcp_session::Values;
///
/// let mut values = Values::default();
/// values.insert("count", &3)?;
/// assert_eq!(values.get::<u32>("count")?, Some(3));
/// assert_eq!(values.size(), "count3".len());
/// # Ok::<(), tower_mcp_session::ValuesError>(())
/// ```
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Values(Option<Arc<BTreeMap<String, Box<RawValue>>>>);

impl Values {
    /// The value called `name`, decoded as a `T`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`ValuesError`] if the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ValuesError> {
        let Some(json) = self.0.as_ref().and_then(|map| map.get(name)) else {
            return Ok(None);
        };
        serde_json::from_str(json.get())
            .map(Some)
            .map_err(ValuesError::from)
    }

    /// Stores `value` under `name`, in place of what was there.
    ///
    /// # Errors
    ///
    /// [`ValuesError`] if `value` cannot be written as JSON.
    pub fn insert<T: Serialize + ?Sized>(
        &mut self,
        name: impl Into<String>,
        value: &T,
    ) -> Result<(), ValuesError> {
        let json = serde_json::value::to_raw_value(value).map_err(ValuesError::from)?;
        self.map_mut().insert(name.into(), json);
        Ok(())
    }

    /// Removes the value called `name`; says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        if !self.contains(name) {
            return false;
        }
        let removed = self.map_mut().remove(name).is_some();
        if self.is_empty() {
            self.clear();
        }
        removed
    }

    /// Removes all values.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// Takes in all of `other`, in place of what has the same names here.
    pub fn extend(&mut self, other: &Self) {
        for (name, json) in other.0.iter().flat_map(|map| map.iter()) {
            self.map_mut().insert(name.clone(), json.clone());
        }
    }

    /// Whether there is a value called `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.0.as_ref().is_some_and(|map| map.contains_key(name))
    }

    /// The names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|map| map.keys().map(String::as_str))
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |map| map.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of all names and JSON texts together.
    pub fn size(&self) -> usize {
        self.0
            .iter()
            .flat_map(|map| map.iter())
            .map(|(name, json)| name.len() + json.get().len())
            .sum()
    }

    /// Stores JSON text as it is.
    pub(super) fn insert_raw(&mut self, name: String, json: Box<RawValue>) {
        self.map_mut().insert(name, json);
    }

    fn map_mut(&mut self) -> &mut BTreeMap<String, Box<RawValue>> {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

/// Shows how much there is, not what: values may be anybody's secrets.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values")
            .field("len", &self.len())
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

/// Equal if the names and the JSON texts are.
impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        let texts = |values: &'_ Self| -> Vec<(String, String)> {
            values
                .0
                .iter()
                .flat_map(|map| map.iter())
                .map(|(n, v)| (n.clone(), v.get().to_owned()))
                .collect()
        };
        texts(self) == texts(other)
    }
}

/// A value could not be written as JSON, or is not of the type that was asked for.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a session value does not fit its type")]
pub struct ValuesError {
    // Not the error itself: its text quotes the value.
    category: serde_json::error::Category,
    line: usize,
    column: usize,
}

impl ValuesError {
    /// Where in the JSON text of the value the fault is: line and column, from 1; 0 where there is no text.
    pub fn position(&self) -> (usize, usize) {
        (self.line, self.column)
    }
}

impl From<serde_json::Error> for ValuesError {
    fn from(error: serde_json::Error) -> Self {
        Self {
            category: error.classify(),
            line: error.line(),
            column: error.column(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_does_not_see_later_changes() {
        let mut values = Values::default();
        values.insert("a", &1).unwrap();
        let copy = values.clone();
        values.insert("a", &2).unwrap();
        assert_eq!(copy.get::<i32>("a").unwrap(), Some(1));
        assert_eq!(values.get::<i32>("a").unwrap(), Some(2));
    }

    #[test]
    fn the_last_removal_frees_the_map() {
        let mut values = Values::default();
        values.insert("\u{1f980} odd \" name", &"v").unwrap();
        assert!(values.remove("\u{1f980} odd \" name"));
        assert!(values.0.is_none() && !values.remove("x"));
    }

    #[test]
    fn a_value_of_another_type_is_an_error_and_not_none() {
        let mut values = Values::default();
        values.insert("a", &"text").unwrap();
        assert!(values.get::<u8>("a").is_err());
        assert!(values.get::<u8>("b").unwrap().is_none());
    }

    #[test]
    fn neither_values_nor_their_errors_show_what_they_hold() {
        let mut values = Values::default();
        values.insert("a", &"swordfish").unwrap();
        let error = values.get::<u8>("a").unwrap_err();
        let text = format!("{values:?} {error:?} {error}");
        assert!(!text.contains("swordfish"), "{text}");
        assert!(std::error::Error::source(&error).is_none());
        assert_eq!(error.position().0, 1);
    }
}
