//! Words of an instruction: quotes and backslashes as a Dockerfile has them.

use super::Parsed;

/// Splits at white space; what is quoted or behind a backslash stays together. Quotes and backslashes are taken out.
pub(super) fn split(text: &str) -> Parsed<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                let escaped = chars.next().ok_or("it ends in a backslash")?;
                word.get_or_insert_default().push(escaped);
            }
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".into());
    }
    words.extend(word);
    Ok(words)
}

/// The whole text as one word, its quotes taken out.
pub(super) fn unquoted(text: &str) -> Parsed<String> {
    Ok(split(text)?.join(" "))
}

/// `key=value` pairs, or the old form `key value`, whose value is all the rest.
pub(super) fn pairs(text: &str) -> Parsed<Vec<(String, String)>> {
    let first = text.split_whitespace().next().ok_or("it needs a key and a value")?;
    if !first.contains('=') {
        let value = text[first.len()..].trim();
        return match value.is_empty() {
            true => Err(format!("{first} has no value")),
            false => Ok(vec![(first.to_owned(), value.to_owned())]),
        };
    }
    let pair = |word: String| match word.split_once('=') {
        Some(("", _)) | None => Err(format!("{} is no key=value", crate::error::shown(&word))),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
    };
    split(text)?.into_iter().map(pair).collect()
}
