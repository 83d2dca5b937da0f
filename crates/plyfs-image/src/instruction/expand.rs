//! What a word means: its quotes and backslashes taken out, its variables put in.
//!
//! The rules are those of a Dockerfile: `$name`, `${name}`, `${name:-else}` and `${name:+instead}`, nothing of them within
//! single quotes or behind a backslash. A variable that is not set is empty, and so is what a shell gives a special one.

use std::iter::Peekable;
use std::str::Chars;

use super::Parsed;

/// The longest text that a word may become: each variable may repeat what the ones before it hold.
const MAX_EXPANDED: usize = 1 << 20;
/// How deep one `${name:-else}` may stand in another.
const MAX_DEPTH: usize = 16;

/// The text that `word` means where `value` gives what a variable holds.
pub(super) fn expand<'v>(word: &str, value: &dyn Fn(&str) -> Option<&'v str>) -> Parsed<String> {
    let mut word = Word { rest: word.chars().peekable(), value };
    word.until(None, 0)
}

struct Word<'a, 'v> {
    rest: Peekable<Chars<'a>>,
    value: &'a dyn Fn(&str) -> Option<&'v str>,
}

impl Word<'_, '_> {
    /// The meaning of all up to `end`, which is taken, or of all there is.
    fn until(&mut self, end: Option<char>, depth: usize) -> Parsed<String> {
        let mut out = String::new();
        while let Some(c) = self.rest.next() {
            match c {
                c if Some(c) == end => return Ok(out),
                '\'' => self.single(&mut out)?,
                '"' => self.double(&mut out, depth)?,
                '$' => out.push_str(&self.variable(depth)?),
                '\\' => out.push(self.rest.next().ok_or("it ends in a backslash")?),
                c => out.push(c),
            }
            bounded(&out)?;
        }
        match end {
            Some(end) => Err(format!("{end} is missing")),
            None => Ok(out),
        }
    }

    fn single(&mut self, out: &mut String) -> Parsed<()> {
        loop {
            match self.rest.next().ok_or("a quote is not closed")? {
                '\'' => return Ok(()),
                c => out.push(c),
            }
        }
    }

    fn double(&mut self, out: &mut String, depth: usize) -> Parsed<()> {
        loop {
            match self.rest.next().ok_or("a quote is not closed")? {
                '"' => return Ok(()),
                '$' => out.push_str(&self.variable(depth)?),
                '\\' => match self.rest.next().ok_or("a quote is not closed")? {
                    c @ ('"' | '$' | '\\') => out.push(c),
                    c => out.extend(['\\', c]),
                },
                c => out.push(c),
            }
            bounded(out)?;
        }
    }

    /// What stands behind a dollar sign; the sign itself where that is no variable.
    fn variable(&mut self, depth: usize) -> Parsed<String> {
        if self.rest.next_if_eq(&'{').is_some() {
            return self.braced(depth);
        }
        Ok(self.name().map_or_else(|| "$".to_owned(), |name| self.value(&name)))
    }

    fn braced(&mut self, depth: usize) -> Parsed<String> {
        let name = self.name().ok_or("a variable without a name")?;
        let held = self.value(&name);
        let how = match self.rest.next() {
            Some('}') => return Ok(held),
            Some(':') => self.rest.next().filter(|how| ['-', '+'].contains(how)),
            _ => None,
        };
        let how = how.ok_or_else(|| format!("behind ${{{name} stands none of }} :- :+"))?;
        if depth == MAX_DEPTH {
            return Err("variables stand in each other too deep".into());
        }
        let other = self.until(Some('}'), depth + 1)?;
        Ok(match (how, held.is_empty()) {
            ('-', false) => held,
            ('+', true) => String::new(),
            _ => other,
        })
    }

    /// The name of a variable, if one stands here: of digits alone, or one of a shell's special ones.
    fn name(&mut self) -> Option<String> {
        let first = self.rest.next_if(|c| c.is_ascii_alphanumeric() || "_@*#?-$!".contains(*c))?;
        let goes_on: fn(&char) -> bool = match first {
            '0'..='9' => char::is_ascii_digit,
            'a'..='z' | 'A'..='Z' | '_' => |c| c.is_ascii_alphanumeric() || *c == '_',
            _ => |_| false,
        };
        let mut name = String::from(first);
        while let Some(c) = self.rest.next_if(goes_on) {
            name.push(c);
        }
        Some(name)
    }

    fn value(&self, name: &str) -> String {
        (self.value)(name).unwrap_or_default().to_owned()
    }
}

fn bounded(text: &str) -> Parsed<()> {
    if text.len() > MAX_EXPANDED { Err(format!("more than {MAX_EXPANDED} bytes with its variables")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(word: &str) -> Parsed<String> {
        expand(word, &|name| match name {
            "PATH" => Some("/bin"),
            "EMPTY" => Some(""),
            "BIG" => Some(concat!("0123456789", "0123456789")),
            _ => None,
        })
    }

    /// What docker 20.10 makes of each.
    #[test]
    fn a_word_means_what_it_means_in_a_dockerfile() {
        for (word, expected) in [
            ("$PATH:/opt", "/bin:/opt"),
            ("${PATH}_x$PATH-x$PATH_x", "/bin_x/bin-x"),
            ("${X:-def}${PATH:+alt}${X:+no}${EMPTY:-e}", "defalte"),
            ("${X:-${PATH}}${X:-\"a b\"}", "/bina b"),
            ("\"${X:-a b}\"", "a b"),
            ("'$PATH'", "$PATH"),
            ("\\$PATH", "$PATH"),
            ("\"a\\b\"a\\b\"\\$x\\\"\\\\\"", "a\\bab$x\"\\"),
            ("$", "$"),
            ("a$/b$", "a$/b$"),
            ("$$|$1|$?x|$@|$12x", "||x||x"),
            ("", ""),
        ] {
            assert_eq!(expanded(word).as_deref(), Ok(expected), "{word}");
        }
    }

    #[test]
    fn what_is_no_word_is_refused() {
        let deep = "${X:-".repeat(100_000);
        for word in ["${}", "${PATH", "${PATH:x}", "${PATH-x}", "${PATH:-x", "'x", "\"x", "\"x\\", "x\\", &deep] {
            assert!(expanded(word).is_err(), "{:.30}", word);
        }
        assert!(expanded(&"$BIG".repeat(60_000)).is_err(), "what it becomes is bounded too");
    }
}
