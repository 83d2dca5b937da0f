//! What may be removed, what goes with it, and what holds it.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use plyfs_store::{
    CheckOptions, ContainerOptions, ErrorKind, LayerId, LeaseOptions, NewImage, PruneOptions, Removal, Store,
};
use plyfs_testkit::require_root;

use crate::{Fixture, archive};

#[test]
fn root_removing_an_image_takes_the_layers_only_it_stood_on() {
    require_root!();
    let fixture = Fixture::new();
    let base = fixture.layer(None, &[("a", "1")]);
    let left = fixture.layer(Some(&base), &[("b", "2")]);
    let right = fixture.layer(Some(&base), &[("c", "3")]);
    let image = fixture.image("{\"l\":1}", Some(&left), &["left:1"]);
    let other = fixture.image("{\"r\":1}", Some(&right), &["right:1"]);

    let pruned = fixture.store.remove_image(&image).expect("removed");
    assert_eq!(pruned.layers, [left.id()]);
    assert_eq!(pruned.reclaimed, left.usage());
    assert_eq!(fixture.store.image("left:1").expect_err("its name too").kind(), ErrorKind::NotFound);
    assert_eq!(fixture.store.blob(&image.id()).expect_err("its config too").kind(), ErrorKind::NotFound);

    let pruned = fixture.store.remove_image(&other).expect("removed");
    assert_eq!(pruned.layers, [right.id(), base.id()], "children before parents");
    fixture.store.reap().expect("reaped");
    let left: Vec<_> = fixture.names().into_iter().filter(|name| name.contains('/')).collect();
    assert_eq!(left, ["blobs/sha256", "overlay2/l"]);
}

#[test]
fn root_an_image_goes_with_its_last_name_and_not_with_one_that_was_the_last_when_it_was_found() {
    require_root!();
    let fixture = Fixture::new();
    let base = fixture.layer(None, &[("a", "1")]);
    let image = fixture.image("{}", Some(&base), &["first:1"]);
    let [first, second] = ["first:1", "second:1"].map(|name| name.parse().expect("a name"));
    // By somebody else, behind the look-up.
    fixture.store.tag(&image, &second).expect("tagged");

    let pruned = fixture.store.remove_image_name(&image, &first).expect("taken");

    assert_eq!((pruned.images, pruned.layers), (vec![], vec![]), "it has a name");
    let error = fixture.store.remove_image_name(&image, &first).expect_err("taken already");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let other = fixture.image("{\"o\":1}", Some(&base), &["first:1"]);
    let error = fixture.store.remove_image_name(&image, &first).expect_err("another image's");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(fixture.store.image("first:1").expect("it stays").id(), other.id());
    let pruned = fixture.store.remove_image_name(&image, &second).expect("taken");
    assert_eq!(pruned.images, [image.id()], "the last one takes the image");
}

#[test]
fn root_a_name_given_while_the_last_one_goes_keeps_the_image_or_is_refused() {
    require_root!();
    let fixture = Fixture::new();
    let [first, second] = ["first:1", "second:1"].map(|name| name.parse().expect("a name"));
    for round in 0..30 {
        // The image takes its layer along where it goes.
        let base = fixture.layer(None, &[("a", "1")]);
        let image = fixture.image(&format!("{{\"r\":{round}}}"), Some(&base), &["first:1"]);
        let tagged = std::thread::scope(|scope| {
            let tagged = scope.spawn(|| fixture.store.tag(&image, &second));
            fixture.store.remove_image_name(&image, &first).expect("its own name");
            tagged.join().expect("no panic")
        });
        match (tagged, fixture.store.image("second:1")) {
            (Ok(()), Ok(kept)) => {
                assert_eq!(kept.id(), image.id());
                fixture.store.remove_image_name(&kept, &second).expect("its own name");
            }
            (Err(error), Err(absent)) => {
                assert_eq!((error.kind(), absent.kind()), (ErrorKind::NotFound, ErrorKind::NotFound));
            }
            other => panic!("round {round}: a name was given and lost: {other:?}"),
        }
    }
}

#[test]
fn root_what_is_in_use_is_named_and_stays() {
    require_root!();
    let fixture = Fixture::new();
    let base = fixture.layer(None, &[("a", "1")]);
    let top = fixture.layer(Some(&base), &[("b", "2")]);
    let image = fixture.image("{}", Some(&top), &["svc:1"]);
    let container =
        fixture.store.create(&image, ContainerOptions::new().name("web-1".parse().expect("a name"))).expect("created");
    let mount = container.mount(&plyfs_store::MountOptions::new()).expect("mounted");

    let error = fixture.store.remove_image(&image).expect_err("a container stands on it");
    assert_eq!((error.kind(), error.to_string().contains("web-1")), (ErrorKind::InUse, true), "{error}");
    let error = fixture.store.remove_layer(&base).expect_err("a layer stands on it");
    assert_eq!((error.kind(), error.to_string().contains(&top.id().to_string())), (ErrorKind::InUse, true));
    let error = container.remove(Removal::Unmounted).expect_err("it is mounted");
    assert_eq!((error.kind(), error.to_string().contains("merged")), (ErrorKind::InUse, true), "{error}");

    mount.unmount().expect("unmounted");
    container.remove(Removal::Unmounted).expect("now it goes");
    fixture.store.remove_image(&image).expect("and the image");
}

#[test]
fn root_prune_takes_what_nothing_uses_and_no_more() {
    require_root!();
    let fixture = Fixture::new();
    let base = fixture.layer(None, &[("a", "1")]);
    let loose = fixture.layer(Some(&base), &[("b", "2")]);
    let named = fixture.image("{\"n\":1}", Some(&base), &["svc:1"]);
    let nameless = fixture.image("{\"n\":2}", Some(&base), &[]);

    let pruned = fixture.store.prune(PruneOptions::new()).expect("pruned");
    assert_eq!((pruned.layers, pruned.images), (vec![loose.id()], vec![]));
    let pruned = fixture.store.prune(PruneOptions::new().all(true)).expect("pruned");
    assert_eq!((pruned.layers, pruned.images), (vec![], vec![nameless.id()]));
    fixture.store.image_by_id(&named.id()).expect("still there");
    assert!(fixture.store.check(plyfs_store::CheckOptions::data()).expect("checked").is_empty());
}

#[test]
fn root_a_layer_that_is_read_or_built_upon_is_not_pruned() {
    require_root!();
    let fixture = Fixture::new();
    let (read, built) = (fixture.layer(None, &[("a", "1")]), fixture.layer(None, &[("b", "2")]));
    let reader = read.archive().expect("open");
    let mut operation = fixture.store.operation().expect("an operation");
    let bytes = archive(&[("c", "3")]);
    operation.apply(&mut bytes.as_slice(), Some(built.id()), None).expect("applied");

    let pruned = fixture.store.prune(PruneOptions::new()).expect("pruned");
    let mut kept: Vec<_> = pruned.kept.iter().map(ToString::to_string).collect();
    kept.sort();
    let mut expected =
        [format!("layer {} is being read", read.id()), format!("layer {} is being built upon", built.id())];
    expected.sort();
    assert_eq!((pruned.layers, kept.as_slice()), (vec![], expected.as_slice()));

    drop(reader);
    operation.publish().expect("its parent is still there");
    let pruned = fixture.store.prune(PruneOptions::new()).expect("pruned");
    assert_eq!(pruned.layers.len(), 3);
}

#[test]
fn root_a_removal_cut_short_is_finished_by_the_next_open() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.layer(None, &[("a", "1")]);
    let (link, dir) = (layer.link(), fixture.directory(layer.id()));
    let record = fixture.store.path().join("tarsplit").join(layer.id().to_string());
    let kept = fixture.dir.join("kept");
    fs::copy(&record, &kept).expect("copied");
    fixture.store.remove_layer(&layer).expect("removed");
    // As if the crash came after the record and before the renames.
    fs::rename(fixture.store.path().join("trash").join(layer.id().to_string()), &dir).expect("put back");
    std::os::unix::fs::symlink(
        format!("../{}/diff", layer.id()),
        fixture.store.path().join("overlay2/l").join(link.as_str()),
    )
    .expect("put back");
    fs::rename(&kept, &record).expect("put back");

    let store = plyfs_store::Store::open(fixture.store.path()).expect("opened");

    assert!(!dir.exists() && !record.exists());
    assert!(store.check(plyfs_store::CheckOptions::quick()).expect("checked").is_empty());
    store.reap().expect("reaped");
    let left: Vec<_> = fixture.names().into_iter().filter(|name| name.contains('/')).collect();
    assert_eq!(left, ["blobs/sha256", "overlay2/l"]);
}

#[test]
fn root_a_manifest_that_no_image_took_up_is_not_left_behind() {
    require_root!();
    let fixture = Fixture::new();
    let load = |manifest: &[u8]| {
        let mut operation = fixture.store.operation().expect("an operation");
        let (id, manifest) = (operation.blob(b"{}").expect("staged"), operation.blob(manifest).expect("staged"));
        operation.image(plyfs_store::NewImage {
            id,
            top: None,
            manifest: Some(manifest),
            names: Vec::new(),
            built: None,
            architecture: None,
            os: None,
        });
        operation.publish().expect("published");
        id
    };
    let id = load(b"as it came first");
    let before = fixture.names();

    load(b"the same image in another compression");
    fixture.store.reap().expect("reaped");

    assert_eq!(fixture.names(), before, "an image keeps the manifest it came with");
    let image = fixture.store.image_by_id(&id).expect("found");
    fixture.store.blob(&image.manifest_digest().expect("it has one")).expect("still there");
    fixture.store.remove_image(&image).expect("removed");
    fixture.store.reap().expect("reaped");
    assert_eq!(fixture.names().iter().filter(|name| name.starts_with("blobs/sha256/")).count(), 0);
}

#[test]
fn root_one_layer_that_cannot_go_does_not_keep_the_others_and_the_next_prune_takes_it() {
    require_root!();
    let fixture = Fixture::new();
    // More than one journal record retracts at once, in chains and beside each other.
    let mut chain = fixture.layer(None, &[("base", "0")]);
    for number in 1..40 {
        chain = fixture.layer(Some(&chain), &[("a", &number.to_string())]);
    }
    let beside: Vec<_> = (0..40).map(|number| fixture.layer(None, &[("b", &number.to_string())])).collect();
    let stuck = &beside[20];
    // A mount on the directory itself, which no rename gets past.
    let bind = fixture.dir.dir("bind");
    let status =
        std::process::Command::new("mount").arg("--bind").arg(&bind).arg(fixture.directory(stuck.id())).status();
    assert!(status.expect("mount(8)").success());
    let mounted = plyfs_testkit::temp::Mounted::at(fixture.directory(stuck.id()));

    let pruned = fixture.store.prune(PruneOptions::new()).expect("pruned");

    assert_eq!(pruned.layers.len(), 80, "all are retracted, in two records or more");
    assert_eq!(pruned.kept.len(), 1, "{:?}", pruned.kept);
    let text = pruned.kept[0].to_string();
    assert!(text.starts_with(&format!("layer {} is gone but still takes space", stuck.id())), "{text}");
    assert_eq!(fixture.store.reap().expect_err("still stuck").kind(), ErrorKind::Busy);
    drop(mounted);
    fixture.store.reap().expect("reaped");
    let left: Vec<_> = fixture.names().into_iter().filter(|name| name.contains('/')).collect();
    assert_eq!(left, ["blobs/sha256", "overlay2/l"]);
}

#[test]
fn root_a_dry_run_says_what_a_prune_then_takes_and_touches_nothing() {
    require_root!();
    let fixture = Fixture::new();
    let base = fixture.layer(None, &[("a", "1")]);
    let named = fixture.layer(Some(&base), &[("b", "2")]);
    let (lower, upper) = (fixture.layer(Some(&base), &[("c", "3")]), fixture.layer(None, &[("d", "4")]));
    let top = fixture.layer(Some(&lower), &[("e", "5")]);
    fixture.image("{\"n\":1}", Some(&named), &["svc:1"]);
    let nameless = fixture.image("{\"n\":2}", Some(&top), &[]);
    let lease = fixture.store.lease(std::time::Duration::from_secs(60)).expect("a lease");
    let leased = fixture.layer(None, &[("f", "6")]);
    lease.hold(&leased).expect("held");
    let before = fixture.names();

    for all in [false, true] {
        let told = fixture.store.prune(PruneOptions::new().all(all).dry_run(true)).expect("told");
        assert_eq!(fixture.names(), before);
        assert_eq!(told.kept.len(), 1, "the leased layer: {:?}", told.kept);
        if !all {
            assert_eq!((&told.layers[..], &told.images[..]), (&[upper.id()][..], &[][..]));
            continue;
        }
        let mut taken = fixture.store.prune(PruneOptions::new().all(true)).expect("pruned");
        let mut told = told;
        told.layers.sort();
        taken.layers.sort();
        assert_eq!(told, taken);
        assert_eq!((taken.layers.len(), &taken.images[..]), (3, &[nameless.id()][..]));
    }
}

#[test]
fn root_a_prune_takes_only_what_is_old_enough_or_what_was_chosen() {
    require_root!();
    let fixture = Fixture::new();
    let base = fixture.layer(None, &[("a", "1")]);
    let loose = fixture.layer(None, &[("b", "2")]);
    let (one, other) = (fixture.layer(Some(&base), &[("c", "3")]), fixture.layer(Some(&base), &[("d", "4")]));
    let one_image = fixture.image("{\"n\":1}", Some(&one), &[]);
    let other_image = fixture.image("{\"n\":2}", Some(&other), &[]);

    let young = PruneOptions::new().all(true).added_before(loose.created_unix());
    let pruned = fixture.store.prune(young).expect("pruned");
    assert_eq!(pruned, plyfs_store::Pruned::default(), "nothing came before");

    let pruned = fixture.store.prune(PruneOptions::new().only([one_image.id()])).expect("pruned");
    assert_eq!((&pruned.images[..], &pruned.layers[..]), (&[one_image.id()][..], &[one.id()][..]));

    let old = PruneOptions::new().all(true).added_before(other_image.added_unix() + 1);
    let mut pruned = fixture.store.prune(old).expect("pruned");
    pruned.layers.sort();
    let mut rest = vec![base.id(), loose.id(), other.id()];
    rest.sort();
    assert_eq!((&pruned.images[..], pruned.layers), (&[other_image.id()][..], rest));
}

#[test]
fn root_an_image_that_is_removed_while_it_comes_again_is_there_in_the_end() {
    require_root!();
    static REMOVER: OnceLock<Store> = OnceLock::new();
    // Between the blob that was found in its place and the record that needs it; the second time there is no image.
    let remove = |step: &str| {
        if let ("publish 3", Some(store)) = (step, REMOVER.get())
            && let Ok(image) = store.image("app:1")
        {
            store.remove_image(&image).expect("removed");
            store.reap().expect("reaped");
        }
    };
    let fixture = Fixture::new();
    let image = fixture.image("{}", None, &["app:1"]);
    let store = Store::options().at_each_step(remove).open(fixture.store.path()).expect("opened");
    REMOVER.get_or_init(|| fixture.store.clone());

    let mut again = store.operation().expect("begun");
    let id = again.blob(b"{}").expect("staged");
    let names = vec!["app:1".parse().expect("a name")];
    again.image(NewImage { id, top: None, manifest: None, names, built: None, architecture: None, os: None });
    again.publish().expect("published");

    assert_eq!(store.image("app:1").expect("it is there").id(), image.id());
    assert_eq!(store.blob(&id).expect("with its config"), b"{}");
    assert_eq!(store.check(CheckOptions::data()).expect("checked"), []);
}

#[test]
fn root_an_image_that_is_named_or_used_while_a_prune_is_at_work_stays() {
    require_root!();
    static OTHER: OnceLock<Store> = OnceLock::new();
    // Behind the first of two batches, when all were marked and some are there still: one gets a name, one a container, one a
    // lease.
    let save = |step: &str| {
        let Some(store) = OTHER.get().filter(|_| step == "remove 1") else { return };
        let left = store.images().expect("listed");
        let (false, Some([named, used, leased, ..])) = (left.len() > 10, left.get(..3)) else { return };
        if named.names().is_empty() {
            store.tag(named, &"kept:1".parse().expect("a name")).expect("tagged");
            store.create(used, ContainerOptions::new()).expect("created");
            let lease = LeaseOptions::new(Duration::from_secs(60)).survives_holder(true);
            store.lease(lease).and_then(|lease| lease.hold_image(leased)).expect("leased");
        }
    };
    let fixture = Fixture::new();
    for number in 0..70 {
        fixture.image(&format!("{{\"number\":{number}}}"), None, &[]);
    }
    let store = Store::options().at_each_step(save).open(fixture.store.path()).expect("opened");
    OTHER.get_or_init(|| fixture.store.clone());

    let pruned = store.prune(PruneOptions::new().all(true)).expect("pruned");

    assert_eq!((pruned.images.len(), store.images().expect("listed").len()), (67, 3), "removed, and left");
    assert!(store.image("kept:1").is_ok() && store.containers().expect("listed").len() == 1);
    store.reap().expect("reaped");
    assert_eq!(store.check(CheckOptions::data()).expect("checked"), []);
}

#[test]
fn root_an_image_over_a_layer_that_was_removed_meanwhile_is_refused_and_nothing_is_left() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.layer(None, &[("a", "1")]);
    let mut operation = fixture.store.operation().expect("an operation");
    let id = operation.blob(b"{}").expect("staged");
    let names = vec!["late:1".parse().expect("a name")];
    let top = Some(layer.id());
    operation.image(NewImage { id, top, manifest: None, names, built: None, architecture: None, os: None });
    fixture.store.remove_layer(&layer).expect("nothing says that it is used");

    let error = operation.publish().expect_err("it is gone");

    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.to_string().contains(&layer.id().to_string()), "{error}");
    assert!(fixture.store.images().expect("listed").is_empty() && fixture.store.blob(&id).is_err());
    fixture.store.reap().expect("reaped");
    assert_eq!(fixture.store.check(CheckOptions::data()).expect("checked"), []);
}

#[test]
fn root_a_layer_is_found_by_its_chain_once_the_other_that_is_the_same_chain_is_gone() {
    require_root!();
    let fixture = Fixture::new();
    let base = fixture.layer(None, &[("a", "1")]);
    let archive = archive(&[("b", "2")]);
    for parent in [None, Some(base.id())] {
        let mut building = [(); 3].map(|()| fixture.store.operation().expect("an operation"));
        let applied = building.each_mut().map(|operation| {
            operation.apply(&mut archive.as_slice(), parent, None).expect("nobody has published it yet")
        });
        building.into_iter().for_each(|operation| operation.publish().expect("published"));
        let chain = applied[0].chain_id;
        let layer = |id: LayerId| fixture.store.layer(&id.to_string()).expect("a layer");
        let is_sound = || assert_eq!(fixture.store.check(CheckOptions::quick()).expect("checked"), []);
        assert_eq!(fixture.store.chain(&chain).expect("looked up"), Some(applied[0].id));
        is_sound();

        fixture.store.remove_layer(&layer(applied[0].id)).expect("removed");

        let next = fixture.store.chain(&chain).expect("looked up").expect("one of the others");
        assert!(applied[1..].iter().any(|layer| layer.id == next));
        is_sound();
        let (other, last) = if next == applied[1].id { (applied[2].id, next) } else { (applied[1].id, next) };
        fixture.store.remove_layer(&layer(other)).expect("removed");
        assert_eq!(fixture.store.chain(&chain).expect("looked up"), Some(last), "it was never found by the other");
        fixture.store.remove_layer(&layer(last)).expect("removed");
        assert_eq!(fixture.store.chain(&chain).expect("looked up"), None);
        is_sound();
    }
}
