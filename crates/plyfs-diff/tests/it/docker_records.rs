//! Docker's own tar-split records, made by a real dockerd for the same layers.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;

use plyfs_diff::{ApplyOptions, Chain, Dialect, apply, tar_split};
use plyfs_sys::fs::open_dir;
use plyfs_testkit::oci::{LayerTar, Plain};
use plyfs_testkit::peers::Docker;
use plyfs_testkit::process::{output, run};
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::{require_root, require_tool};
use serde_json::Value;

use crate::layers::{node, touch, write};

/// What a record says, neighbouring raw bytes as one: the archive's own bytes, or a file's name, size and checksum.
#[derive(Debug, PartialEq, Eq)]
enum Item {
    Raw(Vec<u8>),
    File { name: Vec<u8>, size: u64, checksum: Vec<u8> },
}

fn items(record: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    for (position, line) in record.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        let line: Value = serde_json::from_slice(line).expect("a line of JSON");
        assert_eq!(line["position"].as_u64(), Some(position as u64), "positions count");
        let decode = |value: &Value| {
            let text = value.as_str().unwrap_or_default();
            data_encoding::BASE64.decode(text.as_bytes()).expect("base64")
        };
        let payload = decode(&line["payload"]);
        if line["type"].as_u64() == Some(2) {
            match items.last_mut() {
                Some(Item::Raw(bytes)) => bytes.extend(payload),
                _ => items.push(Item::Raw(payload)),
            }
            continue;
        }
        let name = match line["name"].as_str() {
            Some(name) => name.as_bytes().to_vec(),
            None => decode(&line["name_raw"]),
        };
        items.push(Item::File { name, size: line["size"].as_u64().unwrap_or(0), checksum: payload });
    }
    items
}

/// Layers of every format that Docker takes, the base first.
fn layers(temp: &TempDir) -> Vec<Vec<u8>> {
    let tree = temp.dir("tree");
    write(tree.join("etc/hosts"), "127.0.0.1 localhost\n");
    write(tree.join("empty"), "");
    write(tree.join("block"), vec![1; 512]);
    write(tree.join("large"), vec![3; 300_000]);
    fs::hard_link(tree.join("large"), tree.join("linked")).expect("a link");
    std::os::unix::fs::symlink("etc/hosts", tree.join("symbolic")).expect("a link");
    touch(&tree.join("etc/hosts"), 1_600_000_000, 123_456_789);
    let archive = |format: &str| {
        let mut tar = Command::new("tar");
        tar.args(["--sort=name", &format!("--format={format}"), "-cf", "-", "-C"]).arg(&tree).arg(".");
        run(&mut tar).success().stdout
    };
    let mut layers = vec![archive("v7")];
    node(&tree.join("pipe"), plyfs_sys::fs::FileType::Fifo, 0);
    node(&tree.join("null"), plyfs_sys::fs::FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    layers.push(archive("ustar"));
    write(tree.join(format!("{}/{}", "d".repeat(120), "f".repeat(120))), "long");
    layers.extend([archive("gnu"), archive("pax")]);
    let mut marks = LayerTar::new().whiteout("etc", "hosts").opaque("etc").file("raw-\u{e9}", "x").finish();
    marks.extend([0; 5000]);
    layers.push(marks);
    layers.push(vec![0; 1024]);
    let mut garbage = LayerTar::new().file("before-the-garbage", "x").finish();
    garbage.extend(b"no zeros, and no whole block either");
    layers.push(garbage);
    layers.push(sparse(&tree, "pax"));
    layers
}

/// Layers that Docker takes not: an old sparse file, and one path twice (rule 46).
fn refused(temp: &TempDir) -> Vec<Vec<u8>> {
    let twice = LayerTar::new().file("a", "first").file("b", "between").file("./a", "second").finish();
    vec![sparse(&temp.dir("tree"), "gnu"), twice]
}

/// Which of the layers has a file with holes; docker's record states its whole length, and gives another archive back.
const SPARSE: usize = 7;

/// A file with holes, stored without them.
fn sparse(tree: &Path, format: &str) -> Vec<u8> {
    let holes = fs::File::create(tree.join("holes")).expect("a file");
    for at in [0_u64, 1 << 20, 3 << 20, (5 << 20) + 7] {
        std::os::unix::fs::FileExt::write_all_at(&holes, &[9; 700], at).expect("written");
    }
    let mut tar = Command::new("tar");
    tar.args(["--sparse", &format!("--format={format}"), "-cf", "-", "-C"]).arg(tree).arg("holes");
    let archive = run(&mut tar).success().stdout;
    assert!(archive.len() < 1 << 20, "{format}: the holes are not stored");
    archive
}

#[test]
fn root_rule_45_dockers_records_are_ours_and_either_gives_the_archive_back() {
    require_root!();
    require_tool!("dockerd", "containerd", "docker", "tar", "gzip");
    let temp = TempDir::new();
    let layers = layers(&temp);
    let docker = Docker::start();
    let archive = temp.join("image.tar");
    Plain::new("plyfs/records:1", layers.clone()).write_docker_archive(&archive);
    docker.load(&archive);
    let theirs = dockers_records(&docker.data_root().join("image/overlay2/layerdb/sha256"));

    let mut lowers = Vec::new();
    let (mut our_size, mut their_size) = (0, 0);
    for (index, layer) in layers.iter().enumerate() {
        let path = temp.dir(format!("layer{index}"));
        let chain = lowers.iter().rev().map(|path| open_dir(path).expect("a lower")).collect();
        let dir = open_dir(&path).expect("open");
        let mut record = Vec::new();
        let options = ApplyOptions::new();
        let applied = apply(layer.as_slice(), &dir, &Chain::new(chain, Dialect::Trusted), &options, Some(&mut record))
            .expect("applied");
        lowers.push(path);
        let Some((their_record, compressed)) = theirs.get(&applied.diff_id.to_string()) else {
            panic!("docker has no record of layer {index}")
        };
        if index == SPARSE {
            let mut theirs = Vec::new();
            let rebuilt = tar_split::rebuild(their_record.as_slice(), &dir, &mut theirs);
            assert!(rebuilt.is_err() || theirs != *layer, "docker's record of a sparse file gives it back by now");
            assert_comes_back(&record, &dir, layer, index);
            continue;
        }
        assert_eq!(items(&record), items(their_record), "layer {index}");
        for record in [&record, their_record] {
            assert_comes_back(record, &dir, layer, index);
        }
        our_size += zstd::encode_all(record.as_slice(), 1).expect("compressed").len();
        their_size += compressed;
    }
    assert!(our_size <= their_size, "records of {our_size} bytes beside docker's of {their_size}");

    for (index, layer) in refused(&temp).into_iter().enumerate() {
        let archive = temp.join(format!("refused{index}.tar"));
        fs::write(&archive, &layer).expect("written");
        assert!(!run(docker.command().arg("import").arg(&archive)).status.success(), "docker takes layer {index}");
        let dir = open_dir(temp.dir(format!("taken{index}"))).expect("open");
        let mut record = Vec::new();
        apply(layer.as_slice(), &dir, &Chain::empty(), &ApplyOptions::new(), Some(&mut record)).expect("applied");
        assert_comes_back(&record, &dir, &layer, index);
    }
}

#[track_caller]
fn assert_comes_back(record: &[u8], dir: &OwnedFd, layer: &[u8], index: usize) {
    let mut rebuilt = Vec::new();
    tar_split::rebuild(record, dir, &mut rebuilt).expect("rebuilt");
    assert!(rebuilt == layer, "layer {index} comes back byte for byte");
}

/// The records of all layers by their digest, each with its size as Docker stores it.
fn dockers_records(database: &Path) -> BTreeMap<String, (Vec<u8>, usize)> {
    let layers = fs::read_dir(database).expect("docker's layers").map(|entry| entry.expect("an entry").path());
    let read = |layer: std::path::PathBuf| {
        let digest = fs::read_to_string(layer.join("diff")).expect("a digest");
        let stored = layer.join("tar-split.json.gz");
        let record = run(Command::new("gzip").arg("-dc").arg(&stored)).success().stdout;
        let size = fs::metadata(&stored).expect("a record").len();
        (digest, (record, usize::try_from(size).expect("small")))
    };
    let records: BTreeMap<_, _> = layers.map(read).collect();
    assert!(!records.is_empty(), "{}", output(Command::new("ls").arg(database)));
    records
}
