//! A journal made anew from the directories: everything mounts as before, and what is lost is said.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;

use plyfs_store::{
    CheckOptions, Container, ContainerOptions, Digest, Document, ErrorKind, FindingKind, Image, MountOptions, Progress,
    Rebuilt, Severity, Step, Store,
};
use plyfs_testkit::require_root;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::Fixture;

/// Reads a config that is nothing but its DiffIDs, a line each.
pub(crate) fn lines(bytes: &[u8]) -> Option<Document> {
    let text = std::str::from_utf8(bytes).ok()?.strip_prefix("config\n")?;
    let diff_ids = text.lines().map(|line| line.parse().ok()).collect::<Option<Vec<Digest>>>()?;
    Some(Document::Config { diff_ids, built: None, architecture: Some("amd64".to_owned()), os: None })
}

/// Says of no blob that it is a layer.
pub(crate) fn no_layer(_: &mut (dyn io::Read + Send)) -> io::Result<Digest> {
    Err(io::ErrorKind::InvalidData.into())
}

fn rebuild(path: &Path) -> Rebuilt {
    Store::options().rebuild_with(path, &lines, &no_layer, Progress::none()).expect("rebuilt")
}

/// Three layers in a chain, an image of them, and a container that was written to.
struct Before {
    fixture: Fixture,
    image: Image,
    container: Container,
    tree: Vec<(String, Vec<u8>)>,
}

impl Before {
    fn new() -> Self {
        let fixture = Fixture::new();
        let base = fixture.layer(None, &[("a", "1"), ("etc/motd", "hello")]);
        let middle = fixture.layer(Some(&base), &[("b", "2"), ("etc/.wh.motd", "")]);
        let top = fixture.layer(Some(&middle), &[("a", "3")]);
        let ids = [&base, &middle, &top].map(|layer| layer.diff_id().expect("known").to_string());
        let image = fixture.image(&format!("config\n{}", ids.join("\n")), Some(&top), &["svc:1"]);
        let options = ContainerOptions::new().name("web-1".parse().expect("a name")).label("keep", "me");
        let container = fixture.store.create(&image, options).expect("created");
        let mount = container.mount(&MountOptions::new()).expect("mounted");
        fs::write(mount.path().join("mine"), "precious").expect("written");
        let tree = tree(mount.path());
        mount.unmount().expect("unmounted");
        Self { fixture, image, container, tree }
    }

    fn path(&self) -> &Path {
        self.fixture.store.path()
    }
}

fn tree(root: &Path) -> Vec<(String, Vec<u8>)> {
    let content = |name: &String| fs::read(root.join(name)).unwrap_or_default();
    crate::names(root).into_iter().map(|name| (name.clone(), content(&name))).collect()
}

fn mounted(container: &Container) -> Vec<(String, Vec<u8>)> {
    let mount = container.mount(&MountOptions::new()).expect("mounted");
    let tree = tree(mount.path());
    mount.unmount().expect("unmounted");
    tree
}

#[test]
fn root_a_store_without_its_journal_is_rebuilt_from_its_directories() {
    require_root!();
    let before = Before::new();
    let layers: Vec<_> =
        before.fixture.store.layers().expect("listed").iter().map(|layer| format!("{layer:?}")).collect();
    fs::remove_dir_all(before.path().join("journal")).expect("lost");
    assert_eq!(Store::open(before.path()).expect_err("no journal").kind(), ErrorKind::Corrupt);

    let rebuilt = rebuild(before.path());

    assert_eq!((rebuilt.layers.len(), rebuilt.images.as_slice()), (3, &[before.image.id()][..]));
    assert_eq!(rebuilt.repaired.left, [], "{rebuilt:?}");
    let store = Store::open(before.path()).expect("a store again");
    let again: Vec<_> = store.layers().expect("listed").iter().map(|layer| format!("{layer:?}")).collect();
    assert_eq!(again, layers, "the records of the layers are the same to the last field");
    let container = store.container(rebuilt.containers[0].as_str()).expect("the written layer is a container");
    assert_eq!((container.id(), container.image()), (before.container.id(), Some(before.image.id())));
    assert_eq!(mounted(&container), before.tree, "all that was seen before is seen again");
    assert_eq!(store.check(CheckOptions::data()).expect("checked"), []);
    let lost = rebuilt.lost.join("\n");
    for expected in [format!("image {}: its names", before.image.id()), "its name, labels and options".to_owned()] {
        assert!(lost.contains(&expected), "{expected} in {lost}");
    }
    let image = store.image_by_id(&before.image.id()).expect("there");
    store.tag(&image, &"svc:1".parse().expect("a name")).expect("named again");
    let fresh = store.create(&image, ContainerOptions::new()).expect("created");
    assert!(mounted(&fresh).iter().any(|(name, content)| name == "a" && content == b"3"));
}

#[test]
fn root_layers_that_say_nothing_of_themselves_are_worked_out() {
    require_root!();
    let before = Before::new();
    let chains = |store: &Store| {
        let layers = store.layers().expect("listed");
        layers
            .iter()
            .map(|layer| (layer.id(), layer.chain_id(), layer.parent(), layer.archive_size(), layer.depth()))
            .collect::<Vec<_>>()
    };
    let known = chains(&before.fixture.store);
    for entry in fs::read_dir(before.path().join("tarsplit")).expect("listed") {
        // As an earlier version wrote it: the description at the end is not there.
        let path = entry.expect("an entry").path();
        let bytes = fs::read(&path).expect("read");
        let length =
            u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().expect("four bytes")) as usize;
        fs::write(&path, &bytes[..bytes.len() - length]).expect("cut");
    }
    fs::remove_dir_all(before.path().join("journal")).expect("lost");

    let rebuilt = rebuild(before.path());

    assert_eq!(rebuilt.images, [before.image.id()], "{rebuilt:?}");
    assert_eq!(chains(&Store::open(before.path()).expect("opened")), known);
}

#[test]
fn root_a_rebuild_works_without_any_link_file_or_short_link() {
    require_root!();
    let before = Before::new();
    let home = before.path().join("overlay2");
    fs::remove_dir_all(home.join("l")).expect("lost");
    for layer in before.fixture.store.layers().expect("listed") {
        fs::remove_file(home.join(layer.id().to_string()).join("link")).expect("lost");
    }
    fs::remove_dir_all(before.path().join("journal")).expect("lost");

    let rebuilt = rebuild(before.path());

    assert_eq!(rebuilt.repaired.left, [], "{rebuilt:?}");
    assert!(rebuilt.repaired.acts.len() >= 6, "a link file and a short link for each layer: {rebuilt:?}");
    let store = Store::open(before.path()).expect("opened");
    let image = store.image_by_id(&before.image.id()).expect("there");
    mounted(&store.create(&image, ContainerOptions::new()).expect("created"));
}

#[test]
fn root_a_damaged_journal_is_a_finding_and_kept_aside_by_the_rebuild() {
    require_root!();
    let before = Before::new();
    fs::write(before.path().join("journal/head"), "garbage").expect("damaged");

    let found = Store::options().check(before.path(), CheckOptions::quick(), Progress::none()).expect("checked");
    assert_eq!((found[0].severity, found[0].kind), (Severity::Error, FindingKind::JournalDamaged));
    assert!(found[0].problem.contains("head"), "the file is named: {}", found[0]);
    assert_eq!(found.len(), 1, "what is behind it is sound: {found:?}");
    let rebuilt = rebuild(before.path());
    let act = &rebuilt.repaired.acts[0];
    assert_eq!(act.finding, found[0]);
    assert_eq!(act.done, "made anew from the directories; the old one is kept in aside/journal");
    assert_eq!(rebuilt.kept.as_deref(), Some("aside/journal"));

    let kept = before.path().join("aside/journal/head");
    assert_eq!(fs::read_to_string(kept).expect("kept"), "garbage");
    Store::open(before.path()).expect("opened");
}

#[test]
fn root_a_journal_whose_head_is_older_than_what_was_published_is_rebuilt() {
    require_root!();
    let before = Before::new();
    let journal = before.path().join("journal");
    let files = || fs::read_dir(&journal).expect("a journal").map(|entry| entry.expect("an entry").path());
    let older: Vec<_> = files().map(|path| (fs::read(&path).expect("read"), path)).collect();
    crate::misleading::fill_run(before.path());
    for (bytes, path) in older.iter().filter(|(_, path)| !path.ends_with("synced")) {
        fs::write(path, bytes).expect("as a backup has it");
    }
    assert_eq!(Store::open(before.path()).expect_err("it is refused").kind(), ErrorKind::Corrupt);

    let found = Store::options().check(before.path(), CheckOptions::quick(), Progress::none()).expect("checked");
    assert_eq!(found.len(), 1, "each place is sound: {found:?}");
    assert_eq!((found[0].severity, found[0].kind), (Severity::Error, FindingKind::JournalDamaged));
    assert!(found[0].problem.contains("head, offset 40: an older generation"), "{}", found[0]);
    let salvaged = Store::options().salvage(true).open(before.path()).expect("what is sound");
    assert!(
        salvaged.check(CheckOptions::quick()).expect("checked").iter().any(|other| other.problem.contains("older"))
    );
    let rebuilt = rebuild(before.path());

    assert!(rebuilt.repaired.acts[0].finding.problem.contains("an older generation"), "{rebuilt:?}");
    assert_eq!((rebuilt.layers.len(), rebuilt.images.len(), rebuilt.containers.len()), (3, 1, 1), "{rebuilt:?}");
    assert_eq!(rebuilt.repaired.left, []);
    Store::open(before.path()).expect("opened");
}

/// Changes a byte of the first blocks of these numbers in the journal's log; the log's name.
fn break_blocks(store: &Path, blocks: &[usize]) -> String {
    let entries = fs::read_dir(store.join("journal")).expect("a journal");
    let mut paths = entries.map(|entry| entry.expect("an entry").path());
    let log = paths.find(|path| path.extension().is_some_and(|e| e == "log")).expect("a log");
    let mut bytes = fs::read(&log).expect("readable");
    for block in blocks {
        bytes[block * 512 + 60] ^= 1;
    }
    fs::write(&log, bytes).expect("written");
    log.file_name().expect("it has one").to_string_lossy().into_owned()
}

#[test]
fn root_each_damaged_place_of_a_journal_is_a_finding_and_nothing_counts_as_a_stray_for_it() {
    require_root!();
    let before = Before::new();
    let log = break_blocks(before.path(), &[0, 2]);
    let options = || Store::options().salvage(true);

    let found = Store::options().check(before.path(), CheckOptions::quick(), Progress::none()).expect("checked");
    assert_eq!(found.len(), 2, "{found:?}");
    for (finding, offset) in found.iter().zip([0, 1024]) {
        assert_eq!((finding.severity, finding.kind), (Severity::Error, FindingKind::JournalDamaged));
        assert!(finding.problem.contains(&format!("{log}, offset {offset}: ")), "{finding}");
        assert!(finding.problem.contains(" given up"), "{finding}");
    }
    let salvaged = options().open(before.path()).expect("what is sound");
    let again = salvaged.check(CheckOptions::quick()).expect("checked");
    assert!(found.iter().all(|finding| again.contains(finding)), "{again:?}");
    assert!(again.iter().all(|finding| finding.severity == Severity::Error), "no stray: {again:?}");

    let rebuilt = rebuild(before.path());
    let told: Vec<_> = rebuilt.repaired.acts.iter().take(2).map(|act| act.finding.clone()).collect();
    assert_eq!(told, found);
    assert_eq!(rebuilt.repaired.left, []);
}

#[test]
fn root_what_has_no_ground_to_stand_on_is_kept_and_said_to_be_lost() {
    require_root!();
    let before = Before::new();
    let base =
        before.fixture.store.layers().expect("listed").into_iter().find(|layer| layer.depth() == 1).expect("a base");
    fs::remove_dir_all(base.path().parent().expect("its directory")).expect("lost");
    fs::remove_dir_all(before.path().join("journal")).expect("lost");

    let rebuilt = rebuild(before.path());

    assert_eq!((rebuilt.layers.len(), rebuilt.images.len(), rebuilt.containers.len()), (0, 0, 0), "{rebuilt:?}");
    assert!(rebuilt.lost.iter().any(|line| line.contains(&before.image.id().to_string())), "{rebuilt:?}");
    let aside = before.path().join("aside").join(format!("overlay2.{}", before.container.id()));
    assert_eq!(fs::read_to_string(aside.join("diff/mine")).expect("kept"), "precious");
}

#[test]
fn root_a_rebuild_beside_a_living_operation_is_refused() {
    require_root!();
    let before = Before::new();
    fs::write(before.path().join("journal/head"), "garbage").expect("damaged");
    let _operation = before.fixture.store.operation().expect("an operation");
    let error = Store::options().rebuild_with(before.path(), &lines, &no_layer, Progress::none()).expect_err("in use");
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert_eq!(fs::read(before.path().join("journal/head")).expect("the old journal is where it was"), b"garbage");
    assert!(!before.path().join("journal.new").exists(), "nothing is left of the new one");
}

#[test]
fn root_a_store_that_lost_its_format_file_and_all_of_its_journal_is_rebuilt() {
    require_root!();
    for head in [None, Some("garbage")] {
        let before = Before::new();
        let journal = before.path().join("journal");
        fs::remove_file(before.path().join("plyfs.toml")).expect("lost");
        fs::read_dir(&journal).expect("listed").for_each(|entry| {
            fs::remove_file(entry.expect("an entry").path()).expect("lost");
        });
        head.into_iter().for_each(|head| fs::write(journal.join("head"), head).expect("written"));

        let rebuilt = rebuild(before.path());

        assert_eq!((rebuilt.layers.len(), rebuilt.images.len(), rebuilt.containers.len()), (3, 1, 1), "{rebuilt:?}");
        assert_eq!(rebuilt.repaired.left, [], "{rebuilt:?}");
    }
}

#[test]
fn root_nobody_writes_to_the_old_journal_meanwhile() {
    require_root!();
    let before = Before::new();
    fs::write(before.path().join("journal/head"), "garbage").expect("damaged");
    let lock = fs::File::open(before.path().join("journal/lock")).expect("whoever writes locks it");
    let seen = Mutex::new(Vec::new());
    let look = |_: &Step<'_>| {
        seen.lock().expect("not poisoned").push(flock(&lock, FlockOperation::NonBlockingLockExclusive));
        ControlFlow::Continue(())
    };
    let rebuilt = Store::options().rebuild_with(before.path(), &lines, &no_layer, Progress::new(&look));
    rebuilt.expect("rebuilt");
    // The first is asked while the layers are read; a repair at the end is of the new one.
    assert_eq!(seen.into_inner().expect("not poisoned")[0], Err(Errno::WOULDBLOCK));
}

#[test]
fn root_a_journal_of_another_version_is_not_taken_for_damaged() {
    require_root!();
    let before = Before::new();
    let head = before.path().join("journal/head");
    let mut bytes = fs::read(&head).expect("read");
    plyfs_testkit::journal::next_version(&mut bytes);
    fs::write(&head, &bytes).expect("written");

    let rebuilt = Store::options().rebuild_with(before.path(), &lines, &no_layer, Progress::none());

    let error = rebuilt.expect_err("what is in it is not known");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    assert_eq!(fs::read(&head).expect("it is where it was"), bytes);
}

#[test]
fn root_a_journal_that_is_sound_is_not_replaced_whatever_else_is_damaged() {
    require_root!();
    let before = Before::new();
    fs::remove_file(before.path().join("plyfs.toml")).expect("lost");
    let names = before.fixture.names();

    let rebuilt = Store::options().rebuild_with(before.path(), &lines, &no_layer, Progress::none());

    let error = rebuilt.expect_err("names would be lost");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let told = plyfs_sys::report(&error);
    assert!(told.contains("its journal is sound") && told.contains("move its directory journal away"), "{told}");
    assert_eq!(before.fixture.names(), names);
    Store::options().restore_parts(before.path()).expect("restored");
    let store = Store::open(before.path()).expect("opened");
    assert!(store.container("web-1").is_ok() && store.image("svc:1").is_ok());
    // Whoever wants it says so.
    fs::rename(before.path().join("journal"), before.fixture.dir.join("journal")).expect("moved away");
    assert_eq!(rebuild(before.path()).kept, None);
}

#[test]
fn root_what_an_operation_had_placed_when_it_died_comes_back_only_whole() {
    require_root!();
    let before = Before::new();
    let layers = before.fixture.store.layers().expect("listed");
    let [first, second] = [&layers[0], &layers[1]];
    let dead = before.path().join("staging").join(plyfs_store::LinkId::random().as_str());
    fs::create_dir(&dead).expect("made");
    for layer in [first, second] {
        fs::write(dead.join(format!("{}.{}", layer.id(), layer.link())), "").expect("named");
    }
    let leaf = layers.iter().find(|layer| layer.depth() == 3).expect("a leaf");
    fs::write(dead.join(format!("{}.{}", leaf.id(), leaf.link())), "").expect("named");
    fs::write(leaf.path().join("a"), "torn").expect("torn");
    fs::remove_dir_all(before.path().join("journal")).expect("lost");

    let rebuilt = rebuild(before.path());

    assert_eq!(rebuilt.layers.len(), 2, "{rebuilt:?}");
    assert!(rebuilt.lost.iter().any(|line| line.contains("not whole")), "{rebuilt:?}");
}
