//! Layers applied before their parents are known, settled afterwards: the same as over the chain from the beginning.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use plyfs_diff::{Applied, ApplyOptions, Chain, Dialect, Error, ErrorKind, apply, settle, tar_split};
use plyfs_sys::fs::open_dir;
use plyfs_testkit::oci::{EntryType, LayerTar};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::tree::{Options, Tree, differences};
use proptest::prelude::*;

use crate::apply_archives::{build, possible, step};
use crate::stack::whole;

/// Lowers, uppermost first, to apply over at once or afterwards.
struct Bench {
    temp: TempDir,
    lowers: Vec<PathBuf>,
}

/// What became of a layer.
struct Outcome {
    tree: Tree,
    applied: Applied,
    is_rebuilt: bool,
}

impl Bench {
    fn new(lowers: &[Vec<u8>]) -> Self {
        let mut bench = Self { temp: TempDir::new(), lowers: Vec::new() };
        for (index, archive) in lowers.iter().enumerate() {
            let path = bench.temp.dir(format!("lower{index}"));
            let layer = open_dir(&path).expect("open");
            apply(archive.as_slice(), &layer, &bench.chain(), &ApplyOptions::new(), None).expect("applied");
            bench.lowers.insert(0, path);
        }
        bench
    }

    fn chain(&self) -> Chain {
        Chain::new(self.lowers.iter().map(|path| open_dir(path).expect("a lower")).collect(), Dialect::Trusted)
    }

    fn dir(&self, name: &str) -> PathBuf {
        let path = self.temp.join(name);
        drop(fs::remove_dir_all(&path));
        self.temp.dir(name)
    }

    fn direct(&self, archive: &[u8]) -> Result<Outcome, Error> {
        let path = self.dir("direct");
        let layer = open_dir(&path).expect("open");
        let mut record = Vec::new();
        let applied = apply(archive, &layer, &self.chain(), &ApplyOptions::new(), Some(&mut record))?;
        assert!(applied.deferred.is_empty(), "a chain that is known leaves nothing to wait for");
        Ok(Outcome { tree: Tree::of(&path), applied, is_rebuilt: false })
    }

    fn settled(&self, archive: &[u8]) -> Result<Outcome, Error> {
        self.settled_as(archive, |_| {})
    }

    /// The same of a layer with which something happens before it is settled.
    fn settled_as(&self, archive: &[u8], happens: impl FnOnce(&mut Applied)) -> Result<Outcome, Error> {
        let path = self.dir("settled");
        let layer = open_dir(&path).expect("open");
        let (mut record, mut again) = (Vec::new(), Vec::new());
        let unknown = Chain::unknown(Dialect::Trusted);
        let mut first = apply(archive, &layer, &unknown, &ApplyOptions::new(), Some(&mut record))?;
        happens(&mut first);
        let settled = settle(&layer, &self.chain(), &first, &ApplyOptions::new(), record.as_slice(), &mut again)?;
        assert_eq!(settled.is_rebuilt, !again.is_empty() || archive.is_empty(), "a record is written when it is new");
        let record = if settled.is_rebuilt { again } else { record };
        let mut rebuilt = Vec::new();
        tar_split::rebuild(record.as_slice(), &layer, &mut rebuilt).expect("rebuilt");
        assert!(rebuilt == archive, "the archive comes back byte for byte");
        crate::stack::assert_costs(settled.applied.usage, &layer, "settled");
        crate::stack::assert_verified(&record, &layer, &self.chain());
        assert!(settled.applied.deferred.is_empty(), "nothing waits any more");
        Ok(Outcome { tree: Tree::of(&path), applied: settled.applied, is_rebuilt: settled.is_rebuilt })
    }

    /// Proves that both ways give one layer, and returns whether the archive was applied anew; an error is one for both.
    fn check(&self, archive: &[u8]) -> Option<bool> {
        let (direct, settled) = (self.direct(archive), self.settled(archive));
        match (direct, settled) {
            (Ok(direct), Ok(settled)) => {
                let differences = differences(&direct.tree, &settled.tree, &Options::new());
                assert!(differences.is_empty(), "{differences:#?}");
                let counted = |applied: &Applied| (applied.usage.apparent, applied.usage.inodes);
                assert_eq!(counted(&direct.applied), counted(&settled.applied));
                assert_eq!(direct.applied.diff_id, settled.applied.diff_id);
                assert_eq!(direct.applied.skipped, settled.applied.skipped);
                Some(settled.is_rebuilt)
            }
            (Err(_), Err(_)) => None,
            (direct, settled) => {
                let say = |outcome: Result<Outcome, Error>| outcome.map_or_else(|e| whole(&e), |_| "applied".into());
                panic!("at once: {}; settled: {}", say(direct), say(settled))
            }
        }
    }
}

fn base() -> Vec<u8> {
    LayerTar::new()
        .entry(EntryType::Directory, 0o1777, "tmp", "", "")
        .dir("usr")
        .dir("usr/lib")
        .file("usr/lib/libc", "c")
        .symlink("lib", "usr/lib")
        .file("file", "content")
        .dir("d")
        .file("d/a", "a")
        .file("d/b", "b")
        .finish()
}

#[test]
fn root_rule_51_implied_parents_get_what_the_parent_layer_has_when_it_is_known() {
    require_root!();
    let bench = Bench::new(&[base()]);
    let archive = LayerTar::new().file("tmp/x", "x").file("new/y", "y").finish();
    assert_eq!(bench.check(&archive), Some(false), "attributes are copied in place");
    let settled = bench.temp.join("settled");
    assert_eq!(fs::metadata(settled.join("tmp")).expect("stat").mode() & 0o7777, 0o1777);
    assert_eq!(fs::metadata(settled.join("new")).expect("stat").mode() & 0o7777, 0o755);
}

#[test]
fn root_rules_2_7_11_marks_that_hide_nothing_go_and_those_that_do_stay() {
    require_root!();
    let bench = Bench::new(&[base()]);
    let archive = LayerTar::new()
        .whiteout("d", "a")
        .whiteout("d", "nothing")
        .opaque("tmp")
        .dir("new")
        .opaque("new")
        .whiteout("", "file")
        .dir("file")
        .whiteout("", "fresh")
        .dir("fresh")
        .finish();
    assert_eq!(bench.check(&archive), Some(false), "marks are taken away in place");
    let opaque = |name: &str| {
        let dir = open_dir(bench.temp.join("settled").join(name)).expect("a directory");
        plyfs_sys::xattr::get(&dir, "trusted.overlay.opaque").expect("readable").is_some()
    };
    assert_eq!(["tmp", "new", "file", "fresh"].map(opaque), [true, false, true, false]);
}

#[test]
fn root_what_was_let_go_of_to_save_memory_is_found_out_again() {
    require_root!();
    let bench = Bench::new(&[base()]);
    let waits = LayerTar::new().file("tmp/x", "x").whiteout("d", "a").dir("tmp/l").finish();
    let lost = plyfs_testkit::tar_text::build("file f xattr:security.selinux=x\n").expect("a text");
    for (archive, is_rebuilt) in [(waits, true), (lost, true), (LayerTar::new().dir("./").finish(), false)] {
        let direct = bench.direct(&archive).expect("applied");
        let settled = bench.settled_as(&archive, |applied| {
            let listed = applied.skipped.len() as u64;
            assert!(applied.weight() > 0 || !is_rebuilt, "what waits weighs something: {applied:?}");
            applied.lighten();
            assert_eq!((applied.weight(), applied.skipped_more), (0, listed), "it is counted, and weighs nothing");
        });
        let settled = settled.expect("settled");
        let differences = differences(&direct.tree, &settled.tree, &Options::new());
        assert!(differences.is_empty(), "{differences:#?}");
        assert_eq!(settled.is_rebuilt, is_rebuilt);
        assert_eq!(settled.applied.skipped, direct.applied.skipped, "a layer that is applied anew lists again");
    }
}

#[test]
fn root_rules_39_and_52_what_leads_through_the_lowers_is_applied_anew() {
    require_root!();
    let bench = Bench::new(&[base()]);
    for (name, archive) in [
        ("rule 52: a linked parent", LayerTar::new().file("lib/libm", "m")),
        ("rule 39: a link to a lower", LayerTar::new().link("hard", "file")),
        ("rule 39: a link to a lower through a link", LayerTar::new().link("hard", "lib/libc")),
        ("a whiteout through a link", LayerTar::new().whiteout("lib", "libc")),
        ("a whiteout where there is no directory", LayerTar::new().whiteout("none", "x")),
        ("an opaque root", LayerTar::new().opaque("").file("kept", "")),
        ("a directory in the place of a link", LayerTar::new().file("lib/x", "x").dir("lib")),
        ("rule 46: a directory in the place of a file", LayerTar::new().file("d", "").dir("d")),
        ("rule 46: and of a directory", LayerTar::new().file("d/s/x", "").file("d", "").dir("d").file("d/s/x", "")),
    ] {
        assert_eq!(bench.check(&archive.finish()), Some(true), "{name}");
        let names = Tree::of(bench.temp.join("settled"));
        assert!(names.entries.keys().all(|path| !path.starts_with(b".wh.")), "{name}: nothing is left aside");
    }
    let archive = LayerTar::new().file("lib/x", "x").opaque("").finish();
    assert_eq!(Bench::new(&[]).check(&archive), Some(false), "over nothing, in place");
}

#[test]
fn root_what_no_chain_makes_right_is_an_error_then() {
    require_root!();
    let bench = Bench::new(&[base()]);
    for archive in [
        LayerTar::new().link("hard", "nowhere"),
        LayerTar::new().link("hard", "d"),
        LayerTar::new().file("x", "").file("x/y", ""),
        LayerTar::new().whiteout("", "file").link("hard", "file"),
    ] {
        let archive = archive.finish();
        assert!(bench.direct(&archive).is_err() && bench.settled(&archive).is_err());
    }
    let layer = open_dir(bench.dir("unknown")).expect("open");
    let unknown = Chain::unknown(Dialect::Trusted);
    let applied = apply(&base()[..], &layer, &unknown, &ApplyOptions::new(), None).expect("applied");
    let error = settle(&layer, &unknown, &applied, &ApplyOptions::new(), &b""[..], &mut Vec::new());
    assert_eq!(error.expect_err("still unknown").kind(), ErrorKind::InvalidInput);
}

#[test]
fn root_a_layer_with_more_questions_than_are_remembered_is_applied_anew() {
    require_root!();
    let bench = Bench::new(&[base()]);
    let long = vec!["n".repeat(250); 16].join("/");
    let archive = (0..1100).fold(LayerTar::new(), |tar, number| tar.whiteout(&long, &number.to_string()));
    let archive = archive.file("tmp/x", "x").finish();
    assert_eq!(bench.check(&archive), Some(true));
    assert_eq!(fs::read_dir(bench.temp.join("settled")).expect("list").count(), 1, "nothing was hidden");
}

#[test]
fn root_a_record_of_another_archive_is_refused() {
    require_root!();
    let bench = Bench::new(&[base()]);
    let path = bench.dir("layer");
    let layer = open_dir(&path).expect("open");
    let archive = LayerTar::new().file("lib/x", "x").finish();
    let unknown = Chain::unknown(Dialect::Trusted);
    let applied = apply(archive.as_slice(), &layer, &unknown, &ApplyOptions::new(), None).expect("applied");
    let settled = settle(&layer, &bench.chain(), &applied, &ApplyOptions::new(), &b""[..], &mut Vec::new());
    assert_eq!(settled.expect_err("no record").kind(), ErrorKind::Corrupt);
}

#[test]
fn root_a_link_never_leads_to_where_a_layer_waits_to_be_applied_anew() {
    require_root!();
    let bench = Bench::new(&[base()]);
    let aside = ".wh..wh.plyfs-unsettled";
    for target in [aside.to_owned(), format!("{aside}/deeper"), ".wh.x".to_owned()] {
        let archive = LayerTar::new().file("lib/x", "x").symlink("out", &target).file("out/x", "y").finish();
        assert_eq!(bench.direct(&archive).err().expect("refused").kind(), ErrorKind::InvalidInput, "{target}");
        assert!(bench.settled(&archive).is_err(), "{target}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn root_any_archive_settled_is_the_archive_applied_over_its_chain(
        lowers in proptest::collection::vec(proptest::collection::vec(step(), 0..10), 0..3),
        steps in proptest::collection::vec(step(), 0..16),
    ) {
        if !plyfs_testkit::require::root(module_path!(), line!()) {
            return Ok(());
        }
        let mut archives = Vec::new();
        for steps in lowers {
            let bench = Bench::new(&archives);
            archives.push(build(&possible(steps, &[], |archive| bench.direct(archive).is_ok()), &[]));
        }
        let bench = Bench::new(&archives);
        bench.check(&build(&steps, &[]));
        bench.check(&build(&possible(steps, &[], |archive| bench.direct(archive).is_ok()), &[]));
    }
}
