//! Layers, images and containers from their making to their end.

use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use plyfs_store::{
    ContainerOptions, Digest, ErrorKind, Image, Inspected, MountOptions, NewImage, Parent, Progress, Removal, Step,
    Store, User,
};
use plyfs_testkit::{require_root, tar_text};

use crate::{Fixture, archive};

impl Fixture {
    pub(crate) fn image(&self, config: &str, top: Option<&plyfs_store::Layer>, names: &[&str]) -> Image {
        let mut operation = self.store.operation().expect("an operation");
        let id = operation.blob(config.as_bytes()).expect("staged");
        operation.image(NewImage {
            id,
            top: top.map(plyfs_store::Layer::id),
            manifest: None,
            names: names.iter().map(|name| name.parse().expect("a reference")).collect(),
            built: None,
            architecture: Some("amd64".to_owned()),
            os: Some("linux".to_owned()),
        });
        operation.publish().expect("published");
        self.store.image_by_id(&id).expect("the image is there")
    }
}

#[test]
fn root_a_layer_gives_back_the_archive_it_came_from() {
    require_root!();
    let fixture = Fixture::new();
    let bytes = archive(&[("etc/motd", "hello"), ("etc/issue", "plyfs")]);
    let layer = fixture.layer(None, &[("etc/motd", "hello"), ("etc/issue", "plyfs")]);

    let mut back = Vec::new();
    layer.archive().expect("open").read_to_end(&mut back).expect("read");

    assert_eq!(layer.diff_id(), Some(Digest::of(&bytes)));
    assert_eq!(layer.archive_size(), Some(bytes.len() as u64));
    assert!(back == bytes, "the archive differs from the one that came in");
}

#[test]
fn root_a_layer_whose_tree_was_changed_is_not_given_out() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.layer(None, &[("etc/motd", "hello")]);
    fs::write(layer.path().join("etc/motd"), "jello").expect("tampered");

    let error = layer.write_archive(std::io::sink()).expect_err("another content");

    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn root_the_same_changeset_on_the_same_chain_is_stored_once() {
    require_root!();
    let fixture = Fixture::new();
    let base = fixture.layer(None, &[("a", "1")]);
    let first = fixture.layer(Some(&base), &[("b", "2")]);
    let again = fixture.layer(Some(&base), &[("b", "2")]);
    let elsewhere = fixture.layer(None, &[("b", "2")]);

    assert_eq!(first.id(), again.id());
    assert_ne!(first.id(), elsewhere.id(), "the same changeset on another chain is another layer");
    assert_eq!(
        first.chain_id(),
        Some(Digest::of(format!("{} {}", base.chain_id().expect("known"), first.diff_id().expect("known"))))
    );
    assert_eq!(fixture.store.layers().expect("list").len(), 3);
}

#[test]
fn root_a_chain_grows_to_what_the_kernel_stacks_and_a_layer_more_is_refused_before_it_is_unpacked() {
    require_root!();
    let fixture = Fixture::new();
    let empty = vec![0; 1024];
    let mut operation = fixture.store.operation().expect("an operation");
    let mut top = None;
    for depth in 1..=500 {
        let unpacked = operation.unpack_aside(&mut plyfs_diff::digested(&empty[..]), None).expect("unpacked");
        top =
            Some(operation.put(unpacked, top, Progress::none()).unwrap_or_else(|error| panic!("{depth}: {error}")).id);
    }
    let top = top.expect("500 layers");
    let mut archive = &empty[..];
    let error = operation.apply(&mut archive, Some(top), None).expect_err("one too many");
    assert_eq!((error.kind(), archive.len()), (ErrorKind::InvalidInput, empty.len()), "{error}");
    assert!(error.to_string().contains(&format!("layer {top}")) && error.to_string().contains("500"), "{error}");
    operation.publish().expect("published");

    let layer = fixture.store.layer(&top.to_string()).expect("there");
    let container = fixture.store.create(&layer, ContainerOptions::new()).expect("a container on all 500");
    container.mount(&MountOptions::new()).expect("the kernel stacks them").unmount().expect("unmounted");
}

#[test]
fn root_putting_a_layer_onto_its_parent_may_be_cancelled_wherever_it_asks() {
    require_root!();
    let fixture = Fixture::new();
    let base = tar_text::build("dir e\nsymlink d link=e").expect("a text");
    // Led through a link of its parent: it is applied anew.
    let upper = archive(&[("d/file", "content")]);
    let put = |breaks_at: usize| {
        let asked = AtomicUsize::new(0);
        let ask = |_: &Step<'_>| match asked.fetch_add(1, Ordering::Relaxed) {
            before if before == breaks_at => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let mut operation = fixture.store.operation().expect("an operation");
        let below = operation.apply(&mut &base[..], None, None).expect("applied").id;
        let unpacked = operation.unpack_aside(&mut plyfs_diff::digested(&upper[..]), None).expect("unpacked");
        let put = operation.put(unpacked, Some(below), Progress::new(&ask)).map(|_| asked.load(Ordering::Relaxed));
        put.map_err(|error| error.kind())
    };
    let asked = put(usize::MAX).expect("put");
    assert!(asked > 1, "asked once only: while it is applied anew nobody can stop it");
    for breaks_at in 0..asked {
        assert_eq!(put(breaks_at), Err(ErrorKind::Cancelled), "at question {breaks_at} of {asked}");
    }
}

#[test]
fn root_the_layers_of_one_operation_list_what_fits_in_memory_of_what_they_lost_and_count_the_rest() {
    require_root!();
    let fixture = Fixture::new();
    let mut operation = fixture.store.operation().expect("an operation");
    let lost = 300;
    let deep = format!("file x pax:path={{{}/*19}}f", "d".repeat(200));
    let deep = (0..lost).map(|n| format!(" xattr:security.selinux{n}=x")).fold(deep, |line, more| line + &more);
    let deep = tar_text::build(&(deep + "\nopen")).expect("a text");
    let listed: Vec<usize> = (0..40)
        .map(|number| {
            let archive = [&deep[..], &tar_text::build(&format!("file {number}")).expect("a text")].concat();
            let layer = operation.apply(&mut &archive[..], None, None).expect("applied");
            assert_eq!(layer.skipped.len() as u64 + layer.skipped_more, lost, "none is lost silently");
            layer.skipped.iter().map(|skipped| skipped.path.as_os_str().len()).sum()
        })
        .collect();
    assert!(listed[0] > 0 && listed[39] == 0, "{listed:?}");
    assert!(listed.iter().sum::<usize>() <= 32 << 20, "{listed:?}");
}

#[test]
fn root_a_published_layer_looks_as_docker_lays_it_out() {
    require_root!();
    let fixture = Fixture::new();
    let base = fixture.layer(None, &[("a", "1")]);
    let child = fixture.layer(Some(&base), &[("b", "2")]);
    let (base_dir, child_dir) = (fixture.directory(base.id()), fixture.directory(child.id()));

    let listed = |dir: &std::path::Path| {
        let names =
            fs::read_dir(dir).expect("list").map(|e| e.expect("an entry").file_name().into_string().expect("text"));
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    assert_eq!(listed(&base_dir), ["committed", "diff", "link"]);
    assert_eq!(listed(&child_dir), ["diff", "link", "lower", "work"]);
    assert_eq!(fs::read_to_string(child_dir.join("link")).expect("read"), child.link().to_string());
    assert_eq!(fs::read_to_string(child_dir.join("lower")).expect("read"), format!("l/{}", base.link()));
    let mode = |path: std::path::PathBuf| fs::metadata(path).expect("stat").permissions().mode() & 0o7777;
    assert_eq!(mode(fixture.store.path().to_owned()), 0o700);
    assert_eq!(mode(fixture.store.path().join("overlay2")), 0o710);
    assert_eq!(mode(child_dir.clone()), 0o710);
    assert_eq!(mode(child_dir.join("work")), 0o700);
    assert_eq!(mode(child_dir.join("link")), 0o644);
    assert_eq!(mode(base_dir.join("committed")), 0o600);
}

#[test]
fn root_images_are_found_by_name_by_familiar_names_and_by_id() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.layer(None, &[("a", "1")]);
    let image = fixture.image("{}", Some(&layer), &["docker.io/library/debian:12", "localhost/svc"]);
    let hex = image.id().hex();

    for name in ["docker.io/library/debian:12", "debian:12", "localhost/svc", "svc:latest", "svc", &hex, &hex[..5]] {
        assert_eq!(fixture.store.image(name).expect(name).id(), image.id(), "{name}");
    }
    assert_eq!(fixture.store.image(&format!("sha256:{hex}")).expect("with its algorithm").id(), image.id());
    for name in ["debian", &hex[..3], "nothing:1", "sha256:", ""] {
        assert_eq!(fixture.store.image(name).expect_err(name).kind(), ErrorKind::NotFound, "{name:?}");
    }
    assert_eq!(
        image.names().iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["docker.io/library/debian:12", "localhost/svc:latest"]
    );
}

#[test]
fn root_a_name_means_one_image_and_moves() {
    require_root!();
    let fixture = Fixture::new();
    let old = fixture.image("{\"a\":1}", None, &["svc:1"]);
    let new = fixture.image("{\"a\":2}", None, &["svc:1"]);

    assert_eq!(fixture.store.image("svc:1").expect("named").id(), new.id());
    assert!(fixture.store.image_by_id(&old.id()).expect("still there").names().is_empty());

    fixture.store.tag(&old, &"svc:0".parse().expect("a name")).expect("tagged");
    let name = "svc:1".parse().expect("a name");
    let moved = fixture.store.untag_from(&old, &name).expect_err("it is the other's");
    assert_eq!(moved.kind(), ErrorKind::Conflict, "{moved}");
    fixture.store.untag_from(&new, &name).expect("untagged");
    let names: Vec<_> = fixture.store.images().expect("list").iter().map(|image| image.names().len()).collect();
    assert_eq!(names, [1, 0], "named images come first");
    let gone = fixture.store.untag(&"svc:1".parse().expect("a name")).expect_err("not there any more");
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[test]
fn root_a_container_lives_from_create_to_remove() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.layer(None, &[("a", "1")]);
    let image = fixture.image("{}", Some(&layer), &["svc:1"]);
    let before = fixture.names();

    let options = ContainerOptions::new().name("web-1".parse().expect("a name")).label("tier", "front");
    let container = fixture.store.create(&image, options).expect("created");
    assert_eq!(fixture.store.container("web-1").expect("found").labels()["tier"], "front");
    assert_eq!(container.image_name(), Some("svc:1"));
    assert_eq!(layer.users().expect("users"), [User::Container(container.id()), User::Image(image.id())]);
    let renamed = container.rename("web-2".parse().expect("a name")).expect("renamed");
    assert_eq!(fixture.store.container("web-1").expect_err("the old name").kind(), ErrorKind::NotFound);
    assert!(matches!(fixture.store.inspect("web-2").expect("found"), Inspected::Container(_)));

    // The handle still says web-1; what it means is the container, whatever its name.
    container.remove(Removal::Unmounted).expect("removed");
    assert_eq!(renamed.remove(Removal::Unmounted).expect_err("gone").kind(), ErrorKind::NotFound);
    fixture.store.reap().expect("reaped");
    let after: Vec<_> = fixture.names().into_iter().filter(|name| !name.ends_with("committed")).collect();
    assert_eq!(after, before.into_iter().filter(|name| !name.ends_with("committed")).collect::<Vec<_>>());
}

#[test]
fn root_a_container_takes_its_root_from_the_chain_and_a_made_up_name_from_the_image() {
    require_root!();
    let fixture = Fixture::new();
    let mut operation = fixture.store.operation().expect("an operation");
    let mut tar = plyfs_testkit::oci::LayerTar::new();
    tar = tar.entry(plyfs_testkit::oci::EntryType::Directory, 0o751, "./", "", b"");
    let applied = operation.apply(&mut tar.finish().as_slice(), None, None).expect("applied");
    operation.publish().expect("published");
    let layer = fixture.store.layer(&applied.id.to_string()).expect("found");
    let image = fixture.image("{}", Some(&layer), &["registry.example/team/api:3"]);

    let container = fixture.store.create(&image, ContainerOptions::new()).expect("created");

    let upper = fixture.directory(container.id()).join("diff");
    assert_eq!(fs::metadata(upper).expect("stat").permissions().mode() & 0o7777, 0o751, "rule 53");
    assert!(container.name().as_str().starts_with("api-"), "{}", container.name());
}

#[test]
fn root_usage_is_what_the_records_say_and_zero_in_the_end() {
    require_root!();
    let fixture = Fixture::new();
    let base = fixture.layer(None, &[("a", "0123456789")]);
    let app = fixture.layer(Some(&base), &[("b", "01234")]);
    let image = fixture.image("{}", Some(&app), &["svc:1"]);
    let containers: Vec<_> =
        (0..3).map(|_| fixture.store.create(&image, ContainerOptions::new()).expect("created")).collect();

    let recorded = fixture.store.usage().expect("usage");
    assert_eq!(recorded.containers_own, None);
    assert_eq!(recorded.as_copies.apparent, 3 * recorded.stored.apparent);

    let usage = fixture.store.measure().expect("usage");
    assert_eq!((usage.images, usage.layers, usage.containers), (1, 2, 3));
    assert_eq!(usage.stored, base.usage() + app.usage());
    assert_eq!(usage.shared, usage.stored, "an image and three containers stand on both layers");
    let own = usage.containers_own.expect("measured");
    assert_eq!(usage.as_copies.apparent, 3 * usage.stored.apparent + own.apparent);
    assert_eq!(usage.reclaimable.inodes, 0);

    containers.iter().for_each(|container| container.remove(Removal::Unmounted).expect("removed"));
    fixture.store.remove_image(&image).expect("removed");
    fixture.store.reap().expect("reaped");
    let usage = fixture.store.measure().expect("usage");
    assert_eq!((usage.images, usage.layers, usage.containers), (0, 0, 0));
    let own = usage.containers_own.expect("measured");
    assert_eq!(usage.stored.allocated + own.allocated + usage.as_copies.allocated, 0);
}

#[test]
fn root_a_moved_store_works_where_it_is_now() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.layer(None, &[("a", "1")]);
    fixture.store.create(&layer, ContainerOptions::new().name("c".parse().expect("a name"))).expect("created");
    let moved = fixture.dir.join("moved");
    fs::rename(fixture.store.path(), &moved).expect("moved");

    let store = Store::open(&moved).expect("opened where it is");
    let mount = store.container("c").expect("found").mount(&plyfs_store::MountOptions::new()).expect("mounted");

    assert!(mount.path().starts_with(&moved));
    assert_eq!(fs::read_to_string(mount.path().join("a")).expect("read"), "1");
    mount.unmount().expect("unmounted");
}

#[test]
fn root_a_container_can_stand_on_nothing() {
    require_root!();
    let fixture = Fixture::new();
    let container = fixture.store.create(Parent::Empty, ContainerOptions::new()).expect("created");
    let mount = container.mount(&plyfs_store::MountOptions::new()).expect("mounted");
    fs::write(mount.path().join("first"), "file").expect("written");
    mount.unmount().expect("unmounted");

    let changes: Vec<_> = container.changes().expect("listed").map(|c| c.expect("a change").to_string()).collect();
    assert_eq!(changes, ["A /first"]);
}

#[test]
fn root_a_store_has_nothing_of_the_access_list_of_the_directory_it_is_made_in() {
    require_root!();
    let temp = plyfs_testkit::temp::TempDir::new();
    // User 1000 may do everything, whatever the mode of what is made there says.
    let list = plyfs_testkit::acl::acl(5, 7, 5);
    let open = |path: &std::path::Path| plyfs_sys::fs::open_dir(path).expect("opened");
    let has_list = |path: &std::path::Path, name: &str| {
        plyfs_sys::xattr::get(open(path), format!("system.posix_acl_{name}")).expect("read").is_some()
    };
    plyfs_sys::xattr::set(open(temp.path()), "system.posix_acl_default", &list).expect("set");

    let store = Store::ensure(temp.join("store")).expect("made");
    let container = store.create(Parent::Empty, ContainerOptions::new()).expect("created");
    let upper = store.path().join("overlay2").join(container.id().to_string()).join("diff");
    for path in [store.path(), &store.path().join("overlay2"), &upper] {
        assert!(!has_list(path, "default"), "{}", path.display());
    }
    assert!(!has_list(&upper, "access"));
}

#[test]
fn root_a_store_that_is_to_map_nothing_maps_nothing_and_finds_the_same() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.layer(None, &[("a", "1")]);
    let maps = || {
        let maps = fs::read_to_string("/proc/self/maps").expect("read");
        maps.lines().filter(|line| line.contains(&*fixture.store.path().to_string_lossy())).count()
    };
    let before = maps();
    assert!(before > 0, "a store maps its journal");
    let unmapped = Store::options().mapped(false).open(fixture.store.path()).expect("opened");
    assert_eq!(unmapped.layer(&layer.id().to_string()).expect("found").diff_id(), layer.diff_id());
    assert_eq!(maps(), before);
}
