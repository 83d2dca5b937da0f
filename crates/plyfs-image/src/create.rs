//! Configs of images that are made here: the parent's, grown by one layer.
//!
//! What the parent's config says is kept, known or not, in its order, but for what is true of the parent alone; only what
//! describes the new layer is added: its DiffId, its history entry, the time and the author. Same input, same bytes, same
//! image id.

use jiff::Timestamp;
use plyfs_diff::Digest;
use serde_json::{Map, Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::instruction::{self, Instruction};
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
    let mut config: Map<String, Value> = parse_stored(parent, "the parent's config")?;
    for key in OF_THE_PARENT_ALONE {
        config.shift_remove(key);
    }
    if let Some(execution) = config.get_mut("config").and_then(Value::as_object_mut) {
        execution.shift_remove(TRIGGERS);
    }
    grow(config, made)
}

/// The config of an image without a parent image, over layers with these DiffIds, lowest first.
pub(crate) fn on_layers(below: &[Digest], made: &Made<'_>) -> Result<Vec<u8>> {
    let below: Vec<String> = below.iter().map(Digest::to_string).collect();
    let config = json!({
        "created": null,
        "architecture": host_architecture(),
        "os": "linux",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": below },
        "history": [],
    });
    match config {
        Value::Object(config) => grow(config, made),
        _ => unreachable!("an object was built"),
    }
}

fn grow(mut config: Map<String, Value>, made: &Made<'_>) -> Result<Vec<u8>> {
    let created = Value::from(made.created.to_string());
    config.insert("created".into(), created.clone());
    if let Some(author) = made.author {
        config.insert("author".into(), author.into());
    }
    if !made.changes.is_empty() {
        instruction::apply(made.changes, object(&mut config, "config")?)?;
    }
    let below = push_diff_id(&mut config, made.diff_id)?;
    let mut entry = Map::from_iter([("created".into(), created), ("created_by".into(), made.created_by.into())]);
    let words = [("author", made.author), ("comment", made.comment)];
    entry.extend(words.into_iter().filter_map(|(key, word)| word.map(|word| (key.into(), word.into()))));
    push_history(&mut config, below, entry)?;
    serde_json::to_vec(&config).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, "the new config").because(error) // nesting is all that could be wrong
    })
}

/// Adds the DiffId; returns how many there were.
fn push_diff_id(config: &mut Map<String, Value>, diff_id: Digest) -> Result<usize> {
    let rootfs = config.get_mut("rootfs").and_then(Value::as_object_mut).ok_or_else(|| malformed("rootfs"))?;
    let list = list(rootfs, "diff_ids")?;
    list.push(diff_id.to_string().into());
    Ok(list.len() - 1)
}

/// Adds a history entry; a history that tells of fewer layers than there are is filled up with empty entries, so
/// that every layer keeps its own.
fn push_history(config: &mut Map<String, Value>, layers: usize, entry: Map<String, Value>) -> Result<()> {
    let history = list(config, "history")?;
    let makes_a_layer = |entry: &&Value| entry.get("empty_layer").and_then(Value::as_bool) != Some(true);
    let told = history.iter().filter(makes_a_layer).count();
    history.extend(std::iter::repeat_n(json!({}), layers.saturating_sub(told)));
    history.push(entry.into());
    Ok(())
}

/// The object `key`, made when it is absent or null.
fn object<'a>(config: &'a mut Map<String, Value>, key: &str) -> Result<&'a mut Map<String, Value>> {
    let value = config.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut().ok_or_else(|| malformed(key))
}

/// The list `key`, made when it is absent or null.
fn list<'a>(object: &'a mut Map<String, Value>, key: &str) -> Result<&'a mut Vec<Value>> {
    let value = object.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Array(Vec::new());
    }
    value.as_array_mut().ok_or_else(|| malformed(key))
}

fn malformed(field: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("the parent's config: {field} is not what it should be"))
}

#[cfg(test)]
mod tests {
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
