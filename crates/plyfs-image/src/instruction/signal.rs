//! Signals by name or number, as `STOPSIGNAL` takes them.

/// The names of Linux' signals without `SIG`; those for real-time are counted from either end.
const NAMES: [&str; 35] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
    "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMAX",
];
/// The largest number of a signal.
const MOST: u8 = 64;

/// Says whether a text is a signal: `SIGTERM`, `term`, `RTMIN+3` or a number.
pub(super) fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<u8>() {
        return (1..=MOST).contains(&number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let counts = |rest: &str, most: u8| rest.parse::<u8>().is_ok_and(|count| (1..=most).contains(&count));
    NAMES.contains(&name)
        || name == "RTMIN"
        || name.strip_prefix("RTMIN+").is_some_and(|rest| counts(rest, 15))
        || name.strip_prefix("RTMAX-").is_some_and(|rest| counts(rest, 14))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_by_number() {
        for good in ["SIGTERM", "term", "SigHup", "9", "64", "RTMIN", "SIGRTMIN+15", "rtmax-14", "RTMAX"] {
            assert!(is_signal(good), "{good}");
        }
        for bad in ["", "SIG", "banana", "0", "65", "-9", "RTMIN+16", "RTMIN+0", "RTMAX-15", "RTMIN+", "TERM "] {
            assert!(!is_signal(bad), "{bad}");
        }
    }
}
