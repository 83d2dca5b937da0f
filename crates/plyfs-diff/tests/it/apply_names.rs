//! Where names lead (rules 39, 51, 52), and that none leads out.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use plyfs_diff::{ApplyOptions, Chain, ErrorKind, apply};
use plyfs_sys::fs::open_dir;
use plyfs_testkit::images::hostile;
use plyfs_testkit::oci::{EntryType, LayerTar};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::tree::Tree;

use crate::stack::{Stack, mode, whole};

#[test]
fn root_parents_the_archive_leaves_out_are_as_in_the_chain() {
    require_root!();
    let mut header = tar::Header::new_ustar();
    header.set_path("srv/").expect("short");
    header.set_entry_type(EntryType::Directory);
    header.set_mode(0o2770);
    header.set_uid(7);
    header.set_gid(9);
    header.set_mtime(1_000_000);
    header.set_size(0);
    header.set_cksum();
    let stack = Stack::new()
        .with(LayerTar::new().entry(EntryType::Directory, 0o1777, "tmp", "", "").raw(&header, b"").finish())
        .with(LayerTar::new().file("unrelated", "").finish())
        .with(LayerTar::new().file("tmp/x", "").file("srv/deep/x", "").finish());
    let top = stack.top();
    assert_eq!(mode(top.join("tmp")), 0o1777, "rule 51: /tmp stays sticky");
    let srv = fs::metadata(top.join("srv")).expect("stat");
    assert_eq!((mode(top.join("srv")), srv.uid(), srv.gid(), srv.mtime()), (0o2770, 7, 9, 1_000_000), "rule 51");
    let deep = fs::metadata(top.join("srv/deep")).expect("stat");
    assert_eq!((mode(top.join("srv/deep")), deep.uid(), deep.gid()), (0o755, 0, 0), "rule 51: nobody describes it");
}

#[test]
fn root_a_later_entry_of_an_implied_parent_describes_it() {
    require_root!();
    let stack = Stack::new()
        .with(LayerTar::new().entry(EntryType::Directory, 0o1777, "d", "", "").finish())
        .with(LayerTar::new().file("d/x", "").entry(EntryType::Directory, 0o700, "d", "", "").file("d/y", "").finish());
    assert_eq!(mode(stack.top().join("d")), 0o700, "rule 51");
    assert_eq!(fs::metadata(stack.top().join("d")).expect("stat").mtime(), 1_704_067_200, "rule 49");
}

#[test]
fn root_names_lead_through_links_of_the_lowers() {
    require_root!();
    let stack = Stack::new()
        .with(
            LayerTar::new()
                .entry(EntryType::Directory, 0o711, "usr/lib", "", "")
                .symlink("lib", "usr/lib")
                .symlink("abs", "/usr/lib")
                .symlink("usr/up", "../../../../usr/lib")
                .finish(),
        )
        .with(
            LayerTar::new()
                .file("lib/a", "a")
                .file("abs/b", "b")
                .file("usr/up/c", "c")
                .file("lib/a", "again")
                .whiteout("lib", "gone")
                .finish(),
        );
    assert_eq!(stack.paths(), ["usr", "usr/lib", "usr/lib/a", "usr/lib/b", "usr/lib/c"], "rule 52");
    assert_eq!(mode(stack.top().join("usr/lib")), 0o711, "rule 51: through the link too");
    assert_eq!(stack.read_merged("lib/a").as_deref(), Some("again"), "rule 52: the link is not hidden");
}

#[test]
fn root_an_entry_takes_the_place_of_a_link_of_a_lower() {
    require_root!();
    let stack = Stack::new()
        .with(LayerTar::new().dir("usr/lib").symlink("lib", "usr/lib").finish())
        .with(LayerTar::new().dir("lib").file("lib/a", "").finish());
    assert_eq!(stack.paths(), ["lib", "lib/a"], "rule 52: an entry of its own hides the link");
}

#[test]
fn root_a_hard_link_to_a_file_of_a_lower_copies_it_up() {
    require_root!();
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let stack = Stack::new()
        .with(
            LayerTar::new()
                .entry(EntryType::Directory, 0o711, "bin", "", "")
                .pax(&[("SCHILY.xattr.security.capability", capability)], "bin/tool", "tool")
                .symlink("sbin", "bin")
                .symlink("bin/alias", "tool")
                .finish(),
        )
        .with(LayerTar::new().link("sbin/again", "/sbin/tool").link("other", "bin/alias").finish());
    assert_eq!(stack.paths(), ["bin", "bin/again", "bin/alias", "bin/tool", "other"], "rule 39");
    let tree = stack.tree();
    let again = tree.get("bin/again").expect("made");
    assert_eq!(again.links.as_deref(), Some(&b"bin/again"[..]), "rule 39: one inode with its first name");
    assert_eq!(again.xattrs.values().next().expect("kept"), capability, "rule 39: with its attributes");
    assert_eq!(again.mode, 0o644);
    assert_eq!(fs::metadata(stack.top().join("bin/tool")).expect("stat").mtime(), 1_704_067_200, "rule 39");
    assert!(fs::symlink_metadata(stack.top().join("other")).expect("stat").is_symlink(), "rule 40");
    assert_eq!(mode(stack.top().join("bin")), 0o711, "rule 51");
}

#[test]
fn root_a_hard_link_to_what_this_layer_hides_is_refused() {
    require_root!();
    let base = || Stack::new().with(LayerTar::new().file("a", "").dir("d").file("d/b", "").finish());
    let hostile = [
        LayerTar::new().whiteout("", "a").link("x", "a").finish(),
        LayerTar::new().whiteout("", "d").link("x", "d/b").finish(),
        LayerTar::new().opaque("d").link("x", "d/b").finish(),
        LayerTar::new().link("x", "d").finish(),
        LayerTar::new().link("x", "/").finish(),
        LayerTar::new().link("x", "").finish(),
        LayerTar::new().dir("e").file("e/f", "").link("e", "e/f").finish(),
    ];
    for (archive, index) in hostile.iter().zip(0..) {
        let error = base().try_push(archive).expect_err("no such file");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{index}: {}", whole(&error));
    }
}

#[test]
fn root_loops_of_links_and_names_through_files_are_refused() {
    require_root!();
    let hostile = [
        (LayerTar::new().symlink("a", "b").symlink("b", "a").file("a/x", "").finish(), "too many symbolic links"),
        (LayerTar::new().file("a", "").file("a/x", "").finish(), "not a directory"),
        (LayerTar::new().symlink("a", "").finish(), "to nothing"),
        (LayerTar::new().file("a/../../x", "").finish(), "leaves the root"),
        (LayerTar::new().link("a", "../x").finish(), "leaves the root"),
    ];
    for (archive, message) in hostile {
        let error = Stack::new().try_push(&archive).expect_err(message);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{message}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

/// A directory with a layer in the middle of what must never change.
struct Canary {
    temp: TempDir,
    before: Tree,
}

impl Canary {
    fn new() -> Self {
        let temp = TempDir::new();
        let around = temp.dir("around");
        fs::create_dir(around.join("layer")).expect("the layer");
        // A neighbour whose name begins like the layer's (CVE-2025-11395).
        fs::create_dir(around.join("layer-beside")).expect("a neighbour");
        fs::write(around.join("layer-beside/file"), "canary").expect("a file");
        fs::write(around.join("passwd"), "canary").expect("a file");
        symlink("passwd", around.join("link")).expect("a link");
        fs::set_permissions(around.join("passwd"), fs::Permissions::from_mode(0o640)).expect("chmod");
        let before = Self::around(&around);
        Self { temp, before }
    }

    fn layer(&self) -> std::path::PathBuf {
        self.temp.join("around/layer")
    }

    fn around(dir: &Path) -> Tree {
        let mut tree = Tree::of(dir);
        tree.entries.retain(|path, _| path.as_slice() != b"layer" && !path.starts_with(b"layer/"));
        tree
    }

    fn assert_unchanged(&self, case: &str) {
        assert_eq!(Self::around(&self.temp.join("around")), self.before, "{case}");
    }
}

#[test]
fn root_hostile_archives_change_nothing_outside_the_layer() {
    require_root!();
    let refused = hostile::refused().into_iter().map(|case| (case, true));
    let contained = hostile::contained().into_iter().map(|case| (case, false));
    for ((case, archive), must_fail) in refused.chain(contained).chain(breakouts().into_iter().map(|c| (c, false))) {
        for over_chain in [false, true] {
            let canary = Canary::new();
            let lower = canary.temp.dir("lower");
            symlink("/", lower.join("out")).expect("a link that leads out");
            symlink("../../..", lower.join("a")).expect("a link that leads out");
            let lowers = if over_chain { vec![open_dir(&lower).expect("open")] } else { Vec::new() };
            let chain = Chain::new(lowers, plyfs_diff::Dialect::Trusted);
            let layer = open_dir(canary.layer()).expect("open");

            let result = apply(archive.as_slice(), &layer, &chain, &ApplyOptions::new(), None);

            canary.assert_unchanged(case);
            if must_fail && !over_chain {
                let error = result.expect_err(case);
                assert!(matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Corrupt), "{case}: {error:?}");
            }
            for name in [hostile::ESCAPED, "../plyfs-escaped", "/tmp/plyfs-escaped"] {
                assert!(!canary.temp.join("around").join(name).exists(), "{case}: {name}");
            }
        }
    }
}

/// Attacks of `security.md` beyond those the images carry.
fn breakouts() -> Vec<(&'static str, Vec<u8>)> {
    let new = LayerTar::new;
    let climbing = "../../../../../../../..";
    vec![
        ("CVE-2014-6407", new().symlink("a", "/").file("a/tmp/plyfs-escaped", "x").finish()),
        ("CVE-2014-9356", new().symlink("a", "/tmp").dir("a/plyfs-escaped").finish()),
        ("CVE-2018-20990", new().symlink("a", "../passwd").link("b", "a").file("b", "x").finish()),
        ("CVE-2021-32760", new().symlink("a", "../passwd").entry(EntryType::Link, 0o4777, "b", "a", "").finish()),
        (
            "CVE-2026-33056",
            new().symlink("a", "../layer-beside").entry(EntryType::Directory, 0o777, "a", "", "").finish(),
        ),
        ("CVE-2025-11395", new().symlink("a", "../layer-beside").file("a/file", "x").finish()),
        (
            "a link over its own parent",
            new().dir("a").file("a/b", "").symlink("a", climbing).file("a/passwd", "").finish(),
        ),
        (
            "a device through a link",
            new().symlink("a", climbing).entry(EntryType::Fifo, 0o666, "a/passwd", "", "").finish(),
        ),
        ("an opaque root", new().opaque("").symlink("x", "/").opaque("x").finish()),
        ("a link whose parent is a link", new().symlink("a", "/").symlink("a/tmp/plyfs-escaped", "x").finish()),
    ]
}

#[test]
fn root_links_that_lead_out_lead_to_the_layers_own_root() {
    require_root!();
    let stack = Stack::new().with(
        LayerTar::new()
            .symlink("a", "/")
            .file("a/etc/x", "inside")
            .symlink("b", "../../..")
            .file("b/y", "inside")
            .file("/../abs".trim_start_matches("/.."), "")
            .finish(),
    );
    assert_eq!(stack.paths(), ["a", "abs", "b", "etc", "etc/x", "y"], "CVE-2014-6407");
}

#[test]
fn root_a_tree_deeper_than_the_applier_holds_open_is_made() {
    require_root!();
    let name = |depth: usize| vec!["d"; depth].join("/");
    let stack = Stack::new().with(
        LayerTar::new()
            .file(format!("{}/file", name(500)), "deep")
            .file("top", "")
            .file(format!("{}/again", name(400)), "")
            .entry(EntryType::Directory, 0o700, name(300), "", "")
            .file(format!("{}/again", name(500)), "deep too")
            .finish(),
    );
    assert_eq!(stack.paths().len(), 500 + 4);
    let time = |depth| fs::metadata(stack.top().join(name(depth))).expect("stat").mtime();
    assert!((1..=500).all(|depth| time(depth) == 1_704_067_200), "rule 49: whatever was entered again");
}

#[test]
fn root_paths_deeper_than_the_limit_are_refused_by_its_name() {
    require_root!();
    let deep = "d/".repeat(500);
    let archives = [
        LayerTar::new().file("d/".repeat(600) + "f", "").finish(),
        // No name is too long here, but a link leads every next one further down.
        LayerTar::new().dir(&deep).symlink("s", &deep).file(format!("s/{deep}/f"), "").finish(),
    ];
    for archive in archives {
        let error = Stack::new().try_push(&archive).expect_err("too deep");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("Limits::depth"), "{error}");
        assert!(error.to_string().len() < 2000, "the message is bounded: {error}");
    }
}
