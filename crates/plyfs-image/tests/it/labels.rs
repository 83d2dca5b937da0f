//! A prune by labels: what it takes, what it tells of, and what it passes over.

use plyfs_image::{LabelFilter, prune_labelled};
use plyfs_store::{ImageId, LayerId, NewImage, Operation, PruneOptions, Subject};
use plyfs_testkit::oci::LayerTar;
use plyfs_testkit::require_root;

use crate::support::Place;

/// Publishes what `stage` stages.
fn publish<T>(place: &Place, stage: impl FnOnce(&mut Operation) -> T) -> T {
    let mut operation = place.store.operation().expect("an operation");
    let staged = stage(&mut operation);
    operation.publish().expect("published");
    staged
}

fn layer(place: &Place, file: &str) -> LayerId {
    let archive = LayerTar::new().file(file, b"1").finish();
    publish(place, |operation| operation.apply(&mut archive.as_slice(), None, None).expect("applied").id)
}

fn image(place: &Place, config: &str, top: Option<LayerId>, names: &[&str]) -> ImageId {
    let names = names.iter().map(|name| name.parse().expect("a name")).collect();
    let (manifest, built, architecture, os) = Default::default();
    publish(place, |operation| {
        let id = operation.blob(config.as_bytes()).expect("staged");
        operation.image(NewImage { id, top, manifest, names, built, architecture, os });
        id
    })
}

#[test]
fn root_a_prune_by_labels_takes_the_nameless_images_that_fit_all_of_them_and_the_layers_of_those() {
    require_root!();
    let place = Place::new();
    let [of_both, of_one, _of_none] = ["a", "b", "c"].map(|file| layer(&place, file));
    let labelled = |labels: &str| format!(r#"{{"config":{{"Labels":{labels}}}}}"#);
    let both = image(&place, &labelled(r#"{"team":"core","old":""}"#), Some(of_both), &[]);
    let one = image(&place, &labelled(r#"{"team":"core"}"#), Some(of_one), &[]);
    let named = image(&place, &labelled(r#"{"team":"core","old":"1"}"#), None, &["named:1"]);
    let [unread, unread_named] =
        [("no JSON", &[][..]), ("none either", &["unread:1"])].map(|(text, names)| image(&place, text, None, names));

    let wanted = [LabelFilter::has("team=core"), LabelFilter::has("old")];
    let pruned = prune_labelled(&place.store, PruneOptions::new(), &wanted).expect("pruned");

    assert_eq!((pruned.images, pruned.layers), (vec![both], vec![of_both]));
    let kept: Vec<_> = pruned.kept.iter().map(|kept| kept.subject).collect();
    assert_eq!(kept, [Subject::Image(unread)], "one with a name was not to go anyway");
    let mut left: Vec<_> = place.store.images().expect("listed").iter().map(plyfs_store::Image::id).collect();
    let mut expected = [one, named, unread, unread_named];
    left.sort();
    expected.sort();
    assert_eq!(left, expected);
    assert_eq!(place.store.layers().expect("listed").len(), 2, "what no image stood on was not asked about");
}
