//! Containerd's own packages as a program: what its differ writes for two directories.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use plyfs_testkit::process::run;
use plyfs_testkit::require;

/// The program, built once; `None` where there is no Go. Its modules come from the module proxy or Go's cache.
pub fn oracle() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("containerd-differ");
    if !require::tool("go", module_path!(), line!()) {
        return None;
    }
    let mut go = Command::new("go");
    go.current_dir(source).args(["build", "-buildvcs=false", "-o"]).arg(&program).arg(".");
    run(&mut go).success();
    Some(program)
}

/// The changeset that turns one directory into the other.
pub fn changeset(lower: &Path, upper: &Path, epoch: Option<i64>) -> Option<Vec<u8>> {
    let mut command = Command::new(oracle()?);
    command.arg(lower).arg(upper).args(epoch.map(|epoch| epoch.to_string()));
    Some(run(&mut command).success().stdout)
}
