//! What a built program depends on: the symbols of the library, and the sizes of the structures.

use std::collections::BTreeSet;
use std::mem::size_of;
use std::process::Command;

use plyfs_capi::*;
use plyfs_testkit::process::{output, run};
use plyfs_testkit::temp::TempDir;

use crate::stage::{library, workspace};

/// The functions of the library, one a line, sorted. A line that goes breaks programs.
const SYMBOLS: &str = include_str!("../../abi.txt");

#[test]
fn the_library_exports_its_functions_and_nothing_else() {
    plyfs_testkit::require_tool!("nm");
    let listed = plyfs_testkit::process::output(Command::new("nm").args(["-D", "--defined-only", "-P"]).arg(library()));
    let exported: BTreeSet<_> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    let expected: BTreeSet<_> = SYMBOLS.lines().collect();
    assert_eq!(exported, expected, "left is the library, right is abi.txt");
}

#[test]
fn the_header_declares_every_function() {
    let header = std::fs::read_to_string(workspace().join("include/plyfs.h")).expect("the header is committed");
    let declared: BTreeSet<_> = header
        .lines()
        .filter(|line| !line.starts_with(['/', ' ', '#', 't']))
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .collect();
    assert_eq!(declared, SYMBOLS.lines().collect::<BTreeSet<_>>(), "left is the header, right is abi.txt");
}

#[test]
fn the_static_library_makes_a_whole_program() {
    plyfs_testkit::require_tool!("cc");
    let dir = TempDir::new();
    let (source, program) = (dir.join("version.c"), dir.join("version"));
    let text = "#include <plyfs.h>\n#include <stdio.h>\nint main(void) { puts(plyfs_version()); return 0; }\n";
    std::fs::write(&source, text).expect("the directory is writable");
    let mut cc = Command::new("cc");
    cc.arg("-I").arg(workspace().join("include")).arg(&source).arg("-o").arg(&program);
    run(cc.arg(library().with_extension("a")).args(["-lpthread", "-ldl", "-lm", "-lgcc_s"])).success();
    assert_eq!(output(&mut Command::new(&program)), plyfs::VERSION);
}

#[test]
fn every_handle_crosses_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<plyfs_container>();
    shared::<plyfs_containers>();
    shared::<plyfs_error>();
    shared::<plyfs_findings>();
    shared::<plyfs_history>();
    shared::<plyfs_image>();
    shared::<plyfs_images>();
    shared::<plyfs_info>();
    shared::<plyfs_layer>();
    shared::<plyfs_layers>();
    shared::<plyfs_lease>();
    shared::<plyfs_leases>();
    shared::<plyfs_mount>();
    shared::<plyfs_mount_spec>();
    shared::<plyfs_names>();
    shared::<plyfs_rebuilt>();
    shared::<plyfs_store>();
    shared::<plyfs_subjects>();
    shared::<plyfs_view>();
    shared::<plyfs_xattrs>();
    // One thread uses it at a time, whichever.
    fn sent<T: Send>() {}
    sent::<plyfs_changes>();
}

#[test]
#[cfg(target_pointer_width = "64")]
fn each_structure_keeps_its_size() {
    for (name, size, expected) in [
        ("plyfs_usage", size_of::<plyfs_usage>(), 24),
        ("plyfs_step", size_of::<plyfs_step>(), 40),
        ("plyfs_change", size_of::<plyfs_change>(), 32),
        ("plyfs_commit_options", size_of::<plyfs_commit_options>(), 88),
        ("plyfs_container_options", size_of::<plyfs_container_options>(), 48),
        ("plyfs_export_options", size_of::<plyfs_export_options>(), 24),
        ("plyfs_exported", size_of::<plyfs_exported>(), 88),
        ("plyfs_file_stat", size_of::<plyfs_file_stat>(), 64),
        ("plyfs_history_entry", size_of::<plyfs_history_entry>(), 72),
        ("plyfs_import_options", size_of::<plyfs_import_options>(), 48),
        ("plyfs_load_options", size_of::<plyfs_load_options>(), 40),
        ("plyfs_mount_options", size_of::<plyfs_mount_options>(), 24),
        ("plyfs_pruned", size_of::<plyfs_pruned>(), 56),
        ("plyfs_prune_options", size_of::<plyfs_prune_options>(), 72),
        ("plyfs_save_options", size_of::<plyfs_save_options>(), 24),
        ("plyfs_store_options", size_of::<plyfs_store_options>(), 24),
        ("plyfs_store_usage", size_of::<plyfs_store_usage>(), 184),
    ] {
        assert_eq!(size, expected, "{name}");
    }
}
