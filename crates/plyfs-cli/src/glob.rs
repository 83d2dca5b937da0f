//! Patterns for one name, as a shell means them: `*`, `?`, `[a-z]`, `[!a-z]`, and a backslash before what means itself.

/// Says whether a whole name fits a pattern; a bracket that is not closed means itself.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    // Where the last star stood, and the first byte it does not cover yet: there is the only place to go back to.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some(after) = pattern.strip_prefix(b"*") {
            star = Some((after, name));
            pattern = after;
            continue;
        }
        match (name.split_first(), one(pattern, name.first().copied())) {
            (None, _) if pattern.is_empty() => return true,
            (Some((_, rest)), Some(after)) => (pattern, name) = (after, rest),
            _ => match star {
                Some((after, [_, rest @ ..])) => {
                    star = Some((after, rest));
                    (pattern, name) = (after, rest);
                }
                _ => return false,
            },
        }
    }
}

/// The rest of a pattern whose first part fits one byte.
fn one(pattern: &[u8], byte: Option<u8>) -> Option<&[u8]> {
    let byte = byte?;
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => match class(rest, byte) {
            Some((true, after)) => Some(after),
            Some((false, _)) => None,
            None => (byte == b'[').then_some(rest),
        },
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte).then_some(rest),
        [] => None,
    }
}

/// Says whether a byte is in the class that a pattern begins with, and what follows the bracket that ends it.
fn class(pattern: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let (is_not, mut rest) = match pattern {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let (mut is_in, mut is_first) = (false, true);
    loop {
        rest = match rest {
            [b']', after @ ..] if !is_first => return Some((is_in != is_not, after)),
            [from, b'-', to, after @ ..] if *to != b']' => {
                is_in |= (*from..=*to).contains(&byte);
                after
            }
            [literal, after @ ..] => {
                is_in |= *literal == byte;
                after
            }
            [] => return None,
        };
        is_first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, fitting, not) in [
            ("*.conf", &["a.conf", ".conf"][..], &["a.conf.d", "conf"][..]),
            ("a*b*c", &["abc", "aXbYc", "abcbc"], &["ab", "acb"]),
            ("?", &["a", "\u{7f}"], &["", "ab"]),
            ("[a-c]x", &["ax", "cx"], &["dx", "x"]),
            ("[!a-c]", &["d", "-"], &["a"]),
            ("[]x]", &["]", "x"], &["[", ""]),
            ("[a-]", &["a", "-"], &["b"]),
            ("[open", &["[open"], &["o"]),
            ("\\*", &["*"], &["a", "\\*"]),
            ("", &[""], &["a"]),
            ("*", &["", "anything"], &[]),
        ] {
            fitting.iter().for_each(|name| assert!(matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}"));
            not.iter().for_each(|name| assert!(!matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}"));
        }
    }

    #[test]
    fn many_stars_are_no_more_work_than_the_product_of_both_lengths() {
        let name = "a".repeat(5000);
        assert!(matches("a*".repeat(50).as_bytes(), name.as_bytes()));
        assert!(!matches(format!("{}b", "a*".repeat(50)).as_bytes(), name.as_bytes()));
    }
}
