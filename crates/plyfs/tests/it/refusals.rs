//! Bad input is refused in one line that names it, with the right kind, and the store is as it was.

use std::path::Path;

use plyfs::prelude::*;
use plyfs::{ErrorKind, Progress, Source};
use plyfs_testkit::images::{hostile, many_layers, spoil};
use plyfs_testkit::oci::{Compression, Plain};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::tree::{Options, Tree, assert_same_trees};

use crate::support::{Scratch, assert_whole, no_trace, remains, turn, usage};

/// Loads what must be refused; returns the kind and the line, having seen that nothing is left of it.
#[track_caller]
fn refused(scratch: &Scratch, path: &Path, what: &str) -> (ErrorKind, String) {
    let (before, held) = (Tree::of(scratch.store.path()), usage(&scratch.store));
    let source = Source::path(path).expect("the file is there");
    let error = scratch.store.load(source, Progress::none()).expect_err(what);
    let line = plyfs::report(&error);
    assert_same_trees(&Tree::of(scratch.store.path()), &before, &no_trace());
    assert_eq!(usage(&scratch.store), held, "{what}: {line}");
    assert!(!line.contains('\n') && line.len() < 1000, "{what}: {line}");
    assert!(line.starts_with(&format!("load {}: ", path.display())), "{what}: the line names no path: {line}");
    (error.kind(), line)
}

#[test]
fn root_every_spoilt_archive_is_refused_by_its_kind_in_both_formats_and_leaves_no_trace() {
    require_root!();
    let _turn = turn();
    let (image, scratch) = (many_layers(3), Scratch::new());
    for (format, good) in [("docker", image.docker_archive()), ("oci", image.oci_archive())] {
        for (what, spoil) in spoil::ALL {
            let bad = scratch.dir.join("bad.tar");
            spoil(&good, &bad);
            let (kind, line) = refused(&scratch, &bad, &format!("{format}: {what}"));
            let expected = match (*what, format) {
                ("config that is no JSON" | "manifest that is no JSON", _) => ErrorKind::InvalidInput,
                // An archive without one is no image at all, while a digest that leads nowhere is damage.
                ("missing manifest", "docker") => ErrorKind::InvalidInput,
                _ => ErrorKind::Corrupt,
            };
            assert_eq!(kind, expected, "{format}: {what}: {line}");
        }
    }
    let loaded = scratch.load(image.docker_archive());
    assert_eq!(loaded.layers().expect("it has layers").len(), 3);
    // A bad archive of an image that is there harms neither.
    let bad = scratch.dir.join("bad.tar");
    spoil::missing_config(&image.docker_archive(), &bad);
    refused(&scratch, &bad, "missing config of a known image");
    assert_whole(&scratch.store);
}

#[test]
fn root_hostile_layers_are_refused_in_every_compression_and_leave_no_trace() {
    require_root!();
    let _turn = turn();
    let (scratch, outside) = (Scratch::new(), canary());
    for (n, (what, layer)) in hostile::refused().into_iter().enumerate() {
        let image = Plain::new("localhost/hostile:1", vec![layer]);
        let archive = scratch.dir.join("hostile.tar");
        match n % 4 {
            0 => image.write_docker_archive(&archive),
            1 => image.write_oci_archive(Compression::None, &archive),
            2 => image.write_oci_archive(Compression::Gzip, &archive),
            _ => image.write_oci_archive(Compression::Zstd, &archive),
        }
        let (kind, line) = refused(&scratch, &archive, what);
        let bad = [ErrorKind::InvalidInput, ErrorKind::Corrupt, ErrorKind::Unsupported];
        assert!(bad.contains(&kind), "{what}: {kind:?}: {line}");
    }
    outside.assert_untouched();
    scratch.load(many_layers(3).oci_archive());
    assert_whole(&scratch.store);
}

#[test]
fn root_links_that_lead_out_of_a_layer_write_nothing_outside_alone_or_from_a_layer_below() {
    require_root!();
    let _turn = turn();
    let (scratch, outside) = (Scratch::new(), canary());
    let base = plyfs_testkit::oci::LayerTar::new()
        .dir("tmp")
        .symlink("out", outside.dir.path().as_os_str().as_encoded_bytes())
        .symlink("root", "/")
        .finish();
    for (what, layer) in hostile::contained() {
        for layers in [vec![layer.clone()], vec![base.clone(), layer.clone()]] {
            let archive = scratch.dir.join("contained.tar");
            Plain::new("localhost/contained:1", layers).write_docker_archive(&archive);
            let source = Source::path(&archive).expect("it was written");
            if let Err(error) = scratch.store.load(source, Progress::none()) {
                let line = plyfs::report(&error);
                assert!(line.contains("contained") && !line.contains('\n'), "{what}: {line}");
            }
            outside.assert_untouched();
        }
    }
    assert_whole(&scratch.store);
}

#[test]
fn root_a_layer_above_a_link_that_leads_out_lands_inside() {
    require_root!();
    let _turn = turn();
    let (scratch, outside) = (Scratch::new(), canary());
    let target = outside.dir.path().as_os_str().as_encoded_bytes().to_vec();
    let base = plyfs_testkit::oci::LayerTar::new().symlink("out", &target).finish();
    let above = |name: &str| plyfs_testkit::oci::LayerTar::new().file(name, "x").whiteout("out", "file").finish();
    let archive = scratch.dir.join("image.tar");
    let layers = vec![base, above(&format!("out/{}", hostile::ESCAPED)), above("out/other")];
    Plain::new("localhost/through:1", layers).write_oci_archive(Compression::Gzip, &archive);
    let image = scratch.load(&archive);
    outside.assert_untouched();
    // What the link names is looked for in the image's own root, and made there.
    let inside = crate::support::mounted_tree(&scratch, &image);
    let path = [target.as_slice(), b"/", hostile::ESCAPED.as_bytes()].concat();
    assert!(inside.get(path).is_some(), "the file is not where the image's own link leads");
    assert_whole(&scratch.store);
}

#[test]
fn root_a_load_that_is_cancelled_at_any_step_leaves_no_trace() {
    use std::ops::ControlFlow;
    use std::sync::atomic::{AtomicUsize, Ordering};
    require_root!();
    let _turn = turn();
    let (image, scratch) = (many_layers(3), Scratch::new());
    let (before, held) = (Tree::of(scratch.store.path()), usage(&scratch.store));
    for step in 0.. {
        let seen = AtomicUsize::new(0);
        let stop = |_: &plyfs::Step<'_>| match seen.fetch_add(1, Ordering::Relaxed) < step {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        };
        let source = Source::path(image.oci_archive()).expect("it is there");
        match scratch.store.load(source, Progress::new(&stop)) {
            Ok(_) => {
                assert!(step > 3, "the callback was hardly asked");
                break;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled, "step {step}: {}", plyfs::report(&error)),
        }
        assert_same_trees(&Tree::of(scratch.store.path()), &before, &no_trace());
        assert_eq!(usage(&scratch.store), held, "step {step}");
    }
    assert_whole(&scratch.store);
}

#[test]
fn root_what_is_in_use_is_not_removed_and_what_is_unknown_is_not_found() {
    require_root!();
    let _turn = turn();
    let scratch = Scratch::new();
    let image = scratch.load(many_layers(3).docker_archive());
    let container = scratch.create(&image, "taken");
    let layers = image.layers().expect("it has layers");
    let mounted = crate::support::mount(&container);
    let before = remains(&scratch.store);
    let store = &scratch.store;
    let name = "taken".parse().expect("a good name");
    let options = plyfs::ContainerOptions::new().name(name);
    let climbing = "../../etc/passwd";
    let cases: [(&str, Option<plyfs::Error>, ErrorKind, String); 8] = [
        ("a name taken", store.create(&image, options).err().map(Into::into), ErrorKind::Exists, "taken".into()),
        (
            "removing a mounted container",
            container.remove(plyfs::Removal::Unmounted).err().map(Into::into),
            ErrorKind::InUse,
            mounted.path().display().to_string(),
        ),
        (
            "removing an image in use",
            store.remove_image(&image).err().map(Into::into),
            ErrorKind::InUse,
            image.id().to_string(),
        ),
        (
            "removing a layer with children",
            store.remove_layer(&layers[2]).err().map(Into::into),
            ErrorKind::InUse,
            layers[2].id().to_string(),
        ),
        ("an unknown image", store.image("localhost/none:1").err().map(Into::into), ErrorKind::NotFound, "none".into()),
        ("an unknown container", store.container("none").err().map(Into::into), ErrorKind::NotFound, "none".into()),
        (
            "a layer id that is a path",
            store.layer(climbing).err().map(Into::into),
            ErrorKind::NotFound,
            climbing.into(),
        ),
        (
            "a container name that is a path",
            store.container(climbing).err().map(Into::into),
            ErrorKind::InvalidInput,
            climbing.into(),
        ),
    ];
    for (what, error, kind, named) in cases {
        let error = error.unwrap_or_else(|| panic!("{what} was accepted"));
        let line = plyfs::report(&error);
        assert_eq!(error.kind(), kind, "{what}: {line}");
        assert!(line.contains(&named) && !line.contains('\n'), "{what}: {line}");
        assert_same_trees(&remains(store), &before, &Options::new());
    }
    mounted.unmount().expect("nobody is inside");
}

/// A directory no layer has any business in, and what it held before.
struct Canary {
    dir: TempDir,
    before: Tree,
}

fn canary() -> Canary {
    let dir = TempDir::new();
    std::fs::write(dir.join("file"), "outside").expect("the directory is ours");
    let before = Tree::of(dir.path());
    Canary { dir, before }
}

impl Canary {
    #[track_caller]
    fn assert_untouched(&self) {
        assert_same_trees(&Tree::of(self.dir.path()), &self.before, &Options::new());
        let cwd = std::env::current_dir().expect("a test has one");
        for place in [Path::new("/"), Path::new("/tmp"), Path::new("/var/tmp"), &cwd, cwd.parent().unwrap_or(&cwd)] {
            let escaped = place.join(hostile::ESCAPED);
            assert!(!plyfs_testkit::temp::exists(&escaped), "{} was written", escaped.display());
        }
    }
}
