//! A blob that others take from its place while an image is published, and into whose place they put their own: nothing of that
//! one is durable yet, so it is not what the image's record speaks of.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use plyfs_store::{CheckOptions, Digest, Durability, NewImage, Store};
use plyfs_testkit::require_root;

use crate::{Fixture, killed};

const NAME: &str = "replaced::root_a_blob_that_is_replaced_between_sync_and_record_is_placed_and_synced_again";
const CONFIG: &[u8] = b"{\"config\":1}";

/// What others do once, when the image has synced its blobs.
#[derive(Debug)]
struct Others {
    store: PathBuf,
    /// What the blob was afterwards.
    inode: Option<u64>,
    steps: Vec<&'static str>,
}

static OTHERS: Mutex<Option<Others>> = Mutex::new(None);

fn publish(store: &Store) -> Digest {
    let mut operation = store.operation().expect("an operation");
    let (id, names) = (operation.blob(CONFIG).expect("staged"), vec!["app:1".parse().expect("a name")]);
    let (top, manifest) = (None, None);
    operation.image(NewImage { id, top, manifest, names, built: None, architecture: None, os: None });
    operation.publish().expect("published");
    id
}

/// Removes the image where it is, then takes back what is dead, puts the blob into its place and dies.
fn take_and_place(path: &Path) {
    let remover = Store::open(path).expect("opened");
    if let Ok(image) = remover.image("app:1") {
        remover.remove_image(&image).expect("removed");
    }
    let store = Store::options().at_each_step(killed::step).open(path).expect("opened");
    killed::after(2);
    publish(&store);
}

fn meanwhile(step: &'static str) {
    let mut others = OTHERS.lock().expect("held by this test alone");
    let others = others.as_mut().expect("told before");
    others.steps.push(step);
    if step == "publish 3" && others.inode.is_none() {
        others.inode = Some(placed_by_the_dead(&others.store));
    }
}

/// Lets a process place the blob and die before it has synced it; the answer is its number.
fn placed_by_the_dead(store: &Path) -> u64 {
    let cut = killed::start(&[], NAME, &store.display().to_string());
    assert_eq!((cut.is_killed, &*cut.last), (true, "publish 2"));
    inode(store).expect("it is in its place")
}

fn inode(store: &Path) -> std::io::Result<u64> {
    fs::metadata(store.join("blobs/sha256").join(Digest::of(CONFIG).hex())).map(|blob| blob.ino())
}

#[test]
fn root_a_blob_that_is_replaced_between_sync_and_record_is_placed_and_synced_again() {
    require_root!();
    if let Some(path) = killed::role() {
        return take_and_place(Path::new(&path));
    }
    for durability in [Durability::FileSystem, Durability::Files] {
        for is_shared in [true, false] {
            let fixture = Fixture::new();
            let path = fixture.store.path();
            let others = Others { store: path.to_owned(), inode: None, steps: Vec::new() };
            *OTHERS.lock().expect("held by this test alone") = Some(others);
            let store = Store::options().durability(durability).at_each_step(meanwhile).open(path).expect("opened");
            if is_shared {
                publish(&fixture.store);
            } else {
                // Its blob gives way to that of the living, which goes when the dead is taken back.
                placed_by_the_dead(path);
            }

            let id = publish(&store);

            let others = OTHERS.lock().expect("held by this test alone").take().expect("told before");
            let steps: Vec<_> = others.steps.iter().filter(|step| step.starts_with("publish")).copied().collect();
            let [one, two, three, four, five] = ["publish 1", "publish 2", "publish 3", "publish 4", "publish 5"];
            assert_eq!(steps, [one, two, three, two, three, four, five], "{durability:?}, shared: {is_shared}");
            assert_ne!(
                inode(path).ok(),
                others.inode,
                "{durability:?}, shared: {is_shared}: of which nothing is durable"
            );
            // Takes back what the dead left.
            let store = killed::settled(path).expect("opened");
            assert_eq!(store.blob(&id).expect("it is there"), CONFIG);
            assert_eq!(store.check(CheckOptions::data()).expect("checked"), []);
        }
    }
}
