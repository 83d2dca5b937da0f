//! GNU tar's archives in every format it writes, against the tree GNU tar makes of them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use plyfs_diff::archive::{Kind, Limits, Reader};
use plyfs_testkit::process::{output, run};
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::tree::{Options, assert_same};
use plyfs_testkit::{require_root, require_tool};
use rustix::fs::{FileType, Mode};

use crate::stack::Stack;

/// A tree with everything an archive format can hold; names stay within v7's hundred bytes unless `is_long`.
fn make_tree(dir: &Path, is_long: bool) {
    let write = |path: &str, content: &[u8]| fs::write(dir.join(path), content).expect("a file");
    fs::create_dir_all(dir.join("dir/inner")).expect("directories");
    write("empty", b"");
    write("dir/odd", &[7; 1000]);
    write("dir/block", &[8; 1024]);
    write("dir/large", &vec![9; 700_000]);
    write("dir/inner/set", b"x");
    fs::set_permissions(dir.join("dir/inner/set"), fs::Permissions::from_mode(0o6751)).expect("chmod");
    fs::set_permissions(dir.join("dir/inner"), fs::Permissions::from_mode(0o1733)).expect("chmod");
    fs::hard_link(dir.join("dir/odd"), dir.join("hard")).expect("a link");
    symlink("../dir/odd", dir.join("dir/symbolic")).expect("a link");
    fs::hard_link(dir.join("dir/symbolic"), dir.join("symbolic-too")).expect("a link");
    std::os::unix::fs::chown(dir.join("hard"), Some(1_000_000), Some(12)).expect("chown");
    let open = File::open(dir).expect("open");
    let node = |name: &str, kind, device| {
        plyfs_sys::fs::make_node_at(&open, name, kind, Mode::from_raw_mode(0o600), device).expect("a node");
    };
    node("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node("loop", FileType::BlockDevice, rustix::fs::makedev(7, 9));
    node("pipe", FileType::Fifo, 0);
    if is_long {
        let name = "n".repeat(200);
        fs::create_dir(dir.join(&name)).expect("a directory");
        write(&format!("{name}/{name}"), b"long");
        symlink(format!("{name}/{name}"), dir.join("to-long")).expect("a link");
        fs::hard_link(dir.join(format!("{name}/{name}")), dir.join("zz")).expect("a link");
    }
    let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for path in ["empty", "dir/odd", "dir/inner", "dir"] {
        File::open(dir.join(path)).and_then(|file| file.set_modified(past)).expect("utimes");
    }
}

/// Archives `dir` with `options`, and compares what plyfs and GNU tar make of it.
fn compare(temp: &TempDir, dir: &Path, options: &[&str], compare: &Options) -> Vec<u8> {
    let archive = temp.join("archive.tar");
    run(Command::new("tar").args(options).arg("-cf").arg(&archive).arg("-C").arg(dir).arg(".")).success();
    let name = format!("extracted{}", options.join(""));
    let extracted = temp.dir(&name);
    run(Command::new("tar").args(["--xattrs", "--xattrs-include=*", "-xpf"]).arg(&archive).arg("-C").arg(&extracted))
        .success();
    let bytes = fs::read(&archive).expect("the archive");
    let stack = Stack::new().with(&bytes);
    assert_same(&extracted, stack.top(), compare);
    bytes
}

#[test]
fn root_every_format_of_gnu_tar_gives_the_tree_gnu_tar_gives() {
    require_root!();
    require_tool!("tar");
    for (format, is_long) in [("v7", false), ("ustar", false), ("oldgnu", true), ("gnu", true), ("posix", true)] {
        let temp = TempDir::new();
        let dir = temp.dir("tree");
        make_tree(&dir, is_long);
        if format == "v7" {
            // Nothing but files, directories and links fits its headers.
            ["null", "loop", "pipe"].iter().for_each(|name| fs::remove_file(dir.join(name)).expect("removed"));
        }
        let (format, blocking) = (format!("--format={format}"), "--blocking-factor=40");
        compare(&temp, &dir, &[&format, blocking, "--xattrs"][..if is_long { 3 } else { 2 }], &Options::new());
    }
}

#[test]
fn root_times_are_exact_to_the_nanosecond_before_1970_too() {
    require_root!();
    require_tool!("tar");
    let temp = TempDir::new();
    let dir = temp.dir("tree");
    let moments = [
        ("past", SystemTime::UNIX_EPOCH - Duration::new(1_000_000, 250_000_001)),
        ("just", SystemTime::UNIX_EPOCH - Duration::from_nanos(1)),
        ("epoch", SystemTime::UNIX_EPOCH),
        ("exact", SystemTime::UNIX_EPOCH + Duration::new(1_500_000_000, 123_456_789)),
        ("late", SystemTime::UNIX_EPOCH + Duration::new(5_000_000_000, 1)),
    ];
    for (name, moment) in moments {
        fs::create_dir(dir.join(name)).expect("a directory");
        fs::write(dir.join(name).join("file"), name).expect("a file");
        for path in [dir.join(name).join("file"), dir.join(name)] {
            File::open(path).and_then(|file| file.set_modified(moment)).expect("utimes");
        }
    }
    compare(&temp, &dir, &["--format=posix"], &Options::new());
    compare(&temp, &dir, &["--format=gnu"], &Options::new());
}

#[test]
fn root_sparse_files_of_every_encoding_get_their_holes_back() {
    require_root!();
    require_tool!("tar");
    for options in [
        &["--format=gnu"][..],
        &["--format=oldgnu"],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ] {
        let temp = TempDir::new();
        let dir = temp.dir("tree");
        let file = File::create(dir.join("sparse")).expect("a file");
        file.set_len(64 << 20).expect("a hole");
        for stretch in 0..60_u64 {
            file.write_all_at(&vec![stretch as u8 + 1; 5000], stretch * (1 << 20) + 4096).expect("written");
        }
        File::create(dir.join("hole")).and_then(|file| file.set_len(64 << 20)).expect("only a hole");
        fs::write(dir.join("after"), "still in step").expect("a file");

        let bytes = compare(&temp, &dir, &[options, &["--sparse"][..]].concat(), &Options::new());

        assert!(bytes.len() < 2 << 20, "rule 42: tar stored it as sparse");
        let stack = Stack::new().with(&bytes);
        let usage = plyfs_diff::Usage::measure(File::open(stack.top()).expect("open")).expect("measured");
        assert!(usage.allocated < 8 << 20, "rule 42: holes stay holes: {usage:?}");
    }
}

/// Prints what Python's tarfile sees: type flag, size, and name and target in hexadecimal.
const PYTHON: &str = r#"
import sys, tarfile
for m in tarfile.open(sys.argv[1], "r:", errors="surrogateescape", encoding="utf-8"):
    h = lambda text: text.encode("utf-8", "surrogateescape").hex()
    kind = "f" if m.isreg() else "d" if m.isdir() else "s" if m.issym() else "h" if m.islnk() else "o"
    print(kind, m.size if m.isreg() else 0, "/" + h(m.name.strip("/")), "/" + h(m.linkname))
"#;

#[test]
fn root_python_sees_the_same_entries() {
    require_root!();
    require_tool!("tar", "python3");
    for format in ["ustar", "gnu", "posix"] {
        let temp = TempDir::new();
        let (dir, archive) = (temp.dir("tree"), temp.join("archive.tar"));
        make_tree(&dir, format != "ustar");
        let odd = OsStr::from_bytes(b"not\xffutf8");
        fs::write(dir.join(odd), "bytes").expect("a file");
        let format = format!("--format={format}");
        run(Command::new("tar").args([&format, "-cf"]).arg(&archive).arg("-C").arg(&dir).arg(".")).success();

        let python = output(Command::new("python3").args(["-c", PYTHON]).arg(&archive));

        let mut reader = Reader::new(File::open(&archive).expect("open"), Limits::default());
        let mut ours = String::new();
        while let Some(entry) = reader.next_entry().expect("an entry") {
            let kind = match entry.kind {
                Kind::File => 'f',
                Kind::Directory => 'd',
                Kind::Symlink => 's',
                Kind::HardLink => 'h',
                _ => 'o',
            };
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let name = entry.path.strip_suffix(b"/").unwrap_or(&entry.path);
            ours += &format!("{kind} {} /{} /{}\n", entry.size, hex(name), hex(&entry.link));
        }
        assert_eq!(ours.trim_end(), python.trim_end(), "{format}");
    }
}
