//! The look-ups that follow from the records: what is missing is written anew, what follows from nothing taken out.

use plyfs_store::{ChainId, CheckOptions, FindingKind, LayerId, Progress, Severity};
use plyfs_testkit::require_root;

use super::{Broken, kinds, repairs};
use crate::archive;

#[test]
fn root_look_ups_are_written_anew_from_the_records_they_follow_from() {
    require_root!();
    let lost = |it: &Broken, key: &[&[u8]]| it.journal(key, None);
    let (error, warning) = (Severity::Error, Severity::Warning);
    let missing = FindingKind::RelationMissing;
    repairs(error, missing, |it| lost(it, &[b"u", it.base.id().as_bytes(), b"l", it.top.id().as_bytes()]));
    repairs(error, missing, |it| lost(it, &[b"u", it.top.id().as_bytes(), b"i", it.image.id().as_bytes()]));
    repairs(error, missing, |it| lost(it, &[b"u", it.top.id().as_bytes(), b"c", it.container.id().as_bytes()]));
    repairs(error, missing, |it| lost(it, &[b"c", it.top.chain_id().expect("known").as_bytes()]));
    repairs(error, missing, |it| {
        it.journal(&[b"c", it.top.chain_id().expect("known").as_bytes()], Some(LayerId::random().as_bytes()));
    });
    repairs(error, missing, |it| {
        let (chain, [_, second]) = one_chain_twice(it);
        lost(it, &[b"c", chain.as_bytes(), second.as_bytes()]);
    });
    repairs(error, missing, |it| lost(it, &[b"d", it.container.id().as_bytes()]));
    repairs(error, missing, |it| lost(it, &[b"x", it.image.id().as_bytes(), it.container.id().as_bytes()]));
    repairs(error, missing, |it| lost(it, &[b"i", it.image.id().as_bytes(), b"svc:1"]));
    let other = LayerId::random();
    let stray = FindingKind::RelationStray;
    repairs(warning, stray, |it| it.journal(&[b"u", it.base.id().as_bytes(), b"l", other.as_bytes()], Some(b"")));
    repairs(warning, stray, |it| it.journal(&[b"c", other.as_bytes()], Some(other.as_bytes())));
    repairs(warning, stray, |it| {
        it.journal(&[b"c", it.top.chain_id().expect("known").as_bytes(), other.as_bytes()], Some(b""));
    });
    repairs(error, stray, |it| it.journal(&[b"t", b"gone:1"], Some(other.as_bytes())));
}

#[test]
fn root_a_look_up_of_any_kind_that_follows_from_no_record_is_taken_out() {
    require_root!();
    let it = Broken::new();
    let (gone, lease) = (LayerId::random(), plyfs_store::LinkId::random());
    let (gone, lease) = (&gone.as_bytes()[..], lease.as_str().as_bytes());
    let keys: [&[&[u8]]; 10] = [
        &[b"i", gone, b"gone:1"],
        &[b"d", gone],
        &[b"x", gone, gone],
        &[b"k", gone],
        &[b"y", gone, gone],
        &[b"f", gone, gone],
        &[b"p", gone, gone],
        &[b"h", lease, b"l", gone],
        &[b"h", lease, b"i", gone],
        &[b"z", gone, lease],
    ];
    keys.into_iter().for_each(|key| it.journal(key, Some(gone)));
    assert_eq!(kinds(&it.found()), [(Severity::Warning, FindingKind::RelationStray); 10], "{:?}", it.found());

    let repaired = it.store().repair(&CheckOptions::quick(), Progress::none()).expect("repaired");

    assert_eq!((repaired.acts.len(), repaired.left.len()), (10, 0), "{repaired:?}");
    assert_eq!(it.found(), []);
}

/// Publishes two layers that are one chain, as two commits at once do that changed the same.
fn one_chain_twice(it: &Broken) -> (ChainId, [LayerId; 2]) {
    let archive = archive(&[("same", "1")]);
    let mut building = [(); 2].map(|()| it.store().operation().expect("an operation"));
    let applied = building.each_mut().map(|operation| {
        operation.apply(&mut archive.as_slice(), Some(it.base.id()), None).expect("nobody has published it yet")
    });
    building.into_iter().for_each(|operation| operation.publish().expect("published"));
    (applied[0].chain_id, applied.map(|layer| layer.id))
}

#[test]
fn root_of_two_layers_that_are_one_chain_and_are_not_found_one_is_found_again_and_then_the_other() {
    require_root!();
    let it = Broken::new();
    let (chain, both) = one_chain_twice(&it);
    it.journal(&[b"c", chain.as_bytes()], None);
    it.journal(&[b"c", chain.as_bytes(), both[1].as_bytes()], None);
    let missing = [(Severity::Error, FindingKind::RelationMissing); 2];
    assert_eq!(kinds(&it.found()), missing, "{:?}", it.found());

    it.store().repair(&CheckOptions::quick(), Progress::none()).expect("repaired");

    assert_eq!(it.found(), []);
    let mut found = both.map(|_| {
        let found = it.store().chain(&chain).expect("looked up").expect("one of them");
        it.store().layer(&found.to_string()).and_then(|layer| it.store().remove_layer(&layer)).expect("removed");
        found
    });
    found.sort();
    assert!(both.iter().all(|layer| found.contains(layer)), "{found:?}, {both:?}");
}
