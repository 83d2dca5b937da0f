//! What is read stays: every way of reading against every way of removing. What is damaged fails alone.

use std::any::Any;
use std::fs;

use plyfs_store::{
    CheckOptions, Container, ContainerOptions, ErrorKind, Layer, MountOptions, Progress, PruneOptions, Reason, Removal,
};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::unmount_below;

use crate::Fixture;

/// A way of reading a layer: what it gives holds the layer while it lives.
type Reader = (&'static str, fn(&Fixture, &Layer) -> Box<dyn Any>);

const READERS: [Reader; 3] = [
    ("archive", |_, layer| Box::new(layer.archive().expect("open"))),
    ("view", |_, layer| Box::new(layer.view().expect("a view"))),
    ("mount", |fixture, layer| Box::new(layer.mount(fixture.dir.dir("at")).expect("mounted"))),
];

#[test]
fn root_no_removal_takes_a_layer_that_is_read_whatever_way() {
    require_root!();
    for (name, read) in READERS {
        let fixture = Fixture::new();
        let layer = fixture.layer(None, &[("a", "1")]);
        let image = fixture.image("{}", Some(&layer), &["svc:1"]);
        let reader = read(&fixture, &layer);

        let pruned = fixture.store.remove_image(&image).expect("the image goes");
        assert_eq!((pruned.images.len(), pruned.layers.len()), (1, 0), "{name}");
        assert_eq!(pruned.kept[0].reason, Reason::Read, "{name}");
        let error = fixture.store.remove_layer(&layer).expect_err("it is read");
        assert_eq!(
            (error.kind(), error.to_string().contains("is being read")),
            (ErrorKind::InUse, true),
            "{name}: {error}"
        );
        let pruned = fixture.store.prune(PruneOptions::new()).expect("pruned");
        assert_eq!((pruned.layers.len(), &pruned.kept[0].reason), (0, &Reason::Read), "{name}");
        assert_eq!(fs::read_to_string(layer.path().join("a")).expect("still there"), "1", "{name}");

        drop(reader);
        assert_eq!(fixture.store.prune(PruneOptions::new()).expect("pruned").layers, [layer.id()], "{name}");
        unmount_below(fixture.dir.path());
    }
}

/// A writer that tries to remove the container while its changes are written to it.
struct Meddler<'a>(&'a Container, Vec<ErrorKind>);

impl std::io::Write for Meddler<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1.extend(self.0.remove(Removal::Force).err().map(|error| error.kind()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn root_no_removal_takes_a_container_that_is_exported_or_viewed() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.layer(None, &[("a", "1")]);
    let container = fixture.store.create(&layer, ContainerOptions::new()).expect("created");
    fs::write(fixture.directory(container.id()).join("diff/data"), vec![7; 100_000]).expect("written");

    let mut meddler = Meddler(&container, Vec::new());
    container.export(&mut meddler, Progress::none()).expect("exported whole");
    assert!(!meddler.1.is_empty() && meddler.1.iter().all(|kind| *kind == ErrorKind::InUse), "{:?}", meddler.1);
    let view = container.view().expect("a view");
    assert_eq!(container.remove(Removal::Force).expect_err("viewed").kind(), ErrorKind::InUse);
    drop(view);
    container.remove(Removal::Unmounted).expect("nobody reads it");
}

#[test]
fn root_a_damaged_layer_fails_alone() {
    require_root!();
    let fixture = Fixture::new();
    let (sound, damaged) = (fixture.layer(None, &[("a", "1")]), fixture.layer(None, &[("b", "2")]));
    let loose = fixture.layer(None, &[("c", "3")]);
    let (good, bad) =
        (fixture.image("{}", Some(&sound), &["good:1"]), fixture.image("{ }", Some(&damaged), &["bad:1"]));
    let create = |name: &str, image| {
        fixture.store.create(image, ContainerOptions::new().name(name.parse().expect("a name"))).expect("created")
    };
    let (on_good, on_bad, lost) = (create("good", &good), create("bad", &bad), create("lost", &good));
    fs::remove_dir_all(fixture.directory(damaged.id())).expect("damaged");
    fs::write(fixture.directory(damaged.id()), "not a directory").expect("damaged");
    fs::remove_dir_all(fixture.directory(lost.id()).join("diff")).expect("damaged");
    fs::write(fixture.directory(lost.id()).join("diff"), "not a directory").expect("damaged");

    let store = plyfs_store::Store::open(fixture.store.path()).expect("opened");
    assert_eq!(store.layers().expect("listed").len(), 3);
    assert_eq!(store.images().expect("listed").len(), 2);
    assert_eq!(store.containers().expect("listed").len(), 3);
    let usage = store.measure().expect("added up");
    assert_eq!((usage.layers, usage.images, usage.containers), (3, 2, 3));
    let mount = on_good.mount(&MountOptions::new()).expect("mounted");
    assert_eq!(fs::read_to_string(mount.path().join("a")).expect("read"), "1");
    mount.unmount().expect("unmounted");
    let error = on_bad.mount(&MountOptions::new()).expect_err("its layer is gone");
    let told = plyfs_sys::report(&error);
    assert!(told.contains(&damaged.id().to_string()) || told.contains("container bad"), "{told}");
    assert_eq!(store.prune(PruneOptions::new()).expect("pruned").layers, [loose.id()]);
    assert!(!store.check(CheckOptions::quick()).expect("checked").is_empty(), "named by the check");

    // And it can be removed.
    for container in [&on_bad, &lost] {
        container.remove(Removal::Unmounted).unwrap_or_else(|e| panic!("{}: {e:?}", container.name()));
    }
    store.remove_image(&bad).expect("removed");
    store.reap().expect("reaped");
    assert_eq!(store.check(CheckOptions::data()).expect("checked"), []);
}
