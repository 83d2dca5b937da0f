//! Deleting: at once, whatever stands in the way, and resumed by whoever comes next.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use plyfs_store::{CheckOptions, Container, ContainerOptions, ErrorKind, MountOptions, Parent, Removal, Store};
use plyfs_testkit::temp::{Mounted, unmount_below};
use plyfs_testkit::{require_root, require_tool};
use rustix::fs::{Mode, OFlags};

use crate::{Fixture, as_a_fork_has};

fn container(fixture: &Fixture, name: &str) -> Container {
    let options = ContainerOptions::new().name(name.parse().expect("a name"));
    fixture.store.create(Parent::Empty, options).expect("created")
}

/// Names below `overlay2`, `tarsplit`, `staging` and `trash` but what every store has.
fn left(fixture: &Fixture) -> Vec<String> {
    let is_part = |name: &String| {
        !name.starts_with("blobs") && name.contains('/') && name != "overlay2/l" && name != "overlay2/empty"
    };
    fixture.names().into_iter().filter(is_part).collect()
}

fn chattr(flags: &str, path: &Path) {
    let status = Command::new("chattr").arg(flags).arg(path).status().expect("chattr");
    assert!(status.success(), "chattr {flags} {}", path.display());
}

#[test]
fn root_removal_only_renames_and_reap_frees_what_it_says() {
    require_root!();
    let fixture = Fixture::new();
    let container = container(&fixture, "c");
    fs::write(fixture.directory(container.id()).join("diff/file"), vec![1; 100_000]).expect("written");

    container.remove(Removal::Unmounted).expect("removed");
    assert!(fixture.store.path().join("trash").join(container.id().to_string()).join("diff/file").exists());
    let freed = fixture.store.reap().expect("reaped");

    assert_eq!(freed.apparent, 100_000 + 26, "the file and the link's id");
    assert_eq!(left(&fixture), [""; 0]);
    assert_eq!(fixture.store.reap().expect("nothing left").inodes, 0);
}

/// The `trash` of the test below, and what a fork holds of it.
static FORKED: Mutex<(Option<PathBuf>, Vec<OwnedFd>)> = Mutex::new((None, Vec::new()));

#[test]
fn root_a_fork_that_still_holds_the_descriptors_of_an_earlier_reap_does_not_make_the_next_pass_by() {
    require_root!();
    let fixture = Fixture::new();
    let trash = fixture.store.path().join("trash");
    FORKED.lock().expect("held by this test alone").0 = Some(trash.clone());
    let forking = Store::options().at_each_step(|step| {
        let mut forked = FORKED.lock().expect("held by this test alone");
        if step == "reap 1" {
            forked.1 = as_a_fork_has(forked.0.as_deref().expect("told before"));
        }
    });
    forking.open(fixture.store.path()).and_then(|store| store.reap()).expect("reaped");
    assert!(!FORKED.lock().expect("held by this test alone").1.is_empty(), "a descriptor was held meanwhile");
    fs::write(trash.join("left"), "behind").expect("written");

    fixture.store.reap().expect("reaped");

    assert!(!trash.join("left").exists());
}

#[test]
fn root_attributes_that_forbid_it_do_not_stop_a_removal() {
    require_root!();
    require_tool!("chattr");
    let fixture = Fixture::new();
    let container = container(&fixture, "c");
    let upper = fixture.directory(container.id()).join("diff");
    fs::create_dir_all(upper.join("frozen/inner")).expect("made");
    fs::write(upper.join("frozen/inner/file"), "data").expect("written");
    fs::write(upper.join("log"), "data").expect("written");
    chattr("+i", &upper.join("frozen/inner/file"));
    chattr("+i", &upper.join("frozen/inner"));
    chattr("+a", &upper.join("frozen"));
    chattr("+a", &upper.join("log"));
    chattr("+i", &fixture.directory(container.id()));

    container.remove(Removal::Unmounted).expect("removed");
    fixture.store.reap().expect("reaped");

    assert_eq!(left(&fixture), [""; 0]);
}

#[test]
fn root_a_tree_deeper_than_a_process_may_have_descriptors_is_removed() {
    require_root!();
    let fixture = Fixture::new();
    let container = container(&fixture, "c");
    let upper = fs::File::open(fixture.directory(container.id()).join("diff")).expect("open");
    let mut inner = upper.as_fd().try_clone_to_owned().expect("another descriptor");
    for _ in 0..1200 {
        rustix::fs::mkdirat(&inner, "d", Mode::RWXU).expect("made");
        inner = rustix::fs::openat(&inner, "d", OFlags::DIRECTORY, Mode::empty()).expect("entered");
    }

    assert!(container.usage().expect("measured").inodes > 1200);
    container.remove(Removal::Unmounted).expect("removed");
    let freed = fixture.store.reap().expect("reaped");

    assert!(freed.inodes > 1200, "{freed:?}");
    assert_eq!(left(&fixture), [""; 0]);
}

#[test]
fn root_a_mount_inside_the_trash_is_not_entered_and_does_not_keep_the_rest() {
    require_root!();
    let fixture = Fixture::new();
    let (stuck, other) = (container(&fixture, "stuck"), container(&fixture, "other"));
    let precious = fixture.dir.dir("precious");
    fs::write(precious.join("file"), "data").expect("written");
    let inside = fixture.directory(stuck.id()).join("diff/inside");
    fs::create_dir(&inside).expect("made");
    let status = Command::new("mount").arg("--bind").arg(&precious).arg(&inside).status().expect("mount(8)");
    assert!(status.success());
    let trash = fixture.store.path().join("trash").join(stuck.id().to_string());
    let mounted = Mounted::at(trash.join("diff/inside"));

    stuck.remove(Removal::Unmounted).expect("removed");
    other.remove(Removal::Unmounted).expect("removed");
    let error = fixture.store.reap().expect_err("something is mounted in it");

    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains(&stuck.id().to_string()), "{error}");
    assert_eq!(fs::read_to_string(precious.join("file")).expect("not touched"), "data");
    assert!(!fixture.store.path().join("trash").join(other.id().to_string()).exists(), "the other one is gone");
    // Opening again is not stopped by it, and once the mount is gone the next one resumes.
    let store = Store::open(fixture.store.path()).expect("opened");
    drop(mounted);
    store.reap().expect("reaped");
    assert_eq!(left(&fixture), [""; 0]);
}

#[test]
fn root_a_blob_that_cannot_go_locks_nobody_out_and_one_that_is_forbidden_to_goes() {
    require_root!();
    require_tool!("chattr");
    let fixture = Fixture::new();
    let images = [("{}", "stuck:1"), ("{ }", "forbidden:1")].map(|(text, name)| fixture.image(text, None, &[name]));
    let blobs = fixture.store.path().join("blobs/sha256");
    let [stuck, forbidden] = images.each_ref().map(|image| blobs.join(image.id().hex()));
    chattr("+i", &forbidden);
    let status = Command::new("mount").arg("--bind").args([&stuck, &stuck]).status().expect("mount(8)");
    assert!(status.success());
    let mounted = Mounted::at(&stuck);

    images.iter().for_each(|image| drop(fixture.store.remove_image(image).expect("removed")));

    assert!(!forbidden.exists() && stuck.exists());
    let store = Store::open(fixture.store.path()).expect("opened");
    let error = store.reap().expect_err("something is mounted on it");
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains(&images[0].id().to_string()), "{error}");
    drop(mounted);
    store.reap().expect("reaped");
    assert_eq!(fs::read_dir(&blobs).expect("listed").count(), 0);
}

#[test]
fn root_a_mount_point_busy_in_another_namespace_goes() {
    require_root!();
    let fixture = Fixture::new();
    let container = container(&fixture, "c");
    container.mount(&MountOptions::new()).expect("mounted").keep();
    // A namespace of its own whose shell works inside the mount.
    let script =
        format!("cd '{}' && echo ready && exec sleep 600", fixture.directory(container.id()).join("merged").display());
    let mut other = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("unshare");
    let mut ready = String::new();
    let pipe = other.stdout.take().expect("piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(pipe), &mut ready).expect("a line");
    assert_eq!(ready, "ready\n");

    let removed = container.remove(Removal::Force);
    let reaped = fixture.store.reap();
    other.kill().expect("killed");
    other.wait().expect("waited for");
    unmount_below(fixture.dir.path());

    removed.expect("removed");
    reaped.expect("reaped");
    assert_eq!(left(&fixture), [""; 0]);
}

#[test]
fn root_missing_and_mangled_directories_do_not_stop_a_removal() {
    require_root!();
    let fixture = Fixture::new();
    let [gone, file, link, diff] = ["gone", "file", "link", "diff"].map(|name| container(&fixture, name));
    let layer = fixture.layer(None, &[("a", "1")]);
    let dirs = [&gone, &file, &link, &diff].map(|container| fixture.directory(container.id()));
    dirs[..3].iter().for_each(|dir| fs::remove_dir_all(dir).expect("taken"));
    fs::write(&dirs[1], "not a directory").expect("mangled");
    std::os::unix::fs::symlink("/etc", &dirs[2]).expect("mangled");
    fs::remove_dir(dirs[3].join("diff")).expect("taken");
    fs::write(dirs[3].join("diff"), "not a directory").expect("mangled");
    let record = fixture.store.path().join("tarsplit").join(layer.id().to_string());
    fs::remove_file(&record).expect("taken");
    fs::create_dir_all(record.join("a/b")).expect("mangled");

    for container in [&gone, &file, &link, &diff] {
        container.remove(Removal::Force).unwrap_or_else(|e| panic!("{}: {e:?}", container.name()));
    }
    fixture.store.remove_layer(&layer).expect("removed");
    fixture.store.reap().expect("reaped");

    assert_eq!(left(&fixture), [""; 0]);
    assert!(Path::new("/etc/passwd").exists(), "a link is removed, never followed");
    assert!(fixture.store.check(CheckOptions::quick()).expect("checked").is_empty());
}
