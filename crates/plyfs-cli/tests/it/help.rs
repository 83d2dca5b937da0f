//! What `--help` says of each command, whole.

use plyfs_testkit::process::run;

use crate::bench::{PLYFS, clean};

const COMMANDS: &[&str] = &[
    "load",
    "save",
    "import",
    "images",
    "layers",
    "containers",
    "create",
    "mount",
    "umount",
    "changes",
    "diff",
    "commit",
    "ls",
    "cat",
    "stat",
    "find",
    "cp",
    "export",
    "unpack",
    "rm",
    "rmi",
    "prune",
    "lease",
    "leases",
    "release",
    "df",
    "info",
    "tree",
    "inspect",
    "tag",
    "untag",
    "history",
    "rename",
    "fsck",
];

#[test]
fn help_of_every_command_reads_as_here() {
    let help = run(clean(PLYFS).arg("--help")).success().text();
    insta::assert_snapshot!("help", help);
    for command in COMMANDS.iter().copied() {
        let ran = run(clean(PLYFS).args([command, "--help"])).success();
        assert_eq!(ran.words(), "");
        let help = ran.text();
        insta::assert_snapshot!(format!("help_{command}"), help);
    }
}

#[test]
fn help_lists_exactly_these_commands() {
    let help = run(clean(PLYFS).arg("-h")).success().text();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let listed: Vec<_> =
        listed.filter_map(|line| line.split_whitespace().next()).filter(|word| *word != "help").collect();
    assert_eq!(listed, COMMANDS);
}

#[test]
fn a_wrong_command_line_is_code_2_and_prints_no_data() {
    for args in [
        &["no-such-command"][..],
        &["images", "--no-such-flag"],
        &["create"],
        &["save", "app:1"],
        &["save", "app:1", "-o", "x", "--format", "zip"],
        &["mount", "web-1", "--print", "--at", "/mnt"],
        &["create", "app:1", "--label", "=v"],
        &["rm"],
        &["--root"],
        &[],
    ] {
        let ran = run(clean(PLYFS).args(args)).code(2);
        assert_eq!(ran.text(), "", "{args:?}");
        assert_ne!(ran.words(), "", "{args:?}");
    }
}

#[test]
fn the_version_is_the_crates() {
    let version = run(clean(PLYFS).arg("--version")).success().text();
    assert_eq!(version, format!("plyfs {}", env!("CARGO_PKG_VERSION")));
}
