//! The mount table: any bytes, long lines, malformed lines, and the kernel's own.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use plyfs_mount::ErrorKind;
use plyfs_mount::mountinfo::{at, over_upper, parse, read};
use proptest::prelude::*;

const ROOT: &str = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n";

#[test]
fn an_entry_has_every_field() {
    let line =
        b"36 35 98:0 /mnt\\0401 /mnt\\0112\\134 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\n";
    let table = parse(line).expect("a table");
    insta::assert_debug_snapshot!(table, @r#"
    [
        Entry {
            id: 36,
            parent: 35,
            device: (
                98,
                0,
            ),
            root: "/mnt 1",
            mount_point: "/mnt\t2\\",
            options: "rw,noatime",
            tags: [
                "master:1",
                "shared:7",
            ],
            fs_type: "ext3",
            source: "/dev/root",
            super_options: "rw,errors=continue",
        },
    ]
    "#);
}

#[test]
fn an_empty_table_has_no_entries() {
    assert_eq!(parse(b"").expect("a table"), []);
}

#[test]
fn an_empty_source_and_spaces_in_the_last_field_are_read() {
    let table =
        parse(b"1 2 0:3 / /a rw - fuse  rw\n1 2 0:3 / /b rw - 9p C: rw,path=C:\\Program Files\n").expect("a table");
    assert_eq!(table[0].source, "");
    assert_eq!(table[1].super_options, "rw,path=C:\\Program Files");
}

#[test]
fn a_malformed_line_is_named_by_its_number() {
    let cases: [(&[u8], &str); 9] = [
        (b"", "the id is not a number"),
        (b"x 1 0:1 / / rw - t s o", "the id is not a number"),
        (b"+1 1 0:1 / / rw - t s o", "the id is not a number"),
        (b"1 99999999999999999999 0:1 / / rw - t s o", "the parent is not a number"),
        (b"1 1 0.1 / / rw - t s o", "the device is not major:minor"),
        (b"1 1 0:1 / / rw", "it ends before the file system's options"),
        (b"1 1 0:1 / / rw shared:1", "it ends before the file system's options"),
        (b"1 1 0:1 / / rw - t", "it ends before the file system's options"),
        (b"1 1 0:1 / / rw - t s", "the file system's options are missing"),
    ];
    for (line, problem) in cases {
        let table = [ROOT.as_bytes(), ROOT.as_bytes(), line, b"\n", ROOT.as_bytes()].concat();
        let error = parse(&table).expect_err("malformed");
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Corrupt, format!("mountinfo line 3: {problem}")));
    }
}

#[test]
fn a_line_of_many_kilobytes_is_one_entry() {
    let layers: Vec<_> = (0..550).map(|number| format!("/var/lib/plyfs/overlay2/{number:064x}/diff")).collect();
    let appended: String = layers.iter().map(|layer| format!(",lowerdir+={layer}")).collect();
    let listed = layers.join(":");
    let line =
        |options: &str| format!("9 27 0:40 / /m rw - overlay overlay rw{options},upperdir=/u/diff,workdir=/u/work\n");
    let table = [ROOT.into(), line(&appended), line(&format!(",lowerdir={listed}")), ROOT.to_owned()].concat();
    assert!(table.len() > 100_000, "two lines of about 50 kB: {}", table.len());

    let table = parse(table.as_bytes()).expect("a table");

    assert_eq!(table.len(), 4);
    let layers: Vec<OsString> = layers.into_iter().map(Into::into).collect();
    assert_eq!(table[1].lowers(), layers);
    assert_eq!(table[2].lowers(), layers);
}

#[test]
fn the_topmost_of_stacked_mounts_is_the_one_seen() {
    let line = |id, parent| format!("{id} {parent} 0:9 / /m rw - tmpfs tmpfs rw\n");
    // Ids are reused: the newest mount may have the smallest.
    let table = parse([ROOT.into(), line(40, 27), line(30, 41), line(41, 40)].concat().as_bytes()).expect("a table");
    assert_eq!(at(&table, "/m").map(|entry| entry.id), Some(30));
    assert_eq!(at(&table, "/").map(|entry| entry.id), Some(27), "the root may name itself as its parent");
    assert_eq!(at(&table, "/n"), None);
}

#[test]
fn an_upper_directory_is_found_by_its_last_components_however_it_was_given() {
    let line =
        |upper: &str| format!("9 27 0:40 / /m rw - overlay overlay rw,lowerdir=a:b,upperdir={upper},workdir=w\n");
    let over = ["/store/c1/diff", "c1/diff", "7/c1/diff", "/a\\134\\054b/c1/diff"];
    let not = ["/store/c2/diff", "/store/xc1/diff", "/store/c1/diff/x", "c1"];
    let table: String = over.iter().chain(&not).map(|upper| line(upper)).collect();
    let table = parse(table.as_bytes()).expect("a table");
    assert_eq!(over_upper(&table, Path::new("c1/diff")).count(), over.len());
    assert_eq!(
        over_upper(&table, Path::new("a,b/c1/diff")).count(),
        1,
        "backslashes given to the kernel are taken away"
    );
    let bind = parse(b"9 27 0:40 / /m rw - ext4 /dev/vda rw,upperdir=/store/c1/diff\n").expect("a table");
    assert_eq!(over_upper(&bind, Path::new("c1/diff")).count(), 0, "only overlays have an upper directory");
}

#[test]
fn escaped_separators_do_not_separate_lowers() {
    let table =
        parse(b"9 27 0:40 / /m ro - overlay overlay ro,lowerdir=a\\134:b:c\\134\\134:d\\134\\054e\n").expect("a table");
    assert_eq!(table[0].lowers(), ["a:b", "c\\", "d,e"]);
    assert_eq!(table[0].upper(), None);
}

#[test]
fn the_own_table_is_read_and_has_a_root() {
    let table = read().expect("the table can be read");
    assert!(at(&table, "/").is_some(), "there is a root");
    assert!(at(&table, "/proc").is_some_and(|entry| entry.fs_type == "proc"), "and proc, where it came from");
}

/// Writes a path as the kernel does.
fn escape(path: &[u8]) -> Vec<u8> {
    let escaped = |&byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        byte => vec![byte],
    };
    path.iter().flat_map(escaped).collect()
}

proptest! {
    #[test]
    fn any_path_is_read_back(parts in prop::collection::vec(prop::collection::vec(1..=255_u8, 0..300), 3), tags in 0..4_usize) {
        let [root, point, source] = [&parts[0], &parts[1], &parts[2]].map(|part| escape(part));
        let line = [
            b"1 2 3:4 /".as_slice(), &root, b" /", &point, b" rw ", "shared:1 ".repeat(tags).as_bytes(),
            b"- ext4 x", &source, b" rw\n",
        ].concat();
        let table = parse(&[ROOT.as_bytes(), &line, ROOT.as_bytes()].concat()).expect("a table");
        prop_assert_eq!(table.len(), 3);
        prop_assert_eq!(table[1].root.as_os_str().as_bytes(), [b"/", parts[0].as_slice()].concat());
        prop_assert_eq!(table[1].mount_point.as_os_str().as_bytes(), [b"/", parts[1].as_slice()].concat());
        prop_assert_eq!(table[1].source.as_bytes(), [b"x", parts[2].as_slice()].concat());
        prop_assert_eq!(table[1].tags.len(), tags);
    }

    #[test]
    fn any_bytes_are_a_table_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() + 1;
        match parse(&bytes) {
            Ok(table) => prop_assert!(table.len() <= lines),
            Err(error) => prop_assert!(error.to_string().starts_with("mountinfo line ")),
        }
    }

    #[test]
    fn a_table_cut_anywhere_is_whole_entries_or_an_error(cut in 0..=ROOT.len()) {
        let table = [ROOT, &ROOT[..cut]].concat();
        if let Ok(entries) = parse(table.as_bytes()) {
            prop_assert!(entries.len() <= 2);
            prop_assert_eq!(entries[0].mount_point.as_os_str(), OsStr::new("/"));
        }
    }

    #[test]
    fn any_option_value_is_read_back(value in prop::collection::vec(1..=255_u8, 0..300)) {
        let escaped: Vec<u8> = escape(&value).iter().flat_map(|&byte| if byte == b',' { b"\\054".to_vec() } else { vec![byte] }).collect();
        let line = [b"1 2 3:4 / / rw - overlay overlay rw,upperdir=".as_slice(), &escaped, b",workdir=w\n"].concat();
        let table = parse(&line).expect("a table");
        prop_assert_eq!(table[0].upper(), Some(OsString::from_vec(value)));
    }
}
