//! Compressed layers that are kept: counted, checked, collected with their layers, found again by a rebuild.

use std::fs;
use std::io::{Read, Write};

use plyfs_store::{
    AppliedLayer, CheckOptions, Digest, Document, ErrorKind, FindingKind, Layer, NewImage, Progress, PruneOptions,
    Rebuilt, Store, StoreUsage,
};
use plyfs_testkit::require_root;

use crate::{Fixture, archive};

impl Fixture {
    /// Publishes a layer and keeps `blob` as the form it came in.
    fn kept(&self, files: &[(&str, &str)], parent: Option<&Layer>, blob: &[u8]) -> Layer {
        let mut operation = self.store.operation().expect("an operation");
        let applied = operation.apply(&mut archive(files).as_slice(), parent.map(Layer::id), None).expect("applied");
        let digest = Digest::of(blob);
        let mut file = operation.blob_file(&digest).expect("staged").expect("it is the first");
        file.write_all(blob).expect("written");
        assert!(operation.blob_file(&digest).expect("asked").is_none(), "it is staged once");
        operation.keep_blob(applied.id, digest).expect("kept");
        operation.publish().expect("published");
        self.store.layer(&applied.id.to_string()).expect("the layer is there")
    }

    fn blob_path(&self, blob: &[u8]) -> std::path::PathBuf {
        self.store.path().join("blobs/sha256").join(Digest::of(blob).hex())
    }
}

fn read(layer: &Layer, blob: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    layer.blob(&Digest::of(blob))?.read_to_end(&mut bytes).map(|_| bytes)
}

#[test]
fn root_a_kept_blob_is_read_back_counted_once_and_goes_with_the_last_layer_that_came_as_it() {
    require_root!();
    let fixture = Fixture::new();
    let blob = [7; 5000];
    let base = fixture.kept(&[("a", "1")], None, &blob);
    let other = fixture.layer(None, &[("b", "2")]);
    let again = fixture.kept(&[("a", "1")], Some(&other), &blob);
    assert_eq!(read(&base, &blob).expect("read"), blob);
    assert_eq!(base.blobs(), again.blobs());
    let takes = base.blobs()[0].usage;
    assert_eq!((takes.apparent, takes.inodes, takes.allocated >= 5000), (5000, 1, true));
    assert_eq!(fixture.store.usage().expect("added up").kept_blobs, takes);
    assert!(fixture.store.check(CheckOptions::data()).expect("checked").is_empty());

    let pruned = fixture.store.remove_layer(&again).expect("removed");
    assert_eq!(pruned.reclaimed, again.usage(), "the blob is the other's still");
    assert!(fixture.blob_path(&blob).exists());
    let told = fixture.store.prune(PruneOptions::new().dry_run(true)).expect("told");
    let pruned = fixture.store.prune(PruneOptions::new()).expect("pruned");
    assert_eq!(pruned.reclaimed, told.reclaimed);
    assert_eq!(pruned.reclaimed, base.usage() + other.usage() + takes);
    fixture.store.reap().expect("reaped");
    let left: Vec<_> = fixture.names().into_iter().filter(|name| name.contains('/')).collect();
    assert_eq!(left, ["blobs/sha256", "overlay2/l"]);
    assert_eq!(base.blob(&Digest::of(blob)).expect_err("gone").kind(), ErrorKind::NotFound);
}

#[test]
fn root_a_layer_gets_its_blob_later_and_the_image_the_manifest_that_lists_it() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.layer(None, &[("a", "1")]);
    let publish = |manifest: Option<&[u8]>, blob: Option<&[u8]>| {
        let mut operation = fixture.store.operation().expect("an operation");
        let chain = layer.chain_id().expect("it has one");
        let AppliedLayer { id: top, .. } = operation.reuse(None, &chain).expect("asked").expect("it is there");
        if let Some(blob) = blob {
            let mut file = operation.blob_file(&Digest::of(blob)).expect("staged").expect("it is the first");
            file.write_all(blob).expect("written");
            operation.keep_blob(top, Digest::of(blob)).expect("kept");
            operation.replace_manifests();
        }
        let id = operation.blob(b"{}").expect("staged");
        let manifest = manifest.map(|bytes| operation.blob(bytes).expect("staged"));
        let (names, built, architecture, os) = Default::default();
        operation.image(NewImage { id, top: Some(top), manifest, names, built, architecture, os });
        operation.publish().expect("published");
        fixture.store.image_by_id(&id).expect("it is there").manifest_digest()
    };
    assert_eq!(publish(None, None), None);
    assert_eq!(publish(Some(b"one"), None), None, "an image keeps the manifest it came with");
    assert_eq!(publish(Some(b"one"), Some(b"blob one")), Some(Digest::of(b"one")));
    assert_eq!(publish(Some(b"two"), Some(b"blob two")), Some(Digest::of(b"two")));
    fixture.store.reap().expect("reaped");
    let blobs = fixture.store.layer(&layer.id().to_string()).expect("there").blobs().to_vec();
    assert_eq!(blobs.len(), 2, "each form it came in");
    assert!(!fixture.blob_path(b"one").exists(), "the manifest before is nobody's");
    assert!(fixture.store.check(CheckOptions::data()).expect("checked").is_empty());

    let mut operation = fixture.store.operation().expect("an operation");
    let mut file = operation.blob_file(&Digest::of(b"three")).expect("staged").expect("it is the first");
    file.write_all(b"three").expect("written");
    operation.keep_blob(layer.id(), Digest::of(b"three")).expect("kept");
    drop(operation);
    assert!(!fixture.blob_path(b"three").exists(), "what is not published leaves nothing");
}

#[test]
fn root_a_blob_that_is_missing_or_other_is_found_forgotten_and_compressed_anew() {
    require_root!();
    for (data, kind, spoil) in [
        (false, FindingKind::BlobMissing, (|path| fs::remove_file(path)) as fn(&std::path::Path) -> _),
        (false, FindingKind::BlobWrong, |path| fs::write(path, "short")),
        (true, FindingKind::BlobWrong, |path| fs::write(path, "a bloc")),
    ] {
        let fixture = Fixture::new();
        let layer = fixture.kept(&[("a", "1")], None, b"a blob");
        spoil(&fixture.blob_path(b"a blob")).expect("spoilt");
        let read = read(&layer, b"a blob").expect_err("it is not what was kept");
        assert!(matches!(read.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::Other), "{read}");
        let options = if data { CheckOptions::data() } else { CheckOptions::quick() };
        let found = fixture.store.check(options.clone()).expect("checked");
        assert_eq!(found.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [kind], "{found:?}");
        assert!(found[0].subject.contains(&layer.id().to_string()), "{found:?}");
        let repaired = fixture.store.repair(&options, Progress::none()).expect("repaired");
        assert!(repaired.left.is_empty(), "{:?}", repaired.left);
        assert!(fixture.store.layer(&layer.id().to_string()).expect("there").blobs().is_empty());
    }
    let fixture = Fixture::new();
    fs::write(fixture.blob_path(b"nobody's"), "nobody's").expect("written");
    let found = fixture.store.check(CheckOptions::quick()).expect("checked");
    assert_eq!(found.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FindingKind::BlobStray], "{found:?}");
}

#[test]
fn root_a_blob_that_was_cut_is_put_right_by_keeping_it_again() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.kept(&[("a", "1")], None, b"a blob");
    fs::write(fixture.blob_path(b"a blob"), "a bl").expect("spoilt");
    let mut operation = fixture.store.operation().expect("an operation");
    assert!(!operation.has_blob(layer.id(), &Digest::of(b"a blob")).expect("asked"), "not as a whole");
    let file = operation.blob_file(&Digest::of(b"a blob")).expect("staged");
    file.expect("it is the first").write_all(b"a blob").expect("written");
    operation.keep_blob(layer.id(), Digest::of(b"a blob")).expect("kept");
    operation.publish().expect("published");
    assert_eq!(read(&layer, b"a blob").expect("read"), b"a blob");
    assert!(fixture.store.check(CheckOptions::data()).expect("checked").is_empty());
}

/// An image of one layer with a kept blob, in a store that lost its journal.
struct Lost {
    fixture: Fixture,
    image: Digest,
    layer: Layer,
    usage: StoreUsage,
}

impl Lost {
    fn new() -> Self {
        let fixture = Fixture::new();
        let layer = fixture.kept(&[("a", "1")], None, b"a blob");
        let mut operation = fixture.store.operation().expect("an operation");
        let (id, manifest) = (operation.blob(b"config").expect("staged"), operation.blob(b"manifest").expect("staged"));
        operation.reuse(None, &layer.diff_id().expect("it has one")).expect("asked").expect("it is there");
        let (names, built, architecture, os) = Default::default();
        let manifest = Some(manifest);
        operation.image(NewImage { id, top: Some(layer.id()), manifest, names, built, architecture, os });
        operation.publish().expect("published");
        let usage = fixture.store.usage().expect("added up");
        fs::remove_dir_all(fixture.store.path().join("journal")).expect("lost");
        Self { fixture, image: id, layer, usage }
    }

    /// Rebuilds it, where the blob turns out to hold the layer `holds`.
    fn rebuild(&self, holds: Digest) -> (Rebuilt, Store) {
        let diff_ids = vec![self.layer.diff_id().expect("it has one")];
        let document = |bytes: &[u8]| match bytes {
            b"config" => {
                let diff_ids = diff_ids.clone();
                Some(Document::Config { diff_ids, built: None, architecture: None, os: None })
            }
            b"manifest" => Some(Document::Manifest { config: self.image, layers: vec![(Digest::of(b"a blob"), 6)] }),
            _ => None,
        };
        let layer = |blob: &mut (dyn Read + Send)| blob.read_to_end(&mut Vec::new()).map(|_| holds);
        let path = self.fixture.store.path();
        let rebuilt = Store::options().rebuild_with(path, &document, &layer, Progress::none()).expect("rebuilt");
        (rebuilt, Store::open(path).expect("opened"))
    }
}

#[test]
fn root_a_rebuild_finds_kept_blobs_again_by_the_manifest() {
    require_root!();
    let lost = Lost::new();
    let (rebuilt, store) = lost.rebuild(lost.layer.diff_id().expect("it has one"));
    assert!(!rebuilt.lost.iter().any(|lost| lost.contains("blob")), "{:?}", rebuilt.lost);
    assert!(rebuilt.repaired.left.is_empty(), "{:?}", rebuilt.repaired.left);
    assert_eq!(store.usage().expect("added up").kept_blobs, lost.usage.kept_blobs);
    let layer = store.layer(&lost.layer.id().to_string()).expect("there");
    assert_eq!(read(&layer, b"a blob").expect("kept"), b"a blob");
    assert_eq!(layer.blob(&Digest::of(b"other")).expect_err("not kept").kind(), ErrorKind::NotFound);
}

#[test]
fn root_a_rebuild_takes_no_blob_for_a_layers_that_is_damaged_or_holds_another_layer() {
    require_root!();
    for (spoils, says) in [(false, format!("it holds layer {}", Digest::of(b"x"))), (true, "other bytes".to_owned())] {
        let lost = Lost::new();
        let holds = if spoils { lost.layer.diff_id().expect("it has one") } else { Digest::of(b"x") };
        if spoils {
            fs::write(lost.fixture.blob_path(b"a blob"), "a blot").expect("spoilt");
        }
        let (rebuilt, store) = lost.rebuild(holds);
        let blob = Digest::of(b"a blob").to_string();
        let told = rebuilt.lost.iter().find(|lost| lost.contains(&blob)).expect("it is listed");
        assert!(told.contains(&says), "{told}");
        assert_eq!(rebuilt.images, [lost.image]);
        assert_eq!(store.layer(&lost.layer.id().to_string()).expect("there").blobs(), []);
    }
}
