//! What instructions do to the `config` member of an image's config.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::expand::expand;
use super::signal::is_signal;
use super::{Command, Instruction, Kind, Parsed, refused};
use crate::error::{Result, shown};
use crate::json::object::Object;

/// Ports that one `EXPOSE` may name: a range is a list.
const MAX_PORTS: usize = 65_536;
/// What runs a command in its shell form, unless the config names another shell.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Changes the `config` member of an image's config as the instructions say, in their order.
///
/// An `ENTRYPOINT` takes the inherited `CMD` away, which was meant for the old one, unless a `CMD` stands among the
/// instructions as well: so a Dockerfile does.
pub(crate) fn apply(instructions: &[Instruction], config: &mut Object) -> Result<()> {
    let sets_cmd = instructions.iter().any(|instruction| matches!(instruction.kind, Kind::Cmd(_)));
    instructions.iter().try_for_each(|instruction| {
        let expanded = expanded(&instruction.kind, config).map_err(|why| refused(&instruction.text, &why))?;
        change(expanded, config, sets_cmd)
    })
}

impl Instruction {
    /// Refuses what is wrong whatever the variables hold.
    pub(super) fn check(&self) -> Parsed<()> {
        let mut plain = Object::default();
        match expanded(&self.kind, &plain) {
            Err(why) if !self.text.contains('$') => Err(why),
            Ok(kind) => change(kind, &mut plain, false).map_err(|error| error.to_string()),
            // It may be the variable that is missing; its words are sound.
            Err(_) => self.words().try_for_each(|word| expand(word, &|_| None).map(drop)),
        }
    }

    fn words(&self) -> Box<dyn Iterator<Item = &String> + '_> {
        match &self.kind {
            Kind::Env(pairs) | Kind::Label(pairs) => Box::new(pairs.iter().flat_map(|(key, value)| [key, value])),
            Kind::Expose(words) | Kind::Volume(words) => Box::new(words.iter()),
            Kind::StopSignal(word) | Kind::User(word) | Kind::WorkDir(word) => Box::new(std::iter::once(word)),
            Kind::Cmd(_) | Kind::Entrypoint(_) | Kind::Healthcheck(_) | Kind::OnBuild(_) => {
                Box::new(std::iter::empty())
            }
        }
    }
}

/// The same with what its words mean under this config.
fn expanded(kind: &Kind, config: &Object) -> Parsed<Kind> {
    let variables: Vec<Value> = config.read("Env").unwrap_or_default();
    let value = |name: &str| {
        let mut pairs = variables.iter().filter_map(|pair| pair.as_str()?.split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
    };
    let text = |word: &String| expand(word, &value);
    let given = |word: &String| match text(word)? {
        text if text.is_empty() => Err("an argument is empty".to_owned()),
        text => Ok(text),
    };
    let pairs = |pairs: &[(String, String)]| -> Parsed<Vec<_>> {
        pairs.iter().map(|(key, value)| Ok((given(key)?, text(value)?))).collect()
    };
    Ok(match kind {
        Kind::Env(all) => Kind::Env(pairs(all)?),
        Kind::Label(all) => Kind::Label(pairs(all)?),
        Kind::Expose(words) => Kind::Expose(ports(&words.iter().map(text).collect::<Parsed<Vec<_>>>()?.join(" "))?),
        Kind::Volume(words) => Kind::Volume(words.iter().map(given).collect::<Parsed<_>>()?),
        Kind::User(word) => Kind::User(given(word)?),
        Kind::WorkDir(word) => Kind::WorkDir(given(word)?),
        Kind::StopSignal(word) => match given(word)? {
            signal if is_signal(&signal) => Kind::StopSignal(signal),
            other => return Err(format!("{} is no signal", shown(other))),
        },
        Kind::Cmd(_) | Kind::Entrypoint(_) | Kind::Healthcheck(_) | Kind::OnBuild(_) => kind.clone(),
    })
}

/// Does what an instruction says whose variables were put in.
fn change(kind: Kind, config: &mut Object, sets_cmd: bool) -> Result<()> {
    match kind {
        Kind::Cmd(command) => config.set("Cmd", &in_shell(command, config)),
        Kind::Entrypoint(command) => {
            if !sets_cmd {
                config.remove("Cmd");
            }
            config.set("Entrypoint", &in_shell(command, config))
        }
        Kind::Env(pairs) => set_variables(config, &pairs),
        Kind::Expose(ports) => insert(config, "ExposedPorts", ports.into_iter().map(|port| (port, json!({})))),
        Kind::Healthcheck(check) => config.set("Healthcheck", &check),
        Kind::Label(pairs) => insert(config, "Labels", pairs.into_iter().map(|(key, value)| (key, value.into()))),
        Kind::OnBuild(text) => config.edit("OnBuild", |triggers: &mut Vec<Value>| {
            triggers.push(text.into());
            Ok(())
        }),
        Kind::StopSignal(signal) => config.set("StopSignal", &signal),
        Kind::User(user) => config.set("User", &user),
        Kind::Volume(paths) => insert(config, "Volumes", paths.into_iter().map(|path| (path, json!({})))),
        Kind::WorkDir(path) => {
            let before: String = config.read("WorkingDir").unwrap_or_default();
            config.set("WorkingDir", &absolute(&before, &path))
        }
    }
}

/// The words that run a command.
fn in_shell(command: Command, config: &Object) -> Vec<String> {
    let line = match command {
        Command::Exec(words) => return words,
        Command::Shell(line) => line,
    };
    let named = config.read("Shell").filter(|shell: &Vec<Value>| !shell.is_empty());
    let named = named.map(|shell| shell.iter().filter_map(|part| part.as_str().map(str::to_owned)).collect());
    let mut words: Vec<String> = named.unwrap_or_else(|| SHELL.map(str::to_owned).to_vec());
    words.push(line);
    words
}

/// Ports as the config names them, `80/tcp`; a range names each of its ports.
fn ports(text: &str) -> Parsed<Vec<String>> {
    let mut all = Vec::new();
    for word in text.split_whitespace() {
        let malformed = || format!("{} is no port", shown(word));
        let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
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

/// Sets variables where they stand, new ones at the end.
fn set_variables(config: &mut Object, pairs: &[(String, String)]) -> Result<()> {
    config.edit("Env", |variables: &mut Vec<Value>| {
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
    })
}

/// Adds members to an object; sorted, as Go writes a map.
fn insert(config: &mut Object, key: &str, members: impl Iterator<Item = (String, Value)>) -> Result<()> {
    config.edit(key, |known: &mut BTreeMap<String, Value>| {
        known.extend(members);
        Ok(())
    })
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
