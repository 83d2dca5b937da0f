//! An object of a document of which some fields are read or changed: all others stay the bytes they are, and are never parsed.
//!
//! A field is found by the folding of [`fields::is_same`], as those find it who read the document, and changed under the
//! spelling that is there.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::fields;
use crate::error::{Error, ErrorKind, Result};

/// Keys and values in the order of the document; of a key given twice, the last value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    /// The value of a field, as written.
    pub(crate) fn raw(&self, name: &str) -> Option<&RawValue> {
        self.place(name).map(|place| &*self.0[place].1)
    }

    /// What a field says; `None` where it is absent or something else.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.raw(name)?.get()).ok()
    }

    /// Sets a field where it stands, a new one at the end.
    pub(crate) fn set(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<()> {
        // Nothing that is set nests deeper than what was read, or has keys that are no texts.
        let value = to_raw_value(value).map_err(|error| malformed(name).because(error))?;
        match self.place(name) {
            Some(place) => self.0[place].1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
        Ok(())
    }

    /// Changes what a field says, from the empty value where it is absent or null; one that is something else is refused.
    pub(crate) fn edit<T, R>(&mut self, name: &str, change: impl FnOnce(&mut T) -> Result<R>) -> Result<R>
    where
        T: DeserializeOwned + Serialize + Default,
    {
        let known = self.raw(name).map_or("null", RawValue::get);
        let known: Option<T> = serde_json::from_str(known).map_err(|_| malformed(name))?;
        let mut value = known.unwrap_or_default();
        let done = change(&mut value)?;
        self.set(name, &value).map(|()| done)
    }

    /// Takes a field away, in any spelling.
    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| !fields::is_same(name, key));
    }

    /// Where a field is: as it is named, else as others spell it, and of those the last.
    fn place(&self, name: &str) -> Option<usize> {
        let exact = self.0.iter().position(|(key, _)| key == name);
        exact.or_else(|| self.0.iter().rposition(|(key, _)| fields::is_same(name, key)))
    }
}

/// What is said of a field of the config that a new one is made of.
pub(crate) fn malformed(field: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("the parent's config: {field} is not what it should be"))
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<Object, A::Error> {
                let (mut all, mut places) = (Vec::new(), HashMap::new());
                while let Some((key, value)) = entries.next_entry::<String, Box<RawValue>>()? {
                    match places.get(&key) {
                        Some(&place) => all[place] = (key, value),
                        None => {
                            places.insert(key.clone(), all.len());
                            all.push((key, value));
                        }
                    }
                }
                Ok(Object(all))
            }
        }
        from.deserialize_map(Fields)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        serde_json::from_str(text).expect("an object")
    }

    #[test]
    fn a_field_is_found_in_any_spelling_and_changed_under_that_and_what_is_not_changed_stays() {
        let mut it =
            object(r#"{ "x" : [1.50, {"k" : 1e999}], "env":["A=1"], "la\u0062els": null, "OnBuild":1,"onbuild":2}"#);
        assert_eq!(it.read::<Vec<String>>("Env").expect("there"), ["A=1"]);
        assert_eq!((it.read::<u8>("Env"), it.read::<u8>("Cmd")), (None, None));
        assert_eq!(it.read::<u8>("OnBuild"), Some(1), "its own name before all others");
        it.edit("Env", |env: &mut Vec<String>| {
            env.push("B=2".into());
            Ok(())
        })
        .expect("a list");
        it.edit("Labels", |labels: &mut Vec<u8>| {
            labels.push(1);
            Ok(())
        })
        .expect("null is nothing");
        it.set("Cmd", &["sh"]).expect("set");
        it.remove("OnBuild");
        let text = serde_json::to_string(&it).expect("text");
        assert_eq!(text, r#"{"x":[1.50, {"k" : 1e999}],"env":["A=1","B=2"],"labels":[1],"Cmd":["sh"]}"#);
        let error = it.edit("ENV", |_: &mut Object| Ok(())).expect_err("a list is no object");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn of_a_key_given_twice_the_last_value_counts_where_the_first_stood() {
        let text = serde_json::to_string(&object(r#"{"a":1,"b":2,"a":3}"#)).expect("text");
        assert_eq!(text, r#"{"a":3,"b":2}"#);
        assert!(serde_json::from_str::<Object>("[]").is_err());
    }
}
