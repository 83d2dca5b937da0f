//! Export: what each kind of entry becomes, and what refuses to be archived.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use plyfs_diff::{Chain, Dialect, Digest, Error, ErrorKind, ExportOptions, Exported, SkipReason, export};
use plyfs_sys::fs::{FileType, open_dir};
use plyfs_testkit::require_root;

use crate::layers::{Layers, chmod, listing, names, node, set_xattr, touch, write};

fn export_dir(dir: &Path, out: impl Write) -> Result<Exported, Error> {
    export(open_dir(dir).expect("a directory"), &Chain::empty(), out, &ExportOptions::new())
}

#[test]
fn root_an_entry_of_every_kind_is_listed_parents_first_and_siblings_bytewise() {
    require_root!();
    let layers = Layers::new(0);
    let upper = layers.upper();
    write(upper.join("a/file"), "content");
    write(upper.join("a-b"), "");
    symlink("../target", upper.join("a/link")).expect("a link");
    node(&upper.join("a/fifo"), FileType::Fifo, 0);
    chmod(&upper.join("a/file"), 0o644);
    chmod(&upper.join("a-b"), 0o600);
    chown(upper.join("a/file"), Some(1000), Some(1001)).expect("an owner");
    chmod(&upper.join("a/file"), 0o4755);
    for name in ["a/file", "a-b", "a/link", "a/fifo", "a"] {
        touch(&upper.join(name), 1_700_000_000, 999_999_999);
    }

    let (archive, exported) = layers.export();

    let expected = [
        "d 0755 0:0 0 1700000000 a/",
        "p 0644 0:0 0 1700000000 a/fifo",
        "- 4755 1000:1001 7 1700000000 a/file",
        "l 0777 0:0 0 1700000000 a/link -> ../target",
        "- 0600 0:0 0 1700000000 a-b",
    ];
    assert_eq!(listing(&archive), expected);
    assert_eq!((exported.diff_id, exported.size), (Digest::of(&archive), archive.len() as u64));
}

#[test]
fn rule_45_an_empty_upper_is_the_empty_layer() {
    let layers = Layers::new(1);
    let (archive, exported) = layers.export();
    assert_eq!(archive, [0; 1024]);
    let known = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
    assert_eq!(exported.diff_id.to_string(), known);
}

#[test]
fn rule_35_times_are_cut_to_seconds_before_the_epoch_too() {
    let layers = Layers::new(0);
    for (name, seconds) in [("after", 5), ("before", -5)] {
        write(layers.upper().join(name), "");
        touch(&layers.upper().join(name), seconds, 999_999_999);
    }

    let archive = layers.export().0;

    assert!(listing(&archive)[0].ends_with(" 5 after"), "{:?}", listing(&archive));
    // The `tar` crate has no negative times; the record says it.
    assert!(String::from_utf8_lossy(&archive).contains("12 mtime=-5\n"), "cut towards the past, not towards zero");
}

#[test]
fn times_later_than_the_clamp_are_written_as_the_clamp() {
    let layers = Layers::new(0);
    for (name, seconds) in [("early", 99), ("late", 101)] {
        write(layers.upper().join(name), "");
        touch(&layers.upper().join(name), seconds, 0);
    }
    let mut archive = Vec::new();
    let options = ExportOptions::new().clamp_mtime(100);
    export(open_dir(layers.upper()).expect("open"), &Chain::empty(), &mut archive, &options).expect("exported");
    let times: Vec<_> = listing(&archive).iter().map(|line| line.split(' ').nth(4).map(str::to_owned)).collect();
    assert_eq!(times, [Some("99".to_owned()), Some("100".to_owned())]);
}

#[test]
fn rule_37_later_names_of_an_inode_are_links_to_the_first() {
    let layers = Layers::new(0);
    let upper = layers.upper();
    write(upper.join("b/first"), "content");
    fs::create_dir(upper.join("c")).expect("a directory");
    fs::hard_link(upper.join("b/first"), upper.join("c/second")).expect("a link");
    fs::hard_link(upper.join("b/first"), upper.join("z")).expect("a link");
    fs::hard_link(upper.join("b/first"), layers.beside("outside")).expect("a link");
    symlink("nowhere", upper.join("l1")).expect("a link");
    fs::hard_link(upper.join("l1"), upper.join("l2")).expect("a link");

    let listing = listing(&layers.export().0);
    let links: Vec<_> = listing
        .iter()
        .filter(|line| line.contains("->"))
        .map(|line| {
            format!("{}{}", &line[..1], line.rsplit_once(&format!(" {}", touch_field(line))).expect("a time").1)
        })
        .collect();

    assert_eq!(links, ["h c/second -> b/first", "l l1 -> nowhere", "h l2 -> l1", "h z -> b/first"]);
    assert!(listing.iter().filter(|line| line.starts_with('h')).all(|line| line.split(' ').nth(3) == Some("0")));
}

/// The time in a line of [`listing`].
fn touch_field(line: &str) -> &str {
    line.split(' ').nth(4).expect("a time")
}

#[test]
fn rule_41_a_socket_is_left_out_and_reported() {
    let layers = Layers::new(0);
    write(layers.upper().join("run/file"), "");
    let _socket = UnixListener::bind(layers.upper().join("run/socket")).expect("a socket");

    let (archive, exported) = layers.export();

    assert_eq!(names(&archive), ["run/", "run/file"]);
    let skipped: Vec<_> = exported.skipped.iter().map(|skipped| (&skipped.path, &skipped.reason)).collect();
    assert_eq!(skipped, [(&PathBuf::from("run/socket"), &SkipReason::Socket)]);
}

#[test]
fn a_name_that_would_mean_a_deletion_is_left_out_and_reported() {
    let layers = Layers::new(0);
    write(layers.upper().join(".wh.dir/inside"), "");
    write(layers.upper().join(".wh.file"), "");
    write(layers.upper().join("file"), "");

    let (archive, exported) = layers.export();

    assert_eq!(names(&archive), ["file"]);
    let skipped: Vec<_> = exported.skipped.iter().map(|skipped| skipped.path.as_path()).collect();
    assert_eq!(skipped, [Path::new(".wh.dir"), Path::new(".wh.file")]);
}

#[test]
fn root_rules_22_and_24_capabilities_and_user_attributes_are_kept_byte_for_byte() {
    require_root!();
    let layers = Layers::new(0);
    let (file, dir) = (layers.upper().join("file"), layers.upper().join("dir"));
    write(&file, "x");
    fs::create_dir(&dir).expect("a directory");
    symlink("file", layers.upper().join("link")).expect("a link");
    let capability = [&[1, 0, 0, 2, 0, 4][..], &[0; 14]].concat();
    set_xattr(&file, "security.capability", &capability);
    set_xattr(&file, "user.any", b"\0=\xff");
    set_xattr(&file, "user.a=b", b"");
    set_xattr(&dir, "user.empty", b"");
    set_xattr(&layers.upper().join("link"), "trusted.other", b"x");

    let (archive, exported) = layers.export();

    let mut found = Vec::new();
    for entry in tar::Archive::new(archive.as_slice()).entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a path").display().to_string();
        for extension in entry.pax_extensions().expect("records").into_iter().flatten() {
            let extension = extension.expect("a record");
            found.push((name.clone(), extension.key().expect("a key").to_owned(), extension.value_bytes().to_vec()));
        }
    }
    let expected = [
        ("dir/", "SCHILY.xattr.user.empty", Vec::new()),
        ("file", "SCHILY.xattr.security.capability", capability),
        ("file", "SCHILY.xattr.user.any", b"\0=\xff".to_vec()),
    ];
    assert_eq!(found, expected.map(|(name, key, value)| (name.to_owned(), key.to_owned(), value)));
    let skipped: Vec<_> = exported.skipped.iter().map(ToString::to_string).collect();
    let expected = [
        "\"file\": the attribute \"user.a=b\" cannot be kept",
        "\"link\": the attribute \"trusted.other\" cannot be kept",
    ];
    assert_eq!(skipped, expected);
}

#[test]
fn root_rule_53_the_root_is_an_entry_only_where_it_is_not_what_the_chain_gives() {
    require_root!();
    let layers = Layers::new(1);
    let roots = |chain: &Chain| listing(&layers.try_export(chain).expect("exported").0);
    touch(&layers.upper(), 9, 0);
    assert_eq!(roots(&layers.chain()), [""; 0], "the same as the lower's");
    assert_eq!(roots(&Chain::empty()), [""; 0], "as a base layer's is");
    assert_eq!(roots(&Chain::unknown(Dialect::Trusted)), ["d 0755 0:0 0 9 ./"], "nobody knows what the lower's is");

    chmod(&layers.lower(0), 0o700);
    assert_eq!(roots(&layers.chain()), ["d 0755 0:0 0 9 ./"]);
    chmod(&layers.upper(), 0o700);
    assert_eq!(roots(&layers.chain()), [""; 0]);
    assert_eq!(roots(&Chain::empty()), ["d 0700 0:0 0 9 ./"]);
    chown(layers.upper(), Some(5), None).expect("an owner");
    assert_eq!(roots(&layers.chain()), ["d 0700 5:0 0 9 ./"]);
    chown(layers.lower(0), Some(5), None).expect("an owner");
    set_xattr(&layers.upper(), "user.root", b"x");
    assert_eq!(roots(&layers.chain()), ["d 0700 5:0 0 9 ./"]);
}

#[test]
fn the_same_tree_made_in_another_order_gives_the_same_bytes() {
    let trees: Vec<_> = [false, true]
        .into_iter()
        .map(|backwards| {
            let layers = Layers::new(0);
            let mut files: Vec<_> = (0..50).map(|n| format!("dir{}/{}-{n}", n % 7, "name".repeat(n))).collect();
            if backwards {
                files.reverse();
            }
            for file in &files {
                write(layers.upper().join(file), file);
                for (index, name) in ["user.b", "user.a"].into_iter().enumerate() {
                    set_xattr(&layers.upper().join(file), name, &[u8::try_from(index).expect("small")]);
                }
                touch(&layers.upper().join(file), 1_000, 5);
            }
            for n in 0..7 {
                touch(&layers.upper().join(format!("dir{n}")), 2_000, 0);
            }
            let (first, second) = (layers.export(), layers.export());
            assert_eq!(first, second, "two exports of one tree");
            first.0
        })
        .collect();
    assert!(trees[0] == trees[1], "the order in which a tree is made shows in its archive");
}

/// A writer that does something to the tree once so many bytes have passed.
struct Meanwhile<F: FnMut()> {
    after: usize,
    act: Option<F>,
}

impl<F: FnMut()> Write for Meanwhile<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.after = self.after.saturating_sub(bytes.len());
        if self.after == 0
            && let Some(mut act) = self.act.take()
        {
            act();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn rule_28_what_changes_under_the_reader_is_an_error_that_names_it() {
    type Act = fn(&Path);
    let cases: [(&str, Act, &str); 6] = [
        (
            "grows",
            |root| {
                fs::OpenOptions::new()
                    .append(true)
                    .open(root.join("dir/big"))
                    .and_then(|mut file| file.write_all(b"x"))
                    .expect("grown")
            },
            "dir/big",
        ),
        (
            "shrinks",
            |root| {
                fs::OpenOptions::new()
                    .write(true)
                    .open(root.join("dir/big"))
                    .and_then(|file| file.set_len(1_000_000))
                    .expect("cut")
            },
            "dir/big",
        ),
        (
            "rewritten",
            |root| {
                use std::os::unix::fs::FileExt;
                let file = fs::OpenOptions::new().write(true).open(root.join("dir/big")).expect("open");
                file.write_all_at(b"y", 0).expect("written");
                touch(&root.join("dir/big"), 1, 0);
            },
            "dir/big",
        ),
        ("chmod", |root| chmod(&root.join("dir/big"), 0o600), "dir/big"),
        ("vanishes", |root| fs::remove_file(root.join("dir/later")).expect("removed"), "dir/later"),
        ("appears", |root| write(root.join("dir/zz"), ""), "dir"),
    ];
    for (name, act, culprit) in cases {
        let layers = Layers::new(0);
        let upper = layers.upper();
        write(upper.join("dir/big"), vec![1; 4 << 20]);
        write(upper.join("dir/later"), "x");
        touch(&upper.join("dir/big"), 1, 0);
        // The kernel's clock ticks coarsely; what is made in one tick cannot be told from what is changed in it.
        std::thread::sleep(std::time::Duration::from_millis(20));

        let out = Meanwhile { after: 1 << 20, act: Some(|| act(&upper)) };
        let error = export_dir(&upper, out).expect_err(name);

        assert_eq!(error.kind(), ErrorKind::Conflict, "{name}: {error}");
        assert!(error.to_string().contains(&format!("{culprit:?}")), "{name}: {error}");
    }
}

#[test]
fn an_error_of_the_writer_is_found_in_the_sources() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(28))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let layers = Layers::new(0);
    let error = export_dir(&layers.upper(), Full).expect_err("no space");
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
    assert_eq!(source.and_then(io::Error::raw_os_error), Some(28));
}

#[test]
fn rule_36_names_of_any_bytes_and_any_length_are_kept() {
    let layers = Layers::new(0);
    let long = "d".repeat(255);
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9 \t\\").to_owned();
    fs::create_dir_all(layers.upper().join(&long).join(&long)).expect("directories");
    write(layers.upper().join(&long).join(&long).join(&name), "x");

    let archive = layers.export().0;

    let mut tar = tar::Archive::new(archive.as_slice());
    let paths: Vec<_> =
        tar.entries().expect("an archive").map(|entry| entry.expect("an entry").path_bytes().to_vec()).collect();
    let dir = [long.as_bytes(), b"/"].concat();
    assert_eq!(paths, [dir.clone(), [&*dir, &*dir].concat(), [&*dir, &*dir, name.as_bytes()].concat()]);
}
