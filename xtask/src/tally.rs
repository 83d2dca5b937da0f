//! Counting tests: what passed and what failed, read from the closing lines of the tools themselves.

use std::fmt;
use std::ops::AddAssign;

/// How many tests went which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Counted, not run.
    pub(crate) skipped: u64,
}

impl Tally {
    pub(crate) const PASS: Self = Self { passed: 1, failed: 0, skipped: 0 };
    pub(crate) const FAIL: Self = Self { passed: 0, failed: 1, skipped: 0 };

    /// Whether nothing was counted.
    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// The same with each skipped test counted as a failure: in CI everything must run.
    pub(crate) fn with_skips_failed(self) -> Self {
        Self { failed: self.failed + self.skipped, skipped: 0, ..self }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Reads libtest's closing line, one for each test binary and one for each crate's documentation.
pub(crate) fn libtest(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut tally = Tally::default();
    for part in counts.split("; ") {
        match number_and_word(part)? {
            (n, "passed") => tally.passed = n,
            (n, "failed") => tally.failed = n,
            (n, "ignored") => tally.skipped = n,
            (_, "measured") => {}
            (_, rest) if rest.starts_with("filtered out") => break,
            _ => return None,
        }
    }
    Some(tally)
}

/// Reads pytest's closing line, with or without its frame.
pub(crate) fn pytest(line: &str) -> Option<Tally> {
    let (counts, time) = line.trim_matches(['=', ' ']).rsplit_once(" in ")?;
    if !time.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut tally = Tally::default();
    for part in counts.split(", ") {
        match number_and_word(part)? {
            // A test that passed although it was expected to fail is a stale mark.
            (n, "failed" | "error" | "errors" | "xpassed") => tally.failed += n,
            (n, "passed" | "xfailed") => tally.passed += n,
            (n, "skipped") => tally.skipped += n,
            (_, "deselected" | "warning" | "warnings" | "rerun") => {}
            _ => return None,
        }
    }
    Some(tally)
}

/// Reads the line that `go test -v` prints behind each test; a test within a test belongs to that.
pub(crate) fn gotest(line: &str) -> Option<Tally> {
    match line.strip_prefix("--- ")?.split_once(": ")?.0 {
        "PASS" => Some(Tally::PASS),
        "FAIL" => Some(Tally::FAIL),
        "SKIP" => Some(Tally { skipped: 1, ..Tally::default() }),
        _ => None,
    }
}

fn number_and_word(part: &str) -> Option<(u64, &str)> {
    let (number, word) = part.trim().split_once(' ')?;
    Some((number.parse().ok()?, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64, skipped: u64) -> Option<Tally> {
        Some(Tally { passed, failed, skipped })
    }

    #[test]
    fn the_closing_lines_of_libtest_are_read() {
        for (line, expected) in [
            (
                "test result: ok. 15 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.10s",
                tally(15, 0, 2),
            ),
            ("test result: FAILED. 3 passed; 4 failed; 0 ignored; 0 measured; 9 filtered out", tally(3, 4, 0)),
            ("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out", tally(0, 0, 0)),
            ("test store::publish ... ok", None),
            ("test result: ok. many passed; 0 failed", None),
            ("  test result: ok. 1 passed; 0 failed", None),
        ] {
            assert_eq!(libtest(line), expected, "{line}");
        }
    }

    #[test]
    fn the_closing_lines_of_pytest_are_read() {
        for (line, expected) in [
            ("======= 12 passed in 3.45s =======", tally(12, 0, 0)),
            ("2 failed, 10 passed, 1 skipped, 3 warnings in 65.01s (0:01:05)", tally(10, 2, 1)),
            ("==== 1 passed, 1 error, 1 xfailed, 1 xpassed in 0.02s ====", tally(2, 2, 0)),
            ("======= no tests ran in 0.01s =======", None),
            ("collected 3 items in all", None),
            ("tests/test_store.py ....    [100%]", None),
        ] {
            assert_eq!(pytest(line), expected, "{line}");
        }
    }

    #[test]
    fn the_lines_of_go_test_are_read() {
        for (line, expected) in [
            ("--- PASS: TestAMountEnds (0.10s)", tally(1, 0, 0)),
            ("--- FAIL: TestAMountEnds (0.10s)", tally(0, 1, 0)),
            ("--- SKIP: TestAMountEnds (0.00s)", tally(0, 0, 1)),
            ("    --- PASS: TestAMountEnds/plain (0.00s)", None),
            ("=== RUN   TestAMountEnds", None),
            ("ok  \tplyfs.dev/plyfs\t0.798s", None),
        ] {
            assert_eq!(gotest(line), expected, "{line}");
        }
    }

    #[test]
    fn a_skip_in_ci_is_a_failure() {
        let tally = Tally { passed: 1, failed: 2, skipped: 3 }.with_skips_failed();
        assert_eq!(tally.to_string(), "1 passed, 5 failed");
    }
}
