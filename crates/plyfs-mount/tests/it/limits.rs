//! What happens at the kernel's bounds: 500 layers, one page, few descriptors.

use std::process::Command;

use plyfs_mount::{ErrorKind, Feature, Features, MAX_LOWERS, MountOptions, plan};
use plyfs_testkit::process::run;
use plyfs_testkit::require_root;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{Home, plain, read, story};

#[test]
fn more_than_500_lowers_are_refused_before_the_kernel_is_asked() {
    let home = Home::new();
    let names: Vec<_> = (0..=MAX_LOWERS).map(|number| format!("l/{number}").into()).collect();
    let features = Features::assume(Feature::all());

    let error = plan(home.view(&names), &MountOptions::new(), &features).expect_err("501 lowers");

    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "501 lower layers, the kernel stacks at most 500");
    assert!(plan(home.view(&names[1..]), &MountOptions::new(), &features).is_ok(), "500 are not too many");
}

#[test]
fn root_the_page_boundary_is_crossed_without_a_layer_lost() {
    require_root!();
    let home = Home::new();
    let layers = home.layers(145);
    let classic = home.probe().without(Feature::APPEND);
    let mut sides = [0, 0];
    for count in 130..=145 {
        let name = format!("{count}");
        let target = home.target(&name);
        let plan = plain(home.container(&name, &layers[..count]), &classic);
        sides[usize::from(plan.short_options().len() > 4095)] += 1;
        plan.mount_at(&target).unwrap_or_else(|error| panic!("{count}: {error:?}"));
        let last = count - 1;
        assert_eq!(read(target.join(format!("only-{last}"))), last.to_string(), "the lowest layer is there");
    }
    assert!(sides.iter().all(|&side| side > 0), "both sides of the page were tried: {sides:?}");
}

#[test]
fn root_few_descriptors_are_enough_for_one_engine_and_a_clear_error_in_the_other() {
    require_root!();
    // The limit belongs to the process, so a process of its own gets it: this test, told so by its environment.
    const CHILD: &str = "PLYFS_TEST_FEW_DESCRIPTORS";
    if std::env::var_os(CHILD).is_some() {
        return mount_with_few_descriptors();
    }
    let name = "limits::root_few_descriptors_are_enough_for_one_engine_and_a_clear_error_in_the_other";
    let child = std::env::current_exe().expect("a test binary");
    let _ = run(Command::new(child).args(["--exact", name]).env(CHILD, "1")).success();
}

fn mount_with_few_descriptors() {
    let home = Home::new();
    let layers = home.layers(400);
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).expect("lowering is allowed");

    for (way, features) in home.ways() {
        let target = home.target(way);
        let result = plain(home.container(way, &layers), &features).mount_at(&target);
        if way == "classic" {
            let story = story(&result.expect_err("400 descriptors are too many"));
            assert!(story.contains("this process may hold 64 (RLIMIT_NOFILE)"), "{story}");
        } else {
            result.unwrap_or_else(|error| panic!("{way}: {error:?}"));
            assert_eq!(read(target.join("only-399")), "399", "{way}");
        }
    }
}
