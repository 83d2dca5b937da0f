//! Mounts that others have: in another mount namespace, under another mount, made by hand. Never a second over one upper.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use plyfs_store::{
    CheckOptions, Container, ContainerOptions, ErrorKind, FindingKind, MountOptions, Removal, Store, Unmount,
};
use plyfs_testkit::process::{output, wait_until};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::{Mounted, mounts_below, unmount_below};

use crate::Fixture;
use crate::mounts::Unmounted;

fn container(fixture: &Fixture, name: &str) -> Container {
    let layer = fixture.layer(None, &[("etc/motd", "hello")]);
    fixture.store.create(&layer, ContainerOptions::new().name(name.parse().expect("a name"))).expect("created")
}

/// A mount namespace with a mount of a container, until it is dropped.
struct Apart(Option<(Sender<()>, JoinHandle<()>)>);

impl Apart {
    fn with(container: &Container, options: MountOptions) -> Self {
        let (ready, is_ready) = channel();
        let (end, ends) = channel();
        let (store, name) = (container.store().path().to_owned(), container.name().clone());
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
            output(Command::new("mount").args(["--make-rprivate", "/"]));
            // What was opened outside belongs to the mounts outside.
            let container = Store::open(store).and_then(|store| store.container(name.as_str())).expect("found");
            container.mount(&options).expect("mounted").keep();
            ready.send(()).expect("somebody waits");
            // An error is the end too.
            let _ = ends.recv();
        });
        is_ready.recv().expect("mounted in the other namespace");
        Self(Some((end, thread)))
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let (end, thread) = self.0.take().expect("dropped once");
        drop(end);
        thread.join().expect("no panic");
    }
}

fn directory(container: &Container) -> PathBuf {
    container.store().path().join("overlay2").join(container.id().to_string())
}

fn is_used(container: &Container) -> bool {
    plyfs_mount::is_upper_in_use(fs::File::open(directory(container).join("diff")).expect("an upper")).expect("told")
}

/// A namespace's mounts go with its last process, a moment later; and namespaces of other tests may have copies.
fn await_unused(container: &Container) {
    wait_until(Duration::from_secs(20), || !is_used(container));
}

fn refused<T: std::fmt::Debug>(result: plyfs_store::Result<T>, kind: ErrorKind, words: &str) {
    let error = result.expect_err("refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn root_what_another_namespace_has_mounted_is_not_taken_for_a_mount_here() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let container = container(&fixture, "c");
    let apart = Apart::with(&container, MountOptions::new());

    assert_eq!(container.mounted_at().expect("asked"), Some(directory(&container).join("merged")));
    let elsewhere = "in another mount namespace";
    refused(container.mount(&MountOptions::new()), ErrorKind::InUse, elsewhere);
    refused(container.unmount(Unmount::Plain), ErrorKind::InUse, elsewhere);
    refused(container.remove(Removal::Unmounted), ErrorKind::InUse, elsewhere);
    drop(apart);

    await_unused(&container);
    let mount = container.mount(&MountOptions::new()).expect("free again");
    assert_eq!(mounts_below(fixture.dir.path()), [mount.path()]);
    mount.unmount().expect("unmounted");
}

#[test]
fn root_a_mount_elsewhere_is_ended_by_its_mount_point_or_not_at_all() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let container = container(&fixture, "c");
    {
        let _apart = Apart::with(&container, MountOptions::new());
        container.unmount(Unmount::Detach).expect("its mount point is gone");
        // Removing the mount point ends it in every namespace (rule 69), also in that one, which goes on.
        await_unused(&container);
    }
    {
        let _apart = Apart::with(&container, MountOptions::new());
        fs::write(directory(&container).join("merged/stray"), "in the bare directory").expect("written");
        refused(container.unmount(Unmount::Detach), ErrorKind::InUse, "in another mount namespace");
        fs::remove_file(directory(&container).join("merged/stray")).expect("removed");
    }
    await_unused(&container);
    {
        let _apart = Apart::with(&container, MountOptions::new().at(fixture.dir.dir("at")));
        for _ in 0..2 {
            refused(container.unmount(Unmount::Detach), ErrorKind::InUse, "/at in another mount namespace");
        }
        refused(container.mount(&MountOptions::new()), ErrorKind::InUse, "/at in another mount namespace");
        refused(container.remove(Removal::Force), ErrorKind::InUse, "/at in another mount namespace");
        assert!(is_used(&container));
    }
    await_unused(&container);
    container.remove(Removal::Unmounted).expect("nobody has it any more");
}

#[test]
fn root_a_mount_under_another_is_not_unmounted_in_its_place() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let (lower, upper) = (container(&fixture, "lower"), container(&fixture, "upper"));
    let at = fixture.dir.dir("at");
    let first = lower.mount(&MountOptions::new().at(&at)).expect("mounted");
    let second = upper.mount(&MountOptions::new().at(&at)).expect("mounted over it");

    refused(first.unmount(), ErrorKind::Busy, "covered by another mount");
    refused(lower.unmount(Unmount::Detach), ErrorKind::Busy, "covered by another mount");
    refused(lower.mount(&MountOptions::new()), ErrorKind::Busy, "covered by another mount");
    refused(lower.remove(Removal::Force), ErrorKind::Busy, "covered by another mount");
    assert_eq!(mounts_below(fixture.dir.path()).len(), 2, "both are there");
    second.unmount().expect("the upper one ends");
    lower.unmount(Unmount::Plain).expect("and then the lower one");
    await_unused(&lower);

    let layer = fixture.layer(None, &[("a", "1")]);
    let view = layer.mount(&at).expect("a view");
    let over = Mounted::tmpfs(&at);
    refused(view.unmount(), ErrorKind::Busy, "covered");
    drop(over);
    unmount_below(&at);
}

#[test]
fn root_a_mark_of_another_shape_lets_the_mount_table_tell() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let container = container(&fixture, "c");
    let at: PathBuf = fixture.dir.dir("at");
    let mount = container.mount(&MountOptions::new().at(&at)).expect("mounted");
    let opened = plyfs_sys::fs::open_dir(directory(&container)).expect("opened");
    plyfs_sys::xattr::set(&opened, "trusted.plyfs.mount", b"later").expect("written");

    assert_eq!(container.mounted_at().expect("asked"), Some(at));
    mount.unmount().expect("unmounted");
    plyfs_sys::xattr::set(&opened, "trusted.plyfs.mount", b"later").expect("written");
    assert_eq!(container.mounted_at().expect("asked"), None);
}

#[test]
fn root_fsck_names_a_second_mount_over_one_upper_and_no_bind_mount() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let container = container(&fixture, "c");
    let mount = container.mount(&MountOptions::new()).expect("mounted");
    let (bound, second) = (fixture.dir.dir("bound"), fixture.dir.dir("second"));
    output(Command::new("mount").arg("--bind").arg(mount.path()).arg(&bound));
    let found = || fixture.store.check(CheckOptions::quick()).expect("checked");
    assert_eq!(found(), [], "a bind mount is the same mount seen again");

    let spec = container.mount_spec().expect("a spec");
    output(Command::new("mount").args(["-t", "overlay", "overlay", "-o"]).arg(&spec.options).arg(&second));
    let found = found();
    assert!(matches!(&found[..], [one] if one.kind == FindingKind::MountTwice), "{found:?}");
    assert!(found[0].problem.contains(&*second.to_string_lossy()), "{found:?}");
    unmount_below(&second);
    unmount_below(&bound);
    mount.unmount().expect("unmounted");
}
