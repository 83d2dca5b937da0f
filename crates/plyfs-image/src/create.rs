//! Configs of images that are made here: the parent's, grown by one layer.
//!
//! What the parent's config says is kept, known or not, as it is spelt and in its order, but for what is true of the parent
//! alone; only what describes the new layer is added: its DiffId, its history entry, the time and the author. What is neither
//! read nor changed stays the bytes it was. Same input, same bytes, same image id.

use jiff::Timestamp;
use plyfs_diff::Digest;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use crate::error::{Error, ErrorKind, Result};
use crate::instruction::{self, Instruction};
use crate::json::object::{Object, malformed};
use crate::json::parse_stored;
use crate::platform::host_architecture;

/// What a docker config says of the container its image was committed from; of the new image it is not true.
const OF_THE_PARENT_ALONE: [&str; 4] = ["container", "container_config", "id", "parent"];

/// What is done by the first build upon an image; what stands on that one does not do it again.
const TRIGGERS: &str = "OnBuild";

/// What is said of a new top layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made<'a> {
    /// The digest of its archive.
    pub diff_id: Digest,
    /// When.
    pub created: Timestamp,
    /// By what command.
    pub created_by: &'a str,
    /// By whom.
    pub author: Option<&'a str>,
    /// Why.
    pub comment: Option<&'a str>,
    /// What is changed of what it says of containers.
    pub changes: &'a [Instruction],
}

/// The config of an image that has one layer more than the image of `parent`.
pub(crate) fn on_image(parent: &[u8], made: &Made<'_>) -> Result<Vec<u8>> {
    let mut config: Object = parse_stored(parent, "the parent's config")?;
    OF_THE_PARENT_ALONE.iter().for_each(|key| config.remove(key));
    if config.read::<Object>("config").is_some_and(|execution| execution.raw(TRIGGERS).is_some()) {
        config.edit("config", |execution: &mut Object| {
            execution.remove(TRIGGERS);
            Ok(())
        })?;
    }
    grow(config, made)
}

/// The config of an image without a parent image, over layers with these DiffIds, lowest first.
pub(crate) fn on_layers(below: &[Digest], made: &Made<'_>) -> Result<Vec<u8>> {
    let below: Vec<String> = below.iter().map(Digest::to_string).collect();
    let mut config = Object::default();
    config.set("created", &())?;
    config.set("architecture", host_architecture())?;
    config.set("os", "linux")?;
    config.set("config", &json!({}))?;
    config.set("rootfs", &json!({ "type": "layers", "diff_ids": below }))?;
    config.set("history", &json!([]))?;
    grow(config, made)
}

fn grow(mut config: Object, made: &Made<'_>) -> Result<Vec<u8>> {
    let created = made.created.to_string();
    config.set("created", &created)?;
    if let Some(author) = made.author {
        config.set("author", author)?;
    }
    if !made.changes.is_empty() {
        config.edit("config", |execution| instruction::apply(made.changes, execution))?;
    }
    let below = push_diff_id(&mut config, made.diff_id)?;
    let mut entry = Object::default();
    entry.set("created", &created)?;
    entry.set("created_by", made.created_by)?;
    let words = [("author", made.author), ("comment", made.comment)];
    let mut words = words.into_iter().filter_map(|(key, word)| Some((key, word?)));
    words.try_for_each(|(key, word)| entry.set(key, word))?;
    push_history(&mut config, below, &entry)?;
    serde_json::to_vec(&config).map_err(|error| Error::new(ErrorKind::InvalidInput, "the new config").because(error))
}

/// Adds the DiffId; returns how many there were.
fn push_diff_id(config: &mut Object, diff_id: Digest) -> Result<usize> {
    if config.read::<Object>("rootfs").is_none() {
        return Err(malformed("rootfs"));
    }
    config.edit("rootfs", |rootfs: &mut Object| {
        rootfs.edit("diff_ids", |list: &mut Vec<Box<RawValue>>| {
            list.push(raw("diff_ids", &diff_id.to_string())?);
            Ok(list.len() - 1)
        })
    })
}

/// Adds a history entry; a history that tells of fewer layers than there are is filled up with empty entries, so
/// that every layer keeps its own.
fn push_history(config: &mut Object, layers: usize, entry: &Object) -> Result<()> {
    config.edit("history", |history: &mut Vec<Box<RawValue>>| {
        let is_empty = |entry: &RawValue| Some(serde_json::from_str::<Told>(entry.get()).ok()?.empty_layer);
        let told = history.iter().filter(|entry| is_empty(entry) != Some(true)).count();
        for _ in told..layers {
            history.push(raw("history", &json!({}))?);
        }
        history.push(raw("history", entry)?);
        Ok(())
    })
}

/// What of a history entry says whether it made a layer.
#[derive(Deserialize)]
struct Told {
    empty_layer: bool,
}

fn raw(field: &str, value: &impl Serialize) -> Result<Box<RawValue>> {
    to_raw_value(value).map_err(|error| malformed(field).because(error))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn made(diff: &str) -> Made<'static> {
        Made {
            diff_id: Digest::of(diff),
            created: "2026-11-24T03:56:40Z".parse().expect("a time"),
            created_by: "plyfs commit",
            author: Some("A. Author"),
            comment: Some("why"),
            changes: &[],
        }
    }

    fn value(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).expect("json")
    }

    #[test]
    fn an_image_without_parent_is_a_config_that_others_read() {
        let config = on_layers(&[], &made("one")).expect("a config");
        let expected = format!(
            r#"{{"created":"2026-11-24T03:56:40Z","architecture":"{}","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{}"]}},"history":[{{"created":"2026-11-24T03:56:40Z","created_by":"plyfs commit","author":"A. Author","comment":"why"}}],"author":"A. Author"}}"#,
            host_architecture(),
            Digest::of("one"),
        );
        assert_eq!(String::from_utf8(config).expect("text"), expected);
    }

    #[test]
    fn what_the_parent_says_is_kept_in_its_order() {
        let parent = format!(
            r#"{{"zeta":{{"x":[1.50,{{"k":null}}]}},"config":{{"Env":["A=1"],"Cmd":["sh"]}},"container":"gone",
               "os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}},"architecture":"riscv64"}}"#,
            Digest::of("one")
        );
        let config = value(&on_image(parent.as_bytes(), &made("two")).expect("a config"));
        let keys: Vec<_> = config.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, ["zeta", "config", "os", "rootfs", "architecture", "created", "author", "history"]);
        assert_eq!(config["zeta"], json!({"x": [1.5, {"k": null}]}));
        assert_eq!(config["config"], json!({"Env": ["A=1"], "Cmd": ["sh"]}));
        assert_eq!(config["rootfs"]["diff_ids"][1], Digest::of("two").to_string());
    }

    #[test]
    fn triggers_are_those_of_one_image_and_not_of_what_stands_on_it() {
        let parent = json!({"config": {"OnBuild": ["RUN a"], "Env": []}, "rootfs": {"type": "layers", "diff_ids": []}});
        let config = |changes: &[Instruction]| {
            let made = Made { changes, ..made("two") };
            value(&on_image(parent.to_string().as_bytes(), &made).expect("a config"))["config"].clone()
        };
        assert_eq!(config(&[]), json!({"Env": []}));
        let own = ["ONBUILD RUN b".parse().expect("an instruction")];
        assert_eq!(config(&own), json!({"Env": [], "OnBuild": ["RUN b"]}));
    }

    #[test]
    fn fields_in_another_case_are_the_ones_that_are_meant_and_what_comes_of_them_comes_in_again() {
        let rootfs = r#"{"type":"layers","diff_ids":[]}"#;
        let parent =
            format!(r#"{{"config":{{"env":["A=1"],"labels":{{"k":"v"}},"onbuild":["RUN x"]}},"rootfs":{rootfs}}}"#);
        let changes = ["ENV B=2", "LABEL l=w"].map(|text| text.parse().expect("an instruction"));
        let bytes = on_image(parent.as_bytes(), &Made { changes: &changes, ..made("two") }).expect("a config");
        crate::config::check(&bytes).expect("what is made here comes in again");
        assert_eq!(value(&bytes)["config"], json!({"env": ["A=1", "B=2"], "labels": {"k": "v", "l": "w"}}));
    }

    #[test]
    fn what_is_not_changed_stays_the_bytes_it_was() {
        let told = r#"{ "created_by" : "COPY", "n":1.50 }"#;
        let kept = [r#""z":{ "a" : [ 0,0 ], "b":1e999 }"#, r#""Other": [ 1.0 ]"#, told, r#""x" : 1"#];
        let [zeta, other, told, more] = kept;
        let parent = format!(
            r#"{{{zeta},"config":{{{other},"OnBuild":[]}},"rootfs":{{"type":"layers",{more},"diff_ids":[]}},"history":[{told}]}}"#
        );
        let text = String::from_utf8(on_image(parent.as_bytes(), &made("two")).expect("a config")).expect("text");
        // What stands between a key and its value is nobody's.
        for kept in [r#"{ "a" : [ 0,0 ], "b":1e999 }"#, r#""Other":[ 1.0 ]"#, told, r#""x":1"#] {
            assert!(text.contains(kept), "{kept} in {text}");
        }
        let config = r#"{ "Env" : [ "A=1" ] }"#;
        let parent = format!(r#"{{"config":{config},"rootfs":{{"type":"layers","diff_ids":[]}}}}"#);
        let text = String::from_utf8(on_image(parent.as_bytes(), &made("two")).expect("a config")).expect("text");
        assert!(text.contains(config), "{text}");
    }

    #[test]
    fn the_history_has_one_entry_for_each_layer_and_the_empty_ones() {
        let digest = Digest::of("one").to_string();
        let layer = json!({"created_by": "COPY"});
        let empty = json!({"created_by": "ENV", "empty_layer": true});
        for (history, before) in [
            (json!(null), vec![json!({}), json!({})]),
            (json!([layer]), vec![layer.clone(), json!({})]),
            (json!([layer, empty, layer]), vec![layer.clone(), empty.clone(), layer.clone()]),
            (json!([empty]), vec![empty.clone(), json!({}), json!({})]),
        ] {
            let parent = json!({"rootfs": {"type": "layers", "diff_ids": [digest, digest]}, "history": history});
            let config = value(&on_image(parent.to_string().as_bytes(), &made("two")).expect("a config"));
            let entries = config["history"].as_array().expect("a list");
            assert_eq!(entries[..entries.len() - 1], before, "{history}");
            assert_eq!(entries[entries.len() - 1]["comment"], "why");
        }
    }

    #[test]
    fn a_parent_that_is_no_config_is_refused() {
        for parent in ["[]", "{}", r#"{"rootfs":[]}"#, r#"{"rootfs":{"diff_ids":{}}}"#] {
            let error = on_image(parent.as_bytes(), &made("one")).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{parent}");
        }
    }
}
