//! The header alone, as strict compilers of both languages see it.

use std::path::PathBuf;
use std::process::Command;

use plyfs_testkit::process::{Ran, run};
use plyfs_testkit::temp::TempDir;

use crate::stage::workspace;

/// A compiler, the ending of its sources, and its language.
const LANGUAGES: [(&str, &str, &str); 2] = [("cc", "c", "-std=c11"), ("c++", "cc", "-std=c++17")];

/// Every structure that carries its size, begun as its comment says. The second inclusion has to be empty.
const BEGINNINGS: &str = "#include <plyfs.h>
#include <plyfs.h>
int main(void)
{
    plyfs_store_options open = PLYFS_STORE_OPTIONS_INIT;
    plyfs_load_options load = PLYFS_LOAD_OPTIONS_INIT;
    plyfs_import_options import = PLYFS_IMPORT_OPTIONS_INIT;
    plyfs_save_options save = PLYFS_SAVE_OPTIONS_INIT;
    plyfs_export_options export_ = PLYFS_EXPORT_OPTIONS_INIT;
    plyfs_prune_options prune = PLYFS_PRUNE_OPTIONS_INIT;
    plyfs_file_stat stat = PLYFS_FILE_STAT_INIT;
    plyfs_history_entry entry = PLYFS_HISTORY_ENTRY_INIT;
    plyfs_container_options container = PLYFS_CONTAINER_OPTIONS_INIT;
    plyfs_mount_options mount = PLYFS_MOUNT_OPTIONS_INIT;
    plyfs_commit_options commit = PLYFS_COMMIT_OPTIONS_INIT;
    plyfs_change change = PLYFS_CHANGE_INIT;
    plyfs_exported exported = PLYFS_EXPORTED_INIT;
    plyfs_pruned pruned = PLYFS_PRUNED_INIT;
    plyfs_store_usage usage = PLYFS_STORE_USAGE_INIT;
    if (export_.size + open.size + load.size + import.size + save.size + prune.size + stat.size + entry.size == 0)
        return 1;
    return container.size + mount.size + commit.size + change.size + exported.size + pruned.size + usage.size == 0;
}
";

fn compile(compiler: &str, ending: &str, language: &str, source: &str) -> Ran {
    let dir = TempDir::new();
    let file: PathBuf = dir.join(format!("source.{ending}"));
    std::fs::write(&file, source).expect("the directory is writable");
    let mut command = Command::new(compiler);
    command.args([language, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I"]);
    run(command.arg(workspace().join("include")).arg(&file))
}

#[test]
fn the_header_compiles_alone_and_twice_with_every_warning() {
    plyfs_testkit::require_tool!("cc", "c++");
    for (compiler, ending, language) in LANGUAGES {
        compile(compiler, ending, language, BEGINNINGS).success();
    }
}

#[test]
fn a_wrong_free_does_not_compile() {
    plyfs_testkit::require_tool!("cc", "c++");
    let freeing = |handle: &str| {
        format!(
            "#include <plyfs.h>\nvoid f({handle} *handle);\nvoid f({handle} *handle) {{ plyfs_image_free(handle); }}\n"
        )
    };
    for (compiler, ending, language) in LANGUAGES {
        compile(compiler, ending, language, &freeing("plyfs_image")).success();
        for wrong in ["plyfs_store", "plyfs_images", "plyfs_mount", "const plyfs_image"] {
            compile(compiler, ending, language, &freeing(wrong)).failure();
        }
    }
}

/// The C in the README, as the body of a function.
fn readme() -> String {
    let readme = std::fs::read_to_string(workspace().join("README.md")).expect("there is one");
    let (_, behind) = readme.split_once("```c\n").expect("it has C");
    let (body, _) = behind.split_once("```").expect("the block ends");
    format!("#include <plyfs.h>\n#include <stdio.h>\nint main(void)\n{{\n{body}return 0;\n}}\n")
}

#[test]
fn the_readme_says_what_compiles() {
    plyfs_testkit::require_tool!("cc", "c++");
    for (compiler, ending, language) in LANGUAGES {
        compile(compiler, ending, language, &readme()).success();
    }
}
