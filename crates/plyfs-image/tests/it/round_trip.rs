//! What went in comes out.

use std::io::Read;

use plyfs_image::{Compression, Format, Source};
use plyfs_store::Progress;
use plyfs_testkit::images;
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
fn root_the_same_store_gives_the_same_archive() {
    require_root!();
    let many = images::many_layers(12);
    let place = Place::new();
    let image = place.load(many.oci_archive()).remove(0).image;
    for format in [Format::DockerArchive, Format::OciArchive] {
        for compression in COMPRESSIONS {
            let [one, two] = ["one", "two"].map(|name| {
                let path = place.save(&[&image], format, compression, name);
                std::fs::read(path).expect("readable")
            });
            assert!(one == two, "{format}, {compression}");
        }
    }
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
