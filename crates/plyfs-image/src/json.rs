//! JSON documents from outside, read so that everybody must read them alike.
//!
//! What is wrong anywhere in a document is found when it comes in, also in fields that are not looked at: one that is kept as
//! received goes out again to programs that do look.

pub(crate) mod fields;
pub(crate) mod object;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::error::{Error, ErrorKind, Result, bounded, shown};
use crate::layout::MAX_ITEMS;
use fields::Kind;

/// Reads one JSON object of this kind; `what` names it in errors, which say the field too: `layers[0].size`.
///
/// Nesting is bounded by serde_json, size by who read the bytes, lists and objects by [`MAX_ITEMS`]. A key given twice in one object, a text that is not UTF-8 and
/// a number that no program can hold are errors wherever they are; so is, in the place of a field of this kind, what others
/// take for that field.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str, kind: &'static Kind) -> Result<T> {
    // serde would take the values of a struct in a row for one.
    read(bytes, what, Outer::Object, kind)
}

/// Reads what is asked of a document that is in the store already: one that came in by other means, or with an earlier version,
/// may say what it likes in fields that nobody reads.
pub(crate) fn parse_stored<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    one(bytes).map_err(|why| Error::new(ErrorKind::InvalidInput, format!("{what}: {why}")))
}

/// Reads a list of JSON values, as [`parse`] does an object.
pub(crate) fn parse_list<T: DeserializeOwned>(bytes: &[u8], what: &str, kind: &'static Kind) -> Result<Vec<T>> {
    read(bytes, what, Outer::List, kind)
}

fn read<T: DeserializeOwned>(bytes: &[u8], what: &str, outer: Outer, kind: &'static Kind) -> Result<T> {
    let malformed = |why: String| Error::new(ErrorKind::InvalidInput, format!("{what}: {why}"));
    if walked(bytes, Sound(kind)).map_err(malformed)? != outer {
        return Err(malformed(format!("no JSON {outer}")));
    }
    one(bytes).map_err(malformed)
}

/// Reads one value and nothing behind it.
fn one<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> std::result::Result<T, String> {
    walked(bytes, PhantomData)
}

/// The same, by a seed.
fn walked<'a, S: DeserializeSeed<'a>>(bytes: &'a [u8], seed: S) -> std::result::Result<S::Value, String> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let mut track = serde_path_to_error::Track::new();
    let value = seed.deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track)).map_err(|error| {
        let path = track.path();
        let field = match path.iter().next() {
            Some(_) => format!("{}: ", bounded(&path.to_string())),
            None => String::new(),
        };
        format!("{field}{}", bounded(&error.to_string()))
    })?;
    json.end().map_err(|error| error.to_string())?;
    Ok(value)
}

/// What a document is at its outermost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outer {
    Object,
    List,
    Other,
}

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "object",
            Self::List => "list",
            Self::Other => "other value",
        })
    }
}

/// Looks at a value of this kind to its end.
#[derive(Clone, Copy)]
struct Sound(&'static Kind);

impl<'de> DeserializeSeed<'de> for Sound {
    type Value = Outer;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> std::result::Result<Outer, D::Error> {
        from.deserialize_any(self)
    }
}

/// A key, borrowed from the document where that has it without escapes.
#[derive(PartialEq, Eq, Hash)]
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> std::result::Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> std::result::Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        from.deserialize_str(Text)
    }
}

impl Sound {
    #[expect(clippy::unnecessary_wraps, reason = "what serde asks for")]
    fn other<E>() -> std::result::Result<Outer, E> {
        Ok(Outer::Other)
    }

    /// What the value of a key is, unless the key is one that others read as another, or as one that was there; `had` are the
    /// fields before it, each with its key.
    fn below(self, key: &str, had: &mut Vec<(&'static str, String)>) -> std::result::Result<&'static Kind, String> {
        let Some((name, kind)) = self.0.field(key) else { return Ok(&Kind::Any) };
        if key != name && matches!(self.0, Kind::Object(_)) {
            return Err(format!("key {}, which others read as {}", shown(key), shown(name)));
        }
        if let Some((_, before)) = had.iter().find(|(field, _)| *field == name) {
            return Err(format!("keys {} and {}, which are the same to others", shown(before), shown(key)));
        }
        had.push((name, key.to_owned()));
        Ok(kind)
    }
}

impl<'de> Visitor<'de> for Sound {
    type Value = Outer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> std::result::Result<Outer, E> {
        Self::other()
    }

    fn visit_bool<E>(self, _: bool) -> std::result::Result<Outer, E> {
        Self::other()
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<Outer, E> {
        Self::other()
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<Outer, E> {
        Self::other()
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<Outer, E> {
        Self::other()
    }

    fn visit_str<E>(self, _: &str) -> std::result::Result<Outer, E> {
        Self::other()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> std::result::Result<Outer, A::Error> {
        let item = match self.0 {
            Kind::Any => self,
            Kind::List(kind) => Self(kind),
            Kind::Object(_) | Kind::ByHand(_) => return Err(A::Error::custom("no JSON object")),
        };
        let mut count = 0;
        while values.next_element_seed(item)?.is_some() {
            count += 1;
            if count > MAX_ITEMS {
                return Err(A::Error::custom(format!("more than {MAX_ITEMS} items in one list")));
            }
        }
        Ok(Outer::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<Outer, A::Error> {
        let (mut keys, mut fields) = (HashSet::new(), Vec::new());
        while let Some(key) = entries.next_key::<Key<'de>>()? {
            if keys.len() == MAX_ITEMS {
                return Err(A::Error::custom(format!("more than {MAX_ITEMS} keys in one object")));
            }
            if keys.contains(&key) {
                return Err(A::Error::custom(format!("duplicate key {}", shown(&*key.0))));
            }
            let kind = self.below(&key.0, &mut fields).map_err(A::Error::custom)?;
            keys.insert(key);
            entries.next_value_seed(Self(kind))?;
        }
        Ok(Outer::Object)
    }
}

/// Reads `null` as the empty value.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    fn object(text: &[u8]) -> std::result::Result<Map<String, Value>, String> {
        parse(text, "it", &Kind::Any).map_err(|error| error.to_string())
    }

    #[test]
    fn what_programs_may_read_in_different_ways_is_refused_wherever_it_is() {
        for (text, why) in [
            (&br#"{"a":1,"b":{"c":[{"d":1,"e":2,"d":1}]}}"#[..], r#"it: b.c[0]: duplicate key "d""#),
            (br#"{"a":1,"\u0061":2}"#, r#"it: duplicate key "a""#),
            (b"{\"a\":[\"\xff\"]}", "it: a[0]: invalid unicode"),
            (b"{\"\xff\":1}", "it: ?: invalid unicode"),
            (br#"{"a":1e999}"#, "it: a: number out of range"),
            (br#"{"a":1}{"a":2}"#, "it: trailing characters"),
            (br#"{"a":1"#, "it: "),
            (br#"{"a":"\ud800"}"#, "it: a: "),
            (br#"[{"a":1}]"#, "it: no JSON object"),
            (b"null", "it: no JSON object"),
            (b"", "it: EOF"),
        ] {
            let said = object(text).expect_err("refused");
            assert!(said.starts_with(why), "{}: {said}", text.escape_ascii());
        }
        assert_eq!(object(br#"{"a":{"x":1},"b":[{"x":1},{"x":null}],"c":0.5}"#).expect("sound").len(), 3);
        assert!(parse_list::<Value>(br#"{"a":1}"#, "it", &Kind::Any).is_err(), "no list");
        assert_eq!(parse_list::<Value>(b"[1, true]", "it", &Kind::Any).expect("a list").len(), 2);
    }

    #[test]
    fn of_what_is_in_the_store_only_what_is_read_must_be_sound() {
        #[derive(Deserialize)]
        struct Asked {
            a: u8,
        }
        let text = format!(r#"{{"z":{}{},"a":1,"b":1,"b":2}}"#, "[".repeat(1000), "]".repeat(1000));
        assert_eq!(parse_stored::<Asked>(text.as_bytes(), "it").expect("read").a, 1);
        assert!(parse::<Asked>(text.as_bytes(), "it", &Kind::Any).is_err(), "it would not come in");
    }

    #[test]
    fn what_would_take_memory_or_stack_is_refused_in_fields_that_nobody_reads_too() {
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(1000), "]".repeat(1000));
        assert!(object(deep.as_bytes()).expect_err("deep").contains("recursion limit"));
        let keys: Vec<_> = (0..=MAX_ITEMS).map(|number| format!(r#""{number}":0"#)).collect();
        assert!(object(format!("{{{}}}", keys.join(",")).as_bytes()).expect_err("many").contains("keys in one object"));
        object(format!("{{{}}}", keys[1..].join(",")).as_bytes()).expect("as many as may be");
        let list = |length| format!(r#"{{"a":[{}]}}"#, vec!["0"; length].join(","));
        assert!(object(list(MAX_ITEMS + 1).as_bytes()).expect_err("long").starts_with("it: a: more than"));
        object(list(MAX_ITEMS).as_bytes()).expect("as long as may be");
    }
}
