//! What a test needs of the machine: asked for at its first line, skipped loudly, never silently.
//!
//! A skip is a line on stderr and an early return. Where the environment has `CI` set to something other than nothing,
//! `0` or `false`, a skip is a failure instead: continuous integration never passes by not looking.

use std::io::Write;
use std::path::PathBuf;

/// Returns from the calling test unless it runs as root; panics instead under CI.
///
/// ```
/// fn root_mounts_something() {
///     plyfs_testkit::require_root!();
///     // privileged from here on
/// }
/// ```
#[macro_export]
macro_rules! require_root {
    () => {
        if !$crate::require::root(module_path!(), line!()) {
            return;
        }
    };
}

/// Returns from the calling test unless every named tool is on the search path; panics instead under CI.
///
/// ```
/// fn asks_podman() {
///     plyfs_testkit::require_tool!("podman", "skopeo");
/// }
/// ```
#[macro_export]
macro_rules! require_tool {
    ($($tool:expr),+ $(,)?) => {
        $(if !$crate::require::tool($tool, module_path!(), line!()) {
            return;
        })+
    };
}

/// Whether the process is root; says so, or panics under CI, when it is not.
#[must_use]
pub fn root(module: &str, line: u32) -> bool {
    rustix::process::geteuid().is_root() || skip(module, line, "not root")
}

/// Whether `tool` is on the search path; says so, or panics under CI, when it is not.
#[must_use]
pub fn tool(tool: &str, module: &str, line: u32) -> bool {
    find_tool(tool).is_some() || skip(module, line, &format!("no {tool}"))
}

/// Whether the machine has this file; says so, or panics under CI, when it has not.
#[must_use]
pub fn file(path: &str, module: &str, line: u32) -> bool {
    std::path::Path::new(path).is_file() || skip(module, line, &format!("no {path}"))
}

/// Finds an executable the way a shell would, also in the sbin directories an ordinary user's path leaves out.
#[must_use]
pub fn find_tool(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(tool))
        .find(|file| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file())
}

/// Whether this runs under continuous integration, where nothing may be skipped.
#[must_use]
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

/// Reports the skip and returns `false`; panics under CI.
fn skip(module: &str, line: u32, reason: &str) -> bool {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or(module);
    assert!(!is_ci(), "{test} ({module}:{line}) may not be skipped under CI: {reason}");
    // Not `eprintln!`, which the test harness swallows where the test passes, as a skipped one does.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test} ({module}:{line}): {reason}");
    false
}
