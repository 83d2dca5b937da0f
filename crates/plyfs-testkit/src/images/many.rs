//! Images of very many layers, written by hand: no builder would be done in time.

use super::{Image, cached};
use crate::oci::{Compression, LayerTar, Plain};

/// An image of `n` tiny layers, the same bytes each time; needs no privilege to make.
///
/// Layer `i` (from 0) adds `layers/<i>` and overwrites `top`, both holding the number in decimal digits, and deletes
/// `layers/<i - 1>` where `i` is divisible by 10. So the mounted tree tells that every layer is there and in order.
/// Neither docker (125 layers) nor podman 4.3 mounts 400; umoci unpacks, and the kernel mounts, up to 500.
#[must_use]
#[track_caller]
pub fn many_layers(n: usize) -> Image {
    let name = format!("localhost/plyfs-many:{n}");
    let dir = cached(&format!("many-{n}"), |dir| {
        let image = Plain::new(&name, (0..n).map(layer).collect());
        image.write_docker_archive(&dir.join("docker.tar"));
        for (compression, word) in [(Compression::Gzip, "oci"), (Compression::Zstd, "zstd")] {
            image.write_oci_layout(compression, &dir.join(word));
            image.write_oci_archive(compression, &dir.join(format!("{word}.tar")));
        }
    });
    Image { dir, name }
}

fn layer(i: usize) -> Vec<u8> {
    let number = i.to_string();
    let mut tar = LayerTar::new().dir("layers").file(format!("layers/{i}"), &number).file("top", &number);
    if i > 0 && i.is_multiple_of(10) {
        tar = tar.whiteout("layers", &(i - 1).to_string());
    }
    tar.finish()
}
