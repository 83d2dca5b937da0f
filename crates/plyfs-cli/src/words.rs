//! Words for a person on standard error: failures with their hints, warnings, notes.
//!
//! A standard error that is gone or full is nothing to fail for: the words are lost, the exit code still tells.

use std::io::Write;

use crate::exit::Failure;
use crate::human;

/// Says why the command, or one of its arguments, failed.
pub(crate) fn failure(failure: &Failure) {
    if failure.is_quiet() {
        return;
    }
    say(&format!("plyfs: {failure}"));
    for hint in failure.hints() {
        say(&format!("hint: {}", human::one_line(&hint)));
    }
}

/// Says something that needs attention and stops nothing.
pub(crate) fn warning(text: &str) {
    say(&format!("plyfs: warning: {}", human::one_line(text)));
}

/// Says something worth knowing.
pub(crate) fn note(text: &str) {
    say(&human::one_line(text));
}

fn say(line: &str) {
    // One write for one line, so that lines of several processes do not mix.
    let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}
