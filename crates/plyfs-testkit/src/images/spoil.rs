//! Spoils good images, each in one way a careful reader must notice.
//!
//! Every function reads a docker-archive or an OCI archive (a plain tar either way) and writes a bad one beside it.

use std::path::Path;

use serde_json::Value;

use crate::oci::{read_archive, sha256, write_archive};

/// An archive's files, by path.
type Members = Vec<(String, Vec<u8>)>;

/// One way to spoil an archive: what it is called, and the function that does it.
pub type Spoiler = (&'static str, fn(&Path, &Path));

/// Every way here by its name, for a test that goes through them all.
pub const ALL: &[Spoiler] = &[
    ("archive cut short", archive_cut_short),
    ("layer cut short", layer_cut_short),
    ("layer with a flipped bit", layer_with_a_flipped_bit),
    ("missing layer", missing_layer),
    ("swapped layers", swapped_layers),
    ("wrong diff id", wrong_diff_id),
    ("missing config", missing_config),
    ("config that is no JSON", config_that_is_no_json),
    ("missing manifest", missing_manifest),
    ("manifest that is no JSON", manifest_that_is_no_json),
];

/// Cuts the whole archive in the middle, as a full disk or a broken line does.
#[track_caller]
pub fn archive_cut_short(good: &Path, bad: &Path) {
    let bytes = std::fs::read(good).unwrap_or_else(|e| panic!("read {}: {e}", good.display()));
    std::fs::write(bad, &bytes[..bytes.len() / 2]).unwrap_or_else(|e| panic!("write {}: {e}", bad.display()));
}

/// Cuts the first layer's blob in half, its name and its descriptor unchanged: a truncated gzip stream, say.
#[track_caller]
pub fn layer_cut_short(good: &Path, bad: &Path) {
    spoil(good, bad, |members, parts| {
        let blob = content(members, &parts.layers[0]);
        blob.truncate(blob.len() / 2);
    });
}

/// Flips one bit in the middle of the first layer's blob: its digest no longer holds.
#[track_caller]
pub fn layer_with_a_flipped_bit(good: &Path, bad: &Path) {
    spoil(good, bad, |members, parts| {
        let blob = content(members, &parts.layers[0]);
        let middle = blob.len() / 2;
        blob[middle] ^= 0x10;
    });
}

/// Leaves out the first layer's blob.
#[track_caller]
pub fn missing_layer(good: &Path, bad: &Path) {
    spoil(good, bad, |members, parts| members.retain(|(name, _)| *name != parts.layers[0]));
}

/// Exchanges the first two layers' blobs: each is whole, neither is what its name says.
#[track_caller]
pub fn swapped_layers(good: &Path, bad: &Path) {
    spoil(good, bad, |members, parts| {
        let first = content(members, &parts.layers[0]).clone();
        let second = std::mem::replace(content(members, &parts.layers[1]), first);
        *content(members, &parts.layers[0]) = second;
    });
}

/// Has the config claim another DiffID for the first layer; every other digest is made to match.
#[track_caller]
pub fn wrong_diff_id(good: &Path, bad: &Path) {
    spoil(good, bad, |members, parts| {
        let old = content(members, &parts.config).clone();
        let mut config: Value = serde_json::from_slice(&old).expect("a good config");
        config["rootfs"]["diff_ids"][0] = format!("sha256:{}", "0".repeat(64)).into();
        let new = serde_json::to_vec(&config).expect("plain data");
        replace_blob(members, &parts.config, new);
    });
}

/// Leaves out the config.
#[track_caller]
pub fn missing_config(good: &Path, bad: &Path) {
    spoil(good, bad, |members, parts| members.retain(|(name, _)| *name != parts.config));
}

/// Has a config that is no JSON, under a digest that matches it.
#[track_caller]
pub fn config_that_is_no_json(good: &Path, bad: &Path) {
    spoil(good, bad, |members, parts| replace_blob(members, &parts.config, b"{\"rootfs\": [".to_vec()));
}

/// Leaves out what names the image's parts: `manifest.json`, or the manifest blob of an OCI archive.
#[track_caller]
pub fn missing_manifest(good: &Path, bad: &Path) {
    spoil(good, bad, |members, parts| members.retain(|(name, _)| *name != parts.manifest));
}

/// Has a manifest that is no JSON, under a digest that matches it.
#[track_caller]
pub fn manifest_that_is_no_json(good: &Path, bad: &Path) {
    spoil(good, bad, |members, parts| replace_blob(members, &parts.manifest, b"[{\"Layers\"".to_vec()));
}

/// The members that make an image.
struct Parts {
    manifest: String,
    config: String,
    layers: Vec<String>,
}

#[track_caller]
fn spoil(good: &Path, bad: &Path, edit: impl FnOnce(&mut Members, &Parts)) {
    let mut members = read_archive(good);
    let parts = parts(&mut members);
    let before = members.clone();
    edit(&mut members, &parts);
    assert!(members != before, "nothing of {} was spoilt", good.display());
    write_archive(bad, &members);
}

/// Finds an image's parts the way its format names them; the first image of an archive with several.
fn parts(members: &mut Members) -> Parts {
    let text = |value: &Value| value.as_str().expect("a good archive").to_owned();
    let list = |value: &Value| value.as_array().expect("a good archive").clone();
    if members.iter().any(|(name, _)| name == "manifest.json") {
        let manifest = json(members, "manifest.json");
        let layers = list(&manifest[0]["Layers"]).iter().map(text).collect();
        return Parts { manifest: "manifest.json".to_owned(), config: text(&manifest[0]["Config"]), layers };
    }
    let path = |descriptor: &Value| format!("blobs/{}", text(&descriptor["digest"]).replacen(':', "/", 1));
    let name = path(&json(members, "index.json")["manifests"][0]);
    let manifest = json(members, &name);
    let layers = list(&manifest["layers"]).iter().map(path).collect();
    Parts { manifest: name, config: path(&manifest["config"]), layers }
}

fn json(members: &mut Members, name: &str) -> Value {
    serde_json::from_slice(content(members, name)).expect("a good archive")
}

fn content<'a>(members: &'a mut Members, name: &str) -> &'a mut Vec<u8> {
    let found = members.iter_mut().find(|(known, _)| known == name);
    &mut found.unwrap_or_else(|| panic!("the good archive has no {name}")).1
}

/// Gives `name` new content; where the name is a digest, renames it and corrects every digest and size that leads to it.
fn replace_blob(members: &mut Members, name: &str, new: Vec<u8>) {
    let old_size = content(members, name).len();
    let (old_hex, new_hex) = (hex_of(name), sha256(&new));
    let new_size = new.len();
    *content(members, name) = new;
    let Some(old_hex) = old_hex else { return };
    let renamed = name.replace(&old_hex, &new_hex);
    for (known, _) in members.iter_mut().filter(|(known, _)| known == name) {
        renamed.clone_into(known);
    }
    let holders: Vec<_> = members
        .iter()
        .filter(|(holder, bytes)| *holder != renamed && bytes.len() < 1 << 20 && holds(bytes, &old_hex))
        .map(|(holder, _)| holder.clone())
        .collect();
    for holder in holders {
        let mut document = json(members, &holder);
        correct(&mut document, &old_hex, &new_hex, (old_size, new_size));
        replace_blob(members, &holder, serde_json::to_vec(&document).expect("plain data"));
    }
}

/// The digest a member's name consists of, if it does.
fn hex_of(name: &str) -> Option<String> {
    let base = name.rsplit('/').next().unwrap_or(name);
    let hex = base.split('.').next().unwrap_or(base);
    (hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| hex.to_owned())
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|part| part == needle.as_bytes())
}

fn correct(value: &mut Value, old: &str, new: &str, (old_size, new_size): (usize, usize)) {
    match value {
        Value::String(text) => *text = text.replace(old, new),
        Value::Array(items) => items.iter_mut().for_each(|item| correct(item, old, new, (old_size, new_size))),
        Value::Object(fields) => {
            let is_descriptor = fields.get("digest").and_then(Value::as_str).is_some_and(|text| text.contains(old));
            if is_descriptor && fields.get("size").and_then(Value::as_u64) == Some(old_size as u64) {
                fields.insert("size".to_owned(), new_size.into());
            }
            fields.values_mut().for_each(|field| correct(field, old, new, (old_size, new_size)));
        }
        _ => {}
    }
}
