//! Any bytes in the path of a home, and long names in a stack.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use plyfs_mount::Feature;
use plyfs_testkit::{process, require_root, require_tool};

use crate::support::{Home, entry_at, plain, read};

/// Separators, escapes, white space and bytes that are no UTF-8.
const ODD: [&[u8]; 7] = [b"a:b", b"a,b", b"a\\b", b"a\nb", b"a\xff\xfeb", b" a=b\t", b"-:,\\\n\xf0\"'"];

#[test]
fn root_every_way_mounts_a_home_with_any_bytes_in_its_path() {
    require_root!();
    for name in ODD.map(OsStr::from_bytes) {
        let home = Home::named(name);
        // Enough to leave the page, so that the classic engine goes both its ways.
        let layers = home.layers(150);
        for (way, features) in home.ways() {
            for count in [2, 150] {
                let target = home.target(&format!("{way}-{count}"));
                let stack = home.container(&format!("{way}-{count}"), &layers[..count]);
                plain(stack, &features).mount_at(&target).unwrap_or_else(|error| panic!("{way} {name:?}: {error:?}"));
                let last = count - 1;
                assert_eq!(read(target.join(format!("only-{last}"))), last.to_string(), "{way} {name:?}");
                let upper = format!("{way}-{count}/diff");
                assert!(entry_at(&target).is_over(&upper), "{way} {name:?}: found in the table by its upper");
            }
        }
    }
}

#[test]
fn root_a_mount_point_with_any_bytes_is_found_in_the_table() {
    require_root!();
    let home = Home::new();
    let layers = home.layers(2);
    for name in ODD.map(OsStr::from_bytes) {
        for (way, features) in home.ways() {
            let target = home.target(way).join(name);
            std::fs::create_dir(&target).expect("a new directory");
            plain(home.view(&layers), &features).mount_at(&target).expect("mounted");
            assert_eq!(entry_at(&target).mount_point, target, "{way}");
        }
    }
}

#[test]
fn root_every_way_mounts_layers_with_odd_and_long_names() {
    require_root!();
    let home = Home::new();
    let deep: OsString = ["d".repeat(200), "e".repeat(200)].join("/").into();
    let odd = [b"c:o,l\\on".as_slice(), b"new\nline\xff".as_slice()].map(|name| OsStr::from_bytes(name).to_owned());
    let names = [odd[0].clone(), odd[1].clone(), deep];
    for (number, name) in names.iter().enumerate() {
        std::fs::create_dir_all(home.path().join(name)).expect("a new directory");
        std::fs::write(home.path().join(name).join(number.to_string()), "").expect("a file");
    }
    for (way, features) in home.ways() {
        let target = home.target(way);
        let upper = ["up,per\\", "work-of-a-name-that-makes-the-whole-longer-than-one-value"]
            .map(|part| format!("{way}:{}/{part}", "f".repeat(200)));
        upper.iter().for_each(|part| std::fs::create_dir_all(home.path().join(part)).expect("a new directory"));
        let stack = home.view(&names).upper(&upper[0], &upper[1]);

        plain(stack, &features).mount_at(&target).unwrap_or_else(|error| panic!("{way}: {error:?}"));

        (0..3).for_each(|number| assert!(target.join(number.to_string()).exists(), "{way}: layer {number}"));
        std::fs::write(target.join("new"), way).expect("writable");
        assert_eq!(read(home.path().join(&upper[0]).join("new")), way);
    }
}

#[test]
fn root_the_printed_options_work_in_the_hands_of_mount() {
    require_root!();
    require_tool!("mount");
    // mount(8) cannot be given a double quote, and its own checks want names in UTF-8.
    for name in ["plain", "a:b", "a,b", "a\\b", "a b"] {
        let home = Home::named(name);
        let target = home.target("by-hand");
        let plan = plain(home.container("c", &home.layers(3)), &home.probe());

        let mut mount = Command::new("mount");
        mount.args(["-t", "overlay", "overlay", "-o"]).arg(plan.options()).arg(&target);
        let _ = process::run(&mut mount).success();

        assert_eq!(read(target.join("only-2")), "2", "{name}");
        assert!(entry_at(&target).is_over("c/diff"), "{name}");
    }
}

#[test]
fn root_a_home_that_was_moved_mounts_from_its_descriptor() {
    require_root!();
    let home = Home::new();
    let layers = home.layers(150);
    let features = home.probe();
    let stacks = [features, features.without(Feature::LAYER_FD), features.without(Feature::APPEND)]
        .map(|features| plain(home.container(&format!("{:?}", features.found().bits()), &layers), &features));
    let moved = home.path().with_file_name("moved");
    std::fs::rename(home.path(), &moved).expect("renamed");
    for (number, plan) in stacks.iter().enumerate() {
        let target = home.target(&number.to_string());
        plan.mount_at(&target).unwrap_or_else(|error| panic!("{number}: {error:?}"));
        assert_eq!(read(target.join("only-149")), "149");
    }
}
