//! Bad input: one clear line that names the path or id, its own exit code, and no trace.

use std::fs;

use plyfs_testkit::oci::{Compression, LayerTar, Plain, write_archive};

use crate::bench::{Bench, two_layers};

/// A store with two images, a mounted container and one that is not.
fn busy_bench() -> Bench {
    let bench = Bench::with_image();
    let other = Plain::new("localhost/other:1", vec![LayerTar::new().file("other", "x").finish()]);
    other.write_docker_archive(&bench.temp.join("other.tar"));
    bench.ok(["load", "other.tar"]);
    bench.ok(["create", "app:1", "web-1"]);
    bench.ok(["create", "other:1", "mounted"]);
    bench.ok(["mount", "mounted"]);
    bench
}

/// Refuses each command line and shows all that was said, the exit codes before it.
fn check(bench: &Bench, rows: &[(i32, &[&str])]) -> String {
    let said =
        |(code, args): &(i32, &[&str])| format!("{code:>2}  {}\n{}\n", args.join(" "), bench.refused(*code, *args));
    rows.iter().map(said).collect::<Vec<_>>().join("\n")
}

#[test]
fn root_names_that_mean_nothing_or_cannot_be_are_refused() {
    plyfs_testkit::require_root!();
    let bench = busy_bench();
    let said = check(
        &bench,
        &[
            (3, &["create", "nginx:1"]),
            (3, &["save", "nginx:1", "-o", "out.tar"]),
            (3, &["rmi", "sha256:0000"]),
            (3, &["mount", "web-9"]),
            (3, &["rm", "--force", "web-9"]),
            (3, &["inspect", "web-9"]),
            (3, &["inspect", "../../etc/passwd"]),
            (3, &["tree", "/etc/passwd"]),
            (3, &["load", "no-such-file"]),
            (4, &["create", "app:1", "web-1"]),
            (4, &["rename", "web-1", "mounted"]),
            (5, &["create", "app:1", "../web"]),
            (5, &["mount", "../mounted"]),
            (5, &["rm", "overlay2/l"]),
            (5, &["rename", "web-1", "-"]),
            (5, &["tag", "app:1", "../x"]),
            (5, &["tag", "app:1", "app@sha256:00"]),
            (5, &["import", "app.tar", "UPPER"]),
            (5, &["changes", "./app.tar", "/"]),
            (5, &["commit", "web-1", "a//b"]),
            (6, &["rm", "mounted"]),
            (6, &["rmi", "app:1"]),
            (6, &["rmi", "localhost/app:1"]),
        ],
    );
    insta::assert_snapshot!(said);
}

#[test]
fn root_archives_that_are_not_what_they_say_are_refused() {
    plyfs_testkit::require_root!();
    let bench = busy_bench();
    let path = |name: &str| bench.temp.join(name);
    let image = Plain::new("localhost/new:1", vec![LayerTar::new().file("big", vec![b'x'; 100_000]).finish()]);

    let members = image.docker_members();
    let without =
        |unwanted: &str| members.iter().filter(|(name, _)| !name.ends_with(unwanted)).cloned().collect::<Vec<_>>();
    write_archive(&path("no-layer.tar"), &without(".tar"));
    write_archive(&path("no-manifest.tar"), &without("manifest.json"));
    let changed: Vec<_> = members
        .iter()
        .map(|(name, content)| {
            (name.clone(), if name.ends_with(".tar") { vec![0; content.len()] } else { content.clone() })
        })
        .collect();
    write_archive(&path("other-layer.tar"), &changed);

    image.write_docker_archive(&path("whole.tar"));
    let whole = fs::read(path("whole.tar")).expect("read");
    let packed = Compression::Gzip.apply(&whole);
    fs::write(path("cut.tar.gz"), &packed[..packed.len() / 2]).expect("written");
    let mut garbled = packed.clone();
    let end = garbled.len() - 8;
    garbled[end] ^= 0xff;
    fs::write(path("wrong-sum.tar.gz"), garbled).expect("written");
    fs::write(path("cut.tar"), &whole[..whole.len() / 2]).expect("written");
    fs::write(path("words.txt"), "hello\n").expect("written");
    fs::write(path("empty.tar"), "").expect("written");

    image.write_oci_layout(Compression::Gzip, &path("layout"));
    let blobs = image.oci_members(Compression::Gzip);
    let (layer, content) = blobs.iter().find(|(_, content)| content.starts_with(&[0x1f, 0x8b])).expect("a layer");
    let mut other = content.clone();
    other[20] ^= 1;
    fs::write(path("layout").join(layer), other).expect("written");

    for (code, verb, file, what) in [
        (8, "load", "cut.tar.gz", "cut off"),
        (8, "load", "wrong-sum.tar.gz", "checksum"),
        (8, "load", "cut.tar", "cut off"),
        (8, "load", "other-layer.tar", "digest"),
        (8, "load", "layout", "blob sha256:"),
        (8, "load", "no-layer.tar", "is missing"),
        (5, "load", "no-manifest.tar", "manifest.json"),
        (5, "load", "words.txt", "no tar archive"),
        (5, "load", "empty.tar", "no tar archive"),
        (8, "import", "words.txt", "the archive ends"),
    ] {
        let args = [verb, file, "new:1"];
        let words = bench.refused(code, if verb == "load" { &args[..2] } else { &args[..] });
        // The words are the library's; what they must hold is what a person needs.
        let said = format!("plyfs: {verb} {file}: ");
        assert!(words.starts_with(&said) && words.contains(what), "{file} should say {what:?}: {words}");
    }
}

#[test]
fn root_a_zstd_stream_with_a_larger_window_is_refused_with_the_flag_that_allows_it() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    // The header of a frame, which tells its window, and an empty block.
    let stream = |log: u8| [&b"\x28\xb5\x2f\xfd\0"[..], &[(log - 10) << 3], b"\x01\0\0"].concat();
    fs::write(bench.temp.join("27.zst"), stream(27)).expect("written");
    fs::write(bench.temp.join("28.zst"), stream(28)).expect("written");
    for (args, asked, most, hint) in [
        (&["load", "27.zst"][..], 27, 25, 27),
        (&["import", "27.zst", "new:1"], 27, 25, 27),
        (&["load", "28.zst", "--zstd-window", "27"], 28, 27, 31),
    ] {
        let (asked, most) = (1 << asked, 1 << most);
        let words = bench.refused(5, args);
        assert!(words.contains(&format!("window of {asked} bytes, and {most} are the most")), "{words}");
        assert!(words.contains(&format!("hint: --zstd-window {hint} ")), "{words}");
    }
    let words = bench.refused(5, ["load", "27.zst", "--zstd-window", "27"]);
    assert!(words.contains("there is nothing in it") && !words.contains("hint: "), "{words}");
}

#[test]
fn root_layers_that_reach_outside_are_refused() {
    plyfs_testkit::require_root!();
    let bench = busy_bench();
    for (name, layer) in [
        ("dotdot", LayerTar::new().file("../../../../evil", "x").finish()),
        ("hardlink", LayerTar::new().link("shadow", "../../../../../../etc/shadow").finish()),
    ] {
        let file = format!("{name}.tar");
        Plain::new("localhost/evil:1", vec![layer]).write_docker_archive(&bench.temp.join(&file));
        let words = bench.refused(5, ["load", &file]);
        assert!(words.contains(".."), "the name is said: {words}");
    }
}

#[test]
fn root_what_is_no_store_of_this_version_is_refused() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    let foreign = bench.temp.dir("foreign");
    fs::write(foreign.join("letter"), "dear").expect("written");
    fs::write(bench.temp.join("file"), "").expect("written");
    let newer = bench.temp.dir("newer");
    fs::write(newer.join("plyfs.toml"), "version = 3\n").expect("written");
    let said = check(
        &bench,
        &[
            (3, &["--root", "absent", "images"]),
            (3, &["--root", "foreign", "images"]),
            (5, &["--root", "foreign", "load", "app.tar"]),
            (5, &["--root", "file", "images"]),
            (9, &["--root", "newer", "images"]),
            (9, &["--root", "newer", "load", "app.tar"]),
            (8, &["--root", "absent", "fsck"]),
        ],
    );
    insta::assert_snapshot!(said);
}

#[test]
fn root_files_that_cannot_be_written_are_refused() {
    plyfs_testkit::require_root!();
    let bench = busy_bench();
    fs::write(bench.temp.dir("directory").join("letter"), "dear").expect("written");
    let said = check(
        &bench,
        &[
            (3, &["save", "app:1", "-o", "absent/out.tar"]),
            (5, &["save", "app:1", "-o", "directory"]),
            (4, &["save", "app:1", "-o", "directory", "--format", "oci"]),
            (2, &["save", "app:1", "-o", "-", "--format", "oci"]),
            (2, &["save", "app:1", "-o", "out.tar", "--compression", "zstd", "--level", "20"]),
            (2, &["save", "app:1", "-o", "out.tar", "--format", "oci-archive", "--level", "0"]),
            (2, &["save", "app:1", "-o", "out.tar", "--level", "3"]),
            (3, &["diff", "web-1", "-o", "absent/out.tar"]),
            (5, &["diff", "web-1", "-o", "directory"]),
        ],
    );
    insta::assert_snapshot!(said);
}

#[test]
fn root_several_arguments_are_tried_each_and_the_first_failure_counts() {
    plyfs_testkit::require_root!();
    let bench = busy_bench();
    let ran = bench.run(["rm", "web-9", "mounted", "web-1"]).code(3);
    assert_eq!(ran.text(), "web-1");
    assert_eq!(ran.words().lines().filter(|line| line.starts_with("plyfs: ")).count(), 2);
    assert_eq!(bench.ok(["rm", "--force", "mounted"]), "mounted");
    let ran = bench.run(["rmi", "nginx:1", "app:1"]).code(3);
    assert_eq!(ran.text(), format!("Untagged: localhost/app:1\nDeleted: sha256:{}", two_layers().id()));
    assert_eq!(bench.ok(["fsck"]), "");
}

#[test]
fn root_fsck_says_what_is_missing_and_ends_as_fsck_does() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    let stray = bench.store().join("overlay2").join("0".repeat(64));
    fs::create_dir(&stray).expect("made");
    let ran = bench.run(["fsck"]).code(0);
    assert!(ran.text().starts_with("warning: "), "{}", ran.text());
    fs::remove_dir(&stray).expect("removed");
    let layer = bench.ok(["--quiet", "layers"]).lines().next().map(str::to_owned).expect("a layer");
    fs::remove_file(bench.store().join("tarsplit").join(&layer)).expect("removed");
    let ran = bench.run(["fsck"]).code(4);
    assert!(ran.text().contains(&format!("layer {layer}")), "{}", ran.text());
    let ran = bench.run(["--json", "fsck"]).code(4);
    assert!(ran.text().contains(r#""severity": "error""#), "{}", ran.text());
}

#[test]
fn root_fsck_repairs_rebuilds_and_ends_as_fsck_does() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    bench.run(["fsck", "--no-such-flag"]).code(16);
    assert_eq!(bench.ok(["fsck", "--data"]), "");

    let layer = bench.ok(["--quiet", "layers"]).lines().next().map(str::to_owned).expect("a layer");
    let directory = bench.store().join("overlay2").join(&layer);
    let link = fs::read_to_string(directory.join("link")).expect("its link");
    fs::remove_file(bench.store().join("overlay2/l").join(&link)).expect("damaged");
    bench.run(["fsck"]).code(4);
    let ran = bench.run(["fsck", "--repair"]).code(1);
    assert_eq!(ran.text(), format!("layer {layer}: l/{link} is missing: made l/{link} point to its layer"));
    bench.run(["fsck", "--repair"]).code(0);

    let name = bench.ok(["create", "app:1", "web-1"]);
    let refused = bench.run(["fsck", "--rebuild"]).code(8);
    assert!(refused.words().contains("journal is sound"), "{}", refused.words());
    assert!(refused.words().contains("hint: `plyfs fsck --repair`"), "{}", refused.words());
    assert!(bench.ok(["containers"]).contains("web-1"), "nothing is lost by a command that was not needed");
    fs::write(bench.store().join("journal/head"), "garbage").expect("damaged");
    let images = bench.run(["images"]).success();
    assert!(images.text().contains("app:1"), "what is sound is shown: {}", images.text());
    assert!(images.words().contains("journal is damaged"), "and the damage told: {}", images.words());
    let refused = bench.run(["tag", "app:1", "other:1"]).code(8);
    assert!(refused.words().contains("head"), "no change is taken: {}", refused.words());
    let ran = bench.run(["--json", "fsck"]).code(4);
    assert!(ran.text().contains(r#""kind": "journal-damaged""#), "{}", ran.text());
    assert!(ran.words().contains("fsck --rebuild"), "{}", ran.words());
    let found = "error: journal: journal file head, offset ";
    let ran = bench.run(["fsck", "--repair"]).code(4);
    assert!(ran.text().starts_with(found), "a repair finds it too, and leaves it: {}", ran.text());
    assert!(ran.words().contains("fsck --rebuild"), "{}", ran.words());
    let ran = bench.run(["fsck", "--rebuild", "--data"]).code(1);
    let act = "made anew from the directories; the old one is kept in aside/journal";
    assert!(ran.text().contains(&format!(": {act}\n")) || ran.text().ends_with(act), "{}", ran.text());
    assert!(ran.words().contains("the old journal is kept in aside/journal"), "{}", ran.words());
    assert!(ran.words().contains("rebuilt 2 layers, 1 images and 1 containers"), "{}", ran.words());
    assert!(ran.words().contains("its names"), "{}", ran.words());
    assert_eq!(bench.ok(["fsck", "--data"]), "");
    assert!(!bench.ok(["--quiet", "containers"]).contains(&name), "its name lived in the journal alone");
}

#[test]
fn root_fsck_makes_anew_the_parts_of_a_store_that_hold_nothing_and_names_the_others() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    for part in ["staging", "trash", "overlay2/l"] {
        fs::remove_dir_all(bench.store().join(part)).expect("removed");
        bench.run(["images"]).code(8);
        let ran = bench.run(["fsck"]).code(4);
        assert_eq!(ran.text(), format!("error: {part}: it is missing"));
        assert!(ran.words().contains("fsck --repair") && !ran.words().contains("--rebuild"), "{}", ran.words());
        let ran = bench.run(["fsck", "--repair"]).code(1);
        assert!(ran.text().starts_with(&format!("{part}: it is missing: made anew, empty")), "{}", ran.text());
        assert_eq!(bench.ok(["fsck", "--data"]), "");
        assert!(bench.ok(["images"]).contains("localhost/app:1"), "no name is lost");
    }
    for part in ["tarsplit", "blobs/sha256"] {
        let aside = bench.temp.join("aside");
        fs::rename(bench.store().join(part), &aside).expect("taken");
        let ran = bench.run(["fsck", "--repair"]).code(4);
        assert_eq!(ran.text(), format!("error: {part}: it is missing"));
        assert!(ran.words().contains("put it back") && !ran.words().contains("--rebuild"), "{}", ran.words());
        fs::rename(&aside, bench.store().join(part)).expect("put back");
    }
    assert_eq!(bench.ok(["fsck", "--data"]), "");
}

#[test]
fn root_a_format_file_that_is_lost_or_damaged_is_named_with_the_command_that_writes_it_anew() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    let format = bench.store().join("plyfs.toml");
    let sound = fs::read_to_string(&format).expect("readable");
    let damaged = [(None, "is missing"), (Some("vers\0\0"), "key with no value"), (Some(""), "missing field")];
    for (is_sound, kept) in [(true, "aside/plyfs.toml"), (false, "aside/plyfs.toml.2")] {
        for (content, problem) in damaged {
            fs::remove_file(&format).expect("lost");
            content.into_iter().for_each(|content| fs::write(&format, content).expect("damaged"));
            for args in [&["images"][..], &["load", "app.tar"]] {
                let words = bench.refused(8, args);
                assert!(words.contains("plyfs.toml") && words.contains(problem), "{words}");
                assert!(words.contains("hint: `plyfs fsck` tells"), "{words}");
            }
            let ran = bench.run(["fsck"]).code(4);
            assert!(ran.text().starts_with("error: plyfs.toml: ") && ran.text().contains(problem), "{}", ran.text());
            assert_eq!(ran.text().lines().count(), 1, "nothing else is wrong: {}", ran.text());
            assert!(ran.words().contains("`plyfs fsck --repair` makes anew plyfs.toml"), "{}", ran.words());

            let ran = if is_sound {
                bench.run(["fsck", "--rebuild"]).code(8);
                bench.run(["fsck", "--repair"]).code(1)
            } else {
                fs::write(bench.store().join("journal/head"), "garbage").expect("damaged");
                bench.run(["fsck", "--rebuild"]).code(1)
            };

            assert!(ran.text().contains("written anew, for version 2"), "{}", ran.text());
            assert_eq!(ran.text().contains("the damaged one is kept in aside/plyfs.toml"), content.is_some());
            assert_eq!(fs::read_to_string(&format).expect("readable"), sound);
            assert_eq!(bench.ok(["fsck", "--data"]), "");
            let names = bench.ok(["images"]) + &bench.ok(["containers"]);
            let has_names = names.contains("localhost/app:1") && names.contains("web-1");
            assert_eq!(has_names, is_sound, "a rebuild alone loses names: {names}");
        }
        assert!(bench.store().join(kept).exists(), "{kept}");
    }
}

#[test]
fn root_standard_input_that_is_closed_empty_or_stalls_is_refused_in_one_line_and_leaves_nothing() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    let shell = |script: &str| {
        let plyfs = format!("{} --root {}", crate::bench::PLYFS, bench.store().display());
        let mut command = crate::bench::clean("sh");
        command.args(["-c", &script.replace("PLYFS", &plyfs)]).current_dir(bench.temp.path());
        plyfs_testkit::process::run(&mut command)
    };
    let before = bench.ok(["--json", "images"]);
    for (code, script, words) in [
        (5, "PLYFS load <&-", "there is nothing in it"),
        (5, "PLYFS load </dev/null", "there is nothing in it"),
        (5, ": | PLYFS load -", "there is nothing in it"),
        (8, "head -c 2000 app.tar | PLYFS load", "cut off"),
        (5, "echo hello | PLYFS load --timeout 9s", "no tar archive"),
        (
            15,
            "mkfifo f; exec 3<>f; head -c 2000 app.tar >&3; PLYFS load --timeout 300ms <&3",
            "standard input stalls: nothing came for 300ms",
        ),
        (2, "PLYFS load --timeout 0 app.tar", "no duration"),
        (2, "PLYFS load --timeout soon app.tar", "no duration"),
        (
            15,
            "mkfifo i; exec 3<>i; head -c 100 app.tar >&3; PLYFS import --timeout 300ms - new:1 <&3",
            "standard input stalls: nothing came for 300ms",
        ),
        (2, "PLYFS import --timeout soon app.tar new:1", "no duration"),
        (5, "PLYFS import - app:1 <&-", "there is nothing in it"),
        (5, "PLYFS import /dev/null app:1", "there is nothing in it"),
        (5, "false | PLYFS import - app:1", "there is nothing in it"),
        (5, "false | gzip | PLYFS import - app:1", "there is nothing in it"),
    ] {
        let ran = shell(script).code(code);
        let said = ran.words();
        assert!(said.contains(words), "{script}: {said}");
        assert_eq!(said.lines().filter(|line| line.starts_with("plyfs: ")).count(), 1, "{script}: {said}");
        assert_eq!(bench.ok(["--json", "images"]), before, "{script}");
        assert_eq!(std::fs::read_dir(bench.store().join("staging")).expect("listed").count(), 0, "{script}");
    }
    // Redirected, an archive is read where it lies.
    shell("PLYFS load <app.tar").success();
    // An archive that is its end alone is one.
    shell("head -c 1024 /dev/zero | PLYFS import - none:1").success();
}
