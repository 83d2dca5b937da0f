//! Layer archives that attack whoever unpacks them.
//!
//! Each is one layer's bytes and its name for messages. Wrapped by [`crate::oci::Plain`] it becomes an image whose
//! every digest is right, so that nothing but the unpacking can refuse it. The file an attack would write or change
//! outside is always called [`ESCAPED`], at any depth a test may want to look at.

use crate::oci::{EntryType, LayerTar};

/// The base name of every file an attack tries to place outside its layer.
pub const ESCAPED: &str = "plyfs-escaped";

/// Layers that must be refused: there is no honest reading of them.
///
/// podman takes those that climb, for its chroot makes them harmless; a library that shares its caller's root cannot.
#[must_use]
pub fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let up = |depth: usize| format!("{}{ESCAPED}", "../".repeat(depth));
    let new = LayerTar::new;
    vec![
        ("a name that climbs", new().file(up(1), "x").finish()),
        ("a name that climbs far", new().file(up(12), "x").finish()),
        ("a name that goes down and then climbs", new().dir("a").file(format!("a/../../{ESCAPED}"), "x").finish()),
        ("a directory that climbs", new().dir(up(3)).finish()),
        ("a link's name that climbs", new().symlink(up(2), "x").finish()),
        ("a hard link to nothing", new().link("a", "missing").finish()),
        ("a hard link out by a name that climbs", new().link("a", "../../../../../../etc/passwd").finish()),
        ("a whiteout of nothing", new().file(".wh.", "").finish()),
        ("a whiteout of the directory itself", new().dir("a").file("a/.wh..", "").finish()),
        ("a whiteout of the directory above", new().dir("a").file("a/.wh...", "").finish()),
        ("a whiteout that climbs", new().file(format!("../.wh.{ESCAPED}"), "").finish()),
        ("a root that is a link", new().symlink("./", "/tmp").finish()),
        ("a root that is a file", new().file(".", "x").finish()),
        ("a type nobody knows", new().entry(EntryType::new(b'Z'), 0o644, "a", "", "").finish()),
        ("a header whose checksum is wrong", { spoilt(new().file("a", "x").finish(), 148) }),
        ("an archive cut inside a file", { cut(new().file("a", [b'x'; 5000]).finish(), 2000) }),
        ("a size beyond the archive", { lying_size(new().file("a", "x").finish()) }),
        ("a name through a file", new().file("a", "x").file("a/b/c", "x").finish()),
    ]
}

/// Layers that may be unpacked or refused, as long as nothing outside is touched: links that lead out.
#[must_use]
pub fn contained() -> Vec<(&'static str, Vec<u8>)> {
    let new = LayerTar::new;
    let through = |target: &str| new().symlink("out", target).file(format!("out/{ESCAPED}"), "x").finish();
    vec![
        ("an absolute name", new().file(format!("/{ESCAPED}"), "x").finish()),
        ("a file through an absolute link", through("/tmp")),
        ("a file through a link to the root", through("/")),
        ("a file through a link that climbs", through("../../../../../../../../tmp")),
        ("a file through a link to procfs", through("/proc/self/cwd")),
        (
            "a file through two links",
            new().symlink("a", "/").symlink("b", "a/tmp").file(format!("b/{ESCAPED}"), "x").finish(),
        ),
        (
            "a directory over a link that leads out",
            new().symlink("out", "/tmp").dir("out").file(format!("out/{ESCAPED}"), "x").finish(),
        ),
        ("a whiteout through a link", new().symlink("out", "/tmp").whiteout("out", ESCAPED).finish()),
        ("an opaque marker through a link", new().symlink("out", "/tmp").opaque("out").finish()),
        ("a hard link through a link", new().symlink("out", "/etc").link("a", "out/hostname").finish()),
        (
            "a file written through a hard link to a link",
            new().symlink("a", format!("/tmp/{ESCAPED}")).link("b", "a").file("b", "x").finish(),
        ),
        ("a link to itself in the way", new().symlink("loop", "loop").file(format!("loop/{ESCAPED}"), "x").finish()),
        (
            "overlay's own attributes",
            new()
                .pax(&[("SCHILY.xattr.trusted.overlay.redirect", b"/../../../tmp")], "a", "x")
                .pax(&[("SCHILY.xattr.trusted.overlay.metacopy", b"")], "b", "x")
                .finish(),
        ),
    ]
}

fn spoilt(mut tar: Vec<u8>, at: usize) -> Vec<u8> {
    tar[at] ^= 1;
    tar
}

fn cut(mut tar: Vec<u8>, at: usize) -> Vec<u8> {
    tar.truncate(at);
    tar
}

/// Claims a gigabyte where there is a byte, under a checksum that is right.
fn lying_size(mut tar: Vec<u8>) -> Vec<u8> {
    tar[124..136].copy_from_slice(b"10000000000\0");
    tar[148..156].fill(b' ');
    let sum: u32 = tar[..512].iter().map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar
}
