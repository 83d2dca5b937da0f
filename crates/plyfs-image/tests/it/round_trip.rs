//! What went in comes out.

use std::io::Read;
use std::ops::ControlFlow;
use std::sync::OnceLock;

use plyfs_image::{Archive, Compression, Format, Source};
use plyfs_store::{Progress, PruneOptions, Stage, Step};
use plyfs_testkit::images::{self, many_layers};
use plyfs_testkit::{require_root, require_tool};

use crate::support::{Place, layers_of_docker_archive};

const FORMATS: [Format; 3] = [Format::DockerArchive, Format::OciArchive, Format::OciLayout];
const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

#[test]
fn root_every_form_of_an_image_gives_the_same_image_and_the_same_layer_archives() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo");
    let awkward = images::awkward();
    let expected = layers_of_docker_archive(&awkward.docker_archive());
    let mut ids = Vec::new();
    for form in [
        awkward.docker_archive(),
        awkward.oci_archive(),
        awkward.oci_layout(),
        awkward.zstd_archive(),
        awkward.zstd_layout(),
    ] {
        let place = Place::new();
        let loaded = place.load(&form);
        assert_eq!(loaded.len(), 1, "{}", form.display());
        ids.push(loaded[0].image.id());
        let saved = place.save(&[&loaded[0].image], Format::DockerArchive, Compression::None, "out.tar");
        assert_eq!(layers_of_docker_archive(&saved), expected, "the layers of {}", form.display());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "every form has the same config");
}

#[test]
fn root_layers_are_kept_from_removal_until_all_of_them_are_saved() {
    require_root!();
    let place = Place::new();
    let image = place.load(many_layers(3).docker_archive()).remove(0).image;
    let whole =
        std::fs::read(place.save(&[&image], Format::DockerArchive, Compression::None, "whole.tar")).expect("read");
    let removed = OnceLock::new();
    let remove = |step: &Step<'_>| {
        if step.stage == Stage::Save {
            removed.get_or_init(|| place.store.remove_image(&image).expect("removed, but for what is read"));
        }
        ControlFlow::Continue(())
    };
    let mut saved = Vec::new();
    plyfs_image::save(&place.store, &[&image], Archive::docker(&mut saved), Progress::new(&remove)).expect("saved");
    assert!(saved == whole, "every layer is there");
    let pruned = removed.into_inner().expect("removed in the middle");
    assert_eq!((pruned.images.len(), pruned.layers.len(), pruned.kept.len()), (1, 0, 1), "{pruned:?}");
    place.store.prune(PruneOptions::new()).expect("now they go");
    place.assert_untouched();
}

#[test]
fn root_what_is_saved_in_any_format_and_compression_loads_as_the_same_image_with_its_name() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo");
    let awkward = images::awkward();
    let place = Place::new();
    let image = place.load(awkward.docker_archive()).remove(0).image;
    for format in FORMATS {
        for compression in COMPRESSIONS {
            let saved = place.save(&[&image], format, compression, &format!("{format}-{compression}"));
            let other = Place::new();
            let again = other.load(&saved).remove(0);
            assert_eq!(again.image.id(), image.id(), "{format}, {compression}");
            assert_eq!(again.names, image.names(), "{format}, {compression}");
            let bytes = other.save(&[&again.image], Format::DockerArchive, Compression::None, "out.tar");
            let expected = layers_of_docker_archive(&awkward.docker_archive());
            assert_eq!(layers_of_docker_archive(&bytes), expected, "{format}, {compression}");
        }
    }
}

#[test]
fn root_the_same_images_give_the_same_archive_whatever_the_store_and_its_threads() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo");
    // Two that share their layers, and one of layers that many threads have something to do with.
    let sources = [images::many_layers(12).oci_archive(), images::many_layers(7).oci_archive()];
    let sources = sources.into_iter().chain([images::awkward().oci_archive()]).collect::<Vec<_>>();
    let places: Vec<_> = [0, 1, 5].iter().map(|threads| Place::with_threads(*threads)).collect();
    let loaded: Vec<Vec<_>> = places
        .iter()
        .enumerate()
        .map(|(number, place)| {
            let mut order: Vec<_> = (0..sources.len()).collect();
            order.rotate_left(number); // whatever came first
            let mut images: Vec<_> = order.iter().map(|at| (*at, place.load(&sources[*at]).remove(0).image)).collect();
            images.sort_by_key(|(at, _)| *at);
            images.into_iter().map(|(_, image)| image).collect()
        })
        .collect();
    for format in FORMATS {
        for compression in COMPRESSIONS {
            let saved = |number: usize, name: &str| {
                let images: Vec<_> = loaded[number].iter().collect();
                content(&places[number].save(&images, format, compression, &format!("{name}-{format}-{compression}")))
            };
            let first = saved(0, "one");
            assert!(first == saved(0, "two"), "{format}, {compression}, once more");
            for other in 1..places.len() {
                assert!(first == saved(other, "one"), "{format}, {compression}, store {other}");
            }
        }
    }
}

/// The bytes of a file, or of every file below a directory, by name.
fn content(path: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut open = vec![path.to_owned()];
    while let Some(next) = open.pop() {
        if next.is_dir() {
            open.extend(std::fs::read_dir(&next).expect("listed").map(|entry| entry.expect("an entry").path()));
        } else {
            let name = next.strip_prefix(path).expect("below it").display().to_string();
            files.push((name, std::fs::read(&next).expect("readable")));
        }
    }
    files.sort();
    files
}

#[test]
fn root_a_pipe_and_an_archive_compressed_as_a_whole_load_too() {
    require_root!();
    let many = images::many_layers(3);
    let plain = std::fs::read(many.docker_archive()).expect("readable");
    let gzip = plyfs_testkit::oci::Compression::Gzip.apply(&plain);
    let zstd = plyfs_testkit::oci::Compression::Zstd.apply(&plain);
    for bytes in [plain, gzip, zstd] {
        let place = Place::new();
        // A reader that gives little at a time, as a pipe may.
        let dribble = Dribble(&bytes);
        let loaded = plyfs_image::load(&place.store, Source::reader(dribble), Progress::none()).expect("loaded");
        assert_eq!(loaded[0].names[0].as_str(), many.name());
        let staging = place.store.path().join("staging");
        assert_eq!(std::fs::read_dir(staging).expect("listed").count(), 0, "what was kept meanwhile is gone");
        let path = place.temp.join("a.tar");
        std::fs::write(&path, &bytes).expect("written");
        assert_eq!(place.load(&path)[0].image.id(), loaded[0].image.id(), "from a file it is the same");
    }
}

struct Dribble<'a>(&'a [u8]);

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(777);
        self.0.read(&mut buffer[..most])
    }
}
