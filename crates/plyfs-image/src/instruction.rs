//! Instructions of a Dockerfile that change what a config says of a container, as `docker commit --change` takes them.
//!
//! An [`Instruction`] is read once, whole, before anything is staged; what it does to a config is [`apply`]. The
//! words, their arguments and what they do are those of the Dockerfile reference; variables are not expanded, since
//! outside a build there is nothing to expand them from.

mod words;

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use crate::error::{Error, ErrorKind, Result, shown};

/// The longest instruction that is read.
const MAX_LENGTH: usize = 64 << 10;
/// Ports that one `EXPOSE` may name: a range is a list.
const MAX_PORTS: usize = 65_536;
/// What runs a command in its shell form.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// One change of an image's config, in the words of a Dockerfile.
///
/// ```
/// use plyfs_image::{ErrorKind, Instruction};
///
/// let instruction: Instruction = r#"ENTRYPOINT ["java", "-jar", "/app/app.jar"]"#.parse()?;
/// let error = "RUN make".parse::<Instruction>().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// # let _ = instruction;
/// # Ok::<(), plyfs_image::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Cmd(Vec<String>),
    Entrypoint(Vec<String>),
    Env(Vec<(String, String)>),
    Expose(Vec<String>),
    Label(Vec<(String, String)>),
    OnBuild(String),
    StopSignal(String),
    User(String),
    Volume(Vec<String>),
    WorkDir(String),
}

/// The words that are known, for who gives another one.
const KNOWN: &str = "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR";

impl FromStr for Instruction {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: String| Error::new(ErrorKind::InvalidInput, format!("change {}: {why}", shown(text)));
        if text.len() > MAX_LENGTH {
            return Err(refuse(format!("{} bytes, and {MAX_LENGTH} are the most", text.len())));
        }
        let text = text.trim();
        let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let rest = rest.trim();
        let kind = match word.to_ascii_uppercase().as_str() {
            "CMD" => command(rest).map(Kind::Cmd),
            "ENTRYPOINT" => command(rest).map(Kind::Entrypoint),
            "ENV" => words::pairs(rest).map(Kind::Env),
            "EXPOSE" => ports(rest).map(Kind::Expose),
            "LABEL" => words::pairs(rest).map(Kind::Label),
            "ONBUILD" => one(rest).map(Kind::OnBuild),
            "STOPSIGNAL" => one(rest).map(Kind::StopSignal),
            "USER" => one(rest).map(Kind::User),
            "VOLUME" => volumes(rest).map(Kind::Volume),
            "WORKDIR" => one(rest).map(Kind::WorkDir),
            _ => Err(format!("no instruction that changes a config: {KNOWN}")),
        };
        kind.map(Self).map_err(refuse)
    }
}

/// What is wrong with an instruction, in words that follow its name.
type Parsed<T> = std::result::Result<T, String>;

fn one(text: &str) -> Parsed<String> {
    let text = words::unquoted(text)?;
    if text.is_empty() { Err("it needs an argument".into()) } else { Ok(text) }
}

/// The exec form, a list in JSON, or the shell form; nothing at all means none.
fn command(text: &str) -> Parsed<Vec<String>> {
    match list(text) {
        Some(list) => Ok(list),
        None if text.is_empty() => Ok(Vec::new()),
        None => Ok(SHELL.iter().map(|part| (*part).to_owned()).chain([text.to_owned()]).collect()),
    }
}

fn list(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

fn volumes(text: &str) -> Parsed<Vec<String>> {
    let volumes = match list(text) {
        Some(list) => list,
        None => words::split(text)?,
    };
    match volumes.iter().any(String::is_empty) || volumes.is_empty() {
        true => Err("it needs a path".into()),
        false => Ok(volumes),
    }
}

/// Ports as the config names them, `80/tcp`; a range names each of its ports.
fn ports(text: &str) -> Parsed<Vec<String>> {
    let mut all = Vec::new();
    for word in words::split(text)? {
        let malformed = || format!("{} is no port", shown(&word));
        let (range, protocol) = word.split_once('/').unwrap_or((&word, "tcp"));
        let protocol = protocol.to_ascii_lowercase();
        if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
            return Err(malformed());
        }
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(malformed);
        let (first, last) = (number(first)?, number(last)?);
        if last < first || all.len() + usize::from(last - first) >= MAX_PORTS {
            return Err(malformed());
        }
        all.extend((first..=last).map(|port| format!("{port}/{protocol}")));
    }
    if all.is_empty() { Err("it needs a port".into()) } else { Ok(all) }
}

/// Changes the `config` member of an image's config as the instructions say, in their order.
///
/// An `ENTRYPOINT` takes the inherited `CMD` away, which was meant for the old one, unless a `CMD` stands among the
/// instructions as well: so a Dockerfile does.
pub(crate) fn apply(instructions: &[Instruction], config: &mut Map<String, Value>) -> Result<()> {
    let sets_cmd = instructions.iter().any(|instruction| matches!(instruction.0, Kind::Cmd(_)));
    for Instruction(kind) in instructions {
        match kind {
            Kind::Cmd(command) => set(config, "Cmd", command),
            Kind::Entrypoint(command) => {
                set(config, "Entrypoint", command);
                if !sets_cmd {
                    config.shift_remove("Cmd");
                }
            }
            Kind::Env(pairs) => set_variables(config, pairs)?,
            Kind::Expose(ports) => insert(config, "ExposedPorts", ports.iter().map(|port| (port.as_str(), json!({}))))?,
            Kind::Label(pairs) => {
                insert(config, "Labels", pairs.iter().map(|(key, value)| (key.as_str(), value.as_str().into())))?;
            }
            Kind::OnBuild(text) => array(config, "OnBuild")?.push(text.as_str().into()),
            Kind::StopSignal(signal) => set(config, "StopSignal", signal),
            Kind::User(user) => set(config, "User", user),
            Kind::Volume(paths) => insert(config, "Volumes", paths.iter().map(|path| (path.as_str(), json!({}))))?,
            Kind::WorkDir(path) => {
                let before = config.get("WorkingDir").and_then(Value::as_str).unwrap_or_default();
                let joined = absolute(before, path);
                set(config, "WorkingDir", &joined);
            }
        }
    }
    Ok(())
}

fn set<T: serde::Serialize + ?Sized>(config: &mut Map<String, Value>, key: &str, value: &T) {
    config.insert(key.into(), json!(value));
}

/// Sets variables where they stand, new ones at the end.
fn set_variables(config: &mut Map<String, Value>, pairs: &[(String, String)]) -> Result<()> {
    let variables = array(config, "Env")?;
    for (key, value) in pairs {
        let text = Value::from(format!("{key}={value}"));
        let is_it =
            |known: &Value| known.as_str().and_then(|known| known.split_once('=')).is_some_and(|(k, _)| k == key);
        match variables.iter_mut().find(|known| is_it(known)) {
            Some(known) => *known = text,
            None => variables.push(text),
        }
    }
    Ok(())
}

/// Adds members to an object; sorted, as Go writes a map.
fn insert<'a>(
    config: &mut Map<String, Value>,
    key: &str,
    members: impl Iterator<Item = (&'a str, Value)>,
) -> Result<()> {
    let value = config.entry(key).or_insert(Value::Null);
    let mut all: BTreeMap<String, Value> = match value.take() {
        Value::Null => BTreeMap::new(),
        Value::Object(known) => known.into_iter().collect(),
        _ => return Err(malformed(key)),
    };
    all.extend(members.map(|(name, value)| (name.to_owned(), value)));
    *value = Value::Object(all.into_iter().collect());
    Ok(())
}

fn array<'a>(config: &'a mut Map<String, Value>, key: &str) -> Result<&'a mut Vec<Value>> {
    let value = config.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Array(Vec::new());
    }
    value.as_array_mut().ok_or_else(|| malformed(key))
}

fn malformed(field: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("the parent's config: {field} is not what it should be"))
}

/// The working directory `path` means from `before`: absolute, without `.` and `..`.
fn absolute(before: &str, path: &str) -> String {
    let start = if path.starts_with('/') { "" } else { before };
    let mut parts = Vec::new();
    for part in start.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
#[path = "instruction/tests.rs"]
mod tests;
