//! Instructions of a Dockerfile that change what a config says of a container, as `docker commit --change` takes them.
//!
//! An [`Instruction`] is read once, whole, before anything is staged; what it does to a config is [`apply()`]. The
//! words, their arguments and what they do are those of the Dockerfile reference. Variables are put in from the
//! environment that the config gives its containers, with what instructions before added to it.

mod apply;
mod expand;
mod health;
mod signal;
mod words;

use std::str::FromStr;

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result, shown};
pub(crate) use apply::apply;

/// The longest instruction that is read.
const MAX_LENGTH: usize = 64 << 10;

/// One change of an image's config, in the words of a Dockerfile; a `=` may stand behind the first one, as podman takes it.
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
pub struct Instruction {
    /// As it was given, for messages.
    text: String,
    kind: Kind,
}

/// What is to be done; words are as they were written until [`expand::expand`] has put variables in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Cmd(Command),
    Entrypoint(Command),
    Env(Vec<(String, String)>),
    Expose(Vec<String>),
    Healthcheck(Value),
    Label(Vec<(String, String)>),
    OnBuild(String),
    StopSignal(String),
    User(String),
    Volume(Vec<String>),
    WorkDir(String),
}

/// A command, which has no variables: its shell puts them in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Command {
    Exec(Vec<String>),
    Shell(String),
}

/// The words that are known, for who gives another one.
const KNOWN: &str = "CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR";

impl FromStr for Instruction {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.len() > MAX_LENGTH {
            return Err(refused(text, &format!("{} bytes, and {MAX_LENGTH} are the most", text.len())));
        }
        let kind = parse(&text.replace("\\\n", "")).map_err(|why| refused(text, &why))?;
        let instruction = Self { text: text.to_owned(), kind };
        instruction.check().map_err(|why| refused(text, &why))?;
        Ok(instruction)
    }
}

/// What is wrong with an instruction, in words that follow its text.
type Parsed<T> = std::result::Result<T, String>;

fn refused(text: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("change {}: {why}", shown(text)))
}

fn parse(text: &str) -> Parsed<Kind> {
    let text = text.trim();
    if text.contains(['\n', '\r']) {
        return Err("more than one line".into());
    }
    // `CMD=/bin/sh` as podman(1) has it too.
    let (word, rest) = text.split_once([' ', '\t', '=']).unwrap_or((text, ""));
    let rest = rest.trim();
    match word.to_ascii_uppercase().as_str() {
        "CMD" => command(rest).map(Kind::Cmd),
        "ENTRYPOINT" => command(rest).map(Kind::Entrypoint),
        "ENV" => words::pairs(rest).map(Kind::Env),
        "EXPOSE" => some(words::split(rest)?, "a port").map(Kind::Expose),
        "HEALTHCHECK" => health::parse(rest).map(Kind::Healthcheck),
        "LABEL" => words::pairs(rest).map(Kind::Label),
        "ONBUILD" => trigger(rest).map(Kind::OnBuild),
        "STOPSIGNAL" => one(rest).map(Kind::StopSignal),
        "USER" => one(rest).map(Kind::User),
        "VOLUME" => some(command_list(rest)?.map_or_else(|| words::split(rest), Ok)?, "a path").map(Kind::Volume),
        "WORKDIR" => one(rest).map(Kind::WorkDir),
        _ => Err(format!("no instruction that changes a config: {KNOWN}")),
    }
}

fn one(text: &str) -> Parsed<String> {
    if text.is_empty() { Err("it needs an argument".into()) } else { Ok(text.to_owned()) }
}

fn some(words: Vec<String>, what: &str) -> Parsed<Vec<String>> {
    if words.is_empty() { Err(format!("it needs {what}")) } else { Ok(words) }
}

/// What a build from the image will do first, kept as it is.
fn trigger(text: &str) -> Parsed<String> {
    let word = text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    match word.as_str() {
        "" => Err("it needs an instruction".into()),
        "ONBUILD" | "FROM" | "MAINTAINER" => Err(format!("{word} cannot be a trigger")),
        _ => Ok(text.to_owned()),
    }
}

/// The exec form, a list in JSON, or the shell form; nothing at all means none.
fn command(text: &str) -> Parsed<Command> {
    let list = command_list(text)?.or_else(|| text.is_empty().then(Vec::new));
    Ok(list.map_or_else(|| Command::Shell(text.to_owned()), Command::Exec))
}

/// The texts of a list in JSON; `None` where the text is no such list, as in the shell form.
fn command_list(text: &str) -> Parsed<Option<Vec<String>>> {
    let Some(list) = text.starts_with('[').then(|| serde_json::from_str::<Vec<Value>>(text).ok()).flatten() else {
        return Ok(None);
    };
    let text = |value| match value {
        Value::String(text) => Ok(text),
        _ => Err("a list holds something else than texts".to_owned()),
    };
    list.into_iter().map(text).collect::<Parsed<_>>().map(Some)
}

#[cfg(test)]
#[path = "instruction/tests.rs"]
mod tests;
