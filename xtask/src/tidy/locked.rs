//! What deny.toml bans is not in Cargo.lock.
//!
//! cargo-deny reads the same file and checks more; this needs nothing but the tree.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use super::Finding;

/// A banned package, below a version or in all.
#[derive(Debug, PartialEq, Eq)]
struct Ban {
    name: String,
    below: Option<Version>,
}

/// Major, minor, patch: enough to compare releases.
type Version = [u64; 3];

/// Checks the lock file against the bans.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let read = |name: &str| fs::read_to_string(root.join(name)).with_context(|| format!("read {name}"));
    let bans = bans(&read("deny.toml")?)?;
    let mut findings = Vec::new();
    for (name, version) in packages(&read("Cargo.lock")?)? {
        if bans.iter().any(|ban| ban.name == name && ban.below.is_none_or(|below| number(&version) < Some(below))) {
            findings.push(Finding::new("Cargo.lock", 0, format!("{name} {version} is banned by deny.toml")));
        }
    }
    Ok(findings)
}

/// The bans as cargo-deny spells them: a name, or a name and `@<version`.
fn bans(deny: &str) -> Result<Vec<Ban>> {
    let deny: Table = deny.parse().context("parse deny.toml")?;
    let list = deny.get("bans").and_then(|bans| bans.get("deny")).and_then(Value::as_array);
    let list = list.context("deny.toml: no list of bans")?;
    list.iter()
        .map(|entry| {
            let spec = entry.get("crate").unwrap_or(entry).as_str().context("deny.toml: a ban without a crate")?;
            match spec.split_once('@') {
                None => Ok(Ban { name: spec.to_owned(), below: None }),
                Some((name, version)) => {
                    let below = version.strip_prefix('<').and_then(number);
                    if below.is_none() {
                        bail!("deny.toml: {spec}: only `<` and a version is understood");
                    }
                    Ok(Ban { name: name.to_owned(), below })
                }
            }
        })
        .collect()
}

/// Name and version of every locked package.
fn packages(lock: &str) -> Result<Vec<(String, String)>> {
    let lock: Table = lock.parse().context("parse Cargo.lock")?;
    let list = lock.get("package").and_then(Value::as_array).context("Cargo.lock: no package")?;
    let text = |package: &Value, key: &str| package.get(key).and_then(Value::as_str).map(str::to_owned);
    list.iter()
        .map(|package| {
            text(package, "name").zip(text(package, "version")).context("Cargo.lock: a package without a name")
        })
        .collect()
}

/// The numbers of a version; what follows `-` or `+` does not count, missing ones are zero.
fn number(version: &str) -> Option<Version> {
    let plain = version.split(['-', '+']).next()?;
    let mut numbers = Version::default();
    for (index, part) in plain.split('.').enumerate() {
        *numbers.get_mut(index)? = part.parse().ok()?;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(deny: &str, lock: &str) -> Result<Vec<String>> {
        let dir = tempfile::tempdir().expect("a scratch directory");
        fs::write(dir.path().join("deny.toml"), deny).expect("write");
        fs::write(dir.path().join("Cargo.lock"), lock).expect("write");
        Ok(check(dir.path())?.into_iter().map(|finding| finding.problem).collect())
    }

    const LOCK: &str = "[[package]]\nname = \"libz-sys\"\nversion = \"1.1.2\"\n\
                        [[package]]\nname = \"tonic\"\nversion = \"0.13.9\"\n";

    #[test]
    fn a_banned_package_is_found_by_name_and_by_version() {
        for (deny, expected) in [
            ("[bans]\ndeny = [{ crate = \"libz-sys\" }]", &["libz-sys 1.1.2 is banned by deny.toml"][..]),
            ("[bans]\ndeny = [\"libz\", \"sys\"]", &[]),
            ("[bans]\ndeny = [{ crate = \"tonic@<0.14\" }]", &["tonic 0.13.9 is banned by deny.toml"]),
            ("[bans]\ndeny = [\"tonic@<0.13.9\"]", &[]),
        ] {
            assert_eq!(problems(deny, LOCK).expect("it parses"), expected, "{deny}");
        }
    }

    #[test]
    fn a_ban_that_is_not_understood_is_an_error_and_not_a_pass() {
        assert!(problems("[bans]\ndeny = [\"tonic@^0.1\"]", LOCK).is_err());
        assert!(problems("[bans]\n", LOCK).is_err());
    }

    #[test]
    fn the_projects_own_bans_are_understood() {
        let bans = bans(include_str!("../../../deny.toml")).expect("it parses");
        assert!(bans.iter().any(|ban| ban.name == "libz-sys"), "{bans:?}");
    }
}
