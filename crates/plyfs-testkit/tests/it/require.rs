//! What a test needs of the machine: found, or skipped, or failed under CI.

use plyfs_testkit::require::{find_tool, is_ci, tool};
use plyfs_testkit::{require_root, require_tool};

#[test]
fn tools_are_found_where_a_shell_finds_them() {
    assert!(find_tool("sh").is_some_and(|path| path.is_absolute()));
    assert_eq!(find_tool("no-such-tool"), None);
    assert_eq!(find_tool("etc"), None, "a directory is no tool");
}

#[test]
fn a_missing_tool_skips_and_fails_under_ci() {
    let skipped = std::panic::catch_unwind(|| tool("no-such-tool", "here", 1));
    match skipped {
        Ok(present) => assert!(!present && !is_ci()),
        Err(_) => assert!(is_ci()),
    }
}

#[test]
fn what_is_required_holds_after_the_first_line() {
    require_tool!("sh", "cat");
    assert!(find_tool("cat").is_some());
}

#[test]
fn root_what_is_required_holds_for_root_too() {
    require_root!();
    assert!(rustix::process::geteuid().is_root());
}
