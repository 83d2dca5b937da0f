//! What figures were measured on: a figure without it means nothing.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::run::{command, output};
use crate::tree;

/// The machine, the date and the programs a bench ran with.
#[derive(Debug)]
pub(super) struct Machine(Vec<(String, String)>);

impl Machine {
    /// This machine now, with the first line of what these programs say of their version.
    pub(super) fn now(programs: &[(&str, &[&str])]) -> Result<Self> {
        let mut facts = vec![
            ("date".to_owned(), output(command("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?),
            ("kernel".to_owned(), read("/proc/sys/kernel/osrelease")?),
            ("processors".to_owned(), processors(&read("/proc/cpuinfo")?)),
            ("rust".to_owned(), output(command("rustc").arg("--version"))?),
            ("plyfs".to_owned(), plyfs()),
        ];
        for (program, arguments) in programs {
            facts.push(((*program).to_owned(), first_line(&output(command(program).args(*arguments))?)));
        }
        Ok(Self(facts.into_iter().map(|(name, fact)| (name, fact.trim().to_owned())).collect()))
    }

    /// A machine of which this is all that is known.
    #[cfg(test)]
    pub(super) fn of(fact: &str) -> Self {
        Self(vec![(String::new(), fact.to_owned())])
    }

    /// A line for each fact.
    pub(super) fn lines(&self) -> String {
        self.0.iter().map(|(name, fact)| format!("{}\n", format!("{name} {fact}").trim())).collect()
    }

    pub(super) fn json(&self) -> Value {
        Value::Object(self.0.iter().map(|(name, fact)| (name.clone(), json!(fact))).collect())
    }
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {path}"))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// How many processors proc_cpuinfo(5) lists, and the model of the first.
fn processors(cpuinfo: &str) -> String {
    let values = |key: &str| -> Vec<&str> {
        let fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        fields.filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim()).collect()
    };
    format!("{} of {}", values("processor").len(), values("model name").first().unwrap_or(&"unknown model"))
}

/// The commit that is measured; a tree without git has none.
fn plyfs() -> String {
    let described = output(command("git").current_dir(tree::root()).args(["describe", "--always", "--dirty"]));
    described.unwrap_or_else(|_| "of no known commit".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted_and_named() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Quick 9000\n\nprocessor\t: 1\nmodel name\t: Quick 9000\n";
        assert_eq!(processors(cpuinfo), "2 of Quick 9000");
        assert_eq!(processors("processor : 0\n"), "1 of unknown model");
    }
}
