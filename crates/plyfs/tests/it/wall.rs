//! What the record of this field says of whole stores: who reaches a layer, what an id may be, what bad input holds up.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use plyfs::prelude::*;
use plyfs::{ContainerOptions, ErrorKind, LayerId, Progress, Store};
use plyfs_testkit::process::{Ran, run};
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::{require_root, require_tool, tar_text};

use crate::support::{Scratch, assert_whole, no_trace, remains, turn};

/// Where a child makes its store.
const STORE: &str = "PLYFS_TEST_WALL_STORE";

/// A layer with a program that anyone who reaches it becomes root by.
const SETUID: &str =
    "dir bin mode=755\nfile bin/become-root mode=4755 data=#!/bin/true\\n\nfile ./become-root mode=4755";

/// The half of the next test that runs under another umask; without its variable it has nothing to do.
#[test]
fn root_in_a_child_a_store_with_a_setuid_file_is_made() {
    let Some(path) = env::var_os(STORE) else { return };
    let store = Store::ensure(path).expect("a store");
    let archive = tar_text::build(SETUID).expect("a text");
    let layer = store.apply(archive.as_slice(), None, Progress::none()).expect("applied");
    let over = tar_text::build("file etc/motd data=x").expect("a text");
    let layer = store.apply(over.as_slice(), Some(&layer), Progress::none()).expect("applied");
    store.create(&layer, ContainerOptions::new()).expect("a container");
}

#[test]
fn root_cve_2021_41091_2021_41103_2024_25621_no_unprivileged_user_reaches_a_setuid_file_in_a_layer() {
    require_root!();
    require_tool!("setpriv");
    let _turn = turn();
    for umask in ["000", "077"] {
        let temp = TempDir::new();
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        let store = temp.join("store");
        let mut child = Command::new("sh");
        child.args(["-c", "umask \"$0\" && exec \"$@\"", umask]).arg(env::current_exe().expect("this test"));
        child.args(["--exact", "wall::root_in_a_child_a_store_with_a_setuid_file_is_made"]).env(STORE, &store);
        assert!(run(&mut child).success().text().contains("1 passed"));

        let files = setuid_below(&store);
        assert_eq!(files.len(), 2, "the setuid files of the layer: {files:?}");
        for file in &files {
            as_nobody(file).failure();
        }
        for dir in directories_below(&store) {
            let mode = fs::symlink_metadata(&dir).expect("stat").permissions().mode() & 0o7777;
            let is_of_the_store = !dir.components().any(|part| part.as_os_str() == "diff");
            assert!(!is_of_the_store || mode & 0o007 == 0, "umask {umask}: {} is {mode:o}", dir.display());
        }
        // With the doors open the file is reached: what held it shut were the modes.
        for dir in directories_below(&store) {
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("chmod");
        }
        for file in &files {
            as_nobody(file).success();
        }
    }
}

/// Asks for the mode of a file as a user who is nobody: whoever gets an answer could as well start it.
fn as_nobody(file: &Path) -> Ran {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]);
    run(command.args(["stat", "--format=%a"]).arg(file))
}

fn directories_below(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    let mut next = 0;
    while let Some(dir) = found.get(next).cloned() {
        let entries = fs::read_dir(&dir).expect("list").map(|entry| entry.expect("listed"));
        found.extend(entries.filter(|entry| entry.file_type().expect("a type").is_dir()).map(|entry| entry.path()));
        next += 1;
    }
    found
}

fn setuid_below(root: &Path) -> Vec<PathBuf> {
    let entries = directories_below(root).into_iter().flat_map(|dir| fs::read_dir(dir).expect("list"));
    let paths = entries.map(|entry| entry.expect("listed").path());
    let is_setuid = |path: &PathBuf| {
        let stat = fs::symlink_metadata(path).expect("stat");
        stat.is_file() && stat.permissions().mode() & 0o4000 != 0
    };
    paths.filter(is_setuid).collect()
}

#[test]
fn root_cve_2014_9358_an_id_is_never_a_path() {
    require_root!();
    let _turn = turn();
    let scratch = Scratch::new();
    let archive = tar_text::build("file a data=x").expect("a text");
    let layer = scratch.store.apply(archive.as_slice(), None, Progress::none()).expect("applied");
    let id = layer.id().to_string();
    let before = remains(&scratch.store);
    let wrong = [
        String::new(),
        "../../x".into(),
        "/etc".into(),
        ".".into(),
        "l".into(),
        format!("AB{}", &id[2..]),
        format!("{id}0"),
        format!("../{id}"),
        format!("{id}/../{id}"),
        format!("{id}\n"),
        format!("{}\0", &id[1..]),
    ];
    for text in &wrong {
        assert!(text.parse::<LayerId>().is_err(), "{text:?} is a layer id");
        let kind = scratch.store.layer(text).map(drop).map_err(|error| error.kind());
        assert!(matches!(kind, Err(ErrorKind::NotFound | ErrorKind::InvalidInput)), "{text:?}: {kind:?}");
    }
    plyfs_testkit::tree::assert_same_trees(&remains(&scratch.store), &before, &no_trace());
}

#[test]
fn root_cve_2021_20291_a_garbled_stream_holds_nothing_up_and_leaves_nothing() {
    require_root!();
    let _turn = turn();
    let scratch = Scratch::new();
    let plain =
        tar_text::build("dir d\nfile d/f data={x*9000}\nhardlink h link=d/f\nsymlink s link=d").expect("a text");
    let mut streams =
        vec![plain[..1000].to_vec(), b"rubbish".repeat(500), tar_text::build("file ../x").expect("a text")];
    for packed in [plyfs_testkit::oci::Compression::Gzip, plyfs_testkit::oci::Compression::Zstd] {
        let whole = packed.apply(&plain);
        streams.push(whole[..whole.len() / 2].to_vec());
        let mut garbled = whole;
        let middle = garbled.len() / 2;
        garbled[middle] ^= 0x55;
        streams.push(garbled);
    }
    streams.extend((1..plain.len() / 512 - 2).map(|blocks| plain[..blocks * 512 + 100].to_vec()));
    let before = remains(&scratch.store);
    for stream in &streams {
        scratch.store.apply(stream.as_slice(), None, Progress::none()).expect_err("garbled");
        plyfs_testkit::tree::assert_same_trees(&remains(&scratch.store), &before, &no_trace());
    }
    scratch.store.apply(plain.as_slice(), None, Progress::none()).expect("nothing is locked");
    assert_whole(&scratch.store);
}

/// Where a child finds the archive that is far more than it seems.
const BOMB: &str = "PLYFS_TEST_WALL_BOMB";

/// What a process may hold in memory at any time.
const MEMORY_KIB: u64 = 64 << 10;

/// The half of the next test whose memory is measured; without its variable it has nothing to do.
#[test]
fn root_in_a_child_what_was_compressed_ten_thousand_times_is_applied() {
    let Some(bomb) = env::var_os(BOMB).map(PathBuf::from) else { return };
    let root = bomb.with_file_name("store");
    let store = Store::options().durability(plyfs::Durability::None).ensure(root).expect("a store");
    let layer = store.apply(fs::File::open(&bomb).expect("the bomb"), None, Progress::none()).expect("applied");
    let (large, small) = (layer.usage().apparent, fs::metadata(&bomb).expect("a status").len());
    assert!(large > small * 10_000, "{large} bytes of {small}");
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kib <= MEMORY_KIB, "{kib} KiB resident");
}

#[test]
fn root_what_was_compressed_ten_thousand_times_costs_bounded_memory() {
    const SIZE: usize = 256 << 20;
    require_root!();
    let temp = TempDir::new();
    let bomb = temp.join("bomb.tar.zst");
    let mut encoder = zstd::Encoder::new(fs::File::create(&bomb).expect("a file"), 1).expect("an encoder");
    // The largest window that is taken unless asked otherwise.
    encoder.window_log(25).expect("a window");
    let header = tar_text::build(&format!("file zeros size={SIZE}\nopen")).expect("a text");
    encoder.write_all(&header).expect("written");
    for _ in 0..=SIZE >> 20 {
        encoder.write_all(&vec![0; 1 << 20]).expect("written");
    }
    encoder.finish().expect("written");

    let mut child = Command::new(env::current_exe().expect("this test"));
    child.args(["--exact", "wall::root_in_a_child_what_was_compressed_ten_thousand_times_is_applied", "--nocapture"]);
    let ran = run(child.env(BOMB, &bomb)).success();
    assert!(ran.text().contains("1 passed"), "{}", ran.text());
}
