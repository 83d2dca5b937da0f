//! Rules that no other file has a test of, and the proof that every rule has one.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plyfs_diff::{ApplyOptions, Chain, ErrorKind, IdRange, Owners, SkipReason, apply};
use plyfs_sys::fs::open_dir;
use plyfs_testkit::oci::{EntryType, LayerTar};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::TempDir;

use crate::layers::{Layers, PLAIN, names, write};
use crate::stack::Stack;

#[test]
fn root_rule_21_a_user_attribute_of_a_link_is_reported_and_nothing_fails() {
    require_root!();
    let archive = LayerTar::new().symlink("link", "target").finish();
    let header: [u8; 512] = archive[..512].try_into().expect("a header");
    let mut header = tar::Header::from_byte_slice(&header).clone();
    header.set_cksum();
    let record = b"30 SCHILY.xattr.user.note=yes\n";
    let mut extension = tar::Header::new_ustar();
    extension.set_entry_type(EntryType::XHeader);
    extension.set_path("PaxHeaders.0/link").expect("short");
    extension.set_mode(0);
    extension.set_size(record.len() as u64);
    extension.set_cksum();
    let archive = LayerTar::new().raw(&extension, record).raw(&header, b"").finish();
    let mut stack = Stack::new();
    let applied = stack.push(&archive);
    let reasons: Vec<_> = applied.skipped.iter().map(|skipped| &skipped.reason).collect();
    assert_eq!(reasons, [&SkipReason::Attribute("user.note".into())]);
}

#[test]
fn root_rule_34_a_whiteout_comes_at_its_place_among_its_siblings() {
    require_root!();
    let layers = Layers::new(1);
    for name in ["a", "m", "z"] {
        write(layers.lower(0).join("d").join(name), "");
    }
    let merged = layers.mount(PLAIN);
    fs::remove_file(merged.path().join("d/m")).expect("removed");
    write(merged.path().join("d/a"), "new");
    write(merged.path().join("d/z"), "new");
    drop(merged);
    assert_eq!(names(&layers.export().0), ["d/", "d/a", "d/.wh.m", "d/z"]);
}

#[test]
fn root_rule_38_a_link_that_copying_up_broke_is_one_new_file_and_the_old_name_stays() {
    require_root!();
    let layers = Layers::new(1);
    write(layers.lower(0).join("one"), "old");
    fs::hard_link(layers.lower(0).join("one"), layers.lower(0).join("two")).expect("a link");
    let merged = layers.mount(PLAIN);
    write(merged.path().join("one"), "new");
    drop(merged);
    assert_eq!(names(&layers.export().0), ["one"]);
    let seen = layers.mount_over_lowers(&layers.reapplied());
    let read = |name: &str| fs::read_to_string(seen.path().join(name)).expect("read");
    assert_eq!((read("one"), read("two")), ("new".to_owned(), "old".to_owned()));
}

#[test]
fn root_rule_50_times_are_kept_as_given_and_never_bounded() {
    require_root!();
    for (seconds, atime) in [("-1", "5"), ("4294967296", "0"), ("0", "-7")] {
        let records: [(&str, &[u8]); 2] = [("mtime", seconds.as_bytes()), ("atime", atime.as_bytes())];
        let stack = Stack::new().with(LayerTar::new().pax(&records, "file", "").finish());
        let file = fs::metadata(stack.top().join("file")).expect("stat");
        assert_eq!((file.mtime().to_string(), file.atime().to_string()), (seconds.to_owned(), atime.to_owned()));
    }
}

#[test]
fn root_rule_55_owners_are_shifted_before_anything_is_made_and_whiteouts_belong_to_root() {
    require_root!();
    let temp = TempDir::new();
    let range = IdRange { inside: 0, outside: 100_000, count: 1000 };
    let options = ApplyOptions::new().owners(Owners::new(vec![range], vec![range]));
    let lower = temp.dir("lower");
    write(lower.join("gone"), "");
    let chain = Chain::new(vec![open_dir(&lower).expect("open")], plyfs_diff::Dialect::Trusted);
    let archive = LayerTar::new().file("new/file", "").dir("dir").whiteout("", "gone").finish();
    let layer = temp.dir("layer");
    apply(archive.as_slice(), open_dir(&layer).expect("open"), &chain, &options, None).expect("applied");
    let owner = |name: &str| {
        let status = fs::symlink_metadata(layer.join(name)).expect("stat");
        (status.uid(), status.gid())
    };
    for name in ["new", "new/file", "dir"] {
        assert_eq!(owner(name), (100_000, 100_000), "{name}");
    }
    assert_eq!(owner("gone"), (0, 0));

    let one = IdRange { count: 1, inside: 5, outside: 9 };
    let options = ApplyOptions::new().owners(Owners::new(vec![one], vec![]));
    let error = apply(archive.as_slice(), open_dir(temp.dir("other")).expect("open"), &chain, &options, None);
    let error = error.expect_err("root has no place in the map");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("new/file"), "{error}");
}

#[test]
fn root_rule_42_holes_are_left_for_zeros_where_asked_for() {
    require_root!();
    let content = [vec![1; 5000], vec![0; 1 << 20], vec![2; 10], vec![0; 1 << 20]].concat();
    let archive = LayerTar::new().file("sparse", &content).finish();
    let mut blocks = Vec::new();
    for punches in [false, true] {
        let mut stack = Stack::new();
        stack.try_push_with(&archive, &ApplyOptions::new().punch_holes(punches)).expect("applied");
        let path = stack.top().join("sparse");
        assert!(fs::read(&path).expect("read") == content);
        blocks.push(fs::metadata(&path).expect("stat").blocks());
    }
    assert!(blocks[1] < 64 && blocks[0] > 4000, "{blocks:?}");
}

#[test]
fn root_rules_56_to_61_a_refused_archive_leaves_the_outside_alone_and_no_scratch_file() {
    require_root!();
    let temp = TempDir::new();
    write(temp.join("outside/file"), "kept");
    let before = plyfs_testkit::tree::Tree::of(temp.join("outside"));
    for (rule, archive) in [
        ("57: a name that leaves the root", LayerTar::new().file("big", vec![1; 100_000]).file("../outside/x", "")),
        ("58: a prefix that only looks alike", LayerTar::new().file("../layer-else/x", "")),
        ("59: a link out and back in", LayerTar::new().symlink("l", "../../../..").link("h", "l/../outside/file")),
        ("60: a hard link through a link", LayerTar::new().symlink("l", "/").link("h", "l/outside/file")),
        ("61: a loop", LayerTar::new().symlink("a", "b").symlink("b", "a").file("a/x", "")),
    ] {
        let layer = temp.join("layer");
        drop(fs::remove_dir_all(&layer));
        fs::create_dir(&layer).expect("a directory");
        let mut record = Vec::new();
        let dir = open_dir(&layer).expect("open");
        let archive = archive.finish();
        let applied = apply(archive.as_slice(), &dir, &Chain::empty(), &ApplyOptions::new(), Some(&mut record));
        assert!(applied.is_err(), "rule {rule}");
        let left: Vec<_> =
            fs::read_dir(&layer).expect("list").map(|entry| entry.expect("an entry").file_name()).collect();
        assert!(
            left.iter().all(|name| ["big", "l", "a", "b", "outside"].iter().any(|made| name == made)),
            "{rule}: {left:?}"
        );
        let after = plyfs_testkit::tree::Tree::of(temp.join("outside"));
        assert_eq!(before.entries.len(), after.entries.len(), "rule {rule}");
    }
}

/// Rules up to 61 that are not of this crate's making: rootless mounts, mount options, what a mount keeps beside the
/// upper, compression.
const ELSEWHERE: [u32; 5] = [17, 26, 27, 29, 47];

#[test]
fn every_rule_up_to_61_is_cited_by_a_test() {
    let mut cited = BTreeSet::new();
    let mut open: Vec<PathBuf> = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it")];
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    open.push(src);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("list").map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let text = fs::read_to_string(&path).expect("text");
        let is_tests = path.components().any(|part| part.as_os_str() == "tests");
        let tests = if is_tests { &text[..] } else { text.split("mod tests {").nth(1).unwrap_or_default() };
        for line in tests.lines().filter(|line| !line.trim_start().starts_with("//")) {
            cited.extend(rules_of(line));
        }
    }
    let missing: Vec<_> = (1..=61).filter(|rule| !cited.contains(rule) && !ELSEWHERE.contains(rule)).collect();
    assert!(missing.is_empty(), "no test cites {missing:?}");
}

/// The rules a line cites: `rule 7`, `rules 1 to 10`, `rule_25`, `rules_56_to_61`.
fn rules_of(line: &str) -> Vec<u32> {
    let mut rules = Vec::new();
    for (at, _) in line.match_indices("rule") {
        let rest = line[at + 4..].trim_start_matches('s');
        let mut last: Option<u32> = None;
        let mut is_range = false;
        for word in rest.split([' ', '_', ',', '(', ')', ':', '"']).filter(|word| !word.is_empty()) {
            match (word.parse::<u32>(), word) {
                (Ok(rule), _) if is_range => rules.extend(last.map_or(rule, |last: u32| last + 1)..=rule),
                (Ok(rule), _) => rules.push(rule),
                (Err(_), "to") => is_range = true,
                (Err(_), "and") => {}
                _ => break,
            }
            if let Ok(rule) = word.parse() {
                (last, is_range) = (Some(rule), false);
            }
        }
    }
    rules
}

#[test]
fn citations_are_read_in_every_form_they_have() {
    assert_eq!(rules_of("fn root_rules_156_to_158_and_107_something() (rule 103)"), [156, 157, 158, 107, 103]);
    assert_eq!(rules_of("no ruler, rules 101, 102 and 115: \"rule 109\""), [101, 102, 115, 109]);
}
