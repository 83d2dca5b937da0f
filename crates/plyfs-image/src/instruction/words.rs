//! Words of an instruction as they are written: quotes and backslashes hold them together and stay for [`super::expand`].

use super::Parsed;

/// Splits at white space; what is quoted or behind a backslash stays together.
pub(super) fn split(text: &str) -> Parsed<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.extend([c, chars.next().ok_or("it ends in a backslash")?]),
            (c, None) if c.is_whitespace() => {
                words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()))
            }
            (c, _) => {
                quote = match (c, quote) {
                    ('"' | '\'', None) => Some(c),
                    (c, Some(open)) if c == open => None,
                    _ => quote,
                };
                word.push(c);
            }
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".into());
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    Ok(words)
}

/// `key=value` pairs, or the old form `key value`, whose value is all the rest.
pub(super) fn pairs(text: &str) -> Parsed<Vec<(String, String)>> {
    let words = split(text)?;
    let first = words.first().ok_or("it needs a key and a value")?;
    if !first.contains('=') {
        let (key, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        return match value.trim() {
            "" => Err(format!("{key} has no value")),
            value => Ok(vec![(key.to_owned(), value.to_owned())]),
        };
    }
    let pair = |word: &String| match word.split_once('=') {
        Some(("", _)) | None => Err(format!("{} is no key=value", crate::error::shown(word))),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
    };
    words.iter().map(pair).collect()
}
