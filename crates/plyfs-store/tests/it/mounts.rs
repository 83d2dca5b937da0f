//! Who mounts, who shares, who ends a mount.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use plyfs_store::{Container, ContainerOptions, ErrorKind, Mount, MountOptions, Removal, Store, Unmount};
use plyfs_testkit::temp::{mounts_below, unmount_below};
use plyfs_testkit::{require_root, require_tool};

use crate::{Fixture, as_a_fork_has, killed};

/// Unmounts whatever a failing test left.
pub(crate) struct Unmounted<'a>(pub(crate) &'a Fixture);

impl Drop for Unmounted<'_> {
    fn drop(&mut self) {
        unmount_below(self.0.dir.path());
    }
}

fn container(fixture: &Fixture) -> Container {
    let layer = fixture.layer(None, &[("etc/motd", "hello")]);
    fixture.store.create(&layer, ContainerOptions::new().name("c".parse().expect("a name"))).expect("created")
}

fn mount(container: &Container) -> Mount {
    container.mount(&MountOptions::new()).expect("mounted")
}

#[test]
fn root_a_second_mount_is_another_guard_on_the_same() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let container = container(&fixture);

    let first = mount(&container);
    let second = mount(&container);
    assert_eq!(first.path(), second.path());
    assert_eq!(mounts_below(fixture.dir.path()).len(), 1, "one overlay over one upper (rule 65)");

    let error = first.unmount().expect_err("the second guard lives");
    assert_eq!(error.kind(), ErrorKind::InUse);
    drop(second);
    assert_eq!(mounts_below(fixture.dir.path()).len(), 1, "the second did not make the mount");
    container.unmount(Unmount::Plain).expect("nobody holds it");
    assert!(mounts_below(fixture.dir.path()).is_empty());
    assert!(!fixture.directory(container.id()).join("merged").exists(), "Docker's merged is there only while mounted");
}

#[test]
fn root_an_unmount_does_not_wait_for_forks_that_still_hold_the_descriptors_of_its_guard() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let container = container(&fixture);
    let (first, second) = (mount(&container), mount(&container));
    let work = fixture.directory(container.id()).join("work");
    let forks = as_a_fork_has(&work);
    assert_eq!(forks.len(), 2, "one for each guard");

    drop(second);
    first.unmount().expect("both guards have ended");

    assert_eq!(container.mounted_at().expect("asked"), None);
    drop(forks);
}

#[test]
fn root_dropping_the_guard_that_made_the_mount_ends_it_and_keep_leaves_it() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let container = container(&fixture);

    drop(mount(&container));
    assert_eq!(container.mounted_at().expect("asked"), None);
    mount(&container).keep();
    let place = container.mounted_at().expect("asked").expect("kept");
    drop(mount(&container));
    assert_eq!(container.mounted_at().expect("asked"), Some(place), "a later guard did not make it");
    container.unmount(Unmount::Plain).expect("ended");
    container.unmount(Unmount::Plain).expect("ending it again is fine");
}

#[test]
fn root_mounting_elsewhere_names_where_it_is() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let container = container(&fixture);
    let at = fixture.dir.dir("at \n\\:,here");

    let first = container.mount(&MountOptions::new().at(&at)).expect("mounted");
    assert_eq!(fs::read_to_string(at.join("etc/motd")).expect("read"), "hello");
    let error = container.mount(&MountOptions::new().at(fixture.dir.dir("other"))).expect_err("mounted already");
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert!(error.to_string().contains("here"), "{error}");
    assert_eq!(mount(&container).path(), at, "without a wish the mount that is there serves");
    first.unmount().expect("unmounted");
    let missing = container.mount(&MountOptions::new().at(fixture.dir.join("missing"))).expect_err("no directory");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_eq!(container.mounted_at().expect("asked"), None);
}

#[test]
fn root_a_busy_mount_stays_until_it_is_detached() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let container = container(&fixture);
    let guard = mount(&container);
    let inside = fs::File::open(guard.path().join("etc/motd")).expect("open");
    guard.keep();

    let error = container.unmount(Unmount::Plain).expect_err("a file is open inside");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(container.mounted_at().expect("asked").is_some());
    container.unmount(Unmount::Detach).expect("detached");
    assert_eq!(container.mounted_at().expect("asked"), None);
    drop(inside);
}

/// Waits until the thread sleeps in the kernel, as it does between two attempts.
fn await_sleep(thread: rustix::thread::Pid) {
    let call = format!("/proc/self/task/{}/syscall", thread.as_raw_nonzero());
    let sleep = format!("{} ", nix::libc::SYS_clock_nanosleep);
    let is_asleep = || fs::read_to_string(&call).is_ok_and(|text| text.starts_with(&sleep));
    plyfs_testkit::process::wait_until(Duration::from_secs(20), is_asleep);
}

#[test]
fn root_an_unmount_waits_for_whoever_takes_a_look_at_the_mount() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let container = container(&fixture);
    let mounted = mount(&container);
    // As `statx(2)` has it for a moment.
    let look = fs::File::open(mounted.path()).expect("opened");
    mounted.keep();

    let unmounting = rustix::thread::gettid();
    let looker = std::thread::spawn(move || {
        await_sleep(unmounting);
        drop(look);
    });
    container.unmount(Unmount::Plain).expect("nobody works inside");

    looker.join().expect("no panic");
    assert_eq!(container.mounted_at().expect("asked"), None);
}

#[test]
fn root_a_mount_in_another_namespace_is_seen_and_ended_by_detaching() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let container = container(&fixture);
    mount(&container).keep();
    // A private namespace with a copy of the mount, which it keeps after ours is gone.
    let mut other = Command::new("unshare").args(["--mount", "sleep", "600"]).spawn().expect("unshare");
    let table = format!("/proc/{}/mountinfo", other.id());
    let sees = || fs::read_to_string(&table).unwrap_or_default().contains(&container.id().to_string());
    let is_apart = || {
        let own = fs::read_link("/proc/self/ns/mnt").expect("own namespace");
        fs::read_link(format!("/proc/{}/ns/mnt", other.id())).is_ok_and(|theirs| theirs != own)
    };
    plyfs_testkit::process::wait_until(Duration::from_secs(20), || is_apart() && sees());

    container.remove(Removal::Force).expect("removed");
    let gone = !sees();
    other.kill().expect("killed");
    other.wait().expect("reaped");

    assert!(gone, "removing the mount point ends it in every namespace (rule 69)");
    fixture.store.reap().expect("nothing holds the trash");
}

#[test]
fn root_containers_of_one_layer_do_not_see_each_other() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let layer = fixture.layer(None, &[("a", "1")]);
    let create = || fixture.store.create(&layer, ContainerOptions::new()).expect("created");
    let (first, second) = (create(), create());
    let (left, right) = (mount(&first), mount(&second));

    fs::write(left.path().join("a"), "left").expect("written");
    fs::remove_file(right.path().join("a")).expect("removed");

    assert_eq!(fs::read_to_string(left.path().join("a")).expect("read"), "left");
    assert!(!right.path().join("a").exists());
    assert_eq!(fs::read_to_string(layer.path().join("a")).expect("read"), "1");
}

#[test]
fn root_a_read_only_container_and_a_layer_view_refuse_writes() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let base = fixture.layer(None, &[("a", "1")]);
    let top = fixture.layer(Some(&base), &[("b", "2")]);
    let container = fixture.store.create(&top, ContainerOptions::new().read_only(true)).expect("created");
    let refused = |path: &std::path::Path| {
        let error = fs::write(path.join("c"), "3").expect_err("read-only");
        assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    };

    refused(mount(&container).path());
    for (layer, files) in [(&base, vec!["a"]), (&top, vec!["a", "b"])] {
        let view = layer.mount(fixture.dir.dir("view")).expect("a view, of one layer too (rule 66)");
        refused(view.path());
        files.iter().for_each(|file| assert!(view.path().join(file).exists(), "{file}"));
        assert_eq!(fixture.store.remove_layer(layer).expect_err("viewed or used").kind(), ErrorKind::InUse);
        view.unmount().expect("unmounted");
    }
}

#[test]
fn root_the_mount_spec_is_what_mount_8_takes() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let container = container(&fixture);
    let spec = container.mount_spec().expect("a spec");
    let at = fixture.dir.dir("at");

    let status = Command::new("mount").args(["-t", "overlay", "overlay", "-o"]).arg(&spec.options).arg(&at).status();
    assert!(status.expect("mount(8)").success());
    fs::write(at.join("new"), "file").expect("written");
    unmount_below(fixture.dir.path());

    assert_eq!(fs::read_to_string(spec.upper.join("new")).expect("in the upper"), "file");
    assert!(spec.lower.iter().all(|lower| lower.join("etc/motd").exists()));
}

#[test]
fn root_a_container_whose_directories_a_crash_took_is_whole_again() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let container = container(&fixture);
    let dir = fixture.directory(container.id());
    let link = fs::read_to_string(dir.join("link")).expect("read");
    fs::remove_dir_all(&dir).expect("taken");
    fs::remove_file(fixture.store.path().join("overlay2/l").join(&link)).expect("taken");
    assert!(fixture.store.check(plyfs_store::CheckOptions::quick()).expect("checked").is_empty(), "nothing is lost");

    let guard = mount(&container);

    assert_eq!(fs::read_to_string(guard.path().join("etc/motd")).expect("read"), "hello");
    assert_eq!(fs::read_to_string(dir.join("link")).expect("read"), link);
    guard.unmount().expect("unmounted");
    assert!(fixture.store.check(plyfs_store::CheckOptions::data()).expect("checked").is_empty());
}

#[test]
fn root_files_that_a_power_cut_left_as_zeros_are_written_again() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let container = container(&fixture);
    let files = ["link", "lower"].map(|name| fixture.directory(container.id()).join(name));
    let before = files.each_ref().map(|file| fs::read(file).expect("read"));
    for (file, content) in files.iter().zip(&before) {
        fs::write(file, vec![0; content.len()]).expect("the length is there, the data is not");
    }

    // Nobody has a handle from before a power cut.
    let found = fixture.store.container(container.name().as_str()).expect("found");
    mount(&found).unmount().expect("unmounted");

    assert_eq!(files.each_ref().map(|file| fs::read(file).expect("read")), before);
}

#[test]
fn root_a_handle_of_a_removed_container_makes_nothing_again() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let container = container(&fixture);
    container.remove(Removal::Force).expect("removed");

    let errors = [
        container.mount_spec().expect_err("gone").kind(),
        container.mount(&MountOptions::new()).expect_err("gone").kind(),
    ];

    assert_eq!(errors, [ErrorKind::NotFound; 2]);
    fixture.store.reap().expect("reaped");
    assert!(fixture.store.check(plyfs_store::CheckOptions::quick()).expect("checked").is_empty());
}

#[test]
fn root_a_container_that_lost_what_was_written_to_it_is_named_and_not_remade() {
    require_root!();
    let fixture = Fixture::new();
    let _clean = Unmounted(&fixture);
    let container = container(&fixture);
    let guard = mount(&container);
    fs::write(guard.path().join("data"), "mine").expect("written");
    guard.unmount().expect("unmounted");
    let dir = fixture.directory(container.id());

    for lost in [dir.join("diff"), dir.clone()] {
        fs::remove_dir_all(&lost).expect("lost");
        let before = fixture.names();
        for error in
            [container.mount(&MountOptions::new()).expect_err("lost"), container.mount_spec().expect_err("lost")]
        {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.to_string().contains(&format!("container c: overlay2/{}", container.id())), "{error}");
        }
        assert_eq!(fixture.names(), before, "nothing is made in its place");
    }

    container.remove(Removal::Unmounted).expect("what is left goes as ever");
    fixture.store.reap().expect("reaped");
    assert!(fixture.store.check(plyfs_store::CheckOptions::quick()).expect("checked").is_empty());
}

#[test]
fn root_a_layer_that_was_mounted_and_cannot_be_guarded_is_mounted_no_more() {
    const NAME: &str = "mounts::root_a_layer_that_was_mounted_and_cannot_be_guarded_is_mounted_no_more";
    require_root!();
    require_tool!("strace");
    if let Some(path) = killed::role() {
        let store = Store::open(&path).expect("opened");
        let layer = store.layers().expect("listed").pop().expect("it is there");
        let error = layer.mount(Path::new(&path).with_file_name("at")).expect_err("its id is not told");
        assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
        return;
    }
    let fixture = Fixture::new();
    let _unmounted = Unmounted(&fixture);
    fixture.layer(None, &[("a", "1")]);
    let (at, log) = (fixture.dir.dir("at"), fixture.dir.join("trace").display().to_string());
    let place = at.display().to_string();

    let strace = ["strace", "-f", "-P", &place, "-o", &log, "-e", "trace=statx", "-e", "inject=statx:error=EIO"];
    assert!(!killed::start(&strace, NAME, &fixture.store.path().display().to_string()).is_killed);

    assert!(fs::read_to_string(&log).expect("a trace").contains("(INJECTED)"));
    assert_eq!(fs::read_dir(&at).expect("listed").count(), 0, "what was mounted is mounted still");
}
