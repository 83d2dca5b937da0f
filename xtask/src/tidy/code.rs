//! Rust source with its comments and literals blanked, so that a word in prose is not taken for a token.
//!
//! Line breaks stay where they are: line numbers of the result are line numbers of the file.

/// Blanks comments, strings and character literals.
pub(super) fn blank(source: &str) -> String {
    let mut rest = source;
    let mut code = String::with_capacity(source.len());
    let mut last = ' ';
    while let Some(c) = rest.chars().next() {
        let length = literal_length(rest, last);
        let (piece, after) = rest.split_at(if length > 0 { length } else { c.len_utf8() });
        if length > 0 {
            code.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            code.push(c);
        }
        last = c;
        rest = after;
    }
    code
}

/// The length of the comment or literal that `text` starts with, or zero; `last` is the character before it.
fn literal_length(text: &str, last: char) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    if text.starts_with('"') {
        return string(text);
    }
    if text.starts_with('\'') {
        return character(text);
    }
    if text.starts_with(['r', 'b', 'c']) && !is_word(last) {
        return raw_string(text);
    }
    0
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        match text.get(at..at + 2) {
            Some("/*") => (depth, at) = (depth + 1, at + 2),
            Some("*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `'a'` and `'\n'`, but not the lifetime `'a`.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    let Some((_, first)) = chars.next() else { return 0 };
    if first == '\\' {
        chars.next();
        return chars.find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1);
    }
    match chars.next() {
        Some((at, '\'')) => at + 1,
        _ => 0,
    }
}

/// `r"…"`, `br##"…"##`, `cr"…"`: no escapes, ended by as many hashes as it began with.
fn raw_string(text: &str) -> usize {
    let prefix = ["br", "cr", "r"].into_iter().find(|prefix| text.starts_with(prefix));
    let Some(start) = prefix.map(str::len) else { return 0 };
    let hashes = text[start..].bytes().take_while(|b| *b == b'#').count();
    let open = start + hashes;
    if !text[open..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    text[open + 1..].find(&end).map_or(text.len(), |at| open + 1 + at + end.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `text` holds `word` with no letter, digit or underscore beside it.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back().is_some_and(is_word);
        let after = text[at + word.len()..].chars().next().is_some_and(is_word);
        !before && !after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_code_stays() {
        for (source, expected) in [
            ("a // unsafe\nb", "a          \nb"),
            ("a /* x /* y */ z */ b", "a                   b"),
            (r#"f("unsafe \" {") g"#, r"f(             ) g"),
            ("r#\"one \" two\"# end", "               end"),
            ("br\"x\\\" end", "       end"),
            ("for 'a' in &'a str", "for     in &'a str"),
            (r"'\'' '\u{41}' x", r"              x"),
            ("number r#type", "number r#type"),
            ("\"open\nline", "     \n    "),
        ] {
            assert_eq!(blank(source), expected, "{source}");
        }
    }

    #[test]
    fn lines_keep_their_numbers() {
        let source = include_str!("code.rs");
        assert_eq!(blank(source).lines().count(), source.lines().count());
    }

    #[test]
    fn a_word_is_not_a_part_of_a_longer_one() {
        assert!(has_word("pub unsafe fn", "unsafe"));
        assert!(has_word("#[unsafe(no_mangle)]", "unsafe"));
        assert!(!has_word("deny(unsafe_code)", "unsafe"));
        assert!(!has_word("not_unsafe", "unsafe"));
    }
}
