//! Export, judged by other people's readers: GNU tar and Python.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use plyfs_diff::{Chain, ExportOptions, export};
use plyfs_sys::fs::{FileType, open_dir};
use plyfs_testkit::process::output;
use plyfs_testkit::tree::{Options, assert_same};
use plyfs_testkit::{require_root, require_tool};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::layers::{Layers, chmod, node, set_xattr, touch, write};

/// A tree with everything an archive can hold.
fn everything(root: &Path) {
    write(root.join("etc/passwd"), "root:x:0:0\n");
    write(root.join("bin/tool"), vec![0xaa; 300_000]);
    chmod(&root.join("bin/tool"), 0o6755);
    fs::hard_link(root.join("bin/tool"), root.join("bin/alias")).expect("a link");
    symlink("l".repeat(200), root.join("etc/long-link")).expect("a link");
    symlink("../etc/passwd", root.join("bin/link")).expect("a link");
    fs::hard_link(root.join("bin/link"), root.join("bin/link2")).expect("a link");
    write(root.join("etc").join("n".repeat(180)), "long name");
    write(root.join("etc").join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "not UTF-8");
    write(root.join("etc/\u{e4}\u{20ac}"), "UTF-8");
    fs::create_dir(root.join("tmp")).expect("a directory");
    chmod(&root.join("tmp"), 0o1777);
    node(&root.join("tmp/fifo"), FileType::Fifo, 0);
    node(&root.join("tmp/null"), FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node(&root.join("tmp/disk"), FileType::BlockDevice, rustix::fs::makedev(259, 70_000));
    set_xattr(&root.join("bin/tool"), "security.capability", &[&[1, 0, 0, 2, 0, 4][..], &[0; 14]].concat());
    set_xattr(&root.join("etc/passwd"), "user.note", b"a\0\n10 path=b\n");
    std::os::unix::fs::lchown(root.join("bin/link"), Some(3_000_000), Some(7)).expect("an owner");
    fs::File::create(root.join("hole")).and_then(|file| file.set_len(1 << 20)).expect("a hole");
    touch(&root.join("hole"), -1_000_000, 0);
    touch(&root.join("etc/passwd"), 8_589_934_592, 0);
    for dir in ["bin", "etc", "tmp"] {
        touch(&root.join(dir), 1_600_000_000, 0);
    }
}

#[test]
fn root_gnu_tar_extracts_the_tree_that_was_exported() {
    require_root!();
    require_tool!("tar");
    let layers = Layers::new(0);
    everything(&layers.upper());
    extracts_the_same(&layers);
}

/// Exports the upper, lets GNU tar extract it, and compares the trees.
fn extracts_the_same(layers: &Layers) {
    let (archive, copy) = (layers.beside("archive.tar"), layers.beside("copy"));
    fs::write(&archive, layers.export().0).expect("written");
    fs::create_dir(&copy).expect("a directory");
    output(
        Command::new("tar")
            .args([
                "--extract",
                "--same-permissions",
                "--same-owner",
                "--numeric-owner",
                "--xattrs",
                "--xattrs-include=*",
                "--warning=no-timestamp",
            ])
            .arg("-f")
            .arg(&archive)
            .arg("-C")
            .arg(&copy),
    );
    assert_same(layers.upper(), &copy, &Options::new().whole_seconds().without_root());
    fs::remove_dir_all(&copy).expect("removed");
}

#[test]
fn root_rule_35_python_reads_every_field_and_finds_no_names_of_users() {
    require_root!();
    require_tool!("python3");
    let layers = Layers::new(0);
    everything(&layers.upper());
    let archive = layers.beside("archive.tar");
    fs::write(&archive, layers.export().0).expect("written");

    let program = r#"
import sys, tarfile
with tarfile.open(sys.argv[1], "r:", errors="surrogateescape") as tar:
    for m in tar:
        assert (m.uname, m.gname) == ("", ""), m.name
        assert not {"atime", "ctime"} & set(m.pax_headers), m.name
        assert not m.name.startswith(("/", "./")), m.name
        name = m.name.encode("utf-8", "surrogateescape")
        print(m.type.decode(), oct(m.mode), m.uid, m.gid, m.size, int(m.mtime), name, m.linkname[:20], m.devmajor, m.devminor)
"#;
    let listed = output(Command::new("python3").args(["-c", program]).arg(&archive));

    let mut expected = vec![
        "5 0o755 0 0 0 1600000000 b'bin'  0 0".to_owned(),
        format!("0 0o6755 0 0 300000 {} b'bin/alias'  0 0", mtime(&layers.upper().join("bin/alias"))),
        format!("2 0o777 3000000 7 0 {} b'bin/link' ../etc/passwd 0 0", mtime(&layers.upper().join("bin/link"))),
        format!("1 0o777 3000000 7 0 {} b'bin/link2' bin/link 0 0", mtime(&layers.upper().join("bin/link"))),
        format!("1 0o6755 0 0 0 {} b'bin/tool' bin/alias 0 0", mtime(&layers.upper().join("bin/tool"))),
        "5 0o755 0 0 0 1600000000 b'etc'  0 0".to_owned(),
        "0 0o644 0 0 11 8589934592 b'etc/passwd'  0 0".to_owned(),
        "0 0o644 0 0 1048576 -1000000 b'hole'  0 0".to_owned(),
        "5 0o1777 0 0 0 1600000000 b'tmp'  0 0".to_owned(),
        format!("4 0o644 0 0 0 {} b'tmp/disk'  259 70000", mtime(&layers.upper().join("tmp/disk"))),
        format!("3 0o644 0 0 0 {} b'tmp/null'  1 3", mtime(&layers.upper().join("tmp/null"))),
    ];
    let chosen = [
        "bin",
        "bin/alias",
        "bin/link",
        "bin/link2",
        "bin/tool",
        "etc",
        "etc/passwd",
        "hole",
        "tmp",
        "tmp/disk",
        "tmp/null",
    ];
    let found: Vec<_> =
        listed.lines().filter(|line| chosen.iter().any(|name| line.contains(&format!(" b'{name}' ")))).collect();
    expected.sort_by_key(|line| chosen.iter().position(|name| line.contains(&format!(" b'{name}' "))));
    assert_eq!(found, expected);
    for name in [r"b'etc/caf\xe9'", r"b'etc/\xc3\xa4\xe2\x82\xac'", &format!("b'etc/{}'", "n".repeat(180))] {
        assert!(listed.contains(name), "{name} in\n{listed}");
    }
}

fn mtime(path: &Path) -> i64 {
    use std::os::unix::fs::MetadataExt;
    fs::symlink_metadata(path).expect("a status").mtime()
}

/// A writer that takes so many bytes and no more.
struct Beginning(Vec<u8>);

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        if self.0.len() > 1 << 20 { Err(io::Error::other("enough")) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn rule_44_a_file_too_long_for_ustar_has_its_size_in_a_record() {
    require_tool!("python3");
    let layers = Layers::new(0);
    let size = (8_u64 << 30) + 1;
    fs::File::create(layers.upper().join("huge")).and_then(|file| file.set_len(size)).expect("a hole");
    let mut out = Beginning(Vec::new());
    let upper = open_dir(layers.upper()).expect("open");
    export(upper, &Chain::empty(), &mut out, &ExportOptions::new()).expect_err("only the beginning is wanted");
    fs::write(layers.beside("archive.tar"), &out.0).expect("written");

    let program = "import sys, tarfile; print(tarfile.open(sys.argv[1], 'r:').next().size)";
    let read = output(Command::new("python3").args(["-c", program]).arg(layers.beside("archive.tar")));

    assert_eq!(read, size.to_string());
}

/// One random thing in a tree.
#[derive(Clone, Debug)]
enum Thing {
    File { size: usize, mode: u32, mtime: i64 },
    Directory { mode: u32 },
    Symlink { length: usize },
    Link,
    Fifo,
}

fn things() -> impl Strategy<Value = Vec<(Vec<u8>, usize, Thing)>> {
    let name = prop_oneof![
        4 => "[a-c.-]{1,3}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(1_u8..=255, 1..120),
        1 => (100_usize..255).prop_map(|length| vec![b'n'; length]),
    ];
    let thing = prop_oneof![
        (0_usize..3000, 0_u32..0o7777, -5_000_000_000_i64..20_000_000_000)
            .prop_map(|(size, mode, mtime)| Thing::File { size, mode, mtime }),
        (0_u32..0o7777).prop_map(|mode| Thing::Directory { mode }),
        (1_usize..300).prop_map(|length| Thing::Symlink { length }),
        Just(Thing::Link),
        Just(Thing::Fifo),
    ];
    proptest::collection::vec((name, any::<usize>(), thing), 0..30)
}

/// Makes the things, each in one of the directories made so far; names that are taken or no names are left out.
fn build(root: &Path, things: &[(Vec<u8>, usize, Thing)]) {
    let (mut dirs, mut files) = (vec![root.to_owned()], Vec::new());
    for (name, place, thing) in things {
        let is_name = !name.contains(&b'/') && !matches!(&name[..], b"." | b"..") && !name.starts_with(b".wh.");
        let path = dirs[place % dirs.len()].join(std::ffi::OsStr::from_bytes(name));
        if !is_name || path.as_os_str().len() > 3000 || path.symlink_metadata().is_ok() {
            continue;
        }
        match thing {
            Thing::File { size, mode, mtime } => {
                fs::write(&path, vec![b'x'; *size]).expect("a file");
                chmod(&path, *mode);
                touch(&path, *mtime, 0);
                files.push(path);
            }
            Thing::Directory { mode } => {
                fs::create_dir(&path).expect("a directory");
                chmod(&path, *mode);
                dirs.push(path);
            }
            Thing::Symlink { length } => symlink("t".repeat(*length), &path).expect("a link"),
            Thing::Link if files.is_empty() => {}
            Thing::Link => fs::hard_link(&files[place % files.len()], &path).expect("a link"),
            Thing::Fifo => node(&path, FileType::Fifo, 0),
        }
    }
}

#[test]
fn root_gnu_tar_extracts_random_trees_as_they_were() {
    require_root!();
    require_tool!("tar");
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    runner
        .run(&things(), |things| {
            let layers = Layers::new(0);
            build(&layers.upper(), &things);
            extracts_the_same(&layers);
            Ok(())
        })
        .expect("every tree survives");
}
