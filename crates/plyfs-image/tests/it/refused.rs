//! Bad archives: one clear error, and nothing left.

use plyfs_image::ErrorKind;
use plyfs_testkit::images::{hostile, many_layers, spoil};
use plyfs_testkit::oci::{Compression, LayerTar, Plain, read_archive, write_archive};
use plyfs_testkit::require_root;

use crate::build::layer;
use crate::support::{Place, story};

#[test]
fn root_a_spoilt_archive_is_refused_names_what_is_wrong_and_leaves_nothing() {
    require_root!();
    let many = many_layers(3);
    for (form, good) in [("docker", many.docker_archive()), ("gzip", many.oci_archive()), ("zstd", many.zstd_archive())]
    {
        for (what, spoil) in spoil::ALL {
            let place = Place::new();
            let bad = place.temp.join("bad.tar");
            spoil(&good, &bad);
            let error = place.try_load(&bad).expect_err(what);
            let story = story(&error);
            let no_json = what.contains("no JSON") || (*what == "missing manifest" && form == "docker");
            let kind = if no_json { ErrorKind::InvalidInput } else { ErrorKind::Corrupt };
            assert_eq!(error.kind(), kind, "{form}, {what}: {story}");
            assert!(story.contains("bad.tar"), "{form}, {what}: {story}");
            let names_it = ["sha256", ".tar", "manifest.json", "config", "cut off"];
            assert!(names_it.iter().any(|word| story.replace("bad.tar", "").contains(word)), "{form}, {what}: {story}");
            place.assert_untouched();
        }
    }
}

#[test]
fn root_a_layer_that_attacks_is_refused_and_leaves_nothing() {
    require_root!();
    for (what, layer) in hostile::refused() {
        let place = Place::new();
        let bad = place.temp.join("bad.tar");
        Plain::new("localhost/bad:1", vec![layer]).write_oci_archive(Compression::Gzip, &bad);
        let error = place.try_load(&bad).expect_err(what);
        let kinds = [ErrorKind::InvalidInput, ErrorKind::Corrupt, ErrorKind::Unsupported];
        assert!(kinds.contains(&error.kind()), "{what}: {:?} {}", error.kind(), story(&error));
        place.assert_untouched();
    }
}

#[test]
fn root_a_member_that_climbs_is_refused_and_named() {
    require_root!();
    let place = Place::new();
    let bad = place.temp.join("bad.tar");
    let mut members = read_archive(&many_layers(3).docker_archive());
    members.push(("../../plyfs-escaped".into(), b"x".to_vec()));
    write_archive(&bad, &members);
    let error = place.try_load(&bad).expect_err("climbs");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(story(&error).contains("member \"../"), "{}", story(&error));
    place.assert_untouched();
}

#[test]
fn root_an_archive_cannot_give_its_image_the_id_of_another_for_a_name() {
    require_root!();
    let place = Place::new();
    let archive = place.temp.join("image.tar");
    Plain::new("localhost/good:1", vec![layer("good")]).write_oci_archive(Compression::Gzip, &archive);
    let good = place.load(&archive).remove(0).image;
    for name in [good.id().to_string(), good.id().hex()] {
        Plain::new(&name, vec![layer("evil")]).write_docker_archive(&archive);
        let error = place.try_load(&archive).expect_err("no name");
        assert_eq!((error.kind(), story(&error).contains("reads as an id")), (ErrorKind::InvalidInput, true));
        Plain::new(&name, vec![layer("evil")]).write_oci_archive(Compression::Gzip, &archive);
        let loaded = place.load(&archive).remove(0);
        assert_eq!((loaded.names.len(), loaded.skipped.len()), (0, 1), "it comes in without a name: {loaded:?}");
        assert_eq!(place.store.image(&name).expect("the one of this id").id(), good.id());
    }
}

#[test]
fn root_a_second_image_that_is_bad_keeps_the_first_one_out() {
    require_root!();
    let place = Place::new();
    let bad = place.temp.join("bad.tar");
    let [mut members, other] = [3, 4].map(|layers| read_archive(&many_layers(layers).docker_archive()));
    let entries = |members: &[(String, Vec<u8>)]| -> Vec<serde_json::Value> {
        let found = members.iter().find(|(name, _)| name == "manifest.json").expect("there");
        serde_json::from_slice(&found.1).expect("json")
    };
    let both = [entries(&members), entries(&other)].concat();
    let last = both[1]["Layers"][3].as_str().expect("a name").to_owned();
    for (name, mut bytes) in other {
        if name == last {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        members.push((name, bytes));
    }
    members.retain(|(name, _)| name != "manifest.json");
    members.push(("manifest.json".into(), serde_json::to_vec(&both).expect("json")));
    write_archive(&bad, &members);
    let error = place.try_load(&bad).expect_err("the second is bad");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(story(&error).contains("localhost/plyfs-many:4"), "{}", story(&error));
    place.assert_untouched();
}

#[test]
fn root_few_layers_do_not_make_more_chains_than_a_load_takes() {
    require_root!();
    let place = Place::new();
    let path = place.temp.join("many.tar");
    let (mut members, mut entries) = (Vec::new(), Vec::new());
    for number in 0..33 {
        let own = LayerTar::new().file("number", number.to_string()).finish();
        let layers = [vec![own], vec![LayerTar::new().finish(); 499]].concat();
        for (name, bytes) in Plain::new(&format!("localhost/many:{number}"), layers).docker_members() {
            match name.as_str() {
                "manifest.json" => {
                    let listed: Vec<serde_json::Value> = serde_json::from_slice(&bytes).expect("json");
                    entries.extend(listed);
                }
                _ if number > 0 && members.iter().any(|(known, _)| *known == name) => {}
                _ => members.push((name, bytes)),
            }
        }
    }
    members.push(("manifest.json".into(), serde_json::to_vec(&entries).expect("json")));
    write_archive(&path, &members);
    let error = place.try_load(&path).expect_err("33 times 500 layers");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(story(&error).contains("16500 layers of all images"), "{}", story(&error));
    place.assert_untouched();
}

#[test]
fn what_is_not_there_is_not_found() {
    let error = plyfs_image::Source::path("/no/such/archive.tar").expect_err("absent");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "open /no/such/archive.tar");
}
