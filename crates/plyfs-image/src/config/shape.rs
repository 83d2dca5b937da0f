//! The types of what a config says for those who run its image: what runtimes refuse is refused when it comes in.
//!
//! They are those of the OCI image specification, read as Go reads them: any field may be `null` or absent, and one that is not
//! named here may be anything.

#![expect(dead_code, reason = "that the fields can be read is all that is asked")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A config but for what [`super`] reads of it.
#[derive(Deserialize)]
pub(super) struct Shape {
    author: Option<String>,
    variant: Option<String>,
    config: Option<Execution>,
    history: Option<Vec<Option<Told>>>,
}

/// What a container of the image starts with.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Execution {
    user: Option<String>,
    exposed_ports: Option<BTreeMap<String, IgnoredAny>>,
    env: Option<Vec<Option<String>>>,
    entrypoint: Option<Words>,
    cmd: Option<Words>,
    volumes: Option<BTreeMap<String, IgnoredAny>>,
    working_dir: Option<String>,
    labels: Option<BTreeMap<String, Option<String>>>,
    stop_signal: Option<String>,
    shell: Option<Words>,
    on_build: Option<Vec<Option<String>>>,
    healthcheck: Option<BTreeMap<String, IgnoredAny>>,
}

/// A command; docker before 1.10 wrote one of a single word as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Many(Vec<Option<String>>),
    One(String),
}

/// One instruction of the history.
#[derive(Deserialize)]
struct Told {
    created: Option<String>,
    created_by: Option<String>,
    author: Option<String>,
    comment: Option<String>,
    empty_layer: Option<bool>,
}
