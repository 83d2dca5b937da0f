//! Members of archives and directories.

use super::*;
use crate::archive::tar::TarWriter;
use crate::layout::{MAX_HEADERS, MAX_MEMBER_NAMES, MAX_MEMBERS};

/// The ways to read the same archive.
fn both_ways(bytes: &[u8]) -> [Result<Members>; 2] {
    both_ways_reporting(bytes, &mut |_| Ok(()))
}

fn both_ways_reporting(bytes: &[u8], report: &mut dyn FnMut(u64) -> Result<()>) -> [Result<Members>; 2] {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let spool = fs::open_dir(temp.path()).expect("open");
    std::fs::write(temp.path().join("a.tar"), bytes).expect("written");
    let file = File::open(temp.path().join("a.tar")).expect("open");
    [Members::of_file(file, report), Members::of_stream(bytes, spool.as_fd(), report)]
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (name, content) in members {
        tar.file(name, content.len() as u64, *content).expect("written");
    }
    tar.finish().expect("written")
}

fn header(name: &str, kind: tar_core::EntryType, target: &str, size: u64) -> Vec<u8> {
    let mut builder = tar_core::EntryBuilder::new_ustar();
    builder.path(name).entry_type(kind);
    builder.mode(0o644).expect("a mode").size(size).expect("a size");
    if !target.is_empty() {
        builder.link_name(target);
    }
    builder.finish_bytes()
}

#[test]
fn members_are_found_by_any_spelling_and_the_later_one_counts() {
    let bytes = tar(&[("a/one", b"1"), ("./two", &[2; 70_000]), ("a/one", b"newer")]);
    for members in both_ways(&bytes) {
        let members = members.expect("an archive");
        assert_eq!(members.document("./a//one").expect("readable").expect("there"), b"newer");
        assert_eq!(members.document("two").expect("readable").expect("there").len(), 70_000);
        assert!(!members.has("three").expect("readable"));
    }
}

#[test]
fn links_inside_the_archive_are_followed_and_circles_end() {
    use tar_core::EntryType::{Link, Symlink};
    let mut bytes = header("old/layer.tar", Symlink, "../new/layer.tar", 0);
    bytes.extend(header("hard", Link, "new/layer.tar", 0));
    bytes.extend(header("circle", Symlink, "circle", 0));
    bytes.extend(tar(&[("new/layer.tar", b"content")]));
    for members in both_ways(&bytes) {
        let members = members.expect("an archive");
        for name in ["old/layer.tar", "hard"] {
            assert_eq!(members.document(name).expect("readable").expect("there"), b"content", "{name}");
        }
        assert_eq!(members.open("circle").expect_err("a circle").kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_sparse_member_is_named_as_one_and_keeps_nobody_from_the_others() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let hole = File::create(temp.path().join("hole")).expect("made");
    hole.write_all_at(b"end", 1 << 20).expect("written");
    std::fs::write(temp.path().join("whole"), "whole").expect("written");
    for format in ["gnu", "posix"] {
        let mut tar = std::process::Command::new("tar");
        tar.args(["-cS", "--format", format, "hole", "whole"]).current_dir(temp.path());
        let bytes = tar.output().expect("tar runs").stdout;
        for members in both_ways(&bytes) {
            let members = members.expect("an archive");
            let error = members.open("hole").expect_err("sparse");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().starts_with("\"hole\": sparse"), "{format}: {error}");
            assert_eq!(members.document("whole").expect("readable").expect("there"), b"whole", "{format}");
        }
    }
}

#[test]
fn a_member_that_climbs_is_refused_and_named() {
    for members in both_ways(&tar(&[("ok", b""), ("../evil", b"")])) {
        let error = members.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("../evil"), "{error}");
    }
}

#[test]
fn an_archive_cut_off_in_a_member_is_corrupt_and_names_it() {
    let whole = tar(&[("first", b"1"), ("second", &[2; 5000])]);
    for members in both_ways(&whole[..4000]) {
        let error = members.expect_err("cut off");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("second"), "{error}");
    }
    for members in both_ways(&whole[..1024 + 100]) {
        assert_eq!(members.expect_err("cut off in a header").kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn a_size_as_large_as_a_number_can_be_is_an_archive_cut_off() {
    let mut size = tar_core::PaxBuilder::new();
    size.add("size", u64::MAX.to_string().as_bytes());
    let size = size.finish();
    let mut bytes = header("pax", tar_core::EntryType::XHeader, "", size.len() as u64);
    bytes.extend(size);
    bytes.resize(1024, 0);
    bytes.extend(header("endless", tar_core::EntryType::Regular, "", 0));
    for members in both_ways(&bytes) {
        let error = members.expect_err("cut off");
        assert_eq!((error.kind(), error.to_string().contains("endless")), (ErrorKind::Corrupt, true), "{error}");
    }
}

#[test]
fn a_missing_end_mark_is_accepted() {
    let whole = tar(&[("only", b"1")]);
    for members in both_ways(&whole[..1024]) {
        assert!(members.expect("accepted").has("only").expect("readable"));
    }
}

#[test]
fn what_is_no_archive_is_invalid_input() {
    for bytes in [&b""[..], b"hello", &[b'x'; 5000], &[0; 300]] {
        for members in both_ways(bytes) {
            assert_eq!(members.expect_err("no archive").kind(), ErrorKind::InvalidInput, "{} bytes", bytes.len());
        }
    }
}

#[test]
fn a_document_that_claims_a_gigabyte_is_refused_before_it_is_read() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let path = temp.path().join("a.tar");
    let file = File::options().read(true).write(true).create_new(true).open(&path).expect("a file");
    file.write_all_at(&header("manifest.json", tar_core::EntryType::Regular, "", 1 << 30), 0).expect("written");
    file.set_len((1 << 30) + 4096).expect("a hole");
    let error =
        Members::of_file(file, &mut |_| Ok(())).expect("an archive").document("manifest.json").expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("manifest.json"), "{error}");
}

#[test]
fn the_number_of_members_is_bounded() {
    let block = header("x", tar_core::EntryType::Fifo, "", 0);
    let mut bytes = Vec::new();
    for number in 0..=MAX_MEMBERS {
        let mut header = tar_core::Header::new_ustar();
        header.as_mut_bytes().copy_from_slice(&block[..512]);
        header.set_path(format!("{number:x}").as_bytes()).expect("short");
        header.set_checksum();
        bytes.extend_from_slice(header.as_bytes());
    }
    for members in both_ways(&bytes) {
        assert_eq!(members.expect_err("too many").kind(), ErrorKind::InvalidInput);
    }
}

/// Headers of which any number are one member at most, and no content.
fn empty_headers() -> [(&'static str, Vec<u8>); 5] {
    use tar_core::EntryType::{Directory, Regular, Symlink, XGlobalHeader};
    let mut pax = tar_core::PaxBuilder::new();
    pax.add("comment", b"holds for all that follow");
    let pax = pax.finish();
    let mut global = header("pax", XGlobalHeader, "", pax.len() as u64);
    global.extend(pax);
    global.resize(1024, 0);
    [
        ("directories", header("a/", Directory, "", 0)),
        ("the root", header("./", Directory, "", 0)),
        ("a file without a name", header(".", Regular, "", 0)),
        ("a link", header("link", Symlink, "target", 0)),
        ("global headers", global),
    ]
}

/// Gives the same bytes again and again.
struct Again(Vec<u8>, usize);

impl Read for Again {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&self.0[self.1..]).read(buffer)?;
        self.1 = (self.1 + read) % self.0.len();
        Ok(read)
    }
}

#[test]
fn the_number_of_headers_is_bounded_whatever_they_are_of() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let spool = fs::open_dir(temp.path()).expect("open");
    for (what, block) in empty_headers() {
        let bounded = Again(block, 0).take(2048 * MAX_HEADERS as u64);
        let error = Members::of_stream(bounded, spool.as_fd(), &mut |_| Ok(())).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{what}: {error}");
        assert!(error.to_string().contains("headers"), "{what}: {error}");
    }
}

#[test]
fn an_archive_of_headers_alone_can_be_stopped() {
    for (what, block) in empty_headers() {
        let mut asked = 0;
        let mut stop = |_| {
            asked += 1;
            if asked % 3 == 0 { Err(Error::new(ErrorKind::Cancelled, "stopped")) } else { Ok(()) }
        };
        for members in both_ways_reporting(&block.repeat(1000), &mut stop) {
            assert_eq!(members.expect_err(what).kind(), ErrorKind::Cancelled, "{what}");
        }
        assert_eq!(asked, 6, "{what}");
    }
}

#[test]
fn what_links_lead_to_counts_with_the_names() {
    let target = "long/".repeat(800);
    let link = |number| header(&format!("{number}"), tar_core::EntryType::Symlink, &target, 0);
    let bytes: Vec<u8> = (0..=MAX_MEMBER_NAMES / target.len()).flat_map(link).collect();
    for members in both_ways(&bytes) {
        let error = members.expect_err("too long names");
        assert_eq!((error.kind(), error.to_string().contains("names")), (ErrorKind::InvalidInput, true), "{error}");
    }
}

#[test]
fn a_directory_gives_its_files_and_nothing_outside() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let inside = temp.path().join("layout");
    std::fs::create_dir_all(inside.join("blobs")).expect("made");
    std::fs::write(temp.path().join("secret"), "secret").expect("written");
    std::fs::write(inside.join("blobs/b"), "blob").expect("written");
    std::os::unix::fs::symlink("../secret", inside.join("out")).expect("a link");
    std::os::unix::fs::symlink("blobs/b", inside.join("in")).expect("a link");
    std::os::unix::fs::symlink(temp.path().join("secret"), inside.join("away")).expect("a link");
    std::os::unix::fs::symlink("circle", inside.join("circle")).expect("a link");
    rustix::fs::mknodat(rustix::fs::CWD, inside.join("fifo"), FileType::Fifo, Mode::RUSR, 0).expect("a fifo");
    let members = Members::of_directory(fs::open_dir(&inside).expect("open"));

    assert_eq!(members.document("in").expect("readable").expect("there"), b"blob");
    assert!(!members.has("absent").expect("readable"));
    for (name, why) in [("out", "leads out of the directory"), ("away", "leads out"), ("circle", "too many links")] {
        let error = members.document(name).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
        assert!(error.to_string().contains(name) && error.to_string().contains(why), "{error}");
    }
    assert!(members.document("../secret").is_err(), "a name out of the directory");
    assert_eq!(members.document("fifo").expect_err("no file").kind(), ErrorKind::Unsupported);
    assert_eq!(members.document("blobs").expect_err("no file").kind(), ErrorKind::Unsupported);
}

#[test]
fn a_stream_can_be_stopped_while_it_is_kept() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let spool = fs::open_dir(temp.path()).expect("open");
    let bytes = tar(&[("big", &[0; 1 << 20])]);
    let stop = &mut |kept: u64| match kept {
        0..600_000 => Ok(()),
        _ => Err(Error::new(ErrorKind::Cancelled, "stopped")),
    };
    let error = Members::of_stream(&bytes[..], spool.as_fd(), stop).expect_err("stopped");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(fs::read_dir(&spool).expect("listed"), [], "nothing is left");
}
