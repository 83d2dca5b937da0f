//! The types of what a config says for those who run its image: what runtimes refuse is refused when it comes in.
//!
//! They are those of the OCI image specification, read as Go reads them: any field may be `null` or absent, and one that is not
//! named here may be anything. Where another spelling of a field is taken, it is held to the same type.

#![expect(dead_code, reason = "that the fields can be read is all that is asked")]

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use jiff::civil::{self, Date};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, IntoDeserializer, MapAccess, Visitor};

use crate::error::shown;
use crate::json::fields::{EXECUTION, HEALTH, Kind};

/// A config but for what [`super`] reads of it.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct Shape {
    created: Option<Time>,
    author: Option<String>,
    variant: Option<String>,
    #[serde(rename = "os.version")]
    os_version: Option<String>,
    #[serde(rename = "os.features")]
    os_features: Option<Vec<Option<String>>>,
    config: Option<ByHand<Execution>>,
    history: Option<Vec<Option<Told>>>,
    // What docker adds.
    container_config: Option<ByHand<Execution>>,
    container: Option<String>,
    comment: Option<String>,
    docker_version: Option<String>,
    id: Option<String>,
    parent: Option<String>,
}

/// A value whose fields may be spelt in another case, each of which was found to be there once.
struct ByHand<T>(T);

/// A value that has a [`Kind::ByHand`].
trait Spelt {
    const KIND: &Kind;
}

impl Spelt for Execution {
    const KIND: &Kind = &EXECUTION;
}

impl Spelt for Health {
    const KIND: &Kind = &HEALTH;
}

impl<'de, T: Deserialize<'de> + Spelt> Deserialize<'de> for ByHand<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Spelt> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(Renamed { entries, kind: T::KIND }))
            }
        }
        from.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

/// Entries of an object whose keys are the names of the fields that others take them for.
struct Renamed<A> {
    entries: A,
    kind: &'static Kind,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Renamed<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(key) = self.entries.next_key::<String>()? else { return Ok(None) };
        let name = self.kind.field(&key).map_or(key.as_str(), |(name, _)| name);
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.entries.next_value_seed(seed)
    }
}

/// What a container of the image starts with.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct Execution {
    user: Option<String>,
    exposed_ports: Option<Set>,
    env: Option<Vec<Option<String>>>,
    entrypoint: Option<Words>,
    cmd: Option<Words>,
    volumes: Option<Set>,
    working_dir: Option<String>,
    labels: Option<BTreeMap<String, Option<String>>>,
    stop_signal: Option<String>,
    shell: Option<Words>,
    on_build: Option<Vec<Option<String>>>,
    healthcheck: Option<ByHand<Health>>,
    stop_timeout: Option<i64>,
    // What docker adds, most of it of the container that an image was committed from.
    hostname: Option<String>,
    domainname: Option<String>,
    mac_address: Option<String>,
    image: Option<String>,
    attach_stdin: Option<bool>,
    attach_stdout: Option<bool>,
    attach_stderr: Option<bool>,
    open_stdin: Option<bool>,
    stdin_once: Option<bool>,
    tty: Option<bool>,
    network_disabled: Option<bool>,
    args_escaped: Option<bool>,
}

/// A set of names, as Go writes one: an object whose values say nothing.
type Set = BTreeMap<String, Option<BTreeMap<String, IgnoredAny>>>;

/// What tells whether a container works; times are nanoseconds.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct Health {
    test: Option<Vec<Option<String>>>,
    interval: Option<i64>,
    timeout: Option<i64>,
    start_period: Option<i64>,
    start_interval: Option<i64>,
    retries: Option<i64>,
}

/// A command; docker before 1.10 wrote one of a single word as a text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "neither a text nor a list of texts")]
enum Words {
    Many(Vec<Option<String>>),
    One(String),
}

/// One instruction of the history.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Told {
    created: Option<Time>,
    created_by: Option<String>,
    author: Option<String>,
    comment: Option<String>,
    empty_layer: Option<bool>,
}

/// A time as RFC 3339 has it, which is all that Go reads.
struct Time;

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match is_time(text.as_bytes()) {
            true => Ok(Self),
            false => Err(D::Error::custom(format!("{} is no time of RFC 3339", shown(text)))),
        }
    }
}

/// Reads `2006-01-02T15:04:05.999Z`, or an offset such as `+02:00` for the `Z`.
fn is_time(text: &[u8]) -> bool {
    let Some((day_and_time, rest)) = text.split_at_checked("2006-01-02T15:04:05".len()) else { return false };
    let is_shaped = day_and_time.iter().zip(b"0000-00-00T00:00:00").all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        mark => byte == mark,
    });
    let zone = match rest {
        [b'.', rest @ ..] => match rest.iter().position(|byte| !byte.is_ascii_digit()) {
            Some(digits @ 1..) => &rest[digits..],
            _ => return false,
        },
        rest => rest,
    };
    let number = |digits: &[u8]| digits.iter().fold(0, |number, digit| number * 10 + i16::from(digit - b'0'));
    let small = |digits: &[u8]| i8::try_from(number(digits)).unwrap_or(i8::MAX);
    let is_zone = match *zone {
        [b'Z'] => true,
        [b'+' | b'-', a, b, b':', c, d] => {
            [a, b, c, d].iter().all(u8::is_ascii_digit) && number(&[a, b]) < 24 && number(&[c, d]) < 60
        }
        _ => false,
    };
    let at = day_and_time;
    is_shaped
        && is_zone
        && Date::new(number(&at[..4]), small(&at[5..7]), small(&at[8..10])).is_ok()
        && civil::Time::new(small(&at[11..13]), small(&at[14..16]), small(&at[17..19]), 0).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_what_go_reads_as_one() {
        for text in [
            "2020-01-01T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "2020-02-29T23:59:59.123456789012+23:59",
            "1970-01-01T00:00:00-00:30",
        ] {
            assert!(is_time(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2020-01-01",
            "2020-01-01 00:00:00Z",
            "2020-01-01T00:00:00",
            "2020-01-01t00:00:00z",
            "2020-01-01T00:00:00.Z",
            "2020-01-01T00:00:00,5Z",
            "2020-01-01T00:00:00+0200",
            "2020-01-01T00:00:00+24:00",
            "2020-01-01T00:00:00ZZ",
            "2021-02-29T00:00:00Z",
            "2020-01-01T24:00:00Z",
            "2016-12-31T23:59:60Z",
            "99999-01-01T00:00:00Z",
            "-001-01-01T00:00:00Z",
            "2020-01-01T00:00:00\u{e9}",
        ] {
            assert!(!is_time(text.as_bytes()), "{text}");
        }
    }
}
