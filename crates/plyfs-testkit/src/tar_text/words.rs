//! Words of a line: bytes with escapes and repetitions, numbers, PAX records.

/// The bytes a word stands for, no more than `most`.
pub(super) fn bytes(word: &str, most: usize) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::new();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '\\' => rest = escape(rest, &mut out)?,
            '{' => {
                let (inside, after) = rest.split_once('}').ok_or("a brace is not closed")?;
                let (text, times) = inside.rsplit_once('*').ok_or("braces without a number")?;
                let (text, times) = (bytes(text, most)?, usize::try_from(number(times, 10)?).unwrap_or(usize::MAX));
                if text.len().saturating_mul(times).saturating_add(out.len()) > most {
                    return Err("the word is too long");
                }
                out.extend(text.repeat(times));
                rest = after;
            }
            other => out.extend(other.to_string().bytes()),
        }
    }
    Ok(out)
}

/// Reads what follows a backslash and returns the rest.
fn escape<'a>(rest: &'a str, out: &mut Vec<u8>) -> Result<&'a str, &'static str> {
    let byte = match rest.as_bytes().first() {
        Some(b'n') => b'\n',
        Some(b's') => b' ',
        Some(b'\\') => b'\\',
        Some(b'x') => {
            let digits = rest.get(1..3).ok_or("two digits follow \\x")?;
            out.push(u8::from_str_radix(digits, 16).map_err(|_| "two digits follow \\x")?);
            return Ok(&rest[3..]);
        }
        _ => return Err("no such escape"),
    };
    out.push(byte);
    Ok(&rest[1..])
}

pub(super) fn number(word: &str, radix: u32) -> Result<u64, &'static str> {
    u64::from_str_radix(word, radix).map_err(|_| "not a number")
}

/// Adds one PAX record; its length counts itself.
pub(super) fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let body = [b" ", key, b"=", value, b"\n"].concat();
    let length = (body.len()..).find(|length| length.to_string().len() + body.len() == *length);
    records.extend(length.expect("a length that counts itself").to_string().bytes());
    records.extend(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_for_any_bytes() {
        assert_eq!(bytes("a\\x00\\n\\s\\\\{xy*2}", 100).expect("a word"), b"a\0\n \\xyxy");
        for wrong in ["\\q", "\\x0", "{a", "{a}", "{a*b}", "{a*99999999999}"] {
            assert!(bytes(wrong, 100).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_record_counts_its_own_length() {
        let mut records = Vec::new();
        record(&mut records, b"path", b"ab");
        record(&mut records, b"k", &[b'v'; 95]);
        assert!(records.starts_with(b"11 path=ab\n102 k=vv"), "{}", records.escape_ascii());
    }
}
