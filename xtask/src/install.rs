//! `cargo xtask install PREFIX`: libplyfs where programs in C and Go find it.
//!
//! The suites lay out the same files, from the development profile, so what works in them works after an installation.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::run::{cargo, check, command};
use crate::tree;

/// Options of `cargo xtask install`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where `include` and `lib` go, such as /usr/local
    prefix: PathBuf,
}

/// Builds the library optimized and installs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    check(cargo().args(["build", "--release", "--locked", "--package", "plyfs-capi"]))?;
    fs::create_dir_all(&args.prefix).with_context(|| format!("create {}", args.prefix.display()))?;
    // What pkg-config answers has to hold from any directory.
    let prefix = args.prefix.canonicalize().with_context(|| args.prefix.display().to_string())?;
    lay_out(&prefix, &tree::target().join("release"))?;
    let sizes = LIBRARIES.map(|(_, library)| {
        let bytes = fs::metadata(prefix.join(library)).map_or(0, |library| library.len());
        format!("{library} of {:.1} MB", bytes as f64 / 1e6)
    });
    println!("installed libplyfs in {}: {}", prefix.display(), sizes.join(", "));
    Ok(())
}

/// Copies header and libraries of a build into a prefix, and says there how they are used.
pub(crate) fn lay_out(prefix: &Path, build: &Path) -> Result<()> {
    for dir in ["include", "lib/pkgconfig"] {
        fs::create_dir_all(prefix.join(dir)).with_context(|| format!("create {}/{dir}", prefix.display()))?;
    }
    replace(&tree::header(), &prefix.join("include/plyfs.h"), |_| Ok(()))?;
    for (from, to) in LIBRARIES {
        replace(&build.join(from), &prefix.join(to), strip)?;
    }
    let pc = pkg_config(&prefix.to_string_lossy(), env!("CARGO_PKG_VERSION"));
    fs::write(prefix.join("lib/pkgconfig/plyfs.pc"), pc).context("write plyfs.pc")
}

/// The libraries as they are built and as they are installed.
pub(crate) const LIBRARIES: [(&str, &str); 2] =
    [("libplyfs_capi.so", "lib/libplyfs.so"), ("libplyfs_capi.a", "lib/libplyfs.a")];

/// What a linker needs none of: how lines of the source became code, and the code for a compiler to optimize once more.
pub(crate) const NEEDLESS: [&str; 4] = [".debug_info", ".debug_str", ".llvmbc", ".llvmcmd"];

/// Takes out of a library what makes four fifths of it and no linker needs; the names of functions stay, for traces.
fn strip(library: &Path) -> Result<()> {
    let mut objcopy = command("objcopy");
    objcopy.args(["--strip-debug", "--remove-section=.llvmbc", "--remove-section=.llvmcmd"]);
    check(objcopy.arg(library))
}

/// Copies a file beside its place, prepares it there and renames it: a program that runs keeps the library it has mapped.
fn replace(from: &Path, to: &Path, prepare: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let beside = to.with_extension("new");
    fs::copy(from, &beside).with_context(|| format!("copy {}", from.display()))?;
    prepare(&beside)?;
    fs::rename(&beside, to).with_context(|| format!("rename {}", beside.display()))
}

/// The text of plyfs.pc.
fn pkg_config(prefix: &str, version: &str) -> String {
    format!(
        "prefix={prefix}\n\nName: plyfs\nDescription: Container layer storage on OverlayFS\nVersion: {version}\n\
         Cflags: -I${{prefix}}/include\nLibs: -L${{prefix}}/lib -lplyfs\nLibs.private: -lpthread -ldl -lm -lgcc_s\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pkg_config_file_points_into_its_prefix() {
        let text = pkg_config("/opt/plyfs", "1.2.3");
        for line in ["prefix=/opt/plyfs", "Version: 1.2.3", "Cflags: -I${prefix}/include"] {
            assert!(text.lines().any(|l| l == line), "{line} is missing:\n{text}");
        }
    }

    #[test]
    fn a_library_is_replaced_and_not_written_over() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().expect("a scratch directory");
        let (from, to) = (dir.path().join("built"), dir.path().join("libplyfs.so"));
        fs::write(&from, "new").expect("write");
        fs::write(&to, "old").expect("write");
        let before = fs::metadata(&to).expect("it is there").ino();
        replace(&from, &to, |_| Ok(())).expect("it is replaced");
        assert_eq!(fs::read_to_string(&to).expect("it is there"), "new");
        assert_ne!(fs::metadata(&to).expect("it is there").ino(), before);
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 2);
    }
}
