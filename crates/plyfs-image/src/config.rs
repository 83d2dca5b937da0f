//! The config of an image that came in, as far as loading depends on it; its bytes are kept as they are.

mod shape;

use plyfs_diff::Digest;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::digest;
use crate::error::{Error, ErrorKind, Result, at_most, shown};
use crate::json::fields::CONFIG;
use crate::json::{or_default, parse, parse_stored};
use crate::layout::{MAX_DOCUMENT, MAX_FACT, MAX_LAYERS};

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Document {
    #[serde(default, deserialize_with = "or_default")]
    os: String,
    rootfs: Option<RootFs>,
}

/// What the store's record of an image repeats from its config.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(expecting = "an object")]
pub(crate) struct Facts {
    /// When the image was built, as written.
    pub created: Option<String>,
    /// The architecture it is for.
    pub architecture: Option<String>,
    /// The operating system it is for.
    pub os: Option<String>,
}

/// Reads what the store's record repeats.
pub(crate) fn facts(bytes: &[u8]) -> Result<Facts> {
    let facts: Facts = parse_stored(bytes, "config")?;
    for (field, fact) in [("created", &facts.created), ("architecture", &facts.architecture), ("os", &facts.os)] {
        at_most(MAX_FACT, fact.as_ref().map_or(0, String::len), &format!("config: {field}"), "bytes")?;
    }
    Ok(facts)
}

/// Refuses a config that runtimes could not read, by the field they would stumble over, and one that is larger than what is read.
pub(crate) fn check(bytes: &[u8]) -> Result<()> {
    at_most(MAX_DOCUMENT, bytes.len() as u64, "config", "bytes")?;
    facts(bytes)?;
    parse::<shape::Shape>(bytes, "config", &CONFIG).map(drop)
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RootFs {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "or_default")]
    diff_ids: Vec<String>,
}

/// The DiffIds a config lists, lowest layer first; their number is that of the manifest's layers.
///
/// A config for another operating system is [`ErrorKind::Unsupported`].
pub(crate) fn diff_ids(bytes: &[u8], layers: usize) -> Result<Vec<Digest>> {
    parse::<IgnoredAny>(bytes, "config", &CONFIG)?;
    let diff_ids = all_diff_ids(bytes)?;
    if diff_ids.len() != layers {
        let message = format!("config: rootfs.diff_ids: {} DiffIds for {layers} layers", diff_ids.len());
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    Ok(diff_ids)
}

/// The DiffIds a config lists, lowest layer first, however many there are.
pub(crate) fn all_diff_ids(bytes: &[u8]) -> Result<Vec<Digest>> {
    let document: Document = parse_stored(bytes, "config")?;
    if !matches!(document.os.as_str(), "" | "linux") {
        return Err(Error::new(ErrorKind::Unsupported, format!("config: os: an image for {}", shown(&document.os))));
    }
    let Some(rootfs) = document.rootfs else {
        return Err(Error::new(ErrorKind::InvalidInput, "config: no rootfs"));
    };
    if rootfs.kind != "layers" {
        return Err(Error::new(ErrorKind::Unsupported, format!("config: rootfs.type: {}", shown(&rootfs.kind))));
    }
    let layers = rootfs.diff_ids.len();
    if layers > MAX_LAYERS {
        let message = format!("config: rootfs.diff_ids: {layers} layers, and {MAX_LAYERS} are the most");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let parse = |(number, text): (usize, &String)| digest::parse(text, &format!("config: rootfs.diff_ids[{number}]"));
    rootfs.diff_ids.iter().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str, layers: usize) -> ErrorKind {
        diff_ids(text.as_bytes(), layers).expect_err("refused").kind()
    }

    #[test]
    fn a_config_lists_as_many_layers_as_the_manifest() {
        let digest = Digest::of("x");
        let text = format!(r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":["{digest}"]}},"unknown":[1]}}"#);
        assert_eq!(diff_ids(text.as_bytes(), 1).expect("a config"), [digest]);
        assert_eq!(kind(&text, 0), ErrorKind::Corrupt);
        assert_eq!(kind(&text, 2), ErrorKind::Corrupt);
    }

    #[test]
    fn a_config_without_layers_may_say_null() {
        assert_eq!(diff_ids(br#"{"rootfs":{"type":"layers","diff_ids":null}}"#, 0).expect("a config"), []);
    }

    #[test]
    fn a_config_that_no_runtime_reads_is_refused_by_the_field_and_one_with_nulls_is_not() {
        for (text, field) in [
            (r#"{"author":1}"#, "config: author"),
            (r#"{"config":"x"}"#, r#"config: config: invalid type: string "x", expected an object"#),
            (r#"{"config":{"Env":"A=b"}}"#, "config: config.Env"),
            (r#"{"config":{"Env":["A=b",1]}}"#, "config: config.Env[1]"),
            (r#"{"config":{"Labels":{"a":1}}}"#, "config: config.Labels.a"),
            (r#"{"config":{"Cmd":{}}}"#, "config: config.Cmd: neither a text nor a list of texts"),
            (r#"{"config":{"ExposedPorts":["80"]}}"#, "config: config.ExposedPorts"),
            (r#"{"config":{"ExposedPorts":{"80/tcp":1}}}"#, "config: config.ExposedPorts.80/tcp"),
            (r#"{"config":{"Volumes":{"/x":[]}}}"#, "config: config.Volumes./x"),
            (r#"{"config":{"User":0}}"#, "config: config.User"),
            (r#"{"config":{"Tty":"yes"}}"#, "config: config.Tty"),
            (r#"{"config":{"StopTimeout":1.5}}"#, "config: config.StopTimeout"),
            (r#"{"config":{"Healthcheck":{"Interval":"30s"}}}"#, "config: config.Healthcheck.Interval"),
            (
                r#"{"config":{"Healthcheck":1}}"#,
                "config: config.Healthcheck: invalid type: integer `1`, expected an object",
            ),
            (r#"{"config":{"Healthcheck":{"Test":"x"}}}"#, "config: config.Healthcheck.Test"),
            (
                r#"{"config":{"Env":["A=1"],"env":["A=2"]}}"#,
                r#"config: config: keys "Env" and "env", which are the same"#,
            ),
            (r#"{"config":{"env":[],"Env":[]}}"#, r#"config: config: keys "env" and "Env", which are the same"#),
            (r#"{"config":{"Env":[],"Env":[]}}"#, r#"config: config: duplicate key "Env""#),
            (r#"{"config":{"env":5}}"#, "config: config.env: invalid type"),
            (r#"{"config":{"labels":{"a":1}}}"#, "config: config.labels.a"),
            (r#"{"config":{"TTY":"yes"}}"#, "config: config.TTY"),
            (r#"{"config":{"healthcheck":{"interval":"30s"}}}"#, "config: config.healthcheck.interval"),
            (r#"{"container_config":{"Env":1}}"#, "config: container_config.Env"),
            (r#"{"created":"yesterday"}"#, r#"config: created: "yesterday" is no time"#),
            (r#"{"docker_version":20}"#, "config: docker_version"),
            (r#"{"os.features":"x"}"#, "config: os.features"),
            (r#"{"history":{}}"#, "config: history"),
            (r#"{"history":["x"]}"#, r#"config: history[0]: invalid type: string "x", expected an object"#),
            (r#"{"history":[{"created_by":5}]}"#, "config: history[0].created_by"),
            (r#"{"history":[{"created":"x"}]}"#, "config: history[0].created"),
            (r#"{"history":[{},{"empty_layer":"no"}]}"#, "config: history[1].empty_layer"),
            (r#"{"os":"linux","OS":"windows"}"#, r#"config: key "OS", which others read as "os""#),
            (r#"{"o\u017f":"windows"}"#, r#"config: key "#),
            (r#"{"rootfs":{"diff_ids":[],"DIFF_IDS":[]}}"#, "config: rootfs: key"),
            (r#"{"history":[["2020-01-01T00:00:00Z"]]}"#, "config: history[0]: no JSON object"),
        ] {
            let error = check(text.as_bytes()).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert!(error.to_string().starts_with(field), "{text}: {error}");
        }
        let sound = r#"{"author":null,"config":{"Env":null,"Cmd":"old","Entrypoint":["a"],"Volumes":{"/x":{},"/X":null},"labels":{"a":"1","A":"2"},"Other":[1]},
            "history":[null,{"created":null,"empty_layer":true}],"container_config":null,"other":7}"#;
        check(sound.as_bytes()).expect("as docker writes them");
    }

    #[test]
    fn what_cannot_be_stacked_here_is_refused() {
        assert_eq!(kind(r#"{"os":"windows","rootfs":{"type":"layers"}}"#, 0), ErrorKind::Unsupported);
        assert_eq!(kind(r#"{"rootfs":{"type":"layers+base"}}"#, 0), ErrorKind::Unsupported);
        assert_eq!(kind(r#"{"rootfs":{"type":"layers","diff_ids":["sha256:../x"]}}"#, 1), ErrorKind::InvalidInput);
        assert_eq!(kind("{}", 0), ErrorKind::InvalidInput);
        assert_eq!(kind("no json", 0), ErrorKind::InvalidInput);
    }
}
