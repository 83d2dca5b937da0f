//! What must be there after a cut, from the marks before it.
//!
//! A state is a map of keys: `tag:NAME`, `container:NAME`, `file:CONTAINER/PATH`. Every worker has keys of its own and does
//! one thing at a time, so what a cut finds is what was acknowledged, and of each operation in flight all or nothing.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::record::Mark;

/// What is there, key by key.
pub(crate) type Facts = BTreeMap<String, String>;

/// `*`: any value, for what is only known afterwards.
const ANY: &str = "*";

/// `-`: not there.
const ABSENT: &str = "-";

/// An operation that had begun and not returned.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    name: String,
    is_whole: bool,
    effects: Vec<(String, String)>,
}

/// What may be found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    settled: Facts,
    open: BTreeMap<String, Open>,
}

impl Expected {
    /// Exactly these facts.
    pub(crate) fn exactly(facts: Facts) -> Self {
        Self { settled: facts, open: BTreeMap::new() }
    }

    /// Takes in one more mark.
    pub(crate) fn advance(&mut self, line: &str) -> Result<()> {
        let mut words = line.split(' ');
        let verb = words.next().unwrap_or_default();
        if verb == "observed" {
            return Ok(());
        }
        let (Some(who), Some(number)) = (words.next(), words.next()) else { bail!("mark `{line}`") };
        let name = format!("{who} {number}");
        match verb {
            "begin" => {
                let is_whole = words.next() == Some("whole");
                let effects = words.map(|word| pair(word, line)).collect::<Result<_>>()?;
                self.open.insert(name.clone(), Open { name, is_whole, effects });
            }
            "done" => {
                let open = self.open.remove(&name).with_context(|| format!("mark `{line}` has no beginning"))?;
                let known = words.map(|word| pair(word, line)).collect::<Result<Vec<_>>>()?;
                for (key, value) in open.effects.into_iter().chain(known) {
                    match value.as_str() {
                        ABSENT => drop(self.settled.remove(&key)),
                        _ => drop(self.settled.insert(key, value)),
                    }
                }
            }
            "fail" => drop(self.open.remove(&name).with_context(|| format!("mark `{line}` has no beginning"))?),
            _ => bail!("mark `{line}`"),
        }
        Ok(())
    }

    /// What is expected when only the marks up to the place `at` were set.
    pub(crate) fn at(mut self, marks: &[Mark], at: usize) -> Result<Self> {
        for mark in marks.iter().take_while(|mark| mark.at <= at) {
            self.advance(&mark.line)?;
        }
        Ok(self)
    }

    /// Everything that is not as it must be.
    pub(crate) fn violations(&self, found: &Facts) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut settled = self.settled.clone();
        for open in self.open.values() {
            let before = open.effects.iter().all(|(key, _)| self.settled.get(key) == found.get(key));
            let after = open.effects.iter().all(|(key, value)| has(found, key, value));
            if open.is_whole && !before && !after {
                wrong.push(format!("operation {} is half there: {}", open.name, open.describe(&self.settled, found)));
            }
            for (key, _) in &open.effects {
                settled.remove(key);
            }
        }
        let is_open = |key: &String| self.open.values().any(|open| open.effects.iter().any(|(of, _)| of == key));
        for (key, value) in &settled {
            match found.get(key) {
                Some(there) if there == value => {}
                Some(there) => wrong.push(format!("acknowledged {key}={value} is {there}")),
                None => wrong.push(format!("acknowledged {key}={value} is lost")),
            }
        }
        for (key, value) in found.iter().filter(|(key, _)| !settled.contains_key(*key) && !is_open(key)) {
            wrong.push(format!("{key}={value} is there, though it was removed or never made"));
        }
        wrong
    }
}

impl Open {
    fn describe(&self, before: &Facts, found: &Facts) -> String {
        let show = |facts: &Facts, key| facts.get(key).map_or(ABSENT, String::as_str).to_owned();
        let keys = self.effects.iter();
        let lines: Vec<_> = keys
            .map(|(key, value)| format!("{key} was {}, becomes {value}, is {}", show(before, key), show(found, key)))
            .collect();
        lines.join("; ")
    }
}

fn has(found: &Facts, key: &str, value: &str) -> bool {
    match (found.get(key), value) {
        (None, ABSENT) => true,
        (Some(_), ANY) => true,
        (Some(there), _) => there == value,
        (None, _) => false,
    }
}

fn pair(word: &str, line: &str) -> Result<(String, String)> {
    let (key, value) = word.split_once('=').with_context(|| format!("mark `{line}`: `{word}`"))?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pairs: &[(&str, &str)]) -> Facts {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn expected(lines: &[&str]) -> Expected {
        let mut expected = Expected::default();
        lines.iter().try_for_each(|line| expected.advance(line)).expect("good marks");
        expected
    }

    #[test]
    fn what_was_acknowledged_must_be_there_and_nothing_else() {
        let expected = expected(&["begin w 1 whole a=1", "done w 1", "begin w 2 whole b=2", "fail w 2"]);
        for (found, wrong) in [
            (&[("a", "1")][..], ""),
            (&[], "acknowledged a=1 is lost"),
            (&[("a", "2")], "acknowledged a=1 is 2"),
            (&[("a", "1"), ("b", "2")], "b=2 is there, though it was removed or never made"),
        ] {
            assert_eq!(expected.violations(&facts(found)).join(), wrong, "{found:?}");
        }
    }

    #[test]
    fn an_operation_in_flight_is_whole_or_absent() {
        let expected = expected(&["begin w 1 whole a=1", "done w 1", "begin w 2 whole a=- b=*"]);
        for (found, is_legal) in [
            (&[("a", "1")][..], true),
            (&[("b", "7")], true),
            (&[], false),
            (&[("a", "1"), ("b", "7")], false),
            (&[("a", "2")], false),
        ] {
            assert_eq!(expected.violations(&facts(found)).is_empty(), is_legal, "{found:?}");
        }
    }

    #[test]
    fn nothing_is_promised_of_a_loose_operation_before_it_returns() {
        let begun = ["begin w 1 loose a=1"];
        for found in [&[][..], &[("a", "1")], &[("a", "9")]] {
            assert_eq!(expected(&begun).violations(&facts(found)), [""; 0], "{found:?}");
        }
        let done = expected(&[begun[0], "done w 1"]);
        assert_eq!(done.violations(&facts(&[])).len(), 1);
    }

    #[test]
    fn what_is_only_known_afterwards_is_held_to_the_acknowledged_value() {
        let done = expected(&["begin w 1 whole a=*", "done w 1 a=5"]);
        assert_eq!(done.violations(&facts(&[("a", "5")])), [""; 0]);
        assert_eq!(done.violations(&facts(&[("a", "6")])).len(), 1);
    }

    trait Join {
        fn join(&self) -> String;
    }

    impl Join for Vec<String> {
        fn join(&self) -> String {
            self.as_slice().join("; ")
        }
    }
}
