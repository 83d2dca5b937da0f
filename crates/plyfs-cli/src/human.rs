//! Numbers, times and foreign text as people read them.

use std::ffi::OsStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes in decimal units with three digits, as `docker` prints them: `999 B`, `1.2 kB`, `12.3 MB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    // 999.95 would print as 1000.0: it belongs to the next unit.
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// How long ago a time in seconds since the epoch is, in its largest unit.
pub(crate) fn ago(unix: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    age(now.saturating_sub(unix))
}

/// How far ahead of `now` a time is, both in seconds since the epoch, in its largest unit.
pub(crate) fn ahead(unix: u64, now: u64) -> String {
    format!("in {}", largest_unit(unix.saturating_sub(now)))
}

fn age(seconds: u64) -> String {
    format!("{} ago", largest_unit(seconds))
}

fn largest_unit(seconds: u64) -> String {
    const UNITS: [(u64, &str); 6] = [
        (365 * 86400, "year"),
        (30 * 86400, "month"),
        (7 * 86400, "week"),
        (86400, "day"),
        (3600, "hour"),
        (60, "minute"),
    ];
    let (size, name) = UNITS.into_iter().find(|(size, _)| seconds >= *size).unwrap_or((1, "second"));
    count(seconds / size, name)
}

/// A number and its noun: `1 layer`, `2 layers`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Seconds since the epoch as RFC 3339 in UTC.
pub(crate) fn rfc3339(unix: u64) -> String {
    let (days, seconds) = (unix / 86400, unix % 86400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Seconds since the epoch, before it too, as RFC 3339 in UTC; what lies before the year 0 stays a number.
pub(crate) fn moment(unix: i64) -> String {
    // The date of the day as many whole cycles of the calendar later, of the years less of them.
    let cycles = unix.min(0).unsigned_abs().div_ceil(CYCLE_SECONDS);
    let later = unix.checked_add_unsigned(cycles.saturating_mul(CYCLE_SECONDS)).and_then(|later| later.try_into().ok());
    let Some(text) = later.map(rfc3339) else { return unix.to_string() };
    let year = text.split('-').next().and_then(|year| year.parse::<u64>().ok());
    match year.and_then(|year| year.checked_sub(cycles * 400)) {
        Some(year) => format!("{year:04}{}", text.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => unix.to_string(),
    }
}

/// The seconds of 400 years, after which the calendar repeats.
const CYCLE_SECONDS: u64 = 146_097 * 86400;

/// Type and permission bits as `ls -l` prints them.
pub(crate) fn mode(letter: char, bits: u32) -> String {
    let mut text = String::from(letter);
    for (shift, special, set, unset) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        let three = bits >> shift;
        text.push(if three & 4 == 0 { '-' } else { 'r' });
        text.push(if three & 2 == 0 { '-' } else { 'w' });
        text.push(match (three & 1 != 0, bits & special != 0) {
            (true, true) => set,
            (false, true) => unset,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a name in hexadecimal where it is no text, which `--json` could not state.
pub(crate) fn hex_unless_text(name: &OsStr) -> Option<String> {
    name.to_str().is_none().then(|| hex(name.as_encoded_bytes()))
}

/// The Gregorian date of a day since the epoch: years begin in March, so that a leap day ends one.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The first twelve digits of an id or digest, as `docker` shortens them.
pub(crate) fn short(id: impl ToString) -> String {
    let id = id.to_string();
    id.strip_prefix("sha256:").unwrap_or(&id).chars().take(12).collect()
}

/// Text from outside on one line: what could drive a terminal is escaped.
pub(crate) fn one_line(text: &str) -> String {
    let escape = |character: char| -> String {
        if drives(character) { character.escape_default().collect() } else { character.to_string() }
    };
    text.chars().map(escape).collect()
}

/// JSON that says the same and drives no terminal: outside its strings, where it has escapes, there is nothing that could.
pub(crate) fn plain_json(text: &str) -> String {
    let escape = |character: char| -> String {
        let keeps = character == '\n' || !drives(character);
        if keeps { character.to_string() } else { format!("\\u{:04x}", u32::from(character)) }
    };
    text.chars().map(escape).collect()
}

/// Says whether a terminal obeys a character instead of showing it: controls, and what turns the order of those around it.
fn drives(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_at_most_four_digits() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (12_345_678, "12.3 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn times_are_dates_in_utc() {
        for (unix, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_704_067_200, "2024-01-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(unix), text);
        }
    }

    #[test]
    fn ages_are_in_their_largest_unit() {
        for (seconds, text) in [
            (0, "0 seconds ago"),
            (1, "1 second ago"),
            (60, "1 minute ago"),
            (7199, "1 hour ago"),
            (800_000, "1 week ago"),
        ] {
            assert_eq!(age(seconds), text);
        }
        assert_eq!(ahead(7300, 100), "in 2 hours");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(one_line("a\nb\u{1b}\u{9b}é\u{202e}"), "a\\nb\\u{1b}\\u{9b}é\\u{202e}");
    }

    #[test]
    fn json_says_the_same_and_drives_no_terminal() {
        let said = ["a\nb\u{1b}\u{7f}\u{9b}1mé\u{202e}\u{2066}"];
        let json = plain_json(&serde_json::to_string_pretty(&said).expect("text"));
        assert_eq!(json, "[\n  \"a\\nb\\u001b\\u007f\\u009b1mé\\u202e\\u2066\"\n]");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).expect("json"), said);
    }

    #[test]
    fn a_short_id_has_twelve_digits_and_no_algorithm() {
        assert_eq!(short("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short("0123456789abcdef"), "0123456789ab");
    }
}
