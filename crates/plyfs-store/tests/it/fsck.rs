//! Every kind of damage: broken, found by its kind, repaired, and clean; or found and left, and nothing lost.

mod look_ups;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use plyfs_journal::{DirDisk, Journal, Options};
use plyfs_store::{
    CheckOptions, Container, ContainerOptions, ErrorKind, Finding, FindingKind, Image, Layer, LayerId, LinkId,
    MountOptions, Progress, Severity, Store,
};
use plyfs_testkit::require_root;

use crate::Fixture;

/// Two layers, an image of the upper one, a container of the image.
pub(crate) struct Broken {
    fixture: Fixture,
    pub(crate) base: Layer,
    pub(crate) top: Layer,
    image: Image,
    container: Container,
}

impl Broken {
    pub(crate) fn new() -> Self {
        let fixture = Fixture::new();
        let base = fixture.layer(None, &[("a", "1"), ("b", "22")]);
        let top = fixture.layer(Some(&base), &[("c", "333")]);
        let image = fixture.image("{}", Some(&top), &["svc:1"]);
        let options = ContainerOptions::new().name("web-1".parse().expect("a name"));
        let container = fixture.store.create(&image, options).expect("created");
        Self { fixture, base, top, image, container }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.fixture.store
    }

    fn home(&self) -> std::path::PathBuf {
        self.store().path().join("overlay2")
    }

    fn link(&self, link: LinkId) -> std::path::PathBuf {
        self.home().join("l").join(link.as_str())
    }

    fn own_link(&self) -> LinkId {
        let text = fs::read_to_string(self.fixture.directory(self.container.id()).join("link")).expect("its link");
        text.parse().expect("a link")
    }

    /// Writes into the journal behind the store's back.
    fn journal(&self, key: &[&[u8]], value: Option<&[u8]>) {
        let directory = plyfs_sys::fs::open_dir(self.store().path().join("journal")).expect("the journal");
        let journal = Journal::open(Arc::new(DirDisk::new(directory)), Options::default()).expect("opened");
        let key = key.concat();
        let written = journal.write(|records| {
            match value {
                Some(value) => records.put(&key, value),
                None => records.delete(&key),
            }
            Ok::<_, plyfs_journal::Error>(())
        });
        written.expect("written");
    }

    pub(crate) fn found(&self) -> Vec<Finding> {
        self.store().check(CheckOptions::data()).expect("checked")
    }
}

fn kinds(findings: &[Finding]) -> Vec<(Severity, FindingKind)> {
    findings.iter().map(|finding| (finding.severity, finding.kind)).collect()
}

/// Breaks a store, and holds that exactly this is found, that a repair says what it did, and that all is well then.
#[track_caller]
fn repairs(severity: Severity, kind: FindingKind, damage: impl FnOnce(&Broken)) -> Broken {
    let broken = Broken::new();
    assert_eq!(broken.found(), [], "a store that nobody touched");
    damage(&broken);
    assert_eq!(kinds(&broken.found()), [(severity, kind)], "{:?}", broken.found());
    let repaired = broken.store().repair(&CheckOptions::data(), Progress::none()).expect("repaired");
    assert_eq!(repaired.acts.len(), 1, "{repaired:?}");
    assert_eq!(repaired.left, [], "{repaired:?}");
    assert_eq!(broken.found(), []);
    let mount = broken.container.mount(&MountOptions::new()).expect("a repaired store is of use");
    assert_eq!(fs::read_to_string(mount.path().join("c")).expect("the layers are there"), "333");
    mount.unmount().expect("unmounted");
    broken
}

/// Breaks a store, and holds that exactly this is found and that a repair leaves it alone.
#[track_caller]
pub(crate) fn stays(kind: FindingKind, damage: impl FnOnce(&Broken)) -> Broken {
    let broken = Broken::new();
    damage(&broken);
    let found = broken.found();
    assert_eq!(kinds(&found), [(Severity::Error, kind)], "{found:?}");
    let repaired = broken.store().repair(&CheckOptions::data(), Progress::none()).expect("repaired");
    assert_eq!(repaired.acts, []);
    assert_eq!(repaired.left, found);
    broken
}

#[test]
fn root_links_and_files_are_written_anew_from_the_records() {
    require_root!();
    let (error, warning, note) = (Severity::Error, Severity::Warning, Severity::Note);
    repairs(error, FindingKind::ShortLinkMissing, |it| fs::remove_file(it.link(it.top.link())).expect("removed"));
    repairs(note, FindingKind::ShortLinkMissing, |it| fs::remove_file(it.link(it.own_link())).expect("removed"));
    repairs(error, FindingKind::ShortLinkWrong, |it| {
        fs::remove_file(it.link(it.top.link())).expect("removed");
        symlink(format!("../{}/diff", it.base.id()), it.link(it.top.link())).expect("linked");
    });
    repairs(error, FindingKind::ShortLinkWrong, |it| {
        fs::remove_file(it.link(it.top.link())).expect("removed");
        symlink("/etc", it.link(it.top.link())).expect("linked");
    });
    for name in ["link", "lower"] {
        let file = |it: &Broken| it.fixture.directory(it.top.id()).join(name);
        repairs(warning, FindingKind::FileWrong, |it| fs::write(file(it), "x").expect("written"));
        repairs(warning, FindingKind::FileWrong, |it| fs::write(file(it), "").expect("written"));
        repairs(warning, FindingKind::FileWrong, |it| fs::remove_file(file(it)).expect("removed"));
    }
    repairs(note, FindingKind::FileWrong, |it| {
        fs::write(it.fixture.directory(it.container.id()).join("lower"), "").expect("written");
    });
    repairs(warning, FindingKind::MarkMissing, |it| {
        fs::remove_file(it.fixture.directory(it.base.id()).join("committed")).expect("removed");
    });
}

#[test]
fn root_what_no_record_speaks_of_is_moved_aside_and_kept() {
    require_root!();
    let stray = LayerId::random().to_string();
    let aside = |it: &Broken, name: &str| it.store().path().join("aside").join(name);
    let it = repairs(Severity::Warning, FindingKind::DirectoryStray, |it| {
        fs::create_dir_all(it.home().join(&stray).join("diff/precious")).expect("made");
    });
    assert!(aside(&it, &format!("overlay2.{stray}/diff/precious")).is_dir(), "its content is kept");
    let it = repairs(Severity::Warning, FindingKind::DirectoryStray, |it| {
        fs::write(it.home().join("notes.txt"), "mine").expect("written");
    });
    assert_eq!(fs::read_to_string(aside(&it, "overlay2.notes.txt")).expect("kept"), "mine");
    let link = LinkId::random();
    let it = repairs(Severity::Warning, FindingKind::ShortLinkStray, |it| {
        symlink(format!("../{stray}/diff"), it.link(link)).expect("linked");
    });
    assert!(aside(&it, &format!("l.{link}")).is_symlink(), "moved, not deleted");
    repairs(Severity::Warning, FindingKind::TarSplitStray, |it| {
        fs::write(it.store().path().join("tarsplit").join(&stray), "").expect("written");
    });
    repairs(Severity::Warning, FindingKind::BlobStray, |it| {
        fs::write(it.store().path().join("blobs/sha256/letter"), "").expect("written");
    });
    repairs(Severity::Warning, FindingKind::StagingStale, |it| {
        fs::write(it.store().path().join("staging/letter"), "").expect("written");
    });
    repairs(Severity::Warning, FindingKind::StagingStale, |it| {
        fs::create_dir(it.store().path().join("staging").join(LinkId::random().as_str())).expect("made");
    });
}

#[test]
fn root_what_no_operation_made_in_staging_locks_nobody_out_and_is_moved_aside_whole() {
    require_root!();
    let it = Broken::new();
    let staging = it.store().path().join("staging");
    let (link, lease) = (LinkId::random().to_string(), format!("{}.lease", LinkId::random()));
    fs::write(staging.join("letter"), "mine").expect("written");
    fs::write(staging.join(&link), "as an operation is called").expect("written");
    fs::create_dir_all(staging.join("drawer/letter")).expect("made");
    fs::create_dir(staging.join("claims")).expect("made");
    fs::create_dir(staging.join(&lease)).expect("made");
    symlink("/etc", staging.join("link")).expect("linked");

    let store = Store::open(it.store().path()).expect("it opens");
    it.fixture.layer(Some(&it.top), &[("d", "4444")]);
    let names = ["claims", "drawer", "letter", "link", &link, &lease];
    let found = store.check(CheckOptions::quick()).expect("checked");
    for name in names {
        assert!(found.iter().any(|finding| finding.subject == format!("staging/{name}")), "{name}: {found:?}");
    }
    let repaired = store.repair(&CheckOptions::quick(), Progress::none()).expect("repaired");

    assert_eq!((repaired.acts.len(), &repaired.left), (names.len(), &Vec::new()), "{:?}", repaired.acts);
    let aside = store.path().join("aside");
    assert!(aside.join("staging.drawer/letter").is_dir() && aside.join("staging.link").is_symlink());
    assert_eq!(fs::read_to_string(aside.join("staging.letter")).expect("kept"), "mine");
}

#[test]
fn root_a_second_stray_of_one_name_does_not_replace_the_first() {
    require_root!();
    let it = Broken::new();
    for content in ["first", "second"] {
        fs::write(it.home().join("notes.txt"), content).expect("written");
        it.store().repair(&CheckOptions::quick(), Progress::none()).expect("repaired");
    }
    for (name, content) in [("overlay2.notes.txt", "first"), ("overlay2.notes.txt.1", "second")] {
        assert_eq!(fs::read_to_string(it.store().path().join("aside").join(name)).expect("kept"), content);
    }
}

#[test]
fn root_what_cannot_be_made_up_is_named_and_left() {
    require_root!();
    stays(FindingKind::DirectoryMissing, |it| {
        fs::remove_dir_all(it.fixture.directory(it.base.id()).join("diff")).expect("removed");
    });
    // The next use would make them again if a crash could have taken them; where the link stands, it cannot have.
    stays(FindingKind::DirectoryMissing, |it| {
        fs::remove_dir_all(it.fixture.directory(it.container.id())).expect("removed");
    });
    stays(FindingKind::DirectoryMissing, |it| {
        fs::remove_dir(it.fixture.directory(it.container.id()).join("diff")).expect("removed");
    });
    stays(FindingKind::TarSplitMissing, |it| {
        fs::remove_file(it.store().path().join("tarsplit").join(it.base.id().to_string())).expect("removed");
    });
    stays(FindingKind::ContentWrong, |it| fs::write(it.base.path().join("a"), "9").expect("tampered"));
    let blob = |it: &Broken| it.store().path().join("blobs/sha256").join(it.image.id().hex());
    stays(FindingKind::BlobMissing, |it| fs::remove_file(blob(it)).expect("removed"));
    stays(FindingKind::BlobWrong, |it| fs::write(blob(it), "[]").expect("tampered"));
}

#[test]
fn root_a_record_that_cannot_be_read_makes_nothing_a_stray() {
    require_root!();
    let it = Broken::new();
    it.journal(&[b"l", it.base.id().as_bytes()], Some(b"no record"));
    let found = it.found();
    assert!(found.iter().any(|finding| finding.kind == FindingKind::RecordUnreadable), "{found:?}");
    it.store().repair(&CheckOptions::quick(), Progress::none()).expect("repaired as far as can be");
    assert!(it.base.path().join("a").is_file(), "the layer's directory stays where it is");
    assert!(!it.store().path().join("aside").exists(), "nothing is moved while a record is unread");
}

#[test]
fn root_a_mount_that_lost_its_mark_is_marked_again() {
    require_root!();
    let it = Broken::new();
    let mount = it.container.mount(&MountOptions::new()).expect("mounted");
    let directory = it.fixture.directory(it.container.id());
    let opened = plyfs_sys::fs::open_dir(&directory).expect("opened");
    plyfs_sys::xattr::remove(&opened, "trusted.plyfs.mount").expect("removed");

    assert_eq!(kinds(&it.found()), [(Severity::Error, FindingKind::MountUnmarked)]);
    let repaired = it.store().repair(&CheckOptions::quick(), Progress::none()).expect("repaired");

    assert_eq!(repaired.left, [], "{repaired:?}");
    assert_eq!(it.container.mounted_at().expect("looked"), Some(mount.path().to_owned()));
    mount.unmount().expect("unmounted");
}

/// A copy of the store beside it, with the same ids and attributes.
fn copied(it: &Broken) -> Store {
    let copy = it.fixture.dir.join("copy");
    // Without what is mounted.
    plyfs_testkit::process::output(Command::new("cp").args(["-a", "-x"]).arg(it.store().path()).arg(&copy));
    Store::open(&copy).expect("a copy is a store")
}

#[test]
fn root_a_mount_of_a_copied_store_is_none_of_the_copys() {
    require_root!();
    let it = Broken::new();
    let mount = it.container.mount(&MountOptions::new()).expect("mounted");
    let copy = copied(&it);

    let same = copy.container(it.container.name().as_str()).expect("copied");
    assert_eq!(same.id(), it.container.id());
    assert_eq!(same.mounted_at().expect("looked"), None, "the mark came along, the mount did not");
    let quick = CheckOptions::quick;
    assert_eq!(copy.check(quick()).expect("checked"), []);
    let directory = it.fixture.directory(it.container.id());
    let opened = plyfs_sys::fs::open_dir(&directory).expect("opened");
    plyfs_sys::xattr::remove(&opened, "trusted.plyfs.mount").expect("removed");
    assert_eq!(kinds(&it.found()), [(Severity::Error, FindingKind::MountUnmarked)]);
    assert_eq!(copy.check(quick()).expect("checked"), [], "the mount without a mark is the other store's");
    assert_eq!(copy.repair(&quick(), Progress::none()).expect("repaired").acts, []);
    it.store().repair(&quick(), Progress::none()).expect("repaired");

    // Both may be mounted, and what ends the one leaves the other.
    let other = same.mount(&MountOptions::new()).expect("mounted");
    assert!(other.is_maker());
    assert_ne!(other.path(), mount.path());
    other.keep();
    same.remove(plyfs_store::Removal::Force).expect("removed");
    assert_eq!(it.container.mounted_at().expect("looked"), Some(mount.path().to_owned()));
    mount.unmount().expect("unmounted");
}

#[test]
fn root_a_mark_whose_mount_was_never_made_is_not_confirmed_by_the_mount_of_a_copy() {
    require_root!();
    let it = Broken::new();
    let mount = it.container.mount(&MountOptions::new()).expect("mounted");
    let copy = copied(&it);
    let same = copy.container(it.container.name().as_str()).expect("copied");
    let other = same.mount(&MountOptions::new()).expect("mounted");
    // As if a process had died between the mark and the mount.
    plyfs_testkit::process::output(Command::new("umount").arg(other.path()));
    assert_eq!(same.mounted_at().expect("looked"), None);
    mount.unmount().expect("unmounted");
}

#[test]
fn root_a_mount_elsewhere_is_seen_where_the_kernel_knows_neither_its_id_nor_its_whole_upper() {
    require_root!();
    let it = Broken::new();
    // As before Linux 6.13: no more than the upper's name is in the mount table; and before 6.8: no id in the mark.
    let old = Store::options().without(plyfs_mount::Feature::LAYER_FD).open(it.store().path()).expect("opened");
    let container = old.container(it.container.name().as_str()).expect("found");
    let (place, other) = (plyfs_testkit::temp::TempDir::new(), plyfs_testkit::temp::TempDir::new());
    let mount = container.mount(&MountOptions::new().at(place.path())).expect("mounted");
    let directory = plyfs_sys::fs::open_dir(it.fixture.directory(container.id())).expect("opened");
    let mut mark = plyfs_sys::xattr::get(&directory, "trusted.plyfs.mount").expect("read").expect("a mark");
    mark[16..24].fill(0);
    plyfs_sys::xattr::set(&directory, "trusted.plyfs.mount", &mark).expect("written");

    assert_eq!(container.mounted_at().expect("looked"), Some(mount.path().to_owned()));
    plyfs_testkit::process::output(Command::new("mount").arg("--move").arg(mount.path()).arg(other.path()));
    assert_eq!(container.mounted_at().expect("looked"), Some(other.path().to_owned()), "the kernel says it is in use");
    let again = container.mount(&MountOptions::new()).expect("another guard on the same");
    assert_eq!(again.path(), other.path());
    drop(again);
    plyfs_testkit::process::output(Command::new("mount").arg("--move").arg(other.path()).arg(mount.path()));
    mount.unmount().expect("unmounted");
}

#[test]
fn root_a_mount_without_a_record_is_named_and_left_mounted() {
    require_root!();
    let it = Broken::new();
    let id = LayerId::random();
    let directory = it.home().join(id.to_string());
    for name in ["diff", "work", "merged"] {
        fs::create_dir_all(directory.join(name)).expect("made");
    }
    let (lower, own) = (it.base.path(), directory.display());
    let options = format!("lowerdir={},upperdir={own}/diff,workdir={own}/work", lower.display());
    let mounted = plyfs_testkit::temp::Mounted::overlay(directory.join("merged"), &options);

    let found = it.found();

    assert!(found.iter().any(|finding| finding.kind == FindingKind::MountStray), "{found:?}");
    drop(mounted);
}

#[test]
fn root_a_dry_run_keeps_an_image_whose_record_cannot_be_read_as_a_prune_does() {
    require_root!();
    let it = Broken::new();
    let unread = plyfs_store::Digest::of(b"unread");
    it.journal(&[b"i", unread.as_bytes()], Some(b"no record"));
    let keeps = |pruned: plyfs_store::Pruned| {
        let (subject, images) = (plyfs_store::Subject::Image(unread), pruned.images);
        let kept = pruned.kept.into_iter().find(|kept| kept.subject == subject).expect("it is told");
        assert!(matches!(kept.reason, plyfs_store::Reason::Failed(_)), "{kept:?}");
        assert!(!images.contains(&unread), "{images:?}");
        images
    };
    let options = plyfs_store::PruneOptions::new().all(true);
    let told = keeps(it.store().prune(options.clone().dry_run(true)).expect("told"));
    assert_eq!(told, keeps(it.store().prune(options).expect("pruned")));
}

#[test]
fn root_a_check_can_be_stopped() {
    require_root!();
    let it = Broken::new();
    let stop = |_: &plyfs_store::Step<'_>| std::ops::ControlFlow::Break(());
    let error = it.store().check_with(CheckOptions::data(), Progress::new(&stop)).expect_err("stopped");
    assert_eq!(error.kind(), plyfs_store::ErrorKind::Cancelled);
}

#[test]
fn root_what_others_make_meanwhile_is_no_stray() {
    require_root!();
    let it = Broken::new();
    let store = Store::open(it.store().path()).expect("opened");
    let busy = std::thread::spawn(move || {
        for number in 0..40 {
            let name = format!("c{number}").parse().expect("a name");
            let container =
                store.create(plyfs_store::Parent::Empty, ContainerOptions::new().name(name)).expect("created");
            container.remove(plyfs_store::Removal::Unmounted).expect("removed");
            store.reap().expect("reaped");
        }
    });
    while !busy.is_finished() {
        let found = it.store().check(CheckOptions::quick()).expect("checked");
        assert!(found.iter().all(|finding| finding.severity == Severity::Note), "{found:?}");
        it.store().repair(&CheckOptions::quick(), Progress::none()).expect("repaired");
    }
    busy.join().expect("nothing failed");
    let aside: Vec<_> = fs::read_dir(it.store().path().join("aside")).into_iter().flatten().flatten().collect();
    assert!(aside.is_empty(), "{aside:?}");
}

#[test]
fn root_a_store_that_opens_for_reading_alone_is_not_called_clean() {
    require_root!();
    let it = Broken::new();
    let path = it.store().path();
    let unfit = |part: &str| {
        let found = Store::options().check(path, CheckOptions::quick(), Progress::none()).expect("checked");
        assert_eq!(found.len(), 1, "{part}: {found:?}");
        assert_eq!((found[0].severity, found[0].kind), (Severity::Error, FindingKind::PartUnfit), "{found:?}");
        assert!(found[0].to_string().contains(part), "{}", found[0]);
    };
    for part in ["", "overlay2", "journal", "blobs", "tarsplit", "staging", "trash"] {
        let place = path.join(part);
        let mode = fs::metadata(&place).expect("stat").permissions();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).expect("opened up");
        unfit(if part.is_empty() { "root" } else { part });
        fs::set_permissions(&place, mode).expect("put back");
        std::os::unix::fs::chown(&place, Some(1234), None).expect("given away");
        unfit(if part.is_empty() { "root" } else { part });
        std::os::unix::fs::chown(&place, Some(0), None).expect("put back");
    }
    for name in plyfs_journal::PLAIN_FILES {
        let (file, aside) = (path.join("journal").join(name), it.fixture.dir.join("aside"));
        let was_there = fs::rename(&file, &aside).is_ok();
        for mangle in [|file: &Path| fs::create_dir(file), |file: &Path| symlink("/etc/passwd", file)] {
            mangle(&file).expect("mangled");
            unfit(&format!("journal/{name}"));
            let acts = Store::options().restore_parts(path).expect("restored");
            assert_eq!(acts.len(), usize::from(name != "head"), "{name}: {acts:?}");
            if name == "head" {
                fs::remove_dir(&file).or_else(|_| fs::remove_file(&file)).expect("put away");
                continue;
            }
            // What was in the file is not needed: its names, and nothing else, made the store what it is.
            let store = Store::open(path).expect("it opens for writing");
            store.tag(&it.image, &name.parse().expect("a reference")).expect("and is written");
            assert_eq!(store.check(CheckOptions::quick()).expect("checked"), [], "{name}");
            drop(store);
            let _ = fs::remove_file(&file);
        }
        if was_there {
            fs::rename(&aside, &file).expect("put back");
        }
    }
    let store = Store::open(path).expect("as it was");
    assert_eq!(store.check(CheckOptions::data()).expect("checked"), []);
    assert_eq!(store.image("svc:1").expect("its name").id(), it.image.id());
}

#[test]
fn root_a_journal_without_its_head_is_damage_and_no_absent_store() {
    require_root!();
    let it = Broken::new();
    fs::remove_file(it.store().path().join("journal/head")).expect("lost");
    let error = Store::open(it.store().path()).expect_err("no head");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let salvaged = Store::options().salvage(true).open(it.store().path()).expect("what is sound is shown");
    assert_eq!(salvaged.image("svc:1").expect("its name").id(), it.image.id());
}

#[test]
fn root_a_layer_whose_directory_is_missing_is_damaged_and_not_absent_wherever_it_is_met() {
    require_root!();
    let it = Broken::new();
    let store = it.store();
    fs::remove_dir_all(it.fixture.directory(it.base.id())).expect("lost");
    let said = |what: &str, error: plyfs_store::Error| {
        let story = std::iter::successors(std::error::Error::source(&error), |cause| cause.source())
            .fold(error.to_string(), |story, cause| format!("{story}: {cause}"));
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {story}");
        assert!(story.contains(&format!("layer {}: its directory is missing", it.base.id())), "{what}: {story}");
    };
    said("mount", it.container.mount(&MountOptions::new()).map(drop).expect_err("a lower is missing"));
    said("changes", it.container.changes().map(drop).expect_err("a lower is missing"));
    said("export", it.container.export(std::io::sink(), Progress::none()).map(drop).expect_err("a lower is missing"));
    said("view", it.container.view().map(drop).expect_err("a lower is missing"));
    said("archive", it.base.write_archive(std::io::sink()).map(drop).expect_err("it is missing"));
    said("create", store.create(&it.base, ContainerOptions::new()).map(drop).expect_err("it is missing"));
    let mut operation = store.operation().expect("an operation");
    let diff_id = it.base.diff_id().expect("known");
    said("reuse", operation.reuse(None, &diff_id).map(drop).expect_err("what stands on it could not be used"));
    drop(operation);
    let found = store.check(CheckOptions::data()).expect("checked");
    assert_eq!(
        found.iter().map(|finding| finding.kind).collect::<Vec<_>>(),
        [FindingKind::DirectoryMissing],
        "{found:?}"
    );
    it.container.remove(plyfs_store::Removal::Unmounted).expect("it can be removed");
    store.remove_image(&store.image("svc:1").expect("its record is sound")).expect("and the image, with its layers");
    store.reap().expect("reaped");
    assert_eq!(store.check(CheckOptions::data()).expect("checked"), []);
    let removed = it.base.write_archive(std::io::sink()).map(drop).expect_err("it was removed");
    assert_eq!(removed.kind(), ErrorKind::NotFound, "what was removed is absent");
}
