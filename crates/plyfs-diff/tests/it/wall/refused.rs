//! Kernels and filters without `openat2(2)`: names are walked by descriptor, and the wall stands as it did.
//!
//! strace refuses the call as seccomp filters do, in a process of its own that runs the whole corpus.

use std::path::Path;
use std::process::Command;

use plyfs_testkit::process::run;
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::{require_root, require_tool};

/// The test that applies the whole corpus.
const WHOLE: &str = "wall::corpus::root_every_case_of_the_corpus_keeps_inside_the_wall";

/// Runs the whole corpus in a process under strace, which writes what it sees to `log`.
pub fn corpus_under_strace(log: &Path, arguments: &[&str]) {
    let me = std::env::current_exe().expect("the path of this test");
    let mut strace = Command::new("strace");
    strace.args(arguments).arg("-o").arg(log).arg(me).args(["--exact", WHOLE, "--test-threads=1"]);
    let ran = run(&mut strace).success();
    assert!(ran.text().contains("1 passed"), "{}", ran.text());
}

#[test]
fn root_without_openat2_the_whole_corpus_keeps_inside_the_wall() {
    require_root!();
    require_tool!("strace");
    for errno in ["ENOSYS", "EPERM"] {
        let temp = TempDir::new();
        let log = temp.join("trace");
        let inject = format!("inject=openat2:error={errno}");
        corpus_under_strace(&log, &["-f", "-qq", "-e", "trace=openat2", "-e", &inject]);
        let trace = std::fs::read_to_string(&log).expect("the trace");
        let calls = trace.lines().filter(|line| line.contains("openat2(")).count();
        let refused = trace.lines().filter(|line| line.contains(errno) && line.contains("INJECTED")).count();
        assert!(calls > 0, "no name was ever resolved by openat2");
        assert_eq!(calls, refused, "every call was refused with {errno}");
    }
}
